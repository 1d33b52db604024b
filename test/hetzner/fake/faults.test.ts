/** Tests of the fake's faults, rate limit, clock and log. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as TestClock from "effect/testing/TestClock"
import { HetznerFake } from "kubelayer/testing"
import { aServer, startFake } from "./support.ts"

describe("faults", () => {
  it.live("every code of the table, on the call that it is meant for", () =>
    Effect.gen(function*() {
      const fake = yield* startFake()
      for (const [code, status] of Object.entries(HetznerFake.statusOfCode)) {
        yield* fake.quota.set({ remaining: 100 })
        yield* fake.fault({
          fault: { _tag: "Refuse", code: code as HetznerFake.ErrorCode },
          on: /^GET \/locations/,
          after: 1
        })
        const other = yield* fake.call("GET", "/isos")
        const first = yield* fake.call("GET", "/locations")
        const second = yield* fake.call("GET", "/locations")
        const third = yield* fake.call("GET", "/locations")
        assert.deepStrictEqual([other.status, first.status, second.status], [200, 200, status])
        assert.deepStrictEqual([second.json.error.code, second.json.error.details], [code, null])
        assert.match(second.headers.get("x-correlation-id") ?? "", /^[0-9a-f]{16}$/)
        assert.strictEqual(third.status, code === "rate_limit_exceeded" ? 429 : 200)
      }
    }))

  it.live("a page of a gateway is no JSON", () =>
    Effect.gen(function*() {
      const fake = yield* startFake()
      yield* fake.fault({ fault: { _tag: "Page", status: 503 } })
      const reply = yield* fake.call("GET", "/servers")
      assert.deepStrictEqual([reply.status, reply.headers.get("content-type")], [503, "text/html"])
      assert.include(reply.text, "<html>")
      yield* fake.fault({ fault: { _tag: "Garble" } })
      assert.throws(() => JSON.parse("{\"garbled\": "))
      assert.include((yield* fake.call("GET", "/servers")).text, "garbled")
    }))

  it.live("a connection is cut before the work, or after it", () =>
    Effect.gen(function*() {
      const fake = yield* startFake()
      const undo = yield* fake.fault({ fault: { _tag: "CutBefore" }, on: /^POST/, times: Infinity })
      assert.strictEqual(yield* fake.attempt("POST", "/servers", aServer("a")), "cut")
      assert.lengthOf((yield* fake.state).servers, 0)
      yield* undo
      yield* fake.fault({ fault: { _tag: "CutAfter" }, on: ({ template }) => template === "/servers" })
      assert.strictEqual(yield* fake.attempt("POST", "/servers", aServer("a")), "cut")
      assert.lengthOf((yield* fake.state).servers, 1)
      assert.deepStrictEqual((yield* fake.calls).map(({ fault, status }) => [fault?._tag, status]), [
        ["CutBefore", undefined],
        ["CutAfter", 201]
      ])
    }))

  it.live("a hanging request gets no response after its work is done", () =>
    Effect.gen(function*() {
      const fake = yield* startFake()
      yield* fake.fault({ fault: { _tag: "HangAfter" } })
      const fiber = yield* Effect.forkChild(fake.attempt("POST", "/servers", aServer("a")))
      while ((yield* fake.state).servers.length === 0) yield* Effect.sleep(1)
      assert.isUndefined(fiber.pollUnsafe())
      yield* fake.cut
      assert.strictEqual(yield* Fiber.join(fiber), "cut")
    }))

  it.live("nobody is at the endpoint, and then it is there again", () =>
    Effect.gen(function*() {
      const fake = yield* startFake()
      yield* Effect.scoped(Effect.gen(function*() {
        yield* fake.outage
        assert.strictEqual(yield* fake.attempt("GET", "/servers"), "cut")
      }))
      assert.strictEqual((yield* fake.call("GET", "/servers")).status, 200)
    }))

  it.live("an action ends in the configured error, and the server does not change", () =>
    Effect.gen(function*() {
      const fake = yield* startFake({ duration: 0 })
      const id = yield* fake.seed.server({ name: "a", status: "off" })
      const other = yield* fake.seed.server({ name: "b", status: "off" })
      yield* fake.failAction({ command: "start_server", resource: id, code: "unknown_error", message: "locked" })
      const start = (server: number) =>
        Effect.flatMap(fake.call("POST", `/servers/${server}/actions/poweron`), ({ json }) =>
          Effect.map(fake.call("GET", `/actions/${json.action.id}`), (read) => read.json.action.error))
      assert.strictEqual(yield* start(other), null)
      assert.deepStrictEqual(yield* start(id), { code: "unknown_error", message: "locked" })
      assert.deepStrictEqual(
        (yield* fake.state).servers.map(({ status }) =>
          status
        ),
        ["off", "running"]
      )
      assert.strictEqual(yield* start(id), null)
    }))
})

describe("the bucket", () => {
  it.live("empties, refills with time, and is reported in the headers of every reply", () =>
    Effect.gen(function*() {
      const fake = yield* startFake({ quota: { limit: 10, remaining: 2, refillPerSecond: 1 } })
      const replies = yield* Effect.forEach([1, 2, 3], () => fake.call("GET", "/servers"))
      assert.deepStrictEqual(replies.map(({ status }) => status), [200, 200, 429])
      assert.strictEqual(replies[2]?.json.error.code, "rate_limit_exceeded")
      assert.deepStrictEqual(replies.map(({ headers }) => headers.get("ratelimit-remaining")), ["1", "0", "0"])
      assert.strictEqual(replies[0]?.headers.get("ratelimit-limit"), "10")
      const reset = Number(replies[2]?.headers.get("ratelimit-reset"))
      const at = (yield* fake.calls)[2]?.at ?? 0
      assert.strictEqual(reset, Math.ceil(at / 1000 + 10))
      yield* fake.advance("1 second")
      assert.strictEqual((yield* fake.call("GET", "/servers")).status, 200)
      assert.strictEqual((yield* fake.call("GET", "/servers")).status, 429)
    }))
})

describe("time", () => {
  it.effect("is the Clock's, also for the client without a socket", () =>
    Effect.gen(function*() {
      const fake = yield* HetznerFake.make({ duration: "1 hour", latency: "2 seconds" })
      const id = yield* fake.seed.server({ name: "a", status: "off" })
      const request = HttpClientRequest.post(`${fake.endpoint}/servers/${id}/actions/poweron`).pipe(
        HttpClientRequest.bearerToken(fake.token)
      )
      const fiber = yield* Effect.forkChild(
        Effect.provideService(HttpClient.execute(request), HttpClient.HttpClient, fake.httpClient)
      )
      yield* TestClock.adjust("1 second")
      assert.isUndefined(fiber.pollUnsafe())
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* Fiber.join(fiber)).status, 201)
      assert.strictEqual((yield* fake.state).servers[0]?.status, "starting")
      yield* TestClock.adjust("1 hour")
      assert.strictEqual((yield* fake.state).servers[0]?.status, "running")
      yield* fake.fault({ fault: { _tag: "CutBefore" } })
      const cut = yield* Effect.exit(
        Effect.provideService(HttpClient.execute(request), HttpClient.HttpClient, fake.httpClient)
      )
      assert.isTrue(Exit.isFailure(cut))
    }))
})

describe("the log", () => {
  it.live("has every call with what was sent and answered, and counts them", () =>
    Effect.gen(function*() {
      const fake = yield* startFake({ duration: 0 })
      const id = yield* fake.seed.server({ name: "a" })
      yield* fake.call("PUT", `/servers/${id}`, { labels: { a: "b" } })
      yield* fake.call("GET", "/servers?per_page=50&page=1")
      yield* fake.call("GET", "/servers/1")
      const [put, list, missing] = yield* fake.calls
      assert.deepInclude(put, {
        index: 1,
        method: "PUT",
        path: `/servers/${id}`,
        template: "/servers/{id}",
        status: 200
      })
      assert.deepStrictEqual(put?.body, { labels: { a: "b" } })
      assert.deepStrictEqual(list?.query, "per_page=50&page=1")
      assert.strictEqual(missing?.status, 404)
      assert.deepStrictEqual(yield* fake.counts, { "PUT /servers/{id}": 1, "GET /servers": 1, "GET /servers/{id}": 1 })
    }))
})
