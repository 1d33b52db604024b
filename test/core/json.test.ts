import { assert, describe, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import * as Exit from "effect/Exit"
import * as Schema from "effect/Schema"
import * as Cluster from "kubelayer/Cluster"
import { ClusterStatus, NodeInfo } from "kubelayer/Model"
import { compareSteps, InvalidPlan, makePlan, PlanStep, StalePlan, toJson as planToJson } from "kubelayer/Plan"
import * as E from "kubelayer/ProviderError"
import { BackendError, NameTaken, RateLimited } from "kubelayer/Reason"
import { AlreadyDone, Done, Failed, OperationReport } from "kubelayer/Report"
import { backendError, dev, node, reportOf } from "./fixtures.ts"

/** Through text and back, as over a wire. */
const throughText = <A>(schema: Schema.Codec<A, unknown>, value: Parameters<typeof Cluster.toJson>[0]) =>
  Schema.decodeUnknownEffect(Schema.toCodecJson(schema))(JSON.parse(JSON.stringify(Cluster.toJson(value))))

const runs = { arbitrary: { runs: 60 } }

describe("JSON of a generated value is read back as an equal value of the same class", () => {
  it.effect.prop("NodeInfo", { value: NodeInfo }, ({ value }) =>
    Effect.map(throughText(NodeInfo, value), (back) => {
      assert.instanceOf(back, NodeInfo)
      assert.isTrue(Equal.equals(back, value))
    }), runs)

  it.effect.prop(
    "ClusterStatus",
    { value: ClusterStatus },
    ({ value }) =>
      Effect.map(throughText(ClusterStatus, value), (back) => {
        assert.instanceOf(back, ClusterStatus)
        assert.isTrue(back.nodes.every((each) => each instanceof NodeInfo))
        assert.isTrue(Equal.equals(back, value))
      }),
    runs
  )

  it.effect.prop(
    "OperationReport",
    { value: OperationReport },
    ({ value }) =>
      Effect.map(throughText(OperationReport, value), (back) => {
        assert.instanceOf(back, OperationReport)
        assert.isTrue(Equal.equals(back, value))
        // The members that a class adds to its fields are there again.
        assert.strictEqual(back.isFailure, value.isFailure)
        assert.deepStrictEqual(back.outcomes.map((each) => each.problem), value.outcomes.map((each) => each.problem))
        assert.deepStrictEqual(back.reasons.map((each) => each.message), value.reasons.map((each) => each.message))
      }),
    runs
  )

  it.effect.prop(
    "BackendError",
    { value: BackendError },
    ({ value }) =>
      Effect.map(throughText(BackendError, value), (back) => {
        assert.instanceOf(back, BackendError)
        assert.instanceOf(back, Error)
        assert.isTrue(Equal.equals(back, value))
        assert.strictEqual(back.message, value.message)
        assert.strictEqual(back.isRetryable, value.isRetryable)
      }),
    runs
  )
})

describe("JSON", () => {
  it("has whole milliseconds, no getters and no stack", () => {
    const report = reportOf({
      a: new Done({ forced: true }),
      b: new AlreadyDone({}),
      c: new Failed({
        error: backendError(new RateLimited({ detail: "too fast", retryAfterMillis: 1500, status: 429 }))
      })
    }, { durationMillis: 12 })
    assert.deepStrictEqual(Cluster.toJson(report), {
      operation: "startNodes",
      clusterName: "dev",
      durationMillis: 12,
      outcomes: [
        { kind: "node", name: "a", outcome: { _tag: "Done", forced: true }, durationMillis: 0 },
        { kind: "node", name: "b", outcome: { _tag: "AlreadyDone" }, durationMillis: 0 },
        {
          kind: "node",
          name: "c",
          outcome: {
            _tag: "Failed",
            error: {
              _tag: "BackendError",
              provider: "test",
              operation: "startNodes",
              clusterName: "dev",
              reason: { _tag: "RateLimited", detail: "too fast", retryAfterMillis: 1500, status: 429 }
            }
          },
          durationMillis: 0
        }
      ]
    })
  })

  it("of what was left out has no key for it", () => {
    assert.notProperty(Cluster.toJson(node("a")), "serverType")
    assert.notProperty(Cluster.toJson(Cluster.buildClusterStatus("dev", [node("a")])), "endpoint")
  })

  it("that is not of the model is refused", () => {
    const decode = Schema.decodeUnknownExit(Schema.toCodecJson(NodeInfo))
    const good = { ...Cluster.toJson(node("a")) as object }
    assert.isTrue(Exit.isSuccess(decode(good)))
    assert.isTrue(Exit.isFailure(decode({ ...good, state: "exploded" })))
    assert.isTrue(Exit.isFailure(decode({ ...good, role: "master" })))
    assert.isTrue(Exit.isFailure(decode({ ...good, clusterName: "dev,prod" })))
  })
})

describe("JSON of an error", () => {
  const report = reportOf({
    a: new Failed({ error: backendError(new NameTaken({ detail: "in use", by: "container x" })) }),
    b: new Done({})
  })
  const plan = makePlan({
    backend: "memory",
    target: "memory",
    operation: "createNodes",
    clusterName: dev,
    spec: { cluster: "dev" },
    steps: [new PlanStep({ kind: "node", name: "dev-worker", action: "create", differences: [], wave: 1 })]
  })
  const errors: ReadonlyArray<Parameters<typeof Cluster.toJson>[0] & Error> = [
    new E.NoNodes({ provider: "test", clusterName: "dve", known: ["dev"] }),
    new E.ClusterNotFound({ provider: "test", clusterName: "dve" }),
    new E.ProviderUnavailable({
      provider: "test",
      address: "unix:///run/x.sock",
      detail: "no socket",
      candidates: [{ address: "unix:///run/x.sock", why: "does not exist" }],
      advice: "Start it."
    }),
    new E.UnknownLabelScheme({ scheme: "x", known: ["kind"] }),
    new E.SkipAction({ reason: "not a worker" }),
    new E.InvalidClusterName({ input: "a b", issue: "a space" }),
    new E.InvalidSpec({ issues: [{ path: "workers", message: "must be an integer" }] }),
    new E.NodesFailed({ report }),
    new E.NodesNotCreated({ report, leftovers: [{ kind: "network", name: "dev", why: "in use" }] }),
    new E.OperationTimeout({ operation: "startNodes", clusterName: dev, duration: Duration.seconds(90), report }),
    new E.ClustersNotDeleted({
      provider: "test",
      clusters: [{
        clusterName: dev,
        createdAt: DateTime.makeUnsafe("2026-01-01"),
        ageMillis: 1,
        error: new E.NodesFailed({ report })
      }]
    }),
    new StalePlan({ plan, now: plan, differences: compareSteps(plan, plan) }),
    new InvalidPlan({ detail: "edited" })
  ]

  it.each(errors.map((error) => [error.name, error] as const))("%s has its tag, its message and its fields (U5)", (
    _,
    error
  ) => {
    const json = Cluster.toJson(error)
    assert.deepStrictEqual(JSON.parse(JSON.stringify(json)), json)
    assert.propertyVal(json, "_tag", (error as { readonly _tag?: string })._tag)
    assert.propertyVal(json, "message", error.message)
    assert.notProperty(json, "stack")
    assert.isAbove(Object.keys(json as object).length, 2)
  })

  it("has the reports inside as they are read back, times as ISO 8601 and durations as milliseconds (U5)", () => {
    const timeout = errors.find((error) => error instanceof E.OperationTimeout) ?? assert.fail()
    const json = Cluster.toJson(timeout) as Record<string, unknown>
    assert.strictEqual(json["durationMillis"], 90_000)
    assert.deepStrictEqual(json["report"], Cluster.toJson(report) as unknown)
    const aged = node("a", { createdAt: DateTime.makeUnsafe("2026-01-01") })
    assert.propertyVal(Cluster.toJson(aged), "createdAt", "2026-01-01T00:00:00.000Z")
  })

  it("is accepted in an array, as plans and their steps are (U5)", () => {
    assert.deepStrictEqual(Cluster.toJson([plan, ...plan.steps]), [
      planToJson(plan),
      { kind: "node", name: "dev-worker", action: "create", differences: [], wave: 1 }
    ])
  })
})

describe("equality", () => {
  it("is that of the fields", () => {
    assert.isTrue(Equal.equals(node("a"), node("a")))
    assert.isFalse(Equal.equals(node("a"), node("a", { state: "stopped" })))
    assert.isFalse(Equal.equals(node("a"), node("a", { addresses: { private: ["10.0.0.2"], public: [] } })))
  })

  it("of errors too, down to the reason", () => {
    const taken = (by: string) => backendError(new NameTaken({ detail: "in use", by }))
    assert.isTrue(Equal.equals(taken("x"), taken("x")))
    assert.isFalse(Equal.equals(taken("x"), taken("y")))
  })
})
