/**
 * The calls on networks and volumes: create, list, inspect, connect, disconnect, remove, prune.
 *
 * A network without a subnet takes the next free one of the address pools.
 */
import * as Effect from "effect/Effect"
import { attempt, type Call, empty, filtersOf, type Handler, handler, json, reply } from "./Call.ts"
import {
  type Container,
  containerOf,
  type Engine,
  type Labels,
  lookUp,
  type Network,
  networkOf,
  record,
  removeFrom,
  runs,
  text,
  type Volume
} from "./Engine.ts"
import { hasLabel } from "./EventLog.ts"
import { attach } from "./Lifecycle.ts"
import { formatAddress, masked, overlaps, parseSubnet, type Subnet, subnetsOf } from "./Subnets.ts"
import { networkView, volumeView } from "./Views.ts"

const found = (engine: Engine, name: string): Network => {
  const network = networkOf(engine, name)
  if (network === undefined) throw engine.refuse.network(name)
  return network
}

const subnetsInUse = ({ networks }: Engine): ReadonlyArray<Subnet> =>
  networks.flatMap(({ subnets }) => subnets.flatMap(({ subnet }) => parseSubnet(subnet) ?? []))

const firstAddress = (subnet: Subnet): string => formatAddress(subnet.first + 1n, subnet.version)

const chooseSubnet = (engine: Engine): string => {
  const used = subnetsInUse(engine)
  for (const { base, size } of engine.addressPools) {
    for (const candidate of subnetsOf(base, size)) {
      const parsed = parseSubnet(candidate)
      if (parsed !== undefined && !used.some((each) => overlaps(each, parsed))) return candidate
    }
  }
  throw engine.refuse.noPool()
}

const subnetOf = (engine: Engine, config: Readonly<Record<string, unknown>>): Network["subnets"][number] => {
  const { flavor, refuse } = engine
  const subnet = text(config["Subnet"])
  const parsed = parseSubnet(subnet)
  if (parsed === undefined) throw refuse.badSubnet(subnet)
  if (parsed.hasHostBits && flavor.id === "docker29") throw refuse.hostBits(subnet, masked(parsed))
  if (subnetsInUse(engine).some((each) => overlaps(each, parsed))) throw refuse.overlap(subnet)
  const gateway = text(config["Gateway"])
  return {
    subnet: flavor.isPodman ? masked(parsed) : subnet,
    gateway: gateway === "" ? firstAddress(parsed) : gateway,
    givenGateway: gateway !== ""
  }
}

/** Creates a network. It throws the refusal where the engine refuses. @internal */
export const addNetwork = (engine: Engine, body: Readonly<Record<string, unknown>>): Network => {
  const { flavor, refuse } = engine
  const name = text(body["Name"])
  const driver = text(body["Driver"]) || "bridge"
  if (name === "") {
    const refusal = refuse.networkNameEmpty()
    if (refusal !== undefined) throw refusal
  }
  // Docker 20 checks the name only on request.
  const checks = flavor.id !== "docker20" || body["CheckDuplicate"] === true
  if (checks && engine.networks.some((each) => each.name === name)) throw refuse.networkExists(name)
  if (!["bridge", "macvlan", "ipvlan"].includes(driver)) throw refuse.networkDriver(driver)
  const ipam = record(body["IPAM"])
  const configs = (Array.isArray(ipam["Config"]) ? ipam["Config"] : []).map(record)
  const subnets = configs.map((config) => subnetOf(engine, config))
  const isConfigured = subnets.some(({ subnet }) => !subnet.includes(":"))
  if (!isConfigured && body["EnableIPv4"] !== false) {
    const subnet = chooseSubnet(engine)
    const parsed = parseSubnet(subnet)
    subnets.unshift({ subnet, gateway: parsed === undefined ? "" : firstAddress(parsed), givenGateway: true })
  }
  const id = engine.newId()
  const network: Network = {
    id,
    name: name === "" ? id.slice(0, 12) : name,
    created: engine.now(),
    driver,
    labels: record(body["Labels"]) as Labels,
    options: record(body["Options"]) as Labels,
    internal: body["Internal"] === true,
    attachable: body["Attachable"] === true,
    isIPv6: body["EnableIPv6"] === true || (flavor.isPodman && subnets.some(({ subnet }) => subnet.includes(":"))),
    subnets,
    isConfigured,
    isPredefined: false,
    lastAddress: ""
  }
  engine.networks.push(network)
  engine.events.publish({ type: "network", action: "create", network })
  return network
}

/** Podman says which options it ignores. */
const warningOf = ({ flavor }: Engine, body: unknown): string =>
  flavor.isPodman
    ? Object.entries(record(record(body)["Options"]))
      .filter(([name]) => name !== "com.docker.network.driver.mtu")
      .map(([name, value]) => `"${name}: ${String(value)}" is not a recognized option`)
      .join(", ")
    : ""

