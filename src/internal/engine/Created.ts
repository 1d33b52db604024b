/**
 * The things that the requests of one operation have created or may have created. They count from the moment of
 * sending, since a backend also carries out a request that no client waits for.
 */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FiberSet from "effect/FiberSet"
import type * as Scope from "effect/Scope"
import type { Subject } from "../../Progress.ts"
import { BackendError } from "../../Reason.ts"
import type { CallFailure } from "../../Resource.ts"
import type { Sender } from "./Run.ts"

export interface Created {
  /** Sends a request that is not aborted when the caller is interrupted. */
  readonly send: Sender
  /** Waits for the requests in flight. */
  readonly awaitReplies: Effect.Effect<void>
  /** Whether a request was sent that may have created something. */
  readonly isAny: () => boolean
  /** Says that what was sent for the subject creates it. */
  readonly creating: (subject: Subject) => void
  /** It was refused, or it is gone again. */
  readonly absent: (subject: Subject) => void
  /** It was seen on the backend. */
  readonly seen: (subject: Subject) => void
  /** Those whose reply did not come, and that were not seen since. They may still appear. */
  readonly pending: () => ReadonlyArray<Subject>
  /** Everything that may exist. */
  readonly all: () => ReadonlyArray<Subject>
}

const byKindAndName = ({ kind, name }: Subject) => `${kind}/${name}`

/** No reply, or one that says nothing about what was done. */
export const hasNoReply = (error: CallFailure): boolean =>
  error instanceof BackendError &&
  ["Transport", "RequestTimeout", "ServerFault", "InvalidResponse"].includes(error.reason._tag)

export const makeCreated = Effect.fnUntraced(function*(
  mayStillHappen: (error: CallFailure) => boolean
): Effect.fn.Return<Created, never, Scope.Scope> {
  const requests = yield* FiberSet.make<unknown, CallFailure>()
  const created = new Map<string, Subject>()
  const pending = new Map<string, Subject>()
  return {
    send: (subject, request) =>
      Effect.uninterruptibleMask((restore) =>
        Effect.gen(function*() {
          const open = Effect.tapError(request, (error) =>
            Effect.sync(() => {
              const key = byKindAndName(subject)
              if (mayStillHappen(error) && created.has(key)) pending.set(key, subject)
            }))
          const fiber = yield* FiberSet.run(requests, Effect.interruptible(open))
          return yield* restore(Fiber.join(fiber))
        })
      ),
    awaitReplies: FiberSet.awaitEmpty(requests),
    isAny: () => created.size > 0,
    creating: (subject) => void created.set(byKindAndName(subject), subject),
    absent: (subject) => {
      created.delete(byKindAndName(subject))
      pending.delete(byKindAndName(subject))
    },
    seen: (subject) => void pending.delete(byKindAndName(subject)),
    pending: () => [...pending.values()],
    all: () => [...created.values()]
  }
})
