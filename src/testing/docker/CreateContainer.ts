/**
 * The create call of a container: what its body may have, and what becomes of it.
 *
 * Types are checked as an engine decodes JSON. Fields that the API does not have are ignored, and reported as violations.
 */
import {
  type Container,
  type Endpoint,
  type Engine,
  imageOf,
  type Labels,
  type Mount,
  networkOf,
  record,
  text,
  texts
} from "./Engine.ts"
import { choosePorts, portKey } from "./Ports.ts"
import { contains, parseSubnet } from "./Subnets.ts"

type Kind = "text" | "texts" | "labels" | "number" | "flag" | "object" | "list"

const containerFields: Readonly<Record<string, Kind>> = {
  Hostname: "text",
  Domainname: "text",
  User: "text",
  AttachStdin: "flag",
  AttachStdout: "flag",
  AttachStderr: "flag",
  ExposedPorts: "object",
  Tty: "flag",
  OpenStdin: "flag",
  StdinOnce: "flag",
  Env: "texts",
  Cmd: "texts",
  Healthcheck: "object",
  Image: "text",
  Volumes: "object",
  WorkingDir: "text",
  Entrypoint: "texts",
  NetworkDisabled: "flag",
  MacAddress: "text",
  Labels: "labels",
  StopSignal: "text",
  StopTimeout: "number",
  Shell: "texts",
  HostConfig: "object",
  NetworkingConfig: "object"
}

/** Resources are in a separate struct in the engine. */
const resourceFields: Readonly<Record<string, Kind>> = {
  CpuShares: "number",
  Memory: "number",
  NanoCpus: "number",
  CgroupParent: "text",
  CpuPeriod: "number",
  CpuQuota: "number",
  CpusetCpus: "text",
  Devices: "list",
  DeviceCgroupRules: "texts",
  DeviceRequests: "list",
  MemoryReservation: "number",
  MemorySwap: "number",
  OomKillDisable: "flag",
  PidsLimit: "number",
  Ulimits: "list"
}

const hostFields: Readonly<Record<string, Kind>> = {
  ...resourceFields,
  Binds: "texts",
  LogConfig: "object",
  NetworkMode: "text",
  PortBindings: "object",
  RestartPolicy: "object",
  AutoRemove: "flag",
  Mounts: "list",
  CapAdd: "texts",
  CapDrop: "texts",
  CgroupnsMode: "text",
  Dns: "texts",
  DnsOptions: "texts",
  DnsSearch: "texts",
  ExtraHosts: "texts",
  GroupAdd: "texts",
  IpcMode: "text",
  Links: "texts",
  OomScoreAdj: "number",
  PidMode: "text",
  Privileged: "flag",
  PublishAllPorts: "flag",
  ReadonlyRootfs: "flag",
  SecurityOpt: "texts",
  StorageOpt: "labels",
  Tmpfs: "labels",
  UTSMode: "text",
  UsernsMode: "text",
  ShmSize: "number",
  Sysctls: "labels",
  Runtime: "text",
  Init: "flag",
  MaskedPaths: "texts",
  ReadonlyPaths: "texts",
  Annotations: "labels"
}

const goNames: Readonly<Record<Kind, string>> = {
  text: "string",
  texts: "[]string",
  labels: "map[string]string",
  number: "int64",
  flag: "bool",
  object: "struct",
  list: "slice"
}

const jsonKind = (value: unknown): string =>
  Array.isArray(value) ? "array" : typeof value === "boolean" ? "bool" : typeof value

const isKind = (value: unknown, kind: Kind): boolean => {
  if (value === null || value === undefined) return true
  switch (kind) {
    case "text":
      return typeof value === "string"
    case "number":
      return typeof value === "number"
    case "flag":
      return typeof value === "boolean"
    case "texts":
      return Array.isArray(value) && value.every((each) => typeof each === "string")
    case "list":
      return Array.isArray(value)
    case "labels":
      return typeof value === "object" && !Array.isArray(value) &&
        Object.values(value).every((each) => typeof each === "string")
    case "object":
      return typeof value === "object" && !Array.isArray(value)
  }
}

