/**
 * Laws on what start, stop, delete and the lists do where nothing goes wrong.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import type { NodeInfo } from "../../Model.ts"
import { type Call, type NodeCall, rest, type TrueNode } from "../Harness.ts"
import { expect, expectOutcomes, expectSame, failsWith, type Law, law, succeeds, type World } from "../Law.ts"
import { isAt, makeGate, steering } from "../Steering.ts"
import { expectAll, expectTruth, isControlPlane, lines, pick, trio } from "./nodes.ts"

const calledNodes = (calls: ReadonlyArray<Call>, { cluster }: World, call: NodeCall): ReadonlyArray<string> =>
  calls.filter((entry) => entry.cluster === cluster && entry.call === call).map((entry) => entry.node)

const statusOf = (world: World) =>
  Effect.flatMap(
    succeeds("getClusterStatus", world.provider.getClusterStatus(world.cluster)),
    (status) => Effect.as(expect(Option.isSome(status), "there is a status", status), status)
  )

const shown = (nodes: ReadonlyArray<NodeInfo | TrueNode>) => nodes.map((node) => node.name).join(", ")

/** Whether all of `before` come ahead of all of `after` in a list; all have to be in it. */
const precede = (list: ReadonlyArray<string>, before: ReadonlyArray<TrueNode>, after: ReadonlyArray<TrueNode>) => {
  const at = (node: TrueNode) => list.indexOf(node.name)
  return [...before, ...after].every((node) => at(node) >= 0) &&
    Math.max(...before.map((node) => list.lastIndexOf(node.name))) < Math.min(...after.map(at))
}

/**
 * @category laws
 * @since 0.1.0
 */
