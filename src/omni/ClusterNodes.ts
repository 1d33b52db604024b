/**
 * Reads the machines and the status of a cluster.
 *
 * A cluster exists while its `Cluster` resource exists; its nodes are the machines that Omni assigned to it. The server
 * filters by the cluster's label, and the client checks the label again.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { byRoleThenName } from "../internal/Operation.ts"
import { type ClusterName, type ClusterStatus, isClusterName, type NodeInfo } from "../Model.ts"
import type { Subject } from "../Progress.ts"
import * as Labels from "./Labels.ts"
import type { ClusterMachineStatusSpec } from "./proto/specs_pb.ts"
import { type CallFailure, Kinds, type Resource, type State } from "./State.ts"
import { toNode, toStatus } from "./Translate.ts"

export const subjectOf = (node: NodeInfo): Subject => ({ kind: "node", name: node.name, id: node.id })

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

/** The names of all clusters. A name that cannot be referred to is left out, with one warning for each layer. */
export const clusters = (state: State): Effect.Effect<ReadonlyArray<ClusterName>, CallFailure> => {
  const warned = new Set<string>()
  return Effect.gen(function*() {
    const names: Array<ClusterName> = []
    for (const { metadata: { id } } of yield* state.list(Kinds.Cluster)) {
      if (isClusterName(id)) {
        names.push(id)
        continue
      }
      if (warned.has(id)) continue
      warned.add(id)
      yield* Effect.logWarning(
        `left out of the list of clusters: ${JSON.stringify(id.slice(0, 80))} cannot be referred to`
      )
    }
    return names.sort()
  })
}
