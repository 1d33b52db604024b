/**
 * What can be said of a cluster, and done with each of its nodes, by whatever lists nodes: no more of a backend is asked
 * for than each helper needs. All of it is exported from `Provider`.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Formatter from "effect/Formatter"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import {
  checkUnicodeClusterName,
  type ClusterPhase,
  ClusterStatus,
  Done,
  type NodeInfo,
  type NodeState,
  type OperationReport,
  Outcome,
  Skipped
} from "../Model.ts"
import * as Policy from "../Policy.ts"
import {
  BackendError,
  type BackendFailure,
  type InvalidClusterName,
  type NodesFailed,
  NoNodes,
  type OperationTimeout,
  ProviderUnavailable,
  SkipAction,
  UnknownError
} from "../ProviderError.ts"
import * as Operation from "./Operation.ts"

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
 * A `NodeLister` that also tells whether its backend answers.
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

const phaseOf = (states: ReadonlyArray<NodeState>, ready: number): ClusterPhase => {
  const all = (state: NodeState) => states.every((each) => each === state)
  if (states.length === 0) return "unknown"
  if (ready === states.length) return "running"
  if (ready > 0) return "degraded"
  if (all("stopped")) return "stopped"
  if (states.some((state) => state === "creating" || state === "starting")) return "provisioning"
  if (all("deleting")) return "deleting"
  return states.includes("failed") ? "degraded" : "unknown"
}

/**
 * The status that a list of nodes makes. Helpers stand in `nodes` but count in no total. `phase`: all ready is running,
 * some is degraded; where none is: all stopped is stopped, any creating or starting is provisioning, all deleting is
 * deleting, any failed is degraded, else unknown.
 *
 * @category constructors
 * @since 0.1.0
 */
export const buildClusterStatus = (
  nodes: ReadonlyArray<NodeInfo>,
  readyState: NodeState = "running",
  extra: { readonly endpoint?: string; readonly rawPhase?: string } = {}
): ClusterStatus => {
  const counted = nodes.filter((node) => node.role !== "helper")
  const ready = counted.filter((node) => node.state === readyState).length
  return new ClusterStatus({
    phase: phaseOf(counted.map((node) => node.state), ready),
    ready: counted.length > 0 && ready === counted.length,
    nodesTotal: counted.length,
    nodesReady: ready,
    nodes,
    ...extra
  })
}

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
    (nodes) => nodes.length === 0 ? Option.none() : Option.some(buildClusterStatus(nodes, readyState))
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

// The error of somebody else's callback may be any value, also one that has no text.
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
      node: node.name,
      reason: new UnknownError({ detail: wordsOf(error) })
    })

/**
 * Runs `f` for every node of a cluster, several at once. A node for which `f` fails with `SkipAction` is `Skipped`; any
 * other failure is that node's outcome, and the others go on. All failures stand in one `NodesFailed`. What `f` gives
 * is the outcome if it is one, else the node is `Done`.
 *
 * **Example** (Something done with every worker)
 *
 * ```ts run
 * import * as Effect from "effect/Effect"
 * import * as Memory from "kubelayer/layers/Memory"
 * import { forEachNode, Provider } from "kubelayer/Provider"
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
