/** The quota governor: calls are spread before the bucket is empty, and what cannot be sent in time is said at once. */
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import { makeGovernor } from "../../src/hetzner/Quota.ts"
import { failure, onFake, ours, type Rig } from "./support/rig.ts"

const off = (fake: Rig["fake"], count: number) =>
  Effect.forEach(
    Array.from({ length: count }, (_, index) => index + 1),
    (number) =>
      fake.seed.server({
        name: `dev-${number}`,
        status: "off",
        labels: ours("dev", number <= 3 ? "control-plane" : "worker")
      })
  )

const refusals = (fake: Rig["fake"]) =>
  Effect.map(fake.calls, (calls) => calls.filter(({ status }) => status === 429).length)

describe("a bucket that is nearly empty", () => {
  it.live("starts 26 servers with 20 requests left without one refusal, hardly slower than the bucket fills", () =>
    onFake({ fake: { duration: "2 seconds", latency: "30 millis" } }, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        yield* off(fake, 26)
        yield* fake.quota.set({ remaining: 20 })
        const report = yield* hetzner.provider.startNodes("dev")
        assert.lengthOf(report.done, 26)
        assert.strictEqual(yield* refusals(fake), 0)
        const sent = (yield* fake.calls).length
        assert.isAtMost(report.durationMillis, 1.1 * (sent - 20) * 1000)
      })))

  it.live("that is empty already refuses once, and then no more", () =>
    onFake({ fake: { duration: "2 seconds" } }, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        yield* off(fake, 10)
        yield* fake.quota.set({ remaining: 0 })
        const report = yield* hetzner.provider.startNodes("dev")
        assert.lengthOf(report.done, 10)
        assert.isAtMost(yield* refusals(fake), 1)
      })))

  it.live("that others empty too costs refusals, and no failure", () =>
    onFake({ fake: { duration: "2 seconds" } }, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        yield* off(fake, 10)
        yield* fake.quota.set({ remaining: 15 })
        const thief = yield* Effect.forkChild(
          Effect.forever(Effect.andThen(Effect.sleep("3 seconds"), fake.quota.set({ remaining: 0 })))
        )
        assert.lengthOf((yield* hetzner.provider.startNodes("dev")).done, 10)
        yield* Fiber.interrupt(thief)
      })))

  it.live("fails at once with RateLimited where the wait would be longer than the time that is left", () =>
    onFake({}, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        yield* fake.quota.set({ remaining: 1, refillPerSecond: 1 / 600, limit: 6 })
        yield* hetzner.provider.listNodes("dev")
        const before = yield* Clock.currentTimeMillis
        const error = yield* failure(hetzner.provider.listNodes("dev"))
        if (error._tag !== "BackendError") return assert.fail(error._tag)
        assert.strictEqual(error.reason._tag, "RateLimited")
        assert.isTrue(Option.isSome(Option.fromUndefinedOr(error.reason.retryAfter)))
        assert.strictEqual(yield* Clock.currentTimeMillis, before)
        assert.lengthOf(yield* fake.calls, 1)
      })))

  it.live("is one bucket for all layers of a credential", () =>
    onFake({}, ({ another, fake, hetzner }) =>
      Effect.gen(function*() {
        assert.isTrue(Option.isNone(yield* hetzner.quota))
        yield* fake.quota.set({ remaining: 100 })
        yield* hetzner.provider.listNodes("dev")
        const told = Option.getOrUndefined(yield* another.quota)
        assert.deepInclude(told, { limit: 3600, remaining: 99 })
        assert.isAbove(told?.resetAt.epochMilliseconds ?? 0, yield* Clock.currentTimeMillis)
      })))
})

describe("the governor", () => {
  const headers = (remaining: number, limit = 3600) => ({
    "ratelimit-limit": String(limit),
    "ratelimit-remaining": String(remaining)
  })
  const withTokens = (remaining: number) =>
    Effect.gen(function*() {
      const governor = makeGovernor()
      yield* governor.take("usual", Number.POSITIVE_INFINITY)
      yield* governor.heard(headers(remaining))
      return governor
    })

  it.effect("keeps the last request for a delete, and more from those who merely watch", () =>
    Effect.gen(function*() {
      const governor = yield* withTokens(1)
      const now = yield* Clock.currentTimeMillis
      assert.strictEqual((yield* failure(governor.take("watch", now)))._tag, "BackendError")
      assert.strictEqual((yield* failure(governor.take("usual", now)))._tag, "BackendError")
      yield* governor.take("delete", now)
    }))

  it.effect("believes the API where it says less than was counted, since others spend too", () =>
    Effect.gen(function*() {
      const governor = yield* withTokens(1000)
      yield* governor.take("usual", 0)
      yield* governor.heard(headers(500))
      assert.deepInclude(yield* governor.quota, { remaining: 500 })
    }))

  it.effect("counts what is on its way, which the header does not", () =>
    Effect.gen(function*() {
      const governor = yield* withTokens(100)
      for (let i = 0; i < 10; i++) yield* governor.take("usual", 0)
      yield* governor.heard(headers(99))
      assert.deepInclude(yield* governor.quota, { remaining: 90 })
    }))

  it.effect("lets nobody wait by headers that make no sense", () =>
    Effect.gen(function*() {
      const governor = makeGovernor()
      for (const odd of [{}, headers(-1), headers(5, 0), { "ratelimit-limit": "many", "ratelimit-remaining": "" }]) {
        yield* governor.take("usual", 0)
        yield* governor.heard(odd)
      }
      assert.isUndefined(yield* governor.quota)
    }))

  it.effect("gives each caller that was refused another time to wait", () =>
    Effect.gen(function*() {
      const governor = yield* withTokens(0)
      const waits = yield* Effect.all(Array.from({ length: 10 }, () => governor.refused))
      assert.isAbove(new Set(waits).size, 1)
      assert.isTrue(waits.every((millis) => millis >= 1000 && millis <= 2000))
    }))

  it.effect("slows down polling as the bucket empties", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* (yield* withTokens(3600)).stretch, 1)
      const half = yield* (yield* withTokens(900)).stretch
      const empty = yield* (yield* withTokens(0)).stretch
      assert.isTrue(1 < half && half < empty)
    }))
})
