/** Outside backends whose members throw, return nothing, hang, or return things of other clusters. */
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import * as Backend from "kubelayer/Backend"
import { NodeInfo } from "kubelayer/Model"
import type { ClusterSpec } from "kubelayer/Provider"
import { NotFoundError } from "kubelayer/Reason"
import { Done } from "kubelayer/Report"

interface Machine {
  readonly name: string
  readonly cluster: string
  state: "running" | "stopped"
  readonly mark?: Backend.Mark
}
type Machines = Map<string, Machine>
type Node = Backend.NodeResource<string, Machine, Machines>
type Whole = Backend.Backend<ClusterSpec, Machine, Machines>

/** A small backend that works: one kind of thing, in a map. */
const nodes: Node = {
  kind: "node",
  order: 0,
  list: (machines) => Effect.sync(() => [...machines.values()]),
  identity: ({ name }) => ({ name }),
  nameOf: (name) => name,
  placeOf: () => ({ role: "worker" }),
  owner: ({ cluster, mark }) => ({ cluster, ...mark }),
  info: ({ name, state }, clusterName) =>
    new NodeInfo({
      name,
      id: name,
      clusterName,
      role: "worker",
      state,
      rawRole: "worker",
      rawState: state,
      addresses: { private: [], public: [] }
    }),
  diff: () => [],
  create: (machines, name, task) =>
    task.send(
      "create",
      Effect.sync(() => {
        const machine: Machine = { name, cluster: task.cluster, state: "stopped", mark: task.mark }
        machines.set(name, machine)
        return machine
      })
    ),
  remove: (machines, { name }, task) =>
    task.send(
      "delete",
      Effect.suspend(() => machines.delete(name) ? Effect.void : Backend.fail(new NotFoundError({ detail: "gone" })))
    )
}

const setState = (state: Machine["state"]): Whole["power"]["start"] => (machines, { name }, task) =>
  task.send(
    state,
    Effect.sync(() => {
      const machine = machines.get(name)
      if (machine !== undefined) machine.state = state
      return new Done({})
    })
  )

const servicesOf = (bad: { readonly node?: Partial<Node>; readonly whole?: Partial<Whole> }) => {
  const machines: Machines = new Map(
    ["dev-1", "dev-2"].map((name) => [name, { name, cluster: "dev", state: "stopped" }])
  )
  const backend: Whole = {
    backend: "bad",
    read: machines,
    write: machines,
    target: Effect.succeed("here"),
    ping: Effect.void,
    validate: () => [],
    encode: (spec) => ({ cluster: spec.cluster }),
    decode: () => undefined,
    node: { ...nodes, ...bad.node },
    resources: [],
    desired: (_, { cluster, workers }) =>
      Effect.succeed(
        Array.from({ length: workers }, (_, n) => Backend.want({ ...nodes, ...bad.node }, `${cluster}-${n + 1}`))
      ),
    power: { start: setState("running"), stop: setState("stopped") },
    ...bad.whole
  }
  const wanted = backend.node
  return {
    machines,
    ...Backend.make<ClusterSpec, Machine, Machines, Machines>({
      ...backend,
      desired: bad.whole?.desired ??
        ((_, { cluster, workers }) =>
          Effect.succeed(
            Array.from({ length: workers }, (_, n) => ({ resource: wanted, wanted: `${cluster}-${n + 1}` }))
          ))
    })
  }
}

const boom = (): never => {
  throw new Error("boom")
}
/** A member of an author without types. */
const untyped = (value: unknown) => value as never

/** Runs on simulated time; a defect or a hang fails the test. */
const errorOf = <A, E>(self: Effect.Effect<A, E>) =>
  Effect.gen(function*() {
    const fiber = yield* Effect.forkChild(self)
    yield* TestClock.adjust("1 hour")
    const exit = fiber.pollUnsafe()
    assert.isDefined(exit, "it hangs")
    assert(exit !== undefined && Exit.isFailure(exit), "it succeeds")
    assert.isFalse(Cause.hasDies(exit.cause), Cause.pretty(exit.cause))
    return Cause.squash(exit.cause) as E & Error
  })

const spec = { cluster: "new", controlPlanes: 1, workers: 2 }

