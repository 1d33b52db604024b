/**
 * The exact error union, success and requirements of every method and helper. `tsc` is the test: a wider union is as
 * much of a change for a caller as a narrower one, so all of these are equalities.
 */
import type * as Cause from "effect/Cause"
import type * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import type * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import * as Cluster from "kubelayer/Cluster"
import type { ClusterName, ClusterStatus, NodeInfo } from "kubelayer/Model"
import type { InvalidPlan, Plan, StalePlan } from "kubelayer/Plan"
import * as Provider from "kubelayer/Provider"
import type {
  BackendFailure,
  ClusterNotFound,
  ClustersNotDeleted,
  InvalidClusterName,
  InvalidSpec,
  NodesFailed,
  NodesNotCreated,
  NoNodes,
  OperationTimeout,
  ProviderError,
  ProviderUnavailable,
  SkipAction,
  UnknownLabelScheme
} from "kubelayer/ProviderError"
import type { BackendError, Reason, ReasonTag } from "kubelayer/Reason"
import type { OperationReport } from "kubelayer/Report"
import { expectTypeOf } from "vitest"
import { makeNodeCreator, scopedCreate } from "../../src/internal/ScopedCreate.ts"

declare const provider: Provider.ProviderService
declare const creator: Provider.NodeCreatorService
declare const spec: Provider.ClusterSpec

// -----------------------------------------------------------------------------
// Provider
// -----------------------------------------------------------------------------

type Named<A, E> = (cluster: string) => Effect.Effect<A, E>
type Report<E> = Named<OperationReport, E | BackendFailure>

expectTypeOf<BackendFailure>().toEqualTypeOf<InvalidClusterName | ProviderUnavailable | BackendError>()

type Selecting<E> = (
  cluster: string,
  options?: { readonly nodes: ReadonlyArray<string> } | { readonly pool: string }
) => Effect.Effect<OperationReport, E | BackendFailure>
expectTypeOf(provider.startNodes).toEqualTypeOf<Selecting<NoNodes | NodesFailed | OperationTimeout>>()
expectTypeOf(provider.stopNodes).toEqualTypeOf<Selecting<NoNodes | NodesFailed | OperationTimeout>>()
expectTypeOf(provider.planDelete).toEqualTypeOf<Named<Plan, BackendFailure>>()
expectTypeOf(provider.listAllStatuses).toEqualTypeOf<
  Effect.Effect<ReadonlyArray<ClusterStatus>, ProviderUnavailable | BackendError>
>()
expectTypeOf(provider.watchAllClusters).toEqualTypeOf<
  Stream.Stream<ReadonlyArray<ClusterStatus>, ProviderUnavailable | BackendError>
>()
expectTypeOf(provider.deleteNodes).toEqualTypeOf<Report<NodesFailed | OperationTimeout>>()
expectTypeOf(provider.listNodes).toEqualTypeOf<Named<ReadonlyArray<NodeInfo>, BackendFailure>>()
expectTypeOf(provider.nodesExist).toEqualTypeOf<Named<boolean, BackendFailure>>()
expectTypeOf(provider.getClusterStatus).toEqualTypeOf<Named<Option.Option<ClusterStatus>, BackendFailure>>()
expectTypeOf(provider.listAllClusters).toEqualTypeOf<
  Effect.Effect<ReadonlyArray<ClusterName>, ProviderUnavailable | BackendError>
>()
expectTypeOf(provider.isAvailable).toEqualTypeOf<Effect.Effect<boolean>>()
expectTypeOf(provider.checkAvailable).toEqualTypeOf<Effect.Effect<void, ProviderUnavailable>>()
expectTypeOf(provider.watchCluster).toEqualTypeOf<
  (cluster: string) => Stream.Stream<ClusterStatus, ClusterNotFound | BackendFailure>
>()

// A method that is added is to be listed above.
expectTypeOf<keyof Provider.ProviderService>().toEqualTypeOf<
  | "backend"
  | "name"
  | "startNodes"
  | "stopNodes"
  | "deleteNodes"
  | "listNodes"
  | "nodesExist"
  | "getClusterStatus"
  | "listAllClusters"
  | "isAvailable"
  | "checkAvailable"
  | "watchCluster"
  | "planDelete"
  | "listAllStatuses"
  | "watchAllClusters"
