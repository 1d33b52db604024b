/**
 * Upgrades of Talos and Kubernetes as operations: checked before the write, followed machine by machine, with a true end.
 *
 * The server offers the versions that a cluster can be upgraded to. Anything else is refused before the write: an unknown
 * version, an older one, one that skips a minor version, an upgrade while another one runs, a locked cluster. The end is
 * reached when every machine reports the version and the cluster is ready; see `Waits.ts`.
 * Source: the behaviour of Omni 1.9 as measured.
 */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as Operation from "../internal/Operation.ts"
import type { ClusterName, NodeInfo } from "../Model.ts"
import type { Policy } from "../Policy.ts"
import { ClusterNotFound, InvalidSpec, NodesFailed, type OperationTimeout } from "../ProviderError.ts"
import { Locked, Protected } from "../Reason.ts"
import { AlreadyDone, Done, Failed, type OperationReport } from "../Report.ts"
import { isLocked } from "./Blockers.ts"
import { listNodes } from "./ClusterNodes.ts"
import * as Labels from "./Labels.ts"
import type { ClusterSpec } from "./proto/specs_pb.ts"
import { picture } from "./SharedWatch.ts"
import { type CallFailure, Kinds, type Resource, type State } from "./State.ts"
import { talosVersions } from "./template/Preflight.ts"
import { bare, kubernetesFault, latestRelease, parseVersion } from "./template/Versions.ts"
import { awaitUpgrade, type UpgradeOptions, type WaitContext } from "./Waits.ts"

/**
 * How a cluster gets to a version: one or more upgrades, one after the other.
 *
 * @category models
 * @since 0.2.0
 */
export interface UpgradePath {
  readonly product: "talos" | "kubernetes"
  /** The version of the cluster, without `v`. */
  readonly from: string
  /** The versions in order, without `v`; the last one is the requested one. Empty where the cluster has it. */
  readonly steps: ReadonlyArray<string>
}

interface Context {
  readonly state: State
  readonly waits: WaitContext
  readonly policy: Effect.Effect<Policy>
}

type Product = UpgradePath["product"]

const title = { talos: "Talos", kubernetes: "Kubernetes" } as const

/** How many minor versions an upgrade of Omni may go at once. */
const minorsAtOnce = { talos: 2, kubernetes: 1 } as const

interface Target {
  readonly product: Product
  readonly from: string
  readonly to: string
}

const targetsOf = ({ spec }: Resource<ClusterSpec>, options: UpgradeOptions): ReadonlyArray<Target> => [
  ...(options.talos === undefined
    ? []
    : [{ product: "talos" as const, from: bare(spec.talosVersion), to: bare(options.talos) }]),
  ...(options.kubernetes === undefined
    ? []
    : [{ product: "kubernetes" as const, from: bare(spec.kubernetesVersion), to: bare(options.kubernetes) }])
]

/** The versions on the way to the target, or why there is no way. */
const pathOf = (
  { from, product, to }: Target,
  known: ReadonlyArray<string>
): ReadonlyArray<string> | { readonly issue: string } => {
  if (from === to) return []
  const [start, target] = [parseVersion(from), parseVersion(to)]
  const name = title[product]
  if (start === undefined || target === undefined || !known.includes(to)) {
    const latest = latestRelease(known)
    return {
      issue: `the server does not know ${name} ${to}${latest === undefined ? "" : `; its latest release is ${latest}`}`
    }
  }
  if (target.major !== start.major || target.minor < start.minor) {
    return { issue: `${name} cannot go back from ${from} to ${to}` }
  }
  const steps: Array<string> = []
  for (let minor = start.minor; target.minor - minor > minorsAtOnce[product];) {
    minor += minorsAtOnce[product]
    const step = latestRelease(known.filter((version) => {
      const parsed = parseVersion(version)
      return parsed?.major === start.major && parsed.minor === minor
    }))
    if (step === undefined) {
      return { issue: `the server knows no ${name} ${start.major}.${minor}, which is on the way from ${from} to ${to}` }
    }
    steps.push(step)
  }
  return [...steps, to]
}

const existing = (
  state: State,
  cluster: ClusterName
): Effect.Effect<Resource<ClusterSpec>, ClusterNotFound | CallFailure> =>
  Effect.flatMap(
    state.get(Kinds.Cluster, cluster),
    (found): Effect.Effect<Resource<ClusterSpec>, ClusterNotFound> =>
      found === undefined
        ? Effect.fail(new ClusterNotFound({ provider: "omni", clusterName: cluster }))
        : Effect.succeed(found)
  )

