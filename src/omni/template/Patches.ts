/**
 * The content of a template's patches: read from files, encoded from values, and checked.
 *
 * Content is encoded as YAML by the library, never put together from text; a text is kept verbatim. What Omni keeps to
 * itself in a machine's configuration may not be set by a patch. Whether the rest is a configuration that Talos takes is
 * for the server to say.
 * Source: Sidero Omni documentation, "Cluster templates" and "Configuration patches".
 */
import * as Effect from "effect/Effect"
import type * as Yaml from "yaml"
import { type Add, type Issue, type Path, shown } from "./Issue.ts"
import type { Draft, Patch, Template } from "./Model.ts"
import { loadYaml, parseOptions, plain, valueOf } from "./Parse.ts"

/** What a patch says: the text that is stored, and the documents in it, by which two patches are compared. */
export interface Content {
  readonly data: string
  readonly documents: ReadonlyArray<unknown>
}

/** By the patch as it stands in the draft. */
export type Contents = ReadonlyMap<Draft<Patch>, Content>

type Mapping = Readonly<Record<string, unknown>>

const isMapping = (value: unknown): value is Mapping =>
  typeof value === "object" && value !== null && !Array.isArray(value)

// -----------------------------------------------------------------------------
// Where patches are
// -----------------------------------------------------------------------------

export interface PlacedPatch {
  readonly patch: Draft<Patch>
  readonly path: Path
}

/** All patches of a template with their places. */
export const patchesOf = (draft: Draft<Template>): ReadonlyArray<PlacedPatch> => {
  const of = (owner: { readonly patches?: Draft<ReadonlyArray<Patch>> | undefined } | undefined, path: Path) =>
    (owner?.patches ?? []).flatMap((patch, index) =>
      patch === undefined ? [] : [{ patch, path: [...path, "patches", index] }]
    )
  return [
    ...of(draft.cluster, ["cluster"]),
    ...of(draft.controlPlane, ["controlPlane"]),
    ...(draft.workers ?? []).flatMap((workers, index) => of(workers, ["workers", index])),
    ...(draft.machines ?? []).flatMap((machine, index) => of(machine, ["machines", index]))
  ]
}

// -----------------------------------------------------------------------------
// What a patch may not set
// -----------------------------------------------------------------------------

/** Fields that Omni sets by itself. */
const forbidden: ReadonlyArray<string> = [
  "cluster.clusterName",
  "cluster.id",
  "cluster.controlPlane.endpoint",
  "cluster.token",
  "cluster.secret",
  "cluster.aescbcEncryptionSecret",
  "cluster.secretboxEncryptionSecret",
  "cluster.ca",
  "cluster.acceptedCAs",
  "cluster.serviceAccount",
  "machine.token",
  "machine.ca",
  "machine.type",
  "machine.install.extensions",
  "machine.acceptedCAs"
]

const forbiddenKinds =
  /^(?:UnattendedInstall|DiscoveryIdentity|KubeCluster|(?:Kube)?(?:EtcdEncryption|APIServerCA|AggregatorCA))(?:Config)?$/

export const valueAt = (document: unknown, path: ReadonlyArray<string>): unknown =>
  path.reduce<unknown>((value, key) => isMapping(value) && Object.hasOwn(value, key) ? value[key] : undefined, document)

/** What is empty, or deletes, sets nothing. */
const sets = (value: unknown): boolean =>
  value !== undefined && value !== null && value !== "" && !(isMapping(value) && value.$patch === "delete")

