/**
 * Keeps the latest value of a stream, so that the nodes of an operation wait on one watch.
 *
 * The stream is closed with the scope.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as SubscriptionRef from "effect/SubscriptionRef"

export interface Latest<A, E> {
  /** Returns the first result of `f` that is not `undefined`, for the present value or a later one. */
  readonly until: <B>(f: (value: A) => B | undefined) => Effect.Effect<B, E>
}

type Value<A, E> = { readonly value: A } | { readonly error: E } | undefined

export const latest = <A, E>(stream: Stream.Stream<A, E>): Effect.Effect<Latest<A, E>, never, Scope.Scope> =>
  Effect.gen(function*() {
    const ref = yield* SubscriptionRef.make<Value<A, E>>(undefined)
    yield* Effect.forkScoped(
      Stream.runForEach(stream, (value) => SubscriptionRef.set(ref, { value })).pipe(
        Effect.catch((error) => SubscriptionRef.set(ref, { error }))
      )
    )
    return {
      until: <B>(f: (value: A) => B | undefined): Effect.Effect<B, E> =>
        SubscriptionRef.changes(ref).pipe(
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
