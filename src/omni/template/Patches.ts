/**
 * Reads and checks what a template stores as text: config patches, Kubernetes manifests and jobs of health checks.
 *
 * A text is kept verbatim; a mapping or list is encoded as omnictl encodes it. A patch may not set the fields that Omni
 * sets. The server validates the rest of a patch.
 * Source: Sidero Omni documentation, "Cluster templates" and "Configuration patches".
 */
import * as Effect from "effect/Effect"
import type * as Yaml from "yaml"
import * as GoYaml from "../GoYaml.ts"
import { type Folders, readFile } from "./Files.ts"
import { type Add, type Issue, type Path } from "./Issue.ts"
import type { Draft, Patch, Template } from "./Model.ts"
import { Inline, loadYaml, parseOptions, valueOf } from "./Parse.ts"

/** The text that is stored, and the documents in it, by which two texts are compared. */
export interface Content {
  readonly data: string
  readonly documents: ReadonlyArray<unknown>
}

/** By the patch, manifest group or health check of the draft. */
export type Contents = ReadonlyMap<object, Content>

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

type Check = (document: unknown, path: Path, add: Add) => void

/** Something with a content of its own: where it is, the field that holds the content, and how it is checked. */
interface PlacedContent {
  readonly owner: { readonly file?: string | undefined }
  readonly path: Path
  readonly field: "inline" | "job"
  readonly value: unknown
  readonly check: Check
}

const contentsOf = (draft: Draft<Template>): ReadonlyArray<PlacedContent> => {
  const kubernetes = draft.cluster?.kubernetes
  return [
    ...patchesOf(draft).map(({ patch, path }): PlacedContent => ({
      owner: patch,
      path,
      field: "inline",
      value: patch.inline,
      check: checkPatchDocument
    })),
    ...(kubernetes?.manifests ?? []).flatMap((owner, index): ReadonlyArray<PlacedContent> =>
      owner === undefined ? [] : [{
        owner,
        path: ["cluster", "kubernetes", "manifests", index],
        field: "inline",
        value: owner.inline,
        check: checkManifest
      }]
    ),
    ...(kubernetes?.healthchecks ?? []).flatMap((owner, index): ReadonlyArray<PlacedContent> =>
      owner === undefined ? [] : [{
        owner,
        path: ["cluster", "kubernetes", "healthchecks", index],
        field: "job",
        value: owner.job,
        check: checkManifest
      }]
    )
  ]
}

const checkManifest: Check = (document, path, add) => {
  if (!isMapping(document) || typeof document.kind !== "string" || typeof document.apiVersion !== "string") {
    add(path, "a Kubernetes manifest is a mapping with an `apiVersion` and a `kind`")
  }
}

// -----------------------------------------------------------------------------
// What a patch may not set
// -----------------------------------------------------------------------------

/** Fields that Omni sets. */
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

/** An empty or deleting value sets nothing. */
const sets = (value: unknown): boolean =>
  value !== undefined && value !== null && value !== "" && !(isMapping(value) && value.$patch === "delete")

const checkPatchDocument: Check = (document, path, add) => {
  if (!isMapping(document)) {
    return add(
      path,
      Array.isArray(document) && document.some((each) => isMapping(each) && "op" in each)
        ? "JSON patches (lists of `op`, `path`, `value`) are not taken; write the fields to change as a mapping"
        : "a document of a patch is a mapping of the machine configuration"
    )
  }
  if (Object.keys(document).length === 0) return add(path, "the patch is empty")
  const { apiVersion, kind } = document
  if (kind !== undefined) {
    if (typeof kind !== "string" || typeof apiVersion !== "string") {
      return add(path, "a configuration document has an `apiVersion` and a `kind`, both texts")
    }
    if (forbiddenKinds.test(kind)) add(path, `Omni manages ${kind}; a patch may not contain it`)
    return
  }
  for (const field of forbidden) {
    if (sets(valueAt(document, field.split(".")))) add(path, `Omni sets ${field}; a patch may not`)
  }
  const roles = valueAt(document, ["machine", "features", "kubernetesTalosAPIAccess", "allowedRoles"])
  if (Array.isArray(roles) && roles.includes("os:admin")) {
    add(path, "machine.features.kubernetesTalosAPIAccess.allowedRoles may not have os:admin")
  }
}

