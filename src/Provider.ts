/**
 * The services `Provider` and `NodeCreator`, and the helpers over them.
 *
 * `Provider` acts on the nodes of clusters that exist, whoever made them; `NodeCreator` makes nodes. A Layer for each
 * place where nodes live is in `layers/`. What a method must do is said here once, with the ids of the laws in
 * `kubelayer/testing` that check it on every layer. Nothing here bootstraps Kubernetes on a node.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { type ClusterName, ClusterStatus, NodeInfo } from "./Model.ts"
import {
  type BackendFailure,
  ClusterNotFound,
  type InvalidClusterName,
  type InvalidSpec,
  type NodesFailed,
  type NodesNotCreated,
  type NoNodes,
  type OperationTimeout,
  type ProviderUnavailable
} from "./ProviderError.ts"
import { BackendError } from "./Reason.ts"
import type { OperationReport } from "./Report.ts"

export { onEvent, Progress } from "./Progress.ts"

// -----------------------------------------------------------------------------
// Services
// -----------------------------------------------------------------------------

/**
 * The methods of `Provider`. A cluster name is a plain string and is checked before any I/O (laws `names.*`).
 *
 * @category models
 * @since 0.1.0
 */
export interface ProviderService {
  /** The backend's name, as it stands in errors and spans: `docker`, `memory`, ... */
  readonly backend: string
  /**
   * Starts every node of the cluster: control planes first, then the rest, each wave in parallel. A node that runs is
   * `AlreadyDone`. One fresh list ends it: a node that does not run by then is `Failed`. One node's failure stops
   * nothing else (laws `lifecycle.start*`, `idempotency.start`, `absent.start`, `partial.start-*`, `interruption.start`,
   * `concurrency.*`).
   */
  readonly startNodes: (
    cluster: string
  ) => Effect.Effect<OperationReport, NoNodes | NodesFailed | OperationTimeout | BackendFailure>
  /**
   * Stops every node of the cluster: the rest first, control planes last. A node that is stopped, or gone, is
   * `AlreadyDone`. Interruption sends nothing more; what was sent, the backend completes (laws `lifecycle.stop*`,
   * `idempotency.stop`, `absent.stop`, `partial.stop-*`, `interruption.stop`).
   */
  readonly stopNodes: (
    cluster: string
  ) => Effect.Effect<OperationReport, NoNodes | NodesFailed | OperationTimeout | BackendFailure>
  /**
   * The nodes, control planes first, then by name with numbers compared as numbers; empty where there are none (laws
   * `lifecycle.list-*`, `absent.list*`, `ownership.list`).
   */
  readonly listNodes: (cluster: string) => Effect.Effect<ReadonlyArray<NodeInfo>, BackendFailure>
  /**
   * The names of all clusters, sorted, each once. Names that cannot be referred to are left out, with one warning (law
   * `lifecycle.clusters`).
   */
  readonly listAllClusters: Effect.Effect<ReadonlyArray<ClusterName>, ProviderUnavailable | BackendError>
  /** Whether the cluster has a node. "Could not ask" is an error, never `false` (laws `absent.exist`, `absent.error`). */
  readonly nodesExist: (cluster: string) => Effect.Effect<boolean, BackendFailure>
  /**
   * Deletes the cluster's nodes and what else is the cluster's own. No nodes is success, and leftovers are still
   * removed. What something foreign uses is `Skipped`, with its name. Call it again until it succeeds (laws
   * `lifecycle.delete`, `idempotency.delete`, `absent.delete`, `ownership.*`, `partial.delete-*`).
   */
  readonly deleteNodes: (
    cluster: string
  ) => Effect.Effect<OperationReport, NodesFailed | OperationTimeout | BackendFailure>
  /**
   * None where the cluster does not exist. A list that failed is an error, never an empty status (laws
   * `lifecycle.status*`, `absent.status*`).
   */
  readonly getClusterStatus: (cluster: string) => Effect.Effect<Option.Option<ClusterStatus>, BackendFailure>
  /** Whether the backend answers. It is asked, within the request timeout; this never fails (law `absent.available`). */
  readonly isAvailable: Effect.Effect<boolean>
  /** Succeeds if the backend answers; the error says why not and what to do. */
  readonly checkAvailable: Effect.Effect<void, ProviderUnavailable>
  /**
   * The present status first, then one that differs from the one before at each change. When the world rests, the last
   * one equals `getClusterStatus`; states in between are not promised. Survives a cut by reading again, and ends when
   * the cluster is gone (laws `watch.*`).
   */
  readonly watchCluster: (cluster: string) => Stream.Stream<ClusterStatus, ClusterNotFound | BackendFailure>
}

