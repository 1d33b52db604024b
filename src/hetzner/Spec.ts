/**
 * The spec of nodes as servers, and its merge with the options of the layer. `Validation.ts` checks it, and
 * `Desired.ts` turns it into the desired things.
 */
import * as Redacted from "effect/Redacted"
import type { AddedNodes, ClusterSpec, NodePool } from "../Provider.ts"

/** @category models @since 0.2.0 */
export type ImageReference = string | number | { readonly selector: string }

/** An image as text, for keys and messages. */
export const imageText = (image: ImageReference): string =>
  typeof image === "object" ? `selector ${image.selector}` : String(image)

/**
 * The server of a role. A field that a role leaves open comes from `nodes`, then from the options of the layer.
 *
 * @category models
 * @since 0.1.0
 */
export interface ServerSpec {
  /**
   * The name of a system image, such as `debian-13`, the id of a snapshot, or a label selector, such as `{ selector:
   * "os=talos,version=v1.12" }`. A selector chooses the newest available snapshot of the server type's architecture.
   */
  readonly image?: ImageReference
  /** Names of server types, the best first; the next is taken where the first is sold out in every location. */
  readonly serverTypes?: ReadonlyArray<string>
  /** Names of locations, the best first; every location of the network's zone where none is given. */
  readonly locations?: ReadonlyArray<string>
  /** Handed to the server at its first boot (cloud-init, or a machine configuration), at most 32 KiB. */
  readonly userData?: string | Redacted.Redacted<string>
  /** Labels of the caller's own. */
  readonly labels?: Readonly<Record<string, string>>
}

/**
 * @category models
 * @since 0.1.0
 */
export interface NetworkSpec {
  /**
   * A network that exists, by its name or id, or by a label selector that selects one. Servers join it; it is not owned by
   * the cluster, so it is neither changed nor deleted with it. The other fields are not used then.
   */
  readonly existing?: string | number | { readonly selector: string }
  /** Private IPv4 network, /24 or larger; 10.0.0.0/16 where none is given. */
  readonly ipRange?: string
  /** The part of it that the servers are in; its first /24 where none is given. */
  readonly subnet?: string
  /** A zone of the provider, such as `eu-central`; that of the first location where none is given. */
  readonly zone?: string
}

/**
 * @category models
 * @since 0.1.0
 */
export interface FirewallRule {
  readonly direction: "in" | "out"
  readonly protocol: "tcp" | "udp" | "icmp" | "esp" | "gre"
  /** For tcp and udp: `80`, `1024-5000` or `any`. */
  readonly port?: string
  /** CIDRs, for `in`. */
  readonly sourceIps?: ReadonlyArray<string>
  /** CIDRs, for `out`. */
  readonly destinationIps?: ReadonlyArray<string>
  readonly description?: string
}

/**
 * A volume of the cluster's own.
 *
 * @category models
 * @since 0.1.0
 */
export interface VolumeSpec {
  readonly name: string
  /** 10 to 10240. */
  readonly sizeGb: number
  /** With a role, each of its nodes gets one, attached, called `<node>-<name>`; else it is one, called `<cluster>-<name>`. */
  readonly each?: "control-plane" | "worker"
  /** The location of a volume without nodes; by default the first location. */
  readonly location?: string
  readonly format?: "ext4" | "xfs"
  /** It outlives the cluster: a delete leaves it, and the report names it. */
  readonly keep?: boolean
}

/**
 * A load balancer `<cluster>-load-balancer` in front of the Kubernetes API of all control planes, those that come later
 * included. A delete removes it with the cluster.
 *
 * @category models
 * @since 0.2.0
 */
export interface LoadBalancerSpec {
  /** The type of the load balancer; `lb11` where none is given. */
  readonly type?: string
  /** The TCP port, which is also that of the control planes; 6443 where none is given. */
  readonly port?: number
  /** The location of the first control plane where none is given. */
  readonly location?: string
  /** Whether it has public addresses; true where it is not given. A private one needs a network. */
  readonly public?: boolean
}

/**
 * The defaults of nodes, which a spec can replace.
 *
 * @category models
 * @since 0.1.0
 */
export interface NodeDefaults {
  /** For control planes and workers. */
  readonly nodes?: ServerSpec
  readonly controlPlane?: ServerSpec
  readonly worker?: ServerSpec
  /** The private network `<cluster>-network`, created unless this is `false`. */
  readonly network?: NetworkSpec | false
  /** The firewall `<cluster>-firewall` of all servers; none where it is not given. */
  readonly firewall?: { readonly rules: ReadonlyArray<FirewallRule> }
  /** Spread groups `<cluster>-placement-1`, ... of at most ten servers each, created unless this is `false`. */
  readonly placementGroups?: boolean
  /**
   * SSH keys: names, fingerprints or ids of keys of the project, or keys that are created there if they are missing.
   * Without keys, a server has a root password that kubelayer does not report.
   */
  readonly sshKeys?: ReadonlyArray<string | number | { readonly name: string; readonly publicKey: string }>
  /** Both families where nothing is said; without any, servers are reachable through the network alone. */
  readonly publicNet?: { readonly ipv4?: boolean; readonly ipv6?: boolean }
  readonly volumes?: ReadonlyArray<VolumeSpec>
  /** A load balancer in front of the Kubernetes API; none where it is not given. */
  readonly loadBalancer?: LoadBalancerSpec
  /** A floating IP `<cluster>-ip`, assigned to the first control plane. */
  readonly floatingIp?: { readonly type?: "ipv4" | "ipv6"; readonly keep?: boolean }
}

