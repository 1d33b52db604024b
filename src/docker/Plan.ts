/**
 * From a spec without faults to what is to be made: networks, volumes, and the create call of every node. Pure.
 */
import * as IpInterface from "effect/net/IpInterface"
import * as IpNetwork from "effect/net/IpNetwork"
import * as NetAddress from "effect/net/NetAddress"
import * as Result from "effect/Result"
import { canonical, digestOf } from "../internal/Digest.ts"
import type { ClusterName } from "../Model.ts"
import type { CreateBody } from "./Client.ts"
import * as Labels from "./Labels.ts"
import type { Labelled, MadeScheme, NetworkTemplate, NewNode, PortMapping } from "./Scheme.ts"
import {
  clusterWide,
  countOf,
  counts,
  type DockerClusterSpec,
  merged,
  type NodeDefaults,
  type NodeSpec,
  type Role
} from "./Spec.ts"

/** The label that keeps a node's fixed address, since the engine does not list those of stopped containers. */
export const addressLabel = "kubelayer.address"

export interface PlannedNode extends NewNode {
  readonly name: string
  readonly spec: NodeSpec & { readonly image: string }
  readonly ports: ReadonlyArray<PortMapping>
  /** What was asked for, field by field, as it stands in the label. */
  readonly digest: string
}

export interface PlannedNetwork extends NetworkTemplate {
  /** Not ours: it has to be there. */
  readonly external: boolean
  /** The subnet that the caller wants; otherwise `subnet`, the scheme's, is only the first to try. */
  readonly wish?: string
}

export interface PlannedVolume {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
}

export interface Plan {
  readonly cluster: ClusterName
  readonly scheme: MadeScheme
  readonly nodes: ReadonlyArray<PlannedNode>
  /** The main network first. */
  readonly networks: readonly [PlannedNetwork, ...ReadonlyArray<PlannedNetwork>]
  readonly volumes: ReadonlyArray<PlannedVolume>
  readonly volumeName: (node: string, name: string) => string
  readonly networkName: (name: string) => string
  /** The nodes that are there, where a cluster is extended: what their scheme calls theirs may then be joined. */
  readonly extended?: ReadonlyArray<Labelled>
}

const record = (value: unknown): Record<string, unknown> =>
  typeof value === "object" && value !== null ? value as Record<string, unknown> : {}

/** The image is kept as it is, since people want to read it; of every other field only a digest. */
const digest = (spec: NodeSpec): string =>
  JSON.stringify(Object.fromEntries(
    Object.entries(canonical(spec) as Record<string, unknown>)
      // When to pull is how, not what.
      .filter(([field, value]) => field !== "pull" && JSON.stringify(value) !== "{}")
      .map(([field, value]) => [field, field === "image" ? value : digestOf(JSON.stringify(value))])
  ))

const shown = (value: unknown): string => typeof value === "string" ? value : JSON.stringify(value) ?? "none"

/** The fields in which what a container was made from differs from what is asked for now. */
export const differences = (label: string | undefined, asked: string): ReadonlyArray<string> => {
  if (label === asked) return []
  let found: unknown
  try {
    found = JSON.parse(label ?? "")
  } catch {
    found = undefined
  }
  if (typeof found !== "object" || found === null) return ["what it was made from is not known"]
  const made = record(found)
  const wanted = JSON.parse(asked) as Record<string, unknown>
  return [...new Set([...Object.keys(made), ...Object.keys(wanted)])]
    .filter((field) => made[field] !== wanted[field])
    .map((field) =>
      field === "image" ? `image (it is ${shown(made["image"])}, asked is ${shown(wanted["image"])})` : field
    )
}

