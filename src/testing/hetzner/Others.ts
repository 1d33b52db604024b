/**
 * The smaller resources of the fake cloud: placement groups, floating IPs, volumes, SSH keys.
 */
import { begin, belowLimit, locationOf, protects, unlocked, unprotected, updates } from "./Common.ts"
import { addressFor } from "./PrimaryIps.ts"
import { invalid, Refusal } from "./Refusal.ts"
import { bare, begun, type Collection, emptied, made, post, reads, remove, type Route, uniqueName } from "./Route.ts"
import * as Shape from "./Shape.ts"
import { showAction, showFloatingIp, showPlacementGroup, showSshKey, showVolume } from "./Show.ts"
import { type FloatingIp, need, type PlacementGroup, type SshKey, type Volume, type World } from "./World.ts"

const byDate = ["id", "name", "created"]

const groups = {
  path: "placement_groups",
  one: "placement_group",
  what: "placement group",
  items: ({ placementGroups }: World) => placementGroups,
  show: showPlacementGroup,
  sorts: byDate,
  query: { type: Shape.many(Shape.oneOf("spread")) }
} satisfies Collection<PlacementGroup, { type: Shape.Parameter<"spread"> & { many: true } }>

/** @internal */
export const placementGroups: ReadonlyArray<Route> = [
  post(
    "/placement_groups",
    { name: Shape.text, type: Shape.literals("spread"), labels: Shape.optional(Shape.labels) },
    ({ body, world }) => {
      uniqueName(world.placementGroups, body.name, "name is already used")
      belowLimit(world, "placement_group_limit", world.placementGroups.size)
      const group = begin(world, body.name, body.labels)
      world.placementGroups.set(group.id, group)
      return made({ placement_group: showPlacementGroup(world, group), action: null })
    }
  ),
  ...reads(groups),
  updates(groups, {}),
  remove("/placement_groups/{id}", ({ id, world }) => {
    need(world.placementGroups, id, "placement group")
    for (const server of world.servers.values()) if (server.placementGroup === id) server.placementGroup = null
    world.placementGroups.delete(id)
    return emptied
  })
]

const floating = {
  path: "floating_ips",
  one: "floating_ip",
  what: "floating IP",
  items: ({ floatingIps }: World) => floatingIps,
  show: showFloatingIp,
  sorts: ["id", "created"],
  query: {},
  resource: "floating_ip"
} satisfies Collection<FloatingIp, Record<never, never>>

const assigns = (world: World, ip: FloatingIp, server: number) => {
  need(world.servers, server, "server")
  unlocked(world, "server", server)
  return world.act({
    command: "assign_floating_ip",
    resources: [{ id: server, type: "server" }, { id: ip.id, type: "floating_ip" }],
    done: () => {
      ip.server = server
    }
  })
}