/** Refuses values of another type, and returns the fields that the API does not have. @internal */
export const checkBody = (engine: Engine, body: Readonly<Record<string, unknown>>): ReadonlyArray<string> => {
  const unknown: Array<string> = []
  const check = (fields: Readonly<Record<string, Kind>>, values: Readonly<Record<string, unknown>>, path: string) => {
    for (const [name, value] of Object.entries(values)) {
      const kind = fields[name]
      if (kind === undefined) unknown.push(`${path}${name}`)
      else if (!isKind(value, kind)) {
        throw engine.refuse.wrongType(jsonKind(value), `${path}${name}`, name in resourceFields, goNames[kind])
      }
    }
  }
  check(containerFields, body, "")
  check(hostFields, record(body["HostConfig"]), "HostConfig.")
  return unknown
}

const checkPorts = (engine: Engine, body: Readonly<Record<string, unknown>>): void => {
  const bindings = record(record(body["HostConfig"])["PortBindings"])
  for (const key of [...Object.keys(record(body["ExposedPorts"])), ...Object.keys(bindings)]) {
    const { port } = portKey(key)
    if (!Number.isInteger(port) || port < 1 || port > 65_535) throw engine.refuse.portInvalid(key)
  }
}

const restartPolicies = ["", "no", "always", "on-failure", "unless-stopped"]

const mountsOf = (engine: Engine, body: Readonly<Record<string, unknown>>): ReadonlyArray<Mount> => {
  const host = record(body["HostConfig"])
  const mounts = (Array.isArray(host["Mounts"]) ? host["Mounts"] : []).map(record).map((mount): Mount => {
    const source = text(mount["Source"])
    const type = text(mount["Type"]) as Mount["type"]
    if (type === "bind" && !engine.flavor.isPodman && !engine.hostFolders.has(source)) {
      const refusal = engine.refuse.mountMissing(source)
      if (refusal !== undefined) throw refusal
    }
    const isAnonymous = type === "volume" && source === ""
    return {
      type,
      name: type !== "volume" ? "" : isAnonymous ? engine.newId() : source,
      source,
      target: text(mount["Target"]),
      readOnly: mount["ReadOnly"] === true,
      isAnonymous
    }
  })
  const binds = texts(host["Binds"]).map((bind): Mount => {
    const [source = "", target = "", mode = ""] = bind.split(":")
    const isPath = source.startsWith("/")
    return {
      type: isPath ? "bind" : "volume",
      name: isPath ? "" : source,
      source,
      target,
      readOnly: mode.split(",").includes("ro"),
      isAnonymous: false
    }
  })
  const anonymous = Object.keys(record(body["Volumes"])).map((target): Mount => ({
    type: "volume",
    name: engine.newId(),
    source: "",
    target,
    readOnly: false,
    isAnonymous: true,
    isPlain: true
  }))
  return [...binds, ...mounts, ...anonymous]
}

const volumeLabels = (body: Readonly<Record<string, unknown>>, target: string): Labels => {
  const mounts = record(body["HostConfig"])["Mounts"]
  const mount = (Array.isArray(mounts) ? mounts : []).map(record).find((each) => each["Target"] === target)
  return record(record(mount?.["VolumeOptions"])["Labels"]) as Labels
}

const endpointsOf = (engine: Engine, body: Readonly<Record<string, unknown>>): Map<string, Endpoint> => {
  const { flavor, refuse } = engine
  const mode = text(record(body["HostConfig"])["NetworkMode"])
  const configured = record(record(body["NetworkingConfig"])["EndpointsConfig"])
  const main = mode === "" || mode === "default" ? flavor.isPodman ? "podman" : "bridge" : mode
  const names = mode === "host" || mode === "none" || mode.startsWith("container:")
    ? flavor.isPodman ? [] : [main]
    : [...new Set([main, ...Object.keys(configured)])]
  const twice = refuse.twoEndpoints(Object.keys(configured))
  if (Object.keys(configured).length > 1 && twice !== undefined) throw twice
  const endpoints = new Map<string, Endpoint>()
  for (const key of names) {
    const settings = record(configured[key])
    const ipam = record(settings["IPAMConfig"])
    const network = networkOf(engine, key)
    if (network === undefined && flavor.isPodman) throw refuse.networkOfCreate(key)
    const v4 = text(ipam["IPv4Address"])
    const v6 = text(ipam["IPv6Address"])
    if (flavor.id === "docker29" && v4 !== "" && network !== undefined) {
      const isInside = network.subnets.some(({ subnet }) => {
        const parsed = parseSubnet(subnet)
        return parsed !== undefined && contains(parsed, v4)
      })
      if (!isInside) throw refuse.addressOutsideAtCreate(v4, key)
    }
    const name = network?.name ?? key
    endpoints.set(name, {
      key: name,
      networkId: "",
      requested: { ...(v4 === "" ? {} : { v4 }), ...(v6 === "" ? {} : { v6 }) },
      hasIpam: Object.keys(ipam).length > 0,
      aliases: settings["Aliases"] === undefined || settings["Aliases"] === null ? null : texts(settings["Aliases"]),
      live: undefined
    })
  }
  return endpoints
}

