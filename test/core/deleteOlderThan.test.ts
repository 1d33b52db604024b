/** Deleting clusters by age over Memory, on a simulated clock. */
import { assert, describe, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import { TestClock } from "effect/testing"
import { deleteOlderThan, toJson } from "kubelayer/Cluster"
import * as Memory from "kubelayer/layers/Memory"
import { Provider } from "kubelayer/Provider"
import { ClustersNotDeleted, reasonsOf } from "kubelayer/ProviderError"
import { Protected } from "kubelayer/Reason"
import { exitCodeOf } from "kubelayer/Script"

const started = DateTime.makeUnsafe("2026-01-01T00:00:00Z")

/** `old-1` and `old-2` exist for two days, `young` for an hour. */
const world = <A, E>(body: (provider: Provider["Service"], memory: Memory.MemoryService) => Effect.Effect<A, E>) =>
  Effect.gen(function*() {
    yield* TestClock.setTime(started.epochMilliseconds)
    return yield* Effect.gen(function*() {
      const memory = yield* Memory.Memory
      const provider = yield* Provider
      for (const cluster of ["old-1", "old-2"]) {
        yield* memory.createNodes({ cluster, controlPlanes: 1, workers: 1 })
      }
      yield* TestClock.adjust("47 hours")
      yield* memory.createNodes({ cluster: "young", controlPlanes: 1, workers: 0 })
      // A node that is added later does not make its cluster younger.
      yield* memory.addNode({ cluster: "old-1", role: "worker" })
      yield* TestClock.adjust("1 hour")
      return yield* body(provider, memory)
    }).pipe(Effect.provide(Memory.layer()))
  })

describe("deleteOlderThan", () => {
  it.effect("deletes the clusters whose oldest node is older, and no other (U8)", () =>
    world((provider, memory) =>
      Effect.gen(function*() {
        yield* memory.clearCalls
        const deleted = yield* deleteOlderThan(provider, "1 day")
        assert.deepStrictEqual<unknown>(
          deleted.map(({ ageMillis, clusterName, createdAt, report }) => [
            clusterName,
            createdAt,
            ageMillis,
            report?.operation
          ]),
          ["old-1", "old-2"].map((name) => [name, started, 48 * 3600 * 1000, "deleteNodes"])
        )
        assert.deepStrictEqual(yield* provider.listAllClusters, ["young"] as never)
        assert.deepStrictEqual((yield* memory.world).resources.map(({ cluster }) => cluster), ["young", "young"])
      })
    ))

  it.effect("lists and deletes nothing in a dry run (U8)", () =>
    world((provider, memory) =>
      Effect.gen(function*() {
        yield* memory.clearCalls
        const found = yield* deleteOlderThan(provider, "1 day", { dryRun: true })
        assert.deepStrictEqual<unknown>(found.map(({ clusterName, report }) => [clusterName, report]), [
          ["old-1", undefined],
          ["old-2", undefined]
        ])
        const writes = (yield* memory.calls).filter(({ operation }) => operation === "delete" || operation === "stop")
        assert.deepStrictEqual(writes, [])
      })
    ))

  it.effect("keeps what `where` excludes, and a cluster that is as young as the limit", () =>
    world((provider) =>
      Effect.gen(function*() {
        const found = yield* deleteOlderThan(provider, "1 hour", {
          dryRun: true,
          where: ({ clusterName }) => clusterName !== "old-1"
        })
        assert.deepStrictEqual(found.map(({ clusterName }) => clusterName), ["old-2", "young"] as never)
        assert.deepStrictEqual(yield* deleteOlderThan(provider, "49 hours"), [])
      })
    ))

  it.effect("deletes the others where one cannot be deleted, and names it", () =>
    world((provider, memory) =>
      Effect.gen(function*() {
        const reason = new Protected({ detail: "delete protection is on" })
        yield* memory.failNext({ operation: "delete", node: "old-1-worker", reason })
        const error = yield* Effect.flip(deleteOlderThan(provider, "1 day"))
        assert.instanceOf(error, ClustersNotDeleted)
        assert.match(error.message, /^memory: 1 of 2 clusters were not deleted\n  - old-1: .*old-1-worker/s)
        assert.deepStrictEqual<unknown>(
          error.clusters.map(({ clusterName, report }) => [clusterName, report === undefined]),
          [
            ["old-1", true],
            ["old-2", false]
          ]
        )
        assert.deepStrictEqual(reasonsOf(error), [reason])
        assert.strictEqual(exitCodeOf(error), 1)
        assert.deepStrictEqual(yield* provider.listAllClusters, ["old-1", "young"] as never)
        const json = toJson(error) as { readonly clusters: ReadonlyArray<Readonly<Record<string, unknown>>> }
        assert.strictEqual(json.clusters[0]?.["createdAt"], "2026-01-01T00:00:00.000Z")
      })
    ))
})
