import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import * as Memory from "kubelayer/layers/Memory"
import type { ClusterStatus, OperationReport } from "kubelayer/Model"
import * as Policy from "kubelayer/Policy"
import { awaitGone, awaitStatus, layerFrom, NodeCreator, onEvent, Provider } from "kubelayer/Provider"
import { InvalidInput, Locked, ServerFault, Transport } from "kubelayer/ProviderError"

const running = { controlPlanes: 1, workers: 2 }
const stopped = { ...running, state: "stopped" } as const

const outcomes = (report: OperationReport) =>
  Object.fromEntries(report.outcomes.map(({ name, outcome }) => [name, outcome._tag]))

const states = (cluster: string) =>
  Effect.gen(function*() {
    const { nodes } = yield* (yield* Memory.Memory).world
    return Object.fromEntries(nodes.filter((node) => node.cluster === cluster).map(({ name, state }) => [name, state]))
  })

const sent = Effect.gen(function*() {
  const calls = yield* (yield* Memory.Memory).calls
  return calls.map(({ operation, target }) => `${operation} ${target}`.trim())
})

const dev = (state: "running" | "stopped", options: Memory.Options = {}) =>
  Memory.layer({ clusters: { dev: { ...running, state } }, ...options })

/** Collects what a watch gives, as phase and count of ready nodes. */
const watching = Effect.gen(function*() {
  const seen: Array<ClusterStatus> = []
  const fiber = yield* Provider.use((provider) =>
    Stream.runForEach(provider.watchCluster("dev"), (status) => Effect.sync(() => seen.push(status)))
  ).pipe(Effect.forkChild)
  yield* TestClock.adjust(0)
  return {
    seen,
    fiber,
    phases: () => seen.map(({ nodesReady, nodesTotal, phase }) => `${phase} ${nodesReady}/${nodesTotal}`)
  }
})

