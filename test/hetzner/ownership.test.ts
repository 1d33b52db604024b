/** Labels in the response decide which cluster owns a server, in small and large Projects and in every scheme. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import { decodeSession, encodeSession, selector } from "../../src/hetzner/Labels.ts"
import { bareServer, canned, over } from "./support/over.ts"
import { onFake, ours, type Rig } from "./support/rig.ts"

const names = (nodes: ReadonlyArray<{ readonly name: string }>) => nodes.map(({ name }) => name)

const crowd = (fake: Rig["fake"], count: number) =>
  Effect.forEach(
    Array.from({ length: count }, (_, index) => index),
    (index) => fake.seed.server({ name: `other-${index}`, labels: ours("other") }),
    { discard: true }
  )

describe("a cluster in a Project of many servers", () => {
  it.live("is acted on alone", () =>
    onFake({}, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        yield* crowd(fake, 60)
        const id = yield* fake.seed.server({ name: "dev-1", labels: ours("dev") })
        yield* hetzner.provider.stopNodes("dev")
        yield* hetzner.provider.deleteNodes("dev")
        assert.lengthOf((yield* fake.state).servers, 60)
        const written = (yield* fake.calls).filter(({ method }) => method !== "GET")
        assert.isTrue(written.every(({ path }) => path.startsWith(`/servers/${id}`)))
      })))
})

describe("a list of servers from the API", () => {
  it.effect("is filtered by the labels of each server, independent of the selector", () =>
    Effect.scoped(Effect.gen(function*() {
      const others = [
        bareServer(1),
        bareServer(2, { labels: { "kubelayer.cluster": "dev2" } }),
        bareServer(3, { labels: {} }),
        bareServer(4, { labels: { "ksail.owned": "true", "ksail.cluster.name": "dev" } })
      ]
      const { http, seen } = canned((request) =>
        request.startsWith("GET /servers?") ? { json: { servers: others } } : undefined
      )
      const { provider } = yield* over(http)
      assert.deepStrictEqual(names(yield* provider.listNodes("dev")), ["dev-1"])
      yield* provider.stopNodes("dev").pipe(Effect.ignore)
      assert.deepStrictEqual(
        seen.filter((request) => request.startsWith("POST")).map((request) => request.split("/")[2]).filter((id) =>
          id !== "1"
        ),
        []
      )
    })))

  it.live("of an autoscaler's server in the networks of two clusters is neither's", () =>
    onFake({}, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        const a = yield* fake.seed.network({ name: "a-network", labels: ours("a") })
        const b = yield* fake.seed.network({
          name: "b-network",
          ipRange: "10.1.0.0/16",
          subnets: [{ ipRange: "10.1.1.0/24", zone: "eu-central" }],
          labels: ours("b")
        })
        yield* fake.seed.server({ name: "pool-1", labels: { "hcloud/node-group": "pool" }, networks: [a, b] })
        assert.deepStrictEqual(yield* hetzner.provider.listNodes("a"), [])
        assert.deepStrictEqual(yield* hetzner.provider.listNodes("b"), [])
      })))

  it.live("that is named as no cluster can be is left out, with one warning", () =>
    onFake({}, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        yield* fake.seed.server({ name: "x-1", labels: { "kubelayer.cluster": "" } })
        yield* fake.seed.server({ name: "x-2", labels: ours("dev") })
        assert.deepStrictEqual<ReadonlyArray<string>>(yield* hetzner.provider.listAllClusters, ["dev"])
      })))

  it.effect("a name from outside that has letters no cluster has is warned of once", () =>
    Effect.scoped(Effect.gen(function*() {
      const warnings: Array<string> = []
      const { http } = canned(() => ({
        json: { servers: [bareServer(1), bareServer(2, { labels: { "kubelayer.cluster": "a b,c" } })] }
      }))
      const { provider } = yield* over(http)
      const logger = Logger.make(({ message }) => void warnings.push(String(message)))
      const listed = Effect.provide(provider.listAllClusters, Logger.layer([logger]))
      assert.deepStrictEqual<ReadonlyArray<string>>(yield* listed, ["dev"])
      assert.deepStrictEqual<ReadonlyArray<string>>(yield* listed, ["dev"])
      assert.lengthOf(warnings, 1)
      assert.include(warnings[0], "a b,c")
    })))
})

describe("a custom labelling", () => {
  it.live("that throws owns nothing", () =>
    onFake({
      ownership: {
        labelsFor: (cluster) => ({ mine: cluster }),
        classify: () => {
          throw new Error("of the user's own")
        }
      }
    }, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        yield* fake.seed.server({ name: "a", labels: { mine: "dev" } })
        assert.deepStrictEqual(yield* hetzner.provider.listNodes("dev"), [])
      })))
})

describe("selectors and sessions", () => {
  it("a value that would mean something to a selector selects nothing", () => {
    assert.strictEqual(selector({ a: "x", b: undefined }), "a=x,b")
    for (const odd of ["a,b", "a=b", "!a", "a in (b)", " a", "a".repeat(64), "-a"]) {
      assert.strictEqual(selector({ k: odd }), "kubelayer.cluster,!kubelayer.cluster")
      assert.strictEqual(selector({ [odd]: "v" }), "kubelayer.cluster,!kubelayer.cluster")
    }
  })

  it("a session is a label's value, and comes back as it was", () => {
    const session = "host-1.example.org/4711:1764050000000/9f3c"
    const encoded = encodeSession(session)
    assert.match(encoded, /^[A-Za-z0-9][A-Za-z0-9._-]{0,61}[A-Za-z0-9]$/)
    assert.strictEqual(decodeSession(encoded), session)
  })

  it("a session of a very long host is a label's value too, and of no host that there is", () => {
    const encoded = encodeSession(`${"h".repeat(80)}/4711:1764050000000/9f3c`)
    assert.match(encoded, /^[A-Za-z0-9][A-Za-z0-9._-]{0,61}[A-Za-z0-9]$/)
    assert.notInclude(decodeSession(encoded), "hhhhhhhh")
  })
})
