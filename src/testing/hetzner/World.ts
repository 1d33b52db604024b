/**
 * The state of the fake cloud: one Project with all that it has, and the actions that change it.
 *
 * Each fact is stored once, on the side that has it: a server knows its networks, its placement group and its
 * addresses, a volume its server. The view from the other side is computed for each reply.
 */
import type { ErrorCode } from "./Refusal.ts"
import { Refusal } from "./Refusal.ts"
import type { Labels } from "./Selector.ts"
import type { Timeline } from "./Timeline.ts"

/** The subject of an action. @internal */
export type ResourceType =
  | "server"
  | "network"
  | "firewall"
  | "placement_group"
  | "floating_ip"
  | "volume"
  | "primary_ip"
  | "load_balancer"
  | "image"
  | "iso"

/** The fields of every resource of a Project. @internal */
export interface Resource {
  readonly id: number
  name: string
  labels: Labels
  created: number
}

/** @internal */
export interface Location {
  readonly id: number
  readonly name: string
  readonly description: string
  readonly country: string
  readonly city: string
  readonly latitude: number
  readonly longitude: number
  readonly network_zone: string
}

/** @internal */
export interface Deprecation {
  readonly announced: number
  readonly unavailableAfter: number
}

/** @internal */
export interface ServerType {
  readonly id: number
  readonly name: string
  readonly category: string
  readonly cores: number
  readonly memory: number
  readonly disk: number
  readonly cpu: "shared" | "dedicated"
  readonly architecture: "x86" | "arm"
  /** Euro an hour, without tax. */
  readonly price: number
  readonly locations: Map<string, { available: boolean; deprecation: Deprecation | null }>
}

/** @internal */
export interface Image {
  readonly id: number
  readonly type: "system" | "snapshot" | "backup"
  status: "available" | "creating" | "unavailable"
  readonly name: string | null
  description: string
  readonly flavor: string
  readonly version: string | null
  readonly architecture: "x86" | "arm"
  readonly diskSize: number
  imageSize: number | null
  readonly createdFrom: { readonly id: number; readonly name: string } | null
  readonly created: number
  deprecated: number | null
  labels: Labels
  protected: boolean
}

/** @internal */
export interface Iso {
  readonly id: number
  readonly name: string | null
  readonly description: string
  readonly type: "public" | "private"
  readonly architecture: "x86" | "arm" | null
  deprecation: Deprecation | null
}

/** @internal */
export interface Subnet {
  readonly type: "cloud" | "server" | "vswitch"
  readonly ipRange: string
  readonly zone: string
  readonly gateway: string
  readonly vswitch: number | null
}

/** @internal */
export interface Network extends Resource {
  ipRange: string
  subnets: Array<Subnet>
  routes: Array<{ readonly destination: string; readonly gateway: string }>
  protected: boolean
  exposeRoutes: boolean
}

/** The place of a server or a load balancer in a network. @internal */
export interface Attachment {
  readonly network: number
  readonly subnet: string
  readonly ip: string
  aliases: ReadonlyArray<string>
  readonly mac: string
  /** It is taken from the request until its release. */
  state: "attaching" | "ok" | "detaching"
}

/**
 * How the machine behind a server behaves.
 *
 * @category models
 * @since 0.1.0
 */
export interface Guest {
  /** How long it takes to go off when it is asked to, in milliseconds; or it ignores that it is asked. */
  readonly shutdown: number | "ignores"
  /** How long after its start it hears nothing, in milliseconds. */
  readonly boot: number
  /** Its next start ends with it being off again at once. */
  readonly exits: boolean
}

/** @internal */
export type ServerStatus =
  | "running"
  | "initializing"
  | "starting"
  | "stopping"
  | "off"
  | "deleting"
  | "migrating"
  | "rebuilding"
  | "unknown"

/** @internal */
export interface Server extends Resource {
  status: ServerStatus
  type: ServerType
  readonly location: Location
  image: number | null
  iso: number | null
  attachments: Array<Attachment>
  placementGroup: number | null
  protected: { delete: boolean; rebuild: boolean }
  rescue: boolean
  backupWindow: string | null
  diskSize: number
  /** The values of its creation. */
  readonly userData: string | undefined
  readonly sshKeys: ReadonlyArray<number>
  guest: Guest
  /** Since when it runs; what was asked of an earlier run is void. */
  since: number
  run: number
  /** The firewalls that are on it, each with its state. */
  readonly firewalls: Map<number, "pending" | "applied">
}

