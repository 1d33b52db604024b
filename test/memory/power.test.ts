/** Starting, stopping and deleting simulated nodes. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import * as Memory from "kubelayer/layers/Memory"
import { onEvent, Provider } from "kubelayer/Provider"
import { InvalidInput } from "kubelayer/Reason"
import { dev, outcomes, running, sent, states, stopped } from "./support/simulator.ts"

describe("Memory, start and stop", () => {
  it.effect("starts control planes before the rest, and lists once more at the end", () =>
    Effect.gen(function*() {
      const provider = yield* Provider
      const report = yield* provider.startNodes("dev")
      assert.deepStrictEqual(outcomes(report), {
        "dev-control-plane": "Done",
        "dev-worker": "Done",
        "dev-worker2": "Done"
      })
      assert.deepStrictEqual(yield* sent, [
        "list dev",
        "start dev-control-plane",
        "start dev-worker",
        "start dev-worker2",
        "list dev"
      ])
    }).pipe(Effect.provide(dev("stopped"))))

  it.effect("stops control planes last", () =>
    Effect.gen(function*() {
      yield* Provider.use((provider) => provider.stopNodes("dev"))
      assert.deepStrictEqual(yield* sent, [
        "list dev",
        "stop dev-worker",
        "stop dev-worker2",
        "stop dev-control-plane"
      ])
    }).pipe(Effect.provide(dev("running"))))

  it.effect("sends nothing for nodes that are so already", () =>
    Effect.gen(function*() {
      const provider = yield* Provider
      const report = yield* provider.stopNodes("dev")
      assert.deepStrictEqual(new Set(Object.values(outcomes(report))), new Set(["AlreadyDone"]))
      assert.deepStrictEqual(yield* sent, ["list dev"])
      yield* provider.startNodes("dev")
      assert.deepStrictEqual(
        new Set(Object.values(outcomes(yield* provider.startNodes("dev")))),
        new Set(["AlreadyDone"])
      )
    }).pipe(Effect.provide(dev("stopped"))))

  it.effect("fails with NoNodes where there are none", () =>
    Effect.gen(function*() {
      const provider = yield* Provider
      assert.strictEqual((yield* Effect.flip(provider.startNodes("nope")))._tag, "NoNodes")
      assert.strictEqual((yield* Effect.flip(provider.stopNodes("nope")))._tag, "NoNodes")
    }).pipe(Effect.provide(dev("running"))))

  it.effect("takes its latency on the Clock, a wave at a time, and shows what is worked on", () =>
    Effect.gen(function*() {
      const fiber = yield* Effect.forkChild(Provider.use((provider) => provider.startNodes("dev")))
      yield* TestClock.adjust("9 seconds")
      assert.deepStrictEqual(yield* states("dev"), {
        "dev-control-plane": "starting",
        "dev-worker": "stopped",
        "dev-worker2": "stopped"
      })
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* states("dev"), {
        "dev-control-plane": "running",
        "dev-worker": "starting",
        "dev-worker2": "starting"
      })
      yield* TestClock.adjust("10 seconds")
      const report = yield* Fiber.join(fiber)
      assert.strictEqual(report.durationMillis, 20_000)
      assert.deepStrictEqual(report.outcomes.map((node) => node.durationMillis), [10_000, 10_000, 10_000])
    }).pipe(Effect.provide(dev("stopped", { latency: { start: "10 seconds" } }))))

  it.effect("emits its progress", () =>
    Effect.gen(function*() {
      const events: Array<string> = []
      yield* Provider.use((provider) => provider.startNodes("dev")).pipe(
        onEvent((event) => Effect.sync(() => events.push(`${event._tag} ${event.subject.name}`)))
      )
      assert.deepStrictEqual(events, [
        "Scheduled dev-control-plane",
        "Scheduled dev-worker",
        "Sent dev-control-plane",
        "Settled dev-control-plane",
        "Sent dev-worker",
        "Settled dev-worker"
      ])
    }).pipe(Effect.provide(Memory.layer({ clusters: { dev: { ...stopped, workers: 1 } } }))))

  it.effect("two operations on one node follow each other", () =>
    Effect.gen(function*() {
      const provider = yield* Provider
      const stop = yield* Effect.forkChild(provider.stopNodes("dev"))
      yield* TestClock.adjust("5 seconds")
      const start = yield* Effect.forkChild(provider.startNodes("dev"))
      yield* TestClock.adjust("4 seconds")
      assert.deepStrictEqual(yield* states("dev"), { "dev-control-plane": "stopping" })
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(outcomes(yield* Fiber.join(stop)), { "dev-control-plane": "Done" })
      assert.deepStrictEqual(outcomes(yield* Fiber.join(start)), { "dev-control-plane": "Done" })
      assert.deepStrictEqual(yield* states("dev"), { "dev-control-plane": "running" })
    }).pipe(Effect.provide(Memory.layer({
      clusters: { dev: { controlPlanes: 1, workers: 0 } },
      latency: { stop: "10 seconds", start: "10 seconds" }
    }))))
})

describe("Memory, delete", () => {
  it.effect("removes nodes, then network and volume, and touches no other cluster", () =>
    Effect.gen(function*() {
      const memory = yield* Memory.Memory
      const report = yield* memory.provider.deleteNodes("dev")
      assert.deepStrictEqual(report.outcomes.map(({ kind, name, outcome }) => [kind, name, outcome._tag]), [
        ["node", "dev-control-plane", "Done"],
        ["node", "dev-worker", "Done"],
        ["node", "dev-worker2", "Done"],
        ["network", "dev-network", "Done"],
        ["volume", "dev-volume", "Done"]
      ])
      assert.deepStrictEqual((yield* memory.provider.deleteNodes("dev")).outcomes, [])
      const { nodes, resources } = yield* memory.world
      assert.deepStrictEqual(new Set([...nodes, ...resources].map((one) => one.cluster)), new Set(["dev-2"]))
    }).pipe(Effect.provide(Memory.layer({ clusters: { dev: running, "dev-2": running } }))))

  it.effect("leftovers are no cluster, and are removed where no node is left", () =>
    Effect.gen(function*() {
      const memory = yield* Memory.Memory
      yield* memory.removeNode("dev-control-plane")
      assert.deepStrictEqual(yield* memory.leftovers("dev"), [])
      yield* memory.removeNode("dev-worker")
      yield* memory.removeNode("dev-worker2")
      assert.deepStrictEqual((yield* memory.leftovers("dev")).map(({ name }) => name), ["dev-network", "dev-volume"])
      assert.strictEqual(yield* memory.provider.nodesExist("dev"), false)
      assert.deepStrictEqual(outcomes(yield* memory.provider.deleteNodes("dev")), {
        "dev-network": "Done",
        "dev-volume": "Done"
      })
      assert.deepStrictEqual(yield* memory.leftovers("dev"), [])
    }).pipe(Effect.provide(dev("running"))))

  it.effect("deleteNodes skips a resource that something unlabelled uses, and names the user", () =>
    Effect.gen(function*() {
      const memory = yield* Memory.Memory
      yield* memory.addUnlabelled({ kind: "node", name: "registry", uses: ["dev-network"] })
      const report = yield* memory.provider.deleteNodes("dev")
      assert.deepStrictEqual(report.skipped.map(({ name, problem }) => [name, problem]), [
        ["dev-network", "it is used by the unlabelled node registry"]
      ])
      yield* memory.removeUnlabelled("registry")
      assert.deepStrictEqual(outcomes(yield* memory.provider.deleteNodes("dev")), { "dev-network": "Done" })
    }).pipe(Effect.provide(dev("running"))))

  it.effect("a node that cannot be deleted keeps its network, and the next delete removes both", () =>
    Effect.gen(function*() {
      const memory = yield* Memory.Memory
      yield* memory.failNext({ operation: "delete", node: "dev-worker", reason: new InvalidInput({ detail: "no" }) })
      const error = yield* Effect.flip(memory.provider.deleteNodes("dev"))
      assert(error._tag === "NodesFailed")
      assert.deepStrictEqual(outcomes(error.report), {
        "dev-control-plane": "Done",
        "dev-worker": "Failed",
        "dev-worker2": "Done",
        "dev-network": "Skipped",
        "dev-volume": "Skipped"
      })
      yield* memory.provider.deleteNodes("dev")
      assert.deepStrictEqual(yield* memory.world, { nodes: [], resources: [], unlabelled: [] })
    }).pipe(Effect.provide(dev("running"))))
})
