/**
 * Primary IPs of the fake cloud: the addresses of a server, which are created with it or before.
 */
import { begin, belowLimit, locationOf, protects, unlocked, unprotected, updates } from "./Common.ts"
import { invalid, Refusal } from "./Refusal.ts"
import { begun, type Collection, emptied, made, post, reads, remove, type Route, uniqueName } from "./Route.ts"
import * as Shape from "./Shape.ts"
import { showAction, showPrimaryIp } from "./Show.ts"
import { type Location, need, type PrimaryIp, type World } from "./World.ts"

/** An address of the range for measurements, or of the one for documents. @internal */
export const addressFor = (world: World, type: "ipv4" | "ipv6"): string => {
  const number = world.nextAddress()
  return type === "ipv4"
    ? `198.${18 + (number >> 16) % 2}.${(number >> 8) % 256}.${number % 256}`
    : `2001:db8:${(number >> 16).toString(16)}:${(number % 65_536).toString(16)}::/64`
}

/** @internal */
export const makePrimaryIp = (
  world: World,
  { autoDelete, labels, location, name, type }: {
    readonly name: string
    readonly type: "ipv4" | "ipv6"
    readonly location: Location
    readonly autoDelete: boolean
    readonly labels?: Readonly<Record<string, string>>
  }
): PrimaryIp => {
  const ip: PrimaryIp = {
    ...begin(world, name, labels),
    type,
    ip: addressFor(world, type),
    assignee: null,
    autoDelete,
    location,
    protected: false,
    dnsPtr: new Map()
  }
  world.primaryIps.set(ip.id, ip)
  return ip
}

/** The primary IP of a new server. @internal */
export const freePrimaryIp = (world: World, id: number, type: "ipv4" | "ipv6", location: Location): PrimaryIp => {
  const ip = need(world.primaryIps, id, "primary IP")
  if (ip.type !== type) throw new Refusal("primary_ip_version_mismatch", "primary IP is of the other version")
  if (ip.assignee !== null) throw new Refusal("primary_ip_assigned", "primary IP is already assigned")
  if (ip.location.id !== location.id) {
    throw new Refusal("primary_ip_datacenter_mismatch", "primary IP is in another location")
  }
  return ip
}

const collection = {
  path: "primary_ips",
  one: "primary_ip",
  what: "primary IP",
  items: ({ primaryIps }: World) => primaryIps,
  show: showPrimaryIp,
  sorts: ["id", "name", "created"],
  query: { ip: Shape.word },
  matches: ({ ip }, query) => query.ip === undefined || query.ip === ip,
  resource: "primary_ip"
} satisfies Collection<PrimaryIp, { ip: typeof Shape.word }>

const stoppedServer = (world: World, id: number): void => {
  unlocked(world, "server", id)
  if (need(world.servers, id, "server").status !== "off") {
    throw new Refusal("server_not_stopped", "server must be stopped")
  }
}

/** Refuses a server that runs, or has an address of this family. */
const fitsServer = (world: World, type: "ipv4" | "ipv6", id: number): void => {
  stoppedServer(world, id)
  const has = Array.from(world.primaryIps.values()).some((ip) => ip.assignee === id && ip.type === type)
  if (has) throw new Refusal(`server_has_${type}`, `server already has a public ${type} address`)
}

/** @internal */
export const primaryIps: ReadonlyArray<Route> = [
  post(
    "/primary_ips",
    {
      name: Shape.text,
      type: Shape.literals("ipv4", "ipv6"),
      location: Shape.optional(Shape.idOrName),
      assignee_type: Shape.optional(Shape.literals("server")),
      assignee_id: Shape.optional(Shape.nullable(Shape.integer)),
      auto_delete: Shape.optional(Shape.flag),
      labels: Shape.optional(Shape.labels)
    },
    ({ body, world }) => {
      uniqueName(world.primaryIps, body.name, "primary IP name is already used")
      belowLimit(world, "primary_ip_limit", world.primaryIps.size)
      const assignee = body.assignee_id ?? null
      if (assignee !== null) fitsServer(world, body.type, assignee)
      const location = assignee === null
        ? body.location === undefined ? undefined : locationOf(world, body.location)
        : need(world.servers, assignee, "server").location
      if (location === undefined) throw invalid("location", "is needed where nothing is assigned")
      const { auto_delete: autoDelete = false, labels = {}, name, type } = body
      const ip = makePrimaryIp(world, { name, type, location, autoDelete, labels })
      ip.assignee = assignee
      const action = assignee === null ? null : world.act({
        command: "assign_primary_ip",
        resources: [{ id: ip.id, type: "primary_ip" }, { id: assignee, type: "server" }]
      })
      return made({ primary_ip: showPrimaryIp(world, ip), action: action === null ? null : showAction(world, action) })
    }
  ),
  ...reads(collection),
  updates(collection, { auto_delete: Shape.optional(Shape.flag) }, (ip, body) => {
    ip.autoDelete = body.auto_delete ?? ip.autoDelete
  }),
  remove("/primary_ips/{id}", ({ id, world }) => {
    const ip = need(world.primaryIps, id, "primary IP")
    unprotected("primary IP", ip)
    if (ip.assignee !== null) throw new Refusal("must_be_unassigned", "primary IP must be unassigned")
    world.primaryIps.delete(id)
    return emptied
  }),
  post(
    "/primary_ips/{id}/actions/assign",
    { assignee_id: Shape.integer, assignee_type: Shape.literals("server") },
    ({ body, id, world }) => {
      const ip = need(world.primaryIps, id, "primary IP")
      if (ip.assignee !== null) throw new Refusal("primary_ip_already_assigned", "primary IP is already assigned")
      fitsServer(world, ip.type, body.assignee_id)
      const resources = [{ id, type: "primary_ip" }, { id: body.assignee_id, type: "server" }] as const
      return begun(
        world,
        world.act({
          command: "assign_primary_ip",
          resources,
          done: () => {
            ip.assignee = body.assignee_id
          }
        })
      )
    }
  ),
  post("/primary_ips/{id}/actions/unassign", {}, ({ id, world }) => {
    const ip = need(world.primaryIps, id, "primary IP")
    if (ip.assignee === null) throw invalid("assignee_id", "is not assigned")
    stoppedServer(world, ip.assignee)
    const resources = [{ id, type: "primary_ip" }, { id: ip.assignee, type: "server" }] as const
    return begun(
      world,
      world.act({
        command: "unassign_primary_ip",
        resources,
        done: () => {
          ip.assignee = null
        }
      })
    )
  }),
  protects("primary_ips", "primary_ip", ({ primaryIps: items }) => items)
]