const connectionReply = ({ flavor }: Engine) =>
  flavor.isPodman ? reply(200, "OK\n", "text/plain; charset=us-ascii") : empty(200)

const createNetwork: Handler = (engine, { json: body }) =>
  Effect.andThen(
    Effect.sleep(engine.durations.network),
    attempt(() => json({ Id: addNetwork(engine, record(body)).id, Warning: warningOf(engine, body) }, 201))
  )

const passesNetworks = (filters: Readonly<Record<string, ReadonlyArray<string>>>) => (each: Network) =>
  (filters["label"] ?? []).every((wanted) => hasLabel(each.labels, wanted)) &&
  (filters["name"] === undefined || filters["name"].some((name) => each.name.includes(name))) &&
  (filters["id"] === undefined || filters["id"].some((id) => each.id.startsWith(id))) &&
  (filters["driver"] === undefined || filters["driver"].includes(each.driver)) &&
  (filters["type"] === undefined || filters["type"].includes(each.isPredefined ? "builtin" : "custom"))

const networkFilters = ["dangling", "driver", "id", "label", "name", "scope", "type"]

const listNetworks = handler((engine, call) => {
  const filters = filtersOf(engine, call, networkFilters)
  return json(engine.networks.filter(passesNetworks(filters)).map((each) => networkView(engine, each, false)))
})

const inspectNetwork = handler((engine, { part }) => json(networkView(engine, found(engine, part), true)))

const endpointIn = (container: Container, network: Network) =>
  [...container.endpoints.values()].find(({ key, networkId }) => networkId === network.id || key === network.name)

const usersOf = (engine: Engine, network: Network): ReadonlyArray<Container> =>
  engine.containers.filter((container) => {
    const endpoint = endpointIn(container, network)
    return engine.flavor.isPodman
      ? endpoint !== undefined
      : endpoint?.live !== undefined && endpoint.networkId === network.id
  })

/** */
const dropNetwork = (engine: Engine, network: Network): void => {
  removeFrom(engine.networks, network)
  engine.events.publish({ type: "network", action: engine.flavor.isPodman ? "remove" : "destroy", network })
}

const removeNetwork: Handler = (engine, { part }) =>
  Effect.andThen(
    Effect.sleep(engine.durations.network),
    attempt(() => {
      const { refuse } = engine
      const network = networkOf(engine, part)
      if (network === undefined) throw refuse.networkToRemove(part)
      if (network.isPredefined) throw refuse.predefined(part)
      const [user] = usersOf(engine, network)
      if (user !== undefined) {
        throw refuse.networkInUse(network, user.name, endpointIn(user, network)?.live?.id ?? "")
      }
      dropNetwork(engine, network)
      return empty(204)
    })
  )

const connect = handler((engine, { json: body, part }) => {
  const { flavor, refuse } = engine
  const network = found(engine, part)
  const container = containerOf(engine, text(record(body)["Container"]))
  const settings = record(record(body)["EndpointConfig"])
  const ipam = record(settings["IPAMConfig"])
  const present = endpointIn(container, network)
  const wasStarted = container.startedAt !== undefined
  if (present !== undefined && (runs(container) || (flavor.id === "podman4" && wasStarted))) {
    throw refuse.connected(container, network.name)
  }
  if (present !== undefined && flavor.isPodman) return connectionReply(engine)
  const v4 = text(ipam["IPv4Address"])
  const endpoint = {
    key: network.name,
    networkId: network.id,
    requested: v4 === "" ? {} : { v4 },
    hasIpam: Object.keys(ipam).length > 0,
    aliases: Array.isArray(settings["Aliases"]) ? settings["Aliases"].map(String) : null,
    live: undefined
  }
  if (runs(container)) attach(engine, endpoint, network)
  container.endpoints.set(network.name, endpoint)
  if (runs(container) || flavor.isPodman) {
    engine.events.publish({ type: "network", action: "connect", network, container })
  }
  return connectionReply(engine)
})

const disconnect = handler((engine, { json: body, part }) => {
  const { flavor, refuse } = engine
  const name = text(record(body)["Container"])
  const network = found(engine, part)
  const container = lookUp(engine, name)
  if (container === undefined) throw refuse.endpoint(name)
  const endpoint = endpointIn(container, network)
  if (endpoint === undefined) {
    throw refuse.notConnected(flavor.isPodman ? { ...container, name } : container, network.name, runs(container))
  }
  container.endpoints.delete(endpoint.key)
  const events = flavor.id === "docker20" && runs(container) ? 2 : runs(container) || flavor.isPodman ? 1 : 0
  for (let sent = 0; sent < events; sent++) {
    engine.events.publish({ type: "network", action: "disconnect", network, container })
  }
  return connectionReply(engine)
})

const pruneNetworks = handler((engine, call) => {
  const filters = filtersOf(engine, call, ["label", "until"])
  const unused = engine.networks.filter((each) => !each.isPredefined && usersOf(engine, each).length === 0)
    .filter(passesNetworks(filters))
  for (const network of unused) dropNetwork(engine, network)
  return json({ NetworksDeleted: unused.map(({ name }) => name) })
})

