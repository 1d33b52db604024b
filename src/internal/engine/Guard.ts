/**
 * Calls of a backend's members that never become defects, whatever the member does.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { InvalidClusterName, InvalidSpec, ProviderUnavailable } from "../../ProviderError.ts"
import { BackendError, InvalidResponse, RequestTimeout, UnknownError } from "../../Reason.ts"
import { Done, Outcome } from "../../Report.ts"
import { failWith } from "../Method.ts"

const wordsOf = (value: unknown): string =>
  value instanceof Error ? value.message : typeof value === "string" ? value : `a value of type ${typeof value}`

const isTyped = (error: unknown): boolean =>
  error instanceof BackendError || error instanceof ProviderUnavailable || error instanceof InvalidSpec ||
  error instanceof InvalidClusterName

/**
 * Calls a member that returns an Effect. A throw, a defect, a result of another type or an error of another type
 * becomes an `UnknownError` that names the member.
 */
export const guarded = <A, E, R>(
  member: string,
  call: () => Effect.Effect<A, E, R>
): Effect.Effect<A, E | BackendError, R> =>
  Effect.suspend((): Effect.Effect<A, E | BackendError, R> => {
    const effect = call()
    return Effect.isEffect(effect)
      ? effect
      : failWith(new UnknownError({ detail: `\`${member}\` of the backend returned no Effect but ${typeof effect}` }))
  }).pipe(
    Effect.catchDefect((defect) =>
      failWith(new UnknownError({ detail: `\`${member}\` of the backend threw: ${wordsOf(defect)}` }))
    ),
    Effect.catchIf(
      (error) => !isTyped(error),
      (error) => failWith(new UnknownError({ detail: `\`${member}\` of the backend failed: ${wordsOf(error)}` }))
    )
  )

/** The same for a read, which also ends after a time. */
export const guardedRead = <A, E>(
  member: string,
  limit: Duration.Duration,
  call: () => Effect.Effect<A, E>
): Effect.Effect<A, E | BackendError> =>
  Effect.timeoutOrElse(guarded(member, call), {
    duration: limit,
    orElse: () =>
      failWith(
        new RequestTimeout({
          detail: `\`${member}\` of the backend did not return within ${Duration.format(limit)}`,
          durationMillis: Math.round(Duration.toMillis(limit))
        })
      )
  })

/** The same for a read that returns a list. */
export const guardedList = <A, E>(
  member: string,
  limit: Duration.Duration,
  call: () => Effect.Effect<ReadonlyArray<A>, E>
): Effect.Effect<ReadonlyArray<A>, E | BackendError> =>
  Effect.flatMap(
    guardedRead(member, limit, call),
    (list) =>
      Array.isArray(list)
        ? Effect.succeed(list)
        : failWith(new InvalidResponse({ detail: `\`${member}\` of the backend returned no list but ${typeof list}` }))
  )

const isOutcome = Schema.is(Outcome)

/** Calls a member that returns what became of a node; nothing means `Done`. */
export const guardedOutcome = <E>(
  member: string,
  call: () => Effect.Effect<Outcome | void, E>
): Effect.Effect<Outcome, E | BackendError> =>
  Effect.flatMap(guarded(member, call), (outcome: unknown) =>
    outcome === undefined
      ? Effect.succeed(new Done({}))
      : isOutcome(outcome)
      ? Effect.succeed(outcome)
      : failWith(new InvalidResponse({ detail: `\`${member}\` of the backend returned no outcome` })))

/** Turns what pure members throw into an `UnknownError` of the method. */
export const withoutDefects = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E | BackendError, R> =>
  Effect.catchDefect(
    self,
    (defect) => failWith(new UnknownError({ detail: `a member of the backend threw: ${wordsOf(defect)}` }))
  )
