/**
 * Leaves what a user of the library can reach in `dist`.
 *
 * - Files that no exported module imports are removed: the declarations of internals, and modules of types only.
 * - The JavaScript loses its comments. The declarations keep theirs: an editor shows those. Annotations for bundlers
 *   stay, such as `@vite-ignore` and `#__PURE__`.
 */
import { transformSync } from "esbuild"
import { globSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { dirname, join, relative } from "node:path"
import { ROOT } from "./lib/pack.ts"

const { exports } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as {
  readonly exports: Readonly<Record<string, string>>
}

/** Every relative path in quotes counts, so that types imported inside of a type are found, too. */
const importsOf = (file: string): ReadonlyArray<string> =>
  [...readFileSync(file, "utf8").matchAll(/["'](\.{1,2}\/[^"'\n]+)\.[jt]s["']/g)]
    .map(([, path = ""]) => join(dirname(file), path))

/** The files that the exported modules reach, with `.js` or with `.d.ts`. */
const reachable = (extension: string): ReadonlySet<string> => {
  const found = new Set<string>()
  const files = Object.values(exports)
    .filter((target) => target.endsWith(".js"))
    .flatMap((target) => globSync(target.replace(/\.js$/, extension), { cwd: ROOT }))
    .map((target) => join(ROOT, target))
  const existing = new Set(globSync(`dist/**/*${extension}`, { cwd: ROOT }).map((file) => join(ROOT, file)))
  for (let file = files.pop(); file !== undefined; file = files.pop()) {
    if (found.has(file)) continue
    found.add(file)
    files.push(...importsOf(file).map((path) => path + extension).filter((path) => existing.has(path)))
  }
  return found
}

for (const extension of [".js", ".d.ts"]) {
  const kept = reachable(extension)
  for (const name of globSync(`dist/**/*${extension}`, { cwd: ROOT })) {
    const file = join(ROOT, name)
    if (!kept.has(file) && !relative(ROOT, file).startsWith(join("dist", "bin"))) rmSync(file)
  }
}

for (const name of globSync("dist/**/*.js", { cwd: ROOT })) {
  const file = join(ROOT, name)
  const { code } = transformSync(readFileSync(file, "utf8"), { format: "esm", target: "es2022", legalComments: "none" })
  writeFileSync(file, code)
}
