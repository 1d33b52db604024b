/**
 * Hetzner's words to ours: servers to nodes, states, addresses. Pure; the only file that knows both vocabularies.
 */
import { createdAt } from "../internal/CreatedAt.ts"
import { type ClusterName, NodeInfo, type NodeState } from "../Model.ts"
import { type Owner, pool as poolLabel, roleOf } from "./Labels.ts"
import type { Server } from "./Wire.ts"

/** The API's server states. While it is moved or rebuilt, a server does no work, and then starts on its own. */
const states: ReadonlyMap<string, NodeState> = new Map([
  ["initializing", "creating"],
  ["starting", "starting"],
  ["running", "running"],
  ["stopping", "stopping"],
  ["off", "stopped"],
  ["deleting", "deleting"],
  ["migrating", "starting"],
  ["rebuilding", "creating"]
])

const present = (addresses: ReadonlyArray<string | null | undefined>): ReadonlyArray<string> =>
  addresses.filter((address): address is string => typeof address === "string" && address !== "")

/** A server whose owner is known, as a node. */
export const toNode = (server: Server, cluster: ClusterName, owner: Owner): NodeInfo =>
  new NodeInfo({
    name: server.name,
    clusterName: cluster,
    role: roleOf(owner.role),
    state: states.get(server.status) ?? "unknown",
    id: String(server.id),
    ...(server.labels[poolLabel] === undefined ? {} : { pool: server.labels[poolLabel] }),
    rawRole: owner.role ?? "",
    rawState: server.status,
    addresses: {
      private: present((server.private_net ?? []).map(({ ip }) => ip)),
      // The API reports the network of an IPv6 address.
      public: present([server.public_net?.ipv4?.ip, server.public_net?.ipv6?.ip])
    },
    ...(server.server_type === undefined || server.server_type === null ? {} : { serverType: server.server_type.name }),
    ...(server.location === undefined || server.location === null ? {} : { location: server.location.name }),
    ...createdAt(server.created)
  })
