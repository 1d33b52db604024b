/**
 * Servers of the fake cloud: how they are created, deleted and read.
 *
 * `ServerActions` has the actions on an existing one.
 */
import { begin, belowLimit, locationOf, unlocked, updates } from "./Common.ts"
import { applyFirewall, followLabels } from "./Firewalls.ts"
import { attach, leave } from "./Networks.ts"
import { freePrimaryIp, makePrimaryIp } from "./PrimaryIps.ts"
import { invalid, Refusal } from "./Refusal.ts"
import { type Collection, made, ok, post, reads, remove, type Reply, type Route, uniqueName } from "./Route.ts"
import * as Shape from "./Shape.ts"
import { showAction, showServer } from "./Show.ts"
import {
  type Action,
  byIdOrName,
  type Image,
  type Location,
  need,
  type PrimaryIp,
  type Server,
  type ServerType,
  type World
} from "./World.ts"

const statuses = [
  "running",
  "initializing",
  "starting",
  "stopping",
  "off",
  "deleting",
  "migrating",
  "rebuilding",
  "unknown"
] as const

const collection = {
  path: "servers",
  one: "server",
  what: "server",
  items: ({ servers }: World) => servers,
  show: showServer,
  sorts: ["id", "name", "created"],
  query: { status: Shape.many(Shape.oneOf(...statuses)) },
  matches: ({ status }, query) => query.status?.includes(status) ?? true,
  resource: "server"
} satisfies Collection<Server, { status: Shape.Parameter<(typeof statuses)[number]> & { many: true } }>