/** @internal */
export interface Rule {
  readonly direction: "in" | "out"
  readonly protocol: "tcp" | "udp" | "icmp" | "esp" | "gre"
  readonly port: string | null
  readonly source_ips: ReadonlyArray<string>
  readonly destination_ips: ReadonlyArray<string>
  readonly description: string | null
}

/** The resources that a firewall was requested for. @internal */
export type Application =
  | { readonly type: "server"; readonly server: number }
  | { readonly type: "label_selector"; readonly selector: string }

/** @internal */
export interface Firewall extends Resource {
  rules: ReadonlyArray<Rule>
  applications: Array<Application>
}

/** @internal */
export type PlacementGroup = Resource

/** @internal */
export interface FloatingIp extends Resource {
  description: string | null
  readonly type: "ipv4" | "ipv6"
  readonly ip: string
  server: number | null
  readonly location: Location
  protected: boolean
  dnsPtr: Map<string, string>
}

/** @internal */
export interface Volume extends Resource {
  server: number | null
  status: "creating" | "available"
  readonly location: Location
  size: number
  readonly format: string | null
  protected: boolean
}

/** @internal */
export interface PrimaryIp extends Resource {
  readonly type: "ipv4" | "ipv6"
  readonly ip: string
  assignee: number | null
  autoDelete: boolean
  readonly location: Location
  protected: boolean
  dnsPtr: Map<string, string>
}

/** @internal */
export interface LoadBalancerType {
  readonly id: number
  readonly name: string
  readonly maxServices: number
  readonly maxTargets: number
  readonly maxConnections: number
  /** Euro an hour, without tax. */
  readonly price: number
}

/** A target of a load balancer. @internal */
export type Target =
  | { readonly type: "server"; readonly server: number; readonly isPrivate: boolean }
  | { readonly type: "label_selector"; readonly selector: string; readonly isPrivate: boolean }
  | { readonly type: "ip"; readonly ip: string }

/** @internal */
export interface Service {
  readonly protocol: "tcp" | "http" | "https"
  readonly listenPort: number
  readonly destinationPort: number
  readonly proxyProtocol: boolean
  readonly health: {
    readonly protocol: "tcp" | "http"
    readonly port: number
    readonly interval: number
    readonly timeout: number
    readonly retries: number
    readonly http?: {
      readonly domain: string | null
      readonly path: string
      readonly response: string
      readonly status_codes: ReadonlyArray<string>
      readonly tls: boolean
    }
  }
  readonly http?: {
    readonly certificates: ReadonlyArray<number>
    readonly cookie_lifetime: number
    readonly cookie_name: string
    readonly redirect_http: boolean
    readonly sticky_sessions: boolean
  }
}

/** @internal */
export interface LoadBalancer extends Resource {
  readonly location: Location
  type: LoadBalancerType
  readonly ipv4: string
  readonly ipv6: string
  isPublic: boolean
  attachments: Array<Attachment>
  targets: Array<Target>
  services: Array<Service>
  algorithm: "round_robin" | "least_connections"
  dnsPtr: Map<string, string>
  protected: boolean
}

/** @internal */
export interface SshKey extends Resource {
  readonly fingerprint: string
  readonly publicKey: string
}

/** @internal */
export interface ActionError {
  readonly code: string
  readonly message: string
}

/** @internal */
export interface Action {
  readonly id: number
  readonly command: string
  status: "running" | "success" | "error"
  readonly started: number
  readonly due: number
  finished: number | null
  error: ActionError | null
  readonly resources: ReadonlyArray<{ readonly id: number; readonly type: ResourceType }>
}

/** The effect of an action. @internal */
export interface Work {
  readonly command: string
  readonly resources: Action["resources"]
  /** Begins when this one is done, and fails with it. */
  readonly after?: Action | undefined
  /** Milliseconds; what the command takes otherwise. */
  readonly takes?: number
  /** Carries out what was asked. A refusal that is thrown ends the action in this error. */
  readonly done?: () => void
  readonly failed?: () => void
}

/** The sources of the numbers and faults of the world. @internal */
export interface Settings {
  readonly duration: (command: string) => number
  /** The error in which this action is to end, if it is. */
  readonly mishap: (command: string, resources: Action["resources"]) => ActionError | undefined
  readonly limits: Map<string, number>
  /** How many servers of `type@location` can still be created; unlimited by default. */
  readonly capacity: Map<string, number>
  readonly guest: () => Guest
  networkDelete: "detach" | "refuse"
  /** Whether a server that changed its type is started, as the reference says. */
  changeTypeStarts: boolean
  /** How long after its end a server still counts where it was, in milliseconds. */
  detach: number
  groupSize: number
}

