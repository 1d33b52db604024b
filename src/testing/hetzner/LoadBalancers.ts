/**
 * Load balancers of the fake cloud: their targets, services and networks.
 *
 * A target is a server, an address, or a label selector, which is evaluated whenever somebody reads it. A target is
 * healthy while its server runs and can be reached. Certificates and Primary IPs of load balancers are not simulated.
 */
import { addressOf } from "./Cidr.ts"
import { begin, belowLimit, locationOf, protects, unlocked, unprotected, updates } from "./Common.ts"
import { attach, attachmentIn, leave } from "./Networks.ts"
import { addressFor } from "./PrimaryIps.ts"
import { invalid, Refusal } from "./Refusal.ts"
import { bare, begun, type Collection, post, reads, remove, type Route, uniqueName } from "./Route.ts"
import { parseSelector } from "./Selector.ts"
import * as Shape from "./Shape.ts"
import { showLoadBalancer, showLoadBalancerType } from "./Show.ts"
import {
  byIdOrName,
  type LoadBalancer,
  type LoadBalancerType,
  type Location,
  need,
  type Service,
  type Target,
  type World
} from "./World.ts"

const collection = {
  path: "load_balancers",
  one: "load_balancer",
  what: "load balancer",
  items: ({ loadBalancers: items }: World) => items,
  show: showLoadBalancer,
  sorts: ["id", "name", "created"],
  query: {},
  resource: "load_balancer"
} satisfies Collection<LoadBalancer, Record<never, never>>

const types: Collection<LoadBalancerType, Record<never, never>> = {
  path: "load_balancer_types",
  one: "load_balancer_type",
  what: "load balancer type",
  items: ({ loadBalancerTypes: items }) => items,
  show: showLoadBalancerType,
  sorts: [],
  query: {}
}

// -----------------------------------------------------------------------------
// Targets
// -----------------------------------------------------------------------------

const targetFields = {
  type: Shape.literals("server", "label_selector", "ip"),
  server: Shape.optional(Shape.record({ id: Shape.integer })),
  label_selector: Shape.optional(Shape.record({ selector: Shape.text })),
  ip: Shape.optional(Shape.record({ ip: Shape.text }))
}
const addFields = { ...targetFields, use_private_ip: Shape.optional(Shape.flag) }

const targetOf = (body: Shape.Fields<typeof addFields>): Target => {
  const isPrivate = body.use_private_ip ?? false
  switch (body.type) {
    case "server": {
      if (body.server === undefined) throw invalid("server", "is needed for a target of the type server")
      return { type: "server", server: body.server.id, isPrivate }
    }
    case "label_selector": {
      if (body.label_selector === undefined) throw invalid("label_selector", "is needed for a target of this type")
      parseSelector(body.label_selector.selector)
      return { type: "label_selector", selector: body.label_selector.selector, isPrivate }
    }
    case "ip": {
      if (body.ip === undefined) throw invalid("ip", "is needed for a target of the type ip")
      if (isPrivate) throw invalid("use_private_ip", "is not possible for a target of the type ip")
      return { type: "ip", ip: body.ip.ip }
    }
  }
}

const same = (one: Target, other: Target): boolean =>
  one.type === "server"
    ? other.type === "server" && one.server === other.server
    : one.type === "label_selector"
    ? other.type === "label_selector" && one.selector === other.selector
    : other.type === "ip" && one.ip === other.ip

