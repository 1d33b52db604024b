/**
 * The life of a container: its process starts, gets signals, exits, is started again by its restart policy, and leaves
 * its networks.
 */
import {
  type Container,
  type Endpoint,
  type Engine,
  imageOf,
  type LogLine,
  type Network,
  networkOf,
  record,
  removeFrom,
  runs,
  text,
  texts
} from "./Engine.ts"
import { Refusal } from "./Flavor.ts"
import { publish } from "./Ports.ts"
import { contains, lowestFree, parseSubnet } from "./Subnets.ts"

const emit = (
  engine: Engine,
  container: Container,
  action: string,
  attributes: Readonly<Record<string, string>> = {}
): void => engine.events.publish({ type: "container", action, container, attributes })

const emitNetwork = (engine: Engine, action: string, network: Network, container: Container): void => {
  if (!engine.flavor.isPodman) engine.events.publish({ type: "network", action, network, container })
}

const emitVolumes = (engine: Engine, container: Container, action: "mount" | "unmount"): void => {
  if (engine.flavor.isPodman) return
  for (const { name, readOnly, target, type } of container.mounts) {
    if (type !== "volume") continue
    const more = action === "mount" ? { destination: target, propagation: "", "read/write": String(!readOnly) } : {}
    engine.events.publish({ type: "volume", action, name, attributes: { container: container.id, ...more } })
  }
}

// -----------------------------------------------------------------------------
// Networks
// -----------------------------------------------------------------------------

/** The addresses in use in a network, with the containers that have them. */
const holders = (engine: Engine, network: Network): ReadonlyMap<string, Container> => {
  const found = new Map<string, Container>()
  for (const container of engine.containers) {
    for (const { live, networkId } of container.endpoints.values()) {
      if (live === undefined || networkId !== network.id) continue
      for (const address of [live.address, live.address6]) if (address !== "") found.set(address, container)
    }
  }
  return found
}

/** Docker makes the hardware address from the IPv4 address. */
const macOf = (address: string, id: string): string => {
  const parts = address === ""
    ? [id.slice(0, 2), id.slice(2, 4), id.slice(4, 6), id.slice(6, 8)]
    : address.split(".").map((part) => Number(part).toString(16).padStart(2, "0"))
  return ["02", "42", ...parts].join(":")
}

/** Gives an endpoint its addresses in a network. @internal */
export const attach = (engine: Engine, endpoint: Endpoint, network: Network): void => {
  const used = holders(engine, network)
  const gateways = network.subnets.map(({ gateway }) => gateway)
  const take = (version: 4 | 6, wanted: string | undefined): string => {
    const subnets = network.subnets.flatMap(({ subnet }) => {
      const parsed = parseSubnet(subnet)
      return parsed === undefined || parsed.version !== version ? [] : [parsed]
    })
    if (subnets.length === 0) return ""
    if (wanted !== undefined) {
      if (engine.flavor.id === "docker20" && !network.isConfigured) throw engine.refuse.addressNeedsSubnet()
      if (!subnets.some((subnet) => contains(subnet, wanted))) throw engine.refuse.addressOutside(wanted, network.name)
      const holder = used.get(wanted)
      if (holder !== undefined || gateways.includes(wanted)) {
        throw engine.refuse.addressInUse(wanted, holder?.id ?? "")
      }
      return wanted
    }
    for (const subnet of subnets) {
      const inUse = new Set([...used.keys(), ...gateways])
      const free = lowestFree(subnet, inUse, engine.flavor.isPodman && version === 4 ? network.lastAddress : "")
      if (free === undefined) continue
      if (version === 4) network.lastAddress = free
      return free
    }
    throw engine.refuse.networkFull()
  }
  const address = take(4, endpoint.requested.v4)
  const address6 = network.isIPv6 ? take(6, endpoint.requested.v6) : ""
  endpoint.networkId = network.id
  delete endpoint.stale
  endpoint.live = {
    id: engine.newId(),
    address,
    address6,
    mac: macOf(address, engine.newId())
  }
}

