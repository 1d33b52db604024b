/**
 * Docker's words to ours: containers to nodes, states, addresses. Pure; the only file that knows both vocabularies.
 */
import { createdAt } from "../internal/CreatedAt.ts"
import type { ClusterName, NodeState } from "../Model.ts"
import { NodeInfo } from "../Model.ts"
import type { Container } from "./ClusterNodes.ts"
import { pool as poolLabel } from "./Labels.ts"
import { type ContainerSummary, nameOf } from "./Wire.ts"

/**
 * Docker's container states, and Podman's. `created` was never started, or could not be; nothing will start it, so it
 * counts as stopped. A paused container does no work, and start wakes it, so it counts as stopped too.
 */
const states: ReadonlyMap<string, NodeState> = new Map([
  ["created", "stopped"],
  ["running", "running"],
  ["paused", "stopped"],
  ["restarting", "starting"],
  ["removing", "deleting"],
  ["exited", "stopped"],
  ["dead", "failed"],
  ["stopped", "stopped"],
  ["stopping", "stopping"],
  ["initialized", "stopped"],
  ["configured", "stopped"]
])

/** The state of a node whose container is in this state. */
const nodeState = (state: string): NodeState => states.get(state.toLowerCase()) ?? "unknown"

const addresses = (container: ContainerSummary): ReadonlyArray<string> => {
  const found: Array<string> = []
  for (const endpoint of Object.values(container.NetworkSettings?.Networks ?? {})) {
    if (endpoint?.IPAddress) found.push(endpoint.IPAddress)
    if (endpoint?.GlobalIPv6Address) found.push(endpoint.GlobalIPv6Address)
  }
  return found
}

/** A container that a scheme has recognised, as a node. */
export const toNode = ({ container, labels, member }: Container, clusterName: ClusterName): NodeInfo =>
  new NodeInfo({
    name: nameOf(container),
    clusterName,
    role: member?.membership.role ?? "helper",
    state: nodeState(container.State),
    id: container.Id,
    rawRole: member?.membership.rawRole ?? "",
    ...(labels[poolLabel] === undefined ? {} : { pool: labels[poolLabel] }),
    rawState: container.State,
    addresses: { private: addresses(container), public: [] },
    ...createdAt(typeof container.Created === "number" ? container.Created * 1000 : undefined)
  })

/** The exit code in a status text such as `Exited (137) 3 seconds ago`. */
export const exitCode = (status: string | null | undefined): number | undefined => {
  const found = /\((\d+)\)/.exec(status ?? "")
  return found === null ? undefined : Number(found[1])
}

/** A port of a node that is reachable now. */
export interface PublishedPort {
  readonly node: string
  readonly container: number
  readonly host: number
  readonly protocol: string
  /** The host address that it is bound to. */
  readonly address: string
}

/** The published ports of a container that runs. Podman lists those of stopped ones too, from their configuration. */
export const portMappingsOf = (node: string, container: ContainerSummary): ReadonlyArray<PublishedPort> =>
  (/^(?:running|paused)$/i.test(container.State) ? container.Ports ?? [] : []).flatMap((port) =>
    typeof port.PublicPort === "number" && typeof port.PrivatePort === "number"
      ? [{
        node,
        container: port.PrivatePort,
        host: port.PublicPort,
        protocol: port.Type ?? "tcp",
        address: port.IP ?? "0.0.0.0"
      }]
      : []
  )
