/**
 * Laws on `NodeCreator`: what it makes, what it refuses, and what it leaves where it does not succeed.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import { override } from "../../Policy.ts"
import type { ClusterSpec, CreateFailure } from "../../Provider.ts"
import type { Reason } from "../../Reason.ts"
import { eventually, rest } from "../Harness.ts"
import {
  creator,
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
import { makeGate, steering } from "../Steering.ts"
import { expectAll, isControlPlane, lines, pick } from "./nodes.ts"

/** The smallest cluster in which something is created before something else. */
const specOf = (world: World): ClusterSpec => ({ cluster: world.cluster, controlPlanes: 1, workers: 1 })

const make = (spec: ClusterSpec) => Effect.flatMap(creator, ({ createNodes }) => createNodes(spec))

const ids = (nodes: ReadonlyArray<{ readonly name: string; readonly id: string }>) =>
  nodes.map((node) => `${node.name} ${node.id}`)

/** The reasons for which a create did not succeed. */
const reasonsOf = (error: CreateFailure | LawBroken): ReadonlyArray<Reason> =>
  error._tag === "BackendError"
    ? [error.reason]
    : error._tag === "NodesNotCreated"
    ? error.report.outcomes.flatMap(({ outcome }) => outcome._tag === "Failed" ? [outcome.error.reason] : [])
    : []

/** Breaks the law unless everything that a create created is removed. */
const expectNothing = ({ cluster, harness }: World) =>
  Effect.flatMap(
    eventually(harness.nodes(cluster), (nodes) => nodes.length === 0),
    (nodes) => expectSame("nodes that are left behind", [], lines(nodes))
  )

/** Holds a create where it begins with its second node that is not there yet. */
const holding = Effect.gen(function*() {
  const gate = yield* makeGate("createNodes reports that it creates a second node")
  const made: Array<string> = []
  const { steer } = steering((event) => {
    if (event._tag !== "Sent" || event.subject.kind !== "node") return Effect.void
    // A later call may be a part of the clean-up.
    if (made.includes(event.subject.name)) return Effect.void
    made.push(event.subject.name)
    return made.length > 1 ? gate.arrive : Effect.void
  })
  return { gate, steer }
})

/** A create that fails, since its second node is not settled by its deadline. */
const failing = (spec: ClusterSpec) =>
  Effect.gen(function*() {
    const { gate, steer } = yield* holding
    return yield* make(spec).pipe(
      steer,
      override({ nodeTimeout: { create: Duration.seconds(10) } }),
      Effect.ensuring(gate.open)
    )
  })

/**
 * @category laws
 * @since 0.1.0
 */
