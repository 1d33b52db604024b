/**
 * Finding what a process that died has left behind, and removing it on request.
 *
 * Something is an orphan where kubelayer made it, the process that made it is provably dead (it ran here, and is gone),
 * and nobody was to keep it: it was bound to a scope of that process, or is of a create that did not end, or is what the
 * servers of a cluster share and no server is left. A cluster that a script made and left is no orphan.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { failWith } from "../internal/Method.ts"
import { ownerProcessExited, parseSession } from "../internal/Session.ts"
import type { Policy } from "../Policy.ts"
import type { Subject } from "../Progress.ts"
import { type BackendError, RequestTimeout } from "../Reason.ts"
import type { CallFailure } from "./Client.ts"
import * as Labels from "./Labels.ts"
import { serversBehind } from "./Leftovers.ts"
import { type Deleting, type Removable, removeOne } from "./Removal.ts"
import * as Wire from "./Wire.ts"

/**
 * Something that is nobody's any more.
 *
 * @category models
 * @since 0.1.0
 */
export interface Orphan extends Subject {
  /** The cluster that it was made for. */
  readonly cluster: string
  readonly why: string
  /** What became of it, where removal was asked for. */
  readonly removed?: true | BackendError
}

interface Found {
  readonly subject: Removable
  readonly labels: Labels.LabelMap
  readonly createdAt: number
  /** The servers that use it, by id, and whether something else does that stays. */
  readonly users: ReadonlyArray<number>
  readonly isHeld: boolean
}

const everything = (client: Deleting["client"]): Effect.Effect<ReadonlyArray<Found>, CallFailure> => {
  const list = <A extends Labels.Labelled & { readonly created?: string | null }>(
    kind: Removable["kind"],
    collection: Wire.Collection<A>,
    users: (held: A) => ReadonlyArray<number> = () => [],
    isHeld: (held: A) => boolean = () => false
  ) =>
    Effect.map(
      client.list(collection, { label_selector: Labels.selector({ [Labels.session]: undefined }) }),
      (all) =>
        all.map((held): Found => ({
          subject: { kind, name: held.name, id: String(held.id) },
          labels: held.labels,
          createdAt: Date.parse(held.created ?? ""),
          users: users(held),
          isHeld: isHeld(held)
        }))
    )
  return Effect.map(
    Effect.all([
      list("node", Wire.servers),
      list(
        "network",
        Wire.networks,
        ({ servers }) => servers,
        ({ load_balancers }) => (load_balancers ?? []).length > 0
      ),
      list("firewall", Wire.firewalls, serversBehind),
      list("placement-group", Wire.placementGroups, ({ servers }) => servers),
      list("volume", Wire.volumes, ({ server }) => server === null ? [] : [server]),
      list("floating-ip", Wire.floatingIps, ({ server }) => server === null ? [] : [server]),
      list("ssh-key", Wire.sshKeys)
    ], { concurrency: 7 }),
    (all) => all.flat()
  )
}

/** Why something is nobody's, given that its process is dead. */
const whyOrphan = (
  { labels, subject }: Found,
  cluster: string,
  world: { readonly inhabited: ReadonlySet<string>; readonly unfinished: ReadonlySet<string> }
): string | undefined => {
  if (labels[Labels.keep] !== undefined) return undefined
  if (labels[Labels.bound] !== undefined) return "it was made for a scope"
  if (world.unfinished.has(labels[Labels.operation] ?? "")) return "the create that made it did not end"
  return subject.kind !== "node" && !world.inhabited.has(cluster) ? "its cluster has no server" : undefined
}

/** Lists orphans that are older than an age, and removes them where `remove` is set. */
export const sweep = Effect.fnUntraced(function*(
  context: Deleting,
  policy: Policy,
  options: { readonly olderThan: Duration.Input; readonly remove?: boolean }
): Effect.fn.Return<ReadonlyArray<Orphan>, CallFailure> {
  const { client, ownership } = context
  const [found, servers] = yield* Effect.all([everything(client), client.list(Wire.servers)], { concurrency: 2 })
  const latest = (yield* Clock.currentTimeMillis) - Duration.toMillis(Duration.fromInputUnsafe(options.olderThan))
  // What another layer made, in another scheme, is found too.
  const schemes = [ownership, Labels.ownershipOf("kubelayer"), Labels.ownershipOf("ksail")]
  const clusterOf = (labels: Labels.LabelMap): string | undefined => {
    for (const scheme of schemes) {
      const owner = scheme.classify(labels)
      if (owner !== undefined) return owner.cluster
    }
    return undefined
  }
  const sessions = new Map<string, boolean>()
  for (const { labels } of found) {
    const text = labels[Labels.session] ?? ""
    const session = parseSession(Labels.decodeSession(text))
    if (!sessions.has(text)) sessions.set(text, session !== undefined && (yield* ownerProcessExited(session)))
  }
  const isDeads = ({ labels }: Found) => sessions.get(labels[Labels.session] ?? "") === true
  const old = found.filter((each) => isDeads(each) && each.createdAt <= latest)
  const world = {
    inhabited: new Set(servers.flatMap(({ labels }) => clusterOf(labels) ?? [])),
    unfinished: new Set(
      old.flatMap(({ labels }) => labels[Labels.pending] === undefined ? [] : labels[Labels.operation] ?? [])
    )
  }
  const candidates = old.flatMap((each) => {
    const cluster = clusterOf(each.labels)
    const why = cluster === undefined ? undefined : whyOrphan(each, cluster, world)
    return cluster === undefined || why === undefined ? [] : [{ each, cluster, why }]
  })
  // What a server that stays uses, stays too, whoever's that server is.
  const going = new Set(candidates.flatMap(({ each }) => each.subject.kind === "node" ? [each.subject.id] : []))
  const orphans = candidates
    .filter(({ each }) => !each.isHeld && each.users.every((id) => going.has(String(id))))
    .map(({ cluster, each, why }) => ({
      subject: each.subject,
      orphan: {
        ...each.subject,
        cluster,
        why: `${why}, and the process that made it (${each.labels[Labels.session]}) is gone`
      } satisfies Orphan
    }))
  if (options.remove !== true) return orphans.map(({ orphan }) => orphan)
  const quiet = { emit: () => Effect.void, policy }
  const wave = (kinds: (kind: Subject["kind"]) => boolean) =>
    Effect.forEach(
      orphans.filter(({ subject }) => kinds(subject.kind)),
      ({ orphan, subject }) =>
        removeOne(context, quiet, subject).pipe(
          Effect.timeoutOrElse({
            duration: policy.nodeTimeout.delete,
            orElse: () =>
              failWith(
                new RequestTimeout({
                  detail: "it was not removed in time",
                  durationMillis: Math.round(Duration.toMillis(policy.nodeTimeout.delete))
                })
              )
          }),
          Effect.as<Orphan>({ ...orphan, removed: true }),
          Effect.catchTag("BackendError", (error) => Effect.succeed<Orphan>({ ...orphan, removed: error }))
        ),
      { concurrency: policy.concurrency.delete }
    )
  // Servers first: the others are in use until they are gone; the network last.
  return [
    ...yield* wave((kind) => kind === "node"),
    ...yield* wave((kind) => kind !== "node" && kind !== "network"),
    ...yield* wave((kind) => kind === "network")
  ]
})
