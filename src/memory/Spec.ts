/**
 * The spec of a simulated cluster, its validation, and the nodes and resources that it requests.
 *
 * @since 0.2.0
 */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { poolFields } from "../internal/SpecFields.ts"
import { unknownFields } from "../internal/SpecIssues.ts"
import type { NodeRole } from "../Model.ts"
import type { AddedNodes, ClusterSpec, NodePool } from "../Provider.ts"
import type { Issue } from "../Resource.ts"
import { SpecSchema } from "./SpecSchema.ts"

/**
 * The spec of a simulated cluster: a `ClusterSpec` with load balancers.
 *
 * @category models
 * @since 0.1.0
 */
export interface MemorySpec extends ClusterSpec {
  readonly loadBalancers?: number
}

/** A node that is requested. */
export interface WantedNode {
  readonly name: string
  readonly role: NodeRole
  readonly pool?: string
  readonly labels: Readonly<Record<string, string>>
}

/** A network or volume that is requested. */
export interface WantedResource {
  readonly name: string
}

const suffixes: Readonly<Record<NodeRole, string>> = {
  "control-plane": "control-plane",
  worker: "worker",
  "load-balancer": "external-load-balancer",
  helper: "helper"
}

/** The name of the n-th node of a role, counted from 1: `dev-worker`, `dev-worker2`, ...; of a pool `dev-gpu-1`, ... */
export const nodeName = (cluster: string, role: NodeRole, n: number, pool?: string): string =>
  pool === undefined ? `${cluster}-${suffixes[role]}${n === 1 ? "" : n}` : `${cluster}-${pool}-${n}`

const numbered = (
  cluster: string,
  count: number,
  node: Omit<WantedNode, "name">
): ReadonlyArray<WantedNode> =>
  Array.from(
    { length: count },
    (_, index) => ({ ...node, name: nodeName(cluster, node.role, index + 1, node.pool) })
  )

/** The nodes that a spec requests. */
export const nodesOf = (spec: MemorySpec): ReadonlyArray<WantedNode> => {
  const labels = spec.labels ?? {}
  return [
    ...numbered(spec.cluster, spec.controlPlanes, { role: "control-plane", labels }),
    ...numbered(spec.cluster, spec.workers, { role: "worker", labels }),
    ...(spec.pools ?? []).flatMap(({ count, labels: own, name, role }) =>
      numbered(spec.cluster, count, { role, pool: name, labels: { ...labels, ...own } })
    ),
    ...numbered(spec.cluster, spec.loadBalancers ?? 0, { role: "load-balancer", labels })
  ]
}

/** The first free names for nodes that are added. */
export const addedNodes = (
  cluster: string,
  { controlPlanes = 0, labels = {}, pool, workers = 0 }: AddedNodes,
  isFree: (name: string) => boolean
): ReadonlyArray<WantedNode> => {
  const of = (role: NodeRole, count: number) => {
    const found: Array<WantedNode> = []
    for (let n = 1; found.length < count; n++) {
      const name = nodeName(cluster, role, n, pool)
      if (isFree(name)) found.push({ name, role, labels, ...(pool === undefined ? {} : { pool }) })
    }
    return found
  }
  return [...of("control-plane", controlPlanes), ...of("worker", workers)]
}

/** The role and pool in the name of a node; a worker if the name has neither. */
export const placeOfName = (cluster: string, name: string): { readonly role: NodeRole; readonly pool?: string } => {
  const rest = name.slice(cluster.length + 1)
  for (const role of ["control-plane", "load-balancer", "helper", "worker"] as const) {
    if (new RegExp(`^${suffixes[role]}\\d*$`).test(rest)) return { role }
  }
  const pool = /^(.+)-\d+$/.exec(rest)?.[1]
  return pool === undefined ? { role: "worker" } : { role: "worker", pool }
}

/** The name of the one network, or volume, that every cluster has beside its nodes. */
export const resourceName = (cluster: string, kind: "network" | "volume"): string => `${cluster}-${kind}`

