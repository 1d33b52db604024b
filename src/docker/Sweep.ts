/**
 * Finding what a process that died has left behind, in any scheme, and removing it on request.
 *
 * Something is an orphan where kubelayer made it, the process that made it is provably dead (it ran here, and is gone),
 * and nobody was to keep it: it was bound to a scope of that process, or is a container that was made and never started,
 * or a network or volume of a cluster without any container. A cluster that a script made and left is no orphan.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { ownerProcessExited, parseSession } from "../internal/Session.ts"
import type { Subject } from "../Progress.ts"
import type { BackendError } from "../Reason.ts"
import type { Client } from "./Client.ts"
import { usersOfNetwork, usersOfVolume } from "./Delete.ts"
import * as Labels from "./Labels.ts"
import type { CallFailure } from "./Transport.ts"
import { type ContainerSummary, labelsOf, nameOf, type Network, type Volume } from "./Wire.ts"

/**
 * Something that is nobody's any more.
 *
 * @category models
 * @since 0.1.0
 */
export interface Orphan extends Subject {
  /** `<scheme>/<cluster>` that it was made for. */
  readonly owner: string
  readonly why: string
  /** What became of it, where removal was asked for. */
  readonly removed?: true | BackendError
}

interface Found {
  readonly orphan: Orphan
  readonly createdAt: number
  /** The containers that use it, by id. */
  readonly users: ReadonlyArray<string>
  readonly remove: Effect.Effect<void, CallFailure>
}

const time = (iso: string | null | undefined): number => Date.parse(iso ?? "")

const describe = (labels: Readonly<Record<string, string>>, why: string) => ({
  owner: labels[Labels.owned] ?? "",
  why: `${why}, and the process that made it (${labels[Labels.session]}) is gone`
})

const ofContainer = (client: Client, container: ContainerSummary): Found | undefined => {
  const labels = labelsOf(container)
  const bound = labels[Labels.bound] === "true"
  if (!bound && container.State.toLowerCase() !== "created") return undefined
  return {
    orphan: {
      kind: "node",
      name: nameOf(container),
      id: container.Id,
      ...describe(labels, bound ? "it was made for a scope" : "it was never started")
    },
    createdAt: (container.Created ?? 0) * 1000,
    users: [],
    remove: client.removeContainer(container.Id)
  }
}

const ofResource = (
  resource: Subject,
  labels: Readonly<Record<string, string>>,
  inhabited: ReadonlySet<string>,
  use: { readonly createdAt: number; readonly users: ReadonlyArray<ContainerSummary> },
  remove: Effect.Effect<void, CallFailure>
): Found | undefined => {
  const bound = labels[Labels.bound] === "true"
  if (!bound && inhabited.has(labels[Labels.owned] ?? "")) return undefined
  return {
    orphan: { ...resource, ...describe(labels, bound ? "it was made for a scope" : "its cluster has no node") },
    createdAt: use.createdAt,
    users: use.users.map((container) => container.Id),
    remove
  }
}

const candidates = (
  client: Client,
  containers: ReadonlyArray<ContainerSummary>,
  networks: ReadonlyArray<Network>,
  volumes: ReadonlyArray<Volume>
): ReadonlyArray<readonly [Readonly<Record<string, string>>, Found | undefined]> => {
  const inhabited = new Set(containers.flatMap((container) => labelsOf(container)[Labels.owned] ?? []))
  return [
    ...containers.map((container) => [labelsOf(container), ofContainer(client, container)] as const),
    ...networks.map((network) => {
      const subject: Subject = { kind: "network", name: network.Name, id: network.Id }
      const labels = labelsOf(network)
      const use = { createdAt: time(network.Created), users: usersOfNetwork(containers, network) }
      return [labels, ofResource(subject, labels, inhabited, use, client.removeNetwork(network.Id))] as const
    }),
    ...volumes.map((volume) => {
      const subject: Subject = { kind: "volume", name: volume.Name }
      const labels = labelsOf(volume)
      const use = { createdAt: time(volume.CreatedAt), users: usersOfVolume(containers, volume) }
      return [labels, ofResource(subject, labels, inhabited, use, client.removeVolume(volume.Name))] as const
    })
  ]
}

const removed = (found: Found): Effect.Effect<Orphan, CallFailure> =>
  found.remove.pipe(
    Effect.as<Orphan>({ ...found.orphan, removed: true }),
    Effect.catchTag("BackendError", (error) =>
      Effect.succeed<Orphan>({ ...found.orphan, removed: error.reason._tag === "NotFoundError" ? true : error }))
  )

/** Lists orphans that are older than an age, and removes them where `remove` is set. */
export const sweep = Effect.fnUntraced(function*(
  client: Client,
  options: { readonly olderThan: Duration.Input; readonly remove?: boolean }
): Effect.fn.Return<ReadonlyArray<Orphan>, CallFailure> {
  const [containers, networks, volumes] = yield* Effect.all([
    client.listContainers(),
    client.listNetworks,
    client.listVolumes
  ], { concurrency: 3 })
  const latest = (yield* Clock.currentTimeMillis) - Duration.toMillis(Duration.fromInputUnsafe(options.olderThan))
  const found: Array<Found> = []
  for (const [labels, candidate] of candidates(client, containers, networks, volumes)) {
    const session = parseSession(labels[Labels.session] ?? "")
    if (candidate === undefined || session === undefined || labels[Labels.owned] === undefined) continue
    if (!(candidate.createdAt <= latest)) continue
    if (yield* ownerProcessExited(session)) found.push(candidate)
  }
  // What a container that stays uses, stays too, whoever's that container is.
  const going = new Set(found.flatMap(({ orphan }) => orphan.kind === "node" ? orphan.id ?? [] : []))
  const orphans = found.filter(({ users }) => users.every((id) => going.has(id)))
  if (options.remove !== true) return orphans.map(({ orphan }) => orphan)
  // Containers first: the others are in use until they are gone.
  const wave = (ofNodes: boolean) =>
    Effect.forEach(orphans.filter(({ orphan }) => (orphan.kind === "node") === ofNodes), removed, { concurrency: 8 })
  return [...yield* wave(true), ...yield* wave(false)]
})
