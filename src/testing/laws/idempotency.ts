/**
 * Laws on doing things twice, and on reads.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import { expectOutcomes, expectSame, type Law, law, succeeds } from "../Law.ts"
import { expectAll, expectTruth, lines, trio } from "./nodes.ts"

/**
 * @category laws
 * @since 0.1.0
 */
export const idempotency: ReadonlyArray<Law> = [
  law({
    id: "idempotency.start",
    title: "startNodes of a running cluster succeeds, and reports each node as AlreadyDone",
    check: (world) =>
      Effect.gen(function*() {
        const { nodes } = yield* trio(world, "running")
        const report = yield* succeeds("startNodes", world.provider.startNodes(world.cluster))
        yield* expectOutcomes(report, nodes.map((node) => [node, "AlreadyDone"]))
        yield* expectAll(world, nodes, "running")
      })
  }),
  law({
    id: "idempotency.stop",
    title: "stopNodes of a stopped cluster succeeds, and reports each node as AlreadyDone",
    check: (world) =>
      Effect.gen(function*() {
        const { nodes } = yield* trio(world, "stopped")
        const report = yield* succeeds("stopNodes", world.provider.stopNodes(world.cluster))
        yield* expectOutcomes(report, nodes.map((node) => [node, "AlreadyDone"]))
        yield* expectAll(world, nodes, "stopped")
      })
  }),
  law({
    id: "idempotency.delete",
    title: "deleteNodes of a cluster that was deleted succeeds, and reports no node as Done",
    check: (world) =>
      Effect.gen(function*() {
        yield* trio(world, "stopped")
        yield* succeeds("the first deleteNodes", world.provider.deleteNodes(world.cluster))
        const report = yield* succeeds("the second deleteNodes", world.provider.deleteNodes(world.cluster))
        const nodes = report.done.filter((entry) => entry.kind === "node")
        yield* expectSame("nodes that the second deleteNodes deletes", [], nodes.map((entry) => entry.name))
      })
  }),
  law({
    id: "idempotency.half",
    title: "a start and a stop of a cluster of which one node runs report Done only where they did something",
    needs: ["change"],
    check: (world) =>
      Effect.gen(function*() {
        const { cluster, harness, provider } = world
        const { controlPlane, first, nodes, second } = yield* trio(world, "stopped")
        yield* harness.setState(first, "running")
        const started = yield* succeeds("startNodes", provider.startNodes(cluster))
        yield* expectOutcomes(started, [[controlPlane, "Done"], [first, "AlreadyDone"], [second, "Done"]])
        yield* harness.setState(first, "stopped")
        const stopped = yield* succeeds("stopNodes", provider.stopNodes(cluster))
        yield* expectOutcomes(stopped, [[controlPlane, "Done"], [first, "AlreadyDone"], [second, "Done"]])
        yield* expectAll(world, nodes, "stopped")
      })
  }),
  law({
    id: "idempotency.reads",
    title: "lists, statuses and questions change nothing",
    needs: ["change"],
    check: (world) =>
      Effect.gen(function*() {
        const { cluster, harness, provider } = world
        const { first } = yield* trio(world, "running")
        yield* harness.setState(first, "stopped")
        const before = yield* harness.nodes(cluster)
        yield* succeeds("listNodes", provider.listNodes(cluster))
        yield* succeeds("listAllClusters", provider.listAllClusters)
        yield* succeeds("nodesExist", provider.nodesExist(cluster))
        yield* succeeds("getClusterStatus", provider.getClusterStatus(cluster))
        yield* provider.isAvailable
        yield* succeeds("checkAvailable", provider.checkAvailable)
        yield* expectSame("the nodes are as before", lines(before), lines(yield* harness.nodes(cluster)))
      })
  }),
  law({
    id: "idempotency.round",
    title: "a cluster can be stopped, started, and deleted, one after the other",
    check: (world) =>
      Effect.gen(function*() {
        const { nodes } = yield* trio(world, "running")
        yield* succeeds("stopNodes", world.provider.stopNodes(world.cluster))
        yield* expectAll(world, nodes, "stopped")
        yield* succeeds("startNodes after it", world.provider.startNodes(world.cluster))
        yield* expectAll(world, nodes, "running")
        yield* succeeds("deleteNodes after it", world.provider.deleteNodes(world.cluster))
        yield* expectTruth(world, world.cluster, [])
      })
  })
]
