/**
 * A backend that goes away, answers late or loses a response at each call of an operation.
 *
 * The result is always a correct value or a typed error, within the deadlines. Another run finishes the operation once
 * the backend is available again.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import type * as Memory from "kubelayer/layers/Memory"
import type { ProviderService } from "kubelayer/Provider"
import * as E from "kubelayer/ProviderError"
import * as Reason from "kubelayer/Reason"
import type { OperationReport } from "kubelayer/Report"
import { during } from "../../core/fixtures.ts"
import {
  create,
  createRest,
  gap,
  latency,
  leaving,
  nodes,
  oneByOne,
  type Operation,
  remove,
  settled,
  simulator,
  type Size,
  sizes,
  sizeText,
  start,
  stop,
  succeeded,
  surroundings,
  things,
  told,
  untilSent,
  usualCalls
} from "./stepping.ts"

interface Outage {
  readonly title: string
  /** Starts the outage right before the call is sent. */
  readonly begins: (memory: Memory.MemoryService, call: Memory.Call) => Effect.Effect<void>
  /** Ends a short outage right after the call. */
  readonly passes?: (memory: Memory.MemoryService) => Effect.Effect<void>
  /** Makes the backend available again. */
  readonly ends: (memory: Memory.MemoryService) => Effect.Effect<void>
  /** The reason in the outcome of a node. */
  readonly reason: Reason.ReasonTag
  /** Whether retries overcome the outage. */
  readonly overcome: boolean
}

const lost = (takesEffect: boolean): Outage => ({
  title: takesEffect ? "does what is asked, but the answer is lost" : "cuts the connection before it does anything",
  begins: (memory, { operation, target }) =>
    memory.failNext({ operation, node: target, takesEffect, reason: new Reason.Transport({ detail: "cut" }) }),
  ends: () => Effect.void,
  reason: "Transport",
  overcome: true
})

const outages: ReadonlyArray<Outage> = [
  {
    title: "is not available from then on",
    begins: (memory) => memory.setAvailable(false),
    ends: (memory) => memory.setAvailable(true),
    reason: "Transport",
    overcome: false
  },
  {
    title: "is not available for a moment",
    begins: (memory) => memory.setAvailable(false),
    passes: (memory) => memory.setAvailable(true),
    ends: () => Effect.void,
    reason: "Transport",
    overcome: false
  },
  {
    title: "answers, but after every deadline",
    begins: (memory, { operation, target }) => memory.setLatency({ operation, node: target, latency: "20 minutes" }),
    ends: (memory) => Effect.andThen(TestClock.adjust("1 hour"), memory.setLatency({ latency })),
    reason: "RequestTimeout",
    overcome: false
  },
  lost(false),
  lost(true)
]

/** Runs an operation with an outage at its call number `i`. It has to end within the deadlines of the policy. */
const struckAt = (i: number, memory: Memory.MemoryService, operation: Operation, size: Size, outage: Outage) =>
  Effect.gen(function*() {
    const call = (yield* usualCalls(operation, size))[i - 1]
    if (call === undefined) return assert.fail(`there is no call ${i}`)
    if (i === 1) yield* outage.begins(memory, call)
    const fiber = yield* operation.run(memory, size).pipe(oneByOne, Effect.forkChild)
    if (i > 1) {
      yield* untilSent(memory, i - 1)
      yield* outage.begins(memory, call)
    }
    while (outage.passes !== undefined && (yield* memory.calls).length < i) yield* TestClock.adjust(gap)
    if (outage.passes !== undefined) yield* outage.passes(memory)
    yield* TestClock.adjust("10 minutes")
    return fiber.pollUnsafe()
  })

const reportOf = (result: object): OperationReport | undefined =>
  "outcomes" in result
    ? result as OperationReport
    : "report" in result
    ? result.report as OperationReport
    : undefined