describe("Memory", () => {
  describe("reads", () => {
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

  describe("start and stop", () => {
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

    it.effect("tells its progress", () =>
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

  describe("what others do", () => {
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

    it.effect("a start whose last list fails knows of no node that it runs, and says so in the report", () =>
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

    it.effect("says which nodes there are when it is told to change one that is not there", () =>
      Effect.gen(function*() {
        const memory = yield* Memory.Memory
        const error = yield* Effect.flip(memory.setState("worker", "stopped"))
        assert.include(error.message, "there is no node worker; there are: dev-control-plane, dev-worker")
        const taken = yield* Effect.flip(memory.addNode({ cluster: "prod", role: "worker", name: "dev-worker" }))
        assert.strictEqual(taken.reason._tag, "NameTaken")
        assert.strictEqual((yield* memory.addNode({ cluster: "dev", role: "worker" })).name, "dev-worker3")
      }).pipe(Effect.provide(dev("running"))))
  })

  describe("failures", () => {
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
        assert.strictEqual(failure.outcome.error.node, "dev-control-plane")
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

    it.effect("while it is not available every method says so, and afterwards the world is as it was", () =>
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

  describe("deadlines", () => {
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

  describe("interruption", () => {
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

  describe("delete", () => {
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

    it.effect("what something foreign uses is Skipped, by the name of its user", () =>
      Effect.gen(function*() {
        const memory = yield* Memory.Memory
        yield* memory.addForeign({ kind: "node", name: "registry", uses: ["dev-network"] })
        const report = yield* memory.provider.deleteNodes("dev")
        assert.deepStrictEqual(report.skipped.map(({ name, problem }) => [name, problem]), [
          ["dev-network", "it is used by the foreign node registry"]
        ])
        yield* memory.removeForeign("registry")
        assert.deepStrictEqual(outcomes(yield* memory.provider.deleteNodes("dev")), { "dev-network": "Done" })
      }).pipe(Effect.provide(dev("running"))))

    it.effect("a node that cannot be deleted keeps its network, and both go with the next delete", () =>
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
        assert.deepStrictEqual(yield* memory.world, { nodes: [], resources: [], foreign: [] })
      }).pipe(Effect.provide(dev("running"))))
  })

  describe("watchCluster", () => {
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

  describe("createNodes", () => {
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
        yield* memory.addForeign({ kind: "node", name: "new-control-plane3" })
        const before = yield* memory.world
        const error = yield* Effect.flip(
          memory.creator.createNodes({ ...spec, controlPlanes: 3, workers: 1, labels: { team: "b" } })
        )
        assert(error._tag === "BackendError" && error.reason._tag === "NameTaken")
        assert.include(error.message, "worker new-worker2, which is not asked for")
        assert.include(error.message, "new-worker has the labels {team=a}, {team=b} are asked for")
        assert.include(error.message, "held by the foreign node new-control-plane3")
        assert.deepStrictEqual(yield* memory.world, before)
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

    it.effect("tells all faults of a spec at once, before any call", () =>
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

    it.effect("removes what it made when a node cannot be made, and keeps what was there", () =>
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

    it.effect("stops at the wave that failed, and leaves nothing of a new cluster", () =>
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
          "new-worker": "Skipped",
          "new-worker2": "Skipped"
        })
        assert.deepStrictEqual(yield* memory.world, { nodes: [], resources: [], foreign: [] })
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

    it.effect("keeps what it made where that is asked for, and the next create goes on from there", () =>
      Effect.gen(function*() {
        const memory = yield* Memory.Memory
        yield* memory.failNext({ operation: "create", node: "new-worker", reason: new InvalidInput({ detail: "no" }) })
        const error = yield* Effect.flip(memory.creator.createNodes({ ...spec, onFailure: "keep" }))
        assert(error._tag === "NodesNotCreated")
        assert.deepStrictEqual(outcomes(error.report), { ...all, "new-worker": "Failed" })
        assert.deepStrictEqual((yield* memory.creator.createNodes(spec)).done.map(({ name }) => name), ["new-worker"])
      }).pipe(Effect.provide(Memory.layer())))

    it.effect("looks for what it sent before it sends it again", () =>
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

    it.effect("two at once make one cluster: the second finds what the first has made", () =>
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

    it.effect("starts what an earlier create has made but never started, and leaves alone what was stopped", () =>
      Effect.gen(function*() {
        const memory = yield* Memory.Memory
        yield* memory.failNext({ operation: "start", node: "new-worker", reason: new InvalidInput({ detail: "no" }) })
        yield* Effect.flip(memory.creator.createNodes({ ...spec, onFailure: "keep" }))
        yield* memory.setState("new-worker2", "stopped")
        const report = yield* memory.creator.createNodes(spec)
        assert.deepStrictEqual(report.done.map(({ name }) => name), ["new-worker"])
        assert.strictEqual((yield* states("new"))["new-worker2"], "stopped")
      }).pipe(Effect.provide(Memory.layer())))

    it.effect("interrupted, it removes what it made, also what the backend was still making", () =>
      Effect.gen(function*() {
        const memory = yield* Memory.Memory
        const fiber = yield* Effect.forkChild(memory.creator.createNodes(spec))
        yield* TestClock.adjust("35 seconds")
        assert.deepStrictEqual(yield* states("new"), {
          "new-control-plane": "running",
          "new-control-plane2": "running",
          "new-worker": "creating",
          "new-worker2": "creating"
        })
        const ended = yield* Effect.forkChild(Fiber.interrupt(fiber))
        yield* TestClock.adjust("1 minute")
        yield* Fiber.join(ended)
        const exit = yield* Fiber.await(fiber)
        assert.isTrue(Exit.hasInterrupts(exit))
        assert.deepStrictEqual(yield* memory.world, { nodes: [], resources: [], foreign: [] })
      }).pipe(
        Effect.provide(Memory.layer({ latency: { create: "10 seconds", start: "10 seconds", delete: "5 seconds" } }))
      ))

    it.effect("interrupted before it has made anything, it sends nothing more", () =>
      Effect.gen(function*() {
        const memory = yield* Memory.Memory
        const fiber = yield* Effect.forkChild(memory.creator.createNodes(spec))
        yield* TestClock.adjust("1 second")
        yield* Fiber.interrupt(fiber)
        yield* TestClock.adjust("1 minute")
        assert.deepStrictEqual(yield* sent, ["list new"])
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

    it.effect("past the operationTimeout it removes what it made, and the report says so", () =>
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
        assert.deepStrictEqual(yield* memory.world, { nodes: [], resources: [], foreign: [] })
      }).pipe(Effect.provide(Memory.layer({ latency: { create: "10 seconds" } }))))

    it.effect("createNodesScoped deletes the cluster when its scope closes", () =>
      Effect.gen(function*() {
        const memory = yield* Memory.Memory
        const scope = yield* Scope.make()
        yield* Scope.provide(memory.creator.createNodesScoped(spec), scope)
        assert.strictEqual(yield* memory.provider.nodesExist("new"), true)
        yield* Scope.close(scope, Exit.void)
        assert.deepStrictEqual(yield* memory.world, { nodes: [], resources: [], foreign: [] })
      }).pipe(Effect.provide(Memory.layer())))
  })

  describe("layers", () => {
    it.effect("two simulators share nothing", () =>
      Effect.gen(function*() {
        const one = yield* Memory.make({ clusters: { dev: running } })
        const two = yield* Memory.make({ clusters: { dev: running } })
        yield* one.provider.stopNodes("dev")
        yield* one.addForeign({ kind: "node", name: "registry" })
        const status = Option.getOrThrow(yield* two.provider.getClusterStatus("dev"))
        assert.strictEqual(status.phase, "running")
        assert.deepStrictEqual((yield* two.world).foreign, [])
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
})
