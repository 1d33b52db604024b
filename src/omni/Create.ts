/**
 * Making a cluster: a template out of counts, synced, and waited for until its machines run and Omni calls it ready.
 *
 * First it is looked whether the name is free, and what there is of the cluster already; a cluster that kubelayer did not
 * make, or that differs from what is asked, is refused with the difference. Machines come from a class, or are chosen
 * among the free ones. What is made carries whose it is and which call made it, so that on failure or interruption
 * exactly that is torn down. A request that makes something is never aborted, so that it is known what it made.
 */
import * as Effect from "effect/Effect"
import * as Semaphore from "effect/Semaphore"
import { checkNewClusterName } from "../internal/ClusterNames.ts"
import { failWith } from "../internal/Method.ts"
import * as Operation from "../internal/Operation.ts"
import { BoundToProcess, SessionSource } from "../internal/Session.ts"
import type { ClusterName, NodeInfo } from "../Model.ts"
import type { Policy } from "../Policy.ts"
import type { Subject } from "../Progress.ts"
import type { ClusterSpec, CreateFailure } from "../Provider.ts"
import { InvalidClusterName, InvalidSpec, NodesNotCreated } from "../ProviderError.ts"
import { NameTaken, NotFoundError } from "../Reason.ts"
import { AlreadyDone, Done, Failed, type OperationReport } from "../Report.ts"
import { withBlockers } from "./Blockers.ts"
import { subjectOf, toNodes } from "./ClusterNodes.ts"
import * as Labels from "./Labels.ts"
import { latest } from "./Latest.ts"
import { choose, type MachineSelection, newestFitting, selects } from "./Machines.ts"
import type { Management } from "./Management.ts"
import { type Call, makeCall } from "./Rollback.ts"
import { picture } from "./SharedWatch.ts"
import { type CallFailure, Kinds, type State } from "./State.ts"
import { type KnownMachine, knownMachine } from "./template/Machines.ts"
import { fromCounts, setId, type Template } from "./template/Model.ts"
import { plan, type TemplateChange } from "./template/Plan.ts"
import { talosVersions } from "./template/Preflight.ts"
import { fitsOneOf } from "./template/Selector.ts"
import { sync } from "./template/Sync.ts"
import { bare, latestKubernetes, usableTalos } from "./template/Versions.ts"
import { isReady } from "./Translate.ts"
import { untilStatus, type WaitContext } from "./Waits.ts"

/**
 * What `createNodes` makes clusters of.
 *
 * @category models
 * @since 0.1.0
 */
export interface ClusterDefaults {
  /** Machines of this class; Omni chooses, and replaces. How many a cluster that is there has is changed by `sync`. */
  readonly machineClass?: string
  /** Or machines chosen from those that are free. */
  readonly machines?: MachineSelection
  /**
   * With or without `v`. By default the newest release that enough free machines fit: a machine that runs from its boot
   * image fits its own minor version only.
   */
  readonly talosVersion?: string
  /** With or without `v`. By default the newest that this Talos supports. */
  readonly kubernetesVersion?: string
}

interface Context {
  readonly state: State
  readonly waits: WaitContext
  readonly policy: Effect.Effect<Policy>
  readonly defaults: ClusterDefaults
  /** Has the server validate a config patch. */
  readonly validate: Management["validateConfig"]
}

type Issue = InvalidSpec["issues"][number]

// -----------------------------------------------------------------------------
// What is asked for
// -----------------------------------------------------------------------------

const checkName = (input: string): Effect.Effect<ClusterName, InvalidClusterName> =>
  Effect.flatMap(checkNewClusterName(input), (name) =>
    name.includes(".")
      ? Effect.fail(new InvalidClusterName({ input, issue: "\".\" is not allowed in the name of a cluster on Omni" }))
      : Effect.succeed(name))

const countIssue = (path: string, count: unknown, least: number): ReadonlyArray<Issue> =>
  typeof count === "number" && Number.isInteger(count) && count >= least && count <= 1000
    ? []
    : [{ path, message: `must be a whole number from ${least} to 1000` }]