const checkDocument = (document: unknown, path: Path, add: Add) => {
  if (!isMapping(document)) {
    return add(
      path,
      Array.isArray(document) && document.some((each) => isMapping(each) && "op" in each)
        ? "JSON patches (lists of `op`, `path`, `value`) are not taken; write the fields to change as a mapping"
        : "a document of a patch is a mapping of the machine configuration"
    )
  }
  const { apiVersion, kind } = document
  if (kind !== undefined) {
    if (typeof kind !== "string" || typeof apiVersion !== "string") {
      return add(path, "a configuration document has an `apiVersion` and a `kind`, both texts")
    }
    if (forbiddenKinds.test(kind)) add(path, `Omni manages ${kind} by itself; a patch may not bring it`)
    return
  }
  for (const field of forbidden) {
    if (sets(valueAt(document, field.split(".")))) add(path, `Omni sets ${field} by itself; a patch may not`)
  }
  const roles = valueAt(document, ["machine", "features", "kubernetesTalosAPIAccess", "allowedRoles"])
  if (Array.isArray(roles) && roles.includes("os:admin")) {
    add(path, "machine.features.kubernetesTalosAPIAccess.allowedRoles may not have os:admin")
  }
}

// -----------------------------------------------------------------------------
// Texts and values
// -----------------------------------------------------------------------------

/** The documents of a text; `faults` where it is not YAML. */
export const documentsOf = (
  yaml: typeof Yaml,
  text: string
): { readonly documents: ReadonlyArray<unknown>; readonly faults: ReadonlyArray<string> } => {
  const lines = new yaml.LineCounter()
  const parsed = yaml.parseAllDocuments(text, { ...parseOptions, lineCounter: lines })
  const documents: Array<unknown> = []
  const faults: Array<string> = []
  for (const document of Array.isArray(parsed) ? parsed as ReadonlyArray<Yaml.Document.Parsed> : []) {
    for (const error of document.errors) {
      const { col, line } = lines.linePos(error.pos[0])
      // The parser quotes what it stumbled over, and that may be a secret.
      const [what = ""] = error.message.split(/: "|\n/)
      faults.push(`line ${line}, column ${col} of the patch: ${what}`)
    }
    if (document.errors.length > 0) continue
    const read = valueOf(document)
    if ("fault" in read) faults.push(read.fault)
    else if (read.value !== null && read.value !== undefined) documents.push(read.value)
  }
  return { documents, faults }
}

/** Keys in natural order (`k2` before `k10`), so that the same content is always the same text. */
const natural = new Intl.Collator("en", { numeric: true, caseFirst: "upper" })

const sorted = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(sorted)
  if (!isMapping(value)) return value
  return Object.fromEntries(
    Object.entries(value).sort(([a], [b]) => natural.compare(a, b) || (a < b ? -1 : 1)).map(([key, each]) => [
      key,
      sorted(each)
    ])
  )
}

/** What cannot stand in YAML as data: functions, symbols, values that contain themselves, instances of classes. */
const foreignIn = (value: unknown, around: ReadonlyArray<unknown> = []): string | undefined => {
  if (value === null || ["string", "number", "boolean", "bigint", "undefined"].includes(typeof value)) return undefined
  if (typeof value !== "object") return `a ${typeof value}`
  if (around.includes(value)) return "a value that contains itself"
  if (around.length > 100) return "a value of more than 100 levels"
  const prototype: unknown = Object.getPrototypeOf(value)
  if (!Array.isArray(value) && prototype !== Object.prototype && prototype !== null) return "an instance of a class"
  for (const each of Object.values(value)) {
    const found = foreignIn(each, [...around, value])
    if (found !== undefined) return found
  }
  return undefined
}

const encode = (yaml: typeof Yaml, value: unknown): string =>
  // What an older reader of YAML takes for a number, a date or a boolean is put in quotes.
  yaml.stringify(sorted(value), { compat: "yaml-1.1", indent: 4, lineWidth: 0, aliasDuplicateObjects: false })

const ofText = (yaml: typeof Yaml, data: string, path: Path, add: Add): Content | undefined => {
  const { documents, faults } = documentsOf(yaml, data)
  for (const fault of faults) add(path, fault)
  if (faults.length > 0) return undefined
  if (documents.length === 0) return void add(path, "the patch is empty")
  for (const document of documents) checkDocument(document, path, add)
  return { data, documents }
}