export const lifecycle: ReadonlyArray<Law> = [
  law({
    id: "lifecycle.start",
    title: "startNodes runs every node of a stopped cluster, and reports each as Done",
    check: (world) =>
      Effect.gen(function*() {
        const { nodes } = yield* trio(world, "stopped")
        const report = yield* succeeds("startNodes", world.provider.startNodes(world.cluster))
        yield* expectAll(world, nodes, "running")
        yield* expectOutcomes(report, nodes.map((node) => [node, "Done"]))
      })
  }),
  law({
    id: "lifecycle.stop",
    title: "stopNodes stops every node of a running cluster, and reports each as Done",
    check: (world) =>
      Effect.gen(function*() {
        const { nodes } = yield* trio(world, "running")
        const report = yield* succeeds("stopNodes", world.provider.stopNodes(world.cluster))
        yield* expectAll(world, nodes, "stopped")
        yield* expectOutcomes(report, nodes.map((node) => [node, "Done"]))
      })
  }),
  law({
    id: "lifecycle.delete",
    title: "deleteNodes removes every node, running or not, and reports each as Done",
    check: (world) =>
      Effect.gen(function*() {
        const { nodes } = yield* trio(world, "running")
        const report = yield* succeeds("deleteNodes", world.provider.deleteNodes(world.cluster))
        yield* expectTruth(world, world.cluster, [])
        yield* expectOutcomes(report, nodes.map((node) => [node, "Done"]))
      })
  }),
  law({
    id: "lifecycle.start-control-planes-first",
    title: "startNodes starts the control planes before the workers",
    needs: ["calls"],
    check: (world) =>
      Effect.gen(function*() {
        const { cluster, harness, provider } = world
        const nodes = yield* harness.seed(cluster, { state: "stopped", controlPlanes: 2, workers: 2 })
        yield* succeeds("startNodes", provider.startNodes(cluster))
        const started = calledNodes(yield* harness.calls, world, "start")
        const controlPlanes = nodes.filter(isControlPlane)
        const workers = nodes.filter((node) => !isControlPlane(node))
        yield* expect(
          precede(started, controlPlanes, workers),
          `${shown(controlPlanes)} are started before ${shown(workers)}`,
          `started in this order: ${started.join(", ")}`
        )
      })
  }),
  law({
    id: "lifecycle.start-waits-for-control-planes",
    title: "startNodes starts no worker while a control plane is not settled",
    check: (world) =>
      Effect.gen(function*() {
        const { controlPlane, first, second } = yield* trio(world, "stopped")
        const gate = yield* makeGate(`startNodes reports that it starts ${controlPlane.name}`)
        const { steer } = steering((event) => isAt(event, "Sent", controlPlane) ? gate.arrive : Effect.void)
        const fiber = yield* Effect.forkChild(steer(world.provider.startNodes(world.cluster)))
        yield* gate.reached
        yield* rest
        const truth = yield* world.harness.nodes(world.cluster)
        yield* gate.open
        yield* expect(
          truth.every((node) => isControlPlane(node) || node.state === "stopped"),
          `${first.name} and ${second.name} are not started before ${controlPlane.name} is settled`,
          lines(truth).join(", ")
        )
        yield* Fiber.await(fiber)
      })
  }),
  law({
    id: "lifecycle.stop-control-planes-last",
    title: "stopNodes stops the control planes after the workers",
    needs: ["calls"],
    check: (world) =>
      Effect.gen(function*() {
        const { cluster, harness, provider } = world
        const nodes = yield* harness.seed(cluster, { state: "running", controlPlanes: 2, workers: 2 })
        yield* succeeds("stopNodes", provider.stopNodes(cluster))
        const stopped = calledNodes(yield* harness.calls, world, "stop")
        const controlPlanes = nodes.filter(isControlPlane)
        const workers = nodes.filter((node) => !isControlPlane(node))
        yield* expect(
          precede(stopped, workers, controlPlanes),
          `${shown(workers)} are stopped before ${shown(controlPlanes)}`,
          `stopped in this order: ${stopped.join(", ")}`
        )
      })
  }),
  law({
    id: "lifecycle.start-looks-again",
    title: "startNodes reports a node that exited at once as Failed",
    needs: ["exit-at-once"],
    check: (world) =>
      Effect.gen(function*() {
        const { controlPlane, first, second } = yield* trio(world, "stopped")
        yield* world.harness.exitAtOnce(first)
        const { report } = yield* failsWith("startNodes", "NodesFailed", world.provider.startNodes(world.cluster))
        yield* expectOutcomes(report, [[controlPlane, "Done"], [first, "Failed"], [second, "Done"]])
      })
  }),
  law({
    id: "lifecycle.list-is-true",
    title: "listNodes gives each node of the cluster once, with the name, id, role and state that it has",
    needs: ["change"],
    check: (world) =>
      Effect.gen(function*() {
        const { cluster, harness, provider } = world
        const { first } = yield* trio(world, "running")
        yield* harness.setState(first, "stopped")
        const key = (nodes: ReadonlyArray<NodeInfo | TrueNode>) =>
          nodes.map((node) => `${node.name} (${node.role}, ${node.state}, id ${node.id})`).sort()
        const truth = yield* harness.nodes(cluster)
        const listed = yield* succeeds("listNodes", provider.listNodes(cluster))
        yield* expectSame("listNodes gives", key(truth), key(listed))
        const strangers = listed.filter((node) => node.clusterName !== cluster)
        yield* expect(
          strangers.length === 0,
          `each node says that it is of cluster ${cluster}`,
          strangers.map((node) => `${node.name} says ${node.clusterName}`)
        )
      })
  }),
  law({
    id: "lifecycle.list-order",
    title: "listNodes gives control planes first, then workers, by name with numbers compared as numbers",
    check: (world) =>
      Effect.gen(function*() {
        const { cluster, harness, provider } = world
        const seeded = yield* harness.seed(cluster, { state: "stopped", controlPlanes: 2, workers: 11 })
        const { compare } = new Intl.Collator("en", { numeric: true })
        const byName = (a: TrueNode, b: TrueNode) => compare(a.name, b.name)
        const expected = [
          ...seeded.filter(isControlPlane).sort(byName),
          ...seeded.filter((node) => !isControlPlane(node)).sort(byName)
        ]
        const listed = yield* succeeds("listNodes", provider.listNodes(cluster))
        yield* expect(shown(listed) === shown(expected), `the order ${shown(expected)}`, shown(listed))
      })
  }),
  law({
    id: "lifecycle.status",
    title: "getClusterStatus gives the nodes of listNodes, and the phase and readiness that follow from them",
    needs: ["change"],
    check: (world) =>
      Effect.gen(function*() {
        const { cluster, harness, provider } = world
        const { nodes } = yield* trio(world, "stopped")
        const look = (phase: string, ready: number) =>
          Effect.gen(function*() {
            const listed = yield* succeeds("listNodes", provider.listNodes(cluster))
            const status = yield* statusOf(world)
            const seen = Option.map(
              status,
              (it) =>
                `${it.phase}, ${it.nodesReady} of ${it.nodesTotal} ready, ready ${it.ready}: ${
                  lines(it.nodes).join(", ")
                }`
            )
            const expected = `${phase}, ${ready} of 3 ready, ready ${ready === 3}: ${lines(listed).join(", ")}`
            yield* expectSame("the status is", expected, seen)
          })
        yield* look("stopped", 0)
        for (const [index, node] of nodes.entries()) {
          yield* harness.setState(node, "running")
          yield* look(index < 2 ? "degraded" : "running", index + 1)
        }
      })
  }),
  law({
    id: "lifecycle.status-counts",
    title: "a status counts load balancers as nodes, and lists helpers without counting them",
    needs: ["helpers"],
    check: (world) =>
      Effect.gen(function*() {
        const { cluster, harness } = world
        const nodes = yield* harness.seed(cluster, {
          state: "running",
          controlPlanes: 1,
          workers: 1,
          loadBalancers: 1,
          helpers: 1
        })
        const helper = yield* pick(nodes, (node) => node.role === "helper")
        const status = yield* statusOf(world)
        const seen = Option.map(status, (it) =>
          `${it.nodesReady} of ${it.nodesTotal} ready, ${it.nodes.length} nodes listed, ${helper.name} is ${
            it.nodes.some((node) =>
                node.name === helper.name
              )
              ? "listed"
              : "not listed"
          }`)
        yield* expectSame("the status is", `3 of 3 ready, 4 nodes listed, ${helper.name} is listed`, seen)
      })
  }),
  law({
    id: "lifecycle.start-some",
    title: "startNodes of some nodes starts these and no others",
    needs: ["select"],
    check: (world) =>
      Effect.gen(function*() {
        const { controlPlane, first, second } = yield* trio(world, "stopped")
        const report = yield* succeeds(
          "startNodes of one node",
          world.provider.startNodes(world.cluster, { nodes: [first.name] })
        )
        yield* expectTruth(world, world.cluster, [[controlPlane, "stopped"], [first, "running"], [second, "stopped"]])
        yield* expectSame("the report is of", [first.name], report.outcomes.map(({ name }) => name))
      })
  }),
  law({
    id: "lifecycle.stop-some",
    title: "stopNodes of some nodes stops these and no others, and a name that is not there is AlreadyDone",
    needs: ["select"],
    check: (world) =>
      Effect.gen(function*() {
        const { controlPlane, first, second } = yield* trio(world, "running")
        const absent = { name: `${first.name}9` }
        const report = yield* succeeds(
          "stopNodes of one node and of one that is not there",
          world.provider.stopNodes(world.cluster, { nodes: [first.name, absent.name] })
        )
        yield* expectTruth(world, world.cluster, [[controlPlane, "running"], [first, "stopped"], [second, "running"]])
        yield* expectOutcomes(report, [[first, "Done"], [absent, "AlreadyDone"]])
      })
  }),
  law({
    id: "lifecycle.statuses",
    title: "listAllStatuses gives the status of every cluster that has a node, sorted by name",
    check: (world) =>
      Effect.gen(function*() {
        const { harness, provider } = world
        const clusters = [`${world.cluster}b`, `${world.cluster}a`]
        for (const [index, cluster] of clusters.entries()) {
          const state = index === 0 ? "stopped" : "running"
          yield* harness.seed(cluster, { state, controlPlanes: 1, workers: 1 })
        }
        const all = yield* succeeds("listAllStatuses", provider.listAllStatuses)
        const expected = yield* Effect.forEach(
          clusters.toSorted(),
          (cluster) => succeeds("getClusterStatus", provider.getClusterStatus(cluster))
        )
        yield* expectSame(
          "the statuses are",
          expected.flatMap(Option.toArray),
          all.filter(({ clusterName }) => clusters.includes(clusterName))
        )
        const names = all.map(({ clusterName }) => clusterName)
        yield* expectSame("the whole list is sorted, without doubles", [...new Set(names)].sort(), names)
      })
  }),
  law({
    id: "lifecycle.clusters",
    title: "listAllClusters gives every cluster that has a node once, sorted",
    check: (world) =>
      Effect.gen(function*() {
        const { harness, provider } = world
        // Seeded against the order, and with several nodes each.
        const clusters = [`${world.cluster}c`, `${world.cluster}a`, `${world.cluster}b`]
        for (const cluster of clusters) {
          yield* harness.seed(cluster, { state: "stopped", controlPlanes: 1, workers: 1 })
        }
        const all = yield* succeeds("listAllClusters", provider.listAllClusters)
        yield* expectSame("the list has", clusters.toSorted(), all.filter((name) => clusters.includes(name)))
        yield* expectSame("the whole list is sorted, without doubles", [...new Set(all)].sort(), all)
      })
  })
]