// -----------------------------------------------------------------------------
// Texts and values
// -----------------------------------------------------------------------------

/** The documents of a text as Talos reads them; `faults` where it is not YAML. */
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
      // The message quotes the text, and the text may be secret.
      const [what = ""] = error.message.split(/: "|\n/)
      faults.push(`line ${line}, column ${col} of the patch: ${what}`)
    }
    if (document.errors.length > 0) continue
    const read = valueOf(document)
    if ("fault" in read) faults.push(read.fault)
    else if (read.value !== null && read.value !== undefined) {
      documents.push(GoYaml.toProgram(GoYaml.resolved(yaml, document, document.contents)))
    }
  }
  return { documents, faults }
}

/** The values that are no data in YAML: functions, symbols, values that contain themselves, instances of classes. */
const notDataIn = (value: unknown, around: ReadonlyArray<unknown> = []): string | undefined => {
  if (value === null || ["string", "number", "boolean", "bigint", "undefined"].includes(typeof value)) return undefined
  if (typeof value !== "object") return `a ${typeof value}`
  if (around.includes(value)) return "a value that contains itself"
  if (around.length > 100) return "a value of more than 100 levels"
  const prototype: unknown = Object.getPrototypeOf(value)
  if (!Array.isArray(value) && prototype !== Object.prototype && prototype !== null) return "an instance of a class"
  for (const each of Object.values(value)) {
    const found = notDataIn(each, [...around, value])
    if (found !== undefined) return found
  }
  return undefined
}

const ofText = (yaml: typeof Yaml, data: string, path: Path, check: Check, add: Add): Content | undefined => {
  const { documents, faults } = documentsOf(yaml, data)
  for (const fault of faults) add(path, fault)
  if (faults.length > 0) return undefined
  if (documents.length === 0) return void add(path, "there is no content")
  for (const document of documents) check(document, path, add)
  return { data, documents }
}

const ofValue = (value: unknown, path: Path, check: Check, add: Add): Content | undefined => {
  const invalid = value instanceof Inline ? undefined : notDataIn(value)
  if (invalid !== undefined) return void add(path, `${invalid} cannot be written as YAML`)
  const content = value instanceof Inline ? value.value : GoYaml.ofProgram(value)
  const isList = Array.isArray(content)
  const values: ReadonlyArray<GoYaml.Value> = isList ? content : [content]
  const documents = values.map(GoYaml.toProgram)
  if (isList && documents.some((each) => isMapping(each) && "op" in each)) {
    check(documents, path, add)
    return undefined
  }
  if (values.length === 0) return void add(path, "there is no content")
  documents.forEach((document, index) => check(document, isList ? [...path, index] : path, add))
  return { data: values.map(GoYaml.encode).join("---\n"), documents }
}

/** Gives each owner its content, and reports everything that is wrong with it. */
export const contents = Effect.fnUntraced(function*(
  draft: Draft<Template>,
  folders: Folders | undefined
): Effect.fn.Return<{ readonly contents: Contents; readonly issues: ReadonlyArray<Issue> }> {
  const placed = contentsOf(draft)
  const issues: Array<Issue> = []
  const found = new Map<object, Content>()
  if (placed.length === 0) return { contents: found, issues }
  const yaml = yield* loadYaml
  const add: Add = (path, message) => void issues.push({ path, message })
  for (const { check, field, owner, path, value } of placed) {
    const at = [...path, value === undefined ? "file" : field]
    // `Validate.ts` reports the wrong number of sources.
    if ((value === undefined) === (owner.file === undefined)) continue
    let content: Content | undefined
    if (owner.file !== undefined) {
      if (folders === undefined) {
        add(at, `a file is relative to the template's folder; give \`baseDirectory\`, or write \`${field}\``)
        continue
      }
      const read = owner.file === "" ? { issue: "the name of the file is empty" } : yield* readFile(folders, owner.file)
      if ("issue" in read) {
        add(at, read.issue)
        continue
      }
      content = ofText(yaml, read.text, at, check, add)
    } else {
      content = typeof value === "string" ? ofText(yaml, value, at, check, add) : ofValue(value, at, check, add)
    }
    if (content !== undefined) found.set(owner, content)
  }
  return { contents: found, issues }
})