const faultsOf = (spec: ClusterSpec, defaults: ClusterDefaults): ReadonlyArray<Issue> => [
  ...countIssue("controlPlanes", spec.controlPlanes, 1),
  ...countIssue("workers", spec.workers, 0),
  ...(typeof (spec.labels ?? {}) === "object" && !Array.isArray(spec.labels)
    ? []
    : [{ path: "labels", message: "must be a record of strings" }]),
  ...Object.entries(spec.labels ?? {}).flatMap(([key, value]): ReadonlyArray<Issue> =>
    Labels.reserved.some((prefix) => key.startsWith(prefix))
      ? [{ path: `labels.${key}`, message: `keys that begin with ${Labels.reserved.join(" or ")} are not for callers` }]
      : key === ""
      ? [{ path: "labels", message: "has a key that is empty" }]
      : typeof value !== "string"
      ? [{ path: `labels.${key}`, message: "must be a string" }]
      : []
  ),
  ...(defaults.machineClass === undefined && defaults.machines === undefined
    ? [{ path: "machineClass", message: "neither `machineClass` nor `machines` is set in the layer's options" }]
    : []),
  ...(defaults.machineClass !== undefined && defaults.machines !== undefined
    ? [{ path: "machines", message: "is set beside `machineClass`; machines come from one of them" }]
    : [])
]

/** What the server has against a template, in terms of what a caller gave. */
const inOurTerms = (error: InvalidSpec): InvalidSpec =>
  new InvalidSpec({
    issues: error.issues.map(({ message, path }) => ({
      message,
      path: path
        .replace(/^cluster\.(talos|kubernetes)\.version$/, "$1Version")
        .replace(/^(?:controlPlane|workers\.?\[?\d+\]?)\.machineClass(?:\.name)?$/, "machineClass")
    }))
  })

// -----------------------------------------------------------------------------
// What there is, and what is missing
// -----------------------------------------------------------------------------

const taken = (cluster: ClusterName, by: string, detail: string) =>
  failWith(new NameTaken({ detail: `cluster ${cluster} ${detail}`, by }))

/** The machines that a new cluster may take: those that the layer selects, or those of its class. */
const candidates = Effect.fnUntraced(function*(
  { defaults, state }: Context,
  machines: ReadonlyArray<KnownMachine>
): Effect.fn.Return<ReadonlyArray<KnownMachine>, CallFailure> {
  if (defaults.machineClass === undefined) return machines.filter(selects(defaults.machines ?? { ids: [] }))
  const found = yield* state.get(Kinds.MachineClass, defaults.machineClass)
  // A class that provisions its machines takes any version.
  return found === undefined || found.spec.autoProvision !== undefined
    ? []
    : machines.filter(({ labels }) => fitsOneOf(found.spec.matchLabels, labels))
})

const versions = Effect.fnUntraced(function*(
  context: Context,
  machines: ReadonlyArray<KnownMachine>,
  count: number
): Effect.fn.Return<{ readonly talos: string; readonly kubernetes: string }, CallFailure> {
  const { defaults, state } = context
  const known = yield* talosVersions(state)
  const given = defaults.talosVersion === undefined ? undefined : bare(defaults.talosVersion)
  const talos = given === undefined
    ? newestFitting(usableTalos(known), yield* candidates(context, machines), count)
    : known.find(({ version }) => version === given)
  if (talos === undefined && given === undefined) {
    return yield* failWith(
      new NotFoundError({ detail: "the server knows no Talos version that is neither deprecated nor a pre-release" })
    )
  }
  const kubernetes = defaults.kubernetesVersion === undefined
    ? talos === undefined ? undefined : latestKubernetes(talos)
    : bare(defaults.kubernetesVersion)
  // The preflight reports a version that the server does not know, with the nearest ones.
  return { talos: talos?.version ?? given ?? "", kubernetes: kubernetes ?? "0.0.0" }
})

interface Present {
  readonly isThere: boolean
  readonly talos: string | undefined
  readonly kubernetes: string | undefined
  /** Ids by set, in order. */
  readonly machines: (set: string) => ReadonlyArray<string>
}

