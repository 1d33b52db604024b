/**
 * Helpers over any provider: wait for a status, act on each node, build a status, turn values into JSON.
 *
 * @since 0.2.0
 */
import type * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Formatter from "effect/Formatter"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { checkUnicodeClusterName } from "./internal/ClusterNames.ts"
import { buildClusterStatus } from "./internal/ClusterStatus.ts"
import * as Operation from "./internal/Operation.ts"
import type { ClusterStatus, NodeInfo, NodeState } from "./Model.ts"
import * as Policy from "./Policy.ts"
import type { ProviderService } from "./Provider.ts"
import {
  type BackendFailure,
  ClusterNotFound,
  ClustersNotDeleted,
  type ExpiredCluster,
  type InvalidClusterName,
  type NodesFailed,
  NoNodes,
  type OperationTimeout,
  ProviderUnavailable,
  SkipAction
} from "./ProviderError.ts"
import { BackendError, UnknownError } from "./Reason.ts"
import { Done, type OperationReport, Outcome, Skipped } from "./Report.ts"

/**
 * Anything that lists the nodes of a cluster.
 *
 * @category models
 * @since 0.1.0
 */
export interface NodeLister<E = BackendFailure, R = never> {
  readonly backend?: string
  readonly listNodes: (cluster: string) => Effect.Effect<ReadonlyArray<NodeInfo>, E, R>
}

/**
 * A `NodeLister` that also reports whether its backend answers.
 *
 * @category models
 * @since 0.1.0
 */
export interface AvailableProvider<E = BackendFailure, R = never> extends NodeLister<E, R> {
  readonly isAvailable: Effect.Effect<boolean, never, R>
  readonly checkAvailable: Effect.Effect<void, ProviderUnavailable, R>
}

const backendOf = (lister: { readonly backend?: string }): string => lister.backend ?? "provider"

/**
 * Fails with `NoNodes` where the cluster has none.
 *
 * @category combinators
 * @since 0.1.0
 */
export const checkNodesExist = <E, R>(
  lister: NodeLister<E, R>,
  cluster: string
): Effect.Effect<void, E | NoNodes, R> =>
  Effect.flatMap(
    lister.listNodes(cluster),
    (nodes) =>
      nodes.length > 0 ? Effect.void : Effect.fail(new NoNodes({ provider: backendOf(lister), clusterName: cluster }))
  )

/**
 * The status from one list; none where the cluster has no nodes.
 *
 * @category combinators
 * @since 0.1.0
 */
export const getClusterStatusFromLister = <E, R>(
  lister: NodeLister<E, R>,
  cluster: string,
  readyState: NodeState = "running"
): Effect.Effect<Option.Option<ClusterStatus>, E, R> =>
  Effect.map(
    lister.listNodes(cluster),
    (nodes) =>
      nodes[0] === undefined ? Option.none() : Option.some(buildClusterStatus(nodes[0].clusterName, nodes, readyState))
  )

/**
 * Lists the nodes of a backend that answers; fails with `ProviderUnavailable` before the list where it does not.
 *
 * @category combinators
 * @since 0.1.0
 */
export const ensureAvailableAndListNodes = <E, R>(
  provider: AvailableProvider<E, R>,
  cluster: string
): Effect.Effect<ReadonlyArray<NodeInfo>, E | ProviderUnavailable, R> =>
  Effect.andThen(provider.checkAvailable, provider.listNodes(cluster))

// The error of a caller's function may be any value, also one that has no text.
const wordsOf = (error: unknown): string => {
  if (typeof error === "string") return error
  if (error === undefined || error === null) return "it failed without saying why"
  return error instanceof Error && error.message !== "" ? error.message : Formatter.format(error)
}

const callbackError = (
  provider: string,
  cluster: string,
  node: NodeInfo,
  error: unknown
): BackendError | ProviderUnavailable =>
  error instanceof BackendError || error instanceof ProviderUnavailable
    ? error
    : new BackendError({
      provider,
      operation: "forEachNode",
      clusterName: cluster,
      subject: { kind: "node", name: node.name },
      reason: new UnknownError({ detail: wordsOf(error) })
    })

