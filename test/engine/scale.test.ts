/** Adding, removing, replacing and restarting nodes, and start and stop of some of them. Over Memory. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import * as Memory from "kubelayer/layers/Memory"
import { onEvent } from "kubelayer/Provider"
import { InvalidInput } from "kubelayer/Reason"
import { outcomes, sent, states } from "../memory/support/simulator.ts"

const dev = { dev: { controlPlanes: 1, workers: 2 } }
const no = new InvalidInput({ detail: "no" })
const names = (cluster: string) => Effect.map(states(cluster), (all) => Object.keys(all).sort())

describe("addNodes", () => {
  it.effect("adds nodes under the first free names, starts them, and touches the others not", () =>
    Effect.gen(function*() {
      const memory = yield* Memory.Memory
      yield* memory.removeNode("dev-worker")
      const report = yield* memory.creator.addNodes("dev", { workers: 2, controlPlanes: 1, labels: { team: "a" } })
      assert.deepStrictEqual(report.operation, "addNodes")
      assert.deepStrictEqual(outcomes(report), {
        "dev-control-plane2": "Done",
        "dev-worker": "Done",
        "dev-worker3": "Done"
      })
      assert.deepStrictEqual(new Set(Object.values(yield* states("dev"))), new Set(["running"]))
      const pool = yield* memory.creator.addNodes("dev", { workers: 1, pool: "gpu" })
      assert.deepStrictEqual(pool.done.map(({ name }) => name), ["dev-gpu-1"])
    }).pipe(Effect.provide(Memory.layer({ clusters: dev }))))

  it.effect("of two callers adds two nodes, though both choose the same name", () =>
    Effect.gen(function*() {
      const memory = yield* Memory.Memory
      const second = yield* memory.secondClient
      const both = yield* Effect.forkChild(
        Effect.all([memory.creator.addNodes("dev", { workers: 1 }), second.creator.addNodes("dev", { workers: 1 })], {
          concurrency: 2
        })
      )
      yield* TestClock.adjust("5 minutes")
      const reports = yield* Fiber.join(both)
      assert.deepStrictEqual(reports.flatMap(({ outcomes }) => outcomes.map(({ name }) => name)).sort(), [
        "dev-worker3",
        "dev-worker4"
      ])
      assert.strictEqual((yield* names("dev")).length, 5)
    }).pipe(Effect.provide(Memory.layer({ clusters: dev, latency: "1 second" }))))

  it.effect("passes over a name that something else uses", () =>
    Effect.gen(function*() {
      const memory = yield* Memory.Memory
      yield* memory.addUnlabelled({ kind: "node", name: "dev-worker3" })
      const report = yield* memory.creator.addNodes("dev", { workers: 1 })
      assert.deepStrictEqual(Object.keys(outcomes(report)), ["dev-worker4"])
    }).pipe(Effect.provide(Memory.layer({ clusters: dev }))))

  it.effect("removes what it added when one of them fails", () =>
    Effect.gen(function*() {
      const memory = yield* Memory.Memory
      const before = yield* memory.world
      yield* memory.failNext({ operation: "start", node: "dev-worker4", reason: no })
      const error = yield* Effect.flip(memory.creator.addNodes("dev", { workers: 2 }))
      assert(error._tag === "NodesNotCreated")
      assert.deepStrictEqual(outcomes(error.report), { "dev-worker3": "RolledBack", "dev-worker4": "Failed" })
      assert.deepStrictEqual(yield* memory.world, before)
    }).pipe(Effect.provide(Memory.layer({ clusters: dev }))))

  it.effect("fails for an absent cluster, and for a number that is none, before any write", () =>
    Effect.gen(function*() {
      const { creator } = yield* Memory.Memory
      const absent = yield* Effect.flip(creator.addNodes("dve", { workers: 1 }))
      assert.strictEqual(absent._tag, "ClusterNotFound")
      assert.include(absent.message, "dev")
      const invalid = yield* Effect.flip(creator.addNodes("dev", { workers: -1, controlPlanes: 0.5 }))
      assert(invalid._tag === "InvalidSpec")
      assert.deepStrictEqual(invalid.issues.map(({ path }) => path), ["controlPlanes", "workers"])
      assert.strictEqual((yield* Effect.flip(creator.addNodes("dev", {})))._tag, "InvalidSpec")
      assert.deepStrictEqual((yield* sent).filter((call) => call.startsWith("create")), [])
    }).pipe(Effect.provide(Memory.layer({ clusters: dev }))))
})

describe("removeNodes", () => {
  it.effect("deletes nodes by name; an unknown name is AlreadyDone, and the volume stays", () =>
    Effect.gen(function*() {
      const memory = yield* Memory.Memory
      const report = yield* memory.creator.removeNodes("dev", ["dev-worker2", "dev-worker9"])
      assert.deepStrictEqual(outcomes(report), { "dev-worker9": "AlreadyDone", "dev-worker2": "Done" })
      assert.deepStrictEqual(yield* names("dev"), ["dev-control-plane", "dev-worker"])
      assert.strictEqual((yield* memory.world).resources.length, 2)
      assert.strictEqual((yield* Effect.flip(memory.creator.removeNodes("dve", [])))._tag, "ClusterNotFound")
    }).pipe(Effect.provide(Memory.layer({ clusters: dev }))))
})

describe("start and stop of some nodes", () => {
  it.effect("act on the selected names or pool alone", () =>
    Effect.gen(function*() {
      const { provider } = yield* Memory.Memory
      const stop = yield* provider.stopNodes("dev", { nodes: ["dev-worker", "dev-worker9"] })
      assert.deepStrictEqual(outcomes(stop), { "dev-worker": "Done", "dev-worker9": "AlreadyDone" })
      yield* provider.stopNodes("dev", { pool: "gpu" })
      assert.deepStrictEqual(yield* states("dev"), {
        "dev-control-plane": "running",
        "dev-worker": "stopped",
        "dev-gpu-1": "stopped",
        "dev-gpu-2": "stopped"
      })
      const error = yield* Effect.flip(provider.startNodes("dev", { nodes: ["dev-gpu-1", "dev-worker9"] }))
      assert(error._tag === "NodesFailed")
      assert.deepStrictEqual(outcomes(error.report), { "dev-gpu-1": "Done", "dev-worker9": "Failed" })
      assert.strictEqual((yield* states("dev"))["dev-gpu-2"], "stopped")
    }).pipe(Effect.provide(Memory.layer({
      clusters: { dev: { controlPlanes: 1, workers: 1, pools: [{ name: "gpu", role: "worker", count: 2 }] } }
    }))))
})

describe("replaceNodes", () => {
  it.effect("replaces one node after the other, and asks the gate in between", () =>
    Effect.gen(function*() {
      const memory = yield* Memory.Memory
      const before = new Map((yield* memory.world).nodes.map(({ id, name }) => [name, id]))
      const gates: Array<ReadonlyArray<string>> = []
      const report = yield* memory.creator.replaceNodes("dev", {
        nodes: ["dev-worker", "dev-worker2"],
        gate: (nodes) =>
          Effect.gen(function*() {
            gates.push(nodes.map(({ name, state }) => `${name} ${state}`))
            assert.strictEqual(Object.keys(yield* states("dev")).length, 3)
          }).pipe(Effect.provideService(Memory.Memory, memory))
      })
      assert.deepStrictEqual(outcomes(report), { "dev-worker": "Done", "dev-worker2": "Done" })
      assert.deepStrictEqual(gates, [["dev-worker running"], ["dev-worker2 running"]])
      const after = new Map((yield* memory.world).nodes.map(({ id, name }) => [name, id]))
      assert.strictEqual(after.get("dev-control-plane"), before.get("dev-control-plane"))
      for (const name of ["dev-worker", "dev-worker2"]) assert.notStrictEqual(after.get(name), before.get(name))
    }).pipe(Effect.provide(Memory.layer({ clusters: dev }))))

  it.effect("ends with the gate's own error, and leaves the later nodes as they are", () =>
    Effect.gen(function*() {
      const memory = yield* Memory.Memory
      const before = new Map((yield* memory.world).nodes.map(({ id, name }) => [name, id]))
      const error = yield* Effect.flip(memory.creator.replaceNodes("dev", {
        nodes: ["dev-worker", "dev-worker2"],
        gate: () => Effect.fail("not healthy" as const)
      }))
      assert.strictEqual(error, "not healthy")
      const after = new Map((yield* memory.world).nodes.map(({ id, name }) => [name, id]))
      assert.strictEqual(after.get("dev-worker2"), before.get("dev-worker2"))
      assert.strictEqual(after.size, 3)
    }).pipe(Effect.provide(Memory.layer({ clusters: dev }))))

  it.effect("that was interrupted between delete and create is finished by the same call", () =>
    Effect.gen(function*() {
      const memory = yield* Memory.Memory
      const options = { nodes: ["dev-worker"] } as const
      const fiber = yield* memory.creator.replaceNodes("dev", options).pipe(
        onEvent((event) => event._tag === "Sent" && event.call.startsWith("create node") ? Effect.never : Effect.void),
        Effect.forkChild
      )
      yield* TestClock.adjust("1 second")
      assert.notInclude(yield* names("dev"), "dev-worker")
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(outcomes(yield* memory.creator.replaceNodes("dev", options)), { "dev-worker": "Done" })
      assert.strictEqual((yield* states("dev"))["dev-worker"], "running")
    }).pipe(Effect.provide(Memory.layer({ clusters: dev }))))

  it.effect("refuses the name of a node that no cluster owns, and starts nothing", () =>
    Effect.gen(function*() {
      const memory = yield* Memory.Memory
      yield* memory.addUnlabelled({ kind: "node", name: "dev-worker3" })
      yield* memory.clearCalls
      const error = yield* Effect.flip(memory.creator.replaceNodes("dev", { nodes: ["dev-worker3"] }))
      assert(error._tag === "BackendError", error.message)
      assert.strictEqual(error.reason._tag, "NameTaken")
      assert.isTrue((yield* sent).every((call) => call.startsWith("list")))
    }).pipe(Effect.provide(Memory.layer({ clusters: dev }))))

  it.effect("replaces as many at once as maxUnavailable says", () =>
    Effect.gen(function*() {
      const memory = yield* Memory.Memory
      let least = 99
      yield* memory.creator.replaceNodes("dev", { pool: "gpu", maxUnavailable: 2 }).pipe(
        onEvent(() =>
          Effect.map(memory.world, ({ nodes }) => {
            least = Math.min(least, nodes.length)
          })
        )
      )
      assert.strictEqual(least, 4)
      const error = yield* Effect.flip(memory.creator.replaceNodes("dev", { pool: "gpu", maxUnavailable: 0 }))
      assert.strictEqual(error._tag, "InvalidSpec")
    }).pipe(Effect.provide(Memory.layer({
      clusters: { dev: { controlPlanes: 1, workers: 0, pools: [{ name: "gpu", role: "worker", count: 5 }] } }
    }))))
})

describe("restartNodes", () => {
  it.effect("stops and starts one node after the other", () =>
    Effect.gen(function*() {
      const { creator } = yield* Memory.Memory
      const report = yield* creator.restartNodes("dev", { nodes: ["dev-worker", "dev-worker2"] })
      assert.deepStrictEqual(outcomes(report), { "dev-worker": "Done", "dev-worker2": "Done" })
      assert.deepStrictEqual((yield* sent).filter((call) => !call.startsWith("list")), [
        "stop dev-worker",
        "start dev-worker",
        "stop dev-worker2",
        "start dev-worker2"
      ])
    }).pipe(Effect.provide(Memory.layer({ clusters: dev }))))

  it.effect("goes on with no further node when one does not come back", () =>
    Effect.gen(function*() {
      const memory = yield* Memory.Memory
      yield* memory.crash("dev-worker", { exitCode: 1 })
      const error = yield* Effect.flip(
        memory.creator.restartNodes("dev", { nodes: ["dev-worker", "dev-worker2"] })
      )
      assert(error._tag === "NodesFailed")
      assert.deepStrictEqual(outcomes(error.report), { "dev-worker": "Failed" })
      assert.strictEqual((yield* states("dev"))["dev-worker2"], "running")
    }).pipe(Effect.provide(Memory.layer({ clusters: dev }))))
})