const attachAll = (engine: Engine, container: Container): void => {
  for (const endpoint of container.endpoints.values()) {
    if (endpoint.isSeeded === true) continue
    // Podman 5 keeps the addresses of a container that its policy starts again.
    if (["host", "none"].includes(endpoint.key) || (engine.flavor.id === "podman5" && endpoint.live !== undefined)) {
      continue
    }
    const network = endpoint.networkId === "" || engine.flavor.isPodman
      ? networkOf(engine, endpoint.key)
      : engine.networks.find(({ id }) => id === endpoint.networkId)
    if (network === undefined) {
      throw engine.refuse.networkOfStart(endpoint.networkId === "" ? endpoint.key : endpoint.networkId)
    }
    attach(engine, endpoint, network)
    if (engine.flavor.id === "docker20") emitNetwork(engine, "connect", network, container)
  }
}

const detachAll = (engine: Engine, container: Container): void => {
  for (const endpoint of container.endpoints.values()) {
    const network = engine.networks.find(({ id }) => id === endpoint.networkId)
    const wasLive = endpoint.live !== undefined
    endpoint.live = undefined
    if (network !== undefined && wasLive) emitNetwork(engine, "disconnect", network, container)
  }
}

// -----------------------------------------------------------------------------
// Logs
// -----------------------------------------------------------------------------

/** @internal */
export const writeLog = (
  engine: Engine,
  container: Container,
  line: string,
  stream: LogLine["stream"] = "stdout"
): void => {
  const written: LogLine = { nanos: engine.nanos(), stream, text: line }
  container.log.push(written)
  for (const reader of container.readers) reader(written)
}

// -----------------------------------------------------------------------------
// Processes
// -----------------------------------------------------------------------------

const policyOf = (container: Container): { readonly name: string; readonly most: number } => {
  const policy = record(container.host["RestartPolicy"])
  return { name: text(policy["Name"]), most: Number(policy["MaximumRetryCount"] ?? 0) }
}

const restartsAfter = (container: Container, code: number): boolean => {
  const { most, name } = policyOf(container)
  if (container.wasStopped) return false
  if (name === "always" || name === "unless-stopped") return true
  return name === "on-failure" && code !== 0 && (most === 0 || container.restartCount < most)
}

const commandOf = ({ command, entrypoint }: Container): ReadonlyArray<string> => [...entrypoint, ...command]

/** The process of a container begins to run. It throws the refusal where it cannot. @internal */
export const begin = (engine: Engine, container: Container): void => {
  const { flavor, refuse } = engine
  const fail = (error: unknown, exitCode: number): never => {
    for (const endpoint of container.endpoints.values()) {
      if (flavor.id === "docker20" && endpoint.live !== undefined) {
        endpoint.stale = { ...endpoint.live, hasGateway: exitCode === 127 }
      }
    }
    detachAll(engine, container)
    if (flavor.id === "docker29" && container.startedAt === undefined) {
      for (const endpoint of container.endpoints.values()) endpoint.networkId = ""
    }
    if (!flavor.isPodman) container.ports = []
    if (error instanceof Refusal && !flavor.isPodman) {
      container.exitCode = exitCode
      container.error = error.message
    }
    if (flavor.id === "podman4") emit(engine, container, "cleanup")
    throw error
  }
  if (flavor.id === "docker29") emitVolumes(engine, container, "mount")
  try {
    // Podman checks the ports first.
    if (flavor.isPodman) container.ports = publish(engine, container)
    attachAll(engine, container)
    if (!flavor.isPodman) container.ports = publish(engine, container)
  } catch (error) {
    return fail(error, 128)
  }
  const [command = ""] = commandOf(container)
  if (imageOf(engine, container.imageId)?.missing?.includes(command) === true) {
    return fail(refuse.commandMissing(command), 127)
  }
  if (flavor.id === "docker20") emitVolumes(engine, container, "mount")
  if (flavor.id === "docker29") {
    for (const { networkId } of container.endpoints.values()) {
      const network = engine.networks.find(({ id }) => id === networkId)
      if (network !== undefined) emitNetwork(engine, "connect", network, container)
    }
  }
  if (flavor.isPodman) emit(engine, container, "init")
  container.status = "running"
  container.startedAt = engine.now()
  container.exitCode = 0
  container.error = ""
  const run = ++container.run
  emit(engine, container, "start")
  for (const line of container.behavior.logs ?? []) writeLog(engine, container, `${line}\n`)
  const { exits } = container.behavior
  if (exits !== undefined) {
    engine.later(exits.afterMillis ?? 0, () => {
      if (container.run === run) exit(engine, container, exits.code)
    })
  }
  beginHealth(engine, container, run)
}