/** Fails unless the report has every node and resource once, with its actual outcome. */
const checkReport = (
  report: OperationReport,
  { leaves, name }: Operation,
  reason: Reason.ReasonTag,
  before: Memory.World,
  after: Memory.World,
  leftovers: ReadonlySet<string>,
  what: string
) => {
  const outcomes = told(report)
  assert.strictEqual(outcomes.size, report.outcomes.length, `${what}: something stands in the report twice`)
  const resources = name === "createNodes" || name === "deleteNodes"
  for (const one of things(before).keys()) {
    // Things of which nothing was read belong to `errors`.
    const required = one.startsWith("node ") || (resources && report.errors === undefined)
    if (required) assert.isDefined(outcomes.get(one), `${what}: ${one} is not told of`)
  }
  for (const [one, outcome] of outcomes) {
    const state = things(after).get(one)
    if (outcome === "Done") {
      // A create that fails before its starts leaves nodes that are created and stopped, and names them.
      const made = name === "createNodes" && (state === "present" || leftovers.has(one))
      assert.isTrue(state === leaves || made, `${what}: ${one} is ${state}`)
    }
    if (outcome === "RolledBack") assert.isUndefined(state, `${what}: ${one}`)
  }
  for (const { outcome } of report.failed) {
    if (outcome._tag === "Failed") assert.strictEqual(outcome.error.reason._tag, reason, what)
  }
}

const check = (operation: Operation, size: Size, outage: Outage, i: number) =>
  Effect.gen(function*() {
    const what = `${sizeText(size)} nodes, at call ${i}`
    const memory = yield* simulator(operation.seed(size), latency)
    const before = yield* memory.world
    const exit = yield* struckAt(i, memory, operation, size, outage)
    const after = yield* memory.world
    const result = settled<OperationReport, E.ProviderError>(exit, what)
    if (outage.overcome) succeeded(exit, what)

    const said = "leftovers" in result ? result.leftovers.map((one) => `${one.kind} ${one.name}`) : []
    const report = reportOf(result)
    if (report !== undefined) checkReport(report, operation, outage.reason, before, after, new Set(said), what)
    else if (i > 1) assert.fail(`${what}: it has acted, and tells nothing of it: ${String(result)}`)
    else assert.deepStrictEqual(after, before, what)
    if (operation.name === "createNodes" && exit?._tag === "Failure") {
      const left = [...things(after).keys()].filter((one) => !things(before).has(one))
      assert.sameMembers(said, left, `${what}: leftovers`)
    }

    yield* outage.ends(memory)
    const again = succeeded(yield* during("10 minutes")(operation.run(memory, size)), `${what}, again`)
    const world = yield* memory.world
    const all = Array.from({ length: size.controlPlanes }, (_, n) => `dev-control-plane${n === 0 ? "" : n + 1}`)
      .concat(Array.from({ length: size.workers }, (_, n) => `dev-worker${n === 0 ? "" : n + 1}`))
    assert.deepStrictEqual(nodes(world), new Map([...leaving(operation, all)].sort()), `${what}, again`)
    assert.strictEqual(things(world).size, operation === remove ? 0 : all.length + 2, `${what}, again`)
    assert.strictEqual(told(again).size, again.outcomes.length)
    assert.deepStrictEqual(surroundings(world), surroundings(before), what)
  })

const named: ReadonlyArray<readonly [string, Operation]> = [
  ["startNodes", start],
  ["stopNodes", stop],
  ["deleteNodes", remove],
  ["createNodes", create],
  ["createNodes of what is missing", createRest]
]

for (const [name, operation] of named) {
  describe(`${name} with a backend that, at each of its calls,`, () => {
    for (const outage of outages) {
      it.effect(
        `${outage.title}: reports the actual outcomes, and another run finishes it`,
        () =>
          Effect.gen(function*() {
            for (const size of sizes) {
              const { length } = yield* usualCalls(operation, size)
              for (let i = 1; i <= length; i++) yield* Effect.scoped(check(operation, size, outage, i))
            }
          }),
        120_000
      )
    }
  })
}

