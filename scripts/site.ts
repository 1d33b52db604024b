/**
 * Builds the site of the documentation: the pages of docs/, the examples, and a reference from the docstrings, with search.
 *
 * VitePress is installed in a folder of its own for the time of this run. A dead link fails the build. With `--check` a
 * headless Chromium opens every page.
 *
 *   node scripts/site.ts [--check] [--out folder]
 */
import * as Effect from "effect/Effect"
import { cpSync, mkdirSync, writeFileSync } from "node:fs"
import { dirname, join, resolve } from "node:path"
import { parseArgs } from "node:util"
import { filesAt } from "./docs/files.ts"
import { runOrFail } from "./lib/exec.ts"
import { main } from "./lib/main.ts"
import { ROOT } from "./lib/pack.ts"
import { temporaryDirectory } from "./lib/temporary.ts"
import { checkPages } from "./site/browser.ts"
import { pages, referencePages } from "./site/pages.ts"

const options = parseArgs({ options: { check: { type: "boolean" }, out: { type: "string" } } }).values

const site = Effect.gen(function*() {
  const directory = yield* temporaryDirectory("site")
  for (const name of ["package.json", "package-lock.json"]) cpSync(join(ROOT, "site", name), join(directory, name))
  yield* runOrFail("npm", ["ci", "--no-audit", "--no-fund", "--prefer-offline"], { cwd: directory })

  const declarations = join(directory, "declarations")
  const flags = ["-p", "tsconfig.build.json", "--emitDeclarationOnly", "--outDir", declarations]
  yield* runOrFail(join(ROOT, "node_modules/.bin/tsc"), flags, { cwd: ROOT })

  const all = [...pages(), ...referencePages(declarations)]
  const source = join(directory, "pages")
  for (const { path, text } of all) {
    mkdirSync(dirname(join(source, path)), { recursive: true })
    writeFileSync(join(source, path), text)
  }
  mkdirSync(join(source, "public"), { recursive: true })
  for (const { path } of filesAt("docs/*.svg")) cpSync(join(ROOT, path), join(source, path))

  const settings = join(source, ".vitepress")
  mkdirSync(settings)
  cpSync(join(ROOT, "site/config.mjs"), join(settings, "config.mjs"))
  const items = (group: string) =>
    all.filter((page) => page.group === group)
      .map(({ path, title }) => ({ text: title, link: `/${path.replace(/\.md$/, "")}` }))
  writeFileSync(
    join(settings, "pages.json"),
    JSON.stringify({ guide: items("guide"), reference: items("reference") })
  )
  yield* runOrFail(join(directory, "node_modules/.bin/vitepress"), ["build", source], { cwd: directory })

  const built = join(settings, "dist")
  if (options.out !== undefined) cpSync(built, resolve(options.out), { recursive: true })
  process.stdout.write(`${all.length} pages are built without a dead link\n`)
  if (options.check !== true) return 0
  const seen = yield* checkPages(built, all.map(({ path }) => path.replace(/\.md$/, ".html")))
  process.stdout.write(`${seen}\n`)
  return 0
})

main(Effect.scoped(site))
