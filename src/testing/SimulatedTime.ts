/**
 * A `TestClock` that jumps to the next moment for which a fiber waits, as soon as no fiber has anything else to do.
 *
 * It is for backends inside the process. It would jump over real input and output, so a backend behind a socket needs
 * the live clock.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Scheduler from "effect/Scheduler"
import * as TestClock from "effect/testing/TestClock"
import { isLoading } from "../internal/Loading.ts"

const turn = Effect.callback<void>((resume) => {
  const handle = setImmediate(() => resume(Effect.void))
  return Effect.sync(() => clearImmediate(handle))
})

const turns = Effect.repeat(turn, { times: 3 })

/** A scheduler that counts scheduled tasks, so that it is known whether fibers are at rest. */
const counting = (scheduler: Scheduler.Scheduler) => {
  let count = 0
  const counted: Scheduler.Scheduler = {
    executionMode: scheduler.executionMode,
    shouldYield: (fiber) => scheduler.shouldYield(fiber),
    makeDispatcher: () => {
      const dispatcher = scheduler.makeDispatcher()
      return {
        scheduleTask: (task, priority) => {
          count++
          dispatcher.scheduleTask(task, priority)
        },
        flush: () => dispatcher.flush()
      }
    }
  }
  /** Ends when some turns of the event loop have passed in which nothing was scheduled and no module was loading. */
  const rest: Effect.Effect<void> = Effect.suspend(() => {
    const before = count
    return Effect.flatMap(turns, () => before === count && !isLoading() ? Effect.void : rest)
  })
  return { counted, rest }
}

/**
 * Runs an effect to its end in simulated time, and gives its result as soon as it is there.
 *
 * @category running
 * @since 0.1.0
 */
export const simulated = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.scoped(
    Effect.gen(function*() {
      const services = yield* Layer.build(TestClock.layer())
      const testClock = Context.get(services, Clock.Clock) as TestClock.TestClock
      const wakes = new Set<{ readonly at: number }>()
      const clock: TestClock.TestClock = {
        ...testClock,
        sleep: (duration) =>
          Effect.suspend(() => {
            const wake = { at: testClock.currentTimeMillisUnsafe() + Duration.toMillis(duration) }
            wakes.add(wake)
            return Effect.ensuring(testClock.sleep(duration), Effect.sync(() => wakes.delete(wake)))
          })
      }
      const { counted, rest } = counting(Context.get(services, Scheduler.Scheduler))
      const fiber = yield* Effect.provideContext(
        Effect.forkChild(self),
        Context.make(Clock.Clock, clock).pipe(Context.add(Scheduler.Scheduler, counted))
      )
      while (fiber.pollUnsafe() === undefined) {
        yield* rest
        const next = Math.min(...Array.from(wakes, (wake) => wake.at))
        // A jittered wait ends between two milliseconds. To the next whole one, so that no rounding stops short of it.
        if (Number.isFinite(next)) yield* testClock.adjust(Math.ceil(next) - testClock.currentTimeMillisUnsafe())
      }
      return yield* Fiber.join(fiber)
    })
  )
