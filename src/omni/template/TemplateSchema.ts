/**
 * The Schema of a template: which fields its documents have, and of what type each is.
 *
 * It is one for templates from text and from programs. Every issue has its place. A draft is what remains without the
 * values that have issues, so that it can be validated and all issues are reported at once. Unknown fields are issues: a
 * typing error would be ignored otherwise. Required fields are checked by `Validate.ts`.
 */
import * as Schema from "effect/Schema"
import type * as SchemaAST from "effect/SchemaAST"
import { specIssues } from "../../internal/SpecIssues.ts"
import type { Add, Path } from "./Issue.ts"
import type { Draft, Template } from "./Model.ts"

// -----------------------------------------------------------------------------
// Fields
// -----------------------------------------------------------------------------

const Texts = Schema.Record(Schema.String, Schema.String).annotate({ expected: "a mapping of texts" })

/** `1.10` without quotes is a number, and another version than the one that was meant. */
const Version = Schema.String.annotate({ expected: "a version in quotes, such as \"1.34.1\"" })

const maxCount = 2 ** 32 - 1

const Count = Schema.Number.check(
  Schema.makeFilter((value: number) => Number.isInteger(value) && value >= 0 && value <= maxCount, {
    expected: `an integer from 0 to ${maxCount}`
  })
).annotate({ expected: `an integer from 0 to ${maxCount}` })

const unlimitedWords = ["unlimited", "Unlimited", "infinity", "∞"] as const

const Size = Schema.Union([Count, Schema.Literals([...unlimitedWords, "Static"])]).annotate({
  expected: "a number of machines, or unlimited"
})

const described = {
  labels: Schema.optionalKey(Texts),
  annotations: Schema.optionalKey(Texts)
}

const Patch = Schema.Struct({
  name: Schema.optionalKey(Schema.String),
  idOverride: Schema.optionalKey(Schema.String),
  inline: Schema.optionalKey(Schema.Unknown),
  file: Schema.optionalKey(Schema.String),
  ...described
})

const common = {
  ...described,
  patches: Schema.optionalKey(Schema.Array(Patch)),
  systemExtensions: Schema.optionalKey(Schema.Array(Schema.String)),
  kernelArgs: Schema.optionalKey(Schema.Array(Schema.String))
}

const Strategy = Schema.Struct({
  type: Schema.optionalKey(Schema.Literals(["Rolling", "Unset"])),
  rolling: Schema.optionalKey(Schema.Struct({ maxParallelism: Schema.optionalKey(Count) }))
})

const source = {
  machines: Schema.optionalKey(Schema.Array(Schema.String)),
  machineClass: Schema.optionalKey(
    Schema.Struct({ name: Schema.optionalKey(Schema.String), size: Schema.optionalKey(Size) })
  )
}

// -----------------------------------------------------------------------------
// Documents
// -----------------------------------------------------------------------------

const Cluster = Schema.Struct({
  name: Schema.optionalKey(Schema.String),
  kubernetes: Schema.optionalKey(Schema.Struct({
    version: Schema.optionalKey(Version),
    manifests: Schema.optionalKey(Schema.Array(Schema.Struct({
      name: Schema.optionalKey(Schema.String),
      mode: Schema.optionalKey(Schema.Literals(["full", "one-time"])),
      inline: Schema.optionalKey(Schema.Unknown),
      file: Schema.optionalKey(Schema.String),
      ...described
    }))),
    healthchecks: Schema.optionalKey(Schema.Array(Schema.Struct({
      name: Schema.optionalKey(Schema.String),
      idOverride: Schema.optionalKey(Schema.String),
      job: Schema.optionalKey(Schema.Unknown),
      file: Schema.optionalKey(Schema.String),
      interval: Schema.optionalKey(Schema.String),
      ...described
    })))
  })),
  talos: Schema.optionalKey(Schema.Struct({ version: Schema.optionalKey(Version) })),
  features: Schema.optionalKey(Schema.Struct({
    diskEncryption: Schema.optionalKey(Schema.Boolean),
    enableWorkloadProxy: Schema.optionalKey(Schema.Boolean),
    useEmbeddedDiscoveryService: Schema.optionalKey(Schema.Boolean),
    disablePublicDiscoveryService: Schema.optionalKey(Schema.Boolean),
    enableNodeAuditSkip: Schema.optionalKey(Schema.Boolean),
    backupConfiguration: Schema.optionalKey(Schema.Struct({ interval: Schema.optionalKey(Schema.String) }))
  })),
  ...common
})

const ControlPlane = Schema.Struct({
  bootstrapSpec: Schema.optionalKey(Schema.Struct({
    clusterUUID: Schema.optionalKey(Schema.String),
    snapshot: Schema.optionalKey(Schema.String)
  })),
  upgradeStrategy: Schema.optionalKey(Strategy),
  ...source,
  ...common
})

const Workers = Schema.Struct({
  name: Schema.optionalKey(Schema.String),
  updateStrategy: Schema.optionalKey(Strategy),
  deleteStrategy: Schema.optionalKey(Strategy),
  upgradeStrategy: Schema.optionalKey(Strategy),
  ...source,
  ...common
})

const Machine = Schema.Struct({
  name: Schema.optionalKey(Schema.String),
  locked: Schema.optionalKey(Schema.Boolean),
  install: Schema.optionalKey(Schema.Struct({
    disk: Schema.optionalKey(Schema.String),
    diskSelector: Schema.optionalKey(Schema.String)
  })),
  ...common
})

