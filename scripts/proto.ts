/**
 * Generates `src/omni/proto` from the files in `proto`, with buf and protoc-gen-es. They are larger than all other
 * dependencies, so they are installed in a temporary folder.
 *
 *   node scripts/proto.ts
 */
import * as Effect from "effect/Effect"
import { cpSync, globSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { DIGESTS, digests, GENERATED, SOURCES } from "./docs/generated.ts"
import { runOrFail } from "./lib/exec.ts"
import { main } from "./lib/main.ts"
import { ROOT } from "./lib/pack.ts"
import { temporaryDirectory } from "./lib/temporary.ts"

/** An enum is no type that can be stripped; a constant with the type of its values is one, and reads the same. */
const withoutEnums = (text: string): string =>
  text.replace(/^export enum (\w+) \{\n([\s\S]*?)^\}$/gm, (_, name: string, body: string) => {
    const members = body.replace(/^( +\w+) = (-?\d+),$/gm, "$1: $2,")
    return `export const ${name} = {\n${members}} as const;\nexport type ${name} = (typeof ${name})[keyof typeof ${name}];`
  })

const generate = Effect.gen(function*() {
  const directory = yield* temporaryDirectory("proto")
  const there = join(directory, SOURCES)
  cpSync(join(ROOT, SOURCES), there, { recursive: true, filter: (path) => !path.includes("node_modules") })
  yield* runOrFail("npm", ["ci", "--no-audit", "--no-fund"], { cwd: there })
  yield* runOrFail("npm", ["run", "generate"], { cwd: there })
  for (const path of globSync(join(directory, GENERATED, "*.ts"))) {
    writeFileSync(path, withoutEnums(readFileSync(path, "utf8")))
  }
  rmSync(join(ROOT, GENERATED), { recursive: true, force: true })
  cpSync(join(directory, GENERATED), join(ROOT, GENERATED), { recursive: true })
  for (const name of ["cosi", "management", "specs"]) {
    cpSync(join(there, `${name}.proto`), join(ROOT, SOURCES, `${name}.proto`))
  }
  writeFileSync(join(ROOT, DIGESTS), `${JSON.stringify(digests(), undefined, 2)}\n`)
  process.stdout.write(`${GENERATED} is generated\n`)
  return 0
})

main(Effect.scoped(generate))
