/** Reads of the client: whole lists, cut responses, entries of other owners, and data that equals the token. */
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import { transform } from "effect/http/HttpClient"
import * as Logger from "effect/Logger"
import * as Schedule from "effect/Schedule"
import { HetznerFake } from "kubelayer/testing"
import { proxyHint } from "../../src/hetzner/ProxyHint.ts"
import { isUnfinishedJson } from "../../src/hetzner/UnfinishedJson.ts"
import { bareServer, type Canned, canned, over } from "./support/over.ts"
import { failure, nodes, onFake, ours, spec } from "./support/rig.ts"

const instant = Schedule.recurs(2)
const page = (servers: ReadonlyArray<unknown>): Canned => ({ json: { servers } })

describe("a list of several pages", () => {
  /** 60 servers of `dev` behind one of another owner, which is deleted after the first page was read. */
  const shifting = <A, E>(act: Parameters<typeof onFake<A, E>>[1]) =>
    onFake({ fake: { duration: "1 second" } }, (rig) =>
      Effect.gen(function*() {
        const { fake } = rig
        const first = yield* fake.seed.server({ name: "other" })
        for (let n = 1; n <= 60; n++) {
          yield* fake.seed.server({ name: `w-${n}`, status: "off", labels: ours("dev", "worker") })
        }
        let left = 1
        const http = transform(fake.httpClient, (send, request) =>
          Effect.tap(send, () =>
            request.url.includes("page=1&") && left-- > 0 ? fake.vanish(first) : Effect.void))
        const hetzner = yield* over(http, { token: fake.token, endpoint: fake.endpoint })
        return yield* act({ ...rig, hetzner })
      }))

  it.live("startNodes starts every server although one is deleted between two pages (H9)", () =>
    shifting(({ fake, hetzner }) =>
      Effect.gen(function*() {
        const report = yield* hetzner.provider.startNodes("dev")
        assert.lengthOf(report.done, 60)
        const { servers } = yield* fake.state
        assert.deepStrictEqual(servers.filter(({ status }) => status !== "running").map(({ name }) => name), [])
      })
    ))

  it.live("listNodes, getClusterStatus and deleteNodes see every server then (H9)", () =>
    Effect.gen(function*() {
      assert.lengthOf(yield* shifting(({ hetzner }) => hetzner.provider.listNodes("dev")), 60)
      const status = yield* shifting(({ hetzner }) => hetzner.provider.getClusterStatus("dev"))
      assert.strictEqual(status._tag === "Some" ? status.value.nodesTotal : 0, 60)
      yield* shifting(({ fake, hetzner }) =>
        Effect.gen(function*() {
          yield* hetzner.provider.deleteNodes("dev")
          assert.deepStrictEqual((yield* fake.state).servers, [])
        })
      )
    }))

  it.live("is read once when no server is added or deleted", () =>
    onFake({}, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        for (let n = 1; n <= 60; n++) yield* fake.seed.server({ name: `w-${n}`, labels: ours("dev", "worker") })
        assert.lengthOf(yield* hetzner.provider.listNodes("dev"), 60)
        assert.lengthOf(yield* fake.calls, 2)
      })))

  it.live("is read at most three times when servers are added and deleted all the time", () =>
    onFake({}, ({ fake }) =>
      Effect.gen(function*() {
        for (let n = 1; n <= 60; n++) yield* fake.seed.server({ name: `w-${n}`, labels: ours("dev", "worker") })
        let n = 0
        const http = transform(
          fake.httpClient,
          (send) => Effect.tap(send, () => fake.seed.server({ name: `x-${++n}` }))
        )
        const { provider } = yield* over(http, { token: fake.token, endpoint: fake.endpoint })
        assert.lengthOf(yield* provider.listNodes("dev"), 60)
        assert.lengthOf(yield* fake.calls, 6)
      })))

  it.live("ends within readTimeout for any number of pages", () =>
    onFake(
      { policy: { readTimeout: "1 minute", requestTimeout: "30 seconds" } },
      ({ fake, hetzner }) =>
        Effect.gen(function*() {
          for (let n = 1; n <= 260; n++) yield* fake.seed.server({ name: `w-${n}`, labels: ours("dev", "worker") })
          yield* fake.latency("20 seconds")
          const before = yield* Clock.currentTimeMillis
          const error = yield* failure(hetzner.provider.listNodes("dev"))
          assert.strictEqual(error._tag === "BackendError" && error.reason._tag, "RequestTimeout")
          assert.strictEqual((yield* Clock.currentTimeMillis) - before, 60_000)
        })
    ))
})

