/**
 * The mark of a create that has not ended: what its process leaves half-made, when it dies, is found by it.
 *
 * It stands on the first thing that a call makes of what servers share, or else on every server that it makes, and is
 * taken off when all is there. A create that finds one of another process takes it over first, so that nobody sweeps what
 * it builds upon.
 */
import * as Effect from "effect/Effect"
import type { Subject } from "../Progress.ts"
import type { CallFailure } from "./Client.ts"
import type { PlanStep, World } from "./Judge.ts"
import * as Labels from "./Labels.ts"
import type { Call } from "./Making.ts"
import * as Replies from "./Replies.ts"

/** What servers share, in the order of making. */
const sharedKinds: ReadonlyArray<Subject["kind"]> = ["network", "firewall", "placement-group"]

/** What of a plan is marked: the first that is made of what servers share, or else every server that is made. */
export const pendingOf = (steps: ReadonlyArray<PlanStep>): Call["isPending"] => {
  const marked = steps.find(({ action, kind }) => action === "create" && sharedKinds.includes(kind))
  return marked === undefined
    ? (kind) => kind === "node"
    : (kind, name) => kind === marked.kind && name === marked.name
}

/** What a create that did not end has marked, as far as this one takes it over. */
export const marksIn = (call: Call, world: World): ReadonlyArray<readonly [string, Labels.LabelMap]> =>
  ([
    ["/servers", world.servers],
    ["/networks", world.networks],
    ["/firewalls", world.firewalls],
    ["/placement_groups", world.groups]
  ] as const).flatMap(([path, all]) =>
    all.flatMap(({ id, labels }): ReadonlyArray<readonly [string, Labels.LabelMap]> =>
      labels[Labels.pending] !== undefined && call.ownership.classify(labels)?.cluster === call.plan.cluster
        ? [[`${path}/${id}`, labels]]
        : []
    )
  )

const putLabels = (
  { client, operation }: Call,
  marks: ReadonlyArray<readonly [string, Labels.LabelMap]>,
  change: (labels: Labels.LabelMap) => Labels.LabelMap
): Effect.Effect<void, CallFailure> =>
  Effect.forEach(marks, ([path, labels]) => client.put(path, { labels: change(labels) }, Replies.Anything), {
    concurrency: operation.policy.concurrency.create,
    discard: true
  })

/** From now on it is this process that the unfinished cluster waits for. */
export const claim = (call: Call, marks: ReadonlyArray<readonly [string, Labels.LabelMap]>) =>
  putLabels(call, marks, (labels) => ({ ...labels, [Labels.session]: Labels.encodeSession(call.session) }))

/** From now on the cluster is whole. */
export const unmark = (call: Call, marks: ReadonlyArray<readonly [string, Labels.LabelMap]>) =>
  putLabels(
    call,
    [...marks, ...call.pending],
    (labels) => Object.fromEntries(Object.entries(labels).filter(([key]) => key !== Labels.pending))
  )
