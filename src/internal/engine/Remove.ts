/**
 * Removes one thing and waits until it is gone.
 */
import * as Effect from "effect/Effect"
import { AlreadyDone, type Outcome, Skipped } from "../../Report.ts"
import type { AnyResource, CallFailure, Task } from "../../Resource.ts"
import { detailOf, isReason } from "../CallFailures.ts"
import { guarded, guardedOutcome } from "./Guard.ts"
import type { AnyBackend } from "./Look.ts"

/** A thing that something else removed is removed. */
export const ignoringGone = <A, R>(
  removal: Effect.Effect<A, CallFailure, R>
): Effect.Effect<A | void, CallFailure, R> =>
  Effect.catchIf(removal, (error) => isReason(error, "NotFoundError"), () => Effect.void)

/** Removes something. Gone already is `AlreadyDone`, in use is `Skipped` with the words of the backend. */
export const removeOne = <Read, Write extends Read>(
  backend: Pick<AnyBackend<Read, Write>, "read" | "write">,
  resource: AnyResource<Read, Write>,
  actual: unknown,
  task: Task
): Effect.Effect<Outcome, CallFailure> => {
  const { gone } = resource
  return guardedOutcome("remove", () => resource.remove(backend.write, actual, task)).pipe(
    Effect.tap((outcome) =>
      gone === undefined || outcome._tag === "Skipped" || outcome._tag === "Unsupported"
        ? Effect.void
        : task.waiting("it is still there", ignoringGone(guarded("gone", () => gone(backend.read, actual, task))))
    ),
    Effect.catchIf((error) => isReason(error, "NotFoundError"), () => Effect.succeed<Outcome>(new AlreadyDone({}))),
    Effect.catchIf(
      (error) => isReason(error, "InUse"),
      (error) =>
        Effect.succeed<Outcome>(
          new Skipped({ reason: detailOf(error) })
        )
    )
  )
}