describe("a backend that works", () => {
  it.effect("does, so that the others fail for what is bad about them", () =>
    Effect.gen(function*() {
      const { creator, machines, provider } = servicesOf({})
      yield* creator.createNodes(spec)
      yield* provider.startNodes("dev")
      assert.deepStrictEqual(
        [...machines.values()].map(({ state }) => state),
        Array.from({ length: 4 }, () => "running")
      )
      yield* provider.deleteNodes("new")
      assert.deepStrictEqual([...machines.keys()], ["dev-1", "dev-2"])
    }))
})

describe("a backend whose list", () => {
  const lists: ReadonlyArray<readonly [string, Node["list"], RegExp]> = [
    ["throws", boom, /`list` of the backend threw: boom/],
    ["dies", () => Effect.die(new Error("boom")), /`list` of the backend threw: boom/],
    ["returns nothing", () => untyped(undefined), /`list` of the backend returned no Effect/],
    ["returns no list", () => untyped(Effect.succeed("nodes")), /`list` of the backend returned no list/],
    ["fails with a string", () => untyped(Effect.fail("no luck")), /`list` of the backend failed: no luck/],
    ["hangs", () => Effect.never, /`list` of the backend did not return within/]
  ]
  for (const [does, list, message] of lists) {
    it.effect(`${does} is a typed error of every method, which names the member`, () =>
      Effect.gen(function*() {
        const { creator, provider } = servicesOf({ node: { list } })
        const methods: ReadonlyArray<Effect.Effect<unknown, unknown>> = [
          provider.listNodes("dev"),
          provider.listAllClusters,
          provider.listAllStatuses,
          provider.getClusterStatus("dev"),
          provider.startNodes("dev"),
          provider.stopNodes("dev"),
          provider.deleteNodes("dev"),
          provider.planDelete("dev"),
          Stream.runDrain(provider.watchCluster("dev")),
          Stream.runDrain(provider.watchAllClusters),
          creator.plan(spec),
          creator.createNodes(spec),
          creator.removeNodes("dev", ["dev-1"]),
          creator.restartNodes("dev", { nodes: ["dev-1"] }),
          creator.sweep({ olderThan: 0 })
        ]
        for (const method of methods) {
          const error = yield* errorOf(method) as Effect.Effect<Error & { readonly _tag?: string }>
          assert.strictEqual(error._tag, "BackendError")
          assert.match(error.message, message)
        }
      }))
  }

  it.effect("returns nodes of other clusters shows and touches only those of the cluster", () =>
    Effect.gen(function*() {
      const { machines, provider } = servicesOf({})
      machines.set("prod-1", { name: "prod-1", cluster: "prod", state: "running" })
      assert.deepStrictEqual((yield* provider.listNodes("dev")).map(({ name }) => name), ["dev-1", "dev-2"])
      yield* provider.deleteNodes("dev")
      assert.deepStrictEqual([...machines.values()], [{ name: "prod-1", cluster: "prod", state: "running" }])
    }))
})

