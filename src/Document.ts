/**
 * Desired-state documents: clusters as YAML, on several backends in one file.
 *
 * `parse` reads and validates a text. `resolve` replaces references to secrets and returns the spec for a backend.
 * `format` writes documents, and `jsonSchema` describes them for editors. Nothing here talks to a backend.
 *
 * @since 0.2.0
 */
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Docker from "./docker/SpecSchema.ts"
import * as Hetzner from "./hetzner/SpecSchema.ts"
import { type DocumentText, loadYaml, readText, type TextDocument } from "./internal/DocumentText.ts"
import { field } from "./internal/SpecFields.ts"
import { dotted, type Path, specIssues } from "./internal/SpecIssues.ts"
import { didYouMean } from "./internal/Suggest.ts"
import * as Memory from "./memory/SpecSchema.ts"
import { creatable, maxNameLength } from "./Model.ts"
import * as Omni from "./omni/SpecSchema.ts"
import { InvalidSpec } from "./ProviderError.ts"

/** @category constants @since 0.2.0 */
export const apiVersion = "kubelayer/v1"

// -----------------------------------------------------------------------------
// Schemas
// -----------------------------------------------------------------------------

const instanceName = /^[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?$/

const Name = Schema.String.check(
  Schema.makeFilter((name: string) => name.length <= maxNameLength && creatable.test(name), {
    expected:
      `a cluster name: at most ${maxNameLength} of \`a-z\`, \`0-9\`, \`.\` and \`-\`, with a letter or digit at both ends`
  })
).annotate({ description: "The cluster's name." })

const header = <const B extends string>(backend: B) => ({
  apiVersion: Schema.Literal(apiVersion),
  kind: Schema.Literal("Cluster"),
  backend: Schema.Literal(backend),
  instance: field(
    Schema.String.check(
      Schema.isPattern(instanceName, { expected: "an instance name of lower-case letters, digits and `-`" })
    ),
    "The account or engine. Its credential comes from HCLOUD_TOKEN_<INSTANCE>, OMNI_ENDPOINT_<INSTANCE>, ..."
  ),
  name: Name
})

const schemas = {
  docker: Schema.Struct({
    ...header("docker"),
    scheme: field(
      Schema.Literals(["kubelayer", "kind", "k3d", "talos", "vcluster", "kwok"]),
      "How nodes are labelled; `kubelayer` where it is not given."
    ),
    ...Docker.DocumentFields
  }),
  hetzner: Schema.Struct({ ...header("hetzner"), ...Hetzner.DocumentFields }),
  omni: Schema.Struct({ ...header("omni"), ...Omni.DocumentFields }),
  memory: Schema.Struct({ ...header("memory"), ...Memory.DocumentFields })
}

/**
 * The Schema of a document, one member a backend.
 *
 * @category schemas
 * @since 0.2.0
 */
export const ClusterDocument = Schema.Union([schemas.docker, schemas.hetzner, schemas.omni, schemas.memory])

/**
 * A document of a text. References to secrets are not resolved.
 *
 * @category models
 * @since 0.2.0
 */
export type ClusterDocument = typeof ClusterDocument.Type

/** @category models @since 0.2.0 */
export type BackendName = ClusterDocument["backend"]

/** @category constants @since 0.2.0 */
export const backends: ReadonlyArray<BackendName> = ["docker", "hetzner", "omni", "memory"]

/**
 * One cluster of a text.
 *
 * `Template` is a cluster template of Omni, as `omnictl cluster template` takes it.
 *
 * @category models
 * @since 0.2.0
 */
export type Document =
  & {
    readonly backend: BackendName
    readonly instance?: string
    readonly name: string
    /** Adds line and column to the issues that a backend finds in the spec. */
    readonly locate: (error: InvalidSpec) => InvalidSpec
  }
  & (
    | { readonly kind: "Cluster"; readonly document: ClusterDocument }
    | { readonly kind: "Template"; readonly template: string }
  )

/**
 * The JSON Schema (draft 2020-12) of one document, for editors with a YAML language server.
 *
 * @category schemas
 * @since 0.2.0
 */
export const jsonSchema = (): Schema.JsonObject => {
  const { definitions, schema } = Schema.toJsonSchemaDocument(ClusterDocument, { onExcessProperty: "error" })
  return {
    $schema: "https://json-schema.org/draft/2020-12/schema",
    title: "kubelayer cluster",
    ...schema,
    ...(Object.keys(definitions).length === 0 ? {} : { $defs: definitions })
  } as unknown as Schema.JsonObject
}

// -----------------------------------------------------------------------------
// Reading
// -----------------------------------------------------------------------------

const templateKinds = ["ControlPlane", "Workers", "Machine", "KubernetesManifestGroup", "KubernetesHealthCheck"]

interface Found {
  readonly offset: number
  readonly path: string
  readonly message: string
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** A document that can only be a part of a template. */
const isTemplatePart = (value: unknown): boolean =>
  isRecord(value) && value["apiVersion"] === undefined && templateKinds.includes(String(value["kind"]))

/** The cluster of a template has versions, or is followed by another part of it. */
const isTemplateCluster = (value: unknown, next: unknown): boolean =>
  isRecord(value) && value["kind"] === "Cluster" && value["apiVersion"] === undefined &&
  value["backend"] === undefined &&
  (value["kubernetes"] !== undefined || value["talos"] !== undefined || isTemplatePart(next))

/** Issues of the header, which decides what the other fields mean. */
const headerIssues = (value: unknown): ReadonlyArray<readonly [path: Path, message: string]> => {
  if (!isRecord(value)) return [[[], "a document must be a mapping"]]
  const issues: Array<readonly [Path, string]> = []
  const { apiVersion: version, backend, kind } = value
  const oneOf = (name: string, given: unknown, known: ReadonlyArray<string>) => {
    if (given === undefined) issues.push([[name], `is required: ${known.join(", ")}`])
    else if (!known.includes(String(given))) {
      issues.push([
        [name],
        `must be ${known.join(", ")}, got ${JSON.stringify(given)}${didYouMean(String(given), known)}`
      ])
    }
  }
  oneOf("apiVersion", version, [apiVersion])
  oneOf("kind", kind, ["Cluster"])
  oneOf("backend", backend, backends)
  return issues
}

const withDefaults = (value: ClusterDocument): ClusterDocument => {
  const pools = "pools" in value ? value.pools ?? [] : []
  return { controlPlanes: pools.length > 0 ? 0 : 1, workers: 0, ...value } as ClusterDocument
}

const decode = (backend: BackendName, value: unknown) =>
  Schema.decodeUnknownResult(schemas[backend] as Schema.Codec<ClusterDocument, unknown>)(value, {
    errors: "all",
    onExcessProperty: "error"
  })

/** Issues that concern several fields. The fields themselves may be wrong. */
const poolIssues = (value: unknown): ReadonlyArray<readonly [path: Path, message: string]> => {
  if (!isRecord(value) || !Array.isArray(value["pools"])) return []
  const pools = value["pools"].filter(isRecord)
  const issues: Array<readonly [Path, string]> = []
  pools.forEach(({ name }, index) => {
    const first = pools.findIndex((pool) => pool["name"] === name)
    if (first !== index && typeof name === "string") {
      issues.push([["pools", index, "name"], `"${name}" is the name of pools[${first}] too`])
    }
  })
  const isControlPlane = (pool: Readonly<Record<string, unknown>>) =>
    pool["role"] === "control-plane" && Number(pool["count"]) > 0
  if (pools.length > 0 && value["controlPlanes"] === undefined && !pools.some(isControlPlane)) {
    issues.push([["pools"], "no pool has the role control-plane; add one, or set `controlPlanes`"])
  }
  return issues
}

interface ParseOptions {
  /** The name of the file, which begins the path of every issue. */
  readonly source?: string
}

/**
 * Reads all clusters of a text. Every issue is reported at once, as `line:column field`.
 *
 * **Example** (An unknown field)
 *
 * ```ts run
 * import * as Effect from "effect/Effect"
 * import * as Document from "kubelayer/Document"
 *
 * const text = `apiVersion: kubelayer/v1
 * kind: Cluster
 * backend: memory
 * name: dev
 * controlPlanes: 1
 * wrkers: 2
 * `
 * const program = Effect.flip(Document.parse(text))
 * console.log((await Effect.runPromise(program)).message)
 * // => invalid spec:
 * // =>   - 6:1 wrkers: unknown field; did you mean workers?
 * ```
 *
 * @category constructors
 * @since 0.2.0
 */
export const parse = Effect.fnUntraced(function*(
  text: string,
  options: ParseOptions = {}
): Effect.fn.Return<ReadonlyArray<Document>, InvalidSpec> {
  const read = yield* readText(text)
  const prefix = options.source === undefined ? "" : `${options.source}:`
  const issues: Array<Found> = read.issues.map((issue) => ({ ...issue, path: "" }))
  const found: Array<{ readonly document: Document; readonly at: number }> = []

  const clusterOf = (part: TextDocument): void => {
    const add = (path: Path, message: string) =>
      void issues.push({ offset: part.offset(path), path: dotted(path), message })
    const wrong = headerIssues(part.value)
    if (wrong.length > 0) return wrong.forEach(([path, message]) => add(path, message))
    const { backend } = part.value as { readonly backend: BackendName }
    const together = poolIssues(part.value)
    together.forEach(([path, message]) => add(path, message))
    const decoded = decode(backend, part.value)
    if (Result.isFailure(decoded)) {
      return specIssues(decoded.failure.issue, part.value).forEach(({ message, path }) => add(path, message))
    }
    if (together.length > 0) return
    const value = withDefaults(decoded.success)
    found.push({
      at: part.offset(["name"]),
      document: {
        backend,
        name: value.name,
        ...(value.instance === undefined ? {} : { instance: value.instance }),
        kind: "Cluster",
        document: value,
        locate: locator(part, read, prefix)
      }
    })
  }

  for (const group of grouped(read.documents)) {
    if ("template" in group) {
      const { from, to } = group.template
      const name = yield* templateName(from)
      found.push({
        at: from.offset([]),
        document: {
          backend: "omni",
          name,
          kind: "Template",
          // Lines before the template keep the line numbers of its issues.
          template: "\n".repeat(text.slice(0, from.range[0]).split("\n").length - 1) +
            text.slice(from.range[0], to.range[1]),
          locate: (error) =>
            new InvalidSpec({
              issues: error.issues.map(({ message, path }) => ({ message, path: `${prefix}${path}` }))
            })
        }
      })
    } else clusterOf(group.cluster)
  }

  const seen = new Map<string, number>()
  for (const { at, document } of found) {
    const key = [document.backend, document.instance ?? "", document.name].join("/")
    const first = seen.get(key)
    if (first === undefined) seen.set(key, at)
    else {
      issues.push({
        offset: at,
        path: "name",
        message: `cluster "${document.name}" has a document at ${read.position(first)} already`
      })
    }
  }
  if (issues.length === 0 && found.length === 0) {
    issues.push({ offset: 0, path: "", message: "the text has no document" })
  }
  if (issues.length > 0) {
    return yield* new InvalidSpec({
      issues: [...issues].sort((a, b) => a.offset - b.offset).map(({ message, offset, path }) => ({
        path: `${prefix}${read.position(offset)}${path === "" ? "" : ` ${path}`}`,
        message
      }))
    })
  }
  return found.map(({ document }) => document)
})

/** Documents of ours, and runs of documents that are one template. */
const grouped = (
  documents: ReadonlyArray<TextDocument>
): ReadonlyArray<
  | { readonly cluster: TextDocument }
  | { readonly template: { readonly from: TextDocument; readonly to: TextDocument } }
> => {
  const groups: Array<{ cluster: TextDocument } | { template: { from: TextDocument; to: TextDocument } }> = []
  documents.forEach((document, index) => {
    const last = groups.at(-1)
    if (isTemplateCluster(document.value, documents[index + 1]?.value)) {
      groups.push({ template: { from: document, to: document } })
    } else if (!isTemplatePart(document.value)) groups.push({ cluster: document })
    else if (last !== undefined && "template" in last) last.template.to = document
    else groups.push({ template: { from: document, to: document } })
  })
  return groups
}

/** The name of a template's cluster; the backend reports where it is missing or wrong. */
const templateName = (part: TextDocument): Effect.Effect<string> =>
  Effect.succeed(isRecord(part.value) && typeof part.value["name"] === "string" ? part.value["name"] : "")

const toPath = (text: string): Path =>
  [...text.matchAll(/\[(\d+)\]|"((?:[^"\\]|\\.)*)"|([^.[\]]+)/g)].map(([, index, quoted, word]) =>
    index === undefined ? quoted ?? word ?? "" : Number(index)
  )