// -----------------------------------------------------------------------------
// Reads
// -----------------------------------------------------------------------------

interface Read {
  readonly name: string
  readonly run: (provider: ProviderService) => Effect.Effect<unknown, E.ProviderError>
  /** The value that it returns instead of a failure when the backend is unavailable. */
  readonly otherwise?: boolean
  /** Whether it always fails with ProviderUnavailable, for every reason. */
  readonly unavailable?: boolean
}

const reads: ReadonlyArray<Read> = [
  { name: "listNodes", run: ({ listNodes }) => listNodes("dev") },
  { name: "listAllClusters", run: ({ listAllClusters }) => listAllClusters },
  { name: "nodesExist", run: ({ nodesExist }) => nodesExist("dev") },
  { name: "getClusterStatus", run: ({ getClusterStatus }) => getClusterStatus("dev") },
  { name: "checkAvailable", run: ({ checkAvailable }) => checkAvailable, unavailable: true },
  { name: "isAvailable", run: ({ isAvailable }) => isAvailable, otherwise: false }
]

const size: Size = { controlPlanes: 1, workers: 3 }

const saysThat = (outage: Outage, unavailable: boolean) =>
  unavailable || outage.reason === "Transport" ? "ProviderUnavailable" : "BackendError"

describe("reads, from a backend that", () => {
  for (const outage of outages.filter(({ passes }) => passes === undefined)) {
    it.effect(`${outage.title}: report the outage, and the actual state once it is over`, () =>
      Effect.gen(function*() {
        for (const { name, otherwise, run, unavailable } of reads) {
          yield* Effect.scoped(Effect.gen(function*() {
            const memory = yield* simulator(size, latency)
            const usual = settled(yield* during("1 second")(run(memory.provider)), name)
            const call = (yield* memory.calls)[0] ?? assert.fail(`${name} sends no call`)
            yield* outage.begins(memory, call)
            const result = settled<unknown, unknown>(yield* during("10 minutes")(run(memory.provider)), name)
            // The check of availability is a question about now, and not asked a second time.
            if (outage.overcome && call.operation !== "ping") assert.deepStrictEqual(result, usual, name)
            else if (otherwise !== undefined) assert.strictEqual(result, otherwise, name)
            else {
              assert.propertyVal(result, "_tag", saysThat(outage, outage.overcome || unavailable === true), name)
            }
            yield* outage.ends(memory)
            assert.deepStrictEqual(settled(yield* during("1 second")(run(memory.provider)), name), usual, name)
          }))
        }
      }))

    it.effect(`${outage.title}: end a watch with the error of the outage, or continue it`, () =>
      Effect.gen(function*() {
        // Two calls open a watch, and after a cut two more open it again.
        for (const i of [1, 2, 3, 4]) {
          yield* Effect.scoped(Effect.gen(function*() {
            const what = `at call ${i}`
            const memory = yield* simulator(size, latency)
            const call: Memory.Call = { operation: i % 2 === 1 ? "watch" : "list", target: "", cluster: "" }
            if (i === 1) yield* outage.begins(memory, call)
            const fiber = yield* Effect.forkChild(Stream.runDrain(memory.provider.watchCluster("dev")))
            if (i === 2) {
              yield* untilSent(memory, 1)
              yield* outage.begins(memory, call)
            }
            if (i > 2) {
              yield* TestClock.adjust("1 second")
              if (i === 3) yield* outage.begins(memory, call)
              yield* memory.cutWatches
              if (i === 4) yield* outage.begins(memory, call)
            }
            yield* TestClock.adjust("1 hour")
            const exit = fiber.pollUnsafe()
            if (outage.overcome) {
              assert.isUndefined(exit, `${what}: it has ended`)
              yield* Fiber.interrupt(fiber)
            } else {
              assert.propertyVal(settled<unknown, unknown>(exit, what), "_tag", saysThat(outage, false), what)
            }
          }))
        }
      }))
  }
})
