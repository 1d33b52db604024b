/**
 * The forms in which each flavor of the engine shows what it has.
 *
 * They differ between engines in fields, in empty values, and in what a container shows that does not run.
 */
import {
  type Container,
  type Endpoint,
  type Engine,
  type Exec,
  type Image,
  lookUp,
  type Mount,
  type Network,
  record,
  runs,
  text,
  texts,
  type Volume
} from "./Engine.ts"
import { type Flavor, imageName, pick } from "./Flavor.ts"
import { parseSubnet } from "./Subnets.ts"

/** RFC 3339 with nanoseconds; the zero time where there is none. */
const timeText = (millis: number | undefined): string =>
  millis === undefined ? "0001-01-01T00:00:00Z" : new Date(millis).toISOString().replace("Z", "000001Z")

/** @internal */
export const nanosText = (nanos: bigint): string =>
  `${new Date(Number(nanos / 1_000_000n)).toISOString().slice(0, 19)}.${
    String(nanos % 1_000_000_000n).padStart(9, "0")
  }Z`

const seconds = (millis: number): number => Math.trunc(millis / 1000)

const ago = (millis: number): string => {
  const units = [["second", 1], ["minute", 60], ["hour", 3600]] as const
  const all = Math.max(1, seconds(millis))
  const [unit, size] = units.findLast(([, length]) => all >= length) ?? units[0]
  const count = Math.trunc(all / size)
  return `${count} ${unit}${count === 1 ? "" : "s"}`
}

/** The state as the list has it. @internal */
export const stateInList = (engine: Engine, { status }: Container): string =>
  engine.flavor.isPodman && status === "restarting" ? "stopped" : status

const stateInInspect = (engine: Engine, { status }: Container): string =>
  engine.flavor.isPodman && status === "restarting" ? pick(engine.flavor, "", "", "stopped", "exited") : status

const statusText = (engine: Engine, container: Container): string => {
  const { exitCode, finishedAt, health, startedAt, status } = container
  const up = `Up ${ago(engine.now() - (startedAt ?? 0))}`
  const down = `(${exitCode}) ${ago(engine.now() - (finishedAt ?? 0))} ago`
  switch (status) {
    case "created":
      return "Created"
    case "running":
      return health === "none" || engine.flavor.isPodman
        ? up
        : `${up} (${health === "starting" ? "health: starting" : health})`
    case "paused":
      return `${up} (Paused)`
    case "restarting":
      return engine.flavor.isPodman ? `Exited ${down}` : `Restarting ${down}`
    case "removing":
      return "Removal In Progress"
    case "dead":
      return "Dead"
    case "exited":
      return `Exited ${down}`
  }
}

// -----------------------------------------------------------------------------
// Containers
// -----------------------------------------------------------------------------

const endpointView = (engine: Engine, container: Container, endpoint: Endpoint, isInspect: boolean) => {
  const { flavor } = engine
  const { networkId, requested, stale } = endpoint
  const live = endpoint.live ?? stale
  const hasGateway = endpoint.live !== undefined || stale?.hasGateway === true
  const network = engine.networks.find(({ id }) => id === networkId) ??
    (flavor.isPodman ? engine.networks.find(({ name }) => name === endpoint.key) : undefined)
  const ipv4 = network?.subnets.find(({ subnet }) => !subnet.includes(":"))
  const ipv6 = network?.subnets.find(({ subnet }) => subnet.includes(":"))
  const short = container.id.slice(0, 12)
  const named = networkId !== "" && network?.isPredefined !== true
  const aliases = pick<ReadonlyArray<string> | null>(
    flavor,
    isInspect && named ? [...endpoint.aliases ?? [], short, ...hostnames(container)] : endpoint.aliases,
    endpoint.aliases,
    [short],
    [short, container.name]
  )
  const ipam = {
    ...(requested.v4 === undefined ? {} : { IPv4Address: requested.v4 }),
    ...(requested.v6 === undefined ? {} : { IPv6Address: requested.v6 })
  }
  return {
    IPAMConfig: endpoint.hasIpam && !flavor.isPodman ? ipam : null,
    Links: null,
    Aliases: aliases,
    MacAddress: live?.mac ?? "",
    DriverOpts: null,
    ...pick<object>(flavor, {}, { GwPriority: 0 }, {}, { GwPriority: 0 }),
    NetworkID: flavor.isPodman ? flavor.id === "podman4" ? endpoint.key : network?.id ?? "" : networkId,
    EndpointID: flavor.isPodman ? "" : live?.id ?? "",
    Gateway: live === undefined || live.address === "" || !hasGateway ? "" : ipv4?.gateway ?? "",
    IPAddress: live?.address ?? "",
    IPPrefixLen: live === undefined || live.address === "" ? 0 : parseSubnet(ipv4?.subnet ?? "")?.bits ?? 0,
    IPv6Gateway: live === undefined || live.address6 === "" ? "" : ipv6?.gateway ?? "",
    GlobalIPv6Address: live?.address6 ?? "",
    GlobalIPv6PrefixLen: live === undefined || live.address6 === "" ? 0 : parseSubnet(ipv6?.subnet ?? "")?.bits ?? 0,
    ...pick<object>(
      flavor,
      {},
      {
        DNSNames: isInspect && networkId !== "" ? [...new Set([container.name, short, ...hostnames(container)])] : null
      },
      {},
      { DNSNames: null }
    )
  }
}

