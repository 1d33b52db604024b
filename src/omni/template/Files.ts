/**
 * Reads the files of a template, and only those inside of its folder.
 *
 * A path that leaves the folder is refused before anything is opened: `..`, an absolute path, a drive letter, or a
 * symbolic link. `allowedFolders` names more folders. A relative path is always relative to the template's folder.
 */
import * as Effect from "effect/Effect"
import { shown } from "./Issue.ts"

/** Larger than any configuration, smaller than what a call may carry. */
const maxBytes = 4 * 1024 * 1024

export interface Folders {
  readonly baseDirectory: string
  readonly allowedFolders: ReadonlyArray<string>
}

export type Read = { readonly text: string } | { readonly issue: string }

const codeOf = (cause: unknown): string => cause instanceof Error && "code" in cause ? String(cause.code) : ""

/** Reads one file as UTF-8. */
export const readFile = ({ allowedFolders, baseDirectory }: Folders, file: string): Effect.Effect<Read> =>
  Effect.promise(async (signal): Promise<Read> => {
    const [fs, path] = await Promise.all([import("node:fs/promises"), import("node:path")])
    const outside = {
      issue: `${shown(file)} is outside of the template's folder; move the file there, or name its folder in ` +
        `\`allowedFolders\``
    }
    const isWithin = (full: string, folder: string): boolean => {
      const relative = path.relative(folder, full)
      return relative === "" ||
        (relative !== ".." && !relative.startsWith(`..${path.sep}`) && !path.isAbsolute(relative))
    }
    // A drive letter is a relative name on other systems, and leaves the folder on Windows.
    if (/^[a-z]:/i.test(file) || file.includes("\0")) return outside
    const full = path.resolve(baseDirectory, file)
    const folders = [baseDirectory, ...allowedFolders].map((folder) => path.resolve(folder))
    if (!folders.some((folder) => isWithin(full, folder))) return outside
    try {
      const real = await fs.realpath(full)
      const realFolders = await Promise.all(folders.map((folder) => fs.realpath(folder).catch(() => undefined)))
      if (!realFolders.some((folder) => folder !== undefined && isWithin(real, folder))) return outside
      const found = await fs.stat(real)
      if (!found.isFile()) return { issue: `${shown(file)} is not a file` }
      if (found.size > maxBytes) {
        return { issue: `${shown(file)} has ${found.size} bytes; at most ${maxBytes} bytes are read` }
      }
      const bytes = await fs.readFile(real, { signal })
      return { text: new TextDecoder("utf-8", { fatal: true }).decode(bytes) }
    } catch (cause) {
      const code = codeOf(cause)
      return {
        issue: code === "ENOENT"
          ? `there is no file ${shown(full)}`
          : code === "ERR_ENCODING_INVALID_ENCODED_DATA"
          ? `${shown(file)} is not text in UTF-8`
          : `${shown(full)} cannot be read${code === "" ? "" : ` (${code})`}`
      }
    }
  })
