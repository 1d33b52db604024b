/**
 * The one layer of retries, and the deadline that it respects.
 *
 * A call is sent again if the caller of `retrying` says that it is safe, the reason is retryable, and the schedule
 * continues. The wait must end before the deadline of the node.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Pull from "effect/Pull"
import * as Schedule from "effect/Schedule"
import * as Metrics from "../Metrics.ts"
import type { Policy } from "../Policy.ts"
import { BackendError } from "../Reason.ts"
import { count } from "./Meter.ts"
import { CurrentAttempt, CurrentMethod } from "./Method.ts"

/** When the work of this fiber has to be settled, in milliseconds of the Clock. */
const Deadline = Context.Reference<number>("kubelayer/internal/Deadline", {
  defaultValue: () => Number.POSITIVE_INFINITY
})

/** Sets the deadline of what is inside, unless an earlier one holds already. */
export const within = (duration: Duration.Duration) => <A, E, R>(self: Effect.Effect<A, E, R>) =>
  Effect.flatMap(
    Clock.currentTimeMillis,
    (now) => Effect.updateService(self, Deadline, (outer) => Math.min(outer, now + Duration.toMillis(duration)))
  )

/** Until when something may wait, in milliseconds of the Clock: the deadline of the node, or else of a read. */
export const latest = (policy: Policy): Effect.Effect<number> =>
  Effect.flatMap(Deadline, (deadline) =>
    Number.isFinite(deadline)
      ? Effect.succeed(deadline)
      : Effect.map(Clock.currentTimeMillis, (now) => now + Duration.toMillis(policy.readTimeout)))

const wait = (error: BackendError, delay: Duration.Duration): number =>
  Math.max(Duration.toMillis(delay), Duration.toMillis(error.reason.retryAfter ?? Duration.zero))

/**
 * Sends a call again as `policy.retry` says. The delay is the larger of the schedule and the wait that the backend
 * requested. If it ends after the deadline, the call fails at once.
 */
export const retrying = (policy: Policy) => <A, E, R>(call: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.gen(function*() {
    // Outside of a node's work, such as in a list, nobody else bounds the retries.
    const deadline = yield* latest(policy)
    const step = yield* Schedule.toStep(policy.retry)
    const current = yield* CurrentMethod
    for (let attempt = 0;; attempt++) {
      const result = yield* Effect.result(Effect.provideService(call, CurrentAttempt, attempt))
      if (result._tag === "Success") return result.success
      const error = result.failure
      if (!(error instanceof BackendError) || !error.isRetryable) return yield* Effect.fail(error)
      const now = yield* Clock.currentTimeMillis
      const delay = yield* step(now, error).pipe(
        Effect.map(([, delay]) => wait(error, delay)),
        Pull.catchDone(() => Effect.succeed(Number.POSITIVE_INFINITY))
      )
      if (delay === Number.POSITIVE_INFINITY || now + delay > deadline) return yield* Effect.fail(error)
      yield* count(Metrics.retries, current, { reason: error.reason._tag })
      yield* Effect.sleep(delay)
    }
  })
