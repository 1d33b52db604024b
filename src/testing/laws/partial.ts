/**
 * Laws on operations of which a part fails: siblings, waves, vanished nodes, deadlines, reports.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Option from "effect/Option"
import { override } from "../../Policy.ts"
import { onEvent } from "../../Progress.ts"
import type { TrueNode } from "../Harness.ts"
import {
  expect,
  expectOutcomes,
  expectSame,
  failsWith,
  type Law,
  law,
  LawBroken,
  succeeds,
  type World
} from "../Law.ts"
import { isAt, makeGate, steering } from "../Steering.ts"
import { expectAll, expectTruth, trio } from "./nodes.ts"

/** Breaks the law where an operation goes on, beyond its deadline and the harness's patience. */
const endsAfter =
  (deadline: Duration.Duration, patience: Duration.Duration) =>
  <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E | LawBroken, R> =>
    Effect.flatMap(
      Effect.timeoutOption(self, Duration.sum(deadline, Duration.times(patience, 4))),
      Option.match({
        onNone: () =>
          Effect.fail(
            new LawBroken({ expected: `it ends soon after ${Duration.format(deadline)}`, observed: "it goes on" })
          ),
        onSome: Effect.succeed
      })
    )

const deadline = Duration.seconds(10)

/**
 * Makes two nodes of a wave overlap: the first is held until the second is acted on too, and the second until the first
 * is settled. If they are acted on one after the other, the first is released in the end.
 */
const overlapping = (world: World, first: TrueNode, second: TrueNode) => {
  const bothSent = Latch.makeUnsafe()
  const firstSettled = Latch.makeUnsafe()
  return steering((event) =>
    isAt(event, "Sent", first)
      ? Effect.asVoid(Effect.timeoutOption(bothSent.await, world.harness.patience))
      : isAt(event, "Sent", second)
      ? Effect.andThen(Latch.open(bothSent), firstSettled.await)
      : isAt(event, "Settled", first)
      ? Effect.asVoid(Latch.open(firstSettled))
      : Effect.void
  ).steer
}

/**
 * @category laws
 * @since 0.1.0
 */
