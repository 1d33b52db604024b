import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import { TestClock } from "effect/testing"
import * as Policy from "kubelayer/Policy"
import { ProviderUnavailable } from "kubelayer/ProviderError"
import { type BackendError, RateLimited, reasons } from "kubelayer/Reason"
import { retrying, within } from "../../src/internal/Retry.ts"
import { backendError, during, locked, refused, samples } from "./fixtures.ts"

/** A call that fails with these, in turn, and then succeeds; it keeps when it was sent. */
const calling = <E>(...failures: ReadonlyArray<E>) => {
  const sentAt: Array<number> = []
  const call = Effect.gen(function*() {
    const failure = failures[sentAt.length]
    sentAt.push(yield* Clock.currentTimeMillis)
    if (failure !== undefined) return yield* Effect.fail(failure)
    return "answer"
  })
  return { call, sentAt }
}

const every = <E>(error: E) => calling(...Array.from({ length: 100 }, () => error))

const policy = (overrides: Policy.Overrides = {}) => Policy.make({ retry: Schedule.spaced("1 second") }, overrides)

const limited = (retryAfter?: Duration.Input) =>
  backendError(
    new RateLimited({
      detail: "too many requests",
      ...(retryAfter === undefined ? {} : { retryAfterMillis: Duration.toMillis(retryAfter) })
    })
  )

describe("what is sent again", () => {
  it.effect("is a call that failed with what may pass, at the pace of the schedule", () =>
    Effect.gen(function*() {
      const { call, sentAt } = calling(locked, limited())
      const exit = yield* during("1 minute")(retrying(policy())(call))
      assert.deepStrictEqual(exit, Exit.succeed("answer"))
      assert.deepStrictEqual(sentAt, [0, 1000, 2000])
    }))

  it.effect.each(Object.values(samples))("is what the table says of $_tag", (reason) =>
    Effect.gen(function*() {
      const { call, sentAt } = every(backendError(reason))
      yield* during("1 minute")(retrying(policy({ retry: Schedule.recurs(2) }))(call))
      assert.lengthOf(sentAt, reasons[reason._tag].isRetryable ? 3 : 1)
    }))

  it.effect("is nothing that a repetition does not help", () =>
    Effect.gen(function*() {
      const { call, sentAt } = every(refused)
      assert.strictEqual(yield* Effect.flip(retrying(policy())(call)), refused)
      assert.deepStrictEqual(sentAt, [0])
    }))

  it.effect("is not a connection that could not be opened, nor an error of another kind", () =>
    Effect.gen(function*() {
      for (
        const error of [
          new ProviderUnavailable({ provider: "test", detail: "refused", advice: "start it" }),
          new Error("mine"),
          { _tag: "BackendError", isRetryable: true }
        ]
      ) {
        const { call, sentAt } = every<unknown>(error)
        assert.strictEqual(yield* Effect.flip(retrying(policy())(call)), error)
        assert.lengthOf(sentAt, 1)
      }
    }))

  it.effect("is no defect", () =>
    Effect.gen(function*() {
      let sent = 0
      const defect = new Error("a bug")
      const exit = yield* Effect.exit(
        retrying(policy())(Effect.suspend(() => {
          sent++
          return Effect.die(defect)
        }))
      )
      assert.deepStrictEqual(exit, Exit.die(defect))
      assert.strictEqual(sent, 1)
    }))
})

describe("the schedule", () => {
  it.effect("ends it, and the last error is given", () =>
    Effect.gen(function*() {
      const last = limited()
      const { call, sentAt } = calling(locked, locked, last, locked)
      const exit = yield* during("1 minute")(retrying(policy({ retry: Schedule.recurs(2) }))(call))
      assert.deepStrictEqual(exit, Exit.fail(last))
      assert.lengthOf(sentAt, 3)
    }))

  it.effect("of no repetition sends once", () =>
    Effect.gen(function*() {
      const { call, sentAt } = every(locked)
      assert.strictEqual(yield* Effect.flip(retrying(policy({ retry: Schedule.recurs(0) }))(call)), locked)
      assert.deepStrictEqual(sentAt, [0])
    }))

  it.effect("by default is bounded in count and time", () =>
    Effect.gen(function*() {
      const { call, sentAt } = every(locked)
      const exit = yield* during("1 minute")(retrying(Policy.make())(call))
      assert.isTrue(exit !== undefined && Exit.isFailure(exit))
      assert.lengthOf(sentAt, 6)
      assert.isBelow(sentAt[5] ?? Infinity, 30_000)
    }))

  it.effect("starts afresh for each run of the same effect", () =>
    Effect.gen(function*() {
      const { call, sentAt } = every(locked)
      const run = retrying(policy({ retry: Schedule.recurs(1) }))(call)
      yield* during("1 minute")(Effect.exit(run))
      yield* during("1 minute")(Effect.exit(run))
      assert.lengthOf(sentAt, 4)
    }))

  it.effect("sees the error, so that a user can choose by reason", () =>
    Effect.gen(function*() {
      const retry = Schedule.spaced("1 second").pipe(
        Schedule.setInputType<BackendError>(),
        Schedule.while(({ input }) => input.reason._tag === "Locked")
      )
      const { call, sentAt } = calling(locked, limited(), locked)
      const exit = yield* during("1 minute")(retrying(policy({ retry }))(call))
      assert.isTrue(exit !== undefined && Exit.isFailure(exit))
      assert.lengthOf(sentAt, 2)
    }))
})

