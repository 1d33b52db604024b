/**
 * Reads documents and saved plans from files and from stdin.
 */
import * as Effect from "effect/Effect"
import { dirname, join } from "node:path"
import * as Document from "../Document.ts"
import { InvalidSpec } from "../ProviderError.ts"
import type { Address } from "./Backends.ts"
import { UsageError } from "./Failure.ts"
import { Screen } from "./Screen.ts"

/** One cluster of a file. */
export interface Source {
  readonly document: Document.Document
  /** The backend, as far as the document names it. */
  readonly address: Pick<Address, "backend" | "instance" | "scheme" | "defaults">
  /** The spec with its secrets; undefined for a template. */
  readonly spec: Effect.Effect<Document.ResolvedSpec | undefined, InvalidSpec>
  readonly directory: string
}

const maxBytes = 16 * 1024 * 1024

const reasonOf = (cause: unknown): string => {
  const { code, message } = cause as NodeJS.ErrnoException
  return code === "ENOENT"
    ? "there is no such file"
    : code === "EACCES"
    ? "permission denied"
    : message ?? String(cause)
}

/** The files of a folder that are documents, in the order of their names. */
const expand = (path: string): Effect.Effect<ReadonlyArray<string>, UsageError> =>
  Effect.tryPromise({
    try: async () => {
      if (path === "-") return [path]
      const { readdir, stat } = await import("node:fs/promises")
      const found = await stat(path)
      if (!found.isDirectory()) {
        if (found.size > maxBytes) throw new Error(`it has ${found.size} bytes, at most ${maxBytes} are read`)
        return [path]
      }
      const names = (await readdir(path)).filter((name) => /\.(?:ya?ml|json)$/.test(name)).sort()
      if (names.length === 0) throw new Error("the folder has no .yaml, .yml or .json file")
      return names.map((name) => join(path, name))
    },
    catch: (cause) => new UsageError({ message: `cannot read ${path}: ${reasonOf(cause)}` })
  })

export const readText = (path: string): Effect.Effect<string, UsageError, Screen> =>
  path === "-"
    ? Effect.flatMap(Screen, ({ readInput }) => readInput)
    : Effect.tryPromise({
      try: async () => (await import("node:fs/promises")).readFile(path, "utf8"),
      catch: (cause) => new UsageError({ message: `cannot read ${path}: ${reasonOf(cause)}` })
    })

const addressOf = (document: Document.Document): Source["address"] => {
  const instance = document.instance === undefined ? {} : { instance: document.instance }
  if (document.kind === "Template") return { backend: "omni", ...instance }
  const fields = document.document
  if (fields.backend === "docker") return { backend: "docker", ...instance, scheme: fields.scheme ?? "kubelayer" }
  if (fields.backend !== "omni") return { backend: fields.backend, ...instance }
  const { kubernetesVersion, machineClass, talosVersion } = fields
  return {
    backend: "omni",
    ...instance,
    defaults: {
      ...(machineClass === undefined ? {} : { machineClass }),
      ...(talosVersion === undefined ? {} : { talosVersion }),
      ...(kubernetesVersion === undefined ? {} : { kubernetesVersion })
    }
  }
}

/** Reads all documents of all files. Issues of every file are reported at once. */
export const readDocuments = Effect.fnUntraced(function*(
  paths: ReadonlyArray<string>
): Effect.fn.Return<ReadonlyArray<Source>, UsageError | InvalidSpec, Screen> {
  const files = (yield* Effect.forEach(paths, expand)).flat()
  const parsed = yield* Effect.forEach(files, (path) =>
    Effect.gen(function*() {
      const text = yield* readText(path)
      const directory = path === "-" ? process.cwd() : dirname(path)
      const result = yield* Effect.result(Document.parse(text, { source: path === "-" ? "stdin" : path }))
      return { directory, result }
    }))
  const issues = parsed.flatMap(({ result }) => result._tag === "Failure" ? result.failure.issues : [])
  const [failed] = parsed.flatMap(({ result }) => result._tag === "Failure" ? [result.failure] : [])
  if (failed !== undefined) return yield* new InvalidSpec({ issues })
  const sources = parsed.flatMap(({ directory, result }) =>
    result._tag === "Failure" ? [] : result.success.map((document): Source => ({
      document,
      directory,
      address: addressOf(document),
      spec: document.kind === "Template"
        ? Effect.succeed(undefined)
        : Effect.mapError(Document.resolve(document.document, { directory }), document.locate)
    }))
  )
  const names = sources.map(({ document }) => [document.backend, document.instance ?? "", document.name].join("/"))
  const repeated = sources.find((_, index) => names.indexOf(names[index] ?? "") !== index)
  if (repeated !== undefined) {
    return yield* new UsageError({ message: `two files have a document of cluster "${repeated.document.name}"` })
  }
  return sources
})
