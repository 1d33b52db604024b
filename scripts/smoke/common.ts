/** The functions that the parts of the smoke test share. */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import { readdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { ROOT } from "../lib/pack.ts"

export class SmokeFailed extends Data.TaggedError("SmokeFailed")<{ readonly message: string }> {}

export const say = (line: string) => Effect.sync(() => process.stdout.write(`${line}\n`))

export const installedVersion = (name: string): string =>
  (JSON.parse(readFileSync(join(ROOT, "node_modules", name, "package.json"), "utf8")) as { version: string }).version

/** Makes a folder a project without dependencies. */
export const emptyProject = (project: string): void =>
  writeFileSync(join(project, "package.json"), JSON.stringify({ name: "smoke", private: true, type: "module" }))

/** The specifiers of all public modules of an installed kubelayer, by its list of exports. */
export const publicModules = (installed: string): ReadonlyArray<string> => {
  const { exports } = JSON.parse(readFileSync(join(installed, "package.json"), "utf8")) as {
    readonly exports: Readonly<Record<string, string>>
  }
  return Object.entries(exports).flatMap(([subpath, target]) => {
    if (!target.endsWith(".js")) return []
    if (!subpath.endsWith("/*")) return [`kubelayer${subpath.slice(1)}`]
    const folder = join(installed, target.slice(0, -"*.js".length))
    return readdirSync(folder)
      .filter((name) => name.endsWith(".js"))
      .map((name) => `kubelayer${subpath.slice(1, -1)}${name.slice(0, -".js".length)}`)
  })
}