/** What there is of the cluster; refuses one that is not ours. */
const present = Effect.fnUntraced(function*(
  state: State,
  cluster: ClusterName
): Effect.fn.Return<Present, CallFailure> {
  const [found, nodes] = yield* Effect.all(
    [state.get(Kinds.Cluster, cluster), state.list(Kinds.MachineSetNode, { [Labels.cluster]: cluster })],
    { concurrency: 2 }
  )
  if (found !== undefined && found.metadata.annotations[Labels.owned] !== cluster) {
    return yield* taken(
      cluster,
      "a cluster that kubelayer did not make",
      "is there already, and kubelayer did not make it"
    )
  }
  return {
    isThere: found !== undefined,
    talos: found?.spec.talosVersion,
    kubernetes: found?.spec.kubernetesVersion,
    machines: (set) =>
      nodes
        .filter(({ metadata }) => metadata.labels[Labels.machineSet] === set)
        .map(({ metadata }) => metadata.id)
        .sort(Operation.byName)
  }
})

const templateOf = Effect.fnUntraced(function*(
  context: Context,
  spec: ClusterSpec,
  cluster: ClusterName,
  there: Present
): Effect.fn.Return<Template, CallFailure> {
  const { defaults, state } = context
  const machines = there.isThere && defaults.machineClass !== undefined
    ? []
    : (yield* state.list(Kinds.MachineStatus)).map(knownMachine)
  const { talos, kubernetes } = there.isThere && defaults.talosVersion === undefined
    ? { talos: there.talos ?? "", kubernetes: bare(defaults.kubernetesVersion ?? there.kubernetes ?? "") }
    : yield* versions(context, machines, spec.controlPlanes + spec.workers)
  const common = {
    cluster,
    controlPlanes: spec.controlPlanes,
    workers: spec.workers,
    talosVersion: talos,
    kubernetesVersion: kubernetes,
    ...(spec.labels === undefined ? {} : { labels: spec.labels })
  }
  if (defaults.machineClass !== undefined) {
    return fromCounts({ ...common, machines: { machineClass: defaults.machineClass } })
  }
  const wanted = [
    ["control planes", there.machines(setId.controlPlane(cluster)), spec.controlPlanes],
    ["workers", there.machines(setId.workers(cluster, undefined)), spec.workers]
  ] as const
  for (const [what, ids, count] of wanted) {
    if (ids.length <= count) continue
    return yield* taken(
      cluster,
      "itself",
      `differs from what is asked: it has ${ids.length} ${what}, not ${count}`
    )
  }
  const missing = wanted.map(([, ids, count]) => count - ids.length)
  const total = missing.reduce((a, b) => a + b, 0)
  const chosen = [...yield* choose(machines, total, defaults.machines ?? { ids: [] }, talos)]
  const all = wanted.flatMap(([, ids], index) => [...ids, ...chosen.splice(0, missing[index])])
  const template = fromCounts({ ...common, machines: { machines: all } })
  const { labels } = spec
  return labels === undefined ? template : { ...template, machines: all.map((name) => ({ name, labels })) }
})

/** What a create may do is to add; everything else is a difference. */
const differences = (changes: ReadonlyArray<TemplateChange>): ReadonlyArray<string> =>
  changes
    .filter(({ action }) => action !== "create" && action !== "recreate")
    .map(({ action, differences: found, id, kind }) =>
      found.length > 0
        ? `${kind} ${id}: ${found.join(", ")}`
        : `${kind} ${id} would be ${action === "destroy" ? "destroyed" : "changed"}`
    )

// -----------------------------------------------------------------------------
// Steps
// -----------------------------------------------------------------------------

const clusterSubject = (cluster: ClusterName): Subject => ({ kind: "cluster", name: cluster })