/** Refuses a target that the load balancer cannot have. */
const checkTarget = (world: World, balancer: LoadBalancer, target: Target): void => {
  if (balancer.targets.some((one) => same(one, target))) {
    throw new Refusal("target_already_defined", "load balancer target is already defined")
  }
  if (balancer.targets.length >= balancer.type.maxTargets) {
    throw new Refusal("resource_limit_exceeded", "target limit exceeded", { limits: [{ name: "target_limit" }] })
  }
  if (target.type === "ip") {
    if (addressOf(target.ip) === undefined) throw invalid("ip", `'${target.ip}' is not an IPv4 address`)
    const isOfCloud = [...world.primaryIps.values(), ...world.floatingIps.values()].some(({ ip }) => ip === target.ip)
    throw isOfCloud
      ? new Refusal("cloud_resource_ip_not_allowed", "the IP belongs to a Hetzner Cloud resource")
      : new Refusal("ip_not_owned", "the IP is not owned by the Project owner")
  }
  if (target.isPrivate && balancer.attachments.length === 0) {
    throw new Refusal("load_balancer_not_attached_to_network", "load balancer is not attached to a network")
  }
  if (!target.isPrivate && !balancer.isPublic) {
    throw new Refusal("load_balancer_public_interface_disabled", "the public interface is disabled")
  }
  if (target.type !== "server") return
  const server = need(world.servers, target.server, "server")
  const networks = new Set(balancer.attachments.map(({ network }) => network))
  if (target.isPrivate && !server.attachments.some(({ network }) => networks.has(network))) {
    throw new Refusal("server_not_attached_to_network", "server is not attached to the load balancer's network")
  }
  const hasIpv4 = Array.from(world.primaryIps.values()).some(({ assignee, type }) =>
    assignee === server.id && type === "ipv4"
  )
  if (!target.isPrivate && !hasIpv4) throw new Refusal("missing_ipv4", "server has no public IPv4 address")
}

// -----------------------------------------------------------------------------
// Services
// -----------------------------------------------------------------------------

const port = (value: number, field: string): number => {
  if (value < 1 || value > 65_535) throw invalid(field, "must be from 1 to 65535")
  return value
}

const healthFields = {
  protocol: Shape.optional(Shape.literals("tcp", "http")),
  port: Shape.optional(Shape.integer),
  interval: Shape.optional(Shape.integer),
  timeout: Shape.optional(Shape.integer),
  retries: Shape.optional(Shape.integer),
  http: Shape.optional(Shape.record({
    domain: Shape.optional(Shape.nullable(Shape.text)),
    path: Shape.optional(Shape.text),
    response: Shape.optional(Shape.text),
    status_codes: Shape.optional(Shape.list(Shape.text)),
    tls: Shape.optional(Shape.flag)
  }))
}

const serviceFields = {
  listen_port: Shape.optional(Shape.integer),
  protocol: Shape.literals("tcp", "http", "https"),
  destination_port: Shape.optional(Shape.integer),
  proxyprotocol: Shape.optional(Shape.flag),
  health_check: Shape.optional(Shape.record(healthFields)),
  http: Shape.optional(Shape.record({
    certificates: Shape.optional(Shape.list(Shape.integer)),
    cookie_lifetime: Shape.optional(Shape.integer),
    cookie_name: Shape.optional(Shape.text),
    redirect_http: Shape.optional(Shape.flag),
    sticky_sessions: Shape.optional(Shape.flag)
  }))
}

type HealthBody = Shape.Fields<typeof healthFields>
type ServiceBody = Partial<Shape.Fields<typeof serviceFields>>

const usualPorts = { tcp: undefined, http: 80, https: 443 } as const

const healthOf = (body: HealthBody, before: Service["health"]): Service["health"] => {
  const protocol = body.protocol ?? before.protocol
  const check = {
    protocol,
    port: port(body.port ?? before.port, "health_check.port"),
    interval: body.interval ?? before.interval,
    timeout: body.timeout ?? before.timeout,
    retries: body.retries ?? before.retries
  }
  if (check.interval < 3 || check.interval > 60) throw invalid("health_check.interval", "must be from 3 to 60")
  if (check.timeout < 1 || check.timeout > check.interval) {
    throw invalid("health_check.timeout", "must be from 1 to the interval")
  }
  if (check.retries < 1 || check.retries > 5) throw invalid("health_check.retries", "must be from 1 to 5")
  if (protocol === "tcp") {
    if (Object.keys(body.http ?? {}).length > 0) throw invalid("health_check.http", "is for the protocol http")
    return check
  }
  const http = { domain: null, path: "/", response: "", status_codes: ["2??", "3??"], tls: false, ...before.http }
  return { ...check, http: { ...http, ...body.http } }
}

