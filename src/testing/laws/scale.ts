/**
 * Laws on adding, removing, replacing and restarting nodes.
 *
 * @since 0.2.0
 */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type { NodeInfo } from "../../Model.ts"
import type { ClusterSpec } from "../../Provider.ts"
import { rest, type TrueNode } from "../Harness.ts"
import { creator, expect, expectOutcomes, expectSame, failsWith, type Law, law, succeeds, type World } from "../Law.ts"
import { makeGate, steering } from "../Steering.ts"
import { lines } from "./nodes.ts"

const specOf = (world: World): ClusterSpec => ({ cluster: world.cluster, controlPlanes: 1, workers: 2 })

/** A cluster that `createNodes` has created, and its nodes. */
const created = (world: World, workers = 2) =>
  Effect.gen(function*() {
    const { createNodes } = yield* creator
    yield* succeeds("createNodes", createNodes({ ...specOf(world), workers }))
    const nodes = yield* world.harness.nodes(world.cluster)
    return { nodes, workers: nodes.filter(({ role }) => role === "worker") }
  })

const ids = (nodes: ReadonlyArray<TrueNode>) => nodes.map(({ id, name }) => `${name} ${id}`)

/** The nodes that are there now and were not before. */
const since = (world: World, before: ReadonlyArray<TrueNode>) =>
  Effect.map(
    world.harness.nodes(world.cluster),
    (nodes) => nodes.filter(({ id }) => !before.some((node) => node.id === id))
  )

/**
 * @category laws
 * @since 0.2.0
 */