describe("startNodes and stopNodes", () => {
  /** Adds a server of `dev` as soon as the first one has been sent a request. */
  const growing = (status: "off" | "running", act: "startNodes" | "stopNodes") =>
    onFake({ fake: { duration: "2 seconds" } }, ({ fake }) =>
      Effect.gen(function*() {
        yield* fake.seed.server({ name: "w-1", status, labels: ours("dev", "worker") })
        let left = 1
        const http = transform(fake.httpClient, (send, request) =>
          Effect.tap(send, () =>
            request.method === "POST" && left-- > 0
              ? fake.seed.server({ name: "w-2", status, labels: ours("dev", "worker") })
              : Effect.void))
        const { provider } = yield* over(http, { token: fake.token, endpoint: fake.endpoint })
        const report = yield* provider[act]("dev")
        assert.deepStrictEqual(
          report.done.map(({ name }) =>
            name
          ),
          ["w-1", "w-2"]
        )
        return (yield* fake.state).servers.map((server) => server.status)
      }))

  it.live("include a server that appears in the meantime (H9)", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* growing("off", "startNodes"), ["running", "running"])
      assert.deepStrictEqual(yield* growing("running", "stopNodes"), ["off", "off"])
    }))
})

describe("a response that stops in the middle of its JSON", () => {
  const half = (text: string) => text.slice(0, Math.floor(text.length / 2))

  it.effect("is read again like a cut connection (H16)", () =>
    Effect.scoped(Effect.gen(function*() {
      const whole = JSON.stringify({ servers: [bareServer(1)] })
      let reads = 0
      const { http, seen } = canned(() => ({ text: reads++ === 0 ? half(whole) : whole }))
      const { provider } = yield* over(http, { policy: { retry: instant } })
      assert.lengthOf(yield* provider.listNodes("dev"), 1)
      assert.lengthOf(seen, 2)
    })))

  it.live("of a create counts as a lost reply: the server is adopted and not created twice (H16)", () =>
    onFake({}, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        yield* fake.fault({ on: /^POST \/servers$/, fault: { _tag: "Garble" } })
        yield* hetzner.createNodes({ ...spec, workers: 0, nodes })
        assert.lengthOf((yield* fake.state).servers, 1)
      })))

  it("is distinguished from complete JSON and from text that is not JSON", () => {
    for (const cut of ["{", "[{\"a\": \"b", "{\"a\": {\"b\": 1}", "{\"a\": \"\\\"}", "[1,"]) {
      assert.isTrue(isUnfinishedJson(cut), cut)
    }
    for (const whole of ["", "{}", " [1, 2]\n", "{\"a\": \"{\"}", "{\"a\": \"\\\"\"}", "<html>{", "null"]) {
      assert.isFalse(isUnfinishedJson(whole), whole)
    }
  })
})

describe("an entry of another owner that cannot be read", () => {
  const good = bareServer(1)
  const odd: Readonly<Record<string, unknown>> = {
    "without labels": { id: 2, name: "x", status: "running" },
    "with null for its labels": { id: 2, name: "x", status: "running", labels: null },
    "with null for a label": { id: 2, name: "x", status: "running", labels: { team: null } },
    "with a number for its name": { id: 2, name: 7, status: "running", labels: { team: "red" } },
    "without a status": { id: 2, name: "x", labels: {} }
  }
  for (const [what, entry] of Object.entries(odd)) {
    it.effect(`${what} does not fail the list (H17)`, () =>
      Effect.scoped(Effect.gen(function*() {
        const { provider } = yield* over(canned(() => page([entry, good])).http)
        assert.deepStrictEqual((yield* provider.listNodes("dev")).map(({ name }) => name), ["dev-1"])
        assert.deepStrictEqual((yield* provider.listAllClusters).map(String), ["dev"])
      })))
  }

  it.effect("is reported once as a warning (H17)", () =>
    Effect.scoped(Effect.gen(function*() {
      const warnings: Array<string> = []
      const logger = Logger.make(({ logLevel, message }) => {
        if (logLevel === "Warn") warnings.push(String(message))
      })
      const { provider } = yield* over(canned(() => page([{ id: 77, name: 7, labels: {} }, good])).http)
      yield* Effect.provide(
        Effect.andThen(provider.listNodes("dev"), provider.listNodes("dev")),
        Logger.layer([logger])
      )
      assert.lengthOf(warnings, 1)
      assert.include(warnings[0], "server 77 cannot be read and is left out")
    })))

  it.effect("fails the list when its labels say that a cluster owns it (H17)", () =>
    Effect.scoped(Effect.gen(function*() {
      const owned = [{ "kubelayer.cluster": "dev" }, { "ksail.owned": "true", "ksail.cluster.name": "dev" }]
      for (const labels of owned) {
        const { provider } = yield* over(canned(() => page([good, { id: 2, name: 7, labels }])).http)
        const error = yield* failure(provider.listNodes("dev"))
        assert.strictEqual(error._tag === "BackendError" && error.reason._tag, "InvalidResponse")
      }
    })))
})

