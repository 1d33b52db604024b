/** Waiting for actions: how often is asked, by whom, and what becomes of a poll that fails. */
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { make } from "effect/http/HttpClient"
import { fromWeb } from "effect/http/HttpClientResponse"
import { HetznerFake } from "kubelayer/testing"
import { simulated } from "kubelayer/testing/SimulatedTime"
import { over } from "./support/over.ts"
import { failure, onFake, ours } from "./support/rig.ts"

type Fake = HetznerFake.HetznerFakeService

const seed = (fake: Fake, cluster: string, count: number) =>
  Effect.forEach(
    Array.from({ length: count }, (_, index) => index),
    (index) => fake.seed.server({ name: `${cluster}-${index}`, status: "off", labels: ours(cluster, "worker") })
  )

const polls = (fake: Fake) => Effect.map(fake.calls, (calls) => calls.filter(({ path }) => path === "/actions"))

describe("polling actions", () => {
  it.live("starts after half a second, slows down to three seconds, and reads 25 actions per request", () =>
    onFake({ fake: { duration: "30 seconds" } }, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        yield* seed(fake, "dev", 30)
        const began = (yield* fake.calls).length === 0 ? 0 : -1
        yield* hetzner.provider.startNodes("dev")
        const asked = yield* polls(fake)
        const times = [...new Set(asked.map(({ at }) => at))]
        const gaps = times.slice(1).map((time, index) => time - (times[index] ?? 0))
        assert.strictEqual(began, 0)
        assert.isAtLeast((times[0] ?? 0) - ((yield* fake.calls)[0]?.at ?? 0), 500)
        assert.isAtMost(Math.max(...gaps), 3000)
        assert.isAtLeast(gaps.at(-2) ?? 0, 2900)
        for (const { query } of asked) assert.isAtMost(query.split("&").length, 25)
        assert.isAtMost(asked.length, 2 * times.length)
      })))

  it.live("is one poll for all callers of a layer", () =>
    onFake({ fake: { duration: "5 seconds" } }, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        yield* seed(fake, "a", 5)
        yield* seed(fake, "b", 5)
        yield* hetzner.provider.startNodes("a")
        const alone = (yield* polls(fake)).length
        yield* hetzner.provider.stopNodes("a")
        yield* fake.clearCalls
        yield* Effect.all([hetzner.provider.startNodes("a"), hetzner.provider.startNodes("b")], {
          concurrency: "unbounded"
        })
        assert.isAtMost((yield* polls(fake)).length, alone + 1)
      })))

  it.live("survives polls that fail: they only delay", () =>
    onFake({ fake: { duration: "3 seconds" } }, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        yield* seed(fake, "dev", 3)
        const faults = ["Page", "CutBefore", "Garble", "Refuse"] as const
        for (const fault of faults) {
          yield* fake.fault({
            on: /GET \/actions/,
            fault: fault === "Page"
              ? { _tag: fault, status: 503 }
              : fault === "Refuse"
              ? { _tag: fault, code: "unauthorized" }
              : { _tag: fault }
          })
        }
        assert.lengthOf((yield* hetzner.provider.startNodes("dev")).done, 3)
      })))

  it.live("ends with the wait: who is interrupted asks no more, and what was sent goes on", () =>
    onFake({ fake: { duration: "20 seconds" } }, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        yield* seed(fake, "a", 2)
        yield* seed(fake, "b", 2)
        const a = yield* Effect.forkChild(hetzner.provider.startNodes("a"))
        const b = yield* Effect.forkChild(hetzner.provider.startNodes("b"))
        yield* Effect.sleep("5 seconds")
        yield* Fiber.interrupt(a)
        assert.lengthOf((yield* Fiber.join(b)).done, 2)
        yield* fake.clearCalls
        yield* Effect.sleep("1 minute")
        assert.lengthOf(yield* fake.calls, 0)
        assert.deepStrictEqual((yield* fake.state).servers.map(({ status }) => status), Array(4).fill("running"))
      })))

  it.live("ends with the wait also while a poll gets no answer", () =>
    onFake({ fake: { duration: "20 seconds" } }, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        yield* seed(fake, "dev", 2)
        yield* fake.fault({ on: /GET \/actions/, times: Infinity, fault: { _tag: "HangBefore" } })
        const start = yield* Effect.forkChild(hetzner.provider.startNodes("dev"))
        yield* Effect.sleep("5 seconds")
        const before = yield* Clock.currentTimeMillis
        yield* Fiber.interrupt(start)
        assert.strictEqual(yield* Clock.currentTimeMillis, before)
      })))

  it.live("settles what the API knows no more by reading the server", () =>
    simulated(Effect.scoped(Effect.gen(function*() {
      const fake = yield* HetznerFake.make({ duration: "4 seconds" })
      const forgetful = make((request, url) =>
        url.pathname.endsWith("/actions")
          ? Effect.succeed(fromWeb(request, new Response(`{"actions":[]}`)))
          : fake.httpClient.execute(request)
      )
      const hetzner = yield* over(forgetful, { token: fake.token, endpoint: fake.endpoint })
      yield* seed(fake, "dev", 2)
      assert.lengthOf((yield* hetzner.provider.startNodes("dev")).done, 2)
      assert.lengthOf((yield* hetzner.provider.deleteNodes("dev")).done, 2)
      assert.lengthOf((yield* fake.state).servers, 0)
    }))))

  it.live("fails with the reason of the action's own code, past the node's deadline with RequestTimeout", () =>
    onFake(
      { fake: { duration: "1 second" }, policy: { nodeTimeout: { start: "30 seconds" } } },
      ({ fake, hetzner }) =>
        Effect.gen(function*() {
          yield* seed(fake, "dev", 1)
          yield* fake.failAction({
            command: "start_server",
            code: "resource_unavailable",
            message: "error during placement"
          })
          const error = yield* failure(hetzner.provider.startNodes("dev"))
          assert(error._tag === "NodesFailed")
          assert.deepStrictEqual(error.reasons.map(({ _tag, code }) => [_tag, code]), [[
            "CapacityUnavailable",
            "resource_unavailable"
          ]])
          yield* fake.takes("start_server", "1 hour")
          const late = yield* failure(hetzner.provider.startNodes("dev"))
          assert(late._tag === "NodesFailed")
          assert.deepStrictEqual(late.reasons.map(({ _tag }) => _tag), ["RequestTimeout"])
        })
    ))
})
