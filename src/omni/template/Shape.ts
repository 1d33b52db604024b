/**
 * Which fields a template has, and of what type each is.
 *
 * One table for templates from text and for those that a program wrote without types. Every fault is told with its
 * place; what is of the right shape goes on to be validated, so that all faults of a template come at once. Unknown
 * fields are faults: a slip of the keyboard would otherwise be silence.
 */
import { type Add, didYouMean, type Path, shown } from "./Issue.ts"
import type {
  Draft,
  Patch,
  Template,
  TemplateCluster,
  TemplateControlPlane,
  TemplateHealthCheck,
  TemplateMachine,
  TemplateManifests,
  TemplateWorkers
} from "./Model.ts"

/** Takes what has the right shape, and tells what has not; undefined where nothing is left. */
type Shape<A> = (value: unknown, path: Path, add: Add) => Draft<A> | undefined

const typeName = (value: unknown): string =>
  value === null ? "nothing" : Array.isArray(value) ? "a list" : typeof value === "object" ? "a mapping" : shown(value)

const refuse = (value: unknown, path: Path, add: Add, wanted: string): undefined =>
  void add(path, `${wanted} is expected here, not ${typeof value === "string" ? shown(value) : typeName(value)}`)

const text: Shape<string> = (value, path, add) => typeof value === "string" ? value : refuse(value, path, add, "a text")

/** `1.10` without quotes is a number, and would be another version than the one that was meant. */
const version: Shape<string> = (value, path, add) =>
  typeof value === "number" || typeof value === "bigint"
    ? void add(path, "a version has to be a text such as 1.34.1; put it in quotes")
    : text(value, path, add)

const bool: Shape<boolean> = (value, path, add) =>
  typeof value === "boolean" ? value : refuse(value, path, add, "true or false")

const count: Shape<number> = (value, path, add) =>
  typeof value === "number" && Number.isInteger(value) && value >= 0 && value < 2 ** 32
    ? value
    : typeof value === "number" || typeof value === "bigint"
    ? void add(path, `${value} is not a whole number from 0 to ${2 ** 32 - 1}`)
    : refuse(value, path, add, "a whole number")

const anything: Shape<unknown> = (value) => value as Draft<unknown>

const oneOf = <const A extends string>(...choices: ReadonlyArray<A>): Shape<A> => (value, path, add) =>
  typeof value === "string" && (choices as ReadonlyArray<string>).includes(value)
    ? value as Draft<A>
    : refuse(value, path, add, `one of ${choices.join(", ")}`)

const list = <A>(item: Shape<A>): Shape<ReadonlyArray<A>> => (value, path, add) =>
  (Array.isArray(value)
    ? value.map((each, index) => item(each, [...path, index], add))
    : refuse(value, path, add, "a list")) as Draft<ReadonlyArray<A>> | undefined

const isMapping = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const texts: Shape<Readonly<Record<string, string>>> = (value, path, add) => {
  if (!isMapping(value)) return refuse(value, path, add, "a mapping of texts")
  const taken: Array<readonly [string, string]> = []
  for (const [key, each] of Object.entries(value)) {
    const kept = text(each, [...path, key], add)
    if (kept !== undefined) taken.push([key, kept])
  }
  return Object.fromEntries(taken)
}

/** A field that belongs to another kind of document. */
const notHere = (message: string): Shape<never> => (_, path, add) => void add(path, message)

type Fields<A> = { readonly [K in keyof A]-?: Shape<Exclude<A[K], undefined>> }

const mapping =
  <A extends object>(fields: Fields<A>, extra: Readonly<Record<string, Shape<never>>> = {}): Shape<A> =>
  (value, path, add) => {
    if (!isMapping(value)) return refuse(value, path, add, "a mapping")
    const known: ReadonlyArray<string> = Object.keys(fields)
    const taken: Record<string, unknown> = {}
    for (const [key, each] of Object.entries(value)) {
      // In YAML `key:` alone is the same as no key; a program leaves undefined behind.
      if (each === undefined || each === null) {
        if (!known.includes(key) && !Object.hasOwn(extra, key)) unknownField(key, known, path, add)
        continue
      }
      const shape = Object.hasOwn(fields, key)
        ? (fields as Readonly<Record<string, Shape<unknown>>>)[key]
        : Object.hasOwn(extra, key)
        ? extra[key]
        : undefined
      if (shape === undefined) {
        unknownField(key, known, path, add)
        continue
      }
      const kept = shape(each, [...path, key], add)
      if (kept !== undefined) taken[key] = kept
    }
    return taken as Draft<A>
  }

