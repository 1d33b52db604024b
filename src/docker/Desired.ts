/**
 * From a valid spec to what it requests: networks, volumes, and nodes with their create calls. Pure.
 */
import { canonical, digestOf } from "../internal/Digest.ts"
import type { ClusterName } from "../Model.ts"
import { Difference } from "../Reason.ts"
import type { CreateBody } from "./Client.ts"
import * as Labels from "./Labels.ts"
import type { MadeScheme, NetworkTemplate, NewNode, PortMapping } from "./Scheme.ts"
import {
  clusterWide,
  countOf,
  counts,
  type DockerClusterSpec,
  merged,
  type NodeDefaults,
  type NodeSpec
} from "./Spec.ts"

/** The label that keeps the fixed address of a node, since the engine does not list those of stopped containers. */
export const addressLabel = "kubelayer.address"

export interface WantedNetwork extends NetworkTemplate {
  /** The network exists already, and this cluster need not own it. */
  readonly external: boolean
  /** The subnet of the spec; otherwise `subnet`, that of the scheme, is only the first to try. */
  readonly requestedSubnet?: string
  readonly design: Design
}

export interface WantedVolume {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly design: Design
}

export interface WantedNode {
  readonly name: string
  readonly place: NewNode
  readonly pool?: string
  readonly spec: NodeSpec & { readonly image: string }
  readonly ports: ReadonlyArray<PortMapping>
  /** The requested values, field by field, as the label keeps them. */
  readonly digest: string
  /** The fixed address, once it is allocated. */
  readonly address?: string
  /** The ports with their host ports, once they are chosen. */
  readonly hostPorts?: ReadonlyArray<PortMapping>
  readonly design: Design
}

/** The values that the parts of one cluster have in common. */
export interface Design {
  readonly cluster: ClusterName
  readonly scheme: MadeScheme
  /** The network that every node is in. */
  readonly network: NetworkTemplate
  readonly volumeName: (node: string, name: string) => string
  readonly networkName: (name: string) => string
  /** The nodes that are requested, also those that exist. */
  readonly nodes: ReadonlyArray<WantedNode>
}

export interface Desired {
  readonly design: Design
  readonly nodes: ReadonlyArray<WantedNode>
  /** The main network first. */
  readonly networks: ReadonlyArray<WantedNetwork>
  readonly volumes: ReadonlyArray<WantedVolume>
}

const record = (value: unknown): Record<string, unknown> =>
  typeof value === "object" && value !== null ? value as Record<string, unknown> : {}

/** `pull` says how a node is created, not what it is. Networks are compared with the attachments themselves. */
const isLeftOut = (field: string): boolean => field === "pull" || field === "networks"

/** The image is kept as it is, since people want to read it; of every other field only a digest. */
const digest = (spec: NodeSpec): string =>
  JSON.stringify(Object.fromEntries(
    Object.entries(canonical(spec) as Record<string, unknown>)
      .filter(([field, value]) => !isLeftOut(field) && JSON.stringify(value) !== "{}")
      .map(([field, value]) => [field, field === "image" ? value : digestOf(JSON.stringify(value))])
  ))

/** The text of a field whose value is known by its digest only. */
const shown = (field: string, value: unknown, text: string) =>
  value === undefined ? null : field === "image" && typeof value === "string" ? value : text

/** The fields in which the node that a label describes differs from the one that is requested. */
export const differences = (label: string | undefined, requested: string): ReadonlyArray<Difference> => {
  if (label === requested) return []
  let found: unknown
  try {
    found = JSON.parse(label ?? "")
  } catch {
    found = undefined
  }
  const replace = (field: string, actual: string | null, wanted: string | null) =>
    new Difference({ field, actual, requested: wanted, remedy: "replace" })
  if (typeof found !== "object" || found === null) {
    return [replace("spec", "unknown, because kubelayer did not create the node", "the node of this spec")]
  }
  const created = record(found)
  const wanted = JSON.parse(requested) as Record<string, unknown>
  return [...new Set([...Object.keys(created), ...Object.keys(wanted)])].sort()
    .filter((field) => created[field] !== wanted[field] && !isLeftOut(field))
    .map((field) =>
      replace(
        field,
        shown(field, created[field], "the value at its creation"),
        shown(field, wanted[field], "the value of the spec")
      )
    )
}