const hostnames = ({ body, id }: Container): ReadonlyArray<string> => {
  const name = text(body["Hostname"])
  return name === "" || name === id.slice(0, 12) ? [] : [name]
}

const networksView = (engine: Engine, container: Container, isInspect: boolean) =>
  Object.fromEntries(
    [...container.endpoints.values()].map((endpoint) => [
      endpoint.key,
      endpointView(engine, container, endpoint, isInspect)
    ])
  )

const mountView = ({ flavor }: Engine, mount: Mount, isInspect: boolean) => ({
  Type: mount.type,
  ...(mount.type === "volume" ? { Name: mount.name } : {}),
  Source: mount.type !== "volume"
    ? mount.source
    : mount.isPlain === true && !isInspect && !flavor.isPodman
    ? ""
    : `/var/lib/fake/volumes/${mount.name}/_data`,
  Destination: mount.target,
  ...(mount.type === "volume" ? { Driver: "local" } : {}),
  Mode: flavor.isPodman ? "" : mount.isPlain === true ? "" : mount.type === "volume" ? "z" : mount.readOnly ? "ro" : "",
  RW: !mount.readOnly,
  Propagation: flavor.isPodman || mount.type === "bind" ? "rprivate" : ""
})

const mountsView = (engine: Engine, { mounts }: Container, isInspect: boolean) =>
  // Podman shows memory file systems in `Tmpfs`.
  mounts.filter(({ type }) => type !== "tmpfs" || !engine.flavor.isPodman)
    .map((mount) => mountView(engine, mount, isInspect))

const commandText = ({ flavor }: Engine, { command, entrypoint }: Container): string =>
  (flavor.isPodman ? command : [...entrypoint, ...command]).join(" ")

/** The port list of a container. Docker adds the exposed ports that are not published while the container runs. */
const portsView = (engine: Engine, container: Container) => {
  const published = container.ports.map(({ ip, privatePort, protocol, publicPort }) => ({
    ...(ip === "" ? {} : { IP: ip }),
    PrivatePort: privatePort,
    PublicPort: publicPort,
    Type: protocol
  }))
  if (engine.flavor.isPodman || !runs(container)) return published
  const exposed = Object.keys(record(container.body["ExposedPorts"])).flatMap((key) => {
    const [port = "", protocol = "tcp"] = key.split("/")
    return published.some((each) => each.PrivatePort === Number(port) && each.Type === protocol)
      ? []
      : [{ PrivatePort: Number(port), Type: protocol }]
  })
  return [...exposed, ...published]
}

/** An entry of `GET /containers/json`. @internal */
export const summary = (engine: Engine, container: Container) => {
  const { flavor } = engine
  return {
    Id: container.id,
    Names: [`/${container.name}`],
    Image: imageName(flavor, container.image),
    ImageID: container.imageId,
    Command: commandText(engine, container),
    Created: seconds(container.created),
    Ports: portsView(engine, container),
    Labels: container.labels,
    State: stateInList(engine, container),
    Status: statusText(engine, container),
    ...(flavor.isPodman ? {} : { HostConfig: { NetworkMode: text(container.host["NetworkMode"]) || "default" } }),
    NetworkSettings: { Networks: networksView(engine, container, false) },
    Mounts: mountsView(engine, container, false),
    ...(flavor.isPodman ? { Name: "", Config: null, NetworkingConfig: null, Platform: null } : {}),
    ...pick<object>(flavor, {}, {}, { AdjustCPUShares: false }, { DefaultReadOnlyNonRecursive: false })
  }
}

