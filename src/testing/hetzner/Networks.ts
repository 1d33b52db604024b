/**
 * Networks of the fake cloud: their subnets, routes, members and addresses.
 */
import { addressOf, contains, isPrivate, isWithin, overlap, type Range, rangeOf, sizeOf, textOf } from "./Cidr.ts"
import { begin, belowLimit, protects, unlocked, unprotected, updates } from "./Common.ts"
import { invalid, Refusal } from "./Refusal.ts"
import {
  begun,
  type Collection,
  emptied,
  get,
  made,
  ok,
  page,
  post,
  reads,
  remove,
  type Route,
  sorted,
  uniqueName
} from "./Route.ts"
import * as Shape from "./Shape.ts"
import { type Json, showNetwork } from "./Show.ts"
import {
  type Attachment,
  type LoadBalancer,
  need,
  type Network,
  type Server,
  type Subnet,
  type World
} from "./World.ts"

const collection: Collection<Network, Record<never, never>> = {
  path: "networks",
  one: "network",
  what: "network",
  items: ({ networks }) => networks,
  show: showNetwork,
  sorts: ["id", "name", "created"],
  query: {},
  resource: "network"
}

const rangeIn = (text: string, field: string): Range => {
  const range = rangeOf(text)
  if (range === undefined) throw invalid(field, `'${text}' is not a range of addresses`)
  return range
}

const networkRange = (text: string): string => {
  const range = rangeIn(text, "ip_range")
  if (!isPrivate(range)) throw invalid("ip_range", "must be of a private range")
  if (range.bits > 24) throw invalid("ip_range", "must be /24 or larger")
  return `${textOf(range.first)}/${range.bits}`
}

const subnetFields = {
  type: Shape.literals("cloud", "server", "vswitch"),
  network_zone: Shape.text,
  ip_range: Shape.optional(Shape.text),
  vswitch_id: Shape.optional(Shape.nullable(Shape.integer)),
  // One client sends it; it is the first address whatever is said.
  gateway: Shape.optional(Shape.text)
}

const subnetOf = (
  world: World,
  network: Pick<Network, "ipRange" | "subnets">,
  asked: Shape.Fields<typeof subnetFields>
): Subnet => {
  const whole = rangeIn(network.ipRange, "ip_range")
  const taken = network.subnets.map(({ ipRange }) => rangeIn(ipRange, "ip_range"))
  if (!Array.from(world.locations.values()).some(({ network_zone }) => network_zone === asked.network_zone)) {
    throw invalid("network_zone", `'${asked.network_zone}' is no network zone`)
  }
  let range: Range | undefined
  if (asked.ip_range === undefined) {
    for (let first = whole.first; range === undefined && first < whole.first + sizeOf(whole); first += 256) {
      const next = { first, bits: 24 }
      if (!taken.some((one) => overlap(one, next))) range = next
    }
    if (range === undefined) throw invalid("ip_range", "the network has no room for another subnet")
  } else {
    range = rangeIn(asked.ip_range, "ip_range")
    if (range.bits > 30) throw invalid("ip_range", "must be /30 or larger")
    if (!contains(whole, range)) throw invalid("ip_range", "is not inside of the network's range")
    const chosen = range
    if (taken.some((one) => overlap(one, chosen))) throw invalid("ip_range", "overlaps with a subnet")
  }
  return {
    type: asked.type,
    ipRange: `${textOf(range.first)}/${range.bits}`,
    zone: asked.network_zone,
    gateway: textOf(range.first + 1),
    vswitch: asked.vswitch_id ?? null
  }
}

/** All members of a network, also those that join or leave. */
const standing = (world: World, network: number): ReadonlyArray<Server | LoadBalancer> =>
  [...world.servers.values(), ...world.lingering.values(), ...world.loadBalancers.values()].filter(({ attachments }) =>
    attachments.some((attachment) => attachment.network === network)
  )

const takenIn = (world: World, network: number): ReadonlySet<string> =>
  new Set(
    standing(world, network).flatMap(({ attachments }) =>
      attachments.flatMap(({ aliases, ip, network: of }) => of === network ? [ip, ...aliases] : [])
    )
  )

/** The address and the subnet that a request names. @internal */
export interface RequestedAddress {
  readonly ip?: string
  readonly aliases?: ReadonlyArray<string>
  readonly subnet?: string
}

