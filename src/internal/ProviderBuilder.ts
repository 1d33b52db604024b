/**
 * Builds a `Provider` from what a backend can do, so that names are checked, spans opened, policies resolved and
 * statuses derived in one way for all.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { ClusterName, ClusterStatus, NodeInfo } from "../Model.ts"
import type { Policy } from "../Policy.ts"
import type { ProviderService } from "../Provider.ts"
import type { ClusterNotFound, InvalidClusterName, NoNodes, ProviderUnavailable } from "../ProviderError.ts"
import type { BackendError } from "../Reason.ts"
import type { OperationName } from "../Report.ts"
import { checkClusterName } from "./ClusterNames.ts"
import { buildClusterStatus } from "./ClusterStatus.ts"
import { method, streamMethod } from "./Method.ts"
import { allClusters, withoutSelection } from "./NotPorted.ts"
import * as Operation from "./Operation.ts"

type CallFailure = ProviderUnavailable | BackendError

export interface Backend {
  readonly name: string
  readonly checkName?: (input: string) => Effect.Effect<ClusterName, InvalidClusterName>
  /** The policy in force for a call: defaults, backend's, layer's, context's. */
  readonly policy: Effect.Effect<Policy>
  /** The URL of the backend's API, without credentials, where it is known. */
  readonly endpoint: Effect.Effect<string | undefined>
  readonly ping: Effect.Effect<void, ProviderUnavailable>
  readonly listNodes: (cluster: ClusterName) => Effect.Effect<ReadonlyArray<NodeInfo>, CallFailure>
  readonly listAllClusters: Effect.Effect<ReadonlyArray<ClusterName>, CallFailure>
  /** Where the backend itself says how a cluster is; else the status is made of its nodes. */
  readonly status?: (cluster: ClusterName) => Effect.Effect<Option.Option<ClusterStatus>, CallFailure>
  readonly start: (operation: Operation.Operation) => Effect.Effect<void, NoNodes | CallFailure>
  readonly stop: (operation: Operation.Operation) => Effect.Effect<void, NoNodes | CallFailure>
  readonly delete: (operation: Operation.Operation) => Effect.Effect<void, CallFailure>
  readonly watch: (cluster: ClusterName) => Stream.Stream<ClusterStatus, ClusterNotFound | CallFailure>
}

/** The status of a cluster from its nodes; none where it has none. */
export const statusOf = (nodes: ReadonlyArray<NodeInfo>, endpoint: string | undefined): Option.Option<ClusterStatus> =>
  nodes[0] === undefined
    ? Option.none()
    : Option.some(
      buildClusterStatus(nodes[0].clusterName, nodes, "running", endpoint === undefined ? {} : { endpoint })
    )

export const makeProvider = (backend: Backend): ProviderService => {
  const { name } = backend
  const checkName = backend.checkName ?? checkClusterName

  const read = <A, E>(operation: string, cluster: string, f: (clusterName: ClusterName) => Effect.Effect<A, E>) =>
    Effect.flatMap(checkName(cluster), f).pipe(method(name, operation, cluster))

  const status = backend.status ?? ((clusterName: ClusterName) =>
    Effect.flatMap(
      backend.listNodes(clusterName),
      (nodes) => Effect.map(backend.endpoint, (endpoint) => statusOf(nodes, endpoint))
    ))

  const act = <E>(
    operation: OperationName,
    cluster: string,
    body: (operation: Operation.Operation) => Effect.Effect<void, E>
  ) =>
    read(operation, cluster, (clusterName) =>
      Effect.flatMap(
        backend.policy,
        (policy) => Operation.run({ provider: name, name: operation, clusterName, policy }, body)
      ))

  return {
    backend: name,
    name,
    ...allClusters(name, { listAllClusters: backend.listAllClusters, status }),
    startNodes: (cluster, options) =>
      withoutSelection(name, "startNodes", cluster, options, act("startNodes", cluster, backend.start)),
    stopNodes: (cluster, options) =>
      withoutSelection(name, "stopNodes", cluster, options, act("stopNodes", cluster, backend.stop)),
    deleteNodes: (cluster) => act("deleteNodes", cluster, backend.delete),
    listNodes: (cluster) => read("listNodes", cluster, backend.listNodes),
    nodesExist: (cluster) =>
      read(
        "nodesExist",
        cluster,
        (clusterName) => Effect.map(backend.listNodes(clusterName), (nodes) => nodes.length > 0)
      ),
    getClusterStatus: (cluster) => read("getClusterStatus", cluster, status),
    listAllClusters: backend.listAllClusters.pipe(method(name, "listAllClusters")),
    isAvailable: Effect.isSuccess(backend.ping).pipe(method(name, "isAvailable")),
    checkAvailable: backend.ping.pipe(method(name, "checkAvailable")),
    watchCluster: (cluster) =>
      Stream.unwrap(Effect.map(checkName(cluster), backend.watch)).pipe(streamMethod(name, "watchCluster", cluster))
  }
}