/** The service that a body makes of the one before, which is the default for a new one. */
const serviceOf = (body: ServiceBody, before?: Service): Service => {
  const protocol = body.protocol ?? before?.protocol ?? "tcp"
  const listenPort = body.listen_port ?? before?.listenPort ?? usualPorts[protocol]
  if (listenPort === undefined) throw invalid("listen_port", "is needed for the protocol tcp")
  const usual = protocol === "tcp" ? undefined : 80
  const destinationPort = body.destination_port ?? before?.destinationPort ?? usual
  if (destinationPort === undefined) throw invalid("destination_port", "is needed for the protocol tcp")
  // One client sends an empty object where nothing is changed.
  if (protocol === "tcp" && Object.keys(body.http ?? {}).length > 0) {
    throw invalid("http", "is for the protocols http and https")
  }
  if (protocol === "https" && (body.http?.certificates ?? before?.http?.certificates ?? []).length === 0) {
    throw invalid("http.certificates", "are needed for the protocol https")
  }
  const usualHealth: Service["health"] = {
    protocol: protocol === "tcp" ? "tcp" : "http",
    port: destinationPort,
    interval: 15,
    timeout: 10,
    retries: 3
  }
  const usualHttp = {
    certificates: [],
    cookie_lifetime: 300,
    cookie_name: "HCLBSTICKY",
    redirect_http: false,
    sticky_sessions: false
  }
  return {
    protocol,
    listenPort: port(listenPort, "listen_port"),
    destinationPort: port(destinationPort, "destination_port"),
    proxyProtocol: body.proxyprotocol ?? before?.proxyProtocol ?? false,
    health: healthOf(body.health_check ?? {}, before?.health ?? usualHealth),
    ...(protocol === "tcp" ? {} : { http: { ...usualHttp, ...before?.http, ...body.http } })
  }
}

const checkService = (balancer: LoadBalancer, service: Service): void => {
  if (balancer.services.some(({ listenPort }) => listenPort === service.listenPort)) {
    throw new Refusal("source_port_already_used", `source port ${service.listenPort} is already used`)
  }
  if (balancer.services.length >= balancer.type.maxServices) {
    throw new Refusal("resource_limit_exceeded", "service limit exceeded", { limits: [{ name: "service_limit" }] })
  }
}

const serviceAt = (balancer: LoadBalancer, listenPort: number): Service => {
  const found = balancer.services.find((service) => service.listenPort === listenPort)
  if (found === undefined) throw invalid("listen_port", `no service listens on ${listenPort}`)
  return found
}

// -----------------------------------------------------------------------------
// Routes
// -----------------------------------------------------------------------------

const typeOf = (world: World, wanted: string | number): LoadBalancerType => {
  const found = byIdOrName(world.loadBalancerTypes, wanted)
  if (found === undefined) throw invalid("load_balancer_type", `load balancer type ${wanted} not found`)
  return found
}

const locationFor = (
  world: World,
  { location, network_zone: zone }: { readonly location?: string | number; readonly network_zone?: string }
): Location => {
  if ((location === undefined) === (zone === undefined)) {
    throw invalid("location", "exactly one of location and network_zone is needed")
  }
  if (location !== undefined) return locationOf(world, location)
  const found = Array.from(world.locations.values()).find(({ network_zone }) => network_zone === zone)
  if (found === undefined) throw invalid("network_zone", `'${zone}' is no network zone`)
  return found
}

/** Joins a network, in which a load balancer is one of the members. */
const join = (world: World, balancer: LoadBalancer, network: number, requested: Parameters<typeof attach>[3] = {}) => {
  if (balancer.attachments.length > 0) {
    throw new Refusal("load_balancer_already_attached", "load balancer is already attached to a network")
  }
  return attach(world, balancer, network, requested)
}