const Whole = Schema.Struct({
  cluster: Schema.optionalKey(Cluster),
  controlPlane: Schema.optionalKey(ControlPlane),
  workers: Schema.optionalKey(Schema.Array(Workers)),
  machines: Schema.optionalKey(Schema.Array(Machine))
})

/** The documents of a template text, by their `kind`. */
export const documents = { Cluster, ControlPlane, Workers, Machine } as const

export type DocumentKind = keyof typeof documents

// -----------------------------------------------------------------------------
// Drafts
// -----------------------------------------------------------------------------

const isMapping = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** In YAML a field without a value is the same as no field; a program leaves `undefined`. */
const withoutNothing = (ast: SchemaAST.AST, value: unknown): unknown => {
  if (ast._tag === "Arrays" && Array.isArray(value)) {
    const [item] = ast.rest
    return item === undefined ? value : value.map((each: unknown) => withoutNothing(item, each))
  }
  if (ast._tag !== "Objects" || !isMapping(value) || ast.propertySignatures.length === 0) return value
  const types = new Map(ast.propertySignatures.map(({ name, type }) => [String(name), type]))
  return Object.fromEntries(
    Object.entries(value).flatMap(([key, each]) => {
      const type = types.get(key)
      if (type === undefined) return [[key, each]]
      return each === undefined || each === null ? [] : [[key, withoutNothing(type, each)]]
    })
  )
}

/** The value without what is at a path: a field is left out, an item of a list becomes `undefined`. */
const without = (value: unknown, [key, ...rest]: Path): unknown => {
  if (key === undefined) return undefined
  if (Array.isArray(value)) {
    return value.map((each: unknown, index) => index === key ? without(each, rest) : each)
  }
  if (!isMapping(value)) return undefined
  return Object.fromEntries(
    Object.entries(value).flatMap(([name, each]) => {
      if (name !== key) return [[name, each]]
      const left = without(each, rest)
      return left === undefined ? [] : [[name, left]]
    })
  )
}

/** Sizes in words as the model has them: `unlimited`, and 0 for `Static`. */
const withSizes = (value: unknown): unknown => {
  if (!isMapping(value) || !isMapping(value.machineClass)) return value
  const { size } = value.machineClass
  const normal = (unlimitedWords as ReadonlyArray<unknown>).includes(size) ? "unlimited" : size === "Static" ? 0 : size
  return { ...value, machineClass: { ...value.machineClass, ...(size === undefined ? {} : { size: normal }) } }
}

/** `Infinity` of YAML and of a program is a size, too. */
const withInfinity = (value: unknown): unknown =>
  isMapping(value) && isMapping(value.machineClass) && value.machineClass.size === Number.POSITIVE_INFINITY
    ? { ...value, machineClass: { ...value.machineClass, size: "unlimited" } }
    : value

/** Fields of workers that a control plane does not have. */
const notOfControlPlanes: ReadonlyArray<unknown> = ["updateStrategy", "deleteStrategy"]

const messageAt = (path: Path, message: string, isControlPlane: boolean): string =>
  isControlPlane && path.length === 1 && message.startsWith("unknown field") && notOfControlPlanes.includes(path[0])
    ? `${path[0]} is not allowed in the control plane`
    : message

const draftOf = (schema: Schema.Top, value: unknown, at: Path, add: Add, isControlPlane: boolean): unknown => {
  const given = withoutNothing(schema.ast, value)
  const decoded = Schema.decodeUnknownResult(schema as Schema.Codec<unknown>)(given, {
    errors: "all",
    onExcessProperty: "error"
  })
  if (decoded._tag === "Success") return given
  const issues = specIssues(decoded.failure.issue, given)
  for (const { message, path } of issues) add([...at, ...path], messageAt(path, message, isControlPlane))
  return issues.reduce<unknown>((left, { path }) => without(left, path), given)
}

/** The draft of one document; its path is `at`. */
export const ofDocument = (kind: DocumentKind, value: unknown, at: Path, add: Add): unknown =>
  withSizes(draftOf(documents[kind], withInfinity(value), at, add, kind === "ControlPlane") ?? {})

/** The draft of a template that a program wrote. */
export const ofValue = (value: unknown, add: Add): Draft<Template> => {
  if (!isMapping(value)) {
    draftOf(Whole, value, [], add, false)
    return {}
  }
  const part = (schema: Schema.Top, item: unknown, at: Path) =>
    withSizes(draftOf(schema, withInfinity(item), at, add, schema === ControlPlane))
  const list = (name: "workers" | "machines", schema: Schema.Top) => {
    const items = value[name]
    return Array.isArray(items)
      ? { [name]: items.map((item: unknown, index) => part(schema, item, [name, index])) }
      : {}
  }
  // The parts are decoded one by one; here only the fields around them are checked.
  const outline = Object.fromEntries(
    Object.entries(value).map(([key, each]) => [key, isMapping(each) ? {} : Array.isArray(each) ? [] : each])
  )
  draftOf(Whole, outline, [], add, false)
  if ((value.cluster ?? undefined) === undefined) add(["cluster"], "a template needs a cluster")
  if ((value.controlPlane ?? undefined) === undefined) add(["controlPlane"], "a template needs a control plane")
  return {
    ...(isMapping(value.cluster) ? { cluster: part(Cluster, value.cluster, ["cluster"]) } : {}),
    ...(isMapping(value.controlPlane)
      ? { controlPlane: part(ControlPlane, value.controlPlane, ["controlPlane"]) }
      : {}),
    ...list("workers", Workers),
    ...list("machines", Machine)
  } as Draft<Template>
}
