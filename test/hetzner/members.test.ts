/** Ownership of servers in small and large Projects, and the number of calls that listing them takes. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { HetznerFake } from "kubelayer/testing"
import { onFake, ours } from "./support/rig.ts"

type Fake = HetznerFake.HetznerFakeService

const strangers = (fake: Fake, count: number) =>
  Effect.forEach(
    Array.from({ length: count }, (_, index) => index),
    (index) => fake.seed.server({ name: `stranger-${index}` }),
    { discard: true }
  )

const callsOf = (fake: Fake) => Effect.map(fake.calls, (calls) => calls.length)

describe("a small cluster in a large Project", () => {
  it.live("is listed by its labels, with what an autoscaler added, in as many calls as two lists have", () =>
    onFake({}, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        yield* strangers(fake, 180)
        const network = yield* fake.seed.network({ name: "dev-network", labels: ours() })
        yield* fake.seed.server({
          name: "dev-control-plane-1",
          labels: ours("dev", "control-plane"),
          networks: [network]
        })
        yield* fake.seed.server({ name: "dev-worker-1", labels: ours("dev", "worker") })
        yield* fake.seed.server({ name: "pool-1", labels: { "hcloud/node-group": "pool" }, networks: [network] })
        const expected = ["dev-control-plane-1", "dev-worker-1", "pool-1"]
        const names = Effect.map(hetzner.provider.listNodes("dev"), (nodes) => nodes.map(({ name }) => name))
        assert.deepStrictEqual(yield* names, expected)
        yield* fake.clearCalls
        assert.deepStrictEqual(yield* names, expected)
        // Two lists, and whose network it is.
        assert.strictEqual(yield* callsOf(fake), 3)
      })))

  it.live("is in the list of all clusters", () =>
    onFake({}, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        yield* strangers(fake, 120)
        yield* fake.seed.server({ name: "dev-worker-1", labels: ours("dev", "worker") })
        yield* fake.seed.server({ name: "bad", labels: { "kubelayer.cluster": "" } })
        assert.deepStrictEqual<ReadonlyArray<string>>(yield* hetzner.provider.listAllClusters, ["dev"])
        assert.isFalse(yield* hetzner.provider.nodesExist("prod"))
      })))
})

describe("a large cluster", () => {
  it.live("costs a call for fifty servers, no more", () =>
    onFake({}, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        yield* Effect.forEach(
          Array.from({ length: 260 }, (_, index) => index),
          (index) => fake.seed.server({ name: `dev-worker-${index}`, labels: ours("dev", "worker") }),
          { discard: true }
        )
        assert.lengthOf(yield* hetzner.provider.listNodes("dev"), 260)
        assert.strictEqual(yield* callsOf(fake), 6)
      })))
})