/** @internal */
export const floatingIps: ReadonlyArray<Route> = [
  post(
    "/floating_ips",
    {
      type: Shape.literals("ipv4", "ipv6"),
      home_location: Shape.optional(Shape.idOrName),
      server: Shape.optional(Shape.integer),
      name: Shape.optional(Shape.text),
      description: Shape.optional(Shape.text),
      labels: Shape.optional(Shape.labels)
    },
    ({ body, world }) => {
      const server = body.server === undefined ? undefined : need(world.servers, body.server, "server")
      const location = body.home_location === undefined
        ? server?.location
        : locationOf(world, body.home_location, "home_location")
      if (location === undefined) throw invalid("home_location", "is needed where no server is given")
      if (body.name !== undefined) uniqueName(world.floatingIps, body.name, "name is already used")
      belowLimit(world, "floating_ip_limit", world.floatingIps.size)
      const base = begin(world, body.name ?? "", body.labels)
      const ip: FloatingIp = {
        ...base,
        name: body.name ?? `floating-ip-${base.id}`,
        description: body.description ?? null,
        type: body.type,
        ip: addressFor(world, body.type),
        server: null,
        location,
        protected: false,
        dnsPtr: new Map()
      }
      const action = server === undefined ? null : assigns(world, ip, server.id)
      world.floatingIps.set(ip.id, ip)
      return made({
        floating_ip: showFloatingIp(world, ip),
        action: action === null ? null : showAction(world, action)
      })
    }
  ),
  ...reads(floating),
  updates(floating, { description: Shape.optional(Shape.nullable(Shape.text)) }, (ip, body) => {
    if (body.description !== undefined) ip.description = body.description
  }),
  remove("/floating_ips/{id}", ({ id, world }) => {
    const ip = need(world.floatingIps, id, "floating IP")
    unprotected("floating IP", ip)
    if (ip.server !== null) throw new Refusal("must_be_unassigned", "floating IP must be unassigned")
    world.floatingIps.delete(id)
    return emptied
  }),
  post("/floating_ips/{id}/actions/assign", { server: Shape.integer }, ({ body, id, world }) => {
    const ip = need(world.floatingIps, id, "floating IP")
    if (ip.server !== null) throw new Refusal("floating_ip_assigned", "floating IP is already assigned")
    return begun(world, assigns(world, ip, body.server))
  }),
  bare("/floating_ips/{id}/actions/unassign", ({ id, world }) => {
    const ip = need(world.floatingIps, id, "floating IP")
    if (ip.server === null) throw invalid("server", "is not assigned")
    unlocked(world, "server", ip.server)
    return begun(
      world,
      world.act({
        command: "unassign_floating_ip",
        resources: [{ id: ip.server, type: "server" }, { id, type: "floating_ip" }],
        done: () => {
          ip.server = null
        }
      })
    )
  }),
  post(
    "/floating_ips/{id}/actions/change_dns_ptr",
    { ip: Shape.text, dns_ptr: Shape.nullable(Shape.text) },
    ({ body, id, world }) => {
      const ip = need(world.floatingIps, id, "floating IP")
      return begun(
        world,
        world.act({
          command: "change_dns_ptr",
          resources: [{ id, type: "floating_ip" }],
          done: () => {
            if (body.dns_ptr === null) ip.dnsPtr.delete(body.ip)
            else ip.dnsPtr.set(body.ip, body.dns_ptr)
          }
        })
      )
    }
  ),
  protects("floating_ips", "floating_ip", ({ floatingIps: items }) => items)
]

const disks = {
  path: "volumes",
  one: "volume",
  what: "volume",
  items: ({ volumes: items }: World) => items,
  show: showVolume,
  sorts: byDate,
  query: { status: Shape.many(Shape.oneOf("available", "creating")) },
  matches: ({ status }, query) => query.status?.includes(status) ?? true,
  resource: "volume"
} satisfies Collection<Volume, { status: Shape.Parameter<Volume["status"]> & { many: true } }>

const VOLUME_NAME = /^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?$/

const attaches = (world: World, volume: Volume, id: number, after?: ReturnType<World["act"]>) => {
  const server = need(world.servers, id, "server")
  if (volume.server !== null) throw new Refusal("volume_already_attached", "volume is already attached")
  if (server.location.id !== volume.location.id) throw invalid("server", "must be in the volume's location")
  unlocked(world, "server", id)
  return world.act({
    command: "attach_volume",
    resources: [{ id, type: "server" }, { id: volume.id, type: "volume" }],
    after,
    done: () => {
      volume.server = id
    }
  })
}

