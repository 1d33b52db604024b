/**
 * Finds clusters at rest that are not as their documents say any more: one read of a backend for all of its clusters.
 *
 * A cluster has drifted if it is gone, if a node is missing or surplus, or if a node does not run. The specs of nodes
 * are compared when the cluster is planned.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { ClusterStatus } from "../Model.ts"
import type { AtRest } from "./Store.ts"

/** Why a cluster has drifted; undefined where it has not. */
const driftOf = (cluster: AtRest, status: ClusterStatus | undefined): string | undefined => {
  if (status === undefined) return cluster.nodes === 0 ? undefined : "the cluster is gone"
  const nodes = status.nodes.filter(({ role }) => role === "control-plane" || role === "worker")
  if (nodes.length !== cluster.nodes) {
    return `the cluster has ${nodes.length} ${
      nodes.length === 1 ? "node" : "nodes"
    }, the document requests ${cluster.nodes}`
  }
  const down = nodes.filter(({ state }) => state !== "running")
  const [first] = down
  if (first === undefined) return undefined
  return `node ${first.name} is ${first.state}${down.length === 1 ? "" : `, and ${down.length - 1} more do not run`}`
}

/** How often a cluster that does not become as requested is reconciled for the same drift. */
const mostPauseMillis = 600_000

/**
 * Remembers drifts, so that a cluster which stays different after a reconcile is not reconciled again at each read. The
 * pause is doubled each time, and forgotten once the cluster is seen as requested.
 */
export const makeDriftFilter = (firstPauseMillis: number) => {
  const seen = new Map<string, { readonly until: number; readonly pause: number }>()
  return (
    clusters: ReadonlyArray<AtRest>,
    statuses: ReadonlyArray<ClusterStatus>
  ): Effect.Effect<ReadonlyArray<{ readonly name: string; readonly message: string }>> =>
    Effect.map(Clock.currentTimeMillis, (now) => {
      const byName = new Map<string, ClusterStatus>(statuses.map((status) => [status.clusterName, status]))
      return clusters.flatMap((cluster) => {
        const message = driftOf(cluster, byName.get(cluster.name))
        if (message === undefined) {
          seen.delete(cluster.name)
          return []
        }
        const last = seen.get(cluster.name)
        if (last !== undefined && now < last.until) return []
        const pause = Math.min(mostPauseMillis, last === undefined ? firstPauseMillis : last.pause * 2)
        seen.set(cluster.name, { until: now + pause, pause })
        return [{ name: cluster.name, message }]
      })
    })
}
