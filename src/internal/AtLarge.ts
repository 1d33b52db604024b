/**
 * What the requests of one create call may have made: from the moment that one is sent, for even a request that nobody
 * waits for any more is carried out by the backend.
 */
import * as Effect from "effect/Effect"
import type { Subject } from "../Progress.ts"
import type { Leftover, ProviderUnavailable } from "../ProviderError.ts"
import type { BackendError } from "../Reason.ts"
import type { Operation } from "./Operation.ts"

type CallFailure = ProviderUnavailable | BackendError

export interface AtLarge {
  readonly sending: <A>(subject: Subject, request: Effect.Effect<A, CallFailure>) => Effect.Effect<A, CallFailure>
  /** It was seen on the backend, or removed from it. */
  readonly seen: (subject: Subject) => void
  readonly removed: (subject: Subject) => void
  /** Those whose answer did not come, and that were not seen since: they may still come. */
  readonly unanswered: () => ReadonlyArray<Subject>
  /** Everything that may be there, as leftovers. */
  readonly leftovers: (operation: Operation, why: string) => ReadonlyArray<Leftover>
}

export const makeAtLarge = (rules: {
  /** Whether after such an error the backend may still carry the request out. */
  readonly leavesOpen: (error: CallFailure) => boolean
  /** Whether what was seen once may come a second time, since its request was repeated. */
  readonly mayComeAgain: (subject: Subject) => boolean
}): AtLarge => {
  const sent = new Map<string, Subject>()
  const unanswered = new Map<string, Subject>()
  const key = ({ kind, name }: Subject) => `${kind}/${name}`
  return {
    sending: (subject, request) =>
      Effect.suspend(() => {
        sent.set(key(subject), subject)
        return Effect.tapError(request, (error) =>
          Effect.sync(() => {
            if (rules.leavesOpen(error)) unanswered.set(key(subject), subject)
          }))
      }),
    seen: (subject) => {
      if (!rules.mayComeAgain(subject)) unanswered.delete(key(subject))
    },
    removed: (subject) => void sent.delete(key(subject)),
    unanswered: () => [...unanswered.values()],
    leftovers: (operation, why) =>
      [...sent.values()]
        .filter((subject) => operation.outcomeOf(subject)?._tag !== "AlreadyDone")
        .map((subject) => ({ ...subject, why }))
  }
}