export const makePlan = (
  scheme: MadeScheme,
  defaults: NodeDefaults,
  spec: DockerClusterSpec,
  cluster: ClusterName
): Plan => {
  const { template } = scheme
  const all = counts(scheme, defaults, spec)
  const own = template.network(cluster)
  const { networks, subnet, volumes } = clusterWide(defaults, spec)
  const perNode = new Set(volumes.filter((volume) => volume.perNode === true).map(({ name }) => name))
  const external = new Set(networks.filter((network) => network.external === true).map(({ name }) => name))
  const networkName = (name: string) => external.has(name) ? name : `${cluster}-${name}`
  const volumeName = (node: string, name: string) => `${perNode.has(name) ? node : cluster}-${name}`

  const nodes = (["control-plane", "worker", "load-balancer"] as const).flatMap((role: Role) => {
    const node = merged(role, defaults, spec)
    return Array.from({ length: countOf(role, all) }, (_, index): PlannedNode => {
      const planned: NewNode = { cluster, role, index, counts: all }
      const asked = new Set((node.ports ?? []).map((port) => `${port.container}/${port.protocol ?? "tcp"}`))
      return {
        ...planned,
        name: template.nodeName(planned),
        spec: { ...node, image: node.image ?? "" },
        // A port that the caller maps by hand is not mapped a second time for the scheme's sake.
        ports: [
          ...template.ports(planned).filter((port) => !asked.has(`${port.container}/${port.protocol ?? "tcp"}`)),
          ...(node.ports ?? [])
        ],
        digest: digest(node)
      }
    })
  })
  const named = nodes.flatMap((node) =>
    (node.spec.volumes ?? []).flatMap(({ name }) => name === undefined ? [] : [volumeName(node.name, name)])
  )
  const declared = volumes.filter((volume) => volume.perNode !== true)
    .map((volume) => volumeName("", volume.name))
  return {
    cluster,
    scheme,
    nodes,
    networks: [
      { ...own, external: false, ...(subnet === undefined ? {} : { wish: subnet }) },
      ...networks.map((network): PlannedNetwork => ({
        name: networkName(network.name),
        shared: false,
        external: network.external === true,
        labels: {},
        options: {},
        ipv6: false,
        ...(network.subnet === undefined ? {} : { wish: network.subnet })
      }))
    ],
    volumes: [
      ...template.volumes(cluster).map(({ labels, name }) => ({ name, labels })),
      ...[...new Set([...declared, ...named])].map((name) => ({ name, labels: {} }))
    ],
    volumeName,
    networkName
  }
}

const portKey = (port: PortMapping) => `${port.container}/${port.protocol ?? "tcp"}`

const list = (value: unknown): ReadonlyArray<unknown> => Array.isArray(value) ? value : []

/** The create call of a node. `ports` have their host ports by now; `address` is the fixed one, where there is one. */
export const createBody = (plan: Plan, node: PlannedNode, chosen: {
  readonly ports: ReadonlyArray<PortMapping>
  readonly address: string | undefined
  readonly ownership: Readonly<Record<string, string>>
}): CreateBody => {
  const { scheme, cluster } = plan
  const { spec } = node
  const base = scheme.template.container(node)
  const host = scheme.template.hostConfig(node)
  const network = plan.networks[0].name
  const bindings: Record<string, Array<{ HostIp: string; HostPort: string }>> = {}
  for (const port of chosen.ports) {
    ;(bindings[portKey(port)] ??= []).push({ HostIp: port.address ?? "", HostPort: String(port.host ?? "") })
  }
  // An engine makes a volume that is missing by now by itself. Without its labels it would be nobody's.
  const labelled = (labels: Readonly<Record<string, string>>) => {
    const all = { ...labels, ...chosen.ownership }
    return Object.keys(all).length === 0 ? {} : { VolumeOptions: { Labels: all } }
  }
  const clusterVolumes = scheme.template.volumes(cluster).map((volume) => ({
    Type: "volume",
    Source: volume.name,
    Target: volume.target,
    ...labelled(volume.labels)
  }))
  const volumes = (spec.volumes ?? []).map((volume) => ({
    Type: "volume",
    Target: volume.target,
    ReadOnly: volume.readOnly === true,
    ...(volume.name === undefined
      ? {}
      : { Source: plan.volumeName(node.name, volume.name), ...labelled({}) })
  }))
  const binds = (spec.binds ?? []).map((bind) => `${bind.source}:${bind.target}${bind.readOnly === true ? ":ro" : ""}`)
  const mounts = [...list(host["Mounts"]), ...clusterVolumes, ...volumes]
  return {
    ...base,
    Image: spec.image,
    Hostname: node.name,
    Labels: {
      ...spec.labels,
      ...scheme.template.labels(node),
      ...chosen.ownership,
      [Labels.spec]: node.digest,
      ...(chosen.address === undefined ? {} : { [addressLabel]: chosen.address })
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
      Mounts: mounts,
      Tmpfs: { ...record(host["Tmpfs"]), ...Object.fromEntries((spec.tmpfs ?? []).map((folder) => [folder, ""])) },
      ...(spec.privileged === undefined ? {} : { Privileged: spec.privileged }),
      ...(spec.cpus === undefined ? {} : { NanoCpus: Math.round(spec.cpus * 1e9) }),
      ...(spec.memoryBytes === undefined ? {} : { Memory: spec.memoryBytes }),
      ...(spec.restart === undefined ? {} : { RestartPolicy: { Name: spec.restart } })
    },
    NetworkingConfig: {
      EndpointsConfig: {
        [network]: chosen.address === undefined ? {} : { IPAMConfig: { IPv4Address: chosen.address } }
      }
    }
  }
}