describe("a wait that the backend requested", () => {
  it.effect("is kept where it is longer than the schedule's", () =>
    Effect.gen(function*() {
      const { call, sentAt } = calling(limited("5 seconds"), limited("10 millis"))
      yield* during("1 minute")(retrying(policy())(call))
      assert.deepStrictEqual(sentAt, [0, 5000, 6000])
    }))

  it.effect("that fits before the deadline is waited out", () =>
    Effect.gen(function*() {
      const { call, sentAt } = calling(limited("59 seconds"))
      const exit = yield* during("2 minutes")(retrying(policy())(call).pipe(within(Duration.minutes(1))))
      assert.deepStrictEqual(exit, Exit.succeed("answer"))
      assert.deepStrictEqual(sentAt, [0, 59_000])
    }))

  it.effect("that passes the deadline fails at once, as what it is", () =>
    Effect.gen(function*() {
      const error = limited("1 hour")
      const { call, sentAt } = every(error)
      // Nothing moves the clock: waiting would never end.
      assert.strictEqual(yield* Effect.flip(retrying(policy())(call).pipe(within(Duration.minutes(1)))), error)
      assert.deepStrictEqual(sentAt, [0])
    }))

  it.effect("is measured against the time that is left, not against the whole", () =>
    Effect.gen(function*() {
      const { call, sentAt } = every(limited("25 seconds"))
      const exit = yield* during("1 hour")(retrying(policy())(call).pipe(within(Duration.minutes(1))))
      assert.isTrue(exit !== undefined && Exit.isFailure(exit))
      assert.deepStrictEqual(sentAt, [0, 25_000, 50_000])
    }))

  it.effect("that does not fit before an outer deadline fails, however late the inner one is", () =>
    Effect.gen(function*() {
      const { call } = every(limited("1 minute"))
      const exit = yield* retrying(policy())(call).pipe(
        within(Duration.hours(1)),
        within(Duration.seconds(30)),
        Effect.exit
      )
      assert.isTrue(Exit.isFailure(exit))
    }))
})

it.effect("a schedule's own delay that passes the deadline fails at once too", () =>
  Effect.gen(function*() {
    const { call, sentAt } = every(locked)
    const slow = policy({ retry: Schedule.spaced("2 minutes") })
    assert.strictEqual(yield* Effect.flip(retrying(slow)(call).pipe(within(Duration.minutes(1)))), locked)
    assert.deepStrictEqual(sentAt, [0])
  }))

it.effect("interruption during a wait ends it at once, and nothing more is sent", () =>
  Effect.gen(function*() {
    const { call, sentAt } = every(limited("30 seconds"))
    const fiber = yield* Effect.forkChild(retrying(policy())(call))
    yield* TestClock.adjust("10 seconds")
    assert.deepStrictEqual(sentAt, [0])
    yield* Fiber.interrupt(fiber)
    yield* TestClock.adjust("1 hour")
    assert.deepStrictEqual(sentAt, [0])
  }))

describe("a call outside of a node's work", () => {
  it.effect("fails at once where it is asked to wait longer than a read may go on", () =>
    Effect.gen(function*() {
      const { call, sentAt } = calling(limited("1 hour"))
      const error = yield* Effect.flip(retrying(policy({ readTimeout: "1 minute" }))(call))
      assert.strictEqual((error as BackendError).reason._tag, "RateLimited")
      assert.deepStrictEqual(sentAt, [0])
    }))

  it.effect("waits as long as it is asked to within that time", () =>
    Effect.gen(function*() {
      const { call, sentAt } = calling(limited("50 seconds"))
      const exit = yield* during("1 minute")(retrying(policy({ readTimeout: "1 minute" }))(call))
      assert.deepStrictEqual(exit, Exit.succeed("answer"))
      assert.deepStrictEqual(sentAt, [0, 50_000])
    }))
})
