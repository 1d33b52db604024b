/**
 * Names that an engine says are taken, by something that it does not list.
 *
 * An engine holds a name from the moment that somebody asks for it, and lists what has it only when that is made; and
 * holds it still while something is removed that it lists no more. Who has it, or that it is free again, is then seen a
 * moment later.
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type { Policy } from "../Policy.ts"
import type { CallFailure } from "./Transport.ts"

/** How long a name may be held by nothing that is listed. */
const unseenFor = "10 seconds"

export class HeldUnseen extends Data.TaggedError("HeldUnseen")<{ readonly error: CallFailure }> {}

/** Does it again, at the pace of `Policy.poll`, as long as it fails with `HeldUnseen`; then fails with what that holds. */
export const untilSeen = <A, R>(
  policy: Policy,
  attempt: Effect.Effect<A, CallFailure | HeldUnseen, R>
): Effect.Effect<A, CallFailure, R> =>
  attempt.pipe(
    Effect.retry({
      while: (error) => error instanceof HeldUnseen,
      schedule: Schedule.upTo(policy.poll, { duration: unseenFor })
    }),
    Effect.catch((error) => Effect.fail(error instanceof HeldUnseen ? error.error : error))
  )