describe("a backend whose node", () => {
  it.effect("is none, or is one of another cluster, is an InvalidResponse", () =>
    Effect.gen(function*() {
      for (
        const info of [
          () => untyped({}),
          () => nodes.info({ name: "a", cluster: "b", state: "running" }, untyped("b"), untyped(undefined))
        ]
      ) {
        const error = yield* errorOf(servicesOf({ node: { info } }).provider.listNodes("dev"))
        assert(error._tag === "BackendError" && error.reason._tag === "InvalidResponse")
      }
    }))

  it.effect("has members that throw is a typed error", () =>
    Effect.gen(function*() {
      for (const node of [{ owner: boom }, { info: boom }, { identity: boom }] as ReadonlyArray<Partial<Node>>) {
        const { creator, provider } = servicesOf({ node })
        if (node.identity === undefined) {
          assert.match((yield* errorOf(provider.listNodes("dev"))).message, /boom/)
        }
        assert.match((yield* errorOf(creator.createNodes(spec))).message, /boom/)
      }
    }))

  it.effect("fails to start is Failed, and the others start", () =>
    Effect.gen(function*() {
      const starts: ReadonlyArray<Whole["power"]["start"]> = [
        boom,
        () => Effect.die("boom"),
        () => untyped(undefined),
        () => untyped(Effect.fail({ code: 7 })),
        () => untyped(Effect.succeed("started")),
        () => Effect.never
      ]
      for (const bad of starts) {
        const { provider } = servicesOf({
          whole: {
            power: {
              start: (machines, machine, task) =>
                machine.name === "dev-1" ? bad(machines, machine, task) : setState("running")(machines, machine, task),
              stop: setState("stopped")
            }
          }
        })
        const error = yield* errorOf(provider.startNodes("dev"))
        assert(error._tag === "NodesFailed", String(error))
        assert.deepStrictEqual(error.report.outcomes.map(({ name, outcome }) => [name, outcome._tag]), [
          ["dev-1", "Failed"],
          ["dev-2", "Done"]
        ])
      }
    }))

  it.effect("cannot be created removes the others, and cannot be removed is Failed or a leftover", () =>
    Effect.gen(function*() {
      const creates: ReadonlyArray<NonNullable<Node["create"]>> = [
        boom,
        () => Effect.die("boom"),
        () => untyped(undefined),
        () => untyped(Effect.succeed(undefined)),
        () => Effect.never
      ]
      for (const bad of creates) {
        const create: Node["create"] = (machines, name, task) =>
          name === "new-2" ? bad(machines, name, task) : nodes.create?.(machines, name, task) ?? Effect.never
        const { creator, machines } = servicesOf({ node: { create } })
        const error = yield* errorOf(creator.createNodes(spec))
        assert(error._tag === "NodesNotCreated", String(error))
        assert.deepStrictEqual(error.report.failed.map(({ name }) => name), ["new-2"])
        assert.deepStrictEqual([...machines.keys()], ["dev-1", "dev-2"])
      }
      for (const remove of [boom, () => Effect.die("boom"), () => untyped(undefined), () => Effect.never]) {
        const error = yield* errorOf(servicesOf({ node: { remove } }).provider.deleteNodes("dev"))
        assert(error._tag === "NodesFailed", String(error))
        assert.strictEqual(error.report.failed.length, 2)
      }
    }))
})

describe("a backend whose desired, validate, target, ping or changes", () => {
  it.effect("throws, returns nothing or hangs gives typed errors", () =>
    Effect.gen(function*() {
      const wholes: ReadonlyArray<Partial<Whole>> = [
        { desired: boom },
        { desired: () => untyped(undefined) },
        { desired: () => untyped(Effect.succeed(undefined)) },
        { desired: () => Effect.never },
        { validate: boom },
        { validate: () => untyped(undefined) },
        { encode: boom },
        { target: Effect.die("boom") }
      ]
      for (const whole of wholes) {
        const error = yield* errorOf(servicesOf({ whole }).creator.plan(spec))
        assert.strictEqual(error._tag, "BackendError")
      }
    }))

  it.effect("never says that it is available gives false", () =>
    Effect.gen(function*() {
      for (const ping of [Effect.never, Effect.die("boom"), untyped(undefined)]) {
        const { provider } = servicesOf({ whole: { ping } })
        const fiber = yield* Effect.forkChild(provider.isAvailable)
        yield* TestClock.adjust("1 hour")
        assert.isFalse(yield* Fiber.join(fiber))
        assert.strictEqual((yield* errorOf(provider.checkAvailable))._tag, "ProviderUnavailable")
      }
    }))

  it.effect("never opens, ends at once or fails a watch still gives the present status", () =>
    Effect.gen(function*() {
      const subscriptions: ReadonlyArray<NonNullable<Whole["changes"]>> = [
        () => Stream.never,
        () => Stream.empty,
        () => untyped(undefined)
      ]
      for (const changes of subscriptions) {
        const { provider } = servicesOf({ whole: { changes } })
        const fiber = yield* provider.watchCluster("dev").pipe(Stream.take(1), Stream.runCollect, Effect.forkChild)
        yield* TestClock.adjust("1 minute")
        assert.deepStrictEqual((yield* Fiber.join(fiber)).map(({ nodesTotal }) => nodesTotal), [2])
      }
      for (const changes of [boom, () => Stream.die("boom")]) {
        const { provider } = servicesOf({ whole: { changes } })
        const watched = Stream.runDrain(provider.watchCluster("dev"))
        assert.strictEqual((yield* errorOf(watched))._tag, "BackendError")
      }
    }))
})