/** The process of a container exits. @internal */
export const exit = (engine: Engine, container: Container, code: number, isStop = false): void => {
  const { flavor } = engine
  if (!runs(container)) return
  const ran = engine.now() - (container.startedAt ?? 0)
  container.run++
  container.exitCode = code
  container.finishedAt = engine.now()
  if (!flavor.isPodman) container.ports = []
  const again = restartsAfter(container, code)
  container.status = again ? "restarting" : "exited"
  if (container.health !== "none") container.health = again ? "starting" : container.health
  const die = (more: Readonly<Record<string, string>> = {}) =>
    emit(engine, container, "die", { ...more, exitCode: String(code) })
  if (flavor.isPodman) {
    if (isStop && flavor.id === "podman5") emit(engine, container, "stop")
    die()
    // Podman keeps the addresses of a container that its policy starts again.
    if (!again) {
      detachAll(engine, container)
      emit(engine, container, "cleanup")
    }
  } else if (flavor.id === "docker20") {
    die()
    detachAll(engine, container)
    emitVolumes(engine, container, "unmount")
    if (isStop) emit(engine, container, "stop")
  } else {
    detachAll(engine, container)
    emitVolumes(engine, container, "unmount")
    if (isStop) emit(engine, container, "stop")
    die({ execDuration: String(Math.round(ran / 1000)) })
  }
  settle(container.waiters, code)
  if (again) return restartLater(engine, container, ran)
  for (const reader of container.readers) reader("exit")
  if (container.host["AutoRemove"] === true) remove(engine, container, true)
}

const settle = (waiters: Set<(code: number) => void>, code: number): void => {
  for (const waiter of waiters) {
    waiters.delete(waiter)
    waiter(code)
  }
}

/** Docker waits 100 ms, then twice as long each time, up to a minute; a run of ten seconds resets it. */
const restartLater = (engine: Engine, container: Container, ran: number): void => {
  container.backoff = ran > 10_000 || container.backoff === 0 ? 100 : Math.min(container.backoff * 2, 60_000)
  const run = container.run
  engine.later(engine.flavor.isPodman ? 100 : container.backoff, () => {
    if (container.run !== run || container.status !== "restarting") return
    container.restartCount++
    if (engine.flavor.isPodman) emit(engine, container, "restart")
    try {
      begin(engine, container)
    } catch {
      container.status = "exited"
      settle(container.waiters, container.exitCode)
    }
  })
}

/** Sends a signal to the process. A process that ignores SIGTERM goes on. @internal */
export const signal = (engine: Engine, container: Container, name: "TERM" | "KILL", isStop = false): void => {
  const { flavor } = engine
  if (!flavor.isPodman || !isStop) {
    emit(engine, container, "kill", { signal: name === "TERM" ? "15" : "9" })
  }
  if (name === "KILL") return exit(engine, container, 137, isStop)
  const { onTerm } = container.behavior
  if (onTerm === "ignore") return
  const run = container.run
  const leave = () => {
    if (container.run === run) exit(engine, container, onTerm?.code ?? 0, isStop)
  }
  if ((onTerm?.afterMillis ?? 0) === 0) leave()
  else engine.later(onTerm?.afterMillis ?? 0, leave)
}

/** How long a stop waits between SIGTERM and SIGKILL, in seconds. @internal */
export const graceOf = (engine: Engine, container: Container, given: string | undefined): number => {
  if (given !== undefined) return Number(given)
  const own = container.body["StopTimeout"]
  // Podman 4 reads a missing timeout as 0.
  return typeof own === "number" ? own : engine.flavor.id === "podman4" ? 0 : 10
}