export const scale: ReadonlyArray<Law> = [
  law({
    id: "scale.adds",
    title: "addNodes adds as many nodes as it is given, which run, and touches no other",
    needs: ["create", "scale"],
    check: (world) =>
      Effect.gen(function*() {
        const { nodes } = yield* created(world)
        const { addNodes } = yield* creator
        const report = yield* succeeds("addNodes", addNodes(world.cluster, { workers: 2 }))
        const added = yield* since(world, nodes)
        yield* expectSame(
          "added are",
          ["worker running", "worker running"],
          added.map((it) => `${it.role} ${it.state}`)
        )
        yield* expectOutcomes(report, added.map((node) => [node, "Done"]))
        const after = yield* world.harness.nodes(world.cluster)
        yield* expectSame("the others are", ids(nodes), ids(after.filter(({ id }) => nodes.some((it) => it.id === id))))
      })
  }),
  law({
    id: "scale.two-adds",
    title: "two callers that add one node each add two nodes",
    needs: ["create", "scale"],
    check: (world) =>
      Effect.gen(function*() {
        const { nodes } = yield* created(world)
        const { addNodes } = yield* creator
        const add = succeeds("addNodes", addNodes(world.cluster, { workers: 1 }))
        const gate = yield* makeGate("addNodes reports that it sends something for a node")
        const { steer } = steering((event) =>
          event._tag === "Sent" && event.subject.kind === "node" ? gate.arrive : Effect.void
        )
        const first = yield* Effect.forkChild(steer(add))
        yield* gate.reached
        const second = yield* Effect.forkChild(add)
        yield* rest
        yield* gate.open
        yield* Fiber.join(first)
        yield* Fiber.join(second)
        const added = yield* since(world, nodes)
        yield* expect(added.length === 2, "two nodes are added", lines(added))
      })
  }),
  law({
    id: "scale.stays",
    title: "createNodes of the spec that the cluster was created from leaves the nodes of addNodes",
    needs: ["create", "scale"],
    check: (world) =>
      Effect.gen(function*() {
        yield* created(world)
        const { addNodes, createNodes } = yield* creator
        yield* succeeds("addNodes", addNodes(world.cluster, { workers: 1 }))
        const before = yield* world.harness.nodes(world.cluster)
        yield* succeeds("createNodes", createNodes(specOf(world)))
        yield* expectSame("the nodes are", ids(before), ids(yield* world.harness.nodes(world.cluster)))
      })
  }),
  law({
    id: "scale.absent",
    title: "addNodes to a cluster that is not there fails, and creates nothing",
    needs: ["create", "scale"],
    check: (world) =>
      Effect.gen(function*() {
        const { addNodes } = yield* creator
        yield* failsWith("addNodes", "ClusterNotFound", addNodes(world.cluster, { workers: 1 }))
        yield* expectSame("the nodes are", [], lines(yield* world.harness.nodes(world.cluster)))
      })
  }),
  law({
    id: "scale.removes",
    title: "removeNodes removes the named nodes and no others, and a name that is not there is AlreadyDone",
    needs: ["create", "scale"],
    check: (world) =>
      Effect.gen(function*() {
        const { nodes, workers } = yield* created(world, 3)
        const { removeNodes } = yield* creator
        const going = workers.slice(1)
        const absent = { name: `${world.cluster}-absent` }
        const names = [...going.map(({ name }) => name), absent.name]
        const report = yield* succeeds("removeNodes", removeNodes(world.cluster, names))
        yield* expectOutcomes(report, [...going.map((node) => [node, "Done"] as const), [absent, "AlreadyDone"]])
        yield* expectSame(
          "the nodes are",
          ids(nodes.filter((node) => !going.includes(node))),
          ids(yield* world.harness.nodes(world.cluster))
        )
      })
  }),
  law({
    id: "scale.replaces",
    title: "replaceNodes puts a new node under the name of each selected one, and touches no other",
    needs: ["create", "replace"],
    check: (world) =>
      Effect.gen(function*() {
        const { nodes, workers } = yield* created(world)
        const { replaceNodes } = yield* creator
        const names = workers.map(({ name }) => name)
        yield* succeeds("replaceNodes", replaceNodes(world.cluster, { nodes: names }))
        const after = yield* world.harness.nodes(world.cluster)
        const replaced = after.filter(({ id }) => !nodes.some((node) => node.id === id))
        yield* expectSame("replaced are", names, replaced.map(({ name }) => name))
        yield* expect(
          after.length === nodes.length && after.every(({ state }) => state === "running"),
          "as many nodes as before run",
          lines(after)
        )
      })
  }),
  law({
    id: "scale.gate",
    title: "replaceNodes continues only after the gate succeeds, and fails with the error of the gate",
    needs: ["create", "replace"],
    check: (world) =>
      Effect.gen(function*() {
        const { workers } = yield* created(world)
        const { replaceNodes } = yield* creator
        const gated: Array<string> = []
        const gate = (nodes: ReadonlyArray<NodeInfo>) =>
          Effect.suspend(() => {
            gated.push(nodes.map(({ name }) => name).join(" and "))
            return Effect.fail({ _tag: "NotHealthy" } as const)
          })
        yield* failsWith(
          "replaceNodes whose gate fails",
          "NotHealthy",
          replaceNodes(world.cluster, { nodes: workers.map(({ name }) => name), gate })
        )
        yield* expectSame("the gate was asked about", workers.slice(0, 1).map(({ name }) => name), gated)
      })
  }),
  law({
    id: "scale.restarts",
    title: "restartNodes restarts the selected nodes, which run afterwards and are the same",
    needs: ["create", "restart"],
    check: (world) =>
      Effect.gen(function*() {
        const { nodes, workers } = yield* created(world)
        const { restartNodes } = yield* creator
        const report = yield* succeeds(
          "restartNodes",
          restartNodes(world.cluster, { nodes: workers.map(({ name }) => name) })
        )
        yield* expectOutcomes(report, workers.map((node) => [node, "Done"]))
        const after = yield* world.harness.nodes(world.cluster)
        yield* expectSame("the nodes are", [...ids(nodes), ...lines(nodes)], [...ids(after), ...lines(after)])
      })
  })
]