/** The name of a container that was created without one. */
const inventedName = (engine: Engine): string => `quiet_fake_${engine.containers.length + 1}`

/** Creates a container and the volumes that it names. It throws the refusal where the engine refuses. @internal */
export const create = (engine: Engine, requestedName: string, body: Readonly<Record<string, unknown>>): Container => {
  const { events, flavor, refuse } = engine
  const host = record(body["HostConfig"])
  const name = requestedName === "" ? inventedName(engine) : requestedName.replace(/^\//, "")
  const reference = text(body["Image"])
  checkPorts(engine, body)
  const image = imageOf(engine, reference)
  if (image === undefined) throw refuse.imageOfCreate(reference)
  const namePattern = flavor.isPodman ? /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/ : /^[a-zA-Z0-9][a-zA-Z0-9_.-]+$/
  if (!namePattern.test(name)) throw refuse.containerName(name)
  const policy = text(record(host["RestartPolicy"])["Name"])
  if (!restartPolicies.includes(policy)) throw refuse.restartPolicy(policy)
  const memory = host["Memory"]
  const low = refuse.memoryLow()
  if (typeof memory === "number" && memory > 0 && memory < 6 * 1024 * 1024 && low !== undefined) throw low
  const mounts = mountsOf(engine, body)
  const endpoints = endpointsOf(engine, body)
  const holder = engine.containers.find((each) => each.name === name)
  if (holder !== undefined) throw refuse.nameTaken(name, holder.id)
  const created = engine.now()
  for (const { isAnonymous, name: volume, target, type } of mounts) {
    if (type !== "volume") continue
    const exists = engine.volumes.some((each) => each.name === volume)
    if (flavor.id === "docker20" || !exists) events.publish({ type: "volume", action: "create", name: volume })
    if (exists) continue
    // Podman ignores the labels that a create call gives to a volume.
    const labels = flavor.isPodman ? {} : volumeLabels(body, target)
    const anonymous = isAnonymous && flavor.id === "docker29" ? { "com.docker.volume.anonymous": "" } : {}
    const all = { ...labels, ...anonymous }
    engine.volumes.push({
      name: volume,
      created,
      labels: Object.keys(all).length === 0 && !flavor.isPodman ? null : all,
      options: flavor.isPodman ? {} : null,
      isAnonymous
    })
  }
  const given = texts(body["Env"])
  const givenNames = new Set(given.map((each) => each.split("=")[0]))
  const entrypoint = texts(body["Entrypoint"])
  const container: Container = {
    id: engine.newId(),
    name,
    created,
    labels: record(body["Labels"]) as Labels,
    image: reference,
    imageId: image.id,
    body,
    host,
    entrypoint: entrypoint.length > 0 ? entrypoint : image.entrypoint ?? [],
    command: Array.isArray(body["Cmd"]) && body["Cmd"].length > 0
      ? texts(body["Cmd"])
      : entrypoint.length > 0
      ? []
      : image.command ?? [],
    env: [...given, ...(image.env ?? []).filter((each) => !givenNames.has(each.split("=")[0]))],
    isTty: body["Tty"] === true,
    mounts,
    endpoints,
    behavior: image,
    status: "created",
    startedAt: undefined,
    finishedAt: undefined,
    exitCode: 0,
    error: "",
    restartCount: 0,
    run: 0,
    wasStopped: false,
    backoff: 0,
    probes: [],
    health: "none",
    ports: [],
    log: [],
    readers: new Set(),
    waiters: new Set(),
    removalWaiters: new Set()
  }
  if (flavor.isPodman) container.ports = choosePorts(engine, container)
  engine.containers.unshift(container)
  events.publish({ type: "container", action: "create", container })
  return container
}
