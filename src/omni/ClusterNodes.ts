/**
 * Reads the machines and the status of a cluster.
 *
 * A cluster exists while its `Cluster` resource exists; its nodes are the machines that Omni assigned to it. The server
 * filters by the cluster's label, and the client checks the label again.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { byRoleThenName } from "../internal/Operation.ts"
import type { ClusterName, ClusterStatus, NodeInfo } from "../Model.ts"
import * as Labels from "./Labels.ts"
import type { ClusterMachineStatusSpec } from "./proto/specs_pb.ts"
import { type CallFailure, Kinds, type Resource, type StateReader as State } from "./State.ts"
import { toNode, toStatus } from "./Translate.ts"

/** The machines of a cluster, in the order of `listNodes`. */
export const toNodes = (
  cluster: ClusterName,
  machines: Iterable<Resource<ClusterMachineStatusSpec>>
): ReadonlyArray<NodeInfo> => [...machines].map((machine) => toNode(cluster, machine)).sort(byRoleThenName)

export const listNodes =
  (state: State) => (cluster: ClusterName): Effect.Effect<ReadonlyArray<NodeInfo>, CallFailure> =>
    Effect.map(
      state.list(Kinds.ClusterMachineStatus, { [Labels.cluster]: cluster }),
      (machines) => toNodes(cluster, machines)
    )

/** Reads with two calls at once, and a third while Omni has no status of the cluster. */
export const getStatus =
  (state: State, endpoint: string) =>
  (cluster: ClusterName): Effect.Effect<Option.Option<ClusterStatus>, CallFailure> =>
    Effect.gen(function*() {
      const [status, nodes] = yield* Effect.all(
        [state.get(Kinds.ClusterStatus, cluster), listNodes(state)(cluster)],
        { concurrency: 2 }
      )
      const resource = status === undefined ? yield* state.get(Kinds.Cluster, cluster) : undefined
      return status === undefined && resource === undefined
        ? Option.none()
        : Option.some(toStatus(cluster, resource, status, nodes, endpoint))
    })
