/**
 * Waits for a cluster to run, to be ready, or to be upgraded, on watches of the server.
 *
 * Omni reports RUNNING for moments before a cluster grows, and of a cluster without machines; it reports an upgrade as
 * done while machines have the old version. So every wait also compares what was requested: the machines of all sets and
 * their versions. A wait that runs out of time says what the cluster lacks.
 * Source: the behaviour of Omni 1.9 as measured.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { failWith } from "../internal/Method.ts"
import type { ClusterName } from "../Model.ts"
import { ClusterNotFound } from "../ProviderError.ts"
import { RequestTimeout } from "../Reason.ts"
import { type Blocker, describe } from "./Blockers.ts"
import * as Labels from "./Labels.ts"
import type { ClusterMachineStatusSpec, ClusterStatusSpec, MachineStatusSpec } from "./proto/specs_pb.ts"
import { one, picture, type SharedStatuses } from "./SharedWatch.ts"
import { type CallFailure, Kinds, type Resource, type StateReader as State } from "./State.ts"
import { isReady, nameOf, runningPhase, runningStage } from "./Translate.ts"

type WaitFailure = ClusterNotFound | CallFailure

export interface WaitOptions {
  /** How long to wait; 15 minutes where it is not given. */
  readonly timeout?: Duration.Input
}

export interface UpgradeOptions extends WaitOptions {
  /** The Talos version to reach, with or without `v`; by default the version of the cluster. */
  readonly talos?: string
  /** Likewise of Kubernetes. */
  readonly kubernetes?: string
}

export interface WaitContext {
  readonly state: State
  readonly statuses: SharedStatuses
  readonly blockers: (cluster: ClusterName) => Effect.Effect<ReadonlyArray<Blocker>, CallFailure>
}

const defaultTimeout = Duration.minutes(15)

const orNotFound = (cluster: ClusterName) => <A, E>(self: Effect.Effect<A | undefined, E>) =>
  Effect.flatMap(self, (found): Effect.Effect<A, E | ClusterNotFound> =>
    found === undefined
      ? Effect.fail(new ClusterNotFound({ provider: "omni", clusterName: cluster }))
      : Effect.succeed(found))

/** Ends a wait that takes too long, and says what is missing. */
const withinTimeout =
  ({ blockers }: WaitContext, cluster: ClusterName, what: () => string, options: WaitOptions) =>
  <A>(wait: Effect.Effect<A, WaitFailure>): Effect.Effect<A, WaitFailure> => {
    const duration = options.timeout === undefined ? defaultTimeout : Duration.fromInputUnsafe(options.timeout)
    return Effect.timeoutOrElse(wait, {
      duration,
      orElse: () =>
        Effect.flatMap(
          Effect.orElseSucceed(blockers(cluster), (): ReadonlyArray<Blocker> => []),
          (found) =>
            failWith(
              new RequestTimeout({
                detail: `${what()} within ${Duration.format(duration)}${describe(found)}`,
                durationMillis: Math.round(Duration.toMillis(duration)),
                hint: "The cluster may still get there; wait longer with the option `timeout`."
              })
            )
        )
    })
  }

/**
 * The number of machines that the sets of a cluster request. A set that takes all of a class requests those that it
 * has.
 */
const expectedMachines = ({ state }: WaitContext, cluster: ClusterName): Effect.Effect<number, CallFailure> =>
  Effect.gen(function*() {
    const ofCluster = { [Labels.cluster]: cluster }
    const [sets, nodes] = yield* Effect.all(
      [state.list(Kinds.MachineSet, ofCluster), state.list(Kinds.MachineSetNode, ofCluster)],
      { concurrency: 2 }
    )
    return sets.reduce((sum, { metadata, spec }) => {
      const allocation = spec.machineAllocation
      return sum + (allocation !== undefined && allocation.name !== "" && allocation.allocationType === 0
        ? allocation.machineCount
        : nodes.filter((node) => node.metadata.labels[Labels.machineSet] === metadata.id).length)
    }, 0)
  })

