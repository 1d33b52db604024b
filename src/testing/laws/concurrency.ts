/**
 * Laws on what runs at once: inside a wave, and of several operations.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { override } from "../../Policy.ts"
import type { OperationReport } from "../../Report.ts"
import { rest, type TrueNode } from "../Harness.ts"
import { expect, expectSame, type Law, law, succeeds } from "../Law.ts"
import { isAt, makeGate, steering } from "../Steering.ts"
import { expectAll, expectTruth, lines, trio } from "./nodes.ts"

/** Holds every one of these nodes where its call is sent, and finds out how many come so far together. */
const together = <E>(nodes: ReadonlyArray<TrueNode>, operation: Effect.Effect<OperationReport, E>) =>
  Effect.gen(function*() {
    const gate = yield* makeGate("a call is sent")
    const held = new Set<string>()
    const { steer } = steering((event) => {
      if (!nodes.some((node) => isAt(event, "Sent", node))) return Effect.void
      held.add(event.subject.name)
      return gate.arrive
    })
    const fiber = yield* Effect.forkChild(steer(operation))
    yield* gate.reached
    yield* rest
    const count = held.size
    yield* gate.open
    yield* succeeds("the operation", Fiber.join(fiber))
    return count
  })

const acted = (count: number) => `${count} ${count === 1 ? "is" : "are"} acted on at once`

/**
 * @category laws
 * @since 0.1.0
 */
export const concurrency: ReadonlyArray<Law> = [
  law({
    id: "concurrency.start",
    title: "the workers of a cluster are started at once, not one after the other",
    check: (world) =>
      Effect.gen(function*() {
        const { workers } = yield* trio(world, "stopped", 3)
        const count = yield* together(workers, world.provider.startNodes(world.cluster))
        yield* expect(count === 3, acted(3), acted(count))
      })
  }),
  law({
    id: "concurrency.stop",
    title: "the workers of a cluster are stopped at once, not one after the other",
    check: (world) =>
      Effect.gen(function*() {
        const { workers } = yield* trio(world, "running", 3)
        const count = yield* together(workers, world.provider.stopNodes(world.cluster))
        yield* expect(count === 3, acted(3), acted(count))
      })
  }),
  law({
    id: "concurrency.bound",
    title: "no more nodes are acted on at once than Policy.concurrency says",
    check: (world) =>
      Effect.gen(function*() {
        const { workers } = yield* trio(world, "stopped", 4)
        const start = world.provider.startNodes(world.cluster).pipe(override({ concurrency: { start: 2 } }))
        const count = yield* together(workers, start)
        yield* expect(count <= 2, "at most 2 are acted on at once", acted(count))
      })
  }),
  law({
    id: "concurrency.two-clusters",
    title: "operations on two clusters at the same time each do and report their own",
    check: (world) =>
      Effect.gen(function*() {
        const { cluster, provider } = world
        const other = { ...world, cluster: `${cluster}-b` }
        const { controlPlane, nodes } = yield* trio(world, "stopped")
        const { nodes: others } = yield* trio(other, "running")
        const gate = yield* makeGate(`startNodes reports that it is going to start ${controlPlane.name}`)
        const { steer } = steering((event) => isAt(event, "Scheduled", controlPlane) ? gate.arrive : Effect.void)
        const fiber = yield* Effect.forkChild(steer(provider.startNodes(cluster)))
        yield* gate.reached
        const stopped = yield* succeeds("stopNodes beside it", provider.stopNodes(other.cluster))
        yield* gate.open
        const started = yield* succeeds("startNodes", Fiber.join(fiber))
        const reported = (report: OperationReport) => report.outcomes.map((entry) => entry.name).sort()
        const named = (all: ReadonlyArray<TrueNode>) => all.map((node) => node.name).sort()
        yield* expectSame("startNodes reports", named(nodes), reported(started))
        yield* expectSame("stopNodes reports", named(others), reported(stopped))
        yield* expectAll(world, nodes, "running")
        yield* expectAll(other, others, "stopped")
      })
  }),
  law({
    id: "concurrency.same-cluster",
    title: "two starts of one cluster at the same time both succeed",
    check: (world) =>
      Effect.gen(function*() {
        const { controlPlane, nodes } = yield* trio(world, "stopped")
        // The first waits where both have listed, so that both mean to start what one of them finds started.
        const gate = yield* makeGate(`startNodes reports that it is going to start ${controlPlane.name}`)
        const { steer } = steering((event) => isAt(event, "Scheduled", controlPlane) ? gate.arrive : Effect.void)
        const first = yield* Effect.forkChild(steer(world.provider.startNodes(world.cluster)))
        yield* gate.reached
        yield* succeeds("the second startNodes", world.provider.startNodes(world.cluster))
        yield* gate.open
        yield* succeeds("the first startNodes", Fiber.join(first))
        yield* expectAll(world, nodes, "running")
      })
  }),
  law({
    id: "concurrency.delete",
    title: "two deletes of one cluster at the same time both succeed, and nothing is left",
    check: (world) =>
      Effect.gen(function*() {
        yield* trio(world, "stopped")
        const deleted = world.provider.deleteNodes(world.cluster)
        yield* Effect.all([
          succeeds("the first deleteNodes", deleted),
          succeeds("the second deleteNodes", deleted)
        ], { concurrency: 2, discard: true })
        yield* expectTruth(world, world.cluster, [])
      })
  }),
  law({
    id: "concurrency.lists",
    title: "lists during a start succeed, and have every node",
    check: (world) =>
      Effect.gen(function*() {
        const { cluster, harness, provider } = world
        const { controlPlane, nodes } = yield* trio(world, "stopped")
        const gate = yield* makeGate(`startNodes reports that it starts ${controlPlane.name}`)
        const { steer } = steering((event) => isAt(event, "Sent", controlPlane) ? gate.arrive : Effect.void)
        const fiber = yield* Effect.forkChild(steer(provider.startNodes(cluster)))
        yield* gate.reached
        const listed = yield* Effect.timeoutOption(
          succeeds("listNodes", provider.listNodes(cluster)),
          harness.patience
        ).pipe(Effect.ensuring(gate.open))
        yield* Fiber.await(fiber)
        yield* expect(
          listed._tag === "Some" && listed.value.length === nodes.length,
          `listNodes gives all ${nodes.length} nodes while startNodes waits`,
          listed._tag === "Some" ? lines(listed.value) : "it does not answer until startNodes has ended"
        )
      })
  })
]