/** @internal */
export interface World {
  readonly timeline: Timeline
  readonly settings: Settings
  readonly servers: Map<number, Server>
  readonly networks: Map<number, Network>
  readonly firewalls: Map<number, Firewall>
  readonly placementGroups: Map<number, PlacementGroup>
  readonly floatingIps: Map<number, FloatingIp>
  readonly volumes: Map<number, Volume>
  readonly primaryIps: Map<number, PrimaryIp>
  readonly loadBalancers: Map<number, LoadBalancer>
  readonly loadBalancerTypes: Map<number, LoadBalancerType>
  readonly sshKeys: Map<number, SshKey>
  readonly images: Map<number, Image>
  readonly isos: Map<number, Iso>
  readonly serverTypes: Map<number, ServerType>
  readonly locations: Map<number, Location>
  readonly actions: Map<number, Action>
  /** Servers that are gone, for whoever reads a log. */
  readonly gone: Map<number, Server>
  /** Those of them that still count where they were, until the cloud is done with them. */
  readonly lingering: Map<number, Server>
  readonly nextId: () => number
  /** A number of its own for each address. */
  readonly nextAddress: () => number
  readonly act: (work: Work) => Action
  /** The action that locks it. */
  readonly running: (type: ResourceType, id: number) => ReadonlyArray<Action>
}

const keyOf = (type: ResourceType, id: number) => `${type} ${id}`

/** An empty world; ids do not fit into 32 bits. @internal */
export const makeWorld = (timeline: Timeline, settings: Settings): World => {
  let ids = 4_294_967_296
  let actionIds = 606_028_482_673_000
  let addresses = 0
  const running = new Map<string, Set<Action>>()
  const actions = new Map<number, Action>()

  const act = ({ after, command, done, failed, resources, takes = settings.duration(command) }: Work): Action => {
    const begins = after === undefined ? timeline.now() : after.due
    const error = settings.mishap(command, resources)
    const action: Action = {
      id: ++actionIds,
      command,
      status: "running",
      started: timeline.now(),
      due: begins + takes,
      finished: null,
      error: null,
      resources
    }
    actions.set(action.id, action)
    for (const { id, type } of resources) {
      const key = keyOf(type, id)
      running.set(key, (running.get(key) ?? new Set()).add(action))
    }
    timeline.at(action.due, () => {
      for (const { id, type } of resources) {
        const key = keyOf(type, id)
        running.get(key)?.delete(action)
        if (running.get(key)?.size === 0) running.delete(key)
      }
      action.finished = action.due
      action.error = error ?? (after?.status === "error" ? after.error : null)
      if (action.error === null) {
        try {
          done?.()
        } catch (refusal) {
          if (!(refusal instanceof Refusal)) throw refusal
          action.error = { code: refusal.code, message: refusal.message }
        }
      }
      action.status = action.error === null ? "success" : "error"
      if (action.error !== null) failed?.()
    })
    return action
  }

  return {
    timeline,
    settings,
    servers: new Map(),
    networks: new Map(),
    firewalls: new Map(),
    placementGroups: new Map(),
    floatingIps: new Map(),
    volumes: new Map(),
    primaryIps: new Map(),
    loadBalancers: new Map(),
    loadBalancerTypes: new Map(),
    sshKeys: new Map(),
    images: new Map(),
    isos: new Map(),
    serverTypes: new Map(),
    locations: new Map(),
    actions,
    gone: new Map(),
    lingering: new Map(),
    nextId: () => ++ids,
    nextAddress: () => ++addresses,
    act,
    running: (type, id) => [...running.get(keyOf(type, id)) ?? []]
  }
}

/** @internal */
export const need = <A>(items: ReadonlyMap<number, A>, id: number, what: string, code: ErrorCode = "not_found"): A => {
  const found = items.get(id)
  if (found === undefined) throw new Refusal(code, `${what} with ID '${id}' not found`)
  return found
}

/** Finds what a request names by id or name. @internal */
export const byIdOrName = <A extends { readonly id: number; readonly name: string | null }>(
  items: ReadonlyMap<number, A>,
  wanted: string | number
): A | undefined => {
  const byId = items.get(Number(wanted))
  if (byId !== undefined) return byId
  for (const item of items.values()) if (item.name === wanted) return item
  return undefined
}
