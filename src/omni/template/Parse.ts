/**
 * A template from its text: YAML of several documents, each with its `kind`.
 *
 * All issues of the YAML, unknown kinds and unknown fields are reported with line and column. Valid documents continue.
 * The `yaml` library is loaded when a text is parsed. Nothing is read from files here.
 */
import * as Effect from "effect/Effect"
import type * as Yaml from "yaml"
import { loadPackage } from "../../internal/LoadPackage.ts"
import * as GoYaml from "../GoYaml.ts"
import { type Add, didYouMean, dotted, type Issue, type Path, type Place, shown } from "./Issue.ts"
import type { Draft, Template } from "./Model.ts"
import { type DocumentKind, documents, ofDocument } from "./TemplateSchema.ts"

/** The YAML library, loaded when it is first needed. */
export const loadYaml: Effect.Effect<typeof Yaml> = Effect.promise(() => loadPackage<typeof Yaml>("yaml"))

export interface Parsed {
  readonly draft: Draft<Template>
  readonly issues: ReadonlyArray<Issue>
  readonly place: Place
}

const kinds = Object.keys(documents) as ReadonlyArray<DocumentKind>

/** Whole numbers are read exactly, and are ordinary numbers again where they can be. */
const plain = (value: unknown): unknown => {
  if (typeof value === "bigint") return Number.isSafeInteger(Number(value)) ? Number(value) : value
  if (Array.isArray(value)) return value.map(plain)
  if (typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype) {
    return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, plain(each)]))
  }
  return value
}

export const parseOptions = {
  merge: true,
  intAsBigInt: true,
  prettyErrors: false,
  logLevel: "silent",
  // Its bytes are decoded where the value is read.
  customTags: [{ tag: "tag:yaml.org,2002:binary", resolve: (text: string) => text }]
} as const satisfies Yaml.ParseOptions & Yaml.DocumentOptions & Yaml.SchemaOptions

/** The value of a document; a fault where its aliases do not resolve or multiply without end. */
export const valueOf = (document: Yaml.Document.Parsed): { readonly value: unknown } | { readonly fault: string } => {
  try {
    return { value: plain(document.toJS()) }
  } catch (cause) {
    return { fault: cause instanceof Error ? cause.message : "it cannot be read" }
  }
}

/** The offset of a path of a document in the text, or of the nearest value around it. */
const offsetOf = (yaml: typeof Yaml, document: Yaml.Document.Parsed, path: Path): number => {
  let node: unknown = document.contents
  let offset = document.contents?.range?.[0] ?? document.range[0]
  for (const part of path) {
    const from = yaml.isAlias(node) ? node.resolve(document) : node
    if (yaml.isMap(from)) {
      const pair = from.items.find(({ key }) => String(yaml.isScalar(key) ? key.value : key) === part)
      if (pair === undefined) return offset
      if (yaml.isNode(pair.key) && pair.key.range) offset = pair.key.range[0]
      node = pair.value
    } else if (yaml.isSeq(from) && typeof part === "number") {
      node = from.items[part]
      if (yaml.isNode(node) && node.range) offset = node.range[0]
    } else return offset
  }
  return offset
}

