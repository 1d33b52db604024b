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
import { dev, sent, watching } from "./support/simulator.ts"

describe("Memory, watchCluster", () => {
  it.effect("gives the present status, then each change, and ends when the cluster is gone", () =>
    Effect.gen(function*() {
      const memory = yield* Memory.Memory
      const { fiber, phases, seen } = yield* watching
      assert.deepStrictEqual(phases(), ["running 3/3"])
      yield* memory.setState("dev-worker", "stopped")
      yield* TestClock.adjust(0)
      // What changes nothing, and what happens elsewhere, gives nothing.
      yield* memory.setState("dev-worker", "stopped")
      yield* memory.addNode({ cluster: "prod", role: "worker" })
      yield* TestClock.adjust(0)
      yield* memory.addNode({ cluster: "dev", role: "worker" })
      yield* TestClock.adjust(0)
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

  it.effect("without a change of the cluster it reads once, and asks nothing more", () =>
    Effect.gen(function*() {
      const memory = yield* Memory.Memory
      yield* watching
      yield* memory.addNode({ cluster: "prod", role: "worker" })
      yield* TestClock.adjust("1 day")
      assert.deepStrictEqual(yield* sent, ["watch dev", "list dev"])
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
      yield* TestClock.adjust(0)
      yield* memory.clearCalls
      for (let round = 0; round < 500; round++) {
        yield* memory.setState("dev-worker", round % 2 === 0 ? "stopped" : "running")
        yield* Effect.yieldNow
      }
      yield* memory.setState("dev-worker", "failed")
      yield* memory.setState("dev-worker2", "failed")
      yield* Deferred.succeed(gate, undefined)
      yield* TestClock.adjust(0)
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
      assert.deepStrictEqual(phases(), ["running 3/3", "degraded 2/3"])
      yield* memory.setState("dev-worker", "running")
      yield* TestClock.adjust(0)
      assert.deepStrictEqual(phases(), ["running 3/3", "degraded 2/3", "running 3/3"])
      assert.strictEqual((yield* sent).filter((call) => call === "watch dev").length, 3)
    }).pipe(Effect.provide(dev("running"))))

  it.effect("ends with ProviderUnavailable when the backend goes away", () =>
    Effect.gen(function*() {
      const memory = yield* Memory.Memory
      const { fiber } = yield* watching
      yield* memory.setAvailable(false)
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
      yield* TestClock.adjust(0)
      yield* provider.startNodes("dev")
      assert.strictEqual((yield* Fiber.join(ready)).phase, "running")
      yield* provider.deleteNodes("dev")
      yield* Fiber.join(gone)
    }).pipe(Effect.provide(dev("stopped"))))
})
