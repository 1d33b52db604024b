/** Creating simulated nodes: existing nodes, differences, failures and leftovers. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import * as Memory from "kubelayer/layers/Memory"
import * as Policy from "kubelayer/Policy"
import { NodeCreator } from "kubelayer/Provider"
import { InvalidInput, Transport } from "kubelayer/Reason"
import { outcomes, sent, states } from "./support/simulator.ts"

describe("Memory, createNodes", () => {
  const spec = { cluster: "new", controlPlanes: 2, workers: 2 }
  const all: ReturnType<typeof outcomes> = {
    "new-network": "Done",
    "new-volume": "Done",
    "new-control-plane": "Done",
    "new-control-plane2": "Done",
    "new-worker": "Done",
    "new-worker2": "Done"
  }

  it.effect("makes a cluster that runs, and a second time finds it done", () =>
    Effect.gen(function*() {
      const memory = yield* Memory.Memory
      assert.deepStrictEqual(outcomes(yield* memory.creator.createNodes(spec)), all)
      const status = Option.getOrThrow(yield* memory.provider.getClusterStatus("new"))
      assert.deepStrictEqual([status.phase, status.nodesTotal], ["running", 4])
      yield* memory.clearCalls
      const again = yield* memory.creator.createNodes(spec)
      assert.deepStrictEqual(new Set(Object.values(outcomes(again))), new Set(["AlreadyDone"]))
      assert.deepStrictEqual((yield* sent).filter((call) => !call.startsWith("list")), [])
    }).pipe(Effect.provide(Memory.layer())))

  it.effect("makes what is missing", () =>
    Effect.gen(function*() {
      const memory = yield* Memory.Memory
      yield* memory.createNodes({ ...spec, loadBalancers: 1 })
      yield* memory.removeNode("new-worker")
      const report = yield* memory.createNodes({ ...spec, workers: 3, loadBalancers: 1 })
      assert.deepStrictEqual(report.done.map(({ name }) => name), ["new-worker", "new-worker3"])
      assert.strictEqual((yield* memory.provider.listNodes("new")).length, 6)
    }).pipe(Effect.provide(Memory.layer())))

  it.effect("refuses what differs, names all differences, and touches nothing", () =>
    Effect.gen(function*() {
      const memory = yield* Memory.Memory
      yield* memory.creator.createNodes({ ...spec, labels: { team: "a" } })
      yield* memory.addUnlabelled({ kind: "node", name: "new-control-plane3" })
      const before = yield* memory.world
      const error = yield* Effect.flip(
        memory.creator.createNodes({ ...spec, controlPlanes: 3, workers: 1, labels: { team: "b" } })
      )
      assert(error._tag === "BackendError" && error.reason._tag === "NameTaken")
      assert.strictEqual(error.reason.by, "the unlabelled node new-control-plane3")
      assert.include(error.message, `node "new-worker2": the spec does not request it`)
      assert.include(error.message, `node "new-worker": labels.team: "a" (requested "b")`)
      assert.include(error.message, "the name is used by the unlabelled node new-control-plane3")
      assert.deepStrictEqual(yield* memory.world, before)
      yield* memory.removeUnlabelled("new-control-plane3")
      const differs = yield* Effect.flip(memory.creator.createNodes({ ...spec, workers: 1, labels: { team: "b" } }))
      assert(differs._tag === "BackendError" && differs.reason._tag === "Differs")
      assert.isFalse(differs.isRetryable)
      assert.deepStrictEqual(
        differs.reason.differences.map(({ action, differences, name }) => [
          action,
          name,
          ...differences.map(({ actual, field, requested }) => [field, actual, requested])
        ]),
        [
          ["update", "new-control-plane", ["labels.team", "a", "b"]],
          ["update", "new-control-plane2", ["labels.team", "a", "b"]],
          ["update", "new-worker", ["labels.team", "a", "b"]],
          ["delete", "new-worker2"]
        ]
      )
    }).pipe(Effect.provide(Memory.layer())))

  it.effect("refuses a name that a node of another cluster holds", () =>
    Effect.gen(function*() {
      const memory = yield* Memory.Memory
      yield* memory.addNode({ cluster: "other", role: "worker", name: "new-worker" })
      const error = yield* Effect.flip(memory.creator.createNodes(spec))
      assert(error._tag === "BackendError" && error.reason._tag === "NameTaken")
      assert.strictEqual(error.reason.by, "node new-worker of cluster other")
      assert.deepStrictEqual((yield* memory.world).nodes.map(({ name }) => name), ["new-worker"])
    }).pipe(Effect.provide(Memory.layer())))

  it.effect("reports all issues of a spec at once, before any call", () =>
    Effect.gen(function*() {
      const creator = yield* NodeCreator
      const error = yield* Effect.flip(creator.createNodes({
        cluster: "new",
        controlPlanes: 0,
        workers: 1.5,
        labels: { "kubelayer.owned": "x", "": "y" }
      }))
      assert(error._tag === "InvalidSpec")
      assert.deepStrictEqual(error.issues.map(({ path }) => path), [
        "controlPlanes",
        "workers",
        "labels.kubelayer.owned",
        "labels."
      ])
      assert.strictEqual(
        (yield* Effect.flip(creator.createNodes({ ...spec, cluster: "New" })))._tag,
        "InvalidClusterName"
      )
      assert.deepStrictEqual(yield* sent, [])
    }).pipe(Effect.provide(Memory.layer())))

  it.effect("removes what it created when a node cannot be created, and keeps what existed", () =>
    Effect.gen(function*() {
      const memory = yield* Memory.Memory
      yield* memory.creator.createNodes({ ...spec, controlPlanes: 1, workers: 0 })
      const before = yield* memory.world
      yield* memory.failNext({ operation: "create", node: "new-worker", reason: new InvalidInput({ detail: "no" }) })
      const error = yield* Effect.flip(memory.creator.createNodes(spec))
      assert(error._tag === "NodesNotCreated")
      assert.deepStrictEqual(outcomes(error.report), {
        "new-network": "AlreadyDone",
        "new-volume": "AlreadyDone",
        "new-control-plane": "AlreadyDone",
        "new-control-plane2": "RolledBack",
        "new-worker": "Failed",
        "new-worker2": "RolledBack"
      })
      assert.deepStrictEqual(error.reasons.map((reason) => reason._tag), ["InvalidInput"])
      assert.deepStrictEqual(error.leftovers, [])
      assert.deepStrictEqual(yield* memory.world, before)
    }).pipe(Effect.provide(Memory.layer())))

  it.effect("removes a new cluster of which control planes fail to start", () =>
    Effect.gen(function*() {
      const memory = yield* Memory.Memory
      yield* memory.crash("new-control-plane", { exitCode: 1 })
      yield* memory.failNext({
        operation: "start",
        node: "new-control-plane2",
        reason: new InvalidInput({ detail: "no" })
      })
      const error = yield* Effect.flip(memory.creator.createNodes(spec))
      assert(error._tag === "NodesNotCreated")
      assert.deepStrictEqual(outcomes(error.report), {
        "new-network": "RolledBack",
        "new-volume": "RolledBack",
        "new-control-plane": "RolledBack",
        "new-control-plane2": "Failed",
        "new-worker": "RolledBack",
        "new-worker2": "RolledBack"
      })
      assert.deepStrictEqual(yield* memory.world, { nodes: [], resources: [], unlabelled: [] })
    }).pipe(Effect.provide(Memory.layer())))

  it.effect("a node that crashes at its first start is a create that failed, with the exit code", () =>
    Effect.gen(function*() {
      const memory = yield* Memory.Memory
      yield* memory.crash("new-worker2", { exitCode: 3 })
      const error = yield* Effect.flip(memory.creator.createNodes(spec))
      assert(error._tag === "NodesNotCreated")
      assert.deepStrictEqual(error.report.failed.map(({ name }) => name), ["new-worker2"])
      assert.include(error.message, "exit code 3")
      assert.deepStrictEqual((yield* memory.world).nodes, [])
    }).pipe(Effect.provide(Memory.layer())))

  it.effect("keeps what it created with onFailure keep, and the next create continues from there", () =>
    Effect.gen(function*() {
      const memory = yield* Memory.Memory
      yield* memory.failNext({ operation: "create", node: "new-worker", reason: new InvalidInput({ detail: "no" }) })
      const error = yield* Effect.flip(memory.creator.createNodes({ ...spec, onFailure: "keep" }))
      assert(error._tag === "NodesNotCreated")
      assert.deepStrictEqual(outcomes(error.report), { ...all, "new-worker": "Failed" })
      // The others were created and not started, since the create had failed by then.
      assert.deepStrictEqual((yield* memory.creator.createNodes(spec)).done.map(({ name }) => name), [
        "new-control-plane",
        "new-control-plane2",
        "new-worker",
        "new-worker2"
      ])
      assert.deepStrictEqual(new Set(Object.values(yield* states("new"))), new Set(["running"]))
    }).pipe(Effect.provide(Memory.layer())))

  it.effect("lists before it sends a create again", () =>
    Effect.gen(function*() {
      const memory = yield* Memory.Memory
      const reason = new Transport({ detail: "connection reset" })
      yield* memory.failNext({ operation: "create", node: "new-worker", reason, takesEffect: true })
      yield* memory.failNext({ operation: "create", node: "new-worker2", reason })
      const fiber = yield* Effect.forkChild(memory.creator.createNodes(spec))
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(outcomes(yield* Fiber.join(fiber)), all)
      const calls = yield* sent
      assert.strictEqual(calls.filter((call) => call === "create new-worker").length, 1)
      assert.strictEqual(calls.filter((call) => call === "create new-worker2").length, 2)
      assert.strictEqual((yield* memory.world).nodes.length, 4)
    }).pipe(Effect.provide(Memory.layer())))

  it.effect("two creates at once end with one cluster: the second adopts what the first has created", () =>
    Effect.gen(function*() {
      const memory = yield* Memory.Memory
      const both = yield* Effect.forkChild(
        Effect.all([memory.creator.createNodes(spec), memory.creator.createNodes(spec)], { concurrency: 2 })
      )
      yield* TestClock.adjust("1 minute")
      const [first, second] = yield* Fiber.join(both)
      assert.deepStrictEqual(outcomes(first), all)
      assert.deepStrictEqual(new Set(Object.values(outcomes(second))), new Set(["AlreadyDone"]))
      assert.strictEqual((yield* memory.world).nodes.length, 4)
    }).pipe(Effect.provide(Memory.layer({ latency: "1 second" }))))

  it.effect("starts every node of the cluster, those that were never started and those that were stopped", () =>
    Effect.gen(function*() {
      const memory = yield* Memory.Memory
      yield* memory.failNext({ operation: "start", node: "new-worker", reason: new InvalidInput({ detail: "no" }) })
      yield* Effect.flip(memory.creator.createNodes({ ...spec, onFailure: "keep" }))
      yield* memory.setState("new-worker2", "stopped")
      const report = yield* memory.creator.createNodes(spec)
      assert.deepStrictEqual(report.done.map(({ name }) => name), ["new-worker", "new-worker2"])
      assert.deepStrictEqual(new Set(Object.values(yield* states("new"))), new Set(["running"]))
    }).pipe(Effect.provide(Memory.layer())))

  it.effect("an interrupted create removes what it created, also a node that the backend was still creating", () =>
    Effect.gen(function*() {
      const memory = yield* Memory.Memory
      const fiber = yield* Effect.forkChild(memory.creator.createNodes(spec))
      yield* TestClock.adjust("35 seconds")
      assert.deepStrictEqual(yield* states("new"), {
        "new-control-plane": "running",
        "new-control-plane2": "running",
        "new-worker": "starting",
        "new-worker2": "starting"
      })
      const ended = yield* Effect.forkChild(Fiber.interrupt(fiber))
      yield* TestClock.adjust("1 minute")
      yield* Fiber.join(ended)
      const exit = yield* Fiber.await(fiber)
      assert.isTrue(Exit.hasInterrupts(exit))
      assert.deepStrictEqual(yield* memory.world, { nodes: [], resources: [], unlabelled: [] })
    }).pipe(
      Effect.provide(Memory.layer({ latency: { create: "10 seconds", start: "10 seconds", delete: "5 seconds" } }))
    ))

  it.effect("a create that is interrupted before its first write sends nothing more", () =>
    Effect.gen(function*() {
      const memory = yield* Memory.Memory
      const fiber = yield* Effect.forkChild(memory.creator.createNodes(spec))
      yield* TestClock.adjust("1 second")
      yield* Fiber.interrupt(fiber)
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(yield* sent, ["list", "list", "list"])
    }).pipe(Effect.provide(Memory.layer({ latency: { list: "10 seconds" } }))))

  it.effect("names what it could not remove, within the time for the clean-up", () =>
    Effect.gen(function*() {
      const memory = yield* Memory.Memory
      const no = new InvalidInput({ detail: "no" })
      yield* memory.failNext({ operation: "create", node: "new-worker", reason: no })
      yield* memory.failNext({ operation: "delete", node: "new-control-plane2", reason: no })
      yield* memory.setLatency({ operation: "delete", node: "new-worker2", latency: "Infinity" })
      const fiber = yield* Effect.forkChild(Effect.flip(memory.creator.createNodes(spec)))
      yield* TestClock.adjust("20 seconds")
      const error = yield* Fiber.join(fiber)
      assert(error._tag === "NodesNotCreated")
      assert.deepStrictEqual(error.leftovers.map(({ name, why }) => [name, why]), [
        ["new-control-plane2", "no"],
        ["new-worker2", "the time for the clean-up was over"],
        ["new-network", "the time for the clean-up was over"],
        ["new-volume", "the time for the clean-up was over"]
      ])
      assert.strictEqual(outcomes(error.report)["new-control-plane"], "RolledBack")
      assert.strictEqual(outcomes(error.report)["new-control-plane2"], "Done")
    }).pipe(Effect.provide(Memory.layer({ policy: { cleanupTimeout: "20 seconds" } }))))

  it.effect("past the operationTimeout it removes what it created, and reports that", () =>
    Effect.gen(function*() {
      const memory = yield* Memory.Memory
      const fiber = yield* memory.creator.createNodes(spec).pipe(
        Policy.override({ operationTimeout: "15 seconds" }),
        Effect.flip,
        Effect.forkChild
      )
      yield* TestClock.adjust("1 minute")
      const error = yield* Fiber.join(fiber)
      assert(error._tag === "OperationTimeout")
      assert.deepStrictEqual(new Set(Object.values(outcomes(error.report))), new Set(["RolledBack"]))
      assert.deepStrictEqual(yield* memory.world, { nodes: [], resources: [], unlabelled: [] })
    }).pipe(Effect.provide(Memory.layer({ latency: { create: "10 seconds" } }))))

  it.effect("the cleanupTimeout of the layer ends the delete of a scoped create", () =>
    Effect.gen(function*() {
      const memory = yield* Memory.Memory
      const scope = yield* Scope.make()
      yield* Scope.provide(memory.creator.createNodesScoped(spec), scope)
      yield* memory.setLatency({ operation: "delete", latency: "Infinity" })
      const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void))
      yield* TestClock.adjust("4 seconds")
      assert.isUndefined(closing.pollUnsafe())
      yield* TestClock.adjust("2 seconds")
      assert.isDefined(closing.pollUnsafe())
    }).pipe(Effect.provide(Memory.layer({ policy: { cleanupTimeout: "5 seconds" } }))))

  it.effect("createNodesScoped deletes the cluster when its scope closes", () =>
    Effect.gen(function*() {
      const memory = yield* Memory.Memory
      const scope = yield* Scope.make()
      yield* Scope.provide(memory.creator.createNodesScoped(spec), scope)
      assert.strictEqual(yield* memory.provider.nodesExist("new"), true)
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(yield* memory.world, { nodes: [], resources: [], unlabelled: [] })
    }).pipe(Effect.provide(Memory.layer())))
})
