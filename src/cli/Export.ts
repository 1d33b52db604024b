/**
 * Builds the document of an existing cluster from what its backend gives back.
 *
 * The document is planned before it is written: what would still change, and what no backend gives back, is named in
 * comments above it.
 */
import * as Effect from "effect/Effect"
import { type ClusterDocument, resolve } from "../Document.ts"
import * as DockerClient from "../layers/DockerClient.ts"
import type { NodeInfo } from "../Model.ts"
import type { Plan } from "../Plan.ts"
import type { Connection } from "./Backends.ts"
import type { BackendName } from "./Settings.ts"

interface Exported {
  readonly document: ClusterDocument
  readonly comments: ReadonlyArray<string>
}

interface Read {
  /** Fields of the document beside its header and counts. */
  readonly fields: Readonly<Record<string, unknown>>
  readonly missing: ReadonlyArray<string>
}

type Role = "control-plane" | "worker"

const fieldOf = { "control-plane": "controlPlane", worker: "worker" } as const

const single = <A>(values: ReadonlyArray<A>): A | undefined => {
  const [first, ...others] = new Set(values)
  return others.length === 0 ? first : undefined
}

/** One value for all nodes, or one for each role where they differ. */
const byRole = <A>(
  nodes: ReadonlyArray<NodeInfo>,
  valueOf: (node: NodeInfo) => A | undefined,
  toFields: (value: A) => object
): Readonly<Record<string, object>> => {
  const valuesOf = (role: Role) => nodes.filter((node) => node.role === role).flatMap((node) => valueOf(node) ?? [])
  const all = single([...valuesOf("control-plane"), ...valuesOf("worker")])
  if (all !== undefined) return { nodes: toFields(all) }
  return Object.fromEntries((["control-plane", "worker"] as const).flatMap((role) => {
    const value = single(valuesOf(role))
    return value === undefined ? [] : [[fieldOf[role], toFields(value)]]
  }))
}

const merged = (records: ReadonlyArray<Readonly<Record<string, object>>>): Readonly<Record<string, object>> =>
  records.reduce<Record<string, object>>((result, record) => {
    for (const [key, value] of Object.entries(record)) result[key] = { ...result[key], ...value }
    return result
  }, {})

// -----------------------------------------------------------------------------
// Docker
// -----------------------------------------------------------------------------

const schemeLabels: ReadonlyArray<readonly [prefix: string, scheme: string]> = [
  ["io.x-k8s.kind.", "kind"],
  ["k3d.", "k3d"],
  ["talos.", "talos"],
  ["kubelayer.", "kubelayer"]
]

interface ContainerFacts {
  readonly Id: string
  readonly Image: string
  readonly Labels?: Readonly<Record<string, string>>
}

const readDocker = Effect.fnUntraced(
  function*(docker: NonNullable<Connection["docker"]>, nodes: ReadonlyArray<NodeInfo>) {
    const ids = new Set(nodes.map(({ id }) => id))
    const containers = (yield* DockerClient.use(
      docker,
      (client, abortSignal) =>
        client.listContainers({ all: true, abortSignal }) as Promise<ReadonlyArray<ContainerFacts>>
    )).filter(({ Id }) => ids.has(Id))
    const images = new Map(containers.map(({ Id, Image }) => [Id, Image]))
    const keys = new Set(containers.flatMap(({ Labels }) => Object.keys(Labels ?? {})))
    const scheme = docker.scheme === "auto"
      ? schemeLabels.find(([prefix]) => [...keys].some((key) => key.startsWith(prefix)))?.[1]
      : docker.scheme
    const read: Read = {
      fields: {
        ...(scheme === undefined ? {} : { scheme }),
        ...byRole(nodes, ({ id }) => images.get(id), (image) => ({ image }))
      },
      missing: ["env, command, volumes and labels of nodes"]
    }
    return read
  }
)

// -----------------------------------------------------------------------------
// Hetzner, Omni, Memory
// -----------------------------------------------------------------------------

const readHetzner = Effect.fnUntraced(function*(
  request: NonNullable<Connection["request"]>,
  nodes: ReadonlyArray<NodeInfo>
) {
  const images = new Map<string, string | number>()
  for (const { id } of nodes.slice(0, 50)) {
    const { body } = yield* request("GET", `/servers/${encodeURIComponent(id)}`)
    const image =
      (body as { readonly server?: { readonly image?: { readonly id: number; readonly name?: string | null } } })
        ?.server?.image
    if (image !== undefined && image !== null) images.set(id, image.name ?? image.id)
  }
  const locations = [...new Set(nodes.flatMap(({ location }) => location ?? []))].sort()
  const read: Read = {
    fields: merged([
      byRole(nodes, ({ id }) => images.get(id), (image) => ({ image })),
      byRole(nodes, ({ serverType }) => serverType, (type) => ({ serverTypes: [type] })),
      locations.length === 0 ? {} : { nodes: { locations } }
    ]),
    missing: [
      "userData, which Hetzner does not give back; add it with { env: NAME } or { file: path }",
      "firewall, volumes, sshKeys and floatingIp"
    ]
  }
  return read
})