/** @internal */
export const volumes: ReadonlyArray<Route> = [
  post(
    "/volumes",
    {
      name: Shape.text,
      size: Shape.integer,
      location: Shape.optional(Shape.idOrName),
      server: Shape.optional(Shape.integer),
      automount: Shape.optional(Shape.flag),
      format: Shape.optional(Shape.literals("xfs", "ext4")),
      labels: Shape.optional(Shape.labels)
    },
    ({ body, world }) => {
      if (!VOLUME_NAME.test(body.name)) throw invalid("name", "is not a name of a volume")
      uniqueName(world.volumes, body.name, "volume name is already used")
      if (body.size < 10 || body.size > 10_240) throw invalid("size", "must be from 10 to 10240")
      const server = body.server === undefined ? undefined : need(world.servers, body.server, "server")
      const location = body.location === undefined ? server?.location : locationOf(world, body.location)
      if (location === undefined) throw invalid("location", "is needed where no server is given")
      belowLimit(world, "volume_limit", world.volumes.size)
      const volume: Volume = {
        ...begin(world, body.name, body.labels),
        server: null,
        status: "creating",
        location,
        size: body.size,
        format: body.format ?? null,
        protected: false
      }
      if (server !== undefined) unlocked(world, "server", server.id)
      const action = world.act({
        command: "create_volume",
        resources: [{ id: volume.id, type: "volume" }],
        done: () => {
          volume.status = "available"
        }
      })
      const next = server === undefined ? [] : [attaches(world, volume, server.id, action)]
      world.volumes.set(volume.id, volume)
      return made({
        volume: showVolume(world, volume),
        action: showAction(world, action),
        next_actions: next.map((one) => showAction(world, one))
      })
    }
  ),
  ...reads(disks),
  updates(disks, {}),
  remove("/volumes/{id}", ({ id, world }) => {
    const volume = need(world.volumes, id, "volume")
    unprotected("volume", volume)
    unlocked(world, "volume", id)
    if (volume.server !== null) throw new Refusal("service_error", "volume must be detached before it is deleted")
    world.volumes.delete(id)
    return emptied
  }),
  post(
    "/volumes/{id}/actions/attach",
    { server: Shape.integer, automount: Shape.optional(Shape.nullable(Shape.flag)) },
    ({ body, id, world }) => {
      unlocked(world, "volume", id)
      return begun(world, attaches(world, need(world.volumes, id, "volume"), body.server))
    }
  ),
  bare("/volumes/{id}/actions/detach", ({ id, world }) => {
    const volume = need(world.volumes, id, "volume")
    if (volume.server === null) throw invalid("server", "is not attached")
    unlocked(world, "volume", id)
    unlocked(world, "server", volume.server)
    return begun(
      world,
      world.act({
        command: "detach_volume",
        resources: [{ id: volume.server, type: "server" }, { id, type: "volume" }],
        done: () => {
          volume.server = null
        }
      })
    )
  }),
  post("/volumes/{id}/actions/resize", { size: Shape.integer }, ({ body, id, world }) => {
    const volume = need(world.volumes, id, "volume")
    if (body.size <= volume.size || body.size > 10_240) throw invalid("size", "can only grow, to at most 10240")
    unlocked(world, "volume", id)
    return begun(
      world,
      world.act({
        command: "resize_volume",
        resources: [{ id, type: "volume" }],
        done: () => {
          volume.size = body.size
        }
      })
    )
  }),
  protects("volumes", "volume", ({ volumes: items }) => items)
]

const keys = {
  path: "ssh_keys",
  one: "ssh_key",
  what: "SSH key",
  items: ({ sshKeys: items }: World) => items,
  show: showSshKey,
  sorts: ["id", "name"],
  query: { fingerprint: Shape.word },
  matches: ({ fingerprint }, query) => query.fingerprint === undefined || query.fingerprint === fingerprint
} satisfies Collection<SshKey, { fingerprint: typeof Shape.word }>

/** Adds a key, under the fingerprint that `digest` finds for what is in it. @internal */
export const sshKeyRoutes = (digest: (blob: string) => string): ReadonlyArray<Route> => [
  post(
    "/ssh_keys",
    { name: Shape.text, public_key: Shape.text, labels: Shape.optional(Shape.labels) },
    ({ body, world }) => {
      const blob = /^(?:ssh|ecdsa|sk)-\S+ ([A-Za-z0-9+/]+=*)(?: .*)?$/.exec(body.public_key.trim())?.[1]
      if (blob === undefined) throw invalid("public_key", "is not an SSH key")
      uniqueName(world.sshKeys, body.name, "SSH key name is already used")
      const fingerprint = digest(blob)
      for (const key of world.sshKeys.values()) {
        if (key.fingerprint !== fingerprint) continue
        throw new Refusal("uniqueness_error", "SSH key with the same fingerprint already exists", {
          fields: [{ name: "public_key" }]
        })
      }
      const key: SshKey = { ...begin(world, body.name, body.labels), fingerprint, publicKey: body.public_key.trim() }
      world.sshKeys.set(key.id, key)
      return made({ ssh_key: showSshKey(world, key) })
    }
  ),
  ...reads(keys),
  updates(keys, {}),
  remove("/ssh_keys/{id}", ({ id, world }) => {
    need(world.sshKeys, id, "SSH key")
    world.sshKeys.delete(id)
    return emptied
  })
]