/**
 * Runs `f` for every node of a cluster, several at once. A node for which `f` fails with `SkipAction` is `Skipped`. Any
 * other failure is the outcome of that node, and the others go on. One `NodesFailed` has all failures. If `f` returns
 * an outcome, it is the outcome of the node; otherwise the node is `Done`.
 *
 * **Example** (Something done with every worker)
 *
 * ```ts run
 * import * as Effect from "effect/Effect"
 * import * as Memory from "kubelayer/layers/Memory"
 * import { forEachNode } from "kubelayer/Cluster"
 * import { Provider } from "kubelayer/Provider"
 * import { SkipAction } from "kubelayer/ProviderError"
 *
 * const program = Effect.gen(function*() {
 *   const provider = yield* Provider
 *   return yield* forEachNode(provider, "dev", (node) =>
 *     Effect.gen(function*() {
 *       if (node.role !== "worker") return yield* new SkipAction({ reason: "not a worker" })
 *       // What is to be done with the node stands here; a failure of it is this node's outcome.
 *     }))
 * })
 *
 * const clusters = { dev: { controlPlanes: 1, workers: 1 } }
 * const report = await Effect.runPromise(program.pipe(Effect.provide(Memory.layer({ clusters }))))
 * for (const { name, outcome } of report.outcomes) console.log(name, outcome._tag)
 * // => dev-control-plane Skipped
 * // => dev-worker Done
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const forEachNode = Effect.fnUntraced(function*<A, E, R, E2, R2>(
  lister: NodeLister<E, R>,
  cluster: string,
  f: (node: NodeInfo) => Effect.Effect<A, E2 | SkipAction, R2>,
  options: { readonly concurrency?: number; readonly timeout?: Duration.Input } = {}
): Effect.fn.Return<OperationReport, E | InvalidClusterName | NoNodes | NodesFailed | OperationTimeout, R | R2> {
  const clusterName = yield* checkUnicodeClusterName(cluster)
  const provider = backendOf(lister)
  const policy = Policy.make(yield* Policy.Current)
  return yield* Operation.run(
    { provider, name: "forEachNode", clusterName, policy },
    Effect.fnUntraced(function*(operation) {
      const nodes = yield* lister.listNodes(cluster)
      if (nodes.length === 0) return yield* new NoNodes({ provider, clusterName })
      yield* operation.wave(nodes, {
        subject: (node) => ({ kind: "node" as const, name: node.name, id: node.id }),
        timeout: options.timeout === undefined ? policy.nodeTimeout.start : Duration.fromInputUnsafe(options.timeout),
        width: options.concurrency ?? policy.concurrency.start
      }, (node) =>
        f(node).pipe(
          Effect.map((result): Outcome => isOutcome(result) ? result : new Done({})),
          Effect.catch((error: E2 | SkipAction) =>
            error instanceof SkipAction
              ? Effect.succeed<Outcome>(new Skipped({ reason: error.reason }))
              : Effect.fail(callbackError(provider, cluster, node, error))
          )
        ))
    })
  )
})

// A value of the caller's own may well have a tag like `Done`.
const isOutcome = Schema.is(Outcome)

/**
 * Anything whose clusters can be watched.
 *
 * @category models
 * @since 0.1.0
 */
export type ClusterWatcher = Pick<ProviderService, "backend" | "watchCluster">

/**
 * Waits until the status of a cluster satisfies the predicate, using `watchCluster`. Fails with `ClusterNotFound` if
 * the cluster does not exist or is deleted while waiting.
 *
 * **Example** (Until every node is ready, without polling)
 *
 * ```ts run
 * import * as Effect from "effect/Effect"
 * import * as Memory from "kubelayer/layers/Memory"
 * import { awaitStatus } from "kubelayer/Cluster"
 * import { Provider } from "kubelayer/Provider"
 *
 * const program = Effect.gen(function*() {
 *   const provider = yield* Provider
 *   yield* Effect.forkChild(provider.startNodes("dev"))
 *   return yield* awaitStatus(provider, "dev", (status) => status.ready, { timeout: "1 minute" })
 * })
 *
 * const clusters = { dev: { controlPlanes: 1, workers: 1, state: "stopped" } } as const
 * const status = await Effect.runPromise(program.pipe(Effect.provide(Memory.layer({ clusters }))))
 * console.log(`${status.phase}: ${status.nodesReady} of ${status.nodesTotal}`)
 * // => running: 2 of 2
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const awaitStatus = (
  provider: ClusterWatcher,
  cluster: string,
  predicate: (status: ClusterStatus) => boolean,
  options: { readonly timeout: Duration.Input }
): Effect.Effect<ClusterStatus, ClusterNotFound | BackendFailure | Cause.TimeoutError> =>
  provider.watchCluster(cluster).pipe(
    Stream.filter(predicate),
    Stream.runHead,
    Effect.flatMap(Option.match({
      onNone: () => Effect.fail(new ClusterNotFound({ provider: provider.backend, clusterName: cluster })),
      onSome: Effect.succeed
    })),
    Effect.timeout(options.timeout)
  )

/**
 * Waits until a cluster is gone; one that is not there is gone already.
 *
 * @category combinators
 * @since 0.1.0
 */