// -----------------------------------------------------------------------------
// Addresses
// -----------------------------------------------------------------------------

const octets = (address: NetAddress.Ipv4Address): number =>
  NetAddress.ipv4ToOctets(address).reduce((sum, octet) => sum * 256 + octet, 0)

const dotted = (value: number): string => [24, 16, 8, 0].map((shift) => Math.floor(value / 2 ** shift) % 256).join(".")

/** The addresses of a subnet that nodes can have, from the second on; the first is the gateway's. */
export const freeAddresses = (subnet: string, taken: ReadonlySet<string>): ReadonlyArray<string> => {
  const network = Result.getOrUndefined(IpNetwork.ipv4FromString(subnet))
  if (network === undefined) return []
  const first = octets(IpNetwork.firstAddress(network)) + 2
  const last = octets(IpNetwork.lastAddress(network)) - 1
  const room = Math.min(last - first + 1, taken.size + 2048)
  return Array.from({ length: Math.max(0, room) }, (_, index) => dotted(first + index))
    .filter((address) => !taken.has(address))
}

/** Whether an address is one that a node in this subnet cannot have. */
export const isOutside = (subnet: string | undefined, address: string | undefined): boolean => {
  if (subnet === undefined || address === undefined) return false
  const network = Result.getOrUndefined(IpNetwork.ipv4FromString(subnet))
  const parsed = Result.getOrUndefined(NetAddress.ipv4FromString(address))
  return network !== undefined && parsed !== undefined && !IpNetwork.contains(network, parsed)
}

/** How many subnets of a pool are tried. */
const poolSize = 32

/**
 * The subnets to try for a network, those that overlap with a known one left out: of a pool the next ones of the same
 * size, of a wish only itself.
 */
export const subnetsToTry = (
  wish: string | undefined,
  pool: string,
  known: ReadonlyArray<string>
): ReadonlyArray<string> => {
  if (wish !== undefined) return [wish]
  const start = Result.getOrUndefined(IpNetwork.ipv4FromString(pool))
  if (start === undefined) return []
  const size = Number(IpNetwork.addressCount(start))
  const prefix = pool.slice(pool.indexOf("/"))
  const base = octets(IpNetwork.firstAddress(start))
  const held = known.flatMap((subnet) => {
    // An engine keeps a subnet as it was given, also where an address in it was.
    const given = Result.getOrUndefined(IpInterface.ipv4FromString(subnet))
    return given === undefined ? [] : [IpNetwork.fromInterface(given)]
  })
  return Array.from({ length: 255 }, (_, index) => `${dotted(base + index * size)}${prefix}`)
    .filter((subnet) => {
      const network = Result.getOrUndefined(IpNetwork.ipv4FromString(subnet))
      return network !== undefined && !held.some((other) => IpNetwork.overlaps(network, other))
    })
    .slice(0, poolSize)
}