/** The paths of all requested versions; all issues at once. */
const pathsOf = Effect.fnUntraced(function*(
  state: State,
  cluster: Resource<ClusterSpec>,
  options: UpgradeOptions
): Effect.fn.Return<ReadonlyArray<UpgradePath>, InvalidSpec | CallFailure> {
  const targets = targetsOf(cluster, options)
  if (targets.length === 0) {
    return yield* new InvalidSpec({ issues: [{ path: "talos", message: "neither `talos` nor `kubernetes` is given" }] })
  }
  const known = yield* talosVersions(state)
  const usable = known.filter(({ deprecated, unsupported }) => !deprecated && unsupported !== true)
  const versions = {
    talos: usable.map(({ version }) => version),
    kubernetes: [...new Set(known.flatMap(({ kubernetes }) => kubernetes))]
  }
  const issues: Array<{ readonly path: string; readonly message: string }> = []
  const paths = targets.flatMap((target): ReadonlyArray<UpgradePath> => {
    const steps = pathOf(target, versions[target.product])
    if ("issue" in steps) issues.push({ path: target.product, message: steps.issue })
    return "issue" in steps ? [] : [{ product: target.product, from: target.from, steps }]
  })
  const talos = bare(options.talos ?? cluster.spec.talosVersion)
  const misfit = kubernetesFault(bare(options.kubernetes ?? cluster.spec.kubernetesVersion), talos, known)
  if (misfit !== undefined && issues.length === 0) {
    issues.push({ path: options.kubernetes === undefined ? "talos" : "kubernetes", message: misfit })
  }
  return issues.length > 0 ? yield* new InvalidSpec({ issues }) : paths
})

/** How a cluster gets to the requested versions. Writes nothing. */
export const planUpgrade = ({ state }: Pick<Context, "state">) =>
(
  cluster: ClusterName,
  options: UpgradeOptions
): Effect.Effect<ReadonlyArray<UpgradePath>, InvalidSpec | ClusterNotFound | CallFailure> =>
  Effect.flatMap(existing(state, cluster), (found) => pathsOf(state, found, options))

const nodeOf = ({ id, name }: Pick<NodeInfo, "id" | "name">) => ({ kind: "node", name, id }) as const

const statusKinds = [["Talos", Kinds.TalosUpgradeStatus], ["Kubernetes", Kinds.KubernetesUpgradeStatus]] as const

/** The phases in which the server works on an upgrade: upgrading, and reverting. */
const isAtWork = (phase: number): boolean => phase === 1 || phase === 4

/** Fails while another upgrade runs, or the cluster is locked. */
const checkFree = Effect.fnUntraced(function*(
  state: State,
  operation: Operation.Operation,
  cluster: Resource<ClusterSpec>
): Effect.fn.Return<void, CallFailure> {
  if (isLocked(cluster.metadata)) {
    return yield* Effect.fail(
      operation.error(new Protected({ detail: "the cluster is locked; unlock it in Omni first" }))
    )
  }
  for (const [name, kind] of statusKinds) {
    const status = yield* state.get(kind as typeof Kinds.TalosUpgradeStatus, operation.clusterName)
    if (status === undefined || !isAtWork(status.spec.phase)) continue
    const detail = `an upgrade of ${name} to ${status.spec.currentUpgradeVersion || "another version"} runs`
    return yield* Effect.fail(operation.error(new Locked({ detail })))
  }
})

/** Reports each node when its machine has the Talos version. It ends with its scope. */
const followMachines = (
  state: State,
  operation: Operation.Operation,
  nodes: ReadonlyArray<NodeInfo>,
  talos: string,
  before: ReadonlySet<string>
) =>
  Effect.forkScoped(
    Stream.runForEach(
      picture(state, Kinds.MachineStatus, { [Labels.cluster]: operation.clusterName }),
      (machines) =>
        Effect.forEach(nodes, (node) => {
          const subject = nodeOf(node)
          const version = bare(machines.get(node.id)?.spec.talosVersion ?? "")
          if (version !== talos || operation.outcomeOf(subject) !== undefined) return Effect.void
          return operation.record(subject, before.has(node.id) ? new AlreadyDone({}) : new Done({}))
        }, { discard: true })
    ).pipe(Effect.catch((error: CallFailure) => Effect.logDebug("the progress of the upgrade cannot be read", error)))
  )