>()

// -----------------------------------------------------------------------------
// NodeCreator
// -----------------------------------------------------------------------------

expectTypeOf<Provider.CreateFailure>().toEqualTypeOf<
  InvalidClusterName | InvalidSpec | NodesNotCreated | OperationTimeout | ProviderUnavailable | BackendError
>()
expectTypeOf(creator.createNodes(spec)).toEqualTypeOf<Effect.Effect<OperationReport, Provider.CreateFailure>>()
expectTypeOf(creator.createNodesScoped(spec)).toEqualTypeOf<
  Effect.Effect<OperationReport, Provider.CreateFailure, Scope.Scope>
>()
expectTypeOf(creator.plan(spec)).toEqualTypeOf<
  Effect.Effect<Plan, InvalidClusterName | InvalidSpec | ProviderUnavailable | BackendError>
>()
expectTypeOf<Provider.ApplyFailure>().toEqualTypeOf<Provider.CreateFailure | NodesFailed | StalePlan | InvalidPlan>()
declare const plan: Plan
expectTypeOf(creator.apply(plan)).toEqualTypeOf<Effect.Effect<OperationReport, Provider.ApplyFailure>>()
expectTypeOf(creator.addNodes("dev", { workers: 1 })).toEqualTypeOf<
  Effect.Effect<OperationReport, Provider.CreateFailure | ClusterNotFound>
>()
expectTypeOf(creator.removeNodes("dev", ["dev-worker"])).toEqualTypeOf<
  Effect.Effect<OperationReport, ClusterNotFound | NodesFailed | OperationTimeout | BackendFailure>
>()
// A gate's error and requirement are the operation's.
declare const gate: (nodes: ReadonlyArray<NodeInfo>) => Effect.Effect<void, "not healthy", "a service">
expectTypeOf(creator.restartNodes("dev", { pool: "gpu", gate }))
  .toEqualTypeOf<
    Effect.Effect<
      OperationReport,
      "not healthy" | ClusterNotFound | InvalidSpec | NodesFailed | OperationTimeout | BackendFailure,
      "a service"
    >
  >()
expectTypeOf(creator.sweep({ olderThan: "1 hour" })).toEqualTypeOf<
  Effect.Effect<ReadonlyArray<Provider.Orphan>, ProviderUnavailable | BackendError>
>()
expectTypeOf<keyof Provider.NodeCreatorService>().toEqualTypeOf<
  | "plan"
  | "createNodes"
  | "createNodesScoped"
  | "apply"
  | "addNodes"
  | "removeNodes"
  | "replaceNodes"
  | "restartNodes"
  | "sweep"
>()

// -----------------------------------------------------------------------------
// Helpers
// -----------------------------------------------------------------------------

class MyError {
  readonly _tag = "MyError"
}
class OtherError {
  readonly _tag = "OtherError"
}
interface MyService {
  readonly mine: true
}
interface OtherService {
  readonly other: true
}
declare const lister: Cluster.NodeLister
declare const myLister: Cluster.NodeLister<MyError, MyService>
declare const myProvider: Cluster.AvailableProvider<MyError, MyService>

// A Provider is a lister, an available provider and a watcher without more ado.
expectTypeOf<Provider.ProviderService>().toExtend<Cluster.NodeLister>()
expectTypeOf<Provider.ProviderService>().toExtend<Cluster.AvailableProvider>()
expectTypeOf<Provider.ProviderService>().toExtend<Cluster.ClusterWatcher>()

expectTypeOf(Cluster.checkNodesExist(lister, "dev")).toEqualTypeOf<Effect.Effect<void, BackendFailure | NoNodes>>()
expectTypeOf(Cluster.checkNodesExist(myLister, "dev")).toEqualTypeOf<
  Effect.Effect<void, MyError | NoNodes, MyService>
>()
expectTypeOf(Cluster.getClusterStatusFromLister(myLister, "dev")).toEqualTypeOf<
  Effect.Effect<Option.Option<ClusterStatus>, MyError, MyService>
