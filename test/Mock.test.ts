import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import { awaitStatus } from "kubelayer/Cluster"
import * as Mock from "kubelayer/layers/Mock"
import { NodeInfo } from "kubelayer/Model"
import { layerFrom, NodeCreator, Provider } from "kubelayer/Provider"
import { ClusterNotFound, NoNodes } from "kubelayer/ProviderError"
import { InUse, Locked } from "kubelayer/Reason"
import { Skipped } from "kubelayer/Report"

const busy = new Locked({ detail: "somebody works on it" })

/** The message of the defect with which an effect dies. */
const deathOf = (effect: Effect.Effect<unknown, unknown, Provider | NodeCreator>, answers: Mock.Answers = {}) =>
  Effect.gen(function*() {
    const exit = yield* Effect.exit(Effect.provide(effect, Mock.layer(answers)))
    assert(Exit.isFailure(exit) && Cause.hasDies(exit.cause))
    return String(Cause.squash(exit.cause))
  })

describe("Mock", () => {
  describe("answers", () => {
    it.effect("a value, an Effect, or a function of the cluster", () =>
      Effect.gen(function*() {
        const provider = yield* Provider
        assert.deepStrictEqual((yield* provider.startNodes("dev")).done.map(({ name }) => name), ["dev-worker"])
        assert.strictEqual((yield* provider.stopNodes("any")).clusterName, "any" as never)
        const error = yield* Effect.flip(provider.deleteNodes("dev"))
        assert(error._tag === "BackendError")
        assert.deepStrictEqual(
          [error.provider, error.operation, error.clusterName, error.reason._tag],
          ["mock", "deleteNodes", "dev", "Locked"]
        )
      }).pipe(Effect.provide(Mock.layer({
        startNodes: Mock.report("startNodes", "dev", { "dev-worker": "Done" }),
        stopNodes: (cluster) => Mock.report("stopNodes", cluster),
        deleteNodes: Mock.failure(busy)
      }))))

    it.effect("by cluster, with * for all others", () =>
      Effect.gen(function*() {
        const provider = yield* Provider
        assert.deepStrictEqual((yield* provider.listNodes("dev")).map(({ name }) => name), ["dev-worker"])
        assert.deepStrictEqual(yield* provider.listNodes("prod"), [])
        assert.strictEqual((yield* Effect.flip(provider.startNodes("dev")))._tag, "NoNodes")
      }).pipe(Effect.provide(Mock.layer({
        listNodes: { dev: [Mock.node("dev")], "*": [] },
        startNodes: { dev: Effect.fail(new NoNodes({ provider: "mock", clusterName: "dev" })) }
      }))))

    it.effect("in a sequence, the last of which stays; each cluster has its own place", () =>
      Effect.gen(function*() {
        const provider = yield* Provider
        const count = (cluster: string) => Effect.map(provider.listNodes(cluster), (nodes) => nodes.length)
        assert.strictEqual(yield* count("dev"), 0)
        assert.strictEqual(yield* count("dev"), 1)
        assert.strictEqual(yield* count("prod"), 3)
        assert.strictEqual(yield* count("dev"), 2)
        assert.strictEqual(yield* count("dev"), 2)
      }).pipe(Effect.provide(Mock.layer({
        listNodes: {
          dev: Mock.sequence([], [Mock.node("dev")], Effect.succeed(Mock.nodes("dev", { workers: 1 }))),
          prod: Mock.sequence(Mock.nodes("prod", { workers: 2 }), [])
        }
      }))))

    it.effect("a program that tries again sees a failure first, and then success", () =>
      Effect.gen(function*() {
        const { calls, provider } = yield* Mock.Mock
        const fiber = yield* provider.startNodes("dev").pipe(
          Effect.retry(Schedule.spaced("1 minute")),
          Effect.forkChild
        )
        yield* TestClock.adjust("1 minute")
        assert.strictEqual((yield* Fiber.join(fiber)).done.length, 1)
        assert.strictEqual((yield* calls).length, 2)
      }).pipe(Effect.provide(Mock.layer({
        startNodes: Mock.sequence(Mock.failure(busy), Mock.report("startNodes", "dev", { "dev-worker": "Done" }))
      }))))

    it.effect("two layers of the same answers do not share a place", () =>
      Effect.gen(function*() {
        const answers: Mock.Answers = { nodesExist: Mock.sequence(false, true) }
        const [one, two] = [yield* Mock.make(answers), yield* Mock.make(answers)]
        assert.strictEqual(yield* one.provider.nodesExist("dev"), false)
        assert.strictEqual(yield* two.provider.nodesExist("dev"), false)
        assert.strictEqual(yield* one.provider.nodesExist("dev"), true)
      }))

    it.effect("a report with failures makes the method fail as a backend's would", () =>
      Effect.gen(function*() {
        const provider = yield* Provider
        const error = yield* Effect.flip(provider.stopNodes("dev"))
        assert(error._tag === "NodesFailed")
        assert.deepStrictEqual(error.reasons.map((reason) => reason._tag), ["Locked"])
        assert.include(error.message, "node dev-worker: Locked: somebody works on it")
        const notMade = yield* Effect.flip(
          NodeCreator.use((creator) => creator.createNodes({ cluster: "dev", controlPlanes: 1, workers: 1 }))
        )
        assert.strictEqual(notMade._tag, "NodesNotCreated")
      }).pipe(Effect.provide(Mock.layer({
        stopNodes: Mock.report("stopNodes", "dev", { "dev-worker": busy, "dev-control-plane": "Done" }),
        createNodes: (spec) => Mock.report("createNodes", spec.cluster, { "dev-worker": busy })
      }))))

    it.effect("a name that no backend takes is refused, and is no call", () =>
      Effect.gen(function*() {
        const { calls, creator, provider } = yield* Mock.Mock
        assert.strictEqual((yield* Effect.flip(provider.listNodes("a b")))._tag, "InvalidClusterName")
        assert.strictEqual((yield* Effect.flip(Stream.runDrain(provider.watchCluster(""))))._tag, "InvalidClusterName")
        const created = yield* Effect.flip(creator.createNodes({ cluster: "Dev", controlPlanes: 1, workers: 0 }))
        assert.strictEqual(created._tag, "InvalidClusterName")
        assert.deepStrictEqual(yield* calls, [])
      }).pipe(Effect.provide(Mock.layer({ listNodes: [] }))))
  })

  describe("what follows", () => {
    it.effect("listNodes gives nodesExist, getClusterStatus and listAllClusters", () =>
      Effect.gen(function*() {
        const provider = yield* Provider
        assert.strictEqual(yield* provider.nodesExist("dev"), true)
        assert.strictEqual(yield* provider.nodesExist("empty"), false)
        assert.isTrue(Option.isNone(yield* provider.getClusterStatus("empty")))
        const status = Option.getOrThrow(yield* provider.getClusterStatus("dev"))
        assert.deepStrictEqual([status.phase, status.nodesReady, status.nodesTotal], ["degraded", 2, 3])
        assert.deepStrictEqual(status.nodes.map(({ name }) => name), ["dev-control-plane", "dev-worker", "odd"])
        assert.deepStrictEqual(yield* provider.listAllClusters, ["dev", "prod"] as ReadonlyArray<string>)
      }).pipe(Effect.provide(Mock.layer({
        listNodes: {
          prod: Mock.nodes("prod"),
          empty: [],
          dev: [Mock.node("dev", { name: "odd", state: "failed" }), ...Mock.nodes("dev", { workers: 1 })]
        }
      }))))

    it.effect("an answer of its own wins over what follows", () =>
      Effect.gen(function*() {
        const provider = yield* Provider
        assert.strictEqual(yield* provider.nodesExist("dev"), false)
        assert.deepStrictEqual(yield* provider.listAllClusters, ["other"] as ReadonlyArray<string>)
        assert.strictEqual(Option.getOrThrow(yield* provider.getClusterStatus("dev")).phase, "stopped")
        // It has a status of its own for one cluster only.
        assert.strictEqual(Option.getOrThrow(yield* provider.getClusterStatus("prod")).phase, "running")
      }).pipe(Effect.provide(Mock.layer({
        listNodes: { dev: Mock.nodes("dev"), prod: Mock.nodes("prod") },
        nodesExist: false,
        listAllClusters: ["other"],
        getClusterStatus: { dev: Mock.status(Mock.nodes("dev", { state: "stopped" })) }
      }))))

    it.effect("it is available unless it is said otherwise, by either of the two", () =>
      Effect.gen(function*() {
        const of = (answers: Mock.Answers) => Effect.map(Mock.make(answers), ({ provider }) => provider)
        assert.strictEqual(yield* (yield* of({})).isAvailable, true)
        const down = yield* of({ isAvailable: false })
        assert.strictEqual((yield* Effect.flip(down.checkAvailable))._tag, "ProviderUnavailable")
        const back = yield* of({
          checkAvailable: Mock.sequence(Effect.fail(Mock.unavailable("no socket")), Effect.void)
        })
        assert.deepStrictEqual([yield* back.isAvailable, yield* back.isAvailable], [false, true])
      }))
  })

  describe("watchCluster", () => {
    it.effect("gives its statuses, and then the cluster is gone", () =>
      Effect.gen(function*() {
        const provider = yield* Provider
        const ready = yield* awaitStatus(provider, "dev", (status) => status.ready, { timeout: "1 minute" })
        assert.strictEqual(ready.phase, "running")
        const statuses = yield* Stream.runCollect(provider.watchCluster("dev"))
        assert.deepStrictEqual(statuses.map(({ phase }) => phase), ["stopped", "running"])
        assert.strictEqual((yield* Effect.flip(Stream.runDrain(provider.watchCluster("nope"))))._tag, "ClusterNotFound")
        assert.strictEqual((yield* Stream.runCollect(Stream.take(provider.watchCluster("open"), 1))).length, 1)
      }).pipe(Effect.provide(Mock.layer({
        watchCluster: {
          dev: [Mock.status(Mock.nodes("dev", { state: "stopped" })), Mock.status(Mock.nodes("dev"))],
          nope: Effect.fail(new ClusterNotFound({ provider: "mock", clusterName: "nope" })),
          open: Stream.concat(Stream.succeed(Mock.status(Mock.nodes("open"))), Stream.never)
        }
      }))))
  })

  describe("an answer that is missing", () => {
    it.effect("says for what, and what to add", () =>
      Effect.gen(function*() {
        const message = yield* deathOf(Provider.use((provider) => provider.stopNodes("prod")), {
          startNodes: (cluster) => Mock.report("startNodes", cluster)
        })
        assert.include(message, `Mock has no answer for stopNodes("prod")`)
        assert.include(message, `stopNodes: { "prod": Mock.report("stopNodes", "prod"`)
      }))

    it.effect("says for which clusters there are some", () =>
      Effect.gen(function*() {
        const message = yield* deathOf(Provider.use((provider) => provider.listNodes("prod")), {
          listNodes: { dev: [], test: [] }
        })
        assert.include(message, `no answer for listNodes("prod"); it has one for dev, test`)
      }))

    it.effect("holds for every method that asks about something", () =>
      Effect.gen(function*() {
        const calls = {
          startNodes: Provider.use((provider) => provider.startNodes("dev")),
          stopNodes: Provider.use((provider) => provider.stopNodes("dev")),
          deleteNodes: Provider.use((provider) => provider.deleteNodes("dev")),
          listNodes: Provider.use((provider) => provider.listNodes("dev")),
          nodesExist: Provider.use((provider) => provider.nodesExist("dev")),
          getClusterStatus: Provider.use((provider) => provider.getClusterStatus("dev")),
          listAllClusters: Provider.use((provider) => provider.listAllClusters),
          watchCluster: Provider.use((provider) => Stream.runDrain(provider.watchCluster("dev"))),
          createNodes: NodeCreator.use((creator) =>
            creator.createNodes({ cluster: "dev", controlPlanes: 1, workers: 0 })
          )
        }
        for (const [name, call] of Object.entries(calls)) {
          const message = yield* deathOf(call)
          assert.include(message, `Mock has no answer for ${name}`)
          assert.include(message, `\n  ${name}: `)
        }
      }))
  })

  describe("calls", () => {
    it.effect("are in order, with their arguments", () =>
      Effect.gen(function*() {
        const mock = yield* Mock.Mock
        const provider = yield* Provider
        const spec = { cluster: "new", controlPlanes: 1, workers: 2 }
        yield* provider.checkAvailable
        yield* Effect.scoped(NodeCreator.use((creator) => creator.createNodesScoped(spec)))
        yield* provider.nodesExist("new")
        assert.deepStrictEqual(yield* mock.calls, [
          { method: "checkAvailable" },
          { method: "createNodes", cluster: "new", spec },
          { method: "deleteNodes", cluster: "new" },
          { method: "nodesExist", cluster: "new" }
        ])
        yield* mock.clearCalls
        assert.deepStrictEqual(yield* mock.calls, [])
      }).pipe(Effect.provide(Mock.layer({
        createNodes: (spec) => Mock.report("createNodes", spec.cluster, { "new-worker": "Done" }),
        deleteNodes: (cluster) => Mock.report("deleteNodes", cluster),
        listNodes: []
      }))))

    it.effect("an effect that is not run is not recorded", () =>
      Effect.gen(function*() {
        const { calls, provider } = yield* Mock.Mock
        provider.listNodes("dev")
        assert.deepStrictEqual(yield* calls, [])
      }).pipe(Effect.provide(Mock.layer({ listNodes: [] }))))
  })

  describe("values", () => {
    it("node has a name of its role, and takes every field", () => {
      assert.strictEqual(Mock.node("dev", { role: "control-plane" }).name, "dev-control-plane")
      const node = Mock.node("dev", { name: "n1", state: "stopped", rawState: "exited", location: "fsn1" })
      assert.instanceOf(node, NodeInfo)
      assert.deepStrictEqual(
        [node.name, node.role, node.state, node.rawState, node.location, node.clusterName],
        ["n1", "worker", "stopped", "exited", "fsn1", "dev"] as ReadonlyArray<unknown>
      )
    })

    it("report takes outcomes, their names, and reasons of failures", () => {
      const report = Mock.report("deleteNodes", "dev", {
        a: "Done",
        b: "AlreadyDone",
        c: new Skipped({ reason: "protected" }),
        d: new InUse({ detail: "used by a load balancer" })
      })
      assert.deepStrictEqual(report.outcomes.map(({ name, outcome }) => [name, outcome._tag]), [
        ["a", "Done"],
        ["b", "AlreadyDone"],
        ["c", "Skipped"],
        ["d", "Failed"]
      ])
      assert.isTrue(report.isFailure)
    })
  })

  describe("types", () => {
    it("refuse an answer of a wrong type", () => {
      // @ts-expect-error a report is no list of nodes
      Mock.layer({ listNodes: Mock.report("startNodes", "dev") })
      // @ts-expect-error a list of nodes is no report
      Mock.layer({ startNodes: { dev: [Mock.node("dev")] } })
      // @ts-expect-error one answer of the sequence is wrong
      Mock.layer({ nodesExist: Mock.sequence(true, "no") })
      // @ts-expect-error deleteNodes cannot fail with NoNodes
      Mock.layer({ deleteNodes: Effect.fail(new NoNodes({ provider: "mock", clusterName: "dev" })) })
      // @ts-expect-error there is no such method
      Mock.layer({ restartNodes: true })
      // @ts-expect-error a sequence without an answer
      Mock.sequence()
      assert.isTrue(Layer.isLayer(Mock.layer({})))
    })
  })

  it.effect("layerFrom makes it the Provider of a program with several backends", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* Provider.use((provider) => provider.nodesExist("dev")), true)
      assert.deepStrictEqual(yield* Mock.Mock.use(({ calls }) => calls), [{ method: "nodesExist", cluster: "dev" }])
    }).pipe(
      Effect.provide(layerFrom(Mock.Mock).pipe(Layer.provideMerge(Mock.layerService({ nodesExist: true }))))
    ))
})

