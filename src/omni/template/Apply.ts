/**
 * Plans of templates as `Plan`, and syncs of templates as operations with a report and progress.
 *
 * A plan has a step for every resource of the template and for every one that goes. Contents of patches and manifests may
 * be secret, so a plan has salted digests of them. A saved plan with such a digest is applied together with the template.
 */
import * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import * as Operation from "../../internal/Operation.ts"
import type { ClusterName } from "../../Model.ts"
import {
  compareSteps,
  digestSecret,
  InvalidPlan,
  isIntact,
  makePlan,
  type Plan,
  PlanStep,
  randomSalt,
  saltOf,
  StalePlan
} from "../../Plan.ts"
import type { Policy } from "../../Policy.ts"
import type { Subject } from "../../Progress.ts"
import { type InvalidSpec, NodesFailed, type OperationTimeout } from "../../ProviderError.ts"
import { Difference } from "../../Reason.ts"
import { AlreadyDone, Done, Failed, type OperationName, type OperationReport } from "../../Report.ts"
import * as Labels from "../Labels.ts"
import { differencesOf } from "../Resources.ts"
import type { CallFailure, State } from "../State.ts"
import type { Actual, Change } from "./Diff.ts"
import { load, type Loaded } from "./Load.ts"
import type { Template } from "./Model.ts"
import { type LayerOptions, prepare, type Prepared, type SyncOptions } from "./Plan.ts"
import { syncLoaded } from "./Sync.ts"
import { type KindName, writeOrder } from "./Translate.ts"

interface TemplateContext {
  readonly state: State
  readonly policy: Effect.Effect<Policy>
  /** The server as people know it, without credentials. */
  readonly endpoint: string
  readonly server: Pick<LayerOptions, "validate" | "version">
}

// -----------------------------------------------------------------------------
// Steps
// -----------------------------------------------------------------------------

/** The name of a resource of a template in plans and reports. */
const subjectOf = ({ id, kind }: { readonly kind: KindName; readonly id: string }): Subject =>
  kind === "Cluster"
    ? { kind: "cluster", name: id }
    : kind === "MachineSetNode"
    ? { kind: "node", name: id, id }
    : { kind: "resource", name: `${kind} ${id}` }

const keyOf = ({ id, kind }: { readonly kind: KindName; readonly id: string }) => `${kind}/${id}`

/** Creates come first, then updates, then removals: machines and sets, and the rest when they are gone. */
const waveOf = ({ action, kind }: Change): number => {
  const rank = writeOrder.indexOf(kind)
  switch (action) {
    case "create":
    case "recreate":
      return rank
    case "update":
    case "release":
      return writeOrder.length + rank
    case "destroy":
      return 2 * writeOrder.length + (kind === "MachineSet" || kind === "MachineSetNode" ? 0 : 1)
  }
}

const actionOf = {
  create: "create",
  recreate: "create",
  update: "update",
  release: "update",
  destroy: "delete"
} as const

const released = new Difference({
  field: `annotation ${Labels.managedByTemplates}`,
  actual: "",
  requested: null,
  remedy: "update"
})

const differencesIn = (change: Change, actual: ReadonlyMap<string, Actual>): ReadonlyArray<Difference> => {
  if (change.action === "release") return [released]
  const found = actual.get(keyOf(change))
  return change.action === "update" && found !== undefined ? differencesOf(change.expected, found) : []
}

const why: { readonly [A in Change["action"]]?: string } = {
  destroy: "the template does not have it",
  recreate: "it is being torn down, and is created again when it is gone",
  release: "the template does not set it any more; it stays on the machine"
}

/** Nodes that Omni removes with their machine set, so that no request is sent for them. */
const leavingNodes = ({ actual, changes, expected }: Omit<Prepared, "cluster">) => {
  const sets = new Set(
    changes.flatMap(({ action, id, kind }) => action === "destroy" && kind === "MachineSet" ? [id] : [])
  )
  const wanted = new Set(expected.map(keyOf))
  return actual.flatMap((each) => {
    const set = each.labels[Labels.machineSet]
    return each.kind === "MachineSetNode" && set !== undefined && sets.has(set) && !wanted.has(keyOf(each))
      ? [{ id: each.id, set }]
      : []
  })
}

