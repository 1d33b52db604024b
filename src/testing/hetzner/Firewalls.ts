/**
 * Firewalls of the fake cloud: their rules, and the servers on which they are, by name or by a selector of labels.
 *
 * A selector is carried out some time later, by actions that no reply names.
 */
import { storedRange } from "./Cidr.ts"
import { begin, belowLimit, updates } from "./Common.ts"
import { invalid, Refusal } from "./Refusal.ts"
import { type Collection, emptied, made, post, reads, remove, type Reply, type Route, uniqueName } from "./Route.ts"
import { parseSelector } from "./Selector.ts"
import * as Shape from "./Shape.ts"
import { showAction, showFirewall } from "./Show.ts"
import { type Action, type Application, type Firewall, need, type Rule, type Server, type World } from "./World.ts"

const collection: Collection<Firewall, Record<never, never>> = {
  path: "firewalls",
  one: "firewall",
  what: "firewall",
  items: ({ firewalls }) => firewalls,
  show: showFirewall,
  sorts: ["id", "name", "created"],
  query: {},
  resource: "firewall"
}

const ruleShape = Shape.record({
  direction: Shape.literals("in", "out"),
  protocol: Shape.literals("tcp", "udp", "icmp", "esp", "gre"),
  port: Shape.optional(Shape.nullable(Shape.text)),
  source_ips: Shape.optional(Shape.list(Shape.text)),
  destination_ips: Shape.optional(Shape.list(Shape.text)),
  description: Shape.optional(Shape.nullable(Shape.text))
})

const targetShape = Shape.record({
  type: Shape.literals("server", "label_selector"),
  server: Shape.optional(Shape.record({ id: Shape.integer })),
  label_selector: Shape.optional(Shape.record({ selector: Shape.text }))
})

const PORT = /^(?:any|\d{1,5}(?:-\d{1,5})?)$/

const rulesOf = (asked: ReadonlyArray<ReturnType<typeof ruleShape.read>>): ReadonlyArray<Rule> => {
  if (asked.length > 50) throw invalid("rules", "must be at most 50")
  return asked.map((rule, index) => {
    const bad = (message: string) => invalid(`rules.${index}`, message)
    const { description = null, destination_ips = [], direction, port = null, protocol, source_ips = [] } = rule
    const ported = protocol === "tcp" || protocol === "udp"
    if (ported !== (port !== null)) throw bad(ported ? "needs a port" : "cannot have a port")
    if (port !== null && !PORT.test(port)) throw bad(`port '${port}' is none`)
    const [own, other] = direction === "in" ? [source_ips, destination_ips] : [destination_ips, source_ips]
    if (own.length === 0 || other.length > 0) throw bad(`has the wrong addresses for direction ${direction}`)
    if (own.length > 100) throw bad("has more than 100 ranges")
    const stored = own.map((range) => {
      const spelling = storedRange(range)
      if (spelling === undefined) throw bad(`'${range}' is not a valid CIDR`)
      return spelling
    })
    const [sources, destinations] = direction === "in" ? [stored, []] : [[], stored]
    return { direction, protocol, port, source_ips: sources, destination_ips: destinations, description }
  })
}

const applicationsOf = (asked: ReadonlyArray<ReturnType<typeof targetShape.read>>): ReadonlyArray<Application> =>
  asked.map(({ label_selector, server, type }) => {
    if (type === "server") {
      if (server === undefined) throw invalid("apply_to", "needs a server")
      return { type, server: server.id }
    }
    if (label_selector === undefined) throw invalid("apply_to", "needs a label selector")
    parseSelector(label_selector.selector)
    return { type, selector: label_selector.selector }
  })

const selects = (firewall: Firewall, server: Server): boolean =>
  firewall.applications.some((one) =>
    one.type === "server" ? one.server === server.id : parseSelector(one.selector)(server.labels)
  )

/** Begins to put a firewall on a server. @internal */
export const applyFirewall = (world: World, firewall: Firewall, server: Server, after?: Action): Action => {
  server.firewalls.set(firewall.id, "pending")
  return world.act({
    command: "apply_firewall",
    resources: [{ id: server.id, type: "server" }, { id: firewall.id, type: "firewall" }],
    after,
    done: () => {
      if (server.firewalls.has(firewall.id)) server.firewalls.set(firewall.id, "applied")
    },
    failed: () => server.firewalls.delete(firewall.id)
  })
}

const takeOff = (world: World, firewall: Firewall, server: Server): Action =>
  world.act({
    command: "remove_firewall",
    resources: [{ id: server.id, type: "server" }, { id: firewall.id, type: "firewall" }],
    done: () => server.firewalls.delete(firewall.id)
  })

/** Puts on and takes off what the labels of a server say. @internal */
export const followLabels = (world: World, server: Server, after?: Action): void => {
  for (const firewall of world.firewalls.values()) {
    const wanted = selects(firewall, server)
    if (wanted && !server.firewalls.has(firewall.id)) applyFirewall(world, firewall, server, after)
    if (!wanted && server.firewalls.has(firewall.id)) takeOff(world, firewall, server)
  }
}