const healthView = (engine: Engine, { health, probes }: Container) => {
  if (health === "none") {
    return engine.flavor.id === "podman4" ? { Health: { Status: "", FailingStreak: 0, Log: null } } : {}
  }
  return {
    Health: {
      Status: health,
      FailingStreak: health === "unhealthy" ? 1 : 0,
      Log: probes.map(({ at, exitCode }) => ({
        Start: timeText(at),
        End: timeText(at),
        ExitCode: exitCode,
        Output: ""
      }))
    }
  }
}

const portMapView = (engine: Engine, container: Container) => {
  const map: Record<string, Array<{ HostIp: string; HostPort: string }> | null> = {}
  if (runs(container) && !engine.flavor.isPodman) {
    for (const key of Object.keys(record(container.body["ExposedPorts"]))) map[key] = null
  }
  for (const { ip, privatePort, protocol, publicPort } of container.ports) {
    const key = `${privatePort}/${protocol}`
    map[key] = [...map[key] ?? [], { HostIp: ip, HostPort: String(publicPort) }]
  }
  return map
}

const environment = (engine: Engine, container: Container): ReadonlyArray<string> =>
  engine.flavor.isPodman
    ? [
      ...container.env,
      "container=podman",
      ...(engine.flavor.id === "podman4" || container.isTty ? ["TERM=xterm"] : []),
      `HOSTNAME=${text(container.body["Hostname"]) || container.id.slice(0, 12)}`,
      ...(container.startedAt === undefined ? [] : ["HOME=/root"])
    ]
    : container.env

const podmanBinds = (engine: Engine, { mounts }: Container): ReadonlyArray<string> =>
  mounts.filter(({ type }) => type !== "tmpfs").map(({ name, readOnly, source, target, type }) => {
    const mode = readOnly ? "ro," : engine.flavor.id === "podman4" ? "rw," : ""
    return type === "bind"
      ? `${source}:${target}:${mode}rprivate,rbind`
      : `${name}:${target}:${mode}rprivate,nosuid,nodev,rbind`
  })

const hostView = (engine: Engine, container: Container) => {
  const { flavor } = engine
  const { host } = container
  const policy = record(host["RestartPolicy"])
  const name = text(policy["Name"])
  const mode = text(host["NetworkMode"])
  const cgroup = text(host["CgroupnsMode"])
  const memory = container.mounts.filter(({ type }) => type === "tmpfs").map(({ target }) => target)
  const isReadonly = host["ReadonlyRootfs"] === true
  const tmpfs = flavor.isPodman
    ? Object.fromEntries([
      ...Object.keys(record(host["Tmpfs"])),
      ...memory,
      ...flavor.id === "podman4" && isReadonly ? ["/var/tmp"] : []
    ].map((path) => [path, ""]))
    : record(host["Tmpfs"])
  const podmanTmpfs = Object.fromEntries(
    Object.keys(tmpfs).map((path) => [path, `${flavor.id === "podman4" ? "rw," : ""}rprivate,nosuid,nodev,tmpcopyup`])
  )
  const bindings: Record<string, Array<object>> = {}
  for (const { ip, privatePort, protocol, publicPort } of flavor.isPodman ? container.ports : []) {
    const key = `${privatePort}/${protocol}`
    bindings[key] = [...bindings[key] ?? [], { HostIp: ip, HostPort: String(publicPort) }]
  }
  const isPrivileged = host["Privileged"] === true
  const security = texts(host["SecurityOpt"]).map((each) => flavor.isPodman ? each.replace(":", "=") : each)
  const added = !isPrivileged ? [] : pick(flavor, ["label=disable"], ["label=disable"], [], ["unmask=all"])
  const mounts = Array.isArray(host["Mounts"]) ? host["Mounts"] : []
  return {
    Binds: flavor.isPodman ? podmanBinds(engine, container) : host["Binds"] ?? null,
    NetworkMode: flavor.isPodman && mode !== "host" && mode !== "none" ? "bridge" : mode || "default",
    PortBindings: flavor.isPodman ? bindings : host["PortBindings"] ?? {},
    RestartPolicy: {
      Name: name === "" ? pick(flavor, "", "no", flavor.id === "podman4" ? "" : "no") : name,
      MaximumRetryCount: Number(policy["MaximumRetryCount"] ?? 0)
    },
    AutoRemove: host["AutoRemove"] === true,
    CgroupnsMode: flavor.id === "podman4" ? "" : cgroup || "host",
    Privileged: isPrivileged,
    ReadonlyRootfs: isReadonly,
    SecurityOpt: security.length + added.length === 0 && !flavor.isPodman ? null : [...security, ...added],
    ...(Object.keys(tmpfs).length === 0 ? {} : { Tmpfs: flavor.isPodman ? podmanTmpfs : tmpfs }),
    UsernsMode: flavor.isPodman ? "" : text(host["UsernsMode"]),
    ...(host["Init"] === undefined || (flavor.isPodman && host["Init"] !== true) ? {} : { Init: host["Init"] }),
    ...(host["Sysctls"] === undefined || flavor.isPodman ? {} : { Sysctls: host["Sysctls"] }),
    ...(flavor.isPodman || mounts.length === 0 ? {} : {
      Mounts: mounts.map(record).map((mount) =>
        Object.fromEntries(Object.entries(mount).filter(([key, value]) => key !== "ReadOnly" || value === true))
      )
    }),
    NanoCpus: Number(host["NanoCpus"] ?? 0),
    Memory: Number(host["Memory"] ?? 0),
    Runtime: flavor.id === "podman4" ? "crun" : "runc",
    PidsLimit: flavor.isPodman ? 2048 : null,
    IpcMode: flavor.isPodman ? "shareable" : "private",
    CapAdd: flavor.isPodman ? [] : null
  }
}

