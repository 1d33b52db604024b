/** Powering machines off and on: only what comes back, and never success for nothing. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import { ProviderUnavailable } from "kubelayer/ProviderError"
import * as Labels from "../../src/omni/Labels.ts"
import { Kinds } from "../../src/omni/State.ts"
import { servicesOf } from "./support/backend.ts"
import { makeStore } from "./support/store.ts"
import { outcomes, world } from "./support/world.ts"

const managed = { controlPlanes: 1, workers: 2, machine: { power: "on" } } as const

describe("stopNodes and startNodes", () => {
  it.live("of machines whose power Omni manages: workers first off, control planes first on", () =>
    Effect.gen(function*() {
      const { fake, provider } = yield* world()
      yield* fake.addCluster("dev", managed)
      const stopped = yield* provider.stopNodes("dev")
      assert.isTrue(stopped.outcomes.every(({ outcome }) => outcome._tag === "Done"))
      assert.isTrue((yield* fake.machines).every(({ power }) => power === "off"))
      const status = Option.getOrThrow(yield* provider.getClusterStatus("dev"))
      assert.deepStrictEqual([status.phase, status.nodesReady], ["stopped", 0])
      const again = yield* provider.stopNodes("dev")
      assert.isTrue(again.outcomes.every(({ outcome }) => outcome._tag === "AlreadyDone"))
      const started = yield* provider.startNodes("dev")
      assert.isTrue(started.outcomes.every(({ outcome }) => outcome._tag === "Done"))
      assert.isTrue((yield* provider.listNodes("dev")).every(({ state }) => state === "running"))
      assert.isTrue((yield* provider.startNodes("dev")).outcomes.every(({ outcome }) => outcome._tag === "AlreadyDone"))
      const power = (yield* fake.calls).filter(({ method }) => method.startsWith("MachinePower")).map((
        { id, method }
      ) => `${method.slice(12)} ${id.slice(-1)}`)
      assert.strictEqual(power.length, 6)
      assert.deepStrictEqual([power[2], power[3]], ["Off 1", "On 1"])
    }))

  it.live("sends nothing to machines that no infra provider manages, and says why (O1)", () =>
    Effect.gen(function*() {
      const { fake, newCalls, provider } = yield* world()
      yield* fake.addCluster("dev", { controlPlanes: 1, workers: 1 })
      yield* newCalls
      const error = yield* Effect.flip(provider.stopNodes("dev"))
      assert.strictEqual(error._tag, "NodesFailed")
      assert.match(error.message, /dev-worker-1: no static infra provider manages this machine/)
      assert.deepStrictEqual([...yield* newCalls].sort(), ["List ClusterMachineStatuses", "List MachineStatuses"])
    }))

  for (const call of ["powerOff", "powerOn"] as const) {
    it.effect(`sends ${call} to machines with the label of an infra provider alone, whatever their power state (O1)`, () =>
      Effect.gen(function*() {
        const sent: Array<string> = []
        const store = yield* makeStore
        const ofCluster = { [Labels.cluster]: "dev" }
        for (const powerState of [0, 1, 2, 3]) {
          for (const isManaged of [true, false]) {
            const id = `${isManaged ? "managed" : "ordinary"}-${powerState}`
            const labels = { ...ofCluster, ...(isManaged ? { [Labels.managedPower]: "" } : {}) }
            yield* store.put(Kinds.MachineStatus, id, { labels, spec: { powerState } })
            yield* store.put(Kinds.ClusterMachineStatus, id, {
              labels,
              spec: { stage: call === "powerOff" ? 4 : 11, managementAddress: "" }
            })
          }
        }
        const send = (id: string) =>
          Effect.sync(() => void sent.push(id)).pipe(
            Effect.andThen(Effect.fail(
              new ProviderUnavailable({
                provider: "omni",
                address: "",
                detail: "stop here",
                advice: ""
              })
            ))
          )
        const { provider } = yield* servicesOf(store.state, { management: { powerOff: send, powerOn: send } })
        yield* Effect.flip(call === "powerOff" ? provider.stopNodes("dev") : provider.startNodes("dev"))
        assert.deepStrictEqual(sent.sort(), [0, 1, 2, 3].map((state) => `managed-${state}`))
      }))
  }

  it.live("of both powers off what can be powered on again, and leaves the rest", () =>
    Effect.gen(function*() {
      const { fake, provider } = yield* world()
      const [, worker] = yield* fake.addCluster("dev", { controlPlanes: 1, workers: 1 })
      yield* fake.changeMachine(worker ?? "", { power: "on" })
      yield* fake.settled
      const report = yield* provider.stopNodes("dev")
      assert.deepStrictEqual(outcomes(report), ["dev-control-plane-1: Unsupported", "dev-worker-1: Done"])
    }))

  it.live("with `powerOff: \"always\"` report the server's message for machines that cannot power off", () =>
    Effect.gen(function*() {
      const { fake, provider } = yield* world({ omni: { powerOff: "always" } })
      yield* fake.addCluster("dev", { controlPlanes: 1, workers: 0, machine: { emulated: true } })
      const error = yield* Effect.flip(provider.stopNodes("dev"))
      assert.match(error.message, /dev-control-plane-1: .+/)
      assert.isTrue((yield* fake.calls).some(({ method }) => method === "MachinePowerOff"))
    }))

  it.live("of no nodes, or none that are there", () =>
    Effect.gen(function*() {
      const { fake, provider } = yield* world()
      assert.strictEqual((yield* Effect.flip(provider.stopNodes("dev")))._tag, "NoNodes")
      const [, worker] = yield* fake.addCluster("dev", managed)
      yield* fake.failNext({ method: "MachinePowerOff", code: 5, message: "machine not found", times: 1 })
      const report = yield* provider.stopNodes("dev")
      assert.strictEqual(report.outcomes.filter(({ outcome }) => outcome._tag === "AlreadyDone").length, 1)
      yield* fake.removeMachine(worker ?? "")
      assert.strictEqual((yield* provider.startNodes("dev")).outcomes.length, 2)
    }))

  it.live("report a failure for the machine that does not power off by its deadline, and the others are done", () =>
    Effect.gen(function*() {
      const { fake, provider } = yield* world({ omni: { policy: { nodeTimeout: { stop: "500 millis" } } } })
      yield* fake.addCluster("dev", managed)
      yield* fake.failNext({ method: "MachinePowerOff", code: 3, message: "failed to validate: no", times: 1 })
      const error = yield* Effect.flip(provider.stopNodes("dev"))
      assert.strictEqual(error._tag, "NodesFailed")
      const tags = error._tag === "NodesFailed"
        ? error.report.outcomes.map(({ outcome }) => outcome._tag).toSorted()
        : []
      assert.deepStrictEqual(tags, ["Done", "Done", "Failed"])
    }))

  it.live("that are interrupted send nothing more", () =>
    Effect.gen(function*() {
      const { fake, newCalls, provider } = yield* world({ fake: { latency: "20 millis" } })
      yield* fake.addCluster("dev", managed)
      const fiber = yield* Effect.forkChild(provider.stopNodes("dev"))
      yield* Effect.sleep("50 millis")
      yield* Fiber.interrupt(fiber)
      // Calls in flight arrive.
      yield* Effect.sleep("30 millis")
      yield* newCalls
      yield* Effect.sleep("100 millis")
      assert.deepStrictEqual(yield* newCalls, [])
      assert.strictEqual(yield* fake.openWatches, 0)
      yield* provider.stopNodes("dev")
      assert.isTrue((yield* fake.machines).every(({ power }) => power === "off"))
    }))
})
