/**
 * A watch whose connection is cut a thousand times, while the cluster changes before, between and after the cuts.
 *
 * No change is lost, no status is repeated, and the watch ends with the cluster. The seed decides the changes and their
 * times.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import { toJson } from "kubelayer/Cluster"
import type * as Memory from "kubelayer/layers/Memory"
import type { ClusterStatus } from "kubelayer/Model"
import { Transport } from "kubelayer/Reason"
import { between, oneOf, type Random, random } from "kubelayer/testing/faults/Random"
import { during, tracing } from "../../core/fixtures.ts"
import { nodes, simulator } from "./stepping.ts"

const cuts = 1000

const key = (status: ClusterStatus): string => JSON.stringify(toJson(status))

/** Something that somebody else does to the cluster, which keeps at least one node; also what leaves it as it was. */
const change = (memory: Memory.MemoryService, next: Random) =>
  Effect.gen(function*() {
    const all = nodes(yield* memory.world)
    const [name, state] = [...all][between(next, 0, all.size - 1)] ?? assert.fail("the cluster has no nodes")
    const others = (["running", "stopped", "failed", "starting"] as const).filter((other) => other !== state)
    const other = others[between(next, 0, 2)] ?? "stopped"
    const was = (yield* memory.world).nodes.find((node) => node.name === name)?.state ?? "stopped"
    yield* oneOf(next, [
      memory.setState(name, other),
      Effect.andThen(memory.setState(name, other), memory.setState(name, was)),
      memory.addNode({ cluster: all.size < 6 ? "dev" : "dev-2", role: "worker", state: other }),
      all.size > 1 ? memory.removeNode(name) : memory.setState(name, other)
    ])
  }).pipe(Effect.orDie)

/** Watches the cluster; for each status the reader takes as long as `reads` says. */
const watching = (memory: Memory.MemoryService, reads: () => number) =>
  Effect.gen(function*() {
    const seen: Array<ClusterStatus> = []
    const fiber = yield* memory.provider.watchCluster("dev").pipe(
      Stream.runForEach((status) => Effect.andThen(Effect.sync(() => seen.push(status)), Effect.sleep(reads()))),
      Effect.forkScoped
    )
    yield* TestClock.adjust("1 second")
    return { seen, fiber }
  })

interface Case {
  readonly title: string
  readonly seed: number
  readonly latency: Memory.Options["latency"]
  /** How long the reader takes for a status. */
  readonly reads: (next: Random) => number
  /** How probable it is that a call fails too after a cut. */
  readonly failures: number
}

const cases: ReadonlyArray<Case> = [
  { title: "calls that take no time", seed: 1, latency: 0, reads: () => 0, failures: 0 },
  { title: "slow calls", seed: 2, latency: { list: 30, watch: 20 }, reads: () => 0, failures: 0 },
  { title: "calls that are cut as well", seed: 3, latency: { list: 30, watch: 20 }, reads: () => 0, failures: 0.1 },
  { title: "a slow reader", seed: 4, latency: { list: 30 }, reads: (next) => between(next, 0, 500), failures: 0 }
]

const check = ({ failures, latency, reads, seed }: Case) =>
  Effect.gen(function*() {
    const next = random(seed)
    const memory = yield* simulator({ controlPlanes: 1, workers: 3 }, latency)
    const reader = random(seed, "reader")
    const { fiber, seen } = yield* watching(memory, () => reads(reader))
    let rests = 0

    for (let cut = 1; cut <= cuts; cut++) {
      for (let n = between(next, 0, 2); n > 0; n--) yield* change(memory, next)
      // The watch may just be opened, or read, when the next cut comes.
      if (next() < 0.7) yield* TestClock.adjust(between(next, 0, 60))
      if (next() < failures) {
        const operation = oneOf<"list" | "watch">(next, ["list", "watch"])
        yield* memory.failNext({ operation, cluster: "dev", reason: new Transport({ detail: "cut" }) })
      }
      yield* memory.cutWatches
      for (let n = between(next, 0, 2); n > 0; n--) {
        yield* TestClock.adjust(between(next, 0, 10))
        yield* change(memory, next)
      }
      if (next() < 0.8 && cut < cuts) continue

      yield* TestClock.adjust("5 seconds")
      rests++
      assert.isUndefined(fiber.pollUnsafe(), `cut ${cut}: the watch has ended`)
      const present = yield* during("1 minute")(memory.provider.getClusterStatus("dev"))
      const status = present === undefined ? Option.none() : Option.flatten(Exit.getSuccess(present))
      const [said, last] = [Option.map(status, key), Option.fromUndefinedOr(seen.at(-1)).pipe(Option.map(key))]
      assert.deepStrictEqual(last, said, `cut ${cut}: the last status at rest`)
    }

    const opened = (yield* memory.calls).filter((call) => call.operation === "watch").length
    // Of several cuts in a row only the first meets a connection.
    assert.isAbove(opened, cuts / 4, "the cuts have met a connection")
    assert.isAbove(rests, cuts / 10)
    assert.isAbove(seen.length, cuts / 4)
    const keys = seen.map(key)
    const doubled = keys.findIndex((one, index) => index > 0 && one === keys[index - 1])
    assert.strictEqual(doubled, -1, "a status that is the one before")

    // It ends with the cluster, though it is cut at the same time.
    const before = seen.length
    for (const node of nodes(yield* memory.world).keys()) yield* Effect.orDie(memory.removeNode(node))
    yield* memory.cutWatches
    yield* TestClock.adjust("5 seconds")
    assert.isTrue(Exit.isSuccess(fiber.pollUnsafe() ?? assert.fail("the watch goes on without the cluster")))
    assert.strictEqual(seen.length, before, "a cluster that is gone has no status")
  })

describe(`a watch that is cut ${cuts} times`, () => {
  for (const each of cases) {
    it.effect(
      `loses no change, repeats no status, and ends with the cluster, with ${each.title}`,
      () => check(each),
      120_000
    )
  }
})

describe("a watch whose reader stops early", () => {
  it.effect("has a span with its calls", () =>
    Effect.gen(function*() {
      const { layer, spans } = tracing()
      const memory = yield* simulator({ controlPlanes: 1, workers: 1 })
      const fiber = yield* memory.provider.watchCluster("dev").pipe(
        Stream.take(2),
        Stream.runDrain,
        Effect.provide(layer),
        Effect.forkChild
      )
      yield* TestClock.adjust("1 second")
      yield* memory.setState("dev-worker", "stopped")
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(fiber)
      const told = spans.filter(({ name }) => name !== "kubelayer.call").map((span) => [
        span.name,
        span.attributes.get("kubelayer.calls"),
        span.status._tag
      ])
      assert.deepStrictEqual(told, [["kubelayer.memory.watchCluster", 3, "Ended"]])
    }))
})
