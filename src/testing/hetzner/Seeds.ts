/**
 * The seeds of the fake cloud: resources that exist when a test begins.
 *
 * A seed is there at once and complete, whatever the fake's actions take otherwise.
 */
import { begin, locationOf } from "./Common.ts"
import { applyFirewall, followLabels } from "./Firewalls.ts"
import { newLoadBalancer } from "./LoadBalancers.ts"
import { attach } from "./Networks.ts"
import { addressFor, makePrimaryIp } from "./PrimaryIps.ts"
import { Refusal } from "./Refusal.ts"
import { checkedLabels } from "./Selector.ts"
import { createServer } from "./Servers.ts"
import {
  byIdOrName,
  type Firewall,
  type FloatingIp,
  type Guest,
  type Image,
  type Iso,
  type LoadBalancer,
  type Network,
  type Resource,
  type Rule,
  type Server,
  type ServerStatus,
  type SshKey,
  type Volume,
  type World
} from "./World.ts"

type Labels = Readonly<Record<string, string>>

/**
 * The fields of every seed.
 *
 * @category models
 * @since 0.1.0
 */
export interface SeedBase {
  readonly name: string
  readonly labels?: Labels
  /** Milliseconds since the epoch; now where nothing is said. */
  readonly created?: number
}

/**
 * A server to begin with: a small one that runs, where nothing is said.
 *
 * @category models
 * @since 0.1.0
 */
export interface ServerSeed extends SeedBase {
  readonly status?: ServerStatus
  readonly serverType?: string
  readonly location?: string
  readonly image?: string
  readonly userData?: string
  readonly networks?: ReadonlyArray<number>
  readonly firewalls?: ReadonlyArray<number>
  readonly placementGroup?: number
  readonly sshKeys?: ReadonlyArray<string>
  readonly publicNet?: { readonly ipv4: boolean; readonly ipv6: boolean }
  readonly guest?: Partial<Guest>
  readonly protected?: boolean
}

/** @category models @since 0.1.0 */
export interface NetworkSeed extends SeedBase {
  /** `10.0.0.0/16` where nothing is said. */
  readonly ipRange?: string
  /** Ranges with their zones; `10.0.1.0/24` in `eu-central` where nothing is said. */
  readonly subnets?: ReadonlyArray<{ readonly ipRange: string; readonly zone: string }>
  readonly routes?: ReadonlyArray<{ readonly destination: string; readonly gateway: string }>
  readonly protected?: boolean
}

/** @category models @since 0.1.0 */
export interface FirewallSeed extends SeedBase {
  /** In the API's own words; SSH from everywhere by default. */
  readonly rules?: ReadonlyArray<Rule>
  readonly servers?: ReadonlyArray<number>
  readonly selector?: string
}

/** @category models @since 0.1.0 */
export interface FloatingIpSeed extends SeedBase {
  /** `ipv4` by default. */
  readonly type?: "ipv4" | "ipv6"
  readonly server?: number
  readonly location?: string
  readonly protected?: boolean
}

/** @category models @since 0.1.0 */
export interface VolumeSeed extends SeedBase {
  readonly server?: number
  readonly location?: string
  readonly size?: number
  readonly protected?: boolean
}

/** @category models @since 0.1.0 */
export interface PrimaryIpSeed extends SeedBase {
  /** `ipv4` by default. */
  readonly type?: "ipv4" | "ipv6"
  readonly protected?: boolean
  readonly server?: number
  readonly location?: string
  readonly autoDelete?: boolean
}

/** @category models @since 0.1.0 */
export interface LoadBalancerSeed extends SeedBase {
  readonly networks?: ReadonlyArray<number>
  /** Ids of servers. */
  readonly targets?: ReadonlyArray<number>
  /** A label selector that is a target. */
  readonly selector?: string
  /** Whether its targets are reached through the network. */
  readonly usePrivateIp?: boolean
  /** The TCP ports on which it listens, each passed on to the same port. */
  readonly ports?: ReadonlyArray<number>
  /** `lb11` by default. */
  readonly type?: string
  readonly location?: string
  readonly protected?: boolean
}