/** `GET /containers/{id}/json`. @internal */
export const inspected = (engine: Engine, container: Container) => {
  const { flavor } = engine
  const { body, command, entrypoint, status } = container
  const isInit = flavor.isPodman && container.host["Init"] === true
  const [path = "", ...args] = [...isInit ? ["/run/podman-init", "--"] : [], ...entrypoint, ...command]
  const old = {
    Bridge: "",
    HairpinMode: false,
    LinkLocalIPv6Address: "",
    LinkLocalIPv6PrefixLen: 0,
    SecondaryIPAddresses: null,
    SecondaryIPv6Addresses: null,
    EndpointID: "",
    Gateway: "",
    GlobalIPv6Address: "",
    GlobalIPv6PrefixLen: 0,
    IPAddress: "",
    IPPrefixLen: 0,
    IPv6Gateway: "",
    MacAddress: ""
  }
  const isUp = runs(container)
  const hasSandbox = flavor.id === "docker20" ? container.startedAt !== undefined : isUp
  const exposed = { ...record(body["ExposedPorts"]) }
  const stopTimeout = body["StopTimeout"]
  return {
    Id: container.id,
    Created: timeText(container.created),
    Path: path,
    Args: flavor.isPodman && args.length === 0 ? [path] : args,
    State: {
      Status: stateInInspect(engine, container),
      Running: isUp || (!flavor.isPodman && status === "restarting"),
      Paused: status === "paused",
      Restarting: !flavor.isPodman && status === "restarting",
      OOMKilled: false,
      Dead: status === "dead",
      Pid: isUp ? 4000 + container.run : 0,
      ExitCode: container.exitCode,
      Error: container.error,
      StartedAt: timeText(container.startedAt),
      FinishedAt: timeText(container.finishedAt),
      ...healthView(engine, container)
    },
    Image: container.imageId,
    Name: `/${container.name}`,
    RestartCount: container.restartCount,
    Driver: pick(flavor, "overlay2", "overlayfs", "overlay"),
    Platform: "linux",
    Mounts: mountsView(engine, container, true),
    NetworkSettings: {
      ...(flavor.id === "docker29" ? {} : old),
      SandboxID: flavor.isPodman || !hasSandbox
        ? ""
        : `${container.id.slice(12)}${container.id.slice(0, 12)}`,
      SandboxKey: hasSandbox
        ? `/run/fake/netns/${container.id.slice(0, 12)}`
        : "",
      Ports: portMapView(engine, container),
      Networks: networksView(engine, container, true)
    },
    Config: {
      Hostname: text(body["Hostname"]) || container.id.slice(0, 12),
      Domainname: text(body["Domainname"]),
      User: text(body["User"]),
      AttachStdin: body["AttachStdin"] === true,
      AttachStdout: body["AttachStdout"] === true,
      AttachStderr: body["AttachStderr"] === true,
      ...(Object.keys(exposed).length === 0 ? {} : { ExposedPorts: exposed }),
      Tty: container.isTty,
      OpenStdin: body["OpenStdin"] === true,
      StdinOnce: body["StdinOnce"] === true,
      Env: environment(engine, container),
      Cmd: command.length === 0 ? flavor.isPodman ? [] : null : command,
      ...(body["Healthcheck"] === undefined ? {} : { Healthcheck: body["Healthcheck"] }),
      Image: imageName(flavor, container.image),
      Volumes: flavor.isPodman ? null : body["Volumes"] ?? null,
      WorkingDir: text(body["WorkingDir"]) || (flavor.isPodman ? "/" : ""),
      Entrypoint: entrypoint.length === 0 ? null : entrypoint,
      ...(flavor.id === "docker29" ? {} : { OnBuild: null }),
      Labels: container.labels,
      ...(flavor.isPodman
        ? { StopSignal: "15", StopTimeout: stopTimeout ?? (flavor.id === "podman4" ? 0 : 10) }
        : stopTimeout === undefined
        ? {}
        : { StopTimeout: stopTimeout })
    },
    HostConfig: hostView(engine, container)
  }
}