const portKey = (port: PortMapping) => `${port.container}/${port.protocol ?? "tcp"}`

const nodesOf = (
  design: Design,
  defaults: NodeDefaults,
  spec: DockerClusterSpec
): ReadonlyArray<WantedNode> => {
  const { cluster, scheme: { template } } = design
  const all = counts(design.scheme, defaults, spec)
  const wanted = (place: NewNode, name: string, node: NodeSpec, pool?: string): WantedNode => {
    const mapped = new Set((node.ports ?? []).map(portKey))
    return {
      name,
      place,
      ...(pool === undefined ? {} : { pool }),
      spec: { ...node, image: node.image ?? "" },
      // A port that the caller maps by hand is not mapped a second time for the scheme.
      ports: [...template.ports(place).filter((port) => !mapped.has(portKey(port))), ...(node.ports ?? [])],
      digest: digest(node),
      design
    }
  }
  const short = (["control-plane", "worker", "load-balancer"] as const).flatMap((role) => {
    const node = merged(role, defaults, spec)
    return Array.from({ length: countOf(role, spec, all) }, (_, index) => {
      const place: NewNode = { cluster, role, index, counts: all }
      return wanted(place, template.nodeName(place), node)
    })
  })
  const inPools = (spec.pools ?? []).flatMap((pool) => {
    const { count, name, role, ...own } = pool
    const node = merged(role, defaults, spec, own)
    const before = countOf(role, spec, all)
    return Array.from(
      { length: count },
      (_, index) =>
        wanted(
          { cluster, role, index: before + index, counts: all },
          poolNodeName(cluster, name, index + 1),
          node,
          name
        )
    )
  })
  return [...short, ...inPools]
}

/** The name of the n-th node of a pool, counted from 1. */
const poolNodeName = (cluster: string, pool: string, n: number): string => `${cluster}-${pool}-${n}`

/** The things that a spec requests. */
export const desiredOf = (
  scheme: MadeScheme,
  defaults: NodeDefaults,
  spec: DockerClusterSpec,
  cluster: ClusterName
): Desired => {
  const { template } = scheme
  const { networks, subnet, volumes } = clusterWide(defaults, spec)
  const perNode = new Set(volumes.filter((volume) => volume.perNode === true).map(({ name }) => name))
  const external = new Set(networks.filter((network) => network.external === true).map(({ name }) => name))
  const nodes: Array<WantedNode> = []
  const design: Design = {
    cluster,
    nodes,
    scheme,
    network: template.network(cluster),
    networkName: (name) => external.has(name) ? name : `${cluster}-${name}`,
    volumeName: (node, name) => `${perNode.has(name) ? node : cluster}-${name}`
  }
  nodes.push(...nodesOf(design, defaults, spec))
  const declared = volumes.filter((volume) => volume.perNode !== true).map(({ name }) => design.volumeName("", name))
  return {
    design,
    nodes,
    networks: [
      { ...design.network, external: false, design, ...(subnet === undefined ? {} : { requestedSubnet: subnet }) },
      ...networks.map((network): WantedNetwork => ({
        name: design.networkName(network.name),
        shared: false,
        external: network.external === true,
        labels: {},
        options: {},
        ipv6: false,
        design,
        ...(network.subnet === undefined ? {} : { requestedSubnet: network.subnet })
      }))
    ],
    volumes: [
      ...template.volumes(cluster).map(({ labels, name }) => ({ name, labels, design })),
      ...[...new Set([...declared, ...nodes.flatMap(namedVolumes)])].map((name) => ({ name, labels: {}, design }))
    ]
  }
}

