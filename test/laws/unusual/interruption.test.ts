/**
 * Operations that are interrupted after each of their calls.
 *
 * The backend completes the calls that were sent. Nothing else is sent, except by a create, which removes what it
 * created. No fiber is left, and another run finishes the operation.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { TestClock } from "effect/testing"
import type * as Memory from "kubelayer/layers/Memory"
import * as Policy from "kubelayer/Policy"
import { during } from "../../core/fixtures.ts"
import {
  counting,
  create,
  createRest,
  latency,
  leaving,
  nodes,
  oneByOne,
  type Operation,
  remove,
  simulator,
  type Size,
  sizes,
  sizeText,
  start,
  stop,
  succeeded,
  surroundings,
  told,
  untilSent,
  usualCalls
} from "./stepping.ts"

const isWrite = ({ operation }: Memory.Call) => ["create", "start", "stop", "delete"].includes(operation)

const lines = (calls: ReadonlyArray<Memory.Call>) => calls.map(({ operation, target }) => `${operation} ${target}`)

interface Case {
  readonly operation: Operation
  readonly size: Size
  /** One node at a time, or as many as the policy allows. */
  readonly width: "narrow" | "wide"
}

const policy = (width: Case["width"]): Policy.Overrides =>
  width === "wide" ? {} : { concurrency: { create: 1, start: 1, stop: 1, delete: 1 } }

/** Runs an operation and interrupts it right after its call number `i` was sent. */
const interruptedAfter = (i: number, memory: Memory.MemoryService, { operation, size, width }: Case) =>
  Effect.gen(function*() {
    const what = `interrupted after call ${i}`
    const { counted, live } = counting()
    const fiber = yield* operation.run(memory, size).pipe(
      oneByOne,
      Policy.override(policy(width)),
      Effect.forkChild,
      counted
    )
    const sentAt = yield* untilSent(memory, i)
    const calls = yield* memory.calls
    assert.isUndefined(fiber.pollUnsafe(), `${what}: it has ended before`)
    const interruption = yield* Effect.forkChild(Fiber.interrupt(fiber))
    yield* TestClock.adjust(0)
    const ended = fiber.pollUnsafe() !== undefined
    const now = yield* Clock.currentTimeMillis
    const inBackend = calls.filter((call, index) => isWrite(call) && (sentAt[index] ?? 0) + latency > now).length
    const left = live()

    yield* TestClock.adjust("10 minutes")
    yield* Fiber.join(interruption)
    assert.strictEqual(live(), 0, `${what}: fibers that are left`)
    return { what, calls, ended, left, inBackend, after: (yield* memory.calls).slice(calls.length) }
  })

const check = (each: Case, i: number) =>
  Effect.gen(function*() {
    const { operation, size } = each
    const memory = yield* simulator(operation.seed(size), latency)
    const before = yield* memory.world
    const { after, calls, ended, inBackend, left, what } = yield* interruptedAfter(i, memory, each)
    const world = yield* memory.world

    if (operation.name === "createNodes") {
      assert.deepStrictEqual(world, before, `${what}: the world is not as before`)
      const makes = new Set(calls.filter((call) => call.operation === "create").map((call) => call.target))
      const removes = after.filter(({ operation }) => !["list", "decideFate", "forgetFate"].includes(operation))
      assert.isTrue(removes.every((call) => call.operation === "delete"), `${what}: ${lines(after)}`)
      assert.sameMembers(removes.map((call) => call.target), [...makes], what)
    } else {
      assert.isTrue(ended, `${what}: it does not end at once`)
      assert.strictEqual(left, inBackend, `${what}: fibers beside those of calls that the backend completes`)
      assert.deepStrictEqual(lines(after), [], `${what}: calls that are sent nevertheless`)
      const sent = new Set(calls.filter(isWrite).map((call) => call.target))
      const reached = leaving(operation, sent)
      const expected = [...nodes(before)].flatMap(([node, state]) =>
        !sent.has(node) ? [[node, state]] : reached.has(node) ? [[node, reached.get(node)]] : []
      )
      assert.deepStrictEqual([...nodes(world)], expected, `${what}: what was sent is done, and nothing else`)
      assert.deepStrictEqual(surroundings(world), surroundings(before), what)
    }

    const again = succeeded(yield* during("10 minutes")(operation.run(memory, size)), `${what}, again`)
    const finished = yield* memory.world
    const all = nodes(before).size > nodes(finished).size ? nodes(before) : nodes(finished)
    assert.deepStrictEqual(nodes(finished), leaving(operation, all.keys()), `${what}, again`)
    assert.deepStrictEqual(surroundings(finished), surroundings(before), `${what}, again`)
    const outcomes = told(again)
    const reached = nodes(world)
    for (const [node, state] of reached) {
      const expected = state === operation.leaves ? "AlreadyDone" : "Done"
      assert.strictEqual(outcomes.get(`node ${node}`), expected, `${what}, again: ${node}`)
    }
    assert.strictEqual(outcomes.size, again.outcomes.length)
  })

const named: ReadonlyArray<readonly [string, Operation]> = [
  ["startNodes", start],
  ["stopNodes", stop],
  ["deleteNodes", remove],
  ["createNodes", create],
  ["createNodes of what is missing", createRest]
]

for (const [name, operation] of named) {
  describe(`${name}, interrupted after each of its calls`, () => {
    for (const size of sizes) {
      for (const width of ["narrow", "wide"] as const) {
        const how = width === "narrow" ? "one at a time" : "many at once"
        it.effect(
          `leaves a cluster of ${sizeText(size)} nodes, acted on ${how}, so that another run finishes it`,
          () =>
            Effect.gen(function*() {
              const { length } = yield* usualCalls(operation, size)
              for (let i = 1; i <= length; i++) yield* Effect.scoped(check({ operation, size, width }, i))
            }),
          120_000
        )
      }
    }
  })
}
