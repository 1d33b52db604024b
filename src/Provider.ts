/**
 * The services `Provider` and `NodeCreator`.
 *
 * `Provider` acts on the nodes of clusters that exist, whichever tool created them; `NodeCreator` creates, changes and
 * replaces nodes. There is a Layer for each backend in `layers/`. The laws of `kubelayer/testing` check the docstrings
 * on every layer. Nothing here bootstraps Kubernetes on a node.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type { ClusterName, ClusterStatus, NodeInfo } from "./Model.ts"
import type { InvalidPlan, Plan, StalePlan } from "./Plan.ts"
import type {
  BackendFailure,
  ClusterNotFound,
  InvalidClusterName,
  InvalidSpec,
  NodesFailed,
  NodesNotCreated,
  NoNodes,
  OperationTimeout,
  ProviderUnavailable
} from "./ProviderError.ts"
import type { BackendError, ResourceKind } from "./Reason.ts"
import type { OperationReport } from "./Report.ts"

export { onEvent, Progress } from "./Progress.ts"

// -----------------------------------------------------------------------------
// Services
// -----------------------------------------------------------------------------

/**
 * A part of a cluster: some nodes by name, or one node pool. A name that the cluster does not have is a `Failed`
 * outcome on start and `AlreadyDone` on stop.
 *
 * @category models
 * @since 0.2.0
 */
export type NodeSelection = { readonly nodes: ReadonlyArray<string> } | { readonly pool: string }

/**
 * The methods of `Provider`. A cluster name is a plain string and is checked before any I/O.
 *
 * @category models
 * @since 0.1.0
 */
export interface ProviderService {
  /** The backend: `docker`, `hetzner`, `memory`, ... */
  readonly backend: string
  /** The name of this instance of the backend, as errors and spans show it; the backend's own where none was given. */
  readonly name: string
  /**
   * Starts every node of the cluster, or the selected ones: control planes first, then the rest, each wave in parallel.
   * A node that runs is `AlreadyDone`. It ends with a fresh list: a node that does not run by then is `Failed`. A node
   * that fails stops no other node.
   */
  readonly startNodes: (
    cluster: string,
    options?: NodeSelection
  ) => Effect.Effect<OperationReport, NoNodes | NodesFailed | OperationTimeout | BackendFailure>
  /**
   * Stops every node of the cluster, or the selected ones: control planes last. A node that is stopped or gone is
   * `AlreadyDone`. After an interruption no further call is sent, and the backend completes the calls that were sent.
   */
  readonly stopNodes: (
    cluster: string,
    options?: NodeSelection
  ) => Effect.Effect<OperationReport, NoNodes | NodesFailed | OperationTimeout | BackendFailure>
  /**
   * The nodes, control planes first, then by name with numbers compared as numbers; empty if there are none.
   */
  readonly listNodes: (cluster: string) => Effect.Effect<ReadonlyArray<NodeInfo>, BackendFailure>
  /**
   * The names of all clusters, sorted, each once. Names that cannot be referred to are left out, with one warning.
   */
  readonly listAllClusters: Effect.Effect<ReadonlyArray<ClusterName>, ProviderUnavailable | BackendError>
  /** The status of every cluster, sorted by name, from one read of the backend. */
  readonly listAllStatuses: Effect.Effect<ReadonlyArray<ClusterStatus>, ProviderUnavailable | BackendError>
  /** Whether the cluster has a node. A failed list is an error, never `false`. */
  readonly nodesExist: (cluster: string) => Effect.Effect<boolean, BackendFailure>
  /**
   * Deletes the cluster's nodes and the resources that it owns. A cluster without nodes is a success, and its leftovers
   * are still removed. A resource that something else uses is `Skipped`; the reason names the user. Call it again until
   * it succeeds.
   */
  readonly deleteNodes: (
    cluster: string
  ) => Effect.Effect<OperationReport, NodesFailed | OperationTimeout | BackendFailure>
  /**
   * The plan of `deleteNodes`: `delete` steps for everything that it would remove, `retain` steps for everything that
   * it would leave, with the reason. It writes nothing.
   */
  readonly planDelete: (cluster: string) => Effect.Effect<Plan, BackendFailure>
  /**
   * The status of the cluster; none if it does not exist. A failed list is an error, never an empty status.
   */
  readonly getClusterStatus: (cluster: string) => Effect.Effect<Option.Option<ClusterStatus>, BackendFailure>
  /** Whether the backend answers within the request timeout; this never fails. */
  readonly isAvailable: Effect.Effect<boolean>
  /** Succeeds if the backend answers a call that needs the credential. The error has the cause and the advice. */
  readonly checkAvailable: Effect.Effect<void, ProviderUnavailable>
  /**
   * The present status first, then each status that differs from the one before. Once nothing changes any more, the
   * last one equals `getClusterStatus`; states in between may be missing. It survives a cut connection by reading
   * again, and ends when the cluster is gone.
   */
  readonly watchCluster: (cluster: string) => Stream.Stream<ClusterStatus, ClusterNotFound | BackendFailure>
  /**
   * The statuses of all clusters first, then the whole list again at each change. It does not end while there is no
   * cluster.
   */
  readonly watchAllClusters: Stream.Stream<ReadonlyArray<ClusterStatus>, ProviderUnavailable | BackendError>
}