const stepsOf = ({ actual, changes, expected }: Prepared): ReadonlyArray<PlanStep> => {
  const found = new Map(actual.map((each) => [keyOf(each), each]))
  const changed = new Map(changes.map((change) => [keyOf(change), change]))
  const step = (of: { readonly kind: KindName; readonly id: string }): PlanStep => {
    const change = changed.get(keyOf(of))
    const { id, kind, name } = subjectOf(of)
    const reason = change === undefined ? undefined : why[change.action]
    return new PlanStep({
      kind,
      name,
      ...(id === undefined ? {} : { id }),
      action: change === undefined ? "unchanged" : actionOf[change.action],
      ...(reason === undefined ? {} : { why: reason }),
      differences: change === undefined ? [] : differencesIn(change, found),
      wave: change === undefined ? writeOrder.indexOf(of.kind) : waveOf(change)
    })
  }
  const wanted = new Set(expected.map(keyOf))
  const all = [...expected, ...changes.filter((change) => !wanted.has(keyOf(change)))]
  const nodes = leavingNodes({ actual, changes, expected }).map(({ id, set }) =>
    new PlanStep({
      ...subjectOf({ kind: "MachineSetNode", id }),
      action: "delete",
      why: `it leaves the cluster with MachineSet ${set}`,
      differences: [],
      wave: 2 * writeOrder.length
    })
  )
  return [...all.map(step), ...nodes].map((each, index) => ({ each, index })).sort((a, b) =>
    a.each.wave - b.each.wave || a.index - b.index
  ).map(({ each }) => each)
}

// -----------------------------------------------------------------------------
// The template in a plan
// -----------------------------------------------------------------------------

const encodeTemplate = ({ contents, template }: Loaded, digest: (secret: string) => string): Schema.Json => {
  const encoded = (value: unknown): Schema.Json => {
    if (Array.isArray(value)) return value.map(encoded)
    if (typeof value !== "object" || value === null) return (value ?? null) as Schema.Json
    const content = contents.get(value)
    const fields = Object.entries(value).filter(([key, field]) =>
      field !== undefined && (content === undefined || (key !== "inline" && key !== "job"))
    )
    return {
      ...Object.fromEntries(fields.map(([key, field]) => [key, encoded(field)])),
      ...(content === undefined ? {} : { content: digest(content.data) })
    }
  }
  return encoded(template)
}

const encodeSpec = (loaded: Loaded, options: SyncOptions, digest: (secret: string) => string): Schema.Json => ({
  cluster: loaded.template.cluster.name,
  template: encodeTemplate(loaded, digest),
  ...(options.allowUnknownMachines === true ? { allowUnknownMachines: true } : {}),
  ...(options.allowMissingMachines === true ? { allowMissingMachines: true } : {})
})

interface EncodedSpec {
  readonly template: unknown
  readonly allowUnknownMachines?: boolean
  readonly allowMissingMachines?: boolean
}

const templateIn = (spec: Schema.Json): EncodedSpec | undefined =>
  typeof spec === "object" && spec !== null && "template" in spec ? spec as unknown as EncodedSpec : undefined

/** Whether a plan is of a template. */
export const isOfTemplate = (plan: Plan): boolean => templateIn(plan.spec) !== undefined

const canonical = (value: unknown): string =>
  JSON.stringify(value, (_, field: unknown) =>
    typeof field === "object" && field !== null && !Array.isArray(field)
      ? Object.fromEntries(Object.entries(field).sort(([a], [b]) => a < b ? -1 : 1))
      : field)

// -----------------------------------------------------------------------------
// Plan, sync, apply
// -----------------------------------------------------------------------------

/** A template that is given with a saved plan. */
export interface GivenTemplate extends SyncOptions {
  readonly template: string | Template
}

interface Known {
  readonly loaded: Loaded
  readonly options: SyncOptions
}

export interface TemplateOperations {
  readonly plan: (
    template: string | Template,
    options?: SyncOptions
  ) => Effect.Effect<Plan, InvalidSpec | CallFailure>
  readonly sync: (
    template: string | Template,
    options?: SyncOptions
  ) => Effect.Effect<OperationReport, InvalidSpec | NodesFailed | OperationTimeout | CallFailure>
  readonly apply: (
    plan: Plan,
    given?: GivenTemplate
  ) => Effect.Effect<
    OperationReport,
    InvalidSpec | NodesFailed | OperationTimeout | StalePlan | InvalidPlan | CallFailure
  >
}

const invalidPlan = (detail: string): Effect.Effect<never, InvalidPlan> => Effect.fail(new InvalidPlan({ detail }))

