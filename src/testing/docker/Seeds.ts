/**
 * The seeds of the fake engine, which appear at once and without an event.
 *
 * Nothing is checked, so that a test can have what an engine would not have created.
 */
import { create } from "./CreateContainer.ts"
import {
  type Container,
  type Engine,
  imageOf,
  type Labels,
  type Network,
  record,
  type Status,
  text,
  type Volume
} from "./Engine.ts"
import { attach } from "./Lifecycle.ts"
import { addNetwork, addVolume } from "./NetworkRoutes.ts"
import { addImage } from "./SystemRoutes.ts"

/**
 * A container that is there from the start. Nothing is checked: its networks and its image need not exist.
 *
 * @category models
 * @since 0.1.0
 */
export interface ContainerSeed {
  /** 64 hexadecimal digits by default. */
  readonly id?: string
  readonly name: string
  readonly labels?: Labels
  /** `running` by default. */
  readonly state?: Status
  readonly image?: string
  readonly networks?: ReadonlyArray<string>
  /** Named volumes that it mounts. */
  readonly volumes?: ReadonlyArray<string>
  /** The body of its create call, where more of it matters. */
  readonly body?: Readonly<Record<string, unknown>>
}

/**
 * @category models
 * @since 0.1.0
 */
export interface NetworkSeed {
  readonly id?: string
  readonly name: string
  readonly labels?: Labels
  /** Chosen by the engine where it is left out. */
  readonly subnet?: string
}

/**
 * @category models
 * @since 0.1.0
 */
export interface VolumeSeed {
  readonly name: string
  readonly labels?: Labels
}

/** @internal */
export const seedContainer = (engine: Engine, seed: ContainerSeed): string => {
  const image = seed.image ?? "node"
  if (imageOf(engine, image) === undefined) addImage(engine, image)
  const body = {
    ...seed.body,
    Image: image,
    Labels: seed.labels ?? seed.body?.["Labels"] ?? {},
    HostConfig: {
      NetworkMode: seed.networks?.[0] ?? "none",
      ...seed.body?.["HostConfig"] as object | undefined,
      ...(seed.volumes === undefined ? {} : {
        Mounts: seed.volumes.map((name) => ({ Type: "volume", Source: name, Target: `/${name}` }))
      })
    }
  }
  const volumes = [...engine.volumes]
  const inner: Engine = { ...engine, containers: [], events: { ...engine.events, publish: () => {} } }
  const created = create(inner, "seeded", { ...body, NetworkingConfig: {} })
  // A seeded container creates no volume.
  engine.volumes.splice(0, engine.volumes.length, ...volumes)
  const container: Container = { ...created, body, id: seed.id ?? created.id, name: seed.name }
  const state = seed.state ?? "running"
  container.status = state
  if (state !== "created") {
    container.startedAt = engine.now()
    if (state !== "running" && state !== "paused") container.finishedAt = engine.now()
    container.run++
  }
  container.endpoints.clear()
  for (const name of seed.networks ?? []) {
    const network = engine.networks.find((each) => each.name === name)
    const settings = record(record(record(seed.body?.["NetworkingConfig"])["EndpointsConfig"])[name])
    const v4 = text(record(settings["IPAMConfig"])["IPv4Address"])
    const endpoint = {
      key: name,
      networkId: network?.id ?? `id-of-${name}`,
      requested: v4 === "" ? {} : { v4 },
      hasIpam: v4 !== "",
      aliases: null,
      live: undefined,
      isSeeded: network === undefined
    }
    container.endpoints.set(name, endpoint)
    if (network !== undefined && (state === "running" || state === "paused")) attach(engine, endpoint, network)
  }
  engine.containers.unshift(container)
  return container.id
}

/** @internal */
export const seedNetwork = (engine: Engine, seed: NetworkSeed): string => {
  const inner: Engine = {
    ...engine,
    flavor: { ...engine.flavor, id: "docker20", isPodman: false },
    // Nothing is checked; a subnet that the engine chooses is one that nothing else has.
    networks: seed.subnet === undefined ? engine.networks.filter(({ name }) => name !== seed.name) : [],
    events: { ...engine.events, publish: () => {} }
  }
  const created = addNetwork(inner, {
    Name: seed.name,
    Labels: seed.labels ?? {},
    IPAM: { Config: seed.subnet === undefined ? [] : [{ Subnet: seed.subnet }] }
  })
  const network: Network = { ...created, id: seed.id ?? created.id, name: seed.name }
  engine.networks.push(network)
  return network.id
}

/** @internal */
export const seedVolume = (engine: Engine, { labels, name }: VolumeSeed): string => {
  const inner: Engine = { ...engine, events: { ...engine.events, publish: () => {} } }
  const volume: Volume = addVolume(inner, { Name: name, ...(labels === undefined ? {} : { Labels: labels }) })
  return volume.name
}

/** The networks that an engine has before anybody creates one. @internal */
export const seedPredefined = (engine: Engine): void => {
  const base = {
    created: engine.now(),
    labels: {},
    options: {},
    internal: false,
    attachable: false,
    isIPv6: false,
    isConfigured: false,
    isPredefined: true,
    lastAddress: ""
  }
  const bridge = (subnet: string, gateway: string) => ({ subnets: [{ subnet, gateway, givenGateway: true }] })
  if (engine.flavor.isPodman) {
    const network = bridge("10.88.0.0/16", "10.88.0.1")
    engine.networks.push({ ...base, id: engine.newId(), name: "podman", driver: "bridge", ...network })
    return
  }
  const network = {
    ...bridge("172.17.0.0/16", "172.17.0.1"),
    options: {
      "com.docker.network.bridge.default_bridge": "true",
      "com.docker.network.bridge.enable_icc": "true",
      "com.docker.network.bridge.enable_ip_masquerade": "true",
      "com.docker.network.bridge.host_binding_ipv4": "0.0.0.0",
      "com.docker.network.bridge.name": "docker0",
      "com.docker.network.driver.mtu": "1500"
    }
  }
  engine.networks.push(
    { ...base, id: engine.newId(), name: "bridge", driver: "bridge", ...network },
    { ...base, id: engine.newId(), name: "host", driver: "host", subnets: [] },
    { ...base, id: engine.newId(), name: "none", driver: "null", subnets: [] }
  )
}