/** Waits until as many machines run as are asked for, and the cluster is ready. Nodes are settled as they run. */
const awaitNodes = (context: Context, call: Call, spec: ClusterSpec, before: ReadonlySet<string>) =>
  Effect.scoped(Effect.gen(function*() {
    const { operation } = call
    const { clusterName } = operation
    const machines = yield* latest(
      picture(context.state, Kinds.ClusterMachineStatus, { [Labels.cluster]: clusterName })
    )
    const count = (nodes: ReadonlyArray<NodeInfo>, role: NodeInfo["role"]) =>
      nodes.filter((node) => node.role === role && node.state === "running").length
    const settled = new Set<string>()
    const enough = (nodes: ReadonlyArray<NodeInfo>) =>
      count(nodes, "control-plane") >= spec.controlPlanes && count(nodes, "worker") >= spec.workers
    const settle = (nodes: ReadonlyArray<NodeInfo>) =>
      Effect.forEach(nodes, (node) => {
        settled.add(node.id)
        return operation.record(subjectOf(node), before.has(node.id) ? new AlreadyDone({}) : new Done({}))
      }, { discard: true })
    // Omni names a machine at about the time when it runs; until then its id is its name.
    const isNew = (node: NodeInfo) => node.state === "running" && node.name !== node.id && !settled.has(node.id)
    let nodes: ReadonlyArray<NodeInfo> = []
    while (!enough(nodes)) {
      nodes = yield* machines.until((seen) => {
        const all = toNodes(clusterName, seen.values())
        return enough(all) || all.some(isNew) ? all : undefined
      })
      yield* settle(nodes.filter(isNew))
    }
    yield* operation.emit({ _tag: "Waiting", subject: clusterSubject(clusterName), reason: "it is not ready yet" })
    yield* untilStatus(context.waits, clusterName, isReady).pipe(
      Effect.catchTag(
        "ClusterNotFound",
        () => Effect.fail(operation.error(new NotFoundError({ detail: "the cluster was deleted meanwhile" })))
      )
    )
    const last = yield* machines.until((seen) => toNodes(clusterName, seen.values()))
    yield* settle(last.filter((node) => node.state === "running" && !settled.has(node.id)))
  }))

const carryOut = Effect.fnUntraced(function*(
  context: Context,
  call: Call,
  spec: ClusterSpec,
  gate: Semaphore.Semaphore
): Effect.fn.Return<void, InvalidSpec | CallFailure> {
  const { operation, state } = call
  const { clusterName, policy } = operation
  const subject = clusterSubject(clusterName)
  const ready = { ...context, state }
  // One at a time chooses, so that no two choose the same machines.
  const { template, there } = yield* gate.withPermits(1)(Effect.gen(function*() {
    const there = yield* present(state, clusterName)
    const template = yield* templateOf(ready, spec, clusterName, there)
    const { validate } = context
    const differing = differences((yield* plan(state, template, { validate })).changes)
    if (differing.length > 0) {
      return yield* taken(clusterName, "itself", `differs from what is asked: ${differing.join("; ")}`)
    }
    yield* operation.schedule([subject])
    yield* operation.emit({ _tag: "Sent", subject, call: "sync" })
    yield* sync({ state, policy: Effect.succeed(policy) }, template, { marks: call.marks, validate })
    return { template, there }
  }))
  const asked = [template.controlPlane, ...template.workers ?? []].flatMap(({ machines }) => machines ?? [])
  yield* operation.schedule(asked.map((id): Subject => ({ kind: "node", name: id, id })))
  const before = new Set(
    [setId.controlPlane(clusterName), setId.workers(clusterName, undefined)].flatMap(there.machines)
  )
  yield* operation.settle(
    subject,
    policy.nodeTimeout.create,
    Effect.as(awaitNodes(ready, call, spec, before), there.isThere ? new AlreadyDone({}) : new Done({}))
  )
  const outcome = operation.outcomeOf(subject)
  if (outcome?._tag !== "Failed") return
  const error = yield* withBlockers(state, policy, clusterName, outcome.error)
  yield* operation.record(subject, new Failed({ error }))
})

/** Builds `createNodes`. */
export const createCluster = (
  context: Context
): (spec: ClusterSpec) => Effect.Effect<OperationReport, CreateFailure> => {
  const gate = Semaphore.makeUnsafe(1)
  return (spec) =>
    Effect.gen(function*() {
      const clusterName = yield* checkName(spec.cluster)
      const issues = faultsOf(spec, context.defaults)
      if (issues.length > 0) return yield* new InvalidSpec({ issues })
      const policy = yield* context.policy
      const operation = yield* Operation.make({ provider: "omni", name: "createNodes", clusterName, policy })
      const source = yield* SessionSource
      const id = source.randomWord(16)
      const call = makeCall({
        state: context.state,
        operation,
        id,
        marks: Labels.ownership(clusterName, {
          session: yield* source.session,
          operation: id,
          bound: yield* BoundToProcess
        })
      })
      return yield* call.undoing(
        spec.onFailure ?? "remove",
        Effect.gen(function*() {
          yield* Effect.catchTag(
            carryOut(context, call, spec, gate),
            "InvalidSpec",
            (error) => Effect.fail(inOurTerms(error))
          )
          const report = yield* operation.report
          if (report.isFailure) return yield* new NodesNotCreated({ report, leftovers: [] })
          return report
        })
      )
    })
}