/** The spec calls the cluster's name `cluster`. */
const locator = (part: TextDocument, read: DocumentText, prefix: string) => (error: InvalidSpec): InvalidSpec =>
  new InvalidSpec({
    issues: error.issues.map(({ message, path }) => {
      const named = path === "cluster" ? "name" : path
      return { message, path: `${prefix}${read.position(part.offset(toPath(named)))} ${named}` }
    })
  })

// -----------------------------------------------------------------------------
// Secrets
// -----------------------------------------------------------------------------

interface ResolveOptions {
  /** The folder of the document. Without it, references to files are refused. */
  readonly directory?: string
}

type Reference = { readonly env: string } | { readonly file: string }

const isReference = (value: unknown): value is Reference =>
  isRecord(value) && Object.keys(value).length === 1 &&
  (typeof value["env"] === "string" || typeof value["file"] === "string")

/** Reads a file that stays inside a folder, also through links. */
const readInside = Effect.fnUntraced(function*(directory: string, file: string) {
  const { readFile, realpath } = yield* Effect.promise(() => import("node:fs/promises"))
  const { isAbsolute, join, relative } = yield* Effect.promise(() => import("node:path"))
  const isOutside = (path: string) =>
    path === ".." || path.startsWith("../") || path.startsWith("..\\") || isAbsolute(path)
  if (isAbsolute(file) || isOutside(relative(directory, join(directory, file)))) {
    return yield* Effect.fail(`file "${file}" is outside the document's folder`)
  }
  return yield* Effect.tryPromise({
    try: async () => {
      const [folder, path] = await Promise.all([realpath(directory), realpath(join(directory, file))])
      if (isOutside(relative(folder, path))) throw new Error("it is outside the document's folder")
      return await readFile(path, "utf8")
    },
    catch: (cause) => `cannot read file "${file}": ${cause instanceof Error ? cause.message : String(cause)}`
  })
})

