/** Installs the runtimes from npm, each as one executable. No install script runs. */
import * as Effect from "effect/Effect"
import { mkdirSync, readdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { runOrFail } from "../lib/exec.ts"

export interface Runtime {
  /** As it is chosen: `node20`, `bun`. */
  readonly id: string
  readonly executable: string
  /** The arguments before the file that it runs. */
  readonly args: ReadonlyArray<string>
}

const NODES = [20, 22, 24, 26]
const platform = `${process.platform === "win32" ? "win" : process.platform}-${process.arch}`

export const RUNTIMES: ReadonlyArray<string> = [...NODES.map((version) => `node${version}`), "bun", "deno"]

const specOf = (id: string): string =>
  id.startsWith("node") ? `${id}@npm:node-${platform}@${id.slice("node".length)}` : id

/** The executable of a package that is the first file of this name in its folders. */
const find = (root: string, names: ReadonlyArray<string>): string | undefined => {
  const found = readdirSync(root, { recursive: true, withFileTypes: true })
    .find((entry) => entry.isFile() && names.includes(entry.name))
  return found === undefined ? undefined : join(found.parentPath, found.name)
}

export const installRuntimes = Effect.fnUntraced(function*(directory: string, ids: ReadonlyArray<string>) {
  mkdirSync(directory)
  writeFileSync(join(directory, "package.json"), JSON.stringify({ name: "runtimes", private: true }))
  const flags = ["--prefer-offline", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]
  yield* runOrFail("npm", ["install", ...flags, ...ids.map(specOf)], { cwd: directory })
  const modules = join(directory, "node_modules")
  return ids.flatMap((id): ReadonlyArray<Runtime> => {
    const [folder, names] = id === "bun"
      ? ["@oven", ["bun", "bun.exe"]]
      : id === "deno"
      ? ["@deno", ["deno", "deno.exe"]]
      : [id, ["node", "node.exe"]]
    const executable = find(join(modules, folder), names)
    return executable === undefined ? [] : [{ id, executable, args: id === "deno" ? ["run", "--allow-all"] : [] }]
  })
})
