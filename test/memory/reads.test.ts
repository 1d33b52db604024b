/** The reads of a simulated backend, and the services of its layers. */
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as Memory from "kubelayer/layers/Memory"
import { layerFrom, NodeCreator, Provider } from "kubelayer/Provider"
import { dev, running, sent } from "./support/simulator.ts"

describe("Memory, reads", () => {
  it.effect("lists the seeded nodes, control planes first, and derives the rest from them", () =>
    Effect.gen(function*() {
      const provider = yield* Provider
      const nodes = yield* provider.listNodes("dev")
      assert.deepStrictEqual(nodes.map(({ name, role, state }) => [name, role, state]), [
        ["dev-control-plane", "control-plane", "running"],
        ["dev-control-plane2", "control-plane", "running"],
        ["dev-worker", "worker", "running"],
        ["dev-external-load-balancer", "load-balancer", "running"]
      ])
      assert.deepStrictEqual(new Set(nodes.flatMap((node) => node.addresses.private)).size, 4)
      const status = Option.getOrThrow(yield* provider.getClusterStatus("dev"))
      assert.deepStrictEqual([status.phase, status.ready, status.nodesTotal], ["running", true, 4])
      assert.deepStrictEqual(yield* provider.listAllClusters, ["dev", "prod"] as ReadonlyArray<string>)
      assert.strictEqual(yield* provider.nodesExist("dev"), true)
      assert.strictEqual(yield* provider.nodesExist("nope"), false)
      assert.isTrue(Option.isNone(yield* provider.getClusterStatus("nope")))
    }).pipe(Effect.provide(Memory.layer({
      clusters: { prod: running, dev: { controlPlanes: 2, workers: 1, loadBalancers: 1 } }
    }))))

  it.effect("leaves a cluster whose name cannot be referred to out of the list", () =>
    Effect.gen(function*() {
      const memory = yield* Memory.Memory
      yield* memory.addNode({ cluster: "no such; name", role: "worker" })
      assert.deepStrictEqual(yield* memory.provider.listAllClusters, ["dev"] as ReadonlyArray<string>)
    }).pipe(Effect.provide(dev("running"))))

  it.effect("refuses seeds that cannot be, all faults at once", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(Layer.build(Memory.layer({
        clusters: { "Not this": running, dev: { controlPlanes: 0, workers: -1 } }
      })))
      assert.deepStrictEqual(error.issues.map(({ path }) => path), [
        "clusters.Not this",
        "clusters.dev.controlPlanes",
        "clusters.dev.workers"
      ])
    }))

  it.effect("sends no call for a name that is refused", () =>
    Effect.gen(function*() {
      const provider = yield* Provider
      const error = yield* Effect.flip(provider.listNodes("dev,prod"))
      assert.strictEqual(error._tag, "InvalidClusterName")
      assert.strictEqual(
        (yield* Effect.flip(Stream.runDrain(provider.watchCluster("a b"))))._tag,
        "InvalidClusterName"
      )
      assert.deepStrictEqual(yield* sent, [])
    }).pipe(Effect.provide(dev("running"))))
})

describe("Memory, layers", () => {
  it.effect("two simulators share nothing", () =>
    Effect.gen(function*() {
      const one = yield* Memory.make({ clusters: { dev: running } })
      const two = yield* Memory.make({ clusters: { dev: running } })
      yield* one.provider.stopNodes("dev")
      yield* one.addUnlabelled({ kind: "node", name: "registry" })
      const status = Option.getOrThrow(yield* two.provider.getClusterStatus("dev"))
      assert.strictEqual(status.phase, "running")
      assert.deepStrictEqual((yield* two.world).unlabelled, [])
      assert.deepStrictEqual((yield* two.calls).map(({ operation }) => operation), ["list"])
    }))

  it.effect("layerFrom makes a Provider and NodeCreator of the same simulator", () =>
    Effect.gen(function*() {
      const memory = yield* Memory.Memory
      yield* NodeCreator.use((creator) => creator.createNodes({ cluster: "new", controlPlanes: 1, workers: 0 }))
      yield* Provider.use((provider) => provider.stopNodes("new"))
      assert.deepStrictEqual((yield* memory.world).nodes.map(({ name, state }) => [name, state]), [
        ["new-control-plane", "stopped"]
      ])
    }).pipe(Effect.provide(layerFrom(Memory.Memory).pipe(Layer.provideMerge(Memory.layerService())))))

  it.effect("layerConfig needs nothing of the environment", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* Provider.use((provider) => provider.listAllClusters), [
        "dev"
      ] as ReadonlyArray<string>)
    }).pipe(Effect.provide(Memory.layerConfig({ clusters: { dev: running } }))))

  it.live("without latency it does not wait for the clock", () =>
    Effect.gen(function*() {
      const { creator, provider } = yield* Memory.Memory
      yield* creator.createNodes({ cluster: "new", controlPlanes: 3, workers: 20 })
      yield* provider.stopNodes("new")
      yield* provider.startNodes("new")
      assert.deepStrictEqual((yield* provider.deleteNodes("new")).failed, [])
    }).pipe(
      Effect.provide(Memory.layer()),
      Effect.updateService(Clock.Clock, (clock) => ({
        ...clock,
        currentTimeMillis: clock.currentTimeMillis,
        currentTimeNanos: clock.currentTimeNanos,
        currentTimeMillisUnsafe: () => clock.currentTimeMillisUnsafe(),
        currentTimeNanosUnsafe: () => clock.currentTimeNanosUnsafe(),
        sleep: (duration) => Effect.die(new Error(`it slept for ${String(duration)}`))
      }))
    ))
})
