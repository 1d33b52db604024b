/**
 * The files that the checks of the documents read, and how a fault in one of them is written down.
 */
import { globSync, readFileSync } from "node:fs"
import { join, sep } from "node:path"
import { ROOT } from "../lib/pack.ts"

export interface File {
  /** From the project's folder, with `/` on every system. */
  readonly path: string
  readonly text: string
}

export const filesAt = (...patterns: ReadonlyArray<string>): ReadonlyArray<File> =>
  globSync(patterns, { cwd: ROOT })
    .map((path) => path.split(sep).join("/"))
    .toSorted()
    .map((path) => ({ path, text: readFileSync(join(ROOT, path), "utf8") }))

/** A fault with its place, the way editors and terminals make a link of it. */
export const faultAt = (path: string, line: number, what: string): string => `${path}:${line}: ${what}`

export const lineAt = (text: string, index: number): number => text.slice(0, index).split("\n").length