// -----------------------------------------------------------------------------
// Validation
// -----------------------------------------------------------------------------

const reserved = "kubelayer."
const maxNodes = 10_000

const labelIssues = (labels: unknown, prefix: string): ReadonlyArray<Issue> =>
  Object.entries<unknown>(typeof labels === "object" && labels !== null ? { ...labels } : {}).flatMap(
    ([key, value]) => {
      const path = `${prefix}labels.${key}`
      if (key === "") return [{ path, message: "must have a key that is not empty" }]
      if (key.startsWith(reserved)) return [{ path, message: `keys that begin with ${reserved} are reserved` }]
      return typeof value === "string" ? [] : [{ path, message: "must be a string" }]
    }
  )

const countIssue = (path: string, value: unknown, minimum: number): ReadonlyArray<Issue> =>
  Number.isInteger(value) && Number(value) >= minimum && Number(value) <= maxNodes
    ? []
    : [{ path, message: `must be an integer from ${minimum} to ${maxNodes}, got ${String(value)}` }]

const poolIssues = (pools: ReadonlyArray<NodePool>, prefix: string): ReadonlyArray<Issue> =>
  pools.flatMap((pool, index) => {
    const path = `${prefix}pools[${index}]`
    const isReserved = pool.name === "control-plane" || pool.name === "worker" ||
      pool.name === suffixes["load-balancer"] || pool.name === "helper"
    return [
      ...unknownFields(pool, Object.keys(poolFields), `${path}.`),
      ...(/^[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?$/.test(pool.name) && !isReserved
        ? []
        : [{
          path: `${path}.name`,
          message: `must be 1 to 32 lower-case letters, digits and \`-\`, and no role, got ${JSON.stringify(pool.name)}`
        }]),
      ...(pools.findIndex(({ name }) => name === pool.name) < index
        ? [{ path: `${path}.name`, message: `is used by two pools: ${JSON.stringify(pool.name)}` }]
        : []),
      ...(pool.role === "control-plane" || pool.role === "worker"
        ? []
        : [{ path: `${path}.role`, message: `must be "control-plane" or "worker", got ${String(pool.role)}` }]),
      ...countIssue(`${path}.count`, pool.count, 0),
      ...labelIssues(pool.labels, `${path}.`)
    ]
  })

/** All validation errors of a spec. */
export const issuesOf = (spec: Omit<MemorySpec, "cluster">, prefix = ""): ReadonlyArray<Issue> => {
  const pools = Array.isArray(spec.pools) ? spec.pools as ReadonlyArray<NodePool> : []
  const inPools = pools.some(({ count, role }) => role === "control-plane" && count > 0)
  return [
    ...unknownFields(spec, Object.keys(SpecSchema.fields), prefix),
    ...countIssue(`${prefix}controlPlanes`, spec.controlPlanes, inPools ? 0 : 1),
    ...countIssue(`${prefix}workers`, spec.workers, 0),
    ...countIssue(`${prefix}loadBalancers`, spec.loadBalancers ?? 0, 0),
    ...poolIssues(pools, prefix),
    ...labelIssues(spec.labels, prefix),
    ...(spec.onFailure === undefined || spec.onFailure === "remove" || spec.onFailure === "keep"
      ? []
      : [{ path: `${prefix}onFailure`, message: `must be "remove" or "keep", got ${String(spec.onFailure)}` }])
  ]
}

// -----------------------------------------------------------------------------
// JSON
// -----------------------------------------------------------------------------

/** A spec as JSON. It has no secrets. */
export const encodeSpec = (spec: MemorySpec): Schema.Json =>
  Object.fromEntries(Object.entries(spec).filter(([, value]) => value !== undefined)) as Schema.JsonObject

const decode = Schema.decodeUnknownResult(SpecSchema)

export const decodeSpec = (encoded: Schema.Json): MemorySpec | undefined => {
  const decoded = decode(encoded)
  return Result.isSuccess(decoded) ? { workers: 0, controlPlanes: 1, ...decoded.success } as MemorySpec : undefined
}