/** Takes an address of a network, from the moment of the request. @internal */
export const attach = (
  world: World,
  item: Server | LoadBalancer,
  id: number,
  requested: RequestedAddress = {}
): Attachment => {
  const network = need(world.networks, id, "network")
  if (item.attachments.some((attachment) => attachment.network === id)) {
    throw new Refusal("server_already_attached", "server is already attached to this network")
  }
  const whole = rangeIn(network.ipRange, "network")
  for (const { network: other } of item.attachments) {
    const range = rangeOf(world.networks.get(other)?.ipRange ?? "")
    if (range !== undefined && overlap(range, whole)) throw new Refusal("networks_overlap", "networks overlap")
  }
  const zone = item.location.network_zone
  const subnets = network.subnets.filter((subnet) =>
    subnet.zone === zone && (requested.subnet === undefined || subnet.ipRange === requested.subnet)
  )
  if (subnets.length === 0) throw new Refusal("no_subnet_available", "no subnet or IP available")
  const taken = takenIn(world, id)
  for (const alias of requested.aliases ?? []) {
    if (taken.has(alias)) throw new Refusal("ip_not_available", `IP '${alias}' is not available`)
  }
  for (const subnet of subnets) {
    const range = rangeIn(subnet.ipRange, "network")
    const place = (ip: string): Attachment => {
      const mac = world.nextAddress().toString(16).padStart(6, "0").replace(/(..)(..)(..)/, "$1:$2:$3")
      const attachment: Attachment = {
        network: id,
        subnet: subnet.ipRange,
        ip,
        aliases: requested.aliases ?? [],
        mac: `86:00:00:${mac}`,
        state: "attaching"
      }
      item.attachments.push(attachment)
      return attachment
    }
    if (requested.ip !== undefined) {
      const address = addressOf(requested.ip)
      if (address === undefined) throw invalid("ip", `'${requested.ip}' is not an address`)
      if (!isWithin(range, address)) continue
      if (taken.has(requested.ip) || requested.ip === subnet.gateway) break
      return place(requested.ip)
    }
    for (let address = range.first + 2; address < range.first + sizeOf(range) - 1; address++) {
      if (!taken.has(textOf(address))) return place(textOf(address))
    }
  }
  throw requested.ip === undefined
    ? new Refusal("no_subnet_available", "no subnet or IP available")
    : new Refusal("ip_not_available", `IP '${requested.ip}' is not available`)
}

/** @internal */
export const leave = (item: Server | LoadBalancer, network: number): void => {
  item.attachments = item.attachments.filter((attachment) => attachment.network !== network)
}

/** @internal */
export const attachmentIn = (item: Server | LoadBalancer, network: number): Attachment => {
  const found = item.attachments.find((attachment) => attachment.network === network)
  if (found === undefined) throw invalid("network", "is not a network of it")
  return found
}

/** Changes to one network do not wait for each other. */
const undisturbed = (world: World, id: number): Network => {
  const network = need(world.networks, id, "network")
  if (world.running("network", id).some(({ command }) => command.endsWith("subnet") || command.endsWith("route"))) {
    throw new Refusal("conflict", "the network is being changed")
  }
  return network
}

const changes = <F extends Readonly<Record<string, Shape.Shape<unknown>>>>(
  command: string,
  fields: F,
  prepare: (world: World, network: Network, body: Shape.Fields<F>) => () => void
): Route =>
  post(`/networks/{id}/actions/${command}`, fields, ({ body, id, world }) => {
    const done = prepare(world, undisturbed(world, id), body)
    return begun(world, world.act({ command, resources: [{ id, type: "network" }], done }))
  })

const routeFields = { destination: Shape.text, gateway: Shape.text }

/** A route as the API stores it: its destination is a range, its gateway an address of the network. */
const routeOf = (network: Pick<Network, "ipRange" | "routes">, asked: Shape.Fields<typeof routeFields>) => {
  const destination = rangeIn(asked.destination, "destination")
  const gateway = addressOf(asked.gateway)
  if (gateway === undefined) throw invalid("gateway", `'${asked.gateway}' is not an address`)
  if (!isWithin(rangeIn(network.ipRange, "ip_range"), gateway)) throw invalid("gateway", "is not inside of the network")
  const route = { destination: `${textOf(destination.first)}/${destination.bits}`, gateway: textOf(gateway) }
  if (network.routes.some((one) => one.destination === route.destination)) {
    throw invalid("destination", "has a route already")
  }
  return route
}

const deleteNetwork = (world: World, network: Network): void => {
  unprotected("network", network)
  const present = standing(world, network.id)
  for (const { id } of present) if (world.servers.has(id)) unlocked(world, "server", id)
  if (present.length > 0 && world.settings.networkDelete === "refuse") {
    throw new Refusal("resource_in_use", `network with ID '${network.id}' is still in use`)
  }
  for (const item of present) leave(item, network.id)
  world.networks.delete(network.id)
}