// -----------------------------------------------------------------------------
// Volumes
// -----------------------------------------------------------------------------

/** Creates a volume; one of the same name is returned as it is. @internal */
export const addVolume = (engine: Engine, body: Readonly<Record<string, unknown>>): Volume => {
  const { flavor, refuse } = engine
  const name = text(body["Name"])
  const driver = text(body["Driver"]) || "local"
  if (name !== "" && !/^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/.test(name)) throw refuse.volumeName(name)
  const present = engine.volumes.find((each) => each.name === name)
  if (driver !== "local" && (present === undefined || !flavor.isPodman)) throw refuse.volumeDriver(name, driver)
  if (present !== undefined) {
    if (flavor.id === "docker20") engine.events.publish({ type: "volume", action: "create", name })
    return present
  }
  const { DriverOpts, Labels } = body
  const volume: Volume = {
    name: name === "" ? engine.newId() : name,
    created: engine.now(),
    labels: Labels === undefined || Labels === null ? flavor.isPodman ? {} : null : record(Labels) as Labels,
    options: DriverOpts === undefined || DriverOpts === null
      ? flavor.isPodman ? {} : null
      : record(DriverOpts) as Labels,
    isAnonymous: name === ""
  }
  engine.volumes.push(volume)
  engine.events.publish({ type: "volume", action: "create", name: volume.name })
  return volume
}

const createVolume: Handler = (engine, { json: body }) =>
  Effect.andThen(
    Effect.sleep(engine.durations.volume),
    attempt(() => {
      const isNew = !engine.volumes.some(({ name }) => name === record(body)["Name"])
      const view = volumeView(addVolume(engine, record(body)))
      return json(isNew && engine.flavor.isPodman ? { ...view, Options: null } : view, 201)
    })
  )

const volumeUsers = ({ containers }: Engine, name: string): ReadonlyArray<string> =>
  containers.filter(({ mounts }) => mounts.some((mount) => mount.type === "volume" && mount.name === name))
    .map(({ id }) => id)

const listVolumes = handler((engine, call: Call) => {
  const filters = filtersOf(engine, call, ["dangling", "driver", "label", "name"])
  const dangling = filters["dangling"]?.[0]
  const shown = engine.volumes.filter((each) =>
    (filters["label"] ?? []).every((wanted) => hasLabel(each.labels ?? {}, wanted)) &&
    (filters["name"] === undefined || filters["name"].some((name) => each.name.includes(name))) &&
    (dangling === undefined || (volumeUsers(engine, each.name).length === 0) === ["true", "1"].includes(dangling))
  )
  return json({ Volumes: shown.map(volumeView), Warnings: engine.flavor.isPodman ? [] : null })
})

const inspectVolume = handler((engine, { part }) => {
  const volume = engine.volumes.find(({ name }) => name === part)
  if (volume === undefined) {
    throw engine.refuse.volume(part, `volume with name ${part} not found: no such volume`, "no such volume")
  }
  return json(volumeView(volume))
})

const removeVolume: Handler = (engine, { part, query }) =>
  Effect.andThen(
    Effect.sleep(engine.durations.volume),
    attempt(() => {
      const volume = engine.volumes.find(({ name }) => name === part)
      if (volume === undefined) {
        if (["true", "1"].includes(query["force"] ?? "")) return empty(204)
        throw engine.refuse.volume(part, `no volume with name "${part}" found: no such volume`)
      }
      const users = volumeUsers(engine, part)
      if (users.length > 0) throw engine.refuse.volumeInUse(part, users)
      removeFrom(engine.volumes, volume)
      engine.events.publish({ type: "volume", action: engine.flavor.isPodman ? "remove" : "destroy", name: part })
      return empty(204)
    })
  )

/** @internal */
export const networkRoutes = [
  { method: "GET", template: "/networks", query: ["filters"], run: listNetworks },
  { method: "POST", template: "/networks/create", query: [], run: createNetwork },
  { method: "POST", template: "/networks/prune", query: ["filters"], run: pruneNetworks },
  { method: "GET", template: "/networks/{id}", query: ["scope", "verbose"], run: inspectNetwork },
  { method: "DELETE", template: "/networks/{id}", query: [], run: removeNetwork },
  { method: "POST", template: "/networks/{id}/connect", query: [], run: connect },
  { method: "POST", template: "/networks/{id}/disconnect", query: [], run: disconnect },
  { method: "GET", template: "/volumes", query: ["filters"], run: listVolumes },
  { method: "POST", template: "/volumes/create", query: [], run: createVolume },
  { method: "GET", template: "/volumes/{id}", query: [], run: inspectVolume },
  { method: "DELETE", template: "/volumes/{id}", query: ["force"], run: removeVolume }
] as const
