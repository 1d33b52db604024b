/**
 * The state of the fake cloud for tests: plain values of a moment.
 */
import type { Labels } from "./Selector.ts"
import {
  type Json,
  showFirewall,
  showFloatingIp,
  showImage,
  showLoadBalancer,
  showNetwork,
  showPlacementGroup,
  showPrimaryIp,
  showServer,
  showSshKey,
  showVolume
} from "./Show.ts"
import type { Guest, ServerStatus, World } from "./World.ts"

/**
 * Something that is there. `json` is what the API shows of it.
 *
 * @category models
 * @since 0.1.0
 */
export interface ResourceView {
  readonly id: number
  readonly name: string
  readonly labels: Labels
  readonly json: Readonly<Record<string, unknown>>
}

/**
 * @category models
 * @since 0.1.0
 */
export interface ServerView extends ResourceView {
  readonly status: ServerStatus
  readonly locked: boolean
  readonly serverType: string
  readonly location: string
  readonly networks: ReadonlyArray<number>
  readonly placementGroup: number | null
  readonly firewalls: ReadonlyArray<number>
  readonly userData: string | undefined
  /** Since when it runs without an interruption, in milliseconds since the epoch. */
  readonly startedAt: number
  readonly sshKeys: ReadonlyArray<number>
  readonly guest: Guest
}

/**
 * @category models
 * @since 0.1.0
 */
export interface ActionView {
  readonly id: number
  readonly command: string
  readonly status: "running" | "success" | "error"
  /** Milliseconds since the epoch. */
  readonly started: number
  readonly due: number
  readonly resources: ReadonlyArray<number>
}

/**
 * All that a Project has.
 *
 * @category models
 * @since 0.1.0
 */
export interface Snapshot {
  readonly servers: ReadonlyArray<ServerView>
  readonly networks: ReadonlyArray<ResourceView>
  readonly firewalls: ReadonlyArray<ResourceView>
  readonly placementGroups: ReadonlyArray<ResourceView>
  readonly floatingIps: ReadonlyArray<ResourceView>
  readonly volumes: ReadonlyArray<ResourceView>
  readonly primaryIps: ReadonlyArray<ResourceView>
  readonly loadBalancers: ReadonlyArray<ResourceView>
  readonly sshKeys: ReadonlyArray<ResourceView>
  /** Without those that every Project has. */
  readonly snapshots: ReadonlyArray<ResourceView>
  readonly actions: ReadonlyArray<ActionView>
}

/** @internal */
export const snapshotOf = (world: World): Snapshot => {
  const viewed = <A extends { readonly id: number; readonly name: string | null; readonly labels: Labels }>(
    items: ReadonlyMap<number, A>,
    show: (world: World, item: A) => Json
  ): ReadonlyArray<ResourceView> =>
    Array.from(items.values(), (item) => ({
      id: item.id,
      name: item.name ?? "",
      labels: item.labels,
      json: show(world, item)
    }))
  return {
    servers: Array.from(world.servers.values(), (server) => ({
      id: server.id,
      name: server.name,
      labels: server.labels,
      json: showServer(world, server),
      status: server.status,
      locked: world.running("server", server.id).length > 0,
      serverType: server.type.name,
      location: server.location.name,
      networks: server.attachments.filter(({ state }) => state !== "attaching").map(({ network }) => network),
      placementGroup: server.placementGroup,
      firewalls: [...server.firewalls.keys()],
      userData: server.userData,
      startedAt: server.since,
      sshKeys: server.sshKeys,
      guest: server.guest
    })),
    networks: viewed(world.networks, showNetwork),
    firewalls: viewed(world.firewalls, showFirewall),
    placementGroups: viewed(world.placementGroups, showPlacementGroup),
    floatingIps: viewed(world.floatingIps, showFloatingIp),
    volumes: viewed(world.volumes, showVolume),
    primaryIps: viewed(world.primaryIps, showPrimaryIp),
    loadBalancers: viewed(world.loadBalancers, showLoadBalancer),
    sshKeys: viewed(world.sshKeys, showSshKey),
    snapshots: viewed(new Map([...world.images].filter(([, { type }]) => type !== "system")), showImage),
    actions: Array.from(world.actions.values(), ({ command, due, id, resources, started, status }) => ({
      id,
      command,
      status,
      started,
      due,
      resources: resources.map((resource) => resource.id)
    }))
  }
}