const ofValue = (yaml: typeof Yaml, value: unknown, path: Path, add: Add): Content | undefined => {
  const foreign = foreignIn(value)
  if (foreign !== undefined) return void add(path, `${foreign} is no content of a patch`)
  const values: ReadonlyArray<unknown> = Array.isArray(value) ? value : [value]
  if (Array.isArray(value) && value.some((each) => isMapping(each) && "op" in each)) {
    checkDocument(value, path, add)
    return undefined
  }
  if (values.length === 0) return void add(path, "the patch is empty")
  values.forEach((document, index) => checkDocument(document, Array.isArray(value) ? [...path, index] : path, add))
  const data = values.map((document) => encode(yaml, document)).join("---\n")
  // What is compared is what a reader of the text sees.
  return { data, documents: documentsOf(yaml, data).documents.map(plain) }
}

// -----------------------------------------------------------------------------
// Files
// -----------------------------------------------------------------------------

/** Larger than any configuration, smaller than what a call may carry. */
const mostBytes = 4 * 1024 * 1024

const readFile = (base: string, file: string): Effect.Effect<{ readonly text: string } | { readonly fault: string }> =>
  Effect.promise(async (signal) => {
    const [fs, path] = await Promise.all([import("node:fs/promises"), import("node:path")])
    const full = path.resolve(base, file)
    try {
      const found = await fs.stat(full)
      if (!found.isFile()) return { fault: `${shown(file)} is not a file` }
      if (found.size > mostBytes) {
        return { fault: `${shown(file)} has ${found.size} bytes, at most ${mostBytes} are read` }
      }
      const bytes = await fs.readFile(full, { signal })
      return { text: new TextDecoder("utf-8", { fatal: true }).decode(bytes) }
    } catch (cause) {
      const code = cause instanceof Error && "code" in cause ? String(cause.code) : ""
      return {
        fault: code === "ENOENT"
          ? `there is no file ${shown(full)}`
          : code === "ERR_ENCODING_INVALID_ENCODED_DATA"
          ? `${shown(file)} is not a text in UTF-8`
          : `${shown(full)} cannot be read${code === "" ? "" : ` (${code})`}`
      }
    }
  })

/** Gives each patch its content, and tells everything that is wrong with it. */
export const contents = Effect.fnUntraced(function*(
  draft: Draft<Template>,
  baseDirectory: string | undefined
): Effect.fn.Return<{ readonly contents: Contents; readonly issues: ReadonlyArray<Issue> }> {
  const placed = patchesOf(draft)
  const issues: Array<Issue> = []
  const found = new Map<Draft<Patch>, Content>()
  if (placed.length === 0) return { contents: found, issues }
  const yaml = yield* loadYaml
  const add: Add = (path, message) => void issues.push({ path, message })
  for (const { patch, path } of placed) {
    const inline = patch.inline as unknown
    const at = [...path, inline === undefined ? "file" : "inline"]
    // The wrong number of sources is told by `Validate.ts`.
    if ((inline === undefined) === (patch.file === undefined)) continue
    let content: Content | undefined
    if (patch.file !== undefined) {
      if (baseDirectory === undefined) {
        add(at, "a file is relative to the folder of the template; give `baseDirectory`, or write the patch `inline`")
        continue
      }
      const read = patch.file === ""
        ? { fault: "the name of the file is empty" }
        : yield* readFile(baseDirectory, patch.file)
      if ("fault" in read) {
        add(at, read.fault)
        continue
      }
      content = ofText(yaml, read.text, at, add)
    } else {
      content = typeof inline === "string" ? ofText(yaml, inline, at, add) : ofValue(yaml, inline, at, add)
    }
    if (content !== undefined) found.set(patch, content)
  }
  return { contents: found, issues }
})