const readReference = (reference: Reference, options: ResolveOptions): Effect.Effect<string, string> => {
  if ("env" in reference) {
    return Effect.flatMap(
      Effect.orElseSucceed(Config.option(Config.String(reference.env)), () => Option.none<string>()),
      Option.match({
        onNone: () => Effect.fail(`environment variable ${reference.env} is not set`),
        onSome: Effect.succeed
      })
    )
  }
  return options.directory === undefined
    ? Effect.fail("a reference to a file needs the folder of the document")
    : readInside(options.directory, reference.file)
}

/**
 * The spec of a cluster as its backend takes it, with every reference replaced by its value. Values of `userData` are
 * `Redacted`.
 *
 * @category models
 * @since 0.2.0
 */
export interface ResolvedSpec {
  readonly cluster: string
  readonly controlPlanes: number
  readonly workers: number
  readonly [field: string]: unknown
}

const headerFields = new Set(["apiVersion", "kind", "backend", "instance", "name", "scheme"])

/**
 * Replaces all references to secrets. Fails with every reference that cannot be read, and reads nothing outside of the
 * document's folder.
 *
 * @category converting
 * @since 0.2.0
 */
export const resolve = Effect.fnUntraced(function*(
  document: ClusterDocument,
  options: ResolveOptions = {}
): Effect.fn.Return<ResolvedSpec, InvalidSpec> {
  const issues: Array<{ readonly path: string; readonly message: string }> = []
  const replaced = (value: unknown, path: Path): Effect.Effect<unknown> =>
    isReference(value)
      ? readReference(value, options).pipe(
        Effect.map((text) => path.at(-1) === "userData" ? Redacted.make(text) : text),
        Effect.catch((message) => Effect.sync(() => void issues.push({ path: dotted(path), message })))
      )
      : Array.isArray(value)
      ? Effect.forEach(value, (each, index) => replaced(each, [...path, index]))
      : isRecord(value)
      ? Effect.map(
        Effect.forEach(
          Object.entries(value),
          ([key, each]) => Effect.map(replaced(each, [...path, key]), (result) => [key, result] as const)
        ),
        Object.fromEntries
      )
      : Effect.succeed(value)
  const fields = Object.fromEntries(Object.entries(document).filter(([key]) => !headerFields.has(key)))
  const spec = yield* replaced(fields, [])
  if (issues.length > 0) return yield* new InvalidSpec({ issues })
  return { controlPlanes: 1, workers: 0, ...spec as object, cluster: document.name }
})

// -----------------------------------------------------------------------------
// Writing
// -----------------------------------------------------------------------------

const order = ["apiVersion", "kind", "backend", "instance", "name", "scheme", "controlPlanes", "workers"]

const ordered = (document: ClusterDocument): object => {
  const rank = (key: string) => order.includes(key) ? order.indexOf(key) : order.length
  return Object.fromEntries(Object.entries(document).sort(([a], [b]) => rank(a) - rank(b)))
}

/**
 * Documents as YAML text, which `parse` reads back. `comments` are written above the document.
 *
 * @category converting
 * @since 0.2.0
 */
export const format = (
  documents: ReadonlyArray<{ readonly document: ClusterDocument; readonly comments?: ReadonlyArray<string> }>
): Effect.Effect<string> =>
  Effect.map(
    loadYaml,
    ({ stringify }) =>
      documents.map(({ comments = [], document }) =>
        comments.map((comment) => `# ${comment}\n`).join("") +
        // Other YAML readers take `on`, dates and octal numbers for something else, so they are quoted.
        stringify(ordered(document), { lineWidth: 0, aliasDuplicateObjects: false, compat: "yaml-1.1" })
      ).join("---\n")
  )