export const partial: ReadonlyArray<Law> = [
  law({
    id: "partial.start-siblings",
    title: "a node that cannot be started keeps none of its wave from being started",
    needs: ["fail-start"],
    check: (world) =>
      Effect.gen(function*() {
        const { controlPlane, first, second } = yield* trio(world, "stopped")
        yield* world.harness.failing("start", first)
        const steer = overlapping(world, first, second)
        yield* failsWith("startNodes", "NodesFailed", steer(world.provider.startNodes(world.cluster)))
        yield* expectTruth(world, world.cluster, [
          [controlPlane, "running"],
          [first, first.state],
          [second, "running"]
        ])
      })
  }),
  law({
    id: "partial.start-later-waves",
    title: "the workers are started also where a control plane could not be",
    needs: ["fail-start"],
    check: (world) =>
      Effect.gen(function*() {
        const { controlPlane, first, second } = yield* trio(world, "stopped")
        yield* world.harness.failing("start", controlPlane)
        yield* failsWith("startNodes", "NodesFailed", world.provider.startNodes(world.cluster))
        yield* expectTruth(world, world.cluster, [
          [controlPlane, controlPlane.state],
          [first, "running"],
          [second, "running"]
        ])
      })
  }),
  law({
    id: "partial.report",
    title: "NodesFailed carries the outcome of every node, and each failure names its node and its reason",
    needs: ["fail-start"],
    check: (world) =>
      Effect.gen(function*() {
        const { controlPlane, first, nodes, second } = yield* trio(world, "stopped")
        yield* world.harness.failing("start", first)
        const error = yield* failsWith("startNodes", "NodesFailed", world.provider.startNodes(world.cluster))
        const { report } = error
        yield* expectOutcomes(report, [[controlPlane, "Done"], [first, "Failed"], [second, "Done"]])
        yield* expectSame("nodes in the report", nodes.length, report.outcomes.length)
        const blamed = report.outcomes.flatMap(({ outcome }) =>
          outcome._tag === "Failed" ? [outcome.error.subject?.name] : []
        )
        yield* expectSame("the error of a node names", first.name, blamed)
        yield* expectSame("reasons", 1, error.reasons.length)
      })
  }),
  law({
    id: "partial.again",
    title: "after a start of which a part failed, another start does the rest",
    needs: ["fail-start"],
    check: (world) =>
      Effect.gen(function*() {
        const { controlPlane, first, nodes, second } = yield* trio(world, "stopped")
        yield* Effect.scoped(
          Effect.andThen(
            world.harness.failing("start", first),
            failsWith("startNodes", "NodesFailed", world.provider.startNodes(world.cluster))
          )
        )
        const report = yield* succeeds("the next startNodes", world.provider.startNodes(world.cluster))
        yield* expectOutcomes(report, [[controlPlane, "AlreadyDone"], [first, "Done"], [second, "AlreadyDone"]])
        yield* expectAll(world, nodes, "running")
      })
  }),
  law({
    id: "partial.stop-siblings",
    title: "a node that cannot be stopped keeps neither its wave nor the control planes from being stopped",
    needs: ["fail-stop"],
    check: (world) =>
      Effect.gen(function*() {
        const { controlPlane, first, second } = yield* trio(world, "running")
        yield* world.harness.failing("stop", first)
        const steer = overlapping(world, first, second)
        const { report } = yield* failsWith(
          "stopNodes",
          "NodesFailed",
          steer(world.provider.stopNodes(world.cluster))
        )
        yield* expectOutcomes(report, [[controlPlane, "Done"], [first, "Failed"], [second, "Done"]])
        yield* expectTruth(world, world.cluster, [
          [controlPlane, "stopped"],
          [first, first.state],
          [second, "stopped"]
        ])
      })
  }),
  law({
    id: "partial.delete-siblings",
    title: "a node that cannot be deleted keeps no other from being deleted",
    needs: ["fail-delete"],
    check: (world) =>
      Effect.gen(function*() {
        const { controlPlane, first, second } = yield* trio(world, "running")
        yield* world.harness.failing("delete", first)
        const steer = overlapping(world, first, second)
        const { report } = yield* failsWith(
          "deleteNodes",
          "NodesFailed",
          steer(world.provider.deleteNodes(world.cluster))
        )
        yield* expectOutcomes(report, [[controlPlane, "Done"], [first, "Failed"], [second, "Done"]])
        const left = yield* world.harness.nodes(world.cluster)
        yield* expectSame("nodes that are left", first.name, left.map((node) => node.name))
      })
  }),
  law({
    id: "partial.start-vanished",
    title: "a node that vanishes before it is started is Failed, and the others are started",
    needs: ["vanish"],
    check: (world) =>
      Effect.gen(function*() {
        const { controlPlane, first, second } = yield* trio(world, "stopped")
        const { steer } = steering((event) =>
          isAt(event, "Scheduled", first) ? Effect.orDie(world.harness.vanish(first)) : Effect.void
        )
        const { report } = yield* failsWith(
          "startNodes",
          "NodesFailed",
          steer(world.provider.startNodes(world.cluster))
        )
        yield* expectOutcomes(report, [[controlPlane, "Done"], [first, "Failed"], [second, "Done"]])
      })
  }),
  law({
    id: "partial.stop-vanished",
    title: "a node that vanishes before it is stopped is AlreadyDone",
    needs: ["vanish"],
    check: (world) =>
      Effect.gen(function*() {
        const { controlPlane, first, second } = yield* trio(world, "running")
        const { steer } = steering((event) =>
          isAt(event, "Scheduled", first) ? Effect.orDie(world.harness.vanish(first)) : Effect.void
        )
        const report = yield* succeeds("stopNodes", steer(world.provider.stopNodes(world.cluster)))
        yield* expectOutcomes(report, [[controlPlane, "Done"], [first, "AlreadyDone"], [second, "Done"]])
      })
  }),
  law({
    id: "partial.delete-vanished",
    title: "a node that vanishes before it is deleted is AlreadyDone",
    needs: ["vanish"],
    check: (world) =>
      Effect.gen(function*() {
        const { controlPlane, first, second } = yield* trio(world, "running")
        const { steer } = steering((event) =>
          isAt(event, "Scheduled", first) ? Effect.orDie(world.harness.vanish(first)) : Effect.void
        )
        const report = yield* succeeds("deleteNodes", steer(world.provider.deleteNodes(world.cluster)))
        yield* expectOutcomes(report, [[controlPlane, "Done"], [first, "AlreadyDone"], [second, "Done"]])
      })
  }),
  law({
    id: "partial.rate-limited",
    title: "a call that is refused for its rate is sent again when it may come, and keeps no node from being started",
    needs: ["rate-limit"],
    check: (world) =>
      Effect.gen(function*() {
        const { nodes, second } = yield* trio(world, "stopped")
        const wait = yield* world.harness.rateLimited("start", second)
        const [elapsed] = yield* Effect.timed(succeeds("startNodes", world.provider.startNodes(world.cluster)))
        yield* expectAll(world, nodes, "running")
        yield* expect(
          Duration.isGreaterThanOrEqualTo(elapsed, wait),
          `it is not sent again before ${Duration.format(wait)} have passed`,
          `all was over after ${Duration.format(elapsed)}`
        )
      })
  }),
  law({
    id: "partial.node-deadline",
    title: "a node that is not settled by its own deadline is Failed with RequestTimeout, and the operation ends",
    check: (world) =>
      Effect.gen(function*() {
        const { controlPlane, first, second } = yield* trio(world, "stopped")
        const gate = yield* makeGate(`startNodes reports that it starts ${first.name}`)
        const { steer } = steering((event) => isAt(event, "Sent", first) ? gate.arrive : Effect.void)
        const start = world.provider.startNodes(world.cluster).pipe(
          steer,
          override({ nodeTimeout: { start: deadline } }),
          endsAfter(deadline, world.harness.patience),
          Effect.ensuring(gate.open)
        )
        const error = yield* failsWith("startNodes", "NodesFailed", start)
        yield* expectOutcomes(error.report, [[controlPlane, "Done"], [first, "Failed"], [second, "Done"]])
        yield* expectSame("the reason is", "RequestTimeout", error.reasons.map((reason) => reason._tag))
      })
  }),
  law({
    id: "partial.operation-deadline",
    title: "an operation past Policy.operationTimeout fails with OperationTimeout and the report of what was settled",
    check: (world) =>
      Effect.gen(function*() {
        const { controlPlane, first } = yield* trio(world, "stopped")
        const gate = yield* makeGate(`startNodes reports that it starts ${first.name}`)
        const { steer } = steering((event) => isAt(event, "Sent", first) ? gate.arrive : Effect.void)
        const start = world.provider.startNodes(world.cluster).pipe(
          steer,
          override({ operationTimeout: deadline }),
          endsAfter(deadline, world.harness.patience),
          Effect.ensuring(gate.open)
        )
        const { report } = yield* failsWith("startNodes", "OperationTimeout", start)
        yield* expectOutcomes(report, [[controlPlane, "Done"]])
        const told = report.outcomes.some((entry) => entry.name === first.name)
        yield* expect(!told, `no outcome of ${first.name}, which is not settled`, report)
      })
  }),
  law({
    id: "partial.listener",
    title: "a progress listener that dies keeps no operation from succeeding",
    check: (world) =>
      Effect.gen(function*() {
        const { nodes } = yield* trio(world, "stopped")
        const start = onEvent(() => Effect.die(new Error("a listener died")))(world.provider.startNodes(world.cluster))
        yield* succeeds("startNodes", start)
        yield* expectAll(world, nodes, "running")
      })
  })
]