/** A load balancer with no targets and services, not yet in the Project. @internal */
export const newLoadBalancer = (
  world: World,
  { labels, location, name, type }: {
    readonly name: string
    readonly labels?: Readonly<Record<string, string>>
    readonly location: Location
    readonly type: LoadBalancerType
  }
): LoadBalancer => ({
  ...begin(world, name, labels),
  location,
  type,
  ipv4: addressFor(world, "ipv4"),
  ipv6: addressFor(world, "ipv6").replace("/64", "1"),
  isPublic: true,
  attachments: [],
  targets: [],
  services: [],
  algorithm: "round_robin",
  dnsPtr: new Map(),
  protected: false
})

/** Changes a load balancer when its action ends. Nothing else may be at work on it. */
const changes = <F extends Readonly<Record<string, Shape.Shape<unknown>>>>(
  command: string,
  fields: F,
  prepare: (
    world: World,
    balancer: LoadBalancer,
    body: Shape.Fields<F>
  ) => { readonly done: () => void; readonly failed?: () => void; readonly network?: number }
): Route =>
  post(`/load_balancers/{id}/actions/${command}`, fields, ({ body, id, world }) => {
    const balancer = need(world.loadBalancers, id, "load balancer")
    unlocked(world, "load_balancer", id)
    const { done, failed, network } = prepare(world, balancer, body)
    const self = { id, type: "load_balancer" } as const
    const resources = network === undefined ? [self] : [self, { id: network, type: "network" } as const]
    return begun(world, world.act({ command, resources, done, ...(failed === undefined ? {} : { failed }) }))
  })

const publicInterface = (command: "enable_public_interface" | "disable_public_interface"): Route =>
  bare(`/load_balancers/{id}/actions/${command}`, ({ id, world }) => {
    const balancer = need(world.loadBalancers, id, "load balancer")
    unlocked(world, "load_balancer", id)
    return begun(
      world,
      world.act({
        command,
        resources: [{ id, type: "load_balancer" }],
        done: () => {
          balancer.isPublic = command === "enable_public_interface"
        }
      })
    )
  })