// -----------------------------------------------------------------------------
// Networks, volumes, images, execs
// -----------------------------------------------------------------------------

const networkOptions = (flavor: Flavor, network: Network) => {
  if (!flavor.isPodman) return network.options
  const { "com.docker.network.driver.mtu": mtu } = network.options
  return mtu === undefined ? {} : { mtu }
}

/** `GET /networks/{id}`; the list has the containers of a network only on Podman. @internal */
export const networkView = (engine: Engine, network: Network, isInspect: boolean) => {
  const { flavor } = engine
  const containers = Object.fromEntries(
    engine.containers.flatMap((container) =>
      [...container.endpoints.values()].flatMap(({ key, live, networkId }) => {
        // Podman 4 shows the containers too that do not run.
        const isShown = flavor.id === "podman4" ? key === network.name : live !== undefined && networkId === network.id
        if (!isShown) return []
        const bits = (address: string) =>
          network.subnets.map(({ subnet }) => parseSubnet(subnet))
            .find((subnet) => (subnet?.version === 6) === address.includes(":"))?.bits ?? 0
        const withBits = (address: string) => address === "" ? "" : `${address}/${bits(address)}`
        return [[container.id, {
          Name: container.name,
          EndpointID: flavor.isPodman ? "" : live?.id ?? "",
          MacAddress: live?.mac ?? "",
          IPv4Address: withBits(live?.address ?? ""),
          IPv6Address: withBits(live?.address6 ?? "")
        }]]
      })
    )
  )
  const shown = network.subnets.filter(({ subnet }) =>
    flavor.id !== "docker29" || network.isIPv6 || !subnet.includes(":")
  )
  const hasNone = !network.isConfigured && network.subnets.length === 0
  return {
    Name: flavor.isPodman && network.isPredefined ? "bridge" : network.name,
    Id: network.id,
    Created: timeText(network.created),
    Scope: "local",
    Driver: network.driver,
    ...pick<object>(flavor, {}, { EnableIPv4: true }, {}, { EnableIPv4: false }),
    EnableIPv6: network.isIPv6,
    IPAM: {
      Driver: "default",
      Options: flavor.isPodman ? { driver: "host-local" } : null,
      Config: hasNone ? flavor.id === "docker29" ? null : [] : shown.map(({ gateway, givenGateway, subnet }) => ({
        Subnet: subnet,
        // Docker 20 shows a gateway only where it chose the subnet or the request named it.
        ...(flavor.id === "docker20" && network.isConfigured && !givenGateway ? {} : { Gateway: gateway })
      }))
    },
    Internal: network.internal,
    Attachable: network.attachable,
    Ingress: false,
    ConfigFrom: { Network: "" },
    ConfigOnly: false,
    Options: networkOptions(flavor, network),
    Labels: network.labels,
    ...(isInspect || flavor.id !== "docker29" ? { Containers: isInspect || flavor.isPodman ? containers : {} } : {})
  }
}

/** @internal */
export const volumeView = (volume: Volume) => ({
  CreatedAt: `${new Date(volume.created).toISOString().slice(0, 19)}Z`,
  Driver: "local",
  Labels: volume.labels,
  Mountpoint: `/var/lib/fake/volumes/${volume.name}/_data`,
  Name: volume.name,
  Options: volume.options,
  Scope: "local"
})