/** The named volumes that a node mounts, beside those of the scheme. */
export const namedVolumes = ({ design, name: node, spec }: WantedNode): ReadonlyArray<string> =>
  (spec.volumes ?? []).flatMap(({ name }) => name === undefined ? [] : [design.volumeName(node, name)])

/** The networks that a node is in, the main one first. */
export const networksOfNode = ({ design, spec }: WantedNode): ReadonlyArray<string> => [
  design.network.name,
  ...(spec.networks ?? []).map(design.networkName)
]

const list = (value: unknown): ReadonlyArray<unknown> => Array.isArray(value) ? value : []

/** The create call of a node, with the host ports and the address that were allocated. */
export const createBody = (node: WantedNode, ownership: Readonly<Record<string, string>>): CreateBody => {
  const { design, spec } = node
  const { cluster, scheme: { template } } = design
  const base = template.container(node.place)
  const host = template.hostConfig(node.place)
  const network = design.network.name
  const bindings: Record<string, Array<{ HostIp: string; HostPort: string }>> = {}
  for (const port of node.hostPorts ?? node.ports) {
    ;(bindings[portKey(port)] ??= []).push({ HostIp: port.address ?? "", HostPort: String(port.host ?? "") })
  }
  // An engine creates a volume that is missing by now on its own. Its labels say which cluster owns it.
  const labelled = (labels: Readonly<Record<string, string>>) => ({
    VolumeOptions: { Labels: { ...labels, ...ownership } }
  })
  const clusterVolumes = template.volumes(cluster).map((volume) => ({
    Type: "volume",
    Source: volume.name,
    Target: volume.target,
    ...labelled(volume.labels)
  }))
  const volumes = (spec.volumes ?? []).map((volume) => ({
    Type: "volume",
    Target: volume.target,
    ReadOnly: volume.readOnly === true,
    ...(volume.name === undefined ? {} : { Source: design.volumeName(node.name, volume.name), ...labelled({}) })
  }))
  const binds = (spec.binds ?? []).map((bind) => `${bind.source}:${bind.target}${bind.readOnly === true ? ":ro" : ""}`)
  return {
    ...base,
    Image: spec.image,
    Hostname: node.name,
    Labels: {
      ...spec.labels,
      ...template.labels(node.place),
      ...ownership,
      [Labels.spec]: node.digest,
      ...(node.pool === undefined ? {} : { [Labels.pool]: node.pool }),
      ...(node.address === undefined ? {} : { [addressLabel]: node.address })
    },
    Env: [...list(base["Env"]), ...Object.entries(spec.env ?? {}).map(([name, value]) => `${name}=${value}`)],
    ...(spec.command === undefined ? {} : { Cmd: spec.command }),
    ...(spec.entrypoint === undefined ? {} : { Entrypoint: spec.entrypoint }),
    ExposedPorts: Object.fromEntries(Object.keys(bindings).map((key) => [key, {}])),
    HostConfig: {
      ...host,
      NetworkMode: network,
      PortBindings: bindings,
      Binds: [...list(host["Binds"]), ...binds],
      Mounts: [...list(host["Mounts"]), ...clusterVolumes, ...volumes],
      Tmpfs: { ...record(host["Tmpfs"]), ...Object.fromEntries((spec.tmpfs ?? []).map((folder) => [folder, ""])) },
      ...(spec.privileged === undefined ? {} : { Privileged: spec.privileged }),
      ...(spec.cpus === undefined ? {} : { NanoCpus: Math.round(spec.cpus * 1e9) }),
      ...(spec.memoryBytes === undefined ? {} : { Memory: spec.memoryBytes }),
      ...(spec.restart === undefined ? {} : { RestartPolicy: { Name: spec.restart } })
    },
    NetworkingConfig: {
      EndpointsConfig: {
        [network]: node.address === undefined ? {} : { IPAMConfig: { IPv4Address: node.address } }
      }
    }
  }
}