/** A content in the text of a template, as Go reads it. */
export class Inline {
  readonly value: GoYaml.Value
  constructor(value: GoYaml.Value) {
    this.value = value
  }
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** The places of contents in documents: the path of the list, and the field of each item. */
const inlineContents = [
  [["patches"], "inline"],
  [["kubernetes", "manifests"], "inline"],
  [["kubernetes", "healthchecks"], "job"]
] as const

/** Replaces each content that is not a text by what Go reads there. */
const withInline = (yaml: typeof Yaml, document: Yaml.Document.Parsed, fields: Readonly<Record<string, unknown>>) => {
  const replaced = (value: unknown, path: Path, rest: ReadonlyArray<string>, field: string): unknown => {
    const [key, ...deeper] = rest
    if (key !== undefined) {
      return isRecord(value) && Object.hasOwn(value, key)
        ? { ...value, [key]: replaced(value[key], [...path, key], deeper, field) }
        : value
    }
    if (!Array.isArray(value)) return value
    return value.map((item: unknown, index) => {
      if (!isRecord(item) || typeof item[field] !== "object" || item[field] === null) return item
      const node = document.getIn([...path, index, field], true)
      return { ...item, [field]: new Inline(GoYaml.resolved(yaml, document, node)) }
    })
  }
  return inlineContents.reduce<unknown>((all, [list, field]) => replaced(all, [], list, field), fields) as Readonly<
    Record<string, unknown>
  >
}

const isBroken = (document: Yaml.Document.Parsed): boolean =>
  document.errors.some(({ code }) => code !== "DUPLICATE_KEY")

type Root = ReadonlyArray<string | number>

/** Begins the path of a fault that is of the text itself; the offset in the text follows. */
const textual = "\0text"

const rootOf = (kind: DocumentKind, index: number): Root => {
  switch (kind) {
    case "Cluster":
      return ["cluster"]
    case "ControlPlane":
      return ["controlPlane"]
    case "Workers":
      return ["workers", index]
    case "Machine":
      return ["machines", index]
  }
}

/** Parses a template. It never fails; `issues` has what is wrong with the text. */
export const parse = Effect.fnUntraced(function*(source: string): Effect.fn.Return<Parsed> {
  const yaml = yield* loadYaml
  const lines = new yaml.LineCounter()
  const parsed = yaml.parseAllDocuments(source, { ...parseOptions, lineCounter: lines })
  const all: ReadonlyArray<Yaml.Document.Parsed> = Array.isArray(parsed) ? parsed : []
  const issues: Array<Issue> = []
  const at = (offset: number): string => {
    const { col, line } = lines.linePos(offset)
    return `${line}:${col}`
  }

  // A path begins with the number of its document here, or with `cluster`, `workers` and so on.
  const roots: Array<{ readonly root: Root; readonly kind: string; readonly document: Yaml.Document.Parsed }> = []
  const add: Add = (path, message) => void issues.push({ path, message })
  const draft: { cluster?: unknown; controlPlane?: unknown; workers: Array<unknown>; machines: Array<unknown> } = {
    workers: [],
    machines: []
  }

  all.forEach((document, index) => {
    for (const problem of [...document.errors, ...document.warnings]) {
      issues.push({ path: [textual, problem.pos[0]], message: problem.message.split("\n")[0] ?? problem.message })
    }
    const own: Root = [textual, document.contents?.range?.[0] ?? document.range[0]]
    const read = valueOf(document)
    // The content of a broken document is not what was meant, so it has no further issues.
    if (isBroken(document)) return
    if ("fault" in read) return add(own, read.fault)
    const { value } = read
    if (value === null || value === undefined) return
    if (typeof value !== "object" || Array.isArray(value)) {
      return add(own, "a document of a template is a mapping with a `kind`")
    }
    const { kind, ...rest } = value as Readonly<Record<string, unknown>>
    const fields = withInline(yaml, document, rest)
    const kindPath: Root = [textual, offsetOf(yaml, document, ["kind"])]
    if (kind === undefined || kind === null) return add(own, `a document needs a \`kind\`: ${kinds.join(", ")}`)
    if (typeof kind !== "string") return add(kindPath, `kind is one of ${kinds.join(", ")}`)
    if (!(kinds as ReadonlyArray<string>).includes(kind)) {
      return add(kindPath, `unknown kind ${shown(kind)}${didYouMean(kind, kinds)}`)
    }
    const known = kind as DocumentKind
    const root = rootOf(known, known === "Workers" ? draft.workers.length : draft.machines.length)
    const earlier = roots.find((each) => dotted(each.root) === dotted(root))
    if (earlier !== undefined) {
      add(kindPath, `a second ${known}; the first is at ${at(offsetOf(yaml, earlier.document, ["kind"]))}`)
      // Its fields are checked all the same; their values are not used.
      const discarded: Root = ["\0second", index]
      roots.push({ root: discarded, kind: known, document })
      ofDocument(known, fields, discarded, add)
      return
    }
    roots.push({ root, kind: known, document })
    const taken = ofDocument(known, fields, root, add)
    if (known === "Cluster") draft.cluster = taken
    else if (known === "ControlPlane") draft.controlPlane = taken
    else if (known === "Workers") draft.workers.push(taken)
    else draft.machines.push(taken)
  })
  for (const kind of ["Cluster", "ControlPlane"] as const) {
    // If the text is broken, the document may not have been recognised.
    if (!roots.some((each) => each.kind === kind) && !all.some(isBroken)) {
      add([textual, 0], `there is no ${kind} document`)
    }
  }

  const place: Place = (path) => {
    if (path[0] === textual) return { text: at(Number(path[1])), offset: Number(path[1]) }
    const found = roots.find(({ root }) => root.every((part, index) => path[index] === part))
    if (found === undefined) return { text: dotted(path), offset: 0 }
    const rest = path.slice(found.root.length)
    const offset = offsetOf(yaml, found.document, rest)
    const within = rest.length === 0 ? "" : typeof rest[0] === "number" ? dotted(rest) : `.${dotted(rest)}`
    return { text: `${at(offset)} ${found.kind}${within}`, offset }
  }
  return { draft: draft as Draft<Template>, issues, place }
})
