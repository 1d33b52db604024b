/** The calls of the fake Omni inside the process: the same answers, without a connection and without signatures. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import * as Omni from "kubelayer/layers/Omni"
import { OmniFake } from "kubelayer/testing"
import { tagOf } from "../support/world.ts"

/** The layer on the calls of a fake, which has no other way to be reached. */
const inProcess = (options: OmniFake.Options = {}) =>
  Effect.gen(function*() {
    const fake = yield* OmniFake.make({ machineClasses: { all: ["omni.sidero.dev/arch"] }, machines: 4, ...options })
    const transport = Layer.succeed(Omni.Transport, { calls: fake.transport })
    const context = yield* Layer.build(
      Omni.layerTransport({
        endpoint: "https://omni.example.org",
        serviceAccountKey: "not used",
        machineClass: "all"
      }).pipe(Layer.provide(transport))
    )
    return { fake, omni: yield* Effect.provide(Omni.Omni, context) }
  })

/** Runs to its end while the Clock goes on. */
const finished = <A, E>(self: Effect.Effect<A, E>) =>
  Effect.gen(function*() {
    const fiber = yield* Effect.forkChild(self)
    for (let step = 0; step < 200 && fiber.pollUnsafe() === undefined; step++) yield* TestClock.adjust("100 millis")
    return yield* Fiber.join(fiber)
  })

describe("the fake inside the process", () => {
  it.effect("creates, lists, watches and deletes a cluster on the Clock of the test", () =>
    Effect.gen(function*() {
      const { fake, omni } = yield* inProcess()
      yield* TestClock.adjust("1 second")
      const report = yield* finished(omni.createNodes({ cluster: "dev", controlPlanes: 1, workers: 2 }))
      assert.strictEqual(report.failed.length, 0)
      const nodes = yield* finished(omni.provider.listNodes("dev"))
      assert.deepStrictEqual(nodes.map(({ role, state }) => `${role} ${state}`), [
        "control-plane running",
        "worker running",
        "worker running"
      ])
      const watching = yield* Effect.forkChild(Stream.runCollect(omni.provider.watchCluster("dev")))
      yield* TestClock.adjust("1 second")
      yield* finished(omni.provider.deleteNodes("dev"))
      const seen = yield* finished(Fiber.join(watching))
      assert.strictEqual(seen[0]?.phase, "running")
      assert.deepStrictEqual(yield* fake.violations, [])
      assert.deepStrictEqual(yield* fake.resources("Clusters"), [])
    }))

  it.effect("is refused and cut as over a connection", () =>
    Effect.gen(function*() {
      const { fake, omni } = yield* inProcess()
      const failing = Effect.map(Effect.flip(omni.provider.deleteNodes("dev")), tagOf)
      yield* fake.setEula(false)
      assert.strictEqual(yield* finished(failing), "Protected")
      yield* fake.setEula(true)
      yield* fake.setAvailable(false)
      assert.strictEqual(yield* finished(failing), "ProviderUnavailable")
    }))
})