/** @internal */
export const loadBalancers: ReadonlyArray<Route> = [
  ...reads(types),
  post(
    "/load_balancers",
    {
      name: Shape.text,
      load_balancer_type: Shape.idOrName,
      location: Shape.optional(Shape.idOrName),
      network_zone: Shape.optional(Shape.text),
      network: Shape.optional(Shape.integer),
      public_interface: Shape.optional(Shape.flag),
      algorithm: Shape.optional(
        Shape.record({ type: Shape.optional(Shape.literals("round_robin", "least_connections")) })
      ),
      labels: Shape.optional(Shape.labels),
      services: Shape.optional(Shape.list(Shape.record(serviceFields))),
      targets: Shape.optional(Shape.list(Shape.record(addFields)))
    },
    ({ body, world }) => {
      uniqueName(world.loadBalancers, body.name, "load balancer name is already used")
      belowLimit(world, "load_balancer_limit", world.loadBalancers.size)
      const location = locationFor(world, body)
      const type = typeOf(world, body.load_balancer_type)
      const { labels = {}, name } = body
      const balancer = newLoadBalancer(world, { name, labels, location, type })
      balancer.isPublic = body.public_interface ?? true
      balancer.algorithm = body.algorithm?.type ?? "round_robin"
      const attachment = body.network === undefined ? undefined : join(world, balancer, body.network)
      if (attachment === undefined && !balancer.isPublic) {
        throw invalid("public_interface", "can only be off in a network")
      }
      for (const service of (body.services ?? []).map((each) => serviceOf(each))) {
        checkService(balancer, service)
        balancer.services.push(service)
      }
      for (const target of (body.targets ?? []).map(targetOf)) {
        checkTarget(world, balancer, target)
        balancer.targets.push(target)
      }
      world.loadBalancers.set(balancer.id, balancer)
      const action = world.act({
        command: "create_load_balancer",
        resources: [{ id: balancer.id, type: "load_balancer" }],
        done: () => {
          if (attachment !== undefined) attachment.state = "ok"
        },
        failed: () => world.loadBalancers.delete(balancer.id)
      })
      return begun(world, action, { load_balancer: showLoadBalancer(world, balancer) })
    }
  ),
  ...reads(collection),
  updates(collection, {}),
  remove("/load_balancers/{id}", ({ id, world }) => {
    const balancer = need(world.loadBalancers, id, "load balancer")
    unprotected("load balancer", balancer)
    unlocked(world, "load_balancer", id)
    return begun(
      world,
      world.act({
        command: "delete_load_balancer",
        resources: [{ id, type: "load_balancer" }],
        done: () => world.loadBalancers.delete(id)
      })
    )
  }),
  changes("add_target", addFields, (world, balancer, body) => {
    const target = targetOf(body)
    checkTarget(world, balancer, target)
    return { done: () => void balancer.targets.push(target) }
  }),
  changes("remove_target", targetFields, (_, balancer, body) => {
    const target = targetOf(body)
    if (!balancer.targets.some((one) => same(one, target))) throw invalid("target", "is not a target of it")
    return {
      done: () => {
        balancer.targets = balancer.targets.filter((one) => !same(one, target))
      }
    }
  }),
  changes("add_service", serviceFields, (_, balancer, body) => {
    const service = serviceOf(body)
    checkService(balancer, service)
    return { done: () => void balancer.services.push(service) }
  }),
  changes(
    "update_service",
    { ...serviceFields, listen_port: Shape.integer, protocol: Shape.optional(serviceFields.protocol) },
    (_, balancer, body) => {
      const before = serviceAt(balancer, body.listen_port)
      const service = serviceOf(body, before)
      return {
        done: () => {
          balancer.services = balancer.services.map((one) => one === before ? service : one)
        }
      }
    }
  ),
  changes("delete_service", { listen_port: Shape.integer }, (_, balancer, body) => {
    const gone = serviceAt(balancer, body.listen_port)
    return {
      done: () => {
        balancer.services = balancer.services.filter((one) => one !== gone)
      }
    }
  }),
  changes("attach_to_network", {
    network: Shape.integer,
    ip: Shape.optional(Shape.text),
    ip_range: Shape.optional(Shape.text)
  }, (world, balancer, { ip, ip_range: subnet, network }) => {
    const attachment = join(world, balancer, network, {
      ...(ip === undefined ? {} : { ip }),
      ...(subnet === undefined ? {} : { subnet })
    })
    return {
      network,
      done: () => {
        attachment.state = "ok"
      },
      failed: () => leave(balancer, network)
    }
  }),
  changes("detach_from_network", { network: Shape.integer }, (_, balancer, { network }) => {
    const attachment = attachmentIn(balancer, network)
    attachment.state = "detaching"
    return {
      network,
      done: () => leave(balancer, network),
      failed: () => {
        attachment.state = "ok"
      }
    }
  }),
  changes(
    "change_algorithm",
    { type: Shape.literals("round_robin", "least_connections") },
    (_, balancer, { type }) => ({
      done: () => {
        balancer.algorithm = type
      }
    })
  ),
  changes("change_type", { load_balancer_type: Shape.idOrName }, (world, balancer, body) => {
    const type = typeOf(world, body.load_balancer_type)
    if (type.maxTargets < balancer.targets.length || type.maxServices < balancer.services.length) {
      throw new Refusal("invalid_load_balancer_type", "the load balancer type is too small")
    }
    return {
      done: () => {
        balancer.type = type
      }
    }
  }),
  changes("change_dns_ptr", { ip: Shape.text, dns_ptr: Shape.nullable(Shape.text) }, (_, balancer, body) => {
    if (body.ip !== balancer.ipv4 && body.ip !== balancer.ipv6) throw invalid("ip", "is not an address of it")
    return {
      done: () => {
        if (body.dns_ptr === null) balancer.dnsPtr.delete(body.ip)
        else balancer.dnsPtr.set(body.ip, body.dns_ptr)
      }
    }
  }),
  publicInterface("enable_public_interface"),
  publicInterface("disable_public_interface"),
  protects("load_balancers", "load_balancer", ({ loadBalancers: items }) => items)
]