type Status = Resource<ClusterStatusSpec>

type Machine = Resource<ClusterMachineStatusSpec>

/**
 * Waits until the status of a cluster fits, counts the requested machines, and each machine fits. The requested machines
 * are read where all else fits.
 */
export const untilStatus = (
  context: WaitContext,
  cluster: ClusterName,
  fits: (spec: ClusterStatusSpec) => boolean,
  machineFits?: (machine: Machine) => boolean
): Effect.Effect<void, WaitFailure> =>
  Effect.gen(function*() {
    yield* orNotFound(cluster)(context.state.get(Kinds.Cluster, cluster))
    let last: Status | undefined
    let machines: ReadonlyMap<string, Machine> | undefined
    const statuses = Stream.mapEffect(context.statuses.of(cluster), (status: Status | undefined) =>
      Effect.gen(function*() {
        last = status
        if (status === undefined) {
          // Not there yet, or gone with its cluster, which goes last.
          const found = yield* orNotFound(cluster)(context.state.get(Kinds.Cluster, cluster))
          if (found.metadata.phase === "tearingDown") {
            return yield* new ClusterNotFound({ provider: "omni", clusterName: cluster })
          }
        }
      }))
    const changes = machineFits === undefined ? statuses : Stream.merge(
      statuses,
      Stream.map(picture(context.state, Kinds.ClusterMachineStatus, { [Labels.cluster]: cluster }), (seen) => {
        machines = seen
      })
    )
    const isThere = Effect.gen(function*() {
      const requested = last?.spec.machines?.requested ?? 0
      if (last === undefined || requested === 0 || !fits(last.spec)) {
        return false
      }
      if (machineFits !== undefined) {
        if (machines === undefined || machines.size !== requested) {
          return false
        }
        if (![...machines.values()].every(machineFits)) {
          return false
        }
      }
      return requested === (yield* expectedMachines(context, cluster))
    })
    const fitting = changes.pipe(
      Stream.mapEffect(() =>
        isThere
      ),
      Stream.filter((fit) => fit),
      Stream.runHead
    )
    yield* orNotFound(cluster)(Effect.map(fitting, Option.getOrUndefined))
  })

/** Waits until the cluster has all machines that it requests, and each of them runs. */
export const awaitRunning = (context: WaitContext) => (cluster: ClusterName, options: WaitOptions = {}) =>
  untilStatus(
    context,
    cluster,
    (spec) => spec.phase === runningPhase && spec.machines?.total === spec.machines?.requested,
    ({ metadata, spec }) => spec.stage === runningStage && metadata.phase === "running"
  )
    .pipe(withinTimeout(context, cluster, () => `cluster ${cluster} did not run`, options))

/** Waits until all machines are healthy and the Kubernetes API answers, too. */
export const awaitReady = (context: WaitContext) => (cluster: ClusterName, options: WaitOptions = {}) =>
  untilStatus(context, cluster, isReady).pipe(
    withinTimeout(context, cluster, () => `cluster ${cluster} was not ready`, options)
  )

// -----------------------------------------------------------------------------
// Upgrades
// -----------------------------------------------------------------------------

interface UpgradeStatus {
  readonly phase: number
  readonly lastUpgradeVersion: string
}

/** The phase of an upgrade that is through. */
const upgradeDone = 2

const bare = (version: string): string => version.replace(/^v/, "")

interface Upgrade {
  readonly product: "Talos" | "Kubernetes"
  readonly version: string
}

/**
 * Waits until the server calls the upgrade done, every requested machine has the version, and the cluster is ready.
 *
 * The server calls an upgrade done at once where a cluster has no machine, and where it skips machines. So the machines
 * themselves are read, too. `progress` says what is missing.
 */
