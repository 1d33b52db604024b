/** Watching a simulated cluster. */
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import { awaitGone, awaitStatus } from "kubelayer/Cluster"
import * as Memory from "kubelayer/layers/Memory"
import { Provider } from "kubelayer/Provider"
import { ServerFault } from "kubelayer/Reason"
import { dev, sent, settled, watching } from "./support/simulator.ts"

describe("Memory, watchCluster", () => {
  it.effect("gives the present status, then each change, and ends when the cluster is gone", () =>
    Effect.gen(function*() {
      const memory = yield* Memory.Memory
      const { fiber, phases, seen } = yield* watching
      assert.deepStrictEqual(phases(), ["running 3/3"])
      yield* memory.setState("dev-worker", "stopped")
      yield* settled
      // Changes without effect, and changes of other clusters, emit nothing.
      yield* memory.setState("dev-worker", "stopped")
      yield* memory.addNode({ cluster: "prod", role: "worker" })
      yield* settled
      yield* memory.addNode({ cluster: "dev", role: "worker" })
      yield* settled
      assert.deepStrictEqual(phases(), ["running 3/3", "degraded 2/3", "degraded 3/4"])
      const present = yield* memory.provider.getClusterStatus("dev")
      assert.isTrue(Equal.equals(seen.at(-1), Option.getOrThrow(present)))
      yield* memory.provider.deleteNodes("dev")
      yield* Fiber.join(fiber)
      const { length } = seen
      assert.isTrue(seen.every((status, index) => index === 0 || !Equal.equals(status, seen[index - 1])))
      assert.isAtLeast(length, 3)
    }).pipe(Effect.provide(dev("running"))))

  it.effect("at rest the last status equals getClusterStatus, also when the list takes its time", () =>
    Effect.gen(function*() {
      const memory = yield* Memory.Memory
      const { seen } = yield* watching
      yield* TestClock.adjust("2 seconds")
      const start = yield* Effect.forkChild(memory.provider.startNodes("dev"))
      yield* TestClock.adjust("1 minute")
      yield* Fiber.join(start)
      yield* memory.setState("dev-worker2", "failed")
      yield* TestClock.adjust("1 minute")
      const status = yield* Effect.forkChild(memory.provider.getClusterStatus("dev"))
      yield* TestClock.adjust("1 minute")
      assert.isTrue(Equal.equals(seen.at(-1), Option.getOrThrow(yield* Fiber.join(status))))
      assert.strictEqual(seen.at(-1)?.nodesReady, 2)
    }).pipe(Effect.provide(dev("stopped", { latency: "2 seconds" }))))

  it.effect("without a change it reads once, and asks nothing more", () =>
    Effect.gen(function*() {
      yield* watching
      yield* TestClock.adjust("1 day")
      assert.deepStrictEqual(yield* sent, ["watch", "list"])
    }).pipe(Effect.provide(dev("running"))))

  it.effect("any number of watchers share one subscription, and one list a burst of changes", () =>
    Effect.gen(function*() {
      const memory = yield* Memory.Memory
      const seen: Array<string> = []
      for (const cluster of ["dev", "prod"]) {
        yield* Effect.forEach(Array.from({ length: 50 }), () =>
          memory.provider.watchCluster(cluster).pipe(
            Stream.runForEach((status) => Effect.sync(() => seen.push(`${cluster} ${status.nodesReady}`))),
            Effect.forkChild
          ))
      }
      yield* settled
      assert.deepStrictEqual(yield* sent, ["watch", "list"])
      assert.strictEqual(seen.length, 100)
      yield* memory.setState("dev-worker", "stopped")
      yield* memory.setState("dev-worker2", "stopped")
      yield* settled
      assert.deepStrictEqual(yield* sent, ["watch", "list", "list"])
      assert.deepStrictEqual(seen.slice(100), Array.from({ length: 50 }, () => "dev 1"))
    }).pipe(Effect.provide(Memory.layer({
      clusters: { dev: { controlPlanes: 1, workers: 2 }, prod: { controlPlanes: 1, workers: 0 } }
    }))))

  it.effect("gives the present status at once though the subscription never opens", () =>
    Effect.gen(function*() {
      const memory = yield* Memory.Memory
      yield* memory.setLatency({ operation: "watch", latency: "Infinity" })
      const { phases } = yield* watching
      yield* TestClock.adjust("1 second")
      yield* settled
      assert.deepStrictEqual(phases(), ["running 3/3"])
    }).pipe(Effect.provide(dev("running"))))

  it.effect("watchAllClusters gives every cluster, then the whole list at each change, and outlives the last one", () =>
    Effect.gen(function*() {
      const memory = yield* Memory.Memory
      const seen: Array<ReadonlyArray<string>> = []
      yield* memory.provider.watchAllClusters.pipe(
        Stream.runForEach((statuses) =>
          Effect.sync(() => seen.push(statuses.map(({ clusterName, phase }) => `${clusterName} ${phase}`)))
        ),
        Effect.forkChild
      )
      yield* settled
      yield* memory.addNode({ cluster: "alpha", role: "worker" })
      yield* settled
      yield* memory.provider.deleteNodes("dev")
      yield* memory.provider.deleteNodes("alpha")
      yield* settled
      assert.deepStrictEqual(seen[0], ["dev running"])
      assert.deepStrictEqual(seen[1], ["alpha running", "dev running"])
      assert.deepStrictEqual(seen.at(-1), [])
    }).pipe(Effect.provide(dev("running"))))

  it.effect("fails with ClusterNotFound where the cluster is absent at the start", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(Provider.use((provider) => Stream.runDrain(provider.watchCluster("nope"))))
      assert.strictEqual(error._tag, "ClusterNotFound")
    }).pipe(Effect.provide(dev("running"))))

  it.effect("for a slow reader the changes do not pile up, and the last one is not lost", () =>
    Effect.gen(function*() {
      const memory = yield* Memory.Memory
      const gate = yield* Deferred.make<void>()
      const seen: Array<number> = []
      yield* memory.provider.watchCluster("dev").pipe(
        Stream.runForEach((status) =>
          Effect.andThen(
            Effect.sync(() => seen.push(status.nodesReady)),
            Deferred.await(gate)
          )
        ),
        Effect.forkChild
      )
      yield* settled
      yield* memory.clearCalls
      for (let round = 0; round < 500; round++) {
        yield* memory.setState("dev-worker", round % 2 === 0 ? "stopped" : "running")
        yield* Effect.yieldNow
      }
      yield* memory.setState("dev-worker", "failed")
      yield* memory.setState("dev-worker2", "failed")
      yield* Deferred.succeed(gate, undefined)
      yield* settled
      assert.strictEqual(seen.at(-1), 1)
      assert.isAtMost((yield* sent).length, 2)
    }).pipe(Effect.provide(dev("running"))))

  it.effect("survives a cut, and reads what it missed", () =>
    Effect.gen(function*() {
      const memory = yield* Memory.Memory
      yield* memory.setLatency({ operation: "watch", latency: "5 seconds" })
      const { phases } = yield* watching
      yield* TestClock.adjust("5 seconds")
      yield* memory.failNext({ operation: "watch", reason: new ServerFault({ detail: "restarting" }) })
      yield* memory.cutWatches
      yield* memory.setState("dev-worker", "stopped")
      yield* TestClock.adjust("1 minute")
      yield* settled
      assert.deepStrictEqual(phases(), ["running 3/3", "degraded 2/3"])
      yield* memory.setState("dev-worker", "running")
      yield* settled
      assert.deepStrictEqual(phases(), ["running 3/3", "degraded 2/3", "running 3/3"])
      assert.strictEqual((yield* sent).filter((call) => call === "watch").length, 3)
    }).pipe(Effect.provide(dev("running"))))

  it.effect("ends with ProviderUnavailable when the backend has been away for Policy.idleTimeout", () =>
    Effect.gen(function*() {
      const memory = yield* Memory.Memory
      const { fiber } = yield* watching
      yield* memory.setAvailable(false)
      yield* TestClock.adjust("10 minutes")
      const error = yield* Effect.flip(Fiber.join(fiber))
      assert.strictEqual(error._tag, "ProviderUnavailable")
    }).pipe(Effect.provide(dev("running"))))

  it.effect("serves awaitStatus and awaitGone", () =>
    Effect.gen(function*() {
      const { provider } = yield* Memory.Memory
      const ready = yield* Effect.forkChild(
        awaitStatus(provider, "dev", (status) => status.ready, { timeout: "1 minute" })
      )
      const gone = yield* Effect.forkChild(awaitGone(provider, "dev", { timeout: "1 minute" }))
      yield* settled
      yield* provider.startNodes("dev")
      assert.strictEqual((yield* Fiber.join(ready)).phase, "running")
      yield* provider.deleteNodes("dev")
      yield* Fiber.join(gone)
    }).pipe(Effect.provide(dev("stopped"))))
})
