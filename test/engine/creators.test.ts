/** Several creators of one cluster, processes that die, and what becomes of their things. Over Memory. */
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import * as Memory from "kubelayer/layers/Memory"
import { onEvent } from "kubelayer/Provider"
import { InvalidInput, InvalidResponse } from "kubelayer/Reason"
import { SessionSource } from "../../src/internal/Session.ts"
import { outcomes, states } from "../memory/support/simulator.ts"

const spec = { cluster: "dev", controlPlanes: 1, workers: 2 }
const no = new InvalidInput({ detail: "no" })

/** Holds an operation where it is about to send something for a node, until it is opened. */
const heldAt = (name: string, call: RegExp) =>
  Effect.gen(function*() {
    const reached = yield* Deferred.make<void>()
    const open = yield* Deferred.make<void>()
    return {
      reached: Deferred.await(reached),
      open: Deferred.succeed(open, undefined),
      holding: onEvent((event) =>
        event._tag === "Sent" && event.subject.name === name && call.test(event.call)
          ? Effect.andThen(Deferred.succeed(reached, undefined), Deferred.await(open))
          : Effect.void
      )
    }
  })

describe("two creators of one cluster", () => {
  it.effect("end with one cluster, and both succeed", () =>
    Effect.gen(function*() {
      const memory = yield* Memory.Memory
      const second = yield* memory.secondClient
      const both = yield* Effect.forkChild(
        Effect.all([memory.creator.createNodes(spec), second.creator.createNodes(spec)], { concurrency: 2 })
      )
      yield* TestClock.adjust("5 minutes")
      yield* Fiber.join(both)
      assert.deepStrictEqual((yield* memory.world).nodes.length, 3)
      assert.deepStrictEqual(new Set(Object.values(yield* states("dev"))), new Set(["running"]))
      yield* memory.setLatency({ latency: 0 })
      assert.isTrue((yield* second.creator.plan(spec)).isEmpty)
    }).pipe(Effect.provide(Memory.layer({ latency: "1 second" }))))

  it.effect("the first fails after the second adopted: the adopted things stay, and are its leftovers", () =>
    Effect.gen(function*() {
      const memory = yield* Memory.Memory
      const second = yield* memory.secondClient
      const { holding, open, reached } = yield* heldAt("dev-worker2", /^start/)
      const first = yield* Effect.forkChild(Effect.flip(holding(memory.creator.createNodes(spec))))
      yield* reached
      // The first has created everything and is held before it starts the last node.
      const adopter = yield* Effect.forkChild(second.creator.createNodes(spec))
      yield* TestClock.adjust("1 minute")
      yield* Fiber.join(adopter)
      yield* memory.failNext({ operation: "start", node: "dev-worker2", reason: no })
      yield* open
      yield* TestClock.adjust("5 minutes")
      const error = yield* Fiber.join(first)
      assert(error._tag === "NodesNotCreated", error.message)
      assert.deepStrictEqual(
        error.leftovers.map(({ name }) => name).sort(),
        ["dev-control-plane", "dev-network", "dev-volume", "dev-worker", "dev-worker2"]
      )
      assert.isTrue(error.leftovers.every(({ why }) => why === "another create uses it"))
      assert.strictEqual((yield* memory.world).nodes.length, 3)
      assert.deepStrictEqual(new Set(Object.values(yield* states("dev"))), new Set(["running"]))
    }).pipe(Effect.provide(Memory.layer())))

  it.effect("one that was frozen and thaws removes nothing that another one adopted", () =>
    Effect.gen(function*() {
      const memory = yield* Memory.Memory
      const second = yield* memory.secondClient
      const { holding, open, reached } = yield* heldAt("dev-worker2", /^create/)
      const frozen = yield* Effect.forkChild(holding(memory.creator.createNodes(spec)))
      yield* reached
      const adopter = yield* Effect.forkChild(second.creator.createNodes(spec))
      yield* TestClock.adjust("1 minute")
      yield* Fiber.join(adopter)
      const before = (yield* memory.world).nodes.map(({ id }) => id)
      yield* memory.failNext({ operation: "create", node: "dev-worker2", reason: no })
      yield* open
      yield* TestClock.adjust("5 minutes")
      yield* Fiber.await(frozen)
      assert.deepStrictEqual((yield* memory.world).nodes.map(({ id }) => id), before)
      assert.isTrue((yield* second.creator.plan(spec)).isEmpty)
    }).pipe(Effect.provide(Memory.layer())))

  it.effect("the next create removes the rest of an incomplete roll-back, and creates it again", () =>
    Effect.gen(function*() {
      const memory = yield* Memory.Memory
      yield* memory.failNext({ operation: "start", node: "dev-worker", reason: no })
      // The roll-back cannot remove one of the nodes.
      yield* memory.failNext({ operation: "delete", node: "dev-control-plane", reason: no, times: 3 })
      const error = yield* Effect.flip(memory.creator.createNodes(spec))
      assert(error._tag === "NodesNotCreated")
      assert.include(error.leftovers.map(({ name }) => name), "dev-control-plane")
      const [left] = (yield* memory.world).nodes
      const second = yield* memory.secondClient
      const fiber = yield* Effect.forkChild(second.creator.createNodes(spec))
      yield* TestClock.adjust("1 minute")
      const report = yield* Fiber.join(fiber)
      assert.strictEqual(outcomes(report)["dev-control-plane"], "Done")
      const { nodes } = yield* memory.world
      assert.strictEqual(nodes.length, 3)
      assert.notInclude(nodes.map(({ id }) => id), left?.id)
    }).pipe(Effect.provide(Memory.layer())))

  it.effect("a node whose removal had no readable reply is reported as rolled back, once it is gone", () =>
    Effect.gen(function*() {
      const memory = yield* Memory.Memory
      yield* memory.failNext({ operation: "start", node: "dev-worker", reason: no })
      const reason = new InvalidResponse({ detail: "not decodable" })
      yield* memory.failNext({ operation: "delete", node: "dev-worker2", reason, takesEffect: true })
      const fiber = yield* Effect.forkChild(Effect.flip(memory.creator.createNodes(spec)))
      yield* TestClock.adjust("5 minutes")
      const error = yield* Fiber.join(fiber)
      assert(error._tag === "NodesNotCreated", error.message)
      assert.deepStrictEqual(error.leftovers, [])
      assert.strictEqual(outcomes(error.report)["dev-worker2"], "RolledBack")
    }).pipe(Effect.provide(Memory.layer())))

  it.effect("a create that fails removes nothing of what it adopted", () =>
    Effect.gen(function*() {
      const memory = yield* Memory.Memory
      yield* memory.creator.createNodes({ ...spec, workers: 1 })
      const before = (yield* memory.world).nodes.map(({ id }) => id)
      const second = yield* memory.secondClient
      yield* memory.failNext({ operation: "create", node: "dev-worker2", reason: no })
      const error = yield* Effect.flip(second.creator.createNodes(spec))
      assert(error._tag === "NodesNotCreated")
      assert.deepStrictEqual((yield* memory.world).nodes.map(({ id }) => id), before)
    }).pipe(Effect.provide(Memory.layer())))

  it.effect.each(["addNodes", "replaceNodes"] as const)(
    "%s keeps the network of a create that fails later, so that the cluster can be finished",
    (method) =>
      Effect.gen(function*() {
        const memory = yield* Memory.Memory
        const { creator } = yield* memory.secondClient
        const { holding, open, reached } = yield* heldAt("dev-worker2", /^start/)
        const first = yield* Effect.forkChild(Effect.flip(holding(memory.creator.createNodes(spec))))
        yield* reached
        yield* method === "addNodes"
          ? creator.addNodes("dev", { workers: 1 })
          : creator.replaceNodes("dev", { nodes: ["dev-worker"] })
        yield* memory.failNext({ operation: "start", node: "dev-worker2", reason: no })
        yield* open
        yield* TestClock.adjust("5 minutes")
        yield* Fiber.join(first)
        const fiber = yield* Effect.forkChild(creator.createNodes(spec))
        yield* TestClock.adjust("5 minutes")
        assert.isFalse((yield* Fiber.join(fiber)).isFailure)
        assert.deepStrictEqual(new Set(Object.values(yield* states("dev"))), new Set(["running"]))
      }).pipe(Effect.provide(Memory.layer()))
  )

  it.effect("waits for nodes that another create is still creating, also for those that it does not request", () =>
    Effect.gen(function*() {
      const memory = yield* Memory.Memory
      const second = yield* memory.secondClient
      const { holding, reached } = yield* heldAt("dev-worker3", /^start/)
      const first = yield* Effect.forkChild(holding(memory.creator.createNodes({ ...spec, workers: 3 })))
      yield* reached
      const adopter = yield* Effect.forkChild(Effect.result(second.creator.createNodes(spec)))
      yield* TestClock.adjust("10 seconds")
      assert.isUndefined(adopter.pollUnsafe())
      const interrupting = yield* Effect.forkChild(Fiber.interrupt(first))
      yield* TestClock.adjust("10 minutes")
      yield* Fiber.join(interrupting)
      const result = yield* Fiber.join(adopter)
      assert.strictEqual(result._tag, "Success")
      assert.deepStrictEqual(Object.keys(yield* states("dev")).sort(), [
        "dev-control-plane",
        "dev-worker",
        "dev-worker2"
      ])
    }).pipe(Effect.provide(Memory.layer())))
})

