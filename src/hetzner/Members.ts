/**
 * Which servers are whose: the one list behind every read, and the check on the client behind every act.
 *
 * A small Project is listed whole, in one request, since a selector knows no "or" and the autoscaler's servers do not
 * carry a cluster's labels: they are a cluster's where they stand in a network of the cluster, by its id. In a large
 * Project the API filters. What comes back is judged by its own labels either way.
 */
import * as Effect from "effect/Effect"
import { byRoleThenName } from "../internal/Operation.ts"
import type { ClusterName, NodeInfo } from "../Model.ts"
import type { Subject } from "../Progress.ts"
import type { CallFailure, Client, FirstPage, How } from "./Client.ts"
import * as Labels from "./Labels.ts"
import { toNode } from "./Translate.ts"
import * as Wire from "./Wire.ts"

/** A server that is a node of a cluster. */
export interface Member {
  readonly node: NodeInfo
  readonly server: Wire.Server
}

export const subjectOf = ({ node }: Member): Subject => ({ kind: "node", name: node.name, id: node.id })

/** What the API says of the Project's servers, before it is judged whose they are. */
export interface World {
  readonly servers: ReadonlyArray<Wire.Server>
  /** Asked for only where a server's cluster may depend on it. */
  readonly networks: ReadonlyArray<Wire.Network>
}

const mayDependOnNetwork = ({ labels, private_net }: Wire.Server): boolean =>
  Labels.isAutoscaled(labels) && (private_net ?? []).length > 0

const withNetworks = (
  client: Client,
  servers: ReadonlyArray<Wire.Server>,
  how: How
): Effect.Effect<World, CallFailure> =>
  Effect.map(
    servers.some(mayDependOnNetwork) ? client.list(Wire.networks, {}, how) : Effect.succeed([]),
    (networks) => ({ servers, networks })
  )

/** The whole Project; `first` is the first page of its servers, where that is known. */
export const worldOf = (
  client: Client,
  how: How = {},
  first?: FirstPage<Wire.Server>
): Effect.Effect<World, CallFailure> =>
  Effect.flatMap(
    client.list(Wire.servers, {}, { ...how, ...(first === undefined ? {} : { first }) }),
    (servers) => withNetworks(client, servers, how)
  )

const ownerOf = (
  ownership: Labels.Ownership,
  world: World,
  server: Wire.Server
): Labels.Owner | undefined => {
  const owner = ownership.classify(server.labels)
  if (owner !== undefined || !Labels.isAutoscaled(server.labels)) return owner
  const joined = new Set((server.private_net ?? []).map(({ network }) => network))
  const clusters = new Set(
    world.networks.flatMap(({ id, labels }) => joined.has(id) ? ownership.classify(labels)?.cluster ?? [] : [])
  )
  // One that stands in the networks of two clusters is neither's.
  const [cluster] = clusters
  return cluster === undefined || clusters.size > 1 ? undefined : { cluster, role: "worker" }
}

/** The nodes in a world, in the order of `listNodes`. Names that no cluster can have are given apart. */
const judged = (
  ownership: Labels.Ownership,
  world: World
): { readonly members: ReadonlyArray<Member>; readonly foreignNames: ReadonlyArray<string> } => {
  const found: Array<Member> = []
  const foreignNames = new Set<string>()
  const seen = new Set<number>()
  for (const server of world.servers) {
    // A server can stand on two pages where one before it went meanwhile.
    if (seen.has(server.id)) continue
    seen.add(server.id)
    const owner = ownerOf(ownership, world, server)
    if (owner === undefined || owner.cluster === "") continue
    if (Labels.isName(owner.cluster)) found.push({ node: toNode(server, owner.cluster, owner), server })
    else foreignNames.add(owner.cluster)
  }
  return { members: found.sort((a, b) => byRoleThenName(a.node, b.node)), foreignNames: [...foreignNames] }
}

/** The nodes of one cluster in a world. */
export const membersIn = (
  ownership: Labels.Ownership,
  world: World,
  cluster: ClusterName
): ReadonlyArray<Member> => judged(ownership, world).members.filter(({ node }) => node.clusterName === cluster)

/** The names of the clusters in a world, sorted. */
export const clusterNamesIn = (ownership: Labels.Ownership, world: World): ReadonlyArray<ClusterName> =>
  [...new Set(judged(ownership, world).members.map(({ node }) => node.clusterName))].sort()

/** The clusters that are a small part of a large Project, as far as a client has seen. */
const small = new WeakMap<Client, Set<ClusterName>>()

/** What of the Project can concern one cluster. */
const worldFor = Effect.fnUntraced(function*(
  client: Client,
  ownership: Labels.Ownership,
  cluster: ClusterName
): Effect.fn.Return<World, CallFailure> {
  const known = small.get(client) ?? new Set()
  if (!known.has(cluster)) {
    const first = yield* client.firstPage(Wire.servers)
    const { found } = first
    if (first.next === undefined) return yield* withNetworks(client, found, {})
    const ours = found.filter(({ labels }) => ownership.classify(labels)?.cluster === cluster)
    // Where most is the cluster's, asking for the rest as it is costs less.
    if (ours.length * 2 >= found.length) return yield* worldOf(client, {}, first)
    small.set(client, known.add(cluster))
  }
  const selected = (label_selector: string) => client.list(Wire.servers, { label_selector })
  const [labelled, autoscaled] = yield* Effect.all(
    [selected(ownership.selectorFor(cluster)), selected(Labels.autoscaled)],
    { concurrency: 2 }
  )
  return yield* withNetworks(client, [...labelled, ...autoscaled], {})
})

/** The nodes of one cluster, in the order of `listNodes`. */
export const members = (
  client: Client,
  ownership: Labels.Ownership,
  cluster: ClusterName
): Effect.Effect<ReadonlyArray<Member>, CallFailure> =>
  Effect.map(worldFor(client, ownership, cluster), (world) => membersIn(ownership, world, cluster))

const warned = new Set<string>()

/** The names of all clusters. A name that cannot be referred to is left out, with one warning in this process. */
export const clusters = (
  client: Client,
  ownership: Labels.Ownership
): Effect.Effect<ReadonlyArray<ClusterName>, CallFailure> =>
  Effect.gen(function*() {
    const found = judged(ownership, yield* worldOf(client))
    for (const name of found.foreignNames) {
      if (warned.has(name)) continue
      warned.add(name)
      yield* Effect.logWarning(
        `there are servers of ${JSON.stringify(name.slice(0, 80))}; no cluster can have that name, so it is left out`
      )
    }
    return [...new Set(found.members.map(({ node }) => node.clusterName))].sort()
  })
