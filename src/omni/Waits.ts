/**
 * Waiting for a cluster to run, to be ready, to be upgraded, on streams of the server's.
 *
 * Omni says RUNNING for moments before a cluster grows, and also of a cluster without machines; after an upgrade was
 * written it says for seconds that all is done. So what it says is held against what was asked for: the machines of all
 * sets, the version. A wait that ends without success says what the cluster lacks.
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
import type { ClusterStatusSpec } from "./proto/specs_pb.ts"
import { type CallFailure, Kinds, type Resource, type State } from "./State.ts"
import { isReady, runningPhase } from "./Translate.ts"
import { one, type SharedStatuses } from "./Watches.ts"

type WaitFailure = ClusterNotFound | CallFailure

export interface WaitOptions {
  /** How long to wait; 15 minutes where it is not given. */
  readonly timeout?: Duration.Input
}

export interface UpgradeOptions extends WaitOptions {
  /** The Talos version to be reached, with or without `v`; the one that the cluster asks for where none is given. */
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
  ({ blockers }: WaitContext, cluster: ClusterName, what: string, options: WaitOptions) =>
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
                detail: `${what} within ${Duration.format(duration)}${describe(found)}`,
                durationMillis: Math.round(Duration.toMillis(duration))
              })
            )
        )
    })
  }

/** How many machines the sets of a cluster ask for. A set that takes all of a class asks for those that it has. */
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

/** Waits for a status that fits and counts the machines that are asked for, which is looked up where all else fits. */
export const untilStatus = (
  context: WaitContext,
  cluster: ClusterName,
  fits: (spec: ClusterStatusSpec) => boolean
): Effect.Effect<void, WaitFailure> =>
  Effect.gen(function*() {
    yield* orNotFound(cluster)(context.state.get(Kinds.Cluster, cluster))
    let seenBefore = false
    const fitting = context.statuses.of(cluster).pipe(
      Stream.mapEffect((status: Status | undefined) =>
        Effect.gen(function*() {
          if (status === undefined) {
            // Not there yet, or going with its cluster, which goes last.
            if (!seenBefore) return false
            const found = yield* orNotFound(cluster)(context.state.get(Kinds.Cluster, cluster))
            return found.metadata.phase === "tearingDown"
              ? yield* new ClusterNotFound({ provider: "omni", clusterName: cluster })
              : false
          }
          seenBefore = true
          const requested = status.spec.machines?.requested ?? 0
          return requested > 0 && fits(status.spec) && requested === (yield* expectedMachines(context, cluster))
        })
      ),
      Stream.filter((fit) => fit),
      Stream.runHead
    )
    yield* orNotFound(cluster)(Effect.map(fitting, Option.getOrUndefined))
  })

/** Until the cluster has all machines that it asks for, and Omni has nothing more to do with them. */
export const awaitRunning = (context: WaitContext) => (cluster: ClusterName, options: WaitOptions = {}) =>
  untilStatus(
    context,
    cluster,
    (spec) => spec.phase === runningPhase && spec.machines?.total === spec.machines?.requested
  )
    .pipe(withinTimeout(context, cluster, `cluster ${cluster} did not run`, options))

/** Until all machines are healthy and the Kubernetes API answers, too. */
export const awaitReady = (context: WaitContext) => (cluster: ClusterName, options: WaitOptions = {}) =>
  untilStatus(context, cluster, isReady).pipe(
    withinTimeout(context, cluster, `cluster ${cluster} was not ready`, options)
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

/** Waits for one of the two upgrades. What Omni says before it has noticed the new version counts for nothing. */
const awaitVersion = (
  statuses: Stream.Stream<{ readonly spec: UpgradeStatus } | undefined, CallFailure>,
  version: string
): Effect.Effect<void, CallFailure> =>
  statuses.pipe(
    Stream.filter((status) =>
      status !== undefined && status.spec.phase === upgradeDone && bare(status.spec.lastUpgradeVersion) === version
    ),
    Stream.runHead,
    Effect.asVoid
  )

/** Until the versions that are asked for are those of the last upgrades, and these are through. */
export const awaitUpgrade = (context: WaitContext) => (cluster: ClusterName, options: UpgradeOptions = {}) =>
  Effect.gen(function*() {
    const { state } = context
    const { spec } = yield* orNotFound(cluster)(state.get(Kinds.Cluster, cluster))
    const all = options.talos === undefined && options.kubernetes === undefined
    const talos = bare(options.talos ?? (all ? spec.talosVersion : ""))
    const kubernetes = bare(options.kubernetes ?? (all ? spec.kubernetesVersion : ""))
    yield* Effect.all([
      talos === ""
        ? Effect.void
        : awaitVersion(one(state, Kinds.TalosUpgradeStatus, cluster), talos),
      kubernetes === ""
        ? Effect.void
        : awaitVersion(one(state, Kinds.KubernetesUpgradeStatus, cluster), kubernetes)
    ], { concurrency: 2, discard: true })
  }).pipe(withinTimeout(context, cluster, `the upgrade of cluster ${cluster} was not through`, options))