describe("a create that was killed", () => {
  const calls = ["create dev-network", "create dev-worker", "start dev-control-plane", "start dev-worker2"]

  it.effect.each(calls)(
    "before %s is finished by the same create of another process",
    (call) =>
      Effect.gen(function*() {
        const memory = yield* Memory.Memory
        const [operation = "", name = ""] = call.split(" ")
        const { holding, reached } = yield* heldAt(name, new RegExp(`^${operation}`))
        // Killed: it never goes on, and never cleans up.
        yield* Effect.forkDetach(holding(memory.creator.createNodes(spec)))
        yield* reached
        const second = yield* memory.secondClient
        const fiber = yield* Effect.forkChild(second.creator.createNodes(spec))
        yield* TestClock.adjust("10 minutes")
        const report = yield* Fiber.join(fiber)
        assert.isFalse(report.isFailure)
        assert.deepStrictEqual(
          new Set(Object.values(yield* states("dev"))),
          new Set(["running"])
        )
        assert.strictEqual((yield* memory.world).nodes.length, 3)
        assert.isTrue((yield* second.creator.plan(spec)).isEmpty)
      }).pipe(Effect.provide(Memory.layer()))
  )

  it.effect("leaves orphans that sweep finds and removes, and nothing else", () =>
    Effect.gen(function*() {
      const memory = yield* Memory.Memory
      const exited = "elsewhere/1/1/abcdefgh"
      const ofExited = <A, E, R>(self: Effect.Effect<A, E, R>) =>
        Effect.updateService(self, SessionSource, (source) => ({ ...source, session: Effect.succeed(exited) }))
      yield* memory.creator.createNodes({ ...spec, cluster: "kept" })
      yield* ofExited(memory.creator.createNodes({ ...spec, cluster: "whole" }))
      yield* memory.failNext({ operation: "start", node: "half-worker", reason: no })
      yield* Effect.flip(ofExited(memory.creator.createNodes({ ...spec, cluster: "half", onFailure: "keep" })))
      yield* ofExited(memory.creator.createNodes({ ...spec, cluster: "gone" }))
      for (const name of ["gone-control-plane", "gone-worker", "gone-worker2"]) yield* memory.removeNode(name)
      yield* TestClock.adjust("2 hours")
      const hasExited = <A, E, R>(self: Effect.Effect<A, E, R>) =>
        Effect.updateService(self, SessionSource, (source) => ({
          ...source,
          hasExited: (session) => Effect.succeed(session.place === "elsewhere")
        }))
      const { sweep } = memory.creator
      assert.deepStrictEqual(yield* sweep({ olderThan: "1 hour" }), [])
      assert.deepStrictEqual(yield* hasExited(sweep({ olderThan: "3 hours" })), [])
      const found = yield* hasExited(sweep({ olderThan: "1 hour" }))
      assert.deepStrictEqual(found.map(({ kind, name }) => `${kind} ${name}`).sort(), [
        "network gone-network",
        "node half-worker",
        "volume gone-volume"
      ])
      const before = (yield* memory.world).nodes.length
      const removed = yield* hasExited(sweep({ olderThan: "1 hour", remove: true }))
      assert.isTrue(removed.every((orphan) => orphan.removed === true))
      assert.strictEqual((yield* memory.world).nodes.length, before - 1)
      assert.deepStrictEqual(yield* hasExited(sweep({ olderThan: "1 hour" })), [])
    }).pipe(Effect.provide(Memory.layer())))
})