export const create: ReadonlyArray<Law> = [
  law({
    id: "create.makes",
    title: "createNodes creates the requested nodes, and they run",
    needs: ["create"],
    check: (world) =>
      Effect.gen(function*() {
        const report = yield* succeeds("createNodes", make({ ...specOf(world), workers: 2 }))
        const nodes = yield* eventually(
          world.harness.nodes(world.cluster),
          (nodes) => nodes.length === 3 && nodes.every((node) => node.state === "running")
        )
        yield* expectSame(
          "there are",
          ["control-plane running", "worker running", "worker running"],
          nodes.map((node) => `${node.role} ${node.state}`).sort()
        )
        yield* expectOutcomes(report, nodes.map((node) => [node, "Done"]))
      })
  }),
  law({
    id: "create.again",
    title: "createNodes of what is there already succeeds, makes nothing, and reports AlreadyDone",
    needs: ["create"],
    check: (world) =>
      Effect.gen(function*() {
        yield* succeeds("the first createNodes", make(specOf(world)))
        const before = yield* world.harness.nodes(world.cluster)
        const report = yield* succeeds("the second createNodes", make(specOf(world)))
        yield* expectOutcomes(report, before.map((node) => [node, "AlreadyDone"]))
        yield* expectSame("the nodes are", ids(before), ids(yield* world.harness.nodes(world.cluster)))
      })
  }),
  law({
    id: "create.missing",
    title: "createNodes of a cluster that lacks a node makes that one, and leaves the others as they are",
    needs: ["node-by-node", "create", "vanish"],
    check: (world) =>
      Effect.gen(function*() {
        const { cluster, harness } = world
        yield* succeeds("the first createNodes", make(specOf(world)))
        const before = yield* harness.nodes(cluster)
        const worker = yield* pick(before, (node) => node.role === "worker")
        const kept = before.filter((node) => node !== worker)
        yield* harness.vanish(worker)
        const report = yield* succeeds("the second createNodes", make(specOf(world)))
        yield* expectOutcomes(report, [...kept.map((node) => [node, "AlreadyDone"] as const), [worker, "Done"]])
        const after = yield* harness.nodes(cluster)
        yield* expectSame("the nodes that were there are", ids(kept), ids(after.filter(isControlPlane)))
        yield* expectSame("nodes there are", before.length, after.length)
      })
  }),
  law({
    id: "create.starts",
    title: "createNodes starts the nodes of the cluster that do not run",
    needs: ["plan", "create", "change"],
    check: (world) =>
      Effect.gen(function*() {
        yield* succeeds("the first createNodes", make(specOf(world)))
        const before = yield* world.harness.nodes(world.cluster)
        const worker = yield* pick(before, (node) => node.role === "worker")
        yield* world.harness.setState(worker, "stopped")
        const report = yield* succeeds("the second createNodes", make(specOf(world)))
        yield* expectOutcomes(report, [[worker, "Done"]])
        yield* expectAll(world, before, "running")
      })
  }),
  law({
    id: "create.repairs",
    title: "createNodes attaches again what was detached from a node of the cluster",
    needs: ["create", "detach"],
    check: (world) =>
      Effect.gen(function*() {
        const { cluster, harness } = world
        yield* succeeds("the first createNodes", make(specOf(world)))
        const before = yield* harness.attachments(cluster)
        const worker = yield* pick(yield* harness.nodes(cluster), (node) => node.role === "worker")
        yield* harness.detach(worker)
        const report = yield* succeeds("the second createNodes", make(specOf(world)))
        yield* expectOutcomes(report, [[worker, "Done"]])
        yield* expectSame("attached are", before, yield* harness.attachments(cluster))
      })
  }),
  law({
    id: "create.checked",
    title: "createNodes does not succeed where a node that it created is gone at its end",
    needs: ["plan", "node-by-node", "create", "vanish"],
    check: (world) =>
      Effect.gen(function*() {
        const { cluster, harness } = world
        let isRemoved = false
        const { steer } = steering((event) =>
          event._tag !== "Settled" || event.outcome._tag !== "Done" || event.subject.kind !== "node" || isRemoved
            ? Effect.void
            : Effect.gen(function*() {
              isRemoved = true
              const node = (yield* harness.nodes(cluster)).find(({ name }) => name === event.subject.name)
              if (node !== undefined) yield* harness.vanish(node)
            }).pipe(Effect.ignore)
        )
        yield* failsWith("createNodes", "NodesNotCreated", steer(make(specOf(world))))
      })
  }),
  law({
    id: "create.two",
    title: "two creators of one cluster end with one cluster, and both succeed",
    needs: ["create", "second"],
    check: (world) =>
      Effect.gen(function*() {
        const second = yield* world.harness.second
        const gate = yield* makeGate("createNodes reports that it sends something")
        const { steer } = steering((event) => event._tag === "Sent" ? gate.arrive : Effect.void)
        const first = yield* Effect.forkChild(steer(succeeds("createNodes", make(specOf(world)))))
        yield* gate.reached
        yield* succeeds("createNodes of another client", second.creator.createNodes(specOf(world)))
        yield* gate.open
        yield* Fiber.join(first)
        const nodes = yield* world.harness.nodes(world.cluster)
        yield* expectSame(
          "there are",
          ["control-plane running", "worker running"],
          nodes.map((node) => `${node.role} ${node.state}`).sort()
        )
      })
  }),
  law({
    id: "create.two-stays",
    title: "a create that is interrupted leaves what another create has adopted",
    needs: ["node-by-node", "create", "second"],
    check: (world) =>
      Effect.gen(function*() {
        const { harness } = world
        const second = yield* harness.second
        const { gate, steer } = yield* holding
        const fiber = yield* Effect.forkDetach(steer(make(specOf(world))))
        yield* gate.reached
        yield* succeeds("createNodes of another client", second.creator.createNodes(specOf(world)))
        const before = ids(yield* harness.nodes(world.cluster))
        yield* Effect.forkChild(Fiber.interrupt(fiber))
        yield* gate.open
        yield* eventually(Effect.sync(() => fiber.pollUnsafe()), (exit) => exit !== undefined)
        yield* rest
        yield* expectSame("the nodes are", before, ids(yield* harness.nodes(world.cluster)))
      })
  }),
  law({
    id: "create.differs",
    title: "createNodes fails and changes nothing if the cluster has other nodes than requested",
    needs: ["create"],
    check: (world) =>
      Effect.gen(function*() {
        yield* succeeds("the first createNodes", make({ ...specOf(world), workers: 2 }))
        const before = yield* world.harness.nodes(world.cluster)
        yield* failsWith("createNodes with a worker less", "BackendError", make(specOf(world)))
        yield* expectSame("the nodes are", ids(before), ids(yield* world.harness.nodes(world.cluster)))
      })
  }),
  law({
    id: "create.name-held",
    title: "createNodes fails with NameTaken and changes nothing if an unlabelled thing uses a name",
    needs: ["create", "bystanders", "name-held"],
    check: (world) =>
      Effect.gen(function*() {
        yield* world.harness.holdName(world.cluster)
        const before = yield* world.harness.bystanders
        const exit = yield* Effect.exit(make(specOf(world)))
        yield* expectSame("the bystanders are", before, yield* world.harness.bystanders)
        const error = Option.getOrUndefined(Exit.findErrorOption(exit))
        if (error === undefined) return
        yield* expect(reasonsOf(error).some((reason) => reason._tag === "NameTaken"), "a reason is NameTaken", error)
      })
  }),
  law({
    id: "create.spec",
    title: "createNodes reports all issues of a spec at once, and creates nothing",
    needs: ["create"],
    check: (world) =>
      Effect.gen(function*() {
        const faulty = { cluster: world.cluster, controlPlanes: 0, workers: -1, labels: { "": "x" } }
        const { issues } = yield* failsWith("createNodes", "InvalidSpec", make(faulty))
        for (const path of ["controlPlanes", "workers", "labels"]) {
          yield* expect(
            issues.some((issue) => issue.path.startsWith(path)),
            `an issue with ${path} is reported`,
            issues.map((issue) => `${issue.path}: ${issue.message}`)
          )
        }
        yield* expectNothing(world)
      })
  }),
  law({
    id: "create.names",
    title: "createNodes refuses a name that a new cluster cannot have",
    needs: ["create"],
    check: (world) =>
      Effect.gen(function*() {
        for (const cluster of ["", "a b", "a/b", "UPPER", "a_b", "-a", "a".repeat(64)]) {
          yield* failsWith(
            `createNodes of ${JSON.stringify(cluster)}`,
            "InvalidClusterName",
            make({ ...specOf(world), cluster })
          )
        }
      })
  }),
  law({
    id: "create.failed",
    title: "a create with a failed node removes what it created, and reports the outcome of every node",
    needs: ["node-by-node", "create"],
    check: (world) =>
      Effect.gen(function*() {
        const { leftovers, report } = yield* failsWith("createNodes", "NodesNotCreated", failing(specOf(world)))
        yield* expectNothing(world)
        yield* expectSame("left behind are", [], leftovers.map((left) => left.name))
        const outcomes = report.outcomes.filter((entry) => entry.kind === "node").map(({ outcome }) => outcome._tag)
        yield* expectSame("outcomes of the nodes", ["Failed", "RolledBack"], outcomes.sort())
      })
  }),
  law({
    id: "create.failed-own",
    title: "a create that fails removes nothing that was there before",
    needs: ["node-by-node", "create", "vanish"],
    check: (world) =>
      Effect.gen(function*() {
        const { cluster, harness } = world
        const spec = { ...specOf(world), workers: 3 }
        yield* succeeds("the first createNodes", make(spec))
        const before = yield* harness.nodes(cluster)
        const kept = before.filter((node, index) => isControlPlane(node) || index === 1)
        for (const node of before) if (!kept.includes(node)) yield* harness.vanish(node)
        yield* failsWith("the second createNodes", "NodesNotCreated", failing(spec))
        const after = yield* eventually(harness.nodes(cluster), (nodes) => nodes.length === kept.length)
        yield* expectSame("the nodes are", ids(kept), ids(after))
      })
  }),
  law({
    id: "create.keep",
    title: "a failed create leaves what it created if onFailure is keep",
    needs: ["node-by-node", "create"],
    check: (world) =>
      Effect.gen(function*() {
        yield* failsWith("createNodes", "NodesNotCreated", failing({ ...specOf(world), onFailure: "keep" }))
        const nodes = yield* world.harness.nodes(world.cluster)
        // It may be any of them: nodes may be created at once.
        yield* expect(nodes.length > 0, "the created node is kept", lines(nodes))
      })
  }),
  law({
    id: "create.interrupted",
    title: "an interrupted create removes what it created",
    needs: ["node-by-node", "create"],
    check: (world) =>
      Effect.gen(function*() {
        const { gate, steer } = yield* holding
        const fiber = yield* Effect.forkDetach(steer(make(specOf(world))))
        yield* gate.reached
        yield* Effect.forkChild(Fiber.interrupt(fiber))
        const ended = yield* eventually(Effect.sync(() => fiber.pollUnsafe()), (exit) => exit !== undefined)
        yield* gate.open
        if (ended === undefined) {
          return yield* new LawBroken({ expected: "an interruption ends createNodes", observed: "it goes on" })
        }
        yield* expectNothing(world)
      })
  }),
  law({
    id: "create.scoped",
    title: "createNodesScoped deletes the nodes when its scope closes",
    needs: ["create"],
    check: (world) =>
      Effect.gen(function*() {
        const { createNodesScoped } = yield* creator
        const within = yield* Effect.scoped(
          Effect.andThen(
            succeeds("createNodesScoped", createNodesScoped(specOf(world))),
            world.harness.nodes(world.cluster)
          )
        )
        yield* expectSame("nodes within the scope", 2, within.length)
        yield* expectNothing(world)
      })
  })
]
