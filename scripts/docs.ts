/**
 * Keeps the generated tables of the documents true: checks that they are as the code has them, or writes them.
 *
 *   node scripts/docs.ts [--write]
 */
import * as Effect from "effect/Effect"
import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { tables } from "./docs/tables.ts"
import { main } from "./lib/main.ts"
import { ROOT } from "./lib/pack.ts"

const documents = ["README.md", "CONTRIBUTING.md"]

/** `<!-- table:NAME -->` … `<!-- /table -->` */
const marked = /(<!-- table:([\w-]+) -->\n)([\s\S]*?)(<!-- \/table -->)/g

const rendered = (text: string): { readonly text: string; readonly unknown: ReadonlyArray<string> } => {
  const unknown: Array<string> = []
  return {
    unknown,
    text: text.replace(marked, (whole, open: string, name: string, _body: string, close: string) => {
      const make = tables[name]
      if (make === undefined) {
        unknown.push(name)
        return whole
      }
      return `${open}${make()}\n${close}`
    })
  }
}

const docs = Effect.gen(function*() {
  const write = process.argv.includes("--write")
  const faults: Array<string> = []
  let count = 0
  for (const name of documents) {
    const path = join(ROOT, name)
    const before = readFileSync(path, "utf8")
    const { text, unknown } = rendered(before)
    count += [...before.matchAll(marked)].length
    faults.push(...unknown.map((table) => `${name}: there is no table ${table}`))
    if (text === before) continue
    if (write) writeFileSync(path, text)
    else faults.push(`${name}: a table is stale; run "npm run docs -- --write"`)
  }
  if (count === 0) faults.push("no document has a generated table")
  if (faults.length > 0) return yield* Effect.fail({ message: faults.join("\n") })
  process.stdout.write(`${count} tables are as the code has them\n`)
  return 0
})

main(docs)
