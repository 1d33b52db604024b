/**
 * Laws on what an interruption leaves: no further call, no wait, nothing that keeps a second run from its end.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import { override } from "../../Policy.ts"
import type { OperationReport } from "../../Report.ts"
import { rest, type TrueNode } from "../Harness.ts"
import { describe, expect, type Law, law, succeeds, type World } from "../Law.ts"
import { isAt, makeGate, steering } from "../Steering.ts"
import { expectAll, expectTruth, isControlPlane, lines, trio } from "./nodes.ts"

/**
 * Interrupts an operation while it acts on its first node, one at a time. The interruption has to be over before the
 * operation is let go; what then still happens, happens after it.
 */
const interrupted = (
  world: World,
  nodes: ReadonlyArray<TrueNode>,
  operation: Effect.Effect<OperationReport, unknown>
) =>
  Effect.gen(function*() {
    const gate = yield* makeGate("the operation reports that it acts on a node")
    const held: Array<string> = []
    const { steer } = steering((event) => {
      if (held.length > 0 || !nodes.some((node) => isAt(event, "Sent", node))) return Effect.void
      held.push(event.subject.name)
      return gate.arrive
    })
    const fiber = yield* operation.pipe(
      steer,
      override({ concurrency: { start: 1, stop: 1, delete: 1 } }),
      Effect.forkDetach
    )
    yield* gate.reached
    yield* Effect.forkChild(Fiber.interrupt(fiber))
    const exit = yield* Effect.timeoutOption(Fiber.await(fiber), Duration.times(world.harness.patience, 4))
    yield* gate.open
    yield* Fiber.await(fiber)
    yield* rest
    return { exit, others: nodes.filter((node) => !held.includes(node.name)).map((node) => node.name) }
  })

/** Breaks the law unless the nodes that were not acted on yet are as they were. */
const untouched = (world: World, others: ReadonlyArray<string>, state: string) =>
  Effect.gen(function*() {
    const truth = yield* world.harness.nodes(world.cluster)
    const left = truth.filter((node) => others.includes(node.name))
    yield* expect(
      left.length === others.length && left.every((node) => node.state === state),
      `after the interruption nothing more is done: ${others.join(", ")} stay ${state}`,
      lines(truth).join(", ")
    )
  })

/**
 * @category laws
 * @since 0.1.0
 */
export const interruption: ReadonlyArray<Law> = [
  law({
    id: "interruption.start",
    title: "a start that is interrupted starts no further node",
    check: (world) =>
      Effect.gen(function*() {
        const { nodes } = yield* trio(world, "stopped")
        const { others } = yield* interrupted(world, nodes, world.provider.startNodes(world.cluster))
        yield* untouched(world, others, "stopped")
      })
  }),
  law({
    id: "interruption.stop",
    title: "a stop that is interrupted stops no further node",
    check: (world) =>
      Effect.gen(function*() {
        const { nodes } = yield* trio(world, "running")
        const { others } = yield* interrupted(world, nodes, world.provider.stopNodes(world.cluster))
        yield* untouched(world, others, "running")
      })
  }),
  law({
    id: "interruption.delete",
    title: "a delete that is interrupted deletes no further node",
    needs: ["node-by-node"],
    check: (world) =>
      Effect.gen(function*() {
        const { nodes } = yield* trio(world, "stopped")
        const { others } = yield* interrupted(world, nodes, world.provider.deleteNodes(world.cluster))
        yield* untouched(world, others, "stopped")
      })
  }),
  law({
    id: "interruption.prompt",
    title: "an interruption does not wait for the node that is being acted on",
    check: (world) =>
      Effect.gen(function*() {
        const { nodes } = yield* trio(world, "stopped")
        const { exit } = yield* interrupted(
          world,
          nodes.filter(isControlPlane),
          world.provider.startNodes(world.cluster)
        )
        yield* expect(
          Option.isSome(exit) && Exit.hasInterrupts(exit.value),
          "startNodes ends as interrupted",
          Option.isNone(exit)
            ? "it waits for the node"
            : Exit.isSuccess(exit.value)
            ? `it succeeds, ${describe(exit.value.value)}`
            : exit.value.cause
        )
      })
  }),
  law({
    id: "interruption.again",
    title: "after a start that was interrupted, another start does the rest",
    check: (world) =>
      Effect.gen(function*() {
        const { nodes } = yield* trio(world, "stopped")
        yield* interrupted(world, nodes, world.provider.startNodes(world.cluster))
        yield* succeeds("the next startNodes", world.provider.startNodes(world.cluster))
        yield* expectAll(world, nodes, "running")
      })
  }),
  law({
    id: "interruption.delete-again",
    title: "after a delete that was interrupted, another delete does the rest",
    check: (world) =>
      Effect.gen(function*() {
        yield* trio(world, "stopped")
        const fiber = yield* Effect.forkDetach(world.provider.deleteNodes(world.cluster))
        // Under way on a backend whose calls take time; through where they take none.
        yield* Effect.sleep(Duration.divideUnsafe(world.harness.patience, 20))
        yield* Fiber.interrupt(fiber)
        yield* succeeds("the next deleteNodes", world.provider.deleteNodes(world.cluster))
        yield* expectTruth(world, world.cluster, [])
      })
  })
]
