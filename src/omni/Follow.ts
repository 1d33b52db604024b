/**
 * Many who wait for something of the same stream: one listens, and all look at what has come last.
 *
 * What nodes of one operation wait for is told by one watch. It is closed with the scope.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as SubscriptionRef from "effect/SubscriptionRef"

export interface Followed<A, E> {
  /** The first thing that `f` finds in what is there now or comes later. */
  readonly until: <B>(f: (value: A) => B | undefined) => Effect.Effect<B, E>
}

type Latest<A, E> = { readonly value: A } | { readonly error: E } | undefined

export const follow = <A, E>(stream: Stream.Stream<A, E>): Effect.Effect<Followed<A, E>, never, Scope.Scope> =>
  Effect.gen(function*() {
    const latest = yield* SubscriptionRef.make<Latest<A, E>>(undefined)
    yield* Effect.forkScoped(
      Stream.runForEach(stream, (value) => SubscriptionRef.set(latest, { value })).pipe(
        Effect.catch((error) => SubscriptionRef.set(latest, { error }))
      )
    )
    return {
      until: <B>(f: (value: A) => B | undefined): Effect.Effect<B, E> =>
        SubscriptionRef.changes(latest).pipe(
          Stream.mapEffect((seen): Effect.Effect<B | undefined, E> =>
            seen === undefined
              ? Effect.succeed(undefined)
              : "error" in seen
              ? Effect.fail(seen.error)
              : Effect.sync(() => f(seen.value))
          ),
          Stream.filter((found): found is NonNullable<B> & B => found !== undefined),
          Stream.runHead,
          // A watch does not end.
          Effect.flatMap(Option.match({ onNone: () => Effect.never, onSome: Effect.succeed }))
        )
    }
  })