/**
 * The nodes of clusters in one backend.
 *
 * @category services
 * @since 0.1.0
 */
export class Provider extends Context.Service<Provider, ProviderService>()("kubelayer/Provider") {}

/**
 * Nodes of one kind under a name of their own, `<cluster>-<pool>-<n>`.
 *
 * @category models
 * @since 0.2.0
 */
export interface NodePool {
  /** Lower case letters, digits and `-`, unique within the cluster. `control-plane` and `worker` are reserved. */
  readonly name: string
  readonly role: "control-plane" | "worker"
  /** At least 0. */
  readonly count: number
  /** Labels of the pool's nodes, beside those of the spec. */
  readonly labels?: Readonly<Record<string, string>>
}

/**
 * The spec of a cluster that every backend understands. Images, server types and locations come from the options of the
 * layer, or from the wider spec of a backend's own service (`Docker`, `Hetzner`, `Omni`).
 *
 * @category models
 * @since 0.1.0
 */
export interface ClusterSpec {
  /** Lower case letters, digits, `.` and `-`; narrower where the backend is. */
  readonly cluster: string
  /** At least 1, or at least 0 where a pool of control planes has a node. */
  readonly controlPlanes: number
  readonly workers: number
  /** Nodes beside `controlPlanes` and `workers`, in pools with names. */
  readonly pools?: ReadonlyArray<NodePool>
  /** Additional labels of every node. Keys of the scheme and of kubelayer are refused. */
  readonly labels?: Readonly<Record<string, string>>
  /** If the call fails: `remove` (the default) removes everything that it created, `keep` leaves it for inspection. */
  readonly onFailure?: "remove" | "keep"
  /** Surplus control planes are deleted by `apply`. Without it a plan refuses a spec with fewer control planes. */
  readonly allowFewerControlPlanes?: boolean
}

/**
 * The failures of a create. `BackendError` and the refusals: nothing was created. `NodesNotCreated`: something was
 * created, and removed again except for its `leftovers`.
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

/**
 * The failures of `apply`. `NodesFailed`: it was a plan of a delete, or an update or deletion failed.
 *
 * @category errors
 * @since 0.2.0
 */
export type ApplyFailure = CreateFailure | NodesFailed | StalePlan | InvalidPlan

/**
 * How many nodes of each role are to be added.
 *
 * @category models
 * @since 0.2.0
 */
export interface AddedNodes {
  readonly controlPlanes?: number
  readonly workers?: number
  /** The pool of the nodes. With it one of `controlPlanes` and `workers` is given, as the pool's role is. */
  readonly pool?: string
  /** Additional labels of the added nodes. */
  readonly labels?: Readonly<Record<string, string>>
  /** If the call fails: `remove` (the default) removes the added nodes, `keep` leaves them. */
  readonly onFailure?: "remove" | "keep"
}

/**
 * How nodes are replaced or restarted, one wave at a time.
 *
 * @category models
 * @since 0.2.0
 */
export type RollingOptions<E = never, R = never> = NodeSelection & {
  /** How many nodes are acted on at once; 1 by default. */
  readonly maxUnavailable?: number
  /**
   * Runs after each wave, with the nodes of the wave as they are now. The next wave begins when it succeeds. Its failure
   * ends the operation, and is its failure.
   */
  readonly gate?: (nodes: ReadonlyArray<NodeInfo>) => Effect.Effect<void, E, R>
}