>()
expectTypeOf(Cluster.ensureAvailableAndListNodes(myProvider, "dev")).toEqualTypeOf<
  Effect.Effect<ReadonlyArray<NodeInfo>, MyError | ProviderUnavailable, MyService>
>()
expectTypeOf(Cluster.buildClusterStatus("dev", [])).toEqualTypeOf<ClusterStatus>()

/** The errors of forEachNode beside those of the lister; the report has those of the callback. */
type ForEachFailure = InvalidClusterName | NoNodes | NodesFailed | OperationTimeout

declare const never: (node: NodeInfo) => Effect.Effect<void>
declare const skipping: (node: NodeInfo) => Effect.Effect<void, SkipAction>
declare const failing: (node: NodeInfo) => Effect.Effect<number, OtherError | SkipAction, OtherService>

expectTypeOf(Cluster.forEachNode(lister, "dev", never)).toEqualTypeOf<
  Effect.Effect<OperationReport, BackendFailure | ForEachFailure>
>()
expectTypeOf(Cluster.forEachNode(myLister, "dev", skipping)).toEqualTypeOf<
  Effect.Effect<OperationReport, MyError | ForEachFailure, MyService>
>()
expectTypeOf(Cluster.forEachNode(myLister, "dev", failing)).toEqualTypeOf<
  Effect.Effect<OperationReport, MyError | ForEachFailure, MyService | OtherService>
>()

const minute = { timeout: "1 minute" } as const
expectTypeOf(Cluster.awaitStatus(provider, "dev", (status) => status.ready, minute)).toEqualTypeOf<
  Effect.Effect<ClusterStatus, ClusterNotFound | BackendFailure | Cause.TimeoutError>
>()
expectTypeOf(Cluster.awaitGone(provider, "dev", minute)).toEqualTypeOf<
  Effect.Effect<void, BackendFailure | Cause.TimeoutError>
>()

declare const scoped: (spec: { readonly cluster: string; readonly wide: true }) => Effect.Effect<
  OperationReport,
  Provider.CreateFailure
>
expectTypeOf(scopedCreate(scoped, provider.deleteNodes)).toEqualTypeOf<
  (spec: { readonly cluster: string; readonly wide: true }) => Effect.Effect<
    OperationReport,
    Provider.CreateFailure,
    Scope.Scope
  >
>()
expectTypeOf(makeNodeCreator(creator.createNodes, provider.deleteNodes)).toEqualTypeOf<
  Pick<Provider.NodeCreatorService, "createNodes" | "createNodesScoped">
>()

// -----------------------------------------------------------------------------
// Services, layers and the union of all errors
// -----------------------------------------------------------------------------

declare const backend: Parameters<
  typeof Provider.layerFrom<
    MyService,
    { readonly provider: Provider.ProviderService; readonly creator: Provider.NodeCreatorService }
  >
>[0]
expectTypeOf(Provider.layerFrom(backend)).toEqualTypeOf<
  Layer.Layer<Provider.Provider | Provider.NodeCreator, never, MyService>
>()

// A service key is an Effect of its service.
expectTypeOf<Effect.Success<typeof Provider.Provider>>().toEqualTypeOf<Provider.ProviderService>()
expectTypeOf<Effect.Services<typeof Provider.Provider>>().toEqualTypeOf<Provider.Provider>()

expectTypeOf<ProviderError>().toEqualTypeOf<
  | InvalidClusterName
  | ProviderUnavailable
  | BackendError
  | NoNodes
  | ClusterNotFound
  | UnknownLabelScheme
  | SkipAction
  | InvalidSpec
  | NodesFailed
  | NodesNotCreated
  | OperationTimeout
  | ClustersNotDeleted
>()

// The table of reasons and the union of their classes have the same tags.
expectTypeOf<Reason["_tag"]>().toEqualTypeOf<ReasonTag>()

// A layer whose method fails with more does not pass for a Provider.
declare const wider: Effect.Effect<never, OtherError>
// @ts-expect-error OtherError is not an error of listNodes
export const tooWide: Provider.ProviderService = { ...provider, listNodes: () => wider }