/** @category models @since 0.1.0 */
export interface SnapshotSeed {
  readonly description: string
  /** Milliseconds since the epoch; now by default. */
  readonly created?: number
  /** `available` by default. */
  readonly status?: "available" | "creating" | "unavailable"
  readonly protected?: boolean
  readonly labels?: Labels
  readonly architecture?: "x86" | "arm"
  /** In GB. */
  readonly diskSize?: number
}

const base = (world: World, { created, labels, name }: SeedBase): Resource => {
  const resource = begin(world, name, labels)
  return { ...resource, created: created ?? resource.created }
}

const located = (world: World, name: string | undefined) => locationOf(world, name ?? "fsn1")

/** @internal */
export const seedServer = (world: World, seed: ServerSeed): Server => {
  const type = byIdOrName(world.serverTypes, seed.serverType ?? "cx23")
  const location = seed.location ?? type?.locations.keys().next().value ?? "fsn1"
  const { ipv4, ipv6 } = seed.publicNet ?? { ipv4: true, ipv6: true }
  const { server } = createServer(world, {
    name: seed.name,
    server_type: seed.serverType ?? "cx23",
    image: seed.image ?? "debian-12",
    location,
    public_net: { enable_ipv4: ipv4, enable_ipv6: ipv6 },
    networks: seed.networks ?? [],
    firewalls: (seed.firewalls ?? []).map((firewall) => ({ firewall })),
    ssh_keys: seed.sshKeys ?? [],
    ...(seed.labels === undefined ? {} : { labels: seed.labels }),
    ...(seed.userData === undefined ? {} : { user_data: seed.userData }),
    ...(seed.placementGroup === undefined ? {} : { placement_group: seed.placementGroup })
  })
  world.timeline.settle()
  server.created = seed.created ?? server.created
  server.guest = { ...server.guest, ...seed.guest }
  server.status = seed.status ?? "running"
  if (seed.protected === true) server.protected = { delete: true, rebuild: true }
  return server
}

/** @internal */
export const seedNetwork = (world: World, seed: NetworkSeed): Network => {
  const network: Network = {
    ...base(world, seed),
    ipRange: seed.ipRange ?? "10.0.0.0/16",
    subnets: (seed.subnets ?? [{ ipRange: "10.0.1.0/24", zone: "eu-central" }]).map(({ ipRange, zone }) => ({
      type: "cloud",
      ipRange,
      zone,
      gateway: ipRange.replace(/\d+\/\d+$/, "1"),
      vswitch: null
    })),
    routes: [...seed.routes ?? []],
    protected: seed.protected ?? false,
    exposeRoutes: false
  }
  world.networks.set(network.id, network)
  return network
}

/** @internal */
export const seedFirewall = (world: World, seed: FirewallSeed): Firewall => {
  const { selector, servers = [] } = seed
  const firewall: Firewall = {
    ...base(world, seed),
    rules: seed.rules ?? [{
      direction: "in",
      protocol: "tcp",
      port: "22",
      source_ips: ["0.0.0.0/0", "::/0"],
      destination_ips: [],
      description: null
    }],
    applications: [
      ...servers.map((server) => ({ type: "server" as const, server })),
      ...(selector === undefined ? [] : [{ type: "label_selector" as const, selector }])
    ]
  }
  world.firewalls.set(firewall.id, firewall)
  for (const id of servers) {
    const server = world.servers.get(id)
    if (server !== undefined) applyFirewall(world, firewall, server)
  }
  for (const server of world.servers.values()) followLabels(world, server)
  world.timeline.settle()
  return firewall
}

/** @internal */
export const seedPlacementGroup = (world: World, seed: SeedBase): Resource => {
  const group = base(world, seed)
  world.placementGroups.set(group.id, group)
  return group
}

/** @internal */
export const seedFloatingIp = (world: World, seed: FloatingIpSeed): FloatingIp => {
  const ip: FloatingIp = {
    ...base(world, seed),
    description: null,
    type: seed.type ?? "ipv4",
    ip: addressFor(world, seed.type ?? "ipv4"),
    server: seed.server ?? null,
    location: located(world, seed.location),
    protected: seed.protected ?? false,
    dnsPtr: new Map()
  }
  world.floatingIps.set(ip.id, ip)
  return ip
}

