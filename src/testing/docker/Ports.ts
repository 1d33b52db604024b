/**
 * Host ports of the containers: which are free, and which a container publishes.
 *
 * Docker chooses a free port at the start, Podman at the create call.
 */
import { type Container, type Engine, type PublishedPort, record, runs, text } from "./Engine.ts"

/** `80/tcp` of `80`, `80/tcp` or `80/TCP`. @internal */
export const portKey = (key: string): { readonly port: number; readonly protocol: string } => {
  const [port = "", protocol = "tcp"] = key.split("/")
  return { port: Number(port), protocol: protocol.toLowerCase() }
}

/** The port bindings that a create call requested, in the order of protocol and port. */
const bindingsOf = (container: Container): ReadonlyArray<
  { readonly port: number; readonly protocol: string; readonly ip: string; readonly hostPort: string }
> =>
  Object.entries(record(container.host["PortBindings"])).flatMap(([key, bindings]) =>
    (Array.isArray(bindings) ? bindings : []).map((binding) => ({
      ...portKey(key),
      ip: text(record(binding)["HostIp"]),
      hostPort: text(record(binding)["HostPort"])
    }))
  )

const clashes = (a: string, b: string): boolean =>
  a === b || ["", "0.0.0.0", "::"].includes(a) || ["", "0.0.0.0", "::"].includes(b)

/** Whether a container that runs, or a process beside the engine, uses a host port. */
const usedBy = (engine: Engine, self: Container, ip: string, number: number, protocol: string) => {
  const isContainer = engine.containers.some((other) =>
    other !== self && runs(other) &&
    other.ports.some((each) => each.publicPort === number && each.protocol === protocol && clashes(each.ip, ip))
  )
  if (isContainer) return "container"
  const isProcess = [...engine.portsInUse].some((each) => {
    const [, address = "", used, kind] = /^(.*):(\d+)\/(\w+)$/.exec(each) ?? []
    return Number(used) === number && kind === protocol && clashes(address, ip)
  })
  return isProcess ? "process" : undefined
}

/** Chooses the host ports of a container: those requested, and free ones where none is. @internal */
export const choosePorts = (engine: Engine, container: Container): ReadonlyArray<PublishedPort> => {
  const { flavor } = engine
  return bindingsOf(container).flatMap(({ hostPort, ip, port, protocol }) => {
    let number = Number(hostPort)
    if (number === 0) {
      do number = engine.nextPort++
      while (usedBy(engine, container, ip, number, protocol) !== undefined)
    }
    const ips = ip !== "" ? [ip] : flavor.id === "podman4" ? [""] : flavor.isPodman ? ["0.0.0.0"] : ["0.0.0.0", "::"]
    return ips.map((each) => ({ privatePort: port, protocol, ip: each, publicPort: number }))
  })
}

/** Takes the host ports of a container that starts. It throws the refusal where one is in use. @internal */
export const publish = (engine: Engine, container: Container): ReadonlyArray<PublishedPort> => {
  // Podman chooses at the create call and keeps what it chose.
  const chosen = engine.flavor.isPodman ? container.ports : choosePorts(engine, container)
  for (const { ip, protocol, publicPort } of chosen) {
    const user = usedBy(engine, container, ip, publicPort, protocol)
    if (user === undefined) continue
    const endpoint = [...container.endpoints.values()][0]?.live?.id ?? ""
    throw engine.refuse.portTaken(container.name, endpoint, ip, String(publicPort), user === "process")
  }
  return chosen
}
