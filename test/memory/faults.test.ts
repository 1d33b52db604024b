/** Changes of simulated nodes by others, failed calls, deadlines, and interrupted operations. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import * as Memory from "kubelayer/layers/Memory"
import * as Policy from "kubelayer/Policy"
import { onEvent, Provider } from "kubelayer/Provider"
import { InvalidInput, Locked, Transport } from "kubelayer/Reason"
import { dev, outcomes, sent, states } from "./support/simulator.ts"

describe("Memory, what others do", () => {
  it.effect("a node that vanishes after the list fails a start, and is done for stop and delete", () =>
    Effect.gen(function*() {
      const memory = yield* Memory.Memory
      const { provider } = memory
      const vanishing = (name: string) =>
        onEvent((event) =>
          event._tag === "Sent" && event.subject.name === name
            ? Effect.ignore(memory.removeNode(name))
            : Effect.void
        )
      const error = yield* Effect.flip(vanishing("dev-worker")(provider.startNodes("dev")))
      assert(error._tag === "NodesFailed")
      assert.deepStrictEqual(outcomes(error.report), {
        "dev-control-plane": "Done",
        "dev-worker": "Failed",
        "dev-worker2": "Done"
      })
      assert.deepStrictEqual(error.reasons.map((reason) => reason._tag), ["NotFoundError"])
      const stop = yield* vanishing("dev-worker2")(provider.stopNodes("dev"))
      assert.deepStrictEqual(outcomes(stop), { "dev-worker2": "AlreadyDone", "dev-control-plane": "Done" })
      const gone = yield* vanishing("dev-control-plane")(provider.deleteNodes("dev"))
      assert.strictEqual(outcomes(gone)["dev-control-plane"], "AlreadyDone")
    }).pipe(Effect.provide(dev("stopped"))))

  it.effect("a node that crashes at its start is Failed with its exit code, and the next start works", () =>
    Effect.gen(function*() {
      const memory = yield* Memory.Memory
      yield* memory.crash("dev-worker", { exitCode: 137, cause: "out of memory" })
      const error = yield* Effect.flip(memory.provider.startNodes("dev"))
      assert(error._tag === "NodesFailed")
      assert.deepStrictEqual(error.report.failed.map(({ name }) => name), ["dev-worker"])
      assert.include(error.message, "exit code 137: out of memory")
      const [, worker] = yield* memory.provider.listNodes("dev")
      assert.deepStrictEqual([worker?.state, worker?.rawState], ["failed", "failed (exit code 137)"])
      assert.deepStrictEqual(outcomes(yield* memory.provider.startNodes("dev")), {
        "dev-control-plane": "AlreadyDone",
        "dev-worker": "Done",
        "dev-worker2": "AlreadyDone"
      })
    }).pipe(Effect.provide(dev("stopped"))))

  it.effect("a node that ends while the others start is Failed", () =>
    Effect.gen(function*() {
      const memory = yield* Memory.Memory
      const error = yield* memory.provider.startNodes("dev").pipe(
        onEvent((event) =>
          event._tag === "Settled" && event.subject.name === "dev-worker2"
            ? Effect.ignore(memory.setState("dev-control-plane", "stopped"))
            : Effect.void
        ),
        Effect.flip
      )
      assert(error._tag === "NodesFailed")
      assert.deepStrictEqual(error.report.failed.map(({ name }) => name), ["dev-control-plane"])
    }).pipe(Effect.provide(dev("stopped"))))

  it.effect("a start whose last list fails reports every node as failed", () =>
    Effect.gen(function*() {
      const memory = yield* Memory.Memory
      const error = yield* memory.provider.startNodes("dev").pipe(
        onEvent((event) =>
          event._tag === "Settled" && event.subject.name === "dev-worker2" ? memory.setAvailable(false) : Effect.void
        ),
        Effect.flip
      )
      assert(error._tag === "NodesFailed")
      assert.deepStrictEqual(error.reasons.map((reason) => reason._tag), ["Transport", "Transport", "Transport"])
    }).pipe(Effect.provide(dev("stopped"))))

  it.effect("names the existing nodes when a test changes a node that does not exist", () =>
    Effect.gen(function*() {
      const memory = yield* Memory.Memory
      const error = yield* Effect.flip(memory.setState("worker", "stopped"))
      assert.include(error.message, "there is no node worker; there are: dev-control-plane, dev-worker")
      const taken = yield* Effect.flip(memory.addNode({ cluster: "prod", role: "worker", name: "dev-worker" }))
      assert.strictEqual(taken.reason._tag, "NameTaken")
      assert.strictEqual((yield* memory.addNode({ cluster: "dev", role: "worker" })).name, "dev-worker3")
    }).pipe(Effect.provide(dev("running"))))
})

describe("Memory, failures", () => {
  const busy = new Locked({ detail: "somebody works on it" })

  it.effect("a call that fails twice is sent again, and then works", () =>
    Effect.gen(function*() {
      const memory = yield* Memory.Memory
      yield* memory.failNext({ operation: "start", node: "dev-worker", times: 2, reason: busy })
      const fiber = yield* Effect.forkChild(memory.provider.startNodes("dev"))
      yield* TestClock.adjust("2 seconds")
      const calls = (yield* sent).filter((call) => call === "start dev-worker")
      assert.strictEqual(calls.length, 2)
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(outcomes(yield* Fiber.join(fiber)), {
        "dev-control-plane": "Done",
        "dev-worker": "Done",
        "dev-worker2": "Done"
      })
      assert.strictEqual((yield* sent).filter((call) => call === "start dev-worker").length, 3)
    }).pipe(Effect.provide(dev("stopped", { policy: { retry: Schedule.spaced("1500 millis") } }))))

  it.effect("the policy of the call wins over that of the layer", () =>
    Effect.gen(function*() {
      const memory = yield* Memory.Memory
      yield* memory.failNext({ operation: "list", cluster: "dev", reason: busy })
      const error = yield* memory.provider.listNodes("dev").pipe(
        Policy.override({ retry: Schedule.recurs(0) }),
        Effect.flip
      )
      assert(error._tag === "BackendError")
      assert.deepStrictEqual([error.operation, error.reason._tag], ["listNodes", "Locked"])
      assert.strictEqual((yield* memory.provider.listNodes("dev")).length, 3)
    }).pipe(Effect.provide(dev("running", { policy: { retry: Schedule.recurs(5) } }))))

  it.effect("one node's failure stops nothing else, and what is not retryable is sent once", () =>
    Effect.gen(function*() {
      const memory = yield* Memory.Memory
      yield* memory.failNext({
        operation: "start",
        node: "dev-control-plane",
        reason: new InvalidInput({ detail: "no such kernel" })
      })
      const error = yield* Effect.flip(memory.provider.startNodes("dev"))
      assert(error._tag === "NodesFailed")
      assert.deepStrictEqual(outcomes(error.report), {
        "dev-control-plane": "Failed",
        "dev-worker": "Done",
        "dev-worker2": "Done"
      })
      const [failure] = error.report.failed
      assert(failure?.outcome._tag === "Failed")
      assert.strictEqual(failure.outcome.error.subject?.name, "dev-control-plane")
      assert.strictEqual((yield* sent).filter((call) => call === "start dev-control-plane").length, 1)
    }).pipe(Effect.provide(dev("stopped"))))

  it.effect("a call may take effect though its answer is lost", () =>
    Effect.gen(function*() {
      const memory = yield* Memory.Memory
      yield* memory.failNext({
        operation: "delete",
        node: "dev-worker",
        reason: new Transport({ detail: "connection reset" }),
        takesEffect: true
      })
      const fiber = yield* Effect.forkChild(memory.provider.deleteNodes("dev"))
      yield* TestClock.adjust("1 second")
      assert.strictEqual(outcomes(yield* Fiber.join(fiber))["dev-worker"], "AlreadyDone")
    }).pipe(Effect.provide(dev("running"))))

  it.effect("failWhile fails every call of its scope, and none after it", () =>
    Effect.gen(function*() {
      const memory = yield* Memory.Memory
      const list = Effect.exit(memory.provider.listNodes("dev"))
      yield* Effect.scoped(Effect.gen(function*() {
        yield* memory.failWhile({ operation: "list", reason: new InvalidInput({ detail: "no" }) })
        assert.isTrue(Exit.isFailure(yield* list))
        assert.isTrue(Exit.isFailure(yield* list))
      }))
      assert.isTrue(Exit.isSuccess(yield* list))
    }).pipe(Effect.provide(dev("running"))))

  it.effect("while it is not available every method fails with ProviderUnavailable, and nothing changes", () =>
    Effect.gen(function*() {
      const memory = yield* Memory.Memory
      const { creator, provider } = memory
      yield* memory.setAvailable(false)
      const failures = yield* Effect.forEach([
        provider.listNodes("dev"),
        provider.nodesExist("dev"),
        provider.getClusterStatus("dev"),
        provider.listAllClusters,
        provider.startNodes("dev"),
        provider.stopNodes("dev"),
        provider.deleteNodes("dev"),
        provider.checkAvailable,
        creator.createNodes({ cluster: "new", controlPlanes: 1, workers: 0 }),
        Stream.runDrain(provider.watchCluster("dev"))
      ], (call) => Effect.flip<unknown, { readonly _tag: string }, never>(call))
      assert.deepStrictEqual(new Set(failures.map((error) => error._tag)), new Set(["ProviderUnavailable"]))
      assert.strictEqual(yield* provider.isAvailable, false)
      yield* memory.setAvailable(true)
      assert.strictEqual(yield* provider.isAvailable, true)
      assert.strictEqual((yield* provider.listNodes("dev")).length, 3)
    }).pipe(Effect.provide(dev("running"))))

  it.effect("whether it is available is known within the request timeout", () =>
    Effect.gen(function*() {
      const memory = yield* Memory.Memory
      yield* memory.setLatency({ operation: "ping", latency: "Infinity" })
      const fiber = yield* Effect.forkChild(memory.provider.isAvailable)
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual(yield* Fiber.join(fiber), false)
    }).pipe(Effect.provide(dev("running", { policy: { requestTimeout: "2 seconds" } }))))
})

describe("Memory, deadlines", () => {
  it.effect("a node past its deadline is Failed, and the others are not", () =>
    Effect.gen(function*() {
      const memory = yield* Memory.Memory
      yield* memory.setLatency({ operation: "stop", node: "dev-worker", latency: "Infinity" })
      const fiber = yield* Effect.forkChild(Effect.flip(memory.provider.stopNodes("dev")))
      yield* TestClock.adjust("30 seconds")
      const error = yield* Fiber.join(fiber)
      assert(error._tag === "NodesFailed")
      assert.deepStrictEqual(outcomes(error.report), {
        "dev-control-plane": "Done",
        "dev-worker": "Failed",
        "dev-worker2": "Done"
      })
      assert.deepStrictEqual(error.reasons.map((reason) => reason._tag), ["RequestTimeout"])
    }).pipe(Effect.provide(dev("running", { policy: { nodeTimeout: { stop: "30 seconds" } } }))))

  it.effect("a list without an answer fails at the request's deadline", () =>
    Effect.gen(function*() {
      const memory = yield* Memory.Memory
      yield* memory.setLatency({ operation: "list", latency: "Infinity" })
      const fiber = yield* Effect.forkChild(Effect.flip(memory.provider.listNodes("dev")))
      yield* TestClock.adjust("7 seconds")
      const error = yield* Fiber.join(fiber)
      assert(error._tag === "BackendError")
      assert.strictEqual(error.reason._tag, "RequestTimeout")
      assert.strictEqual((yield* sent).length, 2)
    }).pipe(
      Effect.provide(dev("running", { policy: { requestTimeout: "3 seconds", retry: Schedule.recurs(1) } }))
    ))

  it.effect("operationTimeout gives what was settled by then; what was sent, the backend completes", () =>
    Effect.gen(function*() {
      const provider = yield* Provider
      const fiber = yield* provider.startNodes("dev").pipe(
        Policy.override({ operationTimeout: "15 seconds" }),
        Effect.flip,
        Effect.forkChild
      )
      yield* TestClock.adjust("15 seconds")
      const error = yield* Fiber.join(fiber)
      assert(error._tag === "OperationTimeout")
      assert.deepStrictEqual(outcomes(error.report), { "dev-control-plane": "Done" })
      assert.strictEqual((yield* states("dev"))["dev-worker"], "starting")
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual((yield* states("dev"))["dev-worker"], "running")
    }).pipe(Effect.provide(dev("stopped", { latency: { start: "10 seconds" } }))))
})

describe("Memory, interruption", () => {
  it.effect("in the middle of a stop nothing more is sent, what was sent is completed, and another stop ends it", () =>
    Effect.gen(function*() {
      const provider = yield* Provider
      const fiber = yield* Effect.forkChild(provider.stopNodes("dev"))
      yield* TestClock.adjust("5 seconds")
      const before = yield* sent
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(yield* states("dev"), {
        "dev-control-plane": "running",
        "dev-worker": "stopping",
        "dev-worker2": "stopping"
      })
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual(yield* sent, before)
      assert.deepStrictEqual(yield* states("dev"), {
        "dev-control-plane": "running",
        "dev-worker": "stopped",
        "dev-worker2": "stopped"
      })
      const again = yield* Effect.forkChild(provider.stopNodes("dev"))
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(outcomes(yield* Fiber.join(again)), {
        "dev-control-plane": "Done",
        "dev-worker": "AlreadyDone",
        "dev-worker2": "AlreadyDone"
      })
    }).pipe(Effect.provide(dev("running", { latency: { stop: "10 seconds" } }))))
})