/** @internal */
export const seedVolume = (world: World, seed: VolumeSeed): Volume => {
  const volume: Volume = {
    ...base(world, seed),
    server: seed.server ?? null,
    status: "available",
    location: located(world, seed.location),
    size: seed.size ?? 10,
    format: null,
    protected: seed.protected ?? false
  }
  world.volumes.set(volume.id, volume)
  return volume
}

/** @internal */
export const seedPrimaryIp = (world: World, seed: PrimaryIpSeed): Resource => {
  const type = seed.type ?? "ipv4"
  const ip = makePrimaryIp(world, {
    name: seed.name,
    labels: seed.labels ?? {},
    type,
    location: located(world, seed.location),
    autoDelete: seed.autoDelete ?? false
  })
  ip.protected = seed.protected ?? false
  if (seed.server !== undefined) {
    for (const own of world.primaryIps.values()) {
      if (own.assignee === seed.server && own.type === type) world.primaryIps.delete(own.id)
    }
    ip.assignee = seed.server
  }
  return ip
}

/** @internal */
export const seedLoadBalancer = (world: World, seed: LoadBalancerSeed): LoadBalancer => {
  const type = byIdOrName(world.loadBalancerTypes, seed.type ?? "lb11")
  if (type === undefined) throw new Refusal("invalid_input", `load balancer type ${seed.type} not found`)
  const isPrivate = seed.usePrivateIp ?? false
  const balancer: LoadBalancer = {
    ...newLoadBalancer(world, { name: seed.name, location: located(world, seed.location), type }),
    ...base(world, seed),
    targets: [
      ...(seed.targets ?? []).map((server) => ({ type: "server" as const, server, isPrivate })),
      ...(seed.selector === undefined
        ? []
        : [{ type: "label_selector" as const, selector: seed.selector, isPrivate }])
    ],
    services: (seed.ports ?? []).map((port) => ({
      protocol: "tcp",
      listenPort: port,
      destinationPort: port,
      proxyProtocol: false,
      health: { protocol: "tcp", port, interval: 15, timeout: 10, retries: 3 }
    })),
    protected: seed.protected ?? false
  }
  world.loadBalancers.set(balancer.id, balancer)
  for (const network of seed.networks ?? []) attach(world, balancer, network).state = "ok"
  return balancer
}

/** @internal */
export const seedSshKey = (world: World, seed: SeedBase): SshKey => {
  const resource = base(world, seed)
  const hex = resource.id.toString(16).padStart(32, "0")
  const key: SshKey = {
    ...resource,
    fingerprint: hex.replace(/(..)(?!$)/g, "$1:"),
    publicKey: `ssh-ed25519 ${Buffer.from(hex).toString("base64")} ${seed.name}`
  }
  world.sshKeys.set(key.id, key)
  return key
}

/** @internal */
export const seedSnapshot = (world: World, seed: SnapshotSeed): Image => {
  const image: Image = {
    id: world.nextId(),
    type: "snapshot",
    status: seed.status ?? "available",
    name: null,
    description: seed.description,
    flavor: "unknown",
    version: null,
    architecture: seed.architecture ?? "x86",
    diskSize: seed.diskSize ?? 20,
    imageSize: 1.5,
    createdFrom: null,
    created: seed.created ?? world.timeline.now(),
    deprecated: null,
    labels: checkedLabels(seed.labels ?? {}),
    protected: seed.protected ?? false
  }
  world.images.set(image.id, image)
  return image
}

/**
 * An ISO image of the Project's own, as the support puts it there on request.
 *
 * @category models
 * @since 0.2.0
 */
export interface IsoSeed {
  /** Null for one without a name, which is found by its id. */
  readonly name: string | null
  readonly description?: string
  /** Null for one that fits every architecture; `x86` by default. */
  readonly architecture?: "x86" | "arm" | null
  /** When it was announced to go, and when it goes, in milliseconds since the epoch. */
  readonly deprecation?: { readonly announced: number; readonly unavailableAfter: number }
}

/** @internal */
export const seedIso = (world: World, seed: IsoSeed): Iso => {
  const iso: Iso = {
    id: world.nextId(),
    name: seed.name,
    description: seed.description ?? seed.name ?? "an ISO image",
    type: "private",
    architecture: seed.architecture === undefined ? "x86" : seed.architecture,
    deprecation: seed.deprecation ?? null
  }
  world.isos.set(iso.id, iso)
  return iso
}
