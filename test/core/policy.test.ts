import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Policy from "kubelayer/Policy"

const effective = (...beneath: ReadonlyArray<Policy.Overrides>) =>
  Effect.map(Policy.Current, (context) => Policy.make(...beneath, context))

describe("make", () => {
  it("of nothing is the defaults", () => {
    assert.deepStrictEqual(Policy.make(), Policy.defaults)
    assert.deepStrictEqual(Policy.make(undefined, {}), Policy.defaults)
  })

  it("takes every field, durations in every form", () => {
    const retry = Schedule.recurs(1)
    const poll = Schedule.spaced("1 second")
    assert.deepStrictEqual(
      Policy.make({
        retry,
        poll,
        requestTimeout: "7 seconds",
        readTimeout: "9 seconds",
        nodeTimeout: { create: 1, start: "2 millis", stop: Duration.millis(3), delete: "4 millis" },
        operationTimeout: "1 hour",
        cleanupTimeout: 5000,
        idleTimeout: "1 minute",
        concurrency: { create: 1, start: 2, stop: 3, delete: 4 }
      }),
      {
        retry,
        poll,
        requestTimeout: Duration.seconds(7),
        readTimeout: Duration.seconds(9),
        nodeTimeout: {
          create: Duration.millis(1),
          start: Duration.millis(2),
          stop: Duration.millis(3),
          delete: Duration.millis(4)
        },
        operationTimeout: Duration.hours(1),
        cleanupTimeout: Duration.seconds(5),
        idleTimeout: Duration.minutes(1),
        concurrency: { create: 1, start: 2, stop: 3, delete: 4 }
      }
    )
  })

  it("has no operation timeout by default", () => {
    assert.isFalse(Duration.isFinite(Policy.defaults.operationTimeout))
  })

  it.each([0, -3, Number.NEGATIVE_INFINITY])("never acts on %d nodes at once", (start) => {
    assert.strictEqual(Policy.make({ concurrency: { start } }).concurrency.start, 1)
  })
})

describe("the nearest wins", () => {
  const layers: ReadonlyArray<Policy.Overrides> = [
    { requestTimeout: "1 second", cleanupTimeout: "1 second", nodeTimeout: { start: "1 second", stop: "1 second" } },
    { requestTimeout: "2 seconds", nodeTimeout: { start: "2 seconds" }, concurrency: { start: 2 } }
  ]

  it.effect("defaults < backend < layer < context, field by field and deeply", () =>
    Effect.gen(function*() {
      const policy = yield* effective(...layers).pipe(
        Policy.override({ nodeTimeout: { delete: "3 seconds" }, concurrency: { stop: 3 } })
      )
      assert.deepStrictEqual(policy.requestTimeout, Duration.seconds(2))
      assert.deepStrictEqual(policy.cleanupTimeout, Duration.seconds(1))
      assert.deepStrictEqual(policy.nodeTimeout, {
        create: Policy.defaults.nodeTimeout.create,
        start: Duration.seconds(2),
        stop: Duration.seconds(1),
        delete: Duration.seconds(3)
      })
      assert.deepStrictEqual(policy.concurrency, { ...Policy.defaults.concurrency, start: 2, stop: 3 })
      assert.strictEqual(policy.retry, Policy.defaults.retry)
    }))

  it.effect("an inner override beats an outer one, and leaves the rest of it", () =>
    Effect.gen(function*() {
      const policy = yield* effective().pipe(
        Policy.override({ requestTimeout: "1 second", nodeTimeout: { start: "1 second" } }),
        Policy.override({ requestTimeout: "9 seconds", nodeTimeout: { start: "9 seconds", stop: "9 seconds" } })
      )
      assert.deepStrictEqual(policy.requestTimeout, Duration.seconds(1))
      assert.deepStrictEqual(policy.nodeTimeout.start, Duration.seconds(1))
      assert.deepStrictEqual(policy.nodeTimeout.stop, Duration.seconds(9))
    }))

  it.effect("an override ends with the effect that it is on", () =>
    Effect.gen(function*() {
      yield* Policy.override({ requestTimeout: "1 second" })(Effect.void)
      assert.deepStrictEqual(yield* Policy.Current, {})
    }))

  it("an explicit undefined hides nothing", () => {
    // As a caller without `exactOptionalPropertyTypes` may write it.
    const hidden: object = { requestTimeout: undefined, nodeTimeout: { start: undefined }, concurrency: undefined }
    assert.deepStrictEqual(Policy.make({ requestTimeout: "1 second" }, hidden), {
      ...Policy.defaults,
      requestTimeout: Duration.seconds(1)
    })
  })

  it("merging changes none of what is merged", () => {
    const outer: Policy.Overrides = Object.freeze({ nodeTimeout: Object.freeze({ start: "1 second" }) })
    Policy.merge(outer, { nodeTimeout: { stop: "2 seconds" } })
    assert.deepStrictEqual(outer, { nodeTimeout: { start: "1 second" } })
  })
})
