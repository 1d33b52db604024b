/**
 * Whom a load balancer serves, by its targets. Pure.
 *
 * A label that the cloud controller sets says only that some cluster's controller created the load balancer. Its targets
 * say which cluster it serves.
 */
import type * as Wire from "./Wire.ts"

type Target = NonNullable<Wire.LoadBalancer["targets"]>[number]

/** The servers of a target; undefined where the API does not say which they are. */
const serversOf = (target: Target): ReadonlyArray<number> | undefined => {
  if (target.type === "server") {
    return target.server === null || target.server === undefined ? undefined : [target.server.id]
  }
  if (target.type !== "label_selector" || target.targets === null || target.targets === undefined) return undefined
  const selected = target.targets.map(({ server }) => server?.id)
  return selected.every((id) => id !== undefined) ? selected : undefined
}

/**
 * - `cluster`: it has targets, and all of them are servers of the cluster.
 * - `others`: at least one target is something else, or cannot be read.
 * - `nothing`: it has no target, or selectors that select no server.
 */
export type Serves = "cluster" | "others" | "nothing"

/** Whom a load balancer serves, seen from the cluster that owns the servers of these ids. */
export const servesWhom = ({ targets }: Wire.LoadBalancer, servers: ReadonlySet<number>): Serves => {
  const found = (targets ?? []).map(serversOf)
  if (found.some((ids) => ids === undefined || ids.some((id) => !servers.has(id)))) return "others"
  return found.some((ids) => (ids ?? []).length > 0) ? "cluster" : "nothing"
}

/** Whether a server of these ids is a target. */
export const servesAny = ({ targets }: Wire.LoadBalancer, servers: ReadonlySet<number>): boolean =>
  (targets ?? []).some((target) => (serversOf(target) ?? []).some((id) => servers.has(id)))