export const makeTemplates = (context: TemplateContext): TemplateOperations => {
  const { endpoint, server, state } = context
  // The templates of the plans of this layer, so that their contents need not be given again.
  const known = new WeakMap<Plan, Known>()

  const toPlan = (prepared: Prepared, spec: Schema.Json): Plan =>
    makePlan({
      backend: "omni",
      target: endpoint,
      operation: "createNodes",
      clusterName: prepared.cluster as ClusterName,
      spec,
      steps: stepsOf(prepared)
    })

  const run = <E>(
    name: OperationName,
    { loaded, options }: Known,
    check: (prepared: Prepared) => Effect.Effect<void, E>
  ): Effect.Effect<OperationReport, E | InvalidSpec | NodesFailed | OperationTimeout | CallFailure> =>
    Effect.gen(function*() {
      const policy = yield* context.policy
      const operation = yield* Operation.make({
        provider: "omni",
        name,
        clusterName: loaded.template.cluster.name as ClusterName,
        policy
      })
      let hasSent = false
      let leaving: ReturnType<typeof leavingNodes> = []
      const syncing = syncLoaded(context, loaded, { ...options, ...server }, {
        planned: (prepared, round) =>
          Effect.gen(function*() {
            if (round > 0) return
            yield* check(prepared)
            const changed = new Set(prepared.changes.map(keyOf))
            leaving = leavingNodes(prepared)
            yield* operation.schedule([...prepared.expected, ...prepared.changes].map(subjectOf))
            for (const each of prepared.expected) {
              if (!changed.has(keyOf(each))) yield* operation.record(subjectOf(each), new AlreadyDone({}))
            }
          }),
        sent: (change) => {
          hasSent = true
          return operation.emit({ _tag: "Sent", subject: subjectOf(change), call: change.action })
        },
        settled: (change, result) => {
          const goes = change.action === "destroy" && change.kind === "MachineSet" && result === "done"
            ? leaving.filter(({ set }) => set === change.id).map(({ id }) => subjectOf({ kind: "MachineSetNode", id }))
            : []
          return Effect.forEach([subjectOf(change), ...goes], (subject) =>
            operation.record(
              subject,
              result === "done"
                ? new Done({})
                : result === "nothing"
                ? new AlreadyDone({})
                : new Failed({ error: Operation.settledError(operation, subject, result) })
            ), { discard: true })
        }
      })
      const failure = yield* Operation.bounded(operation)(syncing).pipe(
        Effect.as(undefined),
        Effect.catch((error) => hasSent ? Effect.succeed(error) : Effect.fail(error))
      )
      const report = yield* operation.report
      if (failure === undefined) return report
      const isOfCall = failure instanceof Error && "_tag" in failure &&
        (failure._tag === "BackendError" || failure._tag === "ProviderUnavailable")
      if (!isOfCall) return yield* Effect.fail(failure)
      if (report.failed.length === 0) yield* operation.fail(failure as CallFailure)
      return yield* new NodesFailed({ report: yield* operation.report })
    })

  const plan: TemplateOperations["plan"] = (template, options = {}) =>
    Effect.gen(function*() {
      const loaded = yield* load(template, options)
      const prepared = yield* prepare(state, loaded, { ...options, ...server })
      const salt = randomSalt()
      const made = toPlan(prepared, encodeSpec(loaded, options, (secret) => digestSecret(secret, salt)))
      known.set(made, { loaded, options })
      return made
    })

  /** The template for a plan: the given one, that of this layer's plan, or the plan's own. */
  const templateOf = (made: Plan, given: GivenTemplate | undefined): Effect.Effect<Known, InvalidPlan | InvalidSpec> =>
    Effect.gen(function*() {
      const salt = saltOf(made.spec)
      const own = templateIn(made.spec)
      if (own === undefined) return yield* invalidPlan("it is not the plan of a template.")
      const found = given === undefined
        ? known.get(made)
        : { loaded: yield* load(given.template, given), options: given }
      if (found !== undefined) {
        const { allowMissingMachines = false, allowUnknownMachines = false } = own
        const options = { ...found.options, allowMissingMachines, allowUnknownMachines }
        const encoded = encodeSpec(found.loaded, options, (secret) => digestSecret(secret, salt ?? ""))
        return canonical(encoded) === canonical(made.spec)
          ? { loaded: found.loaded, options }
          : yield* invalidPlan("the template that was given is not the one that was planned.")
      }
      if (salt !== undefined) {
        return yield* invalidPlan(
          "it has digests of patches. Give the template again, as `apply(plan, { template })`."
        )
      }
      return { loaded: yield* load(own.template as Template), options: own }
    })

  return {
    plan,
    sync: (template, options = {}) =>
      Effect.flatMap(load(template, options), (loaded) => run("sync", { loaded, options }, () => Effect.void)),
    apply: (made, given) =>
      Effect.gen(function*() {
        if (made.backend !== "omni") return yield* invalidPlan(`it is a plan for ${made.backend}, not for omni.`)
        if (!isIntact(made)) return yield* invalidPlan("it was edited after it was created. Create the plan again.")
        if (made.target !== endpoint) return yield* invalidPlan(`it is a plan for ${made.target}, not for ${endpoint}.`)
        return yield* run("apply", yield* templateOf(made, given), (prepared) => {
          const now = toPlan(prepared, made.spec)
          return now.fingerprint === made.fingerprint
            ? Effect.void
            : Effect.fail(new StalePlan({ plan: made, now, differences: compareSteps(made, now) }))
        })
      })
  }
}
