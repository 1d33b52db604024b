/**
 * Lists servers, and says which cluster owns each.
 *
 * A small Project is listed whole, in one request. A selector has no "or", and servers of the autoscaler do not carry
 * the labels of a cluster: a cluster owns them if they are in one of its networks. In a large Project the API filters.
 * The labels of what comes back decide either way.
 */
import * as Effect from "effect/Effect"
import { CurrentUrgency } from "../internal/Urgency.ts"
import type { ClusterName } from "../Model.ts"
import type { CallFailure } from "../Resource.ts"
import type { FirstPage, How, Reading } from "./Client.ts"
import * as Labels from "./Labels.ts"
import * as Wire from "./Wire.ts"

/** A server and its owner; undefined where no cluster owns it. */
export interface Server extends Wire.Server {
  readonly owner: Labels.Owner | undefined
}

const mayDependOnNetwork = ({ labels, private_net }: Wire.Server): boolean =>
  Labels.isAutoscaled(labels) && (private_net ?? []).length > 0

const ownerOf = (
  ownership: Labels.Ownership,
  networks: ReadonlyArray<Wire.Network>,
  server: Wire.Server
): Labels.Owner | undefined => {
  const owner = ownership.classify(server.labels)
  if (owner !== undefined || !Labels.isAutoscaled(server.labels)) return owner
  const joined = new Set((server.private_net ?? []).map(({ network }) => network))
  const clusters = new Set(
    networks.flatMap(({ id, labels }) => joined.has(id) ? ownership.classify(labels)?.cluster ?? [] : [])
  )
  // One in the networks of two clusters belongs to neither.
  const [cluster] = clusters
  return cluster === undefined || clusters.size > 1 ? undefined : { cluster, role: "worker" }
}

/** A server of a reply. */
export const withOwner = (ownership: Labels.Ownership, server: Wire.Server): Server => ({
  ...server,
  owner: ownerOf(ownership, [], server)
})

/** Servers, and the networks on which their owners depend. */
export interface ServerList {
  readonly servers: ReadonlyArray<Wire.Server>
  /** Listed only where the owner of a server may depend on its network. */
  readonly networks: ReadonlyArray<Wire.Network>
}

/** Servers with their owners, each once: one can be on two pages where one before it was deleted in the meantime. */
const withOwners = (ownership: Labels.Ownership, { networks, servers }: ServerList): ReadonlyArray<Server> =>
  [...new Map(servers.map((server) => [server.id, server])).values()].map((server): Server => ({
    ...server,
    owner: ownerOf(ownership, networks, server)
  }))

const withNetworks = (
  read: Reading,
  servers: ReadonlyArray<Wire.Server>,
  how: How = {}
): Effect.Effect<ServerList, CallFailure> =>
  Effect.map(
    servers.some(mayDependOnNetwork) ? read.list(Wire.networks, {}, how) : Effect.succeed([]),
    (networks) => ({ servers, networks })
  )

/** All servers of the Project; `first` is the first page, where it is known. */
export const listAll = (
  read: Reading,
  how: How = {},
  first?: FirstPage<Wire.Server>
): Effect.Effect<ServerList, CallFailure> =>
  Effect.flatMap(
    read.list(Wire.servers, {}, { ...how, ...(first === undefined ? {} : { first }) }),
    (servers) => withNetworks(read, servers, how)
  )

/** The clusters that are a small part of a large Project, as far as a client has seen. */
const small = new WeakMap<Reading, Set<ClusterName>>()

const listPart = Effect.fnUntraced(function*(
  read: Reading,
  ownership: Labels.Ownership,
  cluster: ClusterName
): Effect.fn.Return<ServerList, CallFailure> {
  const known = small.get(read) ?? new Set()
  if (!known.has(cluster)) {
    const first = yield* read.firstPage(Wire.servers)
    const { found } = first
    if (first.next === undefined) return yield* withNetworks(read, found)
    const own = found.filter(({ labels }) => ownership.classify(labels)?.cluster === cluster)
    // If most of them belong to the cluster, listing the rest as well costs less.
    if (own.length * 2 >= found.length) return yield* listAll(read, {}, first)
    small.set(read, known.add(cluster))
  }
  const selected = (label_selector: string) => read.list(Wire.servers, { label_selector })
  const [labelled, autoscaled] = yield* Effect.all(
    [selected(ownership.selectorFor(cluster)), selected(Labels.autoscaled)],
    { concurrency: 2 }
  )
  return yield* withNetworks(read, [...labelled, ...autoscaled])
})

/** At least the servers of one cluster. */
export const listOf = (
  read: Reading,
  ownership: Labels.Ownership,
  cluster: ClusterName
): Effect.Effect<ReadonlyArray<Server>, CallFailure> =>
  Effect.map(listPart(read, ownership, cluster), (list) => withOwners(ownership, list))

/** The servers of one cluster, or of all. A watch uses the list that woke it. */
export const listServers = (
  read: Reading,
  ownership: Labels.Ownership,
  cluster: ClusterName | undefined,
  latest: Effect.Effect<ServerList | undefined>
): Effect.Effect<ReadonlyArray<Server>, CallFailure> =>
  cluster !== undefined ? listOf(read, ownership, cluster) : Effect.gen(function*() {
    const known = (yield* CurrentUrgency) === "watch" ? yield* latest : undefined
    return withOwners(ownership, known ?? (yield* listAll(read)))
  })
