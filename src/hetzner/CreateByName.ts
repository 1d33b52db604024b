/**
 * Creates something beside what the engine creates, whatever becomes of the reply.
 *
 * Names are unique, so a request whose reply was lost is resolved by the name. Only what is absent is sent again.
 */
import * as Effect from "effect/Effect"
import { retrying } from "../Backend.ts"
import { isReason } from "../internal/CallFailures.ts"
import type { CallFailure } from "../Resource.ts"

/** Whether after such an error the API may still carry the request out, or may have done so. */
export const hasNoReply = (error: CallFailure): boolean =>
  isReason(error, "Transport", "RequestTimeout", "ServerFault", "InvalidResponse")

/** Creates it, or returns what has the name by then. */
export const createByName = <A>(
  request: Effect.Effect<A, CallFailure>,
  find: Effect.Effect<A | undefined, CallFailure>
): Effect.Effect<A, CallFailure> =>
  retrying(Effect.catchIf(
    request,
    (error) => hasNoReply(error) || isReason(error, "NameTaken"),
    (error) => Effect.flatMap(find, (found) => found === undefined ? Effect.fail(error) : Effect.succeed(found))
  ))