const readOthers = (backend: BackendName): Read => ({
  fields: {},
  missing: backend === "omni" ? ["machineClass, versions and patches"] : []
})

// -----------------------------------------------------------------------------
// The document
// -----------------------------------------------------------------------------

const countsOf = (nodes: ReadonlyArray<NodeInfo>) => {
  const plain = nodes.filter(({ pool }) => pool === undefined)
  const count = (role: NodeInfo["role"]) => plain.filter((node) => node.role === role).length
  const names = [...new Set(nodes.flatMap(({ pool }) => pool ?? []))].sort()
  const pools = names.map((name) => {
    const members = nodes.filter(({ pool }) => pool === name)
    return { name, role: members[0]?.role === "control-plane" ? "control-plane" : "worker", count: members.length }
  })
  const controlPlanes = count("control-plane")
  return {
    ...(controlPlanes > 0 || pools.length === 0 ? { controlPlanes: Math.max(1, controlPlanes) } : {}),
    workers: count("worker"),
    ...(pools.length === 0 ? {} : { pools }),
    loadBalancers: count("load-balancer")
  }
}

const planComments = (plan: Plan): ReadonlyArray<string> =>
  plan.isEmpty ? [] : [
    "A plan of this document is not empty yet:",
    ...plan.steps.filter(({ action }) => action !== "unchanged").flatMap((step) => step.toString().split("\n"))
      .map((line) => `  ${line.trim()}`)
  ]

const planOfDocument = (connection: Connection, document: ClusterDocument) =>
  Effect.flatMap(resolve(document), (spec) => connection.creator.plan(spec))

const differing = (plan: Plan, field: string): number =>
  plan.steps.filter(({ differences }) => differences.some((difference) => difference.field === field)).length

/**
 * The published ports of each role. A port of the host is part of it where the role has one node; more nodes have got
 * theirs from the engine.
 */
const withPorts = Effect.fnUntraced(function*(
  docker: NonNullable<Connection["docker"]>,
  document: ClusterDocument,
  cluster: string,
  nodes: ReadonlyArray<NodeInfo>
) {
  const published = yield* docker.portMappings(cluster)
  const portsOf = (role: Role) => {
    const names = nodes.filter((node) => node.role === role).map(({ name }) => name)
    return published.filter(({ node }) => node === names[0]).map(({ address, container, host, protocol }) => ({
      container,
      ...(names.length === 1 ? { host } : {}),
      ...(protocol === "tcp" ? {} : { protocol }),
      ...(address === "0.0.0.0" ? {} : { address })
    }))
  }
  const fields = document as unknown as Readonly<Record<string, object | undefined>>
  return (["control-plane", "worker"] as const).reduce((result, role) => {
    const ports = portsOf(role)
    return ports.length === 0 ? result : { ...result, [fieldOf[role]]: { ...fields[fieldOf[role]], ports } }
  }, document)
})

/** The document of a cluster that has these nodes. `open` connects to the scheme that the cluster has. */
export const exportCluster = Effect.fnUntraced(function*<E, R>(
  connection: Connection,
  address: { readonly backend: BackendName; readonly instance?: string },
  cluster: string,
  nodes: ReadonlyArray<NodeInfo>,
  open: (scheme: string) => Effect.Effect<Connection, E, R>
) {
  const { backend, instance } = address
  const { fields, missing } = connection.docker !== undefined
    ? yield* readDocker(connection.docker, nodes)
    : connection.request !== undefined
    ? yield* readHetzner(connection.request, nodes)
    : readOthers(backend)
  const { loadBalancers, ...counts } = countsOf(nodes)
  const first = {
    apiVersion: "kubelayer/v1",
    kind: "Cluster",
    backend,
    ...(instance === undefined ? {} : { instance }),
    name: cluster,
    ...counts,
    ...(backend === "memory" && loadBalancers > 0 ? { loadBalancers } : {}),
    ...fields
  } as unknown as ClusterDocument
  const scheme = typeof fields["scheme"] === "string" ? fields["scheme"] : undefined
  const owner = connection.docker?.scheme === "auto" && scheme !== undefined ? yield* open(scheme) : connection
  const planned = yield* Effect.result(planOfDocument(owner, first))
  const result = { document: first, planned }
  if (planned._tag === "Success" && owner.docker !== undefined && differing(planned.success, "ports") > 0) {
    const document = yield* withPorts(owner.docker, first, cluster, nodes)
    const again = yield* Effect.result(planOfDocument(owner, document))
    const isBetter = again._tag === "Success" && differing(again.success, "ports") < differing(planned.success, "ports")
    if (isBetter) Object.assign(result, { document, planned: again })
  }
  const comments = [
    `Cluster "${cluster}" on ${backend}, written by \`kubelayer get\`.`,
    ...missing.map((line) => `Not read: ${line}`),
    ...(result.planned._tag === "Success"
      ? planComments(result.planned.success)
      : [`It was not planned: ${result.planned.failure.message.replace(/\s*\n\s*/g, " ")}`])
  ]
  return { document: result.document, comments } satisfies Exported
})