const digestOf = ({ id }: Image, tag: string): string => `${tag.replace(/:[^:/]+$/, "")}@${id}`

/** An entry of `GET /images/json`. @internal */
export const imageSummary = (engine: Engine, image: Image) => {
  const { flavor } = engine
  const tags = image.tags.map((tag) => imageName(flavor, tag))
  const digests = [...new Set(tags.map((tag) => digestOf(image, tag)))]
  return {
    Containers: flavor.isPodman ? 0 : -1,
    Created: seconds(image.created),
    Id: image.id,
    Labels: pick(flavor, null, {}, null),
    ParentId: "",
    RepoDigests: pick<unknown>(flavor, null, digests, digests),
    RepoTags: flavor.id === "podman4" && tags.length === 0 ? null : tags,
    SharedSize: flavor.id === "podman4" ? 0 : -1,
    Size: 1_000_000,
    ...pick<object>(flavor, { VirtualSize: 1_000_000 }, {}, { VirtualSize: 1_000_000 }, {}),
    ...(flavor.isPodman ? { Names: tags, Digest: image.id, History: tags } : {})
  }
}

/** `GET /images/{name}/json`. @internal */
export const imageView = (engine: Engine, image: Image) => {
  const { flavor } = engine
  const layers = { UpperDir: "/var/lib/fake/upper", WorkDir: "/var/lib/fake/work" }
  const empty = {
    Hostname: "",
    Domainname: "",
    User: "",
    AttachStdin: false,
    AttachStdout: false,
    AttachStderr: false,
    Tty: false,
    OpenStdin: false,
    StdinOnce: false,
    Env: null,
    Cmd: null,
    Image: "",
    Volumes: null,
    WorkingDir: "",
    Entrypoint: null,
    OnBuild: null,
    Labels: null
  }
  const own = {
    ...(image.env === undefined ? {} : { Env: image.env }),
    ...(image.command === undefined ? {} : { Cmd: image.command }),
    ...(image.entrypoint === undefined ? {} : { Entrypoint: image.entrypoint })
  }
  const tags = image.tags.map((tag) => imageName(flavor, tag))
  return {
    Id: image.id,
    RepoTags: tags,
    RepoDigests: pick<unknown>(
      flavor,
      [],
      tags.map((tag) => digestOf(image, tag)),
      tags.map((tag) => digestOf(image, tag))
    ),
    Parent: "",
    Comment: image.comment,
    Created: timeText(image.created),
    Author: "",
    DockerVersion: flavor.id === "docker20" ? flavor.version : "",
    ...pick<object>(flavor, { Container: "" }, {}, { Container: "" }, {}),
    ...(flavor.id === "docker29"
      ? {}
      : { ContainerConfig: { ...empty, Hostname: flavor.isPodman ? image.id.slice(7, 19) : "" } }),
    Config: flavor.id === "podman5" ? own : { ...empty, ...own },
    Architecture: "amd64",
    Os: "linux",
    Size: 1_000_000,
    ...pick<object>(flavor, { VirtualSize: 1_000_000 }, {}, { VirtualSize: 1_000_000 }, {}),
    GraphDriver: pick<object>(
      flavor,
      { Name: "overlay2", Data: { ...layers, MergedDir: "/var/lib/fake/merged" } },
      { Name: "overlayfs", Data: null },
      { Name: "overlay", Data: layers }
    ),
    RootFS: { Type: "layers", Layers: [image.id] },
    Metadata: { LastTagTime: timeText(flavor.isPodman ? undefined : image.created) }
  }
}

/** `GET /exec/{id}/json`. @internal */
export const execView = (engine: Engine, exec: Exec) => {
  const [entrypoint = "", ...args] = exec.command
  const user = exec.user === "" && !engine.flavor.isPodman ? {} : { user: exec.user }
  return {
    ID: exec.id,
    Running: exec.state === "running",
    ExitCode: exec.exitCode,
    ProcessConfig: {
      tty: exec.isTty,
      entrypoint,
      arguments: engine.flavor.isPodman && args.length === 0 ? null : args,
      privileged: exec.isPrivileged,
      ...user
    },
    OpenStdin: false,
    OpenStderr: true,
    OpenStdout: true,
    CanRemove: engine.flavor.isPodman,
    ContainerID: lookUp(engine, exec.container)?.id ?? exec.container,
    DetachKeys: "",
    Pid: exec.pid
  }
}