/**
 * The nodes of clusters in one backend.
 *
 * @category services
 * @since 0.1.0
 */
export class Provider extends Context.Service<Provider, ProviderService>()("kubelayer/Provider") {}

/**
 * What every backend can make a cluster's nodes from. Images, server types, locations come from the layer's options.
 *
 * @category models
 * @since 0.1.0
 */
export interface ClusterSpec {
  /** Lower case letters, digits, `.` and `-`; narrower where the backend is. */
  readonly cluster: string
  /** At least 1. */
  readonly controlPlanes: number
  readonly workers: number
  /** Labels of the caller's own for every node. Keys of the scheme and of kubelayer are refused. */
  readonly labels?: Readonly<Record<string, string>>
  /** What becomes of what this call made when it fails: removed (the default), or kept to look at. */
  readonly onFailure?: "remove" | "keep"
}

/**
 * What making nodes can fail with. `BackendError` and the refusals: nothing was made. `NodesNotCreated`: something was
 * made, and removed again but for its `leftovers`.
 *
 * @category errors
 * @since 0.1.0
 */
export type CreateFailure =
  | InvalidClusterName
  | InvalidSpec
  | NodesNotCreated
  | OperationTimeout
  | ProviderUnavailable
  | BackendError

/** @category models @since 0.1.0 */
export interface NodeCreatorService {
  /**
   * Makes what is missing of the cluster, and starts what it made. What is there already and agrees is `AlreadyDone`;
   * what differs, or is held by something foreign, is an error that names the difference, and nothing is touched. On
   * failure or interruption it removes what this call made, within `Policy.cleanupTimeout` (laws `create.*`).
   */
  readonly createNodes: (spec: ClusterSpec) => Effect.Effect<OperationReport, CreateFailure>
  /** `createNodes`, and `deleteNodes` of the cluster when the scope closes; what then is left is logged. */
  readonly createNodesScoped: (spec: ClusterSpec) => Effect.Effect<OperationReport, CreateFailure, Scope.Scope>
}

/**
 * Makes the nodes of clusters in one backend.
 *
 * @category services
 * @since 0.1.0
 */
export class NodeCreator extends Context.Service<NodeCreator, NodeCreatorService>()("kubelayer/NodeCreator") {}

/**
 * A Layer of `Provider` and `NodeCreator` from one backend's own service, for programs with several backends.
 *
 * **Example** (The same program over one of two backends)
 *
 * ```ts run
 * import * as Effect from "effect/Effect"
 * import * as Layer from "effect/Layer"
 * import * as Docker from "kubelayer/layers/Docker"
 * import * as Memory from "kubelayer/layers/Memory"
 * import { layerFrom, Provider } from "kubelayer/Provider"
 *
 * const clusters = Provider.use((provider) => provider.listAllClusters)
 *
 * const backends = Layer.mergeAll(
 *   Docker.layerService({ scheme: "kind" }),
 *   Memory.layerService({ clusters: { test: { controlPlanes: 1, workers: 0 } } })
 * )
 * const program = clusters.pipe(Effect.provide(layerFrom(Memory.Memory)), Effect.provide(backends))
 * console.log((await Effect.runPromise(program)).join(", "))
 * // => test
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layerFrom = <I, S extends { readonly provider: ProviderService; readonly creator: NodeCreatorService }>(
  backend: Context.Key<I, S>
): Layer.Layer<Provider | NodeCreator, never, I> =>
  Layer.effectContext(
    Effect.map(
      backend,
      (service) => Context.make(Provider, service.provider).pipe(Context.add(NodeCreator, service.creator))
    )
  )
