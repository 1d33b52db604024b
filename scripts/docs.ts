/**
 * Checks the documents: generated tables, messages and API files are up to date, links and paths exist, and examples are
 * marked for the smoke test. It also checks the language, the headers and imports of modules, and generated code.
 *
 * With `--write` it writes the generated parts.
 *
 *   node scripts/docs.ts [--write]
 */
import * as Effect from "effect/Effect"
import { existsSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { checkApi } from "./docs/api.ts"
import { checkArrows } from "./docs/arrows.ts"
import { allFences } from "./docs/fences.ts"
import { filesAt } from "./docs/files.ts"
import { checkGenerated } from "./docs/generated.ts"
import { checkHeaders } from "./docs/headers.ts"
import { checkLanguage } from "./docs/language.ts"
import { MESSAGES, renderMessages } from "./docs/messages.ts"
import { checkReferences } from "./docs/references.ts"
import { tables } from "./docs/tables.ts"
import { main } from "./lib/main.ts"
import { ROOT } from "./lib/pack.ts"

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

const checkTables = (write: boolean) => {
  const faults: Array<string> = []
  let count = 0
  for (const { path, text: before } of filesAt("*.md", "docs/*.md")) {
    const { text, unknown } = rendered(before)
    count += [...before.matchAll(marked)].length
    faults.push(...unknown.map((table) => `${path}: there is no table ${table}`))
    if (text === before) continue
    if (write) writeFileSync(join(ROOT, path), text)
    else faults.push(`${path}: a table is stale; run "npm run docs -- --write"`)
  }
  if (count === 0) faults.push("no document has a generated table")
  return { count, faults }
}

/** Writes a generated document, or checks that it is as the code has it. */
const checkDocument = (path: string, text: string, write: boolean): ReadonlyArray<string> => {
  const full = join(ROOT, path)
  if (existsSync(full) && readFileSync(full, "utf8") === text) return []
  if (!write) return [`${path}: is stale; run "npm run docs -- --write"`]
  writeFileSync(full, text)
  return []
}

const docs = Effect.gen(function*() {
  const write = process.argv.includes("--write")
  const generated = checkTables(write)
  const examples = allFences()
  const headers = checkHeaders()
  const faults = [
    ...generated.faults,
    ...(yield* checkApi(write)),
    ...checkDocument(MESSAGES, renderMessages(), write),
    ...examples.faults,
    ...checkReferences(),
    ...headers.faults,
    ...checkArrows(),
    ...checkLanguage(),
    ...checkGenerated()
  ]
  if (faults.length > 0) return yield* Effect.fail({ message: faults.join("\n") })
  process.stdout.write(
    `${generated.count} tables are as the code has them, ${examples.fences.length} examples are marked, ` +
      `${headers.checked} modules have their header, and imports go one way\n`
  )
  return 0
})

main(Effect.scoped(docs))
