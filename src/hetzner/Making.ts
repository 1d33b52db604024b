/**
 * Making one thing whose name is its own, whatever becomes of the reply.
 *
 * Names are unique in a project, so a request whose reply never came is resolved by the name: what carries this call's
 * label is its own, what is the cluster's and agrees is taken, anything else is `NameTaken`. Only what is not there is
 * sent again.
 */
import * as Effect from "effect/Effect"
import type { Creation } from "../internal/Creation.ts"
import { retrying } from "../internal/Retry.ts"
import type { Made } from "../internal/Rollback.ts"
import type { Subject } from "../Progress.ts"
import { Conflict, NameTaken } from "../Reason.ts"
import type { Actions } from "./Actions.ts"
import type { CallFailure, Client } from "./Client.ts"
import { isReason } from "./Errors.ts"
import * as Labels from "./Labels.ts"
import type { Plan } from "./Plan.ts"
import type { Role } from "./Spec.ts"
import * as Wire from "./Wire.ts"

/** What one create call carries through its steps. */
export interface Call extends Creation {
  readonly client: Client
  readonly actions: Actions
  readonly plan: Plan
  readonly ownership: Labels.Ownership
  /** Whether what is made of this kind carries the mark of an unfinished create. */
  readonly isPending: (kind: Subject["kind"], name: string) => boolean
  /** What this call gave to something that was there, for a clean-up: it carries no label of its own. */
  readonly given: Set<Made>
  /** The labels of what carries that mark, by path. */
  readonly pending: Map<string, Labels.LabelMap>
}

/** Whether after such an error the API may still carry the request out, or may have done so. */
export const leavesOpen = (error: CallFailure): boolean =>
  isReason(error, "Transport", "RequestTimeout", "ServerFault", "InvalidResponse")

/** Refused as a whole for the moment, so that sending it again makes nothing twice. */
const isForTheMoment = (error: CallFailure): boolean => isReason(error, "Locked", "Conflict", "RateLimited")

/** The labels of something that this call makes, in the create call itself. */
export const labelsOfNew = (call: Call, subject: Subject, role?: Role): Record<string, string> => ({
  ...call.ownership.labelsFor(call.plan.cluster, role),
  [Labels.session]: Labels.encodeSession(call.session),
  [Labels.operation]: call.id,
  ...(call.bound ? { [Labels.bound]: "true" } : {}),
  ...(call.isPending(subject.kind, subject.name) ? { [Labels.pending]: "true" } : {})
})

export interface Told<A> {
  readonly held: A
  /** By this call. */
  readonly made: boolean
  /** Those of the reply; undefined where the reply was lost. */
  readonly actions: ReadonlyArray<Wire.Action> | undefined
}

/** Makes something, or finds what holds its name. */
export const makeNamed = <A extends Labels.Labelled>(call: Call, subject: Subject, how: {
  /** The request, sent once; gives what the reply tells. */
  readonly request: Effect.Effect<{ readonly held: A; readonly actions: ReadonlyArray<Wire.Action> }, CallFailure>
  readonly path: string
  /** What holds the name now. */
  readonly find: Effect.Effect<A | undefined, CallFailure>
  /** In what it differs from what is asked, where it is the cluster's but not of this call. */
  readonly differences: (held: A) => ReadonlyArray<string>
}): Effect.Effect<Told<A>, CallFailure> => {
  const { atLarge, making, operation, ownership, plan } = call
  const send = Effect.andThen(
    operation.emit({ _tag: "Sent", subject, call: "create" }),
    making(subject, how.request)
  ).pipe(Effect.map((told): Told<A> => ({ ...told, made: true })))

  const resolve = (error: CallFailure): Effect.Effect<Told<A>, CallFailure> =>
    Effect.flatMap(how.find, (held): Effect.Effect<Told<A>, CallFailure> => {
      if (held === undefined) {
        // Whoever held the name let go of it meanwhile.
        return Effect.fail(
          isReason(error, "NameTaken")
            ? operation.error(new Conflict({ detail: `the name ${subject.name} was held a moment ago` }), subject)
            : error
        )
      }
      atLarge.seen(subject)
      if (held.labels[Labels.operation] === call.id) return Effect.succeed({ held, made: true, actions: undefined })
      const isOurs = ownership.classify(held.labels)?.cluster === plan.cluster
      const by = Labels.holder(held.labels)
      const differing = isOurs ? how.differences(held) : []
      if (isOurs && differing.length === 0) return Effect.succeed({ held, made: false, actions: undefined })
      return Effect.fail(
        operation.error(
          new NameTaken({
            detail: `${subject.kind} ${subject.name} ${
              isOurs ? `differs from what is asked: ${differing.join(", ")}` : `is held by something else (${by})`
            }`,
            by: isOurs ? `this cluster's own ${subject.kind}` : by
          }),
          subject
        )
      )
    })

  return send.pipe(
    Effect.catchIf((error) => leavesOpen(error) || isReason(error, "NameTaken"), resolve),
    // What is refused for good is not sent again, whatever its reason says of itself.
    Effect.catch((error) => leavesOpen(error) || isForTheMoment(error) ? Effect.fail(error) : Effect.succeed(error)),
    retrying(operation.policy),
    Effect.flatMap((result) => "held" in result ? Effect.succeed(result) : Effect.fail(result)),
    Effect.tap(({ held, made }) =>
      Effect.sync(() => {
        if (made && held.labels[Labels.pending] !== undefined) call.pending.set(`${how.path}/${held.id}`, held.labels)
      })
    )
  )
}

const actionsOf = (path: string): Wire.Collection<Wire.Action> => ({
  path: `${path}/actions`,
  key: "actions",
  one: "action",
  schema: Wire.Action,
  isLabelled: false
})

/** Waits until what was made is ready. Where the reply was lost, its actions are asked for. */
export const awaitMade = <A extends Labels.Labelled>(
  call: Call,
  made: Told<A>,
  path: string,
  who: { readonly server?: string }
): Effect.Effect<void, CallFailure> =>
  Effect.flatMap(
    made.actions === undefined
      ? call.client.list(actionsOf(`${path}/${made.held.id}`), { status: "running" })
      : Effect.succeed(made.actions),
    (actions) => call.actions.await(actions, who)
  )