const same = (one: Application, other: Application): boolean =>
  one.type === "server"
    ? other.type === "server" && other.server === one.server
    : other.type === "label_selector" && other.selector === one.selector

const apply = (world: World, firewall: Firewall, applications: ReadonlyArray<Application>): ReadonlyArray<Action> => {
  const servers = applications.map((one) =>
    one.type === "server" ? need(world.servers, one.server, "server", "firewall_resource_not_found") : undefined
  )
  if (applications.some((one) => firewall.applications.some((other) => same(one, other)))) {
    throw new Refusal("firewall_already_applied", "firewall was already applied on resource")
  }
  const actions: Array<Action> = []
  for (const [index, application] of applications.entries()) {
    firewall.applications.push(application)
    const server = servers[index]
    if (server !== undefined) {
      if (!server.firewalls.has(firewall.id)) actions.push(applyFirewall(world, firewall, server))
      continue
    }
    // The action that is answered is about the firewall. Those about the servers that it selects are not answered.
    actions.push(world.act({
      command: "apply_firewall",
      resources: [{ id: firewall.id, type: "firewall" }],
      takes: world.settings.duration("follow_labels"),
      done: () => {
        for (const each of world.servers.values()) followLabels(world, each)
      }
    }))
  }
  return actions
}

const withdraw = (
  world: World,
  firewall: Firewall,
  applications: ReadonlyArray<Application>
): ReadonlyArray<Action> => {
  for (const application of applications) {
    if (firewall.applications.some((one) => same(one, application))) continue
    if (application.type === "server") {
      const server = need(world.servers, application.server, "server", "firewall_resource_not_found")
      if (server.firewalls.has(firewall.id)) {
        throw new Refusal("firewall_managed_by_label_selector", "firewall is applied by a label selector")
      }
    }
    throw new Refusal("firewall_resource_not_found", "firewall is not applied on resource")
  }
  firewall.applications = firewall.applications.filter((one) => !applications.some((other) => same(one, other)))
  const actions = Array.from(world.servers.values()).flatMap((server) =>
    server.firewalls.has(firewall.id) && !selects(firewall, server) ? [takeOff(world, firewall, server)] : []
  )
  // A selector that selected no server is withdrawn by an action all the same.
  return actions.length > 0
    ? actions
    : [world.act({ command: "remove_firewall", resources: [{ id: firewall.id, type: "firewall" }] })]
}

const several = (world: World, actions: ReadonlyArray<Action>): Reply =>
  made({ actions: actions.map((action) => showAction(world, action)) })

/** @internal */
export const firewalls: ReadonlyArray<Route> = [
  post(
    "/firewalls",
    {
      name: Shape.text,
      labels: Shape.optional(Shape.labels),
      rules: Shape.optional(Shape.list(ruleShape)),
      apply_to: Shape.optional(Shape.list(targetShape))
    },
    ({ body, world }) => {
      uniqueName(world.firewalls, body.name, "name is already used")
      belowLimit(world, "firewall_limit", world.firewalls.size)
      const firewall: Firewall = {
        ...begin(world, body.name, body.labels),
        rules: rulesOf(body.rules ?? []),
        applications: []
      }
      const actions = apply(world, firewall, applicationsOf(body.apply_to ?? []))
      world.firewalls.set(firewall.id, firewall)
      return made({
        firewall: showFirewall(world, firewall),
        actions: actions.map((action) => showAction(world, action))
      })
    }
  ),
  ...reads(collection),
  updates(collection, {}),
  remove("/firewalls/{id}", ({ id, world }) => {
    const firewall = need(world.firewalls, id, "firewall")
    const wearers = [...world.servers.values(), ...world.lingering.values()]
    if (wearers.some((server) => server.firewalls.has(id)) || firewall.applications.length > 0) {
      throw new Refusal("resource_in_use", `firewall with ID ${id} is still in use`)
    }
    world.firewalls.delete(id)
    return emptied
  }),
  post("/firewalls/{id}/actions/set_rules", { rules: Shape.list(ruleShape) }, ({ body, id, world }) => {
    const firewall = need(world.firewalls, id, "firewall")
    firewall.rules = rulesOf(body.rules)
    return several(world, [world.act({ command: "set_firewall_rules", resources: [{ id, type: "firewall" }] })])
  }),
  post(
    "/firewalls/{id}/actions/apply_to_resources",
    { apply_to: Shape.list(targetShape) },
    ({ body, id, world }) =>
      several(world, apply(world, need(world.firewalls, id, "firewall"), applicationsOf(body.apply_to)))
  ),
  post("/firewalls/{id}/actions/remove_from_resources", { remove_from: Shape.list(targetShape) }, ({
    body,
    id,
    world
  }) => several(world, withdraw(world, need(world.firewalls, id, "firewall"), applicationsOf(body.remove_from))))
]
