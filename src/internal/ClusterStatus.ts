/**
 * The status of a cluster, computed from a list of its nodes.
 */
import * as DateTime from "effect/DateTime"
import { ClusterName, type ClusterPhase, ClusterStatus, type NodeInfo, type NodeState } from "../Model.ts"

const phaseOf = (states: ReadonlyArray<NodeState>, ready: number): ClusterPhase => {
  const all = (state: NodeState) => states.every((each) => each === state)
  if (states.length === 0) return "unknown"
  if (ready === states.length) return "running"
  if (ready > 0) return "degraded"
  if (all("stopped")) return "stopped"
  if (states.some((state) => state === "creating" || state === "starting")) return "provisioning"
  if (all("deleting")) return "deleting"
  if (states.every((state) => state === "stopped" || state === "stopping")) return "stopping"
  return states.includes("failed") ? "degraded" : "unknown"
}

const oldest = (nodes: ReadonlyArray<NodeInfo>): { readonly createdAt?: DateTime.Utc } => {
  const times = nodes.flatMap(({ createdAt }) => createdAt ?? [])
  return times.length === 0 ? {} : { createdAt: times.reduce((a, b) => DateTime.min(a, b)) }
}

/**
 * The status of a cluster from a list of its nodes. Helpers are in `nodes` and count in no total. `ClusterPhase` has the
 * rule of the phase.
 *
 * @category constructors
 * @since 0.1.0
 */
export const buildClusterStatus = (
  cluster: string,
  nodes: ReadonlyArray<NodeInfo>,
  readyState: NodeState = "running",
  extra: { readonly endpoint?: string; readonly rawPhase?: string } = {}
): ClusterStatus => {
  const counted = nodes.filter((node) => node.role !== "helper")
  const ready = counted.filter((node) => node.state === readyState).length
  return new ClusterStatus({
    clusterName: ClusterName.make(cluster),
    phase: phaseOf(counted.map((node) => node.state), ready),
    ready: counted.length > 0 && ready === counted.length,
    nodesTotal: counted.length,
    nodesReady: ready,
    nodes,
    ...oldest(nodes),
    ...extra
  })
}
