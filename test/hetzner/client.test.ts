/** How requests go: again where that is safe, to the last page, and read leniently. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import { override } from "kubelayer/Policy"
import { HetznerFake } from "kubelayer/testing"
import { bareServer, type Canned, canned, over } from "./support/over.ts"
import { failure, onFake, ours } from "./support/rig.ts"

const page = (servers: ReadonlyArray<unknown>): Canned => ({ json: { servers } })

describe("a read", () => {
  const harmless: ReadonlyArray<readonly [what: string, fault: HetznerFake.Fault, times?: number]> = [
    ["503 with a page of a proxy", { _tag: "Page", status: 503 }],
    ["502", { _tag: "Page", status: 502 }],
    ["a timeout of the API", { _tag: "Refuse", code: "timeout" }],
    ["a fault of the API", { _tag: "Refuse", code: "server_error" }],
    ["a conflict", { _tag: "Refuse", code: "conflict" }],
    ["a connection that is cut before", { _tag: "CutBefore" }],
    ["a connection that is cut after", { _tag: "CutAfter" }],
    ["a connection on which nothing comes", { _tag: "HangBefore" }, 1],
    ["a refusal for the quota", { _tag: "Refuse", code: "rate_limit_exceeded" }]
  ]
  for (const [what, fault, times = 2] of harmless) {
    it.live(`is sent again after ${what}`, () =>
      onFake({}, ({ fake, hetzner }) =>
        Effect.gen(function*() {
          yield* fake.seed.server({ name: "dev-1", labels: ours() })
          yield* fake.fault({ fault, times })
          assert.lengthOf(yield* hetzner.provider.listNodes("dev"), 1)
          assert.lengthOf(yield* fake.calls, times + 1)
        })))
  }

  it.live("is not sent again when the policy forbids it or the error is permanent", () =>
    onFake({}, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        yield* fake.fault({ fault: { _tag: "Page", status: 503 } })
        const error = yield* failure(
          hetzner.provider.listNodes("dev").pipe(override({ retry: Schedule.recurs(0) }))
        )
        assert.strictEqual(error._tag === "BackendError" && error.reason._tag, "ServerFault")
        yield* fake.fault({ fault: { _tag: "Refuse", code: "invalid_input" } })
        yield* failure(hetzner.provider.listNodes("dev"))
        assert.lengthOf(yield* fake.calls, 2)
      })))

  it.live("reports the API's message and correlation id when every attempt fails", () =>
    onFake({}, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        yield* fake.fault({ fault: { _tag: "Refuse", code: "unavailable", message: "down for an hour" }, times: 100 })
        const error = yield* failure(hetzner.provider.nodesExist("dev"))
        const last = (yield* fake.calls).at(-1)
        if (error._tag !== "BackendError") return assert.fail(error._tag)
        assert.deepInclude(error.reason, {
          _tag: "ServerFault",
          code: "unavailable",
          status: 503,
          detail: "down for an hour",
          correlationId: last?.correlationId ?? ""
        })
        assert.deepInclude(error, { provider: "hetzner", operation: "nodesExist", clusterName: "dev" })
      })))

  it.effect("of a text that is no JSON is InvalidResponse, and the error shows its beginning", () =>
    Effect.scoped(Effect.gen(function*() {
      const { provider } = yield* over(canned(() => ({ text: "<html>not the API</html>" })).http)
      const error = yield* failure(provider.listNodes("dev"))
      assert.strictEqual(error._tag === "BackendError" && error.reason._tag, "InvalidResponse")
      assert.include(error.message, "GET /servers")
      assert.include(error.message, "not the API")
    })))

  it.live("that is interrupted sends nothing more", () =>
    onFake({}, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        yield* fake.fault({ fault: { _tag: "Page", status: 503 }, times: 100 })
        const fiber = yield* Effect.forkChild(hetzner.provider.listNodes("dev"))
        yield* Effect.sleep("300 millis")
        yield* Fiber.interrupt(fiber)
        const sent = (yield* fake.calls).length
        yield* Effect.sleep("1 hour")
        assert.lengthOf(yield* fake.calls, sent)
      })))

  it.live("in an outage does not multiply calls without end: what all may send again is bounded", () =>
    onFake({ fake: { quota: { limit: 36_000 } } }, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        yield* fake.fault({ fault: { _tag: "Page", status: 503 }, times: 10_000 })
        yield* Effect.forEach(Array.from({ length: 100 }), () => Effect.ignore(hetzner.provider.listNodes("dev")), {
          concurrency: "unbounded"
        })
        // Each alone would be sent six times.
        assert.isBelow((yield* fake.calls).length, 200)
      })))
})

describe("a list", () => {
  it.live("has every page, in so many calls", () =>
    onFake({}, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        for (let i = 1; i <= 120; i++) yield* fake.seed.server({ name: `dev-${i}`, labels: ours() })
        const nodes = yield* hetzner.provider.listNodes("dev")
        assert.lengthOf(nodes, 120)
        assert.lengthOf(yield* fake.calls, 3)
        assert.deepStrictEqual(nodes.slice(0, 2).map(({ name }) => name), ["dev-1", "dev-2"])
      })))

  const listed = (answer: (request: string) => Canned | undefined) =>
    Effect.scoped(Effect.gen(function*() {
      const { http, seen } = canned(answer)
      const { provider } = yield* over(http)
      return { nodes: yield* provider.listNodes("dev"), seen }
    }))

  it.effect("reads a server with no more than its name, its status and its labels", () =>
    Effect.gen(function*() {
      const { nodes } = yield* listed(() => page([bareServer(1)]))
      assert.deepStrictEqual(nodes.map(({ name, state }) => [name, state]), [["dev-1", "running"]])
    }))

  it.effect("reads what is null, what is new, and words that nobody knows", () =>
    Effect.gen(function*() {
      const odd = {
        status: "hibernating",
        created: "yesterday",
        public_net: { ipv4: null, ipv6: null, ipv7: {} },
        private_net: null,
        server_type: null,
        location: null,
        quantum: { spin: 1 }
      }
      const { nodes } = yield* listed(() => page([bareServer(1, odd)]))
      assert.deepStrictEqual(nodes.map(({ rawState, state }) => [state, rawState]), [["unknown", "hibernating"]])
    }))

  it.effect("ends where the API names a page that was read already", () =>
    Effect.gen(function*() {
      const meta = { pagination: { page: 3, per_page: 25, previous_page: 2, next_page: 1, last_page: 4 } }
      const { nodes, seen } = yield* listed(() => ({ json: { servers: [bareServer(1)], meta } }))
      assert.lengthOf(nodes, 1)
      assert.lengthOf(seen, 1)
    }))

  it.effect("returns a server once when it is on two pages because an earlier server was deleted", () =>
    Effect.gen(function*() {
      const { nodes } = yield* listed((request) =>
        request.includes("page=1&")
          ? { json: { servers: [bareServer(1), bareServer(2)], meta: { pagination: { next_page: 2 } } } }
          : page([bareServer(2), bareServer(3)])
      )
      assert.deepStrictEqual(nodes.map(({ name }) => name), ["dev-1", "dev-2", "dev-3"])
    }))

  it.effect("of which a field is of another type is InvalidResponse, not a defect", () =>
    Effect.gen(function*() {
      const error = yield* failure(listed(() => page([{ ...bareServer(1), name: 42 }])))
      assert.strictEqual(error._tag === "BackendError" && error.reason._tag, "InvalidResponse")
    }))
})

describe("a delete", () => {
  for (const status of [200, 201, 202, 204]) {
    it.effect(`that is answered by ${status} was done`, () =>
      Effect.scoped(Effect.gen(function*() {
        let there = true
        const { http } = canned((request) => {
          if (request.startsWith("DELETE /servers/1")) {
            there = false
            return { status, json: { action: { id: 9, command: "delete_server", status: "success" } } }
          }
          const [, kind = ""] = /^GET \/([a-z_]+)/.exec(request) ?? []
          return kind === "servers" ? page(there ? [bareServer(1)] : []) : { json: { [kind]: [] } }
        })
        const { provider } = yield* over(http)
        const report = yield* provider.deleteNodes("dev")
        assert.deepStrictEqual(report.outcomes.map(({ outcome }) => outcome._tag), ["Done"])
      })))
  }
})