/** @internal */
export const pause = (engine: Engine, container: Container): void => {
  const { refuse } = engine
  if (container.status === "paused") throw refuse.pausedAlready(container.id)
  if (container.status !== "running") throw refuse.pauseStopped(container.id, container.status)
  container.status = "paused"
  emit(engine, container, "pause")
}

/** @internal */
export const unpause = (engine: Engine, container: Container): void => {
  if (container.status !== "paused") throw engine.refuse.notPaused(container.id)
  container.status = "running"
  emit(engine, container, "unpause")
}

/** The process of a container that is removed by force exits; Podman 5 stops it as a stop does. @internal */
export const killForRemoval = (engine: Engine, container: Container): void => {
  const { onTerm } = container.behavior
  if (!engine.flavor.isPodman) return signal(engine, container, "KILL")
  const exitsOnTerm = engine.flavor.id === "podman5" && onTerm !== "ignore"
  exit(engine, container, exitsOnTerm ? onTerm?.code ?? 0 : 137, true)
}

/** Takes a container away, with its anonymous volumes where `withVolumes` is set. @internal */
export const remove = (engine: Engine, container: Container, withVolumes: boolean): void => {
  if (runs(container)) {
    container.wasStopped = true
    killForRemoval(engine, container)
  }
  if (!engine.containers.includes(container)) return
  container.run++
  detachAll(engine, container)
  removeFrom(engine.containers, container)
  const users = engine.containers.flatMap(({ mounts }) => mounts.map(({ name }) => name))
  if (withVolumes) {
    for (const { isAnonymous, name } of container.mounts) {
      const volume = engine.volumes.find((each) => each.name === name)
      if (isAnonymous && volume !== undefined && !users.includes(name)) removeFrom(engine.volumes, volume)
    }
  }
  const code = engine.flavor.id === "podman5" && container.startedAt !== undefined
    ? { containerExitCode: String(container.exitCode) }
    : {}
  emit(engine, container, engine.flavor.isPodman ? "remove" : "destroy", code)
  for (const reader of container.readers) reader("gone")
  settle(container.waiters, container.exitCode)
  settle(container.removalWaiters, container.exitCode)
}

// -----------------------------------------------------------------------------
// Health
// -----------------------------------------------------------------------------

/** A healthcheck runs its command again and again. Podman needs systemd for that, so its health stays `starting`. */
const beginHealth = (engine: Engine, container: Container, run: number): void => {
  const check = record(container.body["Healthcheck"])
  const [kind = "NONE", ...rest] = texts(check["Test"])
  if (kind === "NONE") return
  container.health = "starting"
  if (engine.flavor.isPodman) return
  const command = kind === "CMD-SHELL" ? ["/bin/sh", "-c", ...rest] : rest
  const millis = Math.max(1, Number(check["Interval"] ?? 0) / 1_000_000 || 30_000)
  const most = Number(check["Retries"] ?? 0) || 3
  let failures = 0
  const probe = () => {
    if (container.run !== run || container.status !== "running") return
    const words = command.join(" ")
    const execID = engine.newId()
    emit(engine, container, `exec_create: ${words}`, { execID })
    emit(engine, container, `exec_start: ${words}`, { execID })
    const { exitCode = 0 } = engine.run({ container: container.name, command, env: [], workingDirectory: "", user: "" })
    emit(engine, container, "exec_die", { execID, exitCode: String(exitCode) })
    container.probes.push({ at: engine.now(), exitCode })
    if (container.probes.length > 5) container.probes.shift()
    failures = exitCode === 0 ? 0 : failures + 1
    const next = failures === 0 ? "healthy" : failures >= most ? "unhealthy" : container.health
    if (next !== container.health) {
      container.health = next
      emit(engine, container, `health_status: ${next}`)
    }
    engine.later(millis, probe)
  }
  engine.later(millis, probe)
}