const HOSTNAME =
  /^(?=.{1,253}$)[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*$/

const serverName = (name: string): string => {
  if (!HOSTNAME.test(name)) throw invalid("name", "Name must be a valid hostname.")
  return name
}

/** @internal */
export const serverTypeOf = (world: World, wanted: string | number): ServerType => {
  const found = byIdOrName(world.serverTypes, wanted)
  if (found === undefined) throw new Refusal("invalid_input", `server type ${wanted} not found`, { fields: [] })
  return found
}

/** @internal */
export const imageFor = (world: World, wanted: string | number, type: ServerType): Image => {
  const byId = world.images.get(Number(wanted))
  const named = Array.from(world.images.values()).filter(({ name }) => name === wanted)
  const image = byId ?? named.find(({ architecture }) => architecture === type.architecture) ?? named[0]
  if (image === undefined) throw new Refusal("invalid_input", `image ${wanted} not found`, { fields: [] })
  if (image.architecture !== type.architecture) {
    throw new Refusal("invalid_input", "image architecture is incompatible with the server type", { fields: [] })
  }
  if (image.status !== "available") {
    throw new Refusal("invalid_input", `image is ${image.status}`, { fields: [] })
  }
  if (image.diskSize > type.disk) {
    throw new Refusal("invalid_input", "image disk is bigger than server type disk", { fields: [] })
  }
  return image
}

/** Takes one place of this type at the location, and refuses where there is none. @internal */
export const takePlace = (world: World, type: ServerType, location: Location): void => {
  const offer = type.locations.get(location.name)
  if (offer === undefined) throw new Refusal("invalid_input", "unsupported location for server type", {})
  if (offer.deprecation !== null && offer.deprecation.unavailableAfter <= world.timeline.now()) {
    throw new Refusal("invalid_input", `server type ${type.name} not found`, { fields: [] })
  }
  const { capacity } = world.settings
  const key = `${type.name}@${location.name}`
  const left = capacity.get(key)
  if (!offer.available || left === 0) throw new Refusal("resource_unavailable", "error during placement")
  if (left !== undefined) capacity.set(key, left - 1)
}

const locationFor = (world: World, type: ServerType, wanted: string | number | undefined): Location => {
  if (wanted !== undefined) return locationOf(world, wanted)
  for (const location of world.locations.values()) {
    if (type.locations.get(location.name)?.available === true) return location
  }
  throw new Refusal("resource_unavailable", "error during placement")
}

/** Refuses a group that is full. @internal */
export const roomInGroup = (world: World, id: number): void => {
  need(world.placementGroups, id, "placement group")
  let count = 0
  for (const { placementGroup } of world.servers.values()) if (placementGroup === id) count++
  if (count >= world.settings.groupSize) {
    throw new Refusal(
      "placement_group_member_limit_reached",
      `placement group with ID ${id} contains already ${count} servers`
    )
  }
}

/** The server runs now, unless its machine goes off at once. @internal */
export const starts = (world: World, server: Server): void => {
  if (!world.servers.has(server.id)) return
  server.run++
  server.since = world.timeline.now()
  server.status = server.guest.exits ? "off" : "running"
  if (server.guest.exits) server.guest = { ...server.guest, exits: false }
}

const fields = {
  name: Shape.text,
  server_type: Shape.idOrName,
  image: Shape.idOrName,
  location: Shape.optional(Shape.idOrName),
  ssh_keys: Shape.optional(Shape.list(Shape.idOrName)),
  user_data: Shape.optional(Shape.text),
  start_after_create: Shape.optional(Shape.flag),
  labels: Shape.optional(Shape.labels),
  networks: Shape.optional(Shape.list(Shape.integer)),
  firewalls: Shape.optional(Shape.list(Shape.record({ firewall: Shape.integer }))),
  placement_group: Shape.optional(Shape.integer),
  volumes: Shape.optional(Shape.list(Shape.integer)),
  automount: Shape.optional(Shape.flag),
  public_net: Shape.optional(Shape.record({
    enable_ipv4: Shape.optional(Shape.flag),
    enable_ipv6: Shape.optional(Shape.flag),
    ipv4: Shape.optional(Shape.nullable(Shape.integer)),
    ipv6: Shape.optional(Shape.nullable(Shape.integer))
  }))
}

/** The source of a new server. @internal */
export type ServerBody = Shape.Fields<typeof fields>

/** The largest user data, in bytes. */
const USER_DATA = 32_768

/** Makes a server as a request says, and gives it with its actions. @internal */
export const createServer = (
  world: World,
  body: ServerBody
): { server: Server; action: Action; next: Array<Action> } => {
  const type = serverTypeOf(world, body.server_type)
  const location = locationFor(world, type, body.location)
  const image = imageFor(world, body.image, type)
  uniqueName(world.servers, serverName(body.name), "server name is already used")
  if (Buffer.byteLength(body.user_data ?? "") > USER_DATA) throw invalid("user_data", "is longer than 32 KiB")
  const sshKeys = (body.ssh_keys ?? []).map((wanted) => {
    const key = byIdOrName(world.sshKeys, wanted)
    if (key === undefined) throw new Refusal("not_found", `SSH key '${wanted}' not found`)
    return key.id
  })
  const firewalls = (body.firewalls ?? []).map(({ firewall }) =>
    need(world.firewalls, firewall, "firewall", "firewall_resource_not_found")
  )
  const volumes = (body.volumes ?? []).map((id) => {
    const volume = need(world.volumes, id, "volume")
    if (volume.server !== null) throw new Refusal("volume_already_attached", "volume is already attached")
    if (volume.location.id !== location.id) throw invalid("volumes", "must be in the server's location")
    unlocked(world, "volume", id)
    return volume
  })
  const { enable_ipv4 = true, enable_ipv6 = true, ipv4, ipv6 } = body.public_net ?? {}
  const primaryIps = ([["ipv4", ipv4, enable_ipv4], ["ipv6", ipv6, enable_ipv6]] as const)
    .flatMap(([kind, id, enabled]): ReadonlyArray<PrimaryIp | "ipv4" | "ipv6"> => {
      if (!enabled) return []
      return id === undefined || id === null ? [kind] : [freePrimaryIp(world, id, kind, location)]
    })
  if (primaryIps.length === 0 && (body.networks ?? []).length === 0) {
    throw new Refusal("invalid_input", "no public or private network interfaces found", { fields: [] })
  }
  belowLimit(world, "server_limit", world.servers.size)
  belowLimit(world, "primary_ip_limit", world.primaryIps.size + primaryIps.filter((ip) => ip === "ipv4").length - 1)
  if (body.placement_group !== undefined) roomInGroup(world, body.placement_group)
  const base = begin(world, body.name, body.labels)
  const server: Server = {
    ...base,
    status: "initializing",
    type,
    location,
    image: image.id,
    iso: null,
    attachments: [],
    placementGroup: body.placement_group ?? null,
    protected: { delete: false, rebuild: false },
    rescue: false,
    backupWindow: null,
    diskSize: type.disk,
    userData: body.user_data,
    sshKeys,
    guest: world.settings.guest(),
    since: 0,
    run: 0,
    firewalls: new Map()
  }
  const attachments = (body.networks ?? []).map((network) => attach(world, server, network))
  takePlace(world, type, location)

  // From here on nothing is refused.
  world.servers.set(server.id, server)
  for (const ip of primaryIps) {
    const own = typeof ip === "string"
      ? makePrimaryIp(world, { name: `primary_ip-${server.id}-${ip}`, type: ip, location, autoDelete: true })
      : ip
    own.assignee = server.id
  }
  const self = { id: server.id, type: "server" } as const
  const action = world.act({
    command: "create_server",
    resources: [self],
    done: () => {
      server.status = body.start_after_create ?? true ? "starting" : "off"
    },
    failed: () => {
      server.status = "off"
    }
  })
  const next = attachments.map((attachment) =>
    world.act({
      command: "attach_to_network",
      resources: [self, { id: attachment.network, type: "network" }],
      after: action,
      done: () => {
        attachment.state = "ok"
      },
      failed: () => leave(server, attachment.network)
    })
  )
  for (const volume of volumes) {
    volume.server = server.id
    next.push(
      world.act({ command: "attach_volume", resources: [self, { id: volume.id, type: "volume" }], after: action })
    )
  }
  if (body.start_after_create ?? true) {
    const last = next.reduce((latest, one) => one.due > latest.due ? one : latest, action)
    next.unshift(
      world.act({
        command: "start_server",
        resources: [self],
        after: last,
        done: () => starts(world, server),
        failed: () => {
          server.status = "off"
        }
      })
    )
  }
  for (const firewall of firewalls) {
    firewall.applications.push({ type: "server", server: server.id })
    applyFirewall(world, firewall, server, action)
  }
  followLabels(world, server, action)
  return { server, action, next }
}

/** Takes a server away, and out of everything it was in as soon as the cloud gets round to that. @internal */
export const removeServer = (world: World, server: Server): void => {
  world.servers.delete(server.id)
  world.gone.set(server.id, server)
  const { detach } = world.settings
  if (detach === 0) return forget(world, server)
  world.lingering.set(server.id, server)
  world.timeline.at(world.timeline.now() + detach, () => forget(world, server))
}

const forget = (world: World, server: Server): void => {
  world.lingering.delete(server.id)
  for (const volume of world.volumes.values()) if (volume.server === server.id) volume.server = null
  for (const ip of world.floatingIps.values()) if (ip.server === server.id) ip.server = null
  for (const balancer of world.loadBalancers.values()) {
    balancer.targets = balancer.targets.filter((target) => target.type !== "server" || target.server !== server.id)
  }
  for (const ip of world.primaryIps.values()) {
    if (ip.assignee !== server.id) continue
    ip.assignee = null
    if (ip.autoDelete) world.primaryIps.delete(ip.id)
  }
  for (const firewall of world.firewalls.values()) {
    firewall.applications = firewall.applications.filter((one) => one.type !== "server" || one.server !== server.id)
  }
  for (const image of world.images.values()) {
    if (image.type === "backup" && image.createdFrom?.id === server.id) world.images.delete(image.id)
  }
}

const deleteServer = (world: World, id: number): Reply => {
  const server = need(world.servers, id, "server")
  if (server.protected.delete) throw new Refusal("protected", `server with ID '${id}' is delete protected`)
  unlocked(world, "server", id)
  const before = server.status
  server.status = "deleting"
  const action = world.act({
    command: "delete_server",
    resources: [{ id, type: "server" }],
    done: () => removeServer(world, server),
    failed: () => {
      server.status = before
    }
  })
  return ok({ action: showAction(world, action) })
}

/** @internal */
export const servers: ReadonlyArray<Route> = [
  post("/servers", fields, ({ body, world }) => {
    const { action, next, server } = createServer(world, body)
    return made({
      server: showServer(world, server),
      action: showAction(world, action),
      next_actions: next.map((one) => showAction(world, one)),
      root_password: server.sshKeys.length === 0 ? "not-a-real-password" : null
    })
  }),
  ...reads(collection),
  updates(collection, {}, (server, _, world) => {
    serverName(server.name)
    followLabels(world, server)
  }),
  remove("/servers/{id}", ({ id, world }) => deleteServer(world, id))
]