/**
 * Something that a process created and that no process uses any more: the process is gone, and the thing was bound to it
 * or unfinished.
 *
 * @category models
 * @since 0.2.0
 */
export interface Orphan {
  readonly kind: ResourceKind
  readonly name: string
  readonly id?: string
  /** The cluster that it was created for. */
  readonly clusterName: string
  /** One sentence. */
  readonly why: string
  /** With `remove`: whether it was removed, or the error. */
  readonly removed?: true | BackendError
}

/** @category models @since 0.2.0 */
export interface SweepOptions {
  /** Only what was created longer ago than this. */
  readonly olderThan: Duration.Input
  /** Whether to remove the orphans; by default they are only listed. */
  readonly remove?: boolean
}

/**
 * The methods of `NodeCreator`. `Spec` is wider in the service of a backend.
 *
 * @category models
 * @since 0.1.0
 */
export interface NodeCreatorService<Spec extends ClusterSpec = ClusterSpec, Added extends AddedNodes = AddedNodes> {
  /**
   * The steps from what the backend has to what the spec requests: everything that is missing, different, surplus or in
   * the way. It writes nothing.
   */
  readonly plan: (
    spec: Spec
  ) => Effect.Effect<Plan, InvalidClusterName | InvalidSpec | ProviderUnavailable | BackendError>
  /**
   * Creates what is missing of the cluster, repairs what lacks something, and starts every node. It plans once: where the
   * plan has `update`, `delete` or `refuse` steps, it fails before any write with the reason `Differs` or, where
   * something else uses a name, `NameTaken`. On failure or interruption it removes what this call created, within
   * `Policy.cleanupTimeout`, except what another create adopted.
   */
  readonly createNodes: (spec: Spec) => Effect.Effect<OperationReport, CreateFailure>
  /** `createNodes`, and `deleteNodes` of the cluster when the scope closes; the log has what is left then. */
  readonly createNodesScoped: (spec: Spec) => Effect.Effect<OperationReport, CreateFailure, Scope.Scope>
  /**
   * Carries a plan out, its `update` and `delete` steps included. It lists the backend again and fails with `StalePlan`
   * where the plan would now be another one. `spec` is required where a plan that was read from a file has digests of
   * secrets; it is compared with the plan.
   */
  readonly apply: (
    plan: Plan,
    options?: { readonly spec?: Spec }
  ) => Effect.Effect<OperationReport, ApplyFailure>
  /**
   * Adds nodes to a cluster that exists, also to one that another tool created. Their names are the first free ones. Two
   * calls that add one node each add two nodes.
   */
  readonly addNodes: (cluster: string, nodes: Added) => Effect.Effect<OperationReport, CreateFailure | ClusterNotFound>
  /** Deletes nodes of a cluster by name. A name that the cluster does not have is `AlreadyDone`. */
  readonly removeNodes: (
    cluster: string,
    names: ReadonlyArray<string>
  ) => Effect.Effect<OperationReport, ClusterNotFound | NodesFailed | OperationTimeout | BackendFailure>
  /**
   * Deletes the selected nodes and creates them again under their names, one wave at a time. A call that was interrupted
   * is finished by the same call.
   */
  readonly replaceNodes: <E = never, R = never>(
    cluster: string,
    options: RollingOptions<E, R>
  ) => Effect.Effect<
    OperationReport,
    E | ClusterNotFound | NodesFailed | CreateFailure,
    R
  >
  /** Stops and starts the selected nodes, one wave at a time. */
  readonly restartNodes: <E = never, R = never>(
    cluster: string,
    options: RollingOptions<E, R>
  ) => Effect.Effect<
    OperationReport,
    E | ClusterNotFound | InvalidSpec | NodesFailed | OperationTimeout | BackendFailure,
    R
  >
  /** Lists what processes that are gone have left behind, and removes it with `remove`. */
  readonly sweep: (
    options: SweepOptions
  ) => Effect.Effect<ReadonlyArray<Orphan>, ProviderUnavailable | BackendError>
}

/**
 * Creates, changes and replaces the nodes of clusters in one backend.
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