const unknownField = (key: string, known: ReadonlyArray<string>, path: Path, add: Add) =>
  add([...path, key], `unknown field ${shown(key)}${didYouMean(key, known)}`)

const patch = mapping<Patch>({
  name: text,
  idOverride: text,
  labels: texts,
  annotations: texts,
  inline: anything,
  file: text
})

const described = {
  labels: texts,
  annotations: texts,
  patches: list(patch),
  systemExtensions: list(text),
  kernelArgs: list(text)
}

const strategy = mapping<NonNullable<TemplateWorkers["updateStrategy"]>>({
  type: oneOf("Rolling", "Unset"),
  rolling: mapping<{ readonly maxParallelism?: number }>({ maxParallelism: count })
})

const unlimited: ReadonlyArray<unknown> = ["unlimited", "Unlimited", "infinity", "∞", Infinity]

const size: Shape<number | "unlimited"> = (value, path, add) =>
  unlimited.includes(value)
    ? "unlimited"
    : value === "Static"
    ? 0
    : typeof value === "string"
    ? refuse(value, path, add, "a whole number or unlimited")
    : count(value, path, add)

const source = {
  machines: list(text),
  machineClass: mapping<NonNullable<TemplateWorkers["machineClass"]>>({ name: text, size })
}

const cluster: Shape<TemplateCluster> = mapping<TemplateCluster>({
  name: text,
  kubernetes: mapping<TemplateCluster["kubernetes"]>({
    version,
    manifests: list(mapping<TemplateManifests>({
      name: text,
      labels: texts,
      annotations: texts,
      mode: oneOf("full", "one-time"),
      inline: anything as Shape<ReadonlyArray<unknown>>,
      file: text
    })),
    healthchecks: list(mapping<TemplateHealthCheck>({
      name: text,
      idOverride: text,
      labels: texts,
      annotations: texts,
      job: anything,
      file: text,
      interval: text
    }))
  }),
  talos: mapping<TemplateCluster["talos"]>({ version }),
  features: mapping<NonNullable<TemplateCluster["features"]>>({
    diskEncryption: bool,
    enableWorkloadProxy: bool,
    useEmbeddedDiscoveryService: bool,
    disablePublicDiscoveryService: bool,
    enableNodeAuditSkip: bool,
    backupConfiguration: mapping<{ readonly interval?: string }>({ interval: text })
  }),
  ...described
})

const controlPlane: Shape<TemplateControlPlane> = mapping<TemplateControlPlane>({
  bootstrapSpec: mapping<NonNullable<TemplateControlPlane["bootstrapSpec"]>>({ clusterUUID: text, snapshot: text }),
  upgradeStrategy: strategy,
  ...source,
  ...described
}, {
  updateStrategy: notHere("updateStrategy is not allowed in the control plane"),
  deleteStrategy: notHere("deleteStrategy is not allowed in the control plane")
})

const workers: Shape<TemplateWorkers> = mapping<TemplateWorkers>({
  name: text,
  updateStrategy: strategy,
  deleteStrategy: strategy,
  upgradeStrategy: strategy,
  ...source,
  ...described
})

const machine: Shape<TemplateMachine> = mapping<TemplateMachine>({
  name: text,
  locked: bool,
  install: mapping<NonNullable<TemplateMachine["install"]>>({ disk: text, diskSelector: text }),
  ...described
})

/** The documents of a template text, by their `kind`. */
export const documents = { Cluster: cluster, ControlPlane: controlPlane, Workers: workers, Machine: machine }

export type DocumentKind = keyof typeof documents

const whole: Shape<Template> = mapping<Template>({
  cluster,
  controlPlane,
  workers: list(workers),
  machines: list(machine)
})

/** Takes what has the right shape of a template that a program wrote. */
export const ofValue = (value: unknown, add: Add): Draft<Template> => {
  const taken = whole(value, [], add) ?? {}
  if (isMapping(value)) {
    if ((value.cluster ?? undefined) === undefined) add(["cluster"], "a template needs a cluster")
    if ((value.controlPlane ?? undefined) === undefined) add(["controlPlane"], "a template needs a control plane")
  }
  return taken
}
