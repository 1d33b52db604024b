/** Every operation, interrupted at each of its events in turn. Over Memory, on simulated time. */
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Memory from "kubelayer/layers/Memory"
import { onEvent } from "kubelayer/Provider"
import { simulated } from "../../src/testing/SimulatedTime.ts"

const spec = { cluster: "dev", controlPlanes: 1, workers: 2 }

/** Runs an effect until its event of this number, and interrupts it there. Says whether it came to that. */
const interruptedAt = <A, E, R>(event: number, self: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    let count = 0
    const reached = yield* Deferred.make<void>()
    const fiber = yield* self.pipe(
      onEvent(() =>
        ++count === event ? Effect.andThen(Deferred.succeed(reached, undefined), Effect.never) : Effect.void
      ),
      Effect.forkChild
    )
    yield* Effect.race(Deferred.await(reached), Fiber.await(fiber))
    yield* Fiber.interrupt(fiber)
    const exit = yield* Fiber.await(fiber)
    return Exit.isFailure(exit) && Exit.hasInterrupts(exit)
  })

interface Case {
  readonly seeded: boolean
  readonly state?: "running" | "stopped"
  readonly run: (memory: Memory.MemoryService) => Effect.Effect<unknown, unknown>
  /** The invariants right after the interruption. */
  readonly after?: (world: Memory.World) => void
  /** The invariants after another run to the end. */
  readonly end: (world: Memory.World) => void
}

const states = ({ nodes }: Memory.World) => nodes.map(({ name, state }) => `${name} ${state}`).sort()
const names = ({ nodes }: Memory.World) => nodes.map(({ name }) => name).sort()
const whole = ["dev-control-plane running", "dev-worker running", "dev-worker2 running"]

const cases: Readonly<Record<string, Case>> = {
  createNodes: {
    seeded: false,
    run: ({ creator }) => creator.createNodes(spec),
    after: (world) => assert.deepStrictEqual(world, { nodes: [], resources: [], unlabelled: [] }),
    end: (world) => assert.deepStrictEqual(states(world), whole)
  },
  addNodes: {
    seeded: true,
    run: ({ creator }) => creator.addNodes("dev", { workers: 2 }),
    after: (world) => assert.deepStrictEqual(states(world), whole),
    end: (world) =>
      assert.deepStrictEqual(states(world), [...whole, "dev-worker3 running", "dev-worker4 running"].sort())
  },
  "apply of a plan that changes everything": {
    seeded: true,
    run: ({ creator }) =>
      Effect.flatMap(
        creator.plan({
          ...spec,
          workers: 1,
          labels: { team: "a" },
          pools: [{ name: "gpu", role: "worker", count: 1 }]
        }),
        (plan) => creator.apply(plan)
      ),
    end: (world) => {
      assert.deepStrictEqual(states(world), ["dev-control-plane running", "dev-gpu-1 running", "dev-worker running"])
      assert.isTrue(world.nodes.every(({ labels }) => labels["team"] === "a"))
    }
  },
  startNodes: {
    seeded: true,
    state: "stopped",
    run: ({ provider }) => provider.startNodes("dev"),
    end: (world) => assert.deepStrictEqual(states(world), whole)
  },
  stopNodes: {
    seeded: true,
    run: ({ provider }) => provider.stopNodes("dev"),
    end: (world) => assert.deepStrictEqual(states(world), whole.map((line) => line.replace("running", "stopped")))
  },
  restartNodes: {
    seeded: true,
    run: ({ creator }) => creator.restartNodes("dev", { nodes: ["dev-worker", "dev-worker2"] }),
    end: (world) => assert.deepStrictEqual(states(world), whole)
  },
  replaceNodes: {
    seeded: true,
    run: ({ creator }) => creator.replaceNodes("dev", { nodes: ["dev-worker", "dev-worker2"] }),
    end: (world) => assert.deepStrictEqual(states(world), whole)
  },
  removeNodes: {
    seeded: true,
    run: ({ creator }) => creator.removeNodes("dev", ["dev-worker", "dev-worker2"]),
    end: (world) => assert.deepStrictEqual(names(world), ["dev-control-plane"])
  },
  deleteNodes: {
    seeded: true,
    run: ({ provider }) => provider.deleteNodes("dev"),
    end: (world) => assert.deepStrictEqual(world, { nodes: [], resources: [], unlabelled: [] })
  }
}

describe("an operation that is interrupted", () => {
  for (const [name, { after, end, run, seeded, state }] of Object.entries(cases)) {
    it.live(`leaves no call behind, and is finished by running again: ${name}`, () =>
      simulated(Effect.gen(function*() {
        let interruptions = 0
        for (let event = 1;; event++) {
          const isInterrupted = yield* Effect.gen(function*() {
            const memory = yield* Memory.Memory
            const isInterrupted = yield* interruptedAt(event, run(memory))
            const calls = (yield* memory.calls).length
            yield* Effect.sleep("1 minute")
            assert.strictEqual((yield* memory.calls).length, calls, "a call comes after the interruption")
            if (isInterrupted) after?.(yield* memory.world)
            // The same call finishes an interrupted operation.
            if (isInterrupted) yield* run(memory)
            end(yield* memory.world)
            return isInterrupted
          }).pipe(Effect.provide(Memory.layer({
            latency: "1 second",
            ...(seeded
              ? { clusters: { dev: { controlPlanes: 1, workers: 2, ...(state === undefined ? {} : { state }) } } }
              : {})
          })))
          if (!isInterrupted) break
          interruptions++
        }
        assert.isAbove(interruptions, 5)
      })))
  }
})