describe("Mock answers of plans, scaling and sweeps", () => {
  const run = <A, E>(answers: Mock.Answers, body: (mock: Mock.MockService) => Effect.Effect<A, E>) =>
    Effect.gen(function*() {
      const mock = yield* Mock.make(answers)
      const result = yield* Effect.result(body(mock))
      return { result, calls: yield* mock.calls }
    })

  it.effect("plan, apply and planDelete give their answers and record what they were given", () =>
    Effect.gen(function*() {
      const planned = Mock.plan("createNodes", "dev", { "dev-worker": "create" })
      const spec = { cluster: "dev", controlPlanes: 1, workers: 1 }
      const { calls, result } = yield* run({
        plan: { dev: planned },
        planDelete: { dev: Mock.plan("deleteNodes", "dev", { "dev-worker": "delete" }) },
        apply: ({ clusterName }) => Mock.report("apply", clusterName, { "dev-worker": "Done" })
      }, ({ creator, provider }) =>
        Effect.gen(function*() {
          const plan = yield* creator.plan(spec)
          const report = yield* creator.apply(plan)
          return [plan, report.done.length, (yield* provider.planDelete("dev")).changes.length] as const
        }))
      assert.deepStrictEqual(result._tag === "Success" && result.success, [planned, 1, 1])
      assert.deepStrictEqual(calls, [
        { method: "plan", cluster: "dev", spec },
        { method: "apply", cluster: "dev", plan: planned },
        { method: "planDelete", cluster: "dev" }
      ])
    }))

  it.effect("a report with a failure fails addNodes with NodesNotCreated and the others with NodesFailed", () =>
    Effect.gen(function*() {
      const failed = (operation: "addNodes" | "removeNodes" | "replaceNodes" | "restartNodes") => ({
        dev: Mock.report(operation, "dev", { "dev-worker": new Locked({ detail: "busy" }) })
      })
      const { calls, result } = yield* run({
        addNodes: failed("addNodes"),
        removeNodes: failed("removeNodes"),
        replaceNodes: failed("replaceNodes"),
        restartNodes: failed("restartNodes")
      }, ({ creator }) =>
        Effect.forEach([
          creator.addNodes("dev", { workers: 1 }),
          creator.removeNodes("dev", ["dev-worker"]),
          creator.replaceNodes("dev", { pool: "gpu" }),
          creator.restartNodes("dev", { nodes: ["dev-worker"] })
        ], (effect) => Effect.map(Effect.flip(effect), ({ _tag }) => _tag)))
      assert.deepStrictEqual(result._tag === "Success" && result.success, [
        "NodesNotCreated",
        "NodesFailed",
        "NodesFailed",
        "NodesFailed"
      ])
      assert.deepStrictEqual(calls.map(({ options }) => options), [
        { workers: 1 },
        ["dev-worker"],
        { pool: "gpu" },
        { nodes: ["dev-worker"] }
      ])
    }))

  it.effect("statuses of all clusters follow from the nodes, and a watch gives its lists", () =>
    Effect.gen(function*() {
      const { result } = yield* run({
        listNodes: { b: Mock.nodes("b"), a: Mock.nodes("a"), none: [] },
        watchAllClusters: [[Mock.status(Mock.nodes("a"))], []]
      }, ({ provider }) => Effect.all([provider.listAllStatuses, Stream.runCollect(provider.watchAllClusters)]))
      const [statuses, lists] = result._tag === "Success" ? result.success : [[], []]
      assert.deepStrictEqual(statuses.map(({ clusterName }) => clusterName), ["a", "b"])
      assert.deepStrictEqual(lists.map((list) => list.length), [1, 0])
    }))

  it.effect("sweep gives its orphans, and an instance has its name", () =>
    Effect.gen(function*() {
      const orphan = { kind: "volume", name: "v", clusterName: "dev", why: "its process is gone" } as const
      const mock = yield* Mock.make({ sweep: [orphan] }, { name: "second" })
      assert.deepStrictEqual(yield* mock.creator.sweep({ olderThan: "1 hour" }), [orphan])
      assert.strictEqual(mock.provider.name, "second")
    }))
})
