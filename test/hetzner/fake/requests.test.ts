/** How the fake reads requests: pages, order, selectors, credentials; and that it takes nothing that the API would not. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { aServer, type Fake, type Loose, startFake } from "./support.ts"

const names = (fake: Fake, query: string) =>
  Effect.map(fake.call("GET", `/servers?${query}`), ({ json }) => json.servers.map((one: Loose) => one.name))

describe("lists", () => {
  it.live("come by pages of 25, and of 50 at most", () =>
    Effect.gen(function*() {
      const fake = yield* startFake()
      for (let n = 0; n < 60; n++) yield* fake.seed.server({ name: `s${n}` })
      const read = (query: string) => Effect.map(fake.call("GET", `/servers${query}`), ({ json }) => json)
      const first = yield* read("")
      assert.lengthOf(first.servers, 25)
      assert.deepStrictEqual(first.meta.pagination, {
        page: 1,
        per_page: 25,
        previous_page: null,
        next_page: 2,
        last_page: 3,
        total_entries: 60
      })
      const last = yield* read("?per_page=50&page=2")
      assert.lengthOf(last.servers, 10)
      assert.deepInclude(last.meta.pagination, { previous_page: 1, next_page: null, last_page: 2 })
      assert.deepStrictEqual((yield* read("?page=9")).servers, [])
      assert.strictEqual((yield* read("?per_page=51")).error.code, "invalid_input")
    }))

  it.live("are found by name and status, and put in order", () =>
    Effect.gen(function*() {
      const fake = yield* startFake()
      yield* fake.seed.server({ name: "b", status: "off" })
      yield* fake.seed.server({ name: "a" })
      yield* fake.seed.server({ name: "c", status: "starting" })
      assert.deepStrictEqual(yield* names(fake, "name=a"), ["a"])
      assert.deepStrictEqual(yield* names(fake, "name=A"), [])
      assert.deepStrictEqual(yield* names(fake, "status=off&status=starting"), ["b", "c"])
      assert.deepStrictEqual(yield* names(fake, "sort=name"), ["a", "b", "c"])
      assert.deepStrictEqual(yield* names(fake, "sort=name:desc&sort=id"), ["c", "b", "a"])
      assert.strictEqual((yield* fake.call("GET", "/servers?sort=colour")).json.error.code, "invalid_input")
    }))
})

describe("selectors", () => {
  const cases: ReadonlyArray<readonly [selector: string, found: ReadonlyArray<string>]> = [
    ["env=prod", ["a", "b"]],
    ["env==prod,tier=1", ["a"]],
    ["env!=prod", ["c", "d"]],
    ["tier", ["a", "b"]],
    ["!tier", ["c", "d"]],
    ["tier in (1,2)", ["a", "b"]],
    ["tier in (1, 3) , env", ["a"]],
    ["env notin (prod,test)", ["d"]],
    ["k8s.io/x=", ["d"]]
  ]
  it.live.each(cases.map(([selector, found]) => ({ selector, found })))(
    "$selector",
    ({ found, selector }) =>
      Effect.gen(function*() {
        const fake = yield* startFake()
        yield* fake.seed.server({ name: "a", labels: { env: "prod", tier: "1" } })
        yield* fake.seed.server({ name: "b", labels: { env: "prod", tier: "2" } })
        yield* fake.seed.server({ name: "c", labels: { env: "test" } })
        yield* fake.seed.server({ name: "d", labels: { "k8s.io/x": "" } })
        assert.deepStrictEqual(yield* names(fake, `label_selector=${encodeURIComponent(selector)}`), found)
      })
  )

  it.live.each(["a=b c", "=x", "a in", "a in (x", "a=(b)", "a b", "", "a,,b", "é=1", "a/b/c"])(
    "no selector: %s",
    (selector) =>
      Effect.gen(function*() {
        const fake = yield* startFake()
        const { json } = yield* fake.call("GET", `/servers?label_selector=${encodeURIComponent(selector)}`)
        assert.strictEqual(json.error.code, "invalid_input")
      })
  )
})

describe("credentials", () => {
  it.live("that are unknown are refused, and read-only credentials cannot write", () =>
    Effect.gen(function*() {
      for (const [readOnlyCode, status] of [["forbidden", 403], ["token_readonly", 401]] as const) {
        const fake = yield* startFake({ readOnlyCode })
        const nobody = yield* fake.call("GET", "/servers", undefined, "fake-token-of-nobody")
        assert.deepStrictEqual([nobody.status, nobody.json.error.code], [401, "unauthorized"])
        assert.strictEqual((yield* fake.call("GET", "/servers", undefined, fake.readOnlyToken)).status, 200)
        const write = yield* fake.call("POST", "/servers", aServer("a"), fake.readOnlyToken)
        assert.deepStrictEqual([write.status, write.json.error.code], [status, readOnlyCode])
        assert.deepStrictEqual((yield* fake.calls).map(({ credential }) => credential), [
          "none",
          "read-only",
          "read-only"
        ])
        assert.notInclude(JSON.stringify(yield* fake.calls), fake.token)
      }
    }))
})

describe("an invalid request", () => {
  it.live("is refused, and kept", () =>
    Effect.gen(function*() {
      const fake = yield* startFake()
      const id = yield* fake.seed.server({ name: "a" })
      const wrong: ReadonlyArray<readonly [string, string, unknown, number, string]> = [
        ["GET", "/servers?colour=red", undefined, 422, "query.colour: is not a known query parameter"],
        ["GET", "/servers?name=a&name=b", undefined, 422, "query.name: may be given once"],
        [
          "GET",
          "/servers?status=asleep",
          undefined,
          422,
          "query.status: must be one of running, initializing, starting, stopping, off, deleting, migrating, rebuilding, unknown"
        ],
        ["GET", "/servers?page=x", undefined, 422, "query.page: must be a natural number"],
        ["POST", "/servers", aServer("b", { datacenter: "fsn1-dc14" }), 422, "body.datacenter: is not known"],
        ["POST", "/servers", aServer("b", { networks: ["1"] }), 422, "body.networks[0]: must be an integer"],
        ["POST", "/servers", { name: "b", image: "debian-12" }, 422, "body.server_type: is missing"],
        ["POST", "/servers", aServer("b", { firewalls: [{ id: 1 }] }), 422, "body.firewalls[0].id: is not known"],
        ["POST", "/servers", aServer("b", { labels: { a: 1 } }), 422, "body.labels: must be a map of strings"],
        ["POST", "/servers", "{", 400, "body: is not JSON"],
        ["POST", `/servers/${id}/actions/poweron`, { now: true }, 422, "body: there may be none"],
        ["GET", "/server", undefined, 404, "GET /server: there is no such route"],
        ["GET", "/servers/a", undefined, 404, "GET /servers/a: there is no such route"],
        ["DELETE", "/servers", undefined, 405, "DELETE /servers: there is no such route"]
      ]
      for (const [method, path, body, status, fault] of wrong) {
        yield* fake.clearCalls
        const reply = yield* fake.call(method, path, body)
        assert.deepStrictEqual([reply.status, (yield* fake.violations)[0]?.faults[0]], [status, fault])
      }
    }))

  it.live("is refused with all invalid fields together", () =>
    Effect.gen(function*() {
      const fake = yield* startFake()
      const { json } = yield* fake.call("POST", "/servers", { name: 1, image: "x", colour: "red" })
      assert.strictEqual(json.error.message, "invalid input in fields 'colour', 'name', 'server_type'")
      assert.deepStrictEqual(json.error.details.fields.map((one: Loose) => one.name), ["colour", "name", "server_type"])
    }))

  it.live("a list of all actions is refused as deprecated", () =>
    Effect.gen(function*() {
      const fake = yield* startFake()
      const { json, status } = yield* fake.call("GET", "/actions")
      assert.deepStrictEqual([status, json.error.code], [410, "deprecated_api_endpoint"])
    }))
})

describe("actions", () => {
  it.live("can be read in all four forms, and by status", () =>
    Effect.gen(function*() {
      const fake = yield* startFake({ duration: "1 second" })
      const id = yield* fake.seed.server({ name: "a" })
      const other = yield* fake.seed.server({ name: "b" })
      const action = (yield* fake.call("POST", `/servers/${id}/actions/reboot`)).json.action.id
      yield* fake.advance("1 second")
      yield* fake.call("POST", `/servers/${id}/actions/poweroff`)
      yield* fake.advance("500 millis")
      const read = (path: string) => Effect.map(fake.call("GET", path), ({ json }) => json)
      const running = (yield* read(`/servers/${id}/actions?status=running&sort=id`)).actions
      assert.deepStrictEqual(running.map((one: Loose) => [one.command, one.progress, one.finished]), [
        ["stop_server", 50, null]
      ])
      assert.strictEqual((yield* read(`/servers/${id}/actions/${action}`)).action.command, "reboot_server")
      assert.strictEqual((yield* read(`/servers/${other}/actions/${action}`)).error.code, "not_found")
      assert.strictEqual((yield* read(`/servers/actions/${action}`)).action.id, action)
      assert.strictEqual((yield* read("/servers/actions?sort=command:desc&per_page=1")).actions.length, 1)
      assert.deepStrictEqual((yield* read(`/networks/actions?id=${action}`)).actions, [])
    }))
})