export const awaitGone = (
  provider: ClusterWatcher,
  cluster: string,
  options: { readonly timeout: Duration.Input }
): Effect.Effect<void, BackendFailure | Cause.TimeoutError> =>
  provider.watchCluster(cluster).pipe(
    Stream.runDrain,
    Effect.catchTag("ClusterNotFound", () => Effect.void),
    Effect.timeout(options.timeout)
  )

/**
 * Anything whose clusters can be deleted by age.
 *
 * @category models
 * @since 0.2.0
 */
export type ClusterDeleter = Pick<ProviderService, "name" | "listAllStatuses" | "deleteNodes">

/**
 * Deletes every cluster whose oldest node is older than `age`, several at once. With `dryRun` it only lists them. A
 * cluster that cannot be deleted stops no other; all of them are in one `ClustersNotDeleted`.
 *
 * It reads all clusters in one call, those of other tools included. `where` keeps the ones that it returns `false` for.
 * A cluster is kept if the backend does not report the creation time of a node.
 *
 * **Example** (The clusters of last week, without deleting them)
 *
 * ```ts run
 * import * as Effect from "effect/Effect"
 * import * as Memory from "kubelayer/layers/Memory"
 * import { deleteOlderThan } from "kubelayer/Cluster"
 * import { Provider } from "kubelayer/Provider"
 *
 * const program = Effect.gen(function*() {
 *   const provider = yield* Provider
 *   const expired = yield* deleteOlderThan(provider, 0, {
 *     dryRun: true,
 *     where: (status) => status.clusterName.startsWith("ci-")
 *   })
 *   return expired.map((cluster) => cluster.clusterName)
 * })
 *
 * const clusters = { "ci-1": { controlPlanes: 1, workers: 0 }, prod: { controlPlanes: 1, workers: 0 } }
 * console.log((await Effect.runPromise(program.pipe(Effect.provide(Memory.layer({ clusters }))))).join(", "))
 * // => ci-1
 * ```
 *
 * @category combinators
 * @since 0.2.0
 */
export const deleteOlderThan = Effect.fnUntraced(function*(
  provider: ClusterDeleter,
  age: Duration.Input,
  options: {
    /** Lists what would be deleted, and deletes nothing. */
    readonly dryRun?: boolean
    /** Whether a cluster may be deleted; all of them by default. */
    readonly where?: (status: ClusterStatus) => boolean
    /** How many clusters are deleted at once; 4 by default. */
    readonly concurrency?: number
  } = {}
): Effect.fn.Return<
  ReadonlyArray<ExpiredCluster>,
  ClustersNotDeleted | ProviderUnavailable | BackendError
> {
  const { concurrency = 4, dryRun = false, where = () => true } = options
  const limit = Duration.toMillis(Duration.fromInputUnsafe(age))
  const statuses = yield* provider.listAllStatuses
  const now = yield* Clock.currentTimeMillis
  const expired = statuses.flatMap((status) => {
    const { clusterName, createdAt } = status
    if (createdAt === undefined || !where(status)) return []
    const ageMillis = now - createdAt.epochMilliseconds
    return ageMillis < limit ? [] : [{ clusterName, createdAt, ageMillis }]
  })
  if (dryRun) return expired
  const clusters = yield* Effect.forEach(expired, (cluster) =>
    Effect.match(provider.deleteNodes(cluster.clusterName), {
      onFailure: (error): ExpiredCluster => ({ ...cluster, error }),
      onSuccess: (report): ExpiredCluster => ({ ...cluster, report })
    }), { concurrency })
  return clusters.some(({ error }) => error !== undefined)
    ? yield* new ClustersNotDeleted({ provider: provider.name, clusters })
    : clusters
})

export { checkClusterName, checkNewClusterName, checkUnicodeClusterName } from "./internal/ClusterNames.ts"
export { buildClusterStatus } from "./internal/ClusterStatus.ts"
export { type Jsonable, toJson } from "./internal/ToJson.ts"