const members = (world: World, network: number): ReadonlyArray<Json> =>
  standing(world, network).flatMap((item) =>
    item.attachments.filter((attachment) => attachment.network === network).map(({ aliases, ip, state, subnet }) => ({
      type: world.loadBalancers.has(item.id) ? "load_balancer" : "server",
      id: item.id,
      ip,
      status: state,
      alias_ips: aliases,
      subnet
    }))
  )

/** @internal */
export const networks: ReadonlyArray<Route> = [
  post(
    "/networks",
    {
      name: Shape.text,
      ip_range: Shape.text,
      subnets: Shape.optional(Shape.list(Shape.record(subnetFields))),
      routes: Shape.optional(Shape.list(Shape.record(routeFields))),
      labels: Shape.optional(Shape.labels),
      expose_routes_to_vswitch: Shape.optional(Shape.flag)
    },
    ({ body, world }) => {
      uniqueName(world.networks, body.name, "network name is already used")
      belowLimit(world, "network_limit", world.networks.size)
      const network: Network = {
        ...begin(world, body.name, body.labels),
        ipRange: networkRange(body.ip_range),
        subnets: [],
        routes: [],
        protected: false,
        exposeRoutes: body.expose_routes_to_vswitch ?? false
      }
      for (const subnet of body.subnets ?? []) network.subnets.push(subnetOf(world, network, subnet))
      for (const route of body.routes ?? []) network.routes.push(routeOf(network, route))
      world.networks.set(network.id, network)
      return made({ network: showNetwork(world, network) })
    }
  ),
  ...reads(collection),
  updates(collection, { expose_routes_to_vswitch: Shape.optional(Shape.flag) }, (network, body) => {
    network.exposeRoutes = body.expose_routes_to_vswitch ?? network.exposeRoutes
  }),
  remove("/networks/{id}", ({ id, world }) => {
    deleteNetwork(world, undisturbed(world, id))
    return emptied
  }),
  get(
    "/networks/{id}/members",
    {
      type: Shape.many(Shape.oneOf("server", "load_balancer")),
      status: Shape.many(Shape.oneOf("ok", "attaching", "detaching", "updating", "error")),
      subnet: Shape.many(Shape.word),
      page: Shape.natural,
      per_page: Shape.natural,
      sort: Shape.many(Shape.word)
    },
    ({ id, query, world }) => {
      need(world.networks, id, "network")
      const among = (values: ReadonlyArray<unknown> | undefined, value: unknown) => values?.includes(value) ?? true
      const found = members(world, id).filter(({ status, subnet, type }) =>
        among(query.type, type) && among(query.status, status) && among(query.subnet, subnet)
      )
      return ok(
        page("members", sorted(found, query.sort ?? [], ["type", "id", "ip", "status"]), query, (member) => member)
      )
    }
  ),
  changes("add_subnet", subnetFields, (world, network, body) => {
    const subnet = subnetOf(world, network, body)
    return () => void network.subnets.push(subnet)
  }),
  changes("delete_subnet", { ip_range: Shape.text }, (world, network, body) => {
    if (!network.subnets.some(({ ipRange }) => ipRange === body.ip_range)) throw invalid("ip_range", "no such subnet")
    const occupied = standing(world, network.id).some(({ attachments }) =>
      attachments.some((one) => one.network === network.id && one.subnet === body.ip_range)
    )
    if (occupied) {
      throw new Refusal("service_error", "cannot remove subnet because servers are attached to it")
    }
    return () => {
      network.subnets = network.subnets.filter(({ ipRange }) => ipRange !== body.ip_range)
    }
  }),
  changes("add_route", routeFields, (_, network, body) => {
    const route = routeOf(network, body)
    return () => void network.routes.push(route)
  }),
  changes("delete_route", routeFields, (_, network, body) => {
    const gone = routeOf({ ...network, routes: [] }, body)
    const isGone = ({ destination, gateway }: typeof gone) =>
      destination === gone.destination && gateway === gone.gateway
    if (!network.routes.some(isGone)) throw invalid("destination", "no such route")
    return () => {
      network.routes = network.routes.filter((route) => !isGone(route))
    }
  }),
  changes("change_ip_range", { ip_range: Shape.text }, (_, network, body) => {
    const range = networkRange(body.ip_range)
    if (!contains(rangeIn(range, "ip_range"), rangeIn(network.ipRange, "ip_range"))) {
      throw invalid("ip_range", "can only grow")
    }
    return () => {
      network.ipRange = range
    }
  }),
  protects("networks", "network", ({ networks: items }) => items)
]