const awaitVersion = (
  context: WaitContext,
  cluster: ClusterName,
  { product, version }: Upgrade,
  progress: (missing: string) => void
): Effect.Effect<void, WaitFailure> =>
  Effect.gen(function*() {
    const { state } = context
    const isTalos = product === "Talos"
    let status: UpgradeStatus | undefined
    let machines: ReadonlyMap<string, Resource<MachineStatusSpec>> | undefined
    const upgrades: Stream.Stream<{ readonly spec: UpgradeStatus } | undefined, CallFailure> = isTalos
      ? one(state, Kinds.TalosUpgradeStatus, cluster)
      : one(state, Kinds.KubernetesUpgradeStatus, cluster)
    const changes = Stream.merge(
      Stream.map(upgrades, (found) => {
        status = found?.spec
      }),
      Stream.map(picture(state, Kinds.MachineStatus, { [Labels.cluster]: cluster }), (seen) => {
        machines = seen
      })
    )
    const isThere = Effect.gen(function*() {
      if (machines === undefined) return false
      const requested = yield* expectedMachines(context, cluster)
      const old = isTalos
        ? [...machines.values()].filter(({ spec }) => bare(spec.talosVersion) !== version)
        : []
      const upgraded = machines.size - old.length
      progress(
        requested === 0
          ? "the cluster has no machine"
          : old.length > 0 || machines.size < requested
          ? `${upgraded} of ${requested} machines have ${product} ${version}${
            old.length === 0 ? "" : `; ${old.slice(0, 5).map(oldMachine).join(", ")}`
          }`
          : `the server has not finished the upgrade to ${product} ${version}`
      )
      return requested > 0 && old.length === 0 && machines.size >= requested && status?.phase === upgradeDone &&
        bare(status.lastUpgradeVersion) === version
    })
    yield* Stream.runHead(Stream.filter(Stream.mapEffect(changes, () => isThere), (there) => there))
    progress("the cluster is not ready")
    yield* untilStatus(context, cluster, isReady)
  })

const oldMachine = ({ metadata, spec }: Resource<MachineStatusSpec>): string =>
  `${nameOf(metadata.id, metadata.labels)} has ${bare(spec.talosVersion) || "no version"}`

/** Fails where the cluster goes. */
const whileThere = (state: State, cluster: ClusterName): Effect.Effect<never, WaitFailure> =>
  one(state, Kinds.Cluster, cluster).pipe(
    Stream.filter((found) => found === undefined || found.metadata.phase === "tearingDown"),
    Stream.runHead,
    Effect.andThen(Effect.fail(new ClusterNotFound({ provider: "omni", clusterName: cluster })))
  )

/** Waits until every machine has the requested versions and the cluster is ready. */
export const awaitUpgrade = (context: WaitContext) => (cluster: ClusterName, options: UpgradeOptions = {}) => {
  const missing = new Map<string, string>()
  return Effect.gen(function*() {
    const { state } = context
    const { spec } = yield* orNotFound(cluster)(state.get(Kinds.Cluster, cluster))
    const all = options.talos === undefined && options.kubernetes === undefined
    const upgrades = [
      { product: "Talos", version: bare(options.talos ?? (all ? spec.talosVersion : "")) },
      { product: "Kubernetes", version: bare(options.kubernetes ?? (all ? spec.kubernetesVersion : "")) }
    ] as const
    yield* Effect.forEach(
      upgrades.filter(({ version }) => version !== ""),
      (upgrade) => awaitVersion(context, cluster, upgrade, (what) => void missing.set(upgrade.product, what)),
      { concurrency: 2, discard: true }
    ).pipe(Effect.raceFirst(whileThere(state, cluster)))
  }).pipe(withinTimeout(
    context,
    cluster,
    () => {
      const why = [...new Set(missing.values())]
      return `the upgrade of cluster ${cluster} did not end${why.length === 0 ? "" : ` (${why.join("; ")})`}`
    },
    options
  ))
}
