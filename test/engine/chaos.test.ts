/** Two clients of one cluster with random latencies and failures, over many seeds. On simulated time. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Memory from "kubelayer/layers/Memory"
import { InvalidInput, Transport } from "kubelayer/Reason"
import { simulated } from "../../src/testing/SimulatedTime.ts"

const spec = { cluster: "dev", controlPlanes: 1, workers: 3 }
const nodes = ["dev-control-plane", "dev-worker", "dev-worker2", "dev-worker3"]

/** Numbers of a seed, from 0 to 1. */
const randomOf = (seed: number) => {
  let state = seed + 1
  return () => {
    state = (state * 48_271) % 2_147_483_647
    return state / 2_147_483_647
  }
}

const seeds = Array.from({ length: 40 }, (_, seed) => seed)

const world = Effect.map(
  Memory.Memory.use((memory) => memory.world),
  ({ nodes, resources }) =>
    [...nodes.map(({ name, state }) => `${name} ${state}`), ...resources.map(({ name }) => name)].sort()
)

const whole = [...nodes.map((name) => `${name} running`), "dev-network", "dev-volume"].sort()

describe("two clients that create one cluster", () => {
  it.live.each(seeds)(
    "while the first fails, the second ends whole (seed %d)",
    (seed) =>
      simulated(
        Effect.gen(function*() {
          const random = randomOf(seed)
          const memory = yield* Memory.Memory
          const second = yield* memory.secondClient
          for (const operation of ["list", "create", "start", "delete", "decideFate"] as const) {
            yield* memory.setLatency({ operation, latency: Math.round(random() * 1000) })
          }
          for (const node of nodes) {
            yield* memory.setLatency({ operation: "create", node, latency: Math.round(random() * 2000) })
          }
          // The first is interrupted at a random time.
          const first = yield* Effect.forkChild(Effect.result(memory.creator.createNodes(spec)))
          yield* Effect.sleep(Math.round(random() * 1500))
          const other = yield* Effect.forkChild(Effect.result(second.creator.createNodes(spec)))
          yield* Effect.sleep(Math.round(random() * 6000))
          yield* Fiber.interrupt(first)
          const result = yield* Fiber.join(other)
          assert.strictEqual(result._tag, "Success", result._tag === "Failure" ? result.failure.message : "")
          assert.deepStrictEqual(yield* world, whole)
        }).pipe(Effect.provide(Memory.layer()))
      )
  )

  it.live.each(seeds)(
    "with lost replies and refusals end with a whole cluster or with none (seed %d)",
    (seed) =>
      simulated(
        Effect.gen(function*() {
          const random = randomOf(seed + 1000)
          const memory = yield* Memory.Memory
          const second = yield* memory.secondClient
          yield* memory.setLatency({ latency: Math.round(random() * 300) })
          const lost = new Transport({ detail: "connection reset" })
          const refused = new InvalidInput({ detail: "no" })
          for (const node of [...nodes, "dev-network", "dev-volume"]) {
            const dice = random()
            const operation = random() < 0.5 ? "create" as const : "start" as const
            if (dice < 0.3) yield* memory.failNext({ operation, node, reason: lost, takesEffect: random() < 0.5 })
            else if (dice < 0.4) yield* memory.failNext({ operation, node, reason: refused })
          }
          const results = yield* Effect.all([
            Effect.result(memory.creator.createNodes(spec)),
            Effect.andThen(Effect.sleep(Math.round(random() * 1000)), Effect.result(second.creator.createNodes(spec)))
          ], { concurrency: 2 })
          const left = results.flatMap((result) =>
            result._tag === "Failure" && result.failure._tag === "NodesNotCreated" ? result.failure.leftovers : []
          )
          if (results.some(({ _tag }) => _tag === "Success")) {
            assert.deepStrictEqual(yield* world, whole)
          } else {
            // Both failed: what is there is what they say that they have left.
            const there = (yield* world).map((line) => line.split(" ")[0] ?? "")
            assert.deepStrictEqual(there.filter((name) => !left.some((one) => one.name === name)), [])
          }
          // The next operation finishes it.
          yield* second.creator.createNodes(spec)
          assert.deepStrictEqual(yield* world, whole)
          assert.isTrue((yield* memory.creator.plan(spec)).isEmpty)
        }).pipe(Effect.provide(Memory.layer()))
      )
  )
})
