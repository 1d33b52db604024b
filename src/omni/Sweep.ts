/**
 * Finding what is nobody's any more in an Omni account, and removing it by teardown on request.
 *
 * A MachineSetNode is stale where its cluster or its machine set is gone, whoever made it; or where kubelayer made it,
 * the process that did is provably dead, and the account has no such machine. A cluster is stale where kubelayer made it,
 * that process is dead, and it was bound to a scope of it or was left without any machine set. What a controller owns, or
 * Omni makes for a machine class, is never looked at.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { failWith } from "../internal/Method.ts"
import { within } from "../internal/Retry.ts"
import { ownerProcessExited, parseSession } from "../internal/Session.ts"
import type { Policy } from "../Policy.ts"
import { type BackendError, RequestTimeout } from "../Reason.ts"
import * as Labels from "./Labels.ts"
import { type CallFailure, Kinds, type Metadata, type State } from "./State.ts"
import { visible } from "./template/Issue.ts"

/**
 * Something that is nobody's any more.
 *
 * @category models
 * @since 0.1.0
 */
export interface Orphan {
  readonly kind: "Cluster" | "MachineSetNode"
  /** Of a MachineSetNode, the id of its machine. */
  readonly id: string
  /** The cluster that it was made for. */
  readonly owner: string
  readonly why: string
  /** What became of it, where removal was asked for. */
  readonly removed?: true | BackendError
}

interface Account {
  readonly clusters: ReadonlySet<string>
  readonly sets: ReadonlySet<string>
  readonly inhabited: ReadonlySet<string>
  readonly machines: ReadonlySet<string>
}

/** Whether kubelayer made it in a process that is provably dead. */
const isOfDeadProcess = ({ annotations }: Metadata): Effect.Effect<boolean> => {
  const session = parseSession(annotations[Labels.session] ?? "")
  return annotations[Labels.owned] === undefined || session === undefined
    ? Effect.succeed(false)
    : ownerProcessExited(session)
}

const isCandidate = ({ labels, owner }: Metadata): boolean =>
  owner === "" && !Object.hasOwn(labels, Labels.managedByNodeController)

/** Why a node is stale for everybody; undefined where it is not. */
const whyStale = ({ labels }: Metadata, { clusters, sets }: Account): string | undefined => {
  const cluster = labels[Labels.cluster]
  const set = labels[Labels.machineSet]
  if (cluster !== undefined && !clusters.has(cluster)) return `its cluster ${visible(cluster)} is gone`
  if (cluster !== undefined && set !== undefined && !sets.has(set)) return `its machine set ${visible(set)} is gone`
  return undefined
}

const gone = (annotations: Labels.Labels): string => `the process that made it (${annotations[Labels.session]}) is gone`

const staleNode = (metadata: Metadata, account: Account): Effect.Effect<string | undefined> => {
  if (!isCandidate(metadata)) return Effect.succeed(undefined)
  const why = whyStale(metadata, account)
  if (why !== undefined || account.machines.has(metadata.id)) return Effect.succeed(why)
  return Effect.map(
    isOfDeadProcess(metadata),
    (isDead) => isDead ? `the account has no such machine, and ${gone(metadata.annotations)}` : undefined
  )
}

const staleCluster = (metadata: Metadata, account: Account): Effect.Effect<string | undefined> => {
  const isBound = metadata.annotations[Labels.bound] === "true"
  if (metadata.owner !== "" || (!isBound && account.inhabited.has(metadata.id))) return Effect.succeed(undefined)
  return Effect.map(isOfDeadProcess(metadata), (isDead) =>
    isDead
      ? `${isBound ? "it was made for a scope" : "it has no machine set"}, and ${gone(metadata.annotations)}`
      : undefined)
}

/** Looks at everything that could be stale. */
const stale = Effect.fnUntraced(function*(
  state: State,
  latest: number
): Effect.fn.Return<ReadonlyArray<Orphan>, CallFailure> {
  // What is needed is listed after what needs it: what is missing then was not only made in between.
  const nodes = yield* state.list(Kinds.MachineSetNode)
  const [sets, clusters, machines] = yield* Effect.all([
    state.list(Kinds.MachineSet),
    state.list(Kinds.Cluster),
    state.list(Kinds.MachineStatus)
  ], { concurrency: 3 })
  const account: Account = {
    clusters: new Set(clusters.map(({ metadata }) => metadata.id)),
    sets: new Set(sets.map(({ metadata }) => metadata.id)),
    inhabited: new Set(sets.flatMap(({ metadata }) => metadata.labels[Labels.cluster] ?? [])),
    machines: new Set(machines.map(({ metadata }) => metadata.id))
  }
  const isOld = ({ created }: Metadata) => Date.parse(created ?? "") <= latest
  const orphans: Array<Orphan> = []
  for (const { metadata } of clusters) {
    const why = isOld(metadata) ? yield* staleCluster(metadata, account) : undefined
    if (why !== undefined) orphans.push({ kind: "Cluster", id: metadata.id, owner: metadata.id, why })
  }
  for (const { metadata } of nodes) {
    const owner = metadata.labels[Labels.cluster] ?? ""
    // A node of a cluster that goes, goes with it.
    if (orphans.some(({ id, kind }) => kind === "Cluster" && id === owner)) continue
    const why = isOld(metadata) ? yield* staleNode(metadata, account) : undefined
    if (why !== undefined) orphans.push({ kind: "MachineSetNode", id: metadata.id, owner, why })
  }
  return orphans
})

/** Removes one. It has been gone since, or is gone now. */
const removed = (state: State, policy: Policy, orphan: Orphan): Effect.Effect<Orphan, CallFailure> =>
  (orphan.kind === "Cluster"
    ? state.teardownAndDestroy(Kinds.Cluster, orphan.id)
    : state.teardownAndDestroy(Kinds.MachineSetNode, orphan.id)).pipe(
      within(policy.nodeTimeout.delete),
      Effect.timeoutOrElse({
        duration: policy.nodeTimeout.delete,
        orElse: () =>
          failWith(
            new RequestTimeout({
              detail: `${orphan.kind} ${orphan.id} is torn down, and not gone after ${
                Duration.format(policy.nodeTimeout.delete)
              }`,
              durationMillis: Math.round(Duration.toMillis(policy.nodeTimeout.delete))
            })
          )
      }),
      Effect.as<Orphan>({ ...orphan, removed: true }),
      Effect.catchTag("BackendError", (error) => Effect.succeed<Orphan>({ ...orphan, removed: error }))
    )

/** Lists what is stale and older than an age, and removes it where `remove` is set. */
export const sweep = Effect.fnUntraced(function*(
  context: { readonly state: State; readonly policy: Effect.Effect<Policy> },
  options: { readonly olderThan: Duration.Input; readonly remove?: boolean }
): Effect.fn.Return<ReadonlyArray<Orphan>, CallFailure> {
  const { state } = context
  const policy = yield* context.policy
  const age = Duration.toMillis(Duration.fromInputUnsafe(options.olderThan))
  const look = Effect.flatMap(Clock.currentTimeMillis, (now) => stale(state, now - age))
  const orphans = yield* look
  if (options.remove !== true || orphans.length === 0) return orphans
  // Somebody may have made anew what was missing: only what is stale twice goes.
  const again = yield* look
  return yield* Effect.forEach(
    orphans.filter(({ id, kind }) => again.some((each) => each.kind === kind && each.id === id)),
    (orphan) => removed(state, policy, orphan),
    { concurrency: policy.concurrency.delete }
  )
})
