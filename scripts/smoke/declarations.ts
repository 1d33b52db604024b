/**
 * The declarations of all public modules, in strict projects of npm, pnpm and yarn that check libraries and have no types
 * of Node. Each manager lays the packages out in its own way.
 */
import * as Effect from "effect/Effect"
import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { run, runOrFail } from "../lib/exec.ts"
import { ROOT } from "../lib/pack.ts"
import { emptyProject, installedVersion, publicModules, say, SmokeFailed } from "./common.ts"

/** Modules whose purpose are the types of a package that the user chooses to install. */
const NEEDS_TYPES = new Set(["kubelayer/layers/DockerClient", "kubelayer/testing/vitest"])

const MANAGERS: Readonly<Record<string, { readonly version: string; readonly add: ReadonlyArray<string> }>> = {
  npm: { version: "", add: ["install", "--prefer-offline", "--no-audit", "--no-fund", "--ignore-scripts"] },
  pnpm: { version: "10.34.9", add: ["add", "--prefer-offline", "--ignore-scripts"] },
  yarn: {
    version: "1.22.22",
    add: ["add", "--prefer-offline", "--ignore-scripts", "--ignore-engines", "--non-interactive"]
  }
}

const compilerOptions = {
  target: "ES2022",
  module: "NodeNext",
  // Effect's own declarations name types of the web platform.
  lib: ["ES2023", "DOM"],
  strict: true,
  exactOptionalPropertyTypes: true,
  skipLibCheck: false,
  noEmit: true,
  types: []
}

const checkManager = Effect.fnUntraced(function*(directory: string, tarball: string, manager: string) {
  const { add, version } = MANAGERS[manager] ?? { add: [], version: "" }
  const project = join(directory, manager)
  mkdirSync(project)
  emptyProject(project)
  const packages = [`file:${tarball}`, `effect@${installedVersion("effect")}`]
  const command = version === ""
    ? [manager, ...add, ...packages]
    : ["npx", "--yes", `${manager}@${version}`, ...add, ...packages]
  yield* runOrFail(command[0] ?? "", command.slice(1), { cwd: project })
  const modules = publicModules(join(project, "node_modules/kubelayer")).filter((module) => !NEEDS_TYPES.has(module))
  writeFileSync(
    join(project, "all.ts"),
    modules.map((module, index) => `export * as module${index} from ${JSON.stringify(module)}\n`).join("")
  )
  writeFileSync(join(project, "tsconfig.json"), JSON.stringify({ compilerOptions, include: ["all.ts"] }))
  const compiled = yield* run(join(ROOT, "node_modules/.bin/tsc"), ["-p", "."], { cwd: project })
  return compiled.code === 0 ? [] : [`with ${manager}:\n${compiled.output}`]
})

export const checkDeclarations = Effect.fnUntraced(function*(directory: string, tarball: string) {
  const faults = yield* Effect.forEach(Object.keys(MANAGERS), (manager) => checkManager(directory, tarball, manager))
  if (faults.flat().length > 0) {
    return yield* new SmokeFailed({ message: `the declarations do not compile ${faults.flat().join("\n")}` })
  }
  yield* say(`declarations compile with skipLibCheck off and no types of Node: ${Object.keys(MANAGERS).join(", ")}`)
})