/**
 * Servers with their own type, image, locations, labels and volumes, called `<cluster>-<pool>-<n>`. A field that a pool
 * leaves open comes from its role, then from `nodes`, then from the options of the layer.
 *
 * @category models
 * @since 0.2.0
 */
export interface PoolSpec extends NodePool, ServerSpec {
  readonly labels?: Readonly<Record<string, string>>
  /** Each node of the pool gets one of each, attached, called `<node>-<name>`. */
  readonly volumes?: ReadonlyArray<Omit<VolumeSpec, "each" | "location">>
}

/**
 * Everything that a spec of a cluster's servers can have. Each field that is given replaces the layer's.
 *
 * @category models
 * @since 0.1.0
 */
export interface HetznerClusterSpec extends ClusterSpec, NodeDefaults {
  readonly pools?: ReadonlyArray<PoolSpec>
}

/**
 * How many nodes of each role are to be added, and what they are created from where the layer's options do not say it.
 *
 * @category models
 * @since 0.1.0
 */
export interface AddNodes extends NodeDefaults, AddedNodes {}

export type Role = "control-plane" | "worker"
export const roles: ReadonlyArray<Role> = ["control-plane", "worker"]

export interface Fault {
  readonly path: string
  readonly message: string
}

const fieldOf = { "control-plane": "controlPlane", worker: "worker" } as const

export const fieldOfRole = (role: Role): "controlPlane" | "worker" => fieldOf[role]

export const countOf = (role: Role, spec: ClusterSpec): number =>
  role === "control-plane" ? spec.controlPlanes : spec.workers

/** The spec of a pool, merged from the layer's options, the role and the pool itself. */
export const mergedPool = (
  { image, labels, locations, role, serverTypes, userData }: PoolSpec,
  defaults: NodeDefaults,
  spec: HetznerClusterSpec
): ServerSpec => {
  const ofRole = merged(role, defaults, spec)
  return {
    ...ofRole,
    ...(image === undefined ? {} : { image }),
    ...(serverTypes === undefined ? {} : { serverTypes }),
    ...(locations === undefined ? {} : { locations }),
    ...(userData === undefined ? {} : { userData }),
    labels: { ...ofRole.labels, ...labels }
  }
}

/** One role's spec, merged from the layer's options and the call's; labels are merged, other fields replaced. */
export const merged = (role: Role, defaults: NodeDefaults, spec: HetznerClusterSpec): ServerSpec =>
  [defaults.nodes, defaults[fieldOf[role]], { labels: spec.labels ?? {} }, spec.nodes, spec[fieldOf[role]]]
    .reduce<ServerSpec>((result, next) => ({
      ...result,
      ...next,
      labels: { ...result.labels, ...next?.labels }
    }), {})

export const defaultRange = "10.0.0.0/16"

/** The first /24 of a range, which itself is no smaller. */
const firstSubnet = (range: string): string => range.replace(/\/\d+$/, "/24")

/** The values of a spec and of the options of the layer that concern the cluster as a whole. */
export const clusterWide = (defaults: NodeDefaults, spec: HetznerClusterSpec) => {
  const network = spec.network ?? defaults.network ?? {}
  const ipRange = network === false ? "" : network.ipRange ?? defaultRange
  const publicNet = { ...defaults.publicNet, ...spec.publicNet }
  return {
    existingNetwork: network === false ? undefined : network.existing,
    network: network === false || network.existing !== undefined
      ? undefined
      : { ipRange, subnet: network.subnet ?? firstSubnet(ipRange), zone: network.zone },
    rules: (spec.firewall ?? defaults.firewall)?.rules,
    placementGroups: spec.placementGroups ?? defaults.placementGroups ?? true,
    sshKeys: spec.sshKeys ?? defaults.sshKeys ?? [],
    publicNet: { ipv4: publicNet.ipv4 ?? true, ipv6: publicNet.ipv6 ?? true },
    volumes: spec.volumes ?? defaults.volumes ?? [],
    loadBalancer: spec.loadBalancer ?? defaults.loadBalancer,
    floatingIp: spec.floatingIp ?? defaults.floatingIp
  }
}

export const userDataOf = (spec: ServerSpec): string | undefined =>
  Redacted.isRedacted(spec.userData) ? Redacted.value(spec.userData) : spec.userData