describe("a token that is a word of the data", () => {
  const token = "production-cluster"

  it.live("changes nothing that is read: nodes are listed and deleted (H12)", () =>
    onFake({ fake: { token } }, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        yield* fake.seed.server({ name: `${token}-1`, labels: ours(token, "control-plane") })
        yield* fake.seed.server({ name: `${token}-2`, labels: ours(token, "worker") })
        assert.lengthOf(yield* hetzner.provider.listNodes(token), 2)
        yield* hetzner.provider.deleteNodes(token)
        assert.deepStrictEqual((yield* fake.state).servers, [])
      })))

  it.live("changes no reason: a code decides as the API sent it (H12)", () =>
    Effect.gen(function*() {
      for (
        const [code, reason] of [
          ["resource_limit_exceeded", "QuotaExceeded"],
          ["deprecated_api_endpoint", "UnsupportedError"],
          ["invalid_server_type", "InvalidInput"]
        ] as const
      ) {
        yield* onFake({ fake: { token: code } }, ({ fake, hetzner }) =>
          Effect.gen(function*() {
            yield* fake.fault({ fault: { _tag: "Refuse", code } })
            const error = yield* failure(hetzner.provider.listNodes("dev"))
            if (error._tag !== "BackendError") return assert.fail(error._tag)
            assert.strictEqual(error.reason._tag, reason)
            assert.notInclude(JSON.stringify(error), code)
          }))
      }
    }))

  it.live("is shown in no message of an action that failed (H12)", () =>
    onFake({ fake: { token } }, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        yield* fake.seed.server({ name: "w-1", status: "off", labels: ours("dev", "worker") })
        yield* fake.failAction({ command: "start_server", message: `sent with ${token}` })
        assert.notInclude(JSON.stringify(yield* failure(hetzner.provider.startNodes("dev"))), token)
      })))
})

describe("the advice when a connection fails", () => {
  const hosted = "https://api.hetzner.cloud/v1"

  it("names NODE_USE_ENV_PROXY when a proxy is set and not used (H18)", () => {
    for (const name of ["HTTPS_PROXY", "https_proxy"]) {
      assert.include(proxyHint(hosted, { [name]: "http://proxy:3128" }) ?? "", `${name} is set`)
      assert.include(proxyHint(hosted, { [name]: "http://proxy:3128" }) ?? "", "NODE_USE_ENV_PROXY=1")
    }
    assert.include(proxyHint("http://10.0.0.1:80/v1", { HTTP_PROXY: "x" }) ?? "", "HTTP_PROXY is set")
  })

  it("names no proxy that is used, is exempt for the host, or is for another protocol (H18)", () => {
    const quiet = [
      {},
      { HTTPS_PROXY: "" },
      { HTTP_PROXY: "x" },
      { HTTPS_PROXY: "x", NODE_USE_ENV_PROXY: "1" },
      { HTTPS_PROXY: "x", NO_PROXY: "example.com, .hetzner.cloud" },
      { HTTPS_PROXY: "x", no_proxy: "*" },
      { HTTPS_PROXY: "x", NO_PROXY: "api.hetzner.cloud:443" }
    ]
    for (const env of quiet) assert.isUndefined(proxyHint(hosted, env), JSON.stringify(env))
    assert.isDefined(proxyHint(hosted, { HTTPS_PROXY: "x", NO_PROXY: "cloud.example" }))
  })

  it.live("is part of ProviderUnavailable (H18)", () =>
    Effect.scoped(Effect.gen(function*() {
      const fake = yield* HetznerFake.make()
      yield* fake.outage
      const before = process.env["HTTP_PROXY"]
      process.env["HTTP_PROXY"] = "http://127.0.0.1:9"
      const { provider } = yield* over(fake.httpClient, { token: fake.token, endpoint: "http://127.0.0.1:9/v1" })
      const error = yield* Effect.ensuring(
        failure(provider.checkAvailable),
        Effect.sync(() => {
          if (before === undefined) delete process.env["HTTP_PROXY"]
          else process.env["HTTP_PROXY"] = before
        })
      )
      assert.include(error.advice, "NODE_USE_ENV_PROXY=1")
    })))
})