/** Upgrades a cluster, and waits until every machine has the versions and the cluster is ready. */
export const upgrade = ({ policy, state, waits }: Context) =>
(
  cluster: ClusterName,
  options: UpgradeOptions
): Effect.Effect<
  OperationReport,
  InvalidSpec | ClusterNotFound | NodesFailed | OperationTimeout | CallFailure
> =>
  Effect.scoped(Effect.gen(function*() {
    const operation = yield* Operation.make({
      provider: "omni",
      name: "upgrade",
      clusterName: cluster,
      policy: yield* policy
    })
    const found = yield* existing(state, cluster)
    const paths = yield* pathsOf(state, found, options)
    const skipping = paths.filter(({ steps }) => steps.length > 1)
    if (skipping.length > 0) {
      return yield* new InvalidSpec({
        issues: skipping.map(({ from, product, steps }) => ({
          path: product,
          message: `${title[product]} cannot go from ${from} to ${steps.at(-1)} at once; upgrade to ${steps[0]} first`
        }))
      })
    }
    yield* checkFree(state, operation, found)
    const subject = { kind: "cluster", name: cluster } as const
    const changes = paths.filter(({ steps }) => steps.length > 0)
    const talos = bare(options.talos ?? found.spec.talosVersion)
    const [nodes, machines] = yield* Effect.all([
      listNodes(state)(cluster),
      state.list(Kinds.MachineStatus, { [Labels.cluster]: cluster })
    ], { concurrency: 2 })
    yield* operation.schedule([subject, ...nodes.map(nodeOf)])
    const before = new Set(
      machines.flatMap(({ metadata, spec }) => bare(spec.talosVersion) === talos ? [metadata.id] : [])
    )
    if (changes.length > 0) {
      yield* operation.emit({ _tag: "Sent", subject, call: "update" })
      yield* state.modify(Kinds.Cluster, cluster, (resource) => ({
        ...resource,
        spec: {
          ...resource.spec,
          ...(options.talos === undefined ? {} : { talosVersion: talos }),
          ...(options.kubernetes === undefined ? {} : { kubernetesVersion: bare(options.kubernetes) })
        }
      }))
    }
    if (options.talos !== undefined) yield* followMachines(state, operation, nodes, talos, before)
    const end = yield* Effect.result(Operation.bounded(operation)(awaitUpgrade(waits)(cluster, options)))
    if (end._tag === "Failure") {
      const error = end.failure
      if (error._tag !== "BackendError" && error._tag !== "ProviderUnavailable") return yield* Effect.fail(error)
      yield* operation.record(subject, new Failed({ error: Operation.settledError(operation, subject, error) }))
      return yield* new NodesFailed({ report: yield* operation.report })
    }
    for (const node of nodes.map(nodeOf)) {
      if (operation.outcomeOf(node) !== undefined) continue
      yield* operation.record(node, changes.length > 0 ? new Done({}) : new AlreadyDone({}))
    }
    yield* operation.record(subject, changes.length > 0 ? new Done({}) : new AlreadyDone({}))
    return yield* operation.report
  }))

/**
 * Takes an upgrade back that has not ended: the cluster requests the versions again that its last upgrades ended at, and
 * the server reverts the machines. Nothing where no upgrade runs. It waits for nothing.
 */
export const cancelUpgrade =
  ({ state }: Pick<Context, "state">) => (cluster: ClusterName): Effect.Effect<void, ClusterNotFound | CallFailure> =>
    Effect.gen(function*() {
      yield* existing(state, cluster)
      const [talos, kubernetes] = yield* Effect.all([
        state.get(Kinds.TalosUpgradeStatus, cluster),
        state.get(Kinds.KubernetesUpgradeStatus, cluster)
      ], { concurrency: 2 })
      const last = (
        status: { readonly spec: { readonly phase: number; readonly lastUpgradeVersion: string } } | undefined
      ) => status !== undefined && isAtWork(status.spec.phase) ? bare(status.spec.lastUpgradeVersion) : ""
      const [talosVersion, kubernetesVersion] = [last(talos), last(kubernetes)]
      if (talosVersion === "" && kubernetesVersion === "") return
      yield* state.modify(Kinds.Cluster, cluster, (resource) => ({
        ...resource,
        spec: {
          ...resource.spec,
          ...(talosVersion === "" ? {} : { talosVersion }),
          ...(kubernetesVersion === "" ? {} : { kubernetesVersion })
        }
      }))
    })
