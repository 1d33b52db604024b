/**
 * The context that the kinds of one instance share, and the owner of a thing by its labels.
 *
 * Labels decide ownership. Everything that kubelayer creates carries the marks of its operation too, and the name of the
 * thing whose unfinished label speaks for the whole operation.
 */
import * as Effect from "effect/Effect"
import type { ResourceKind } from "../Reason.ts"
import type { Owner, Task, World } from "../Resource.ts"
import type { Actions } from "./Actions.ts"
import type { Biller } from "./Billing.ts"
import type { Shortages } from "./Candidates.ts"
import type { Reading } from "./Client.ts"
import type { Kinds } from "./Kinds.ts"
import * as Labels from "./Labels.ts"
import type { Pricing } from "./Prices.ts"
import type { NodeDefaults, Role } from "./Spec.ts"
import { carrierOf } from "./UnfinishedLabel.ts"

export interface Context {
  readonly client: Reading
  readonly actions: Actions
  readonly ownership: Labels.Ownership
  readonly defaults: NodeDefaults
  readonly shortages: Shortages
  /** Undefined where the pricing cannot be read. It is read once an hour. */
  readonly pricing: Effect.Effect<Pricing | undefined>
  readonly biller: Biller
  readonly kinds: () => Kinds
}

/** Whether a thing is owned by the cluster, by its labels. */
export const isOwnedBy = ({ ownership }: Pick<Context, "ownership">, labels: Labels.LabelMap, cluster: string) =>
  ownership.classify(labels)?.cluster === cluster

/** The things that can carry the unfinished label, by kind. */
const carriersIn = (kinds: Kinds, world: World): ReadonlyArray<ReadonlyArray<Labels.Labelled>> => [
  world.of(kinds.servers),
  world.of(kinds.networks),
  world.of(kinds.firewalls),
  world.of(kinds.groups),
  world.of(kinds.sshKeys),
  world.of(kinds.volumes),
  world.of(kinds.floatingIps),
  world.of(kinds.loadBalancers)
]

/** Whether the operation that created a thing has succeeded; undefined where the lists do not say it. */
const isFinished = (kinds: Kinds, { labels, name }: Labels.Labelled, world: World): boolean | undefined => {
  if (labels[Labels.pending] !== undefined) return false
  const on = labels[Labels.pendingOn]
  // The label is removed last, so one that is gone says that the operation has succeeded.
  if (on === undefined || on === name) return true
  for (const look of [world, world.earlier]) {
    for (const things of carriersIn(kinds, look)) {
      const carrier = things.find((each) =>
        each.name === on && each.labels[Labels.operation] === labels[Labels.operation]
      )
      if (carrier !== undefined) return carrier.labels[Labels.pending] === undefined
    }
  }
  return undefined
}

/** The marks in labels, beside the cluster that owns the thing. */
export const ownerOf = (
  context: Context,
  thing: Labels.Labelled,
  owner: Labels.Owner | undefined,
  world: World
): Owner | undefined => {
  if (owner === undefined || owner.cluster === "") return undefined
  const { labels } = thing
  const operation = labels[Labels.operation]
  const session = labels[Labels.session]
  const finished = operation === undefined ? undefined : isFinished(context.kinds(), thing, world)
  return {
    cluster: owner.cluster,
    ...(operation === undefined ? {} : { operation }),
    ...(session === undefined ? {} : { session: Labels.decodeSession(session) }),
    ...(labels[Labels.bound] === undefined ? {} : { bound: true }),
    ...(labels[Labels.added] === undefined ? {} : { added: true }),
    ...(finished === undefined ? {} : { isFinished: finished })
  }
}

/** The labels of something that the task creates. `isShared`: nodes and other things depend on it. */
export const labelsOfNew = (
  { ownership }: Pick<Context, "ownership">,
  task: Task,
  { isShared = false, name = task.subject.name, role }: {
    readonly isShared?: boolean
    readonly name?: string
    readonly role?: Role
  } = {}
): Effect.Effect<Record<string, string>> =>
  Effect.map(carrierOf(task, name, isShared), (carrier) => ({
    ...ownership.labelsFor(task.cluster, role),
    [Labels.session]: Labels.encodeSession(task.mark.session),
    [Labels.operation]: task.mark.operation,
    [Labels.pendingOn]: carrier,
    ...(carrier === name ? { [Labels.pending]: "true" } : {}),
    ...(task.mark.bound ? { [Labels.bound]: "true" } : {}),
    ...(task.mark.added ? { [Labels.added]: "true" } : {})
  }))

const words: { readonly [K in ResourceKind]?: string } = {
  node: "server",
  "placement-group": "placement group",
  "floating-ip": "floating IP",
  "load-balancer": "load balancer",
  "primary-ip": "primary IP",
  "ssh-key": "SSH key"
}

/** `placement group` for `placement-group`. */
const wordOf = (kind: ResourceKind): string => words[kind] ?? kind

/** The user of a name, for people: `a network of KSail cluster dev`. */
export const holderOf = (kind: ResourceKind, labels: Labels.LabelMap): string =>
  `${/^[aeiou]|^SSH/.test(wordOf(kind)) ? "an" : "a"} ${wordOf(kind)} ${Labels.holder(labels)}`

/** Why a delete leaves something in place that the cluster does not own. */
export const notOwned = (labels: Labels.LabelMap): string => `not owned by this cluster (${Labels.holder(labels)})`
