/**
 * The status of a cluster, computed from a list of its nodes.
 */
import { ClusterName, type ClusterPhase, ClusterStatus, type NodeInfo, type NodeState } from "../Model.ts"

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
    ...extra
  })
}
