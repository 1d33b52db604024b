/** Metrics and spans as an operator sees them: read from Effect's registry and a tracer that keeps every span. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Metric from "effect/Metric"
import { TestClock } from "effect/testing"
import type * as Tracer from "effect/Tracer"
import * as Memory from "kubelayer/layers/Memory"
import { Provider } from "kubelayer/Provider"
import { Locked, Protected } from "kubelayer/Reason"
import { pathTemplate } from "../src/internal/PathTemplate.ts"
import { tracing } from "./core/fixtures.ts"
import { canned, over } from "./hetzner/support/over.ts"

/** Every metric of the library in a registry of its own: the name with its labels, and its count, value or sum. */
const measured = Effect.map(
  Metric.snapshot,
  (metrics) =>
    Object.fromEntries(
      metrics.filter(({ id }) => id.startsWith("kubelayer_")).map(({ attributes, id, state }) => [
        `${id} ${Object.values(attributes ?? {}).join(" ")}`,
        "count" in state ? Number(state.count) : "value" in state ? Number(state.value) : Number.NaN
      ])
    )
)

const alone = <A, E, R>(self: Effect.Effect<A, E, R>) =>
  Effect.suspend(() => Effect.provideService(self, Metric.MetricRegistry, new Map()))

const parentOf = ({ parent }: Tracer.Span) => parent._tag === "Some" ? parent.value.spanId : undefined

const stopped = { controlPlanes: 1, workers: 2, state: "stopped" } as const

describe("metrics", () => {
  it.effect("count operations, calls, retries and outcomes by bounded labels", () =>
    alone(Effect.gen(function*() {
      const memory = yield* Memory.Memory
      const provider = yield* Provider
      yield* memory.failNext({
        operation: "start",
        node: "dev-worker",
        reason: new Locked({ detail: "busy" }),
        times: 2
      })
      yield* memory.failNext({
        operation: "start",
        node: "dev-worker2",
        reason: new Protected({ detail: "no" }),
        times: 1
      })
      const fiber = yield* Effect.forkChild(Effect.exit(provider.startNodes("dev")))
      yield* TestClock.adjust("10 seconds")
      yield* Fiber.join(fiber)
      yield* provider.listNodes("dev")
      yield* Effect.exit(provider.startNodes("prod"))
      const all = yield* measured
      assert.deepInclude(all, {
        "kubelayer_operations memory lab startNodes NodesFailed": 1,
        "kubelayer_operations memory lab startNodes NoNodes": 1,
        "kubelayer_operations memory lab listNodes ok": 1,
        "kubelayer_operation_duration_seconds memory lab startNodes": 2,
        "kubelayer_retries memory lab Locked": 2,
        "kubelayer_outcomes memory lab startNodes node Done": 2,
        "kubelayer_outcomes memory lab startNodes node Failed": 1,
        "kubelayer_node_duration_seconds memory lab startNodes": 3,
        "kubelayer_calls memory lab listNodes": 1
      })
      const sent = (yield* memory.calls).length
      const counted = Object.entries(all).filter(([name]) => name.startsWith("kubelayer_calls ")).map(([, n]) => n)
      assert.strictEqual(counted.reduce((sum, n) => sum + n, 0), sent)
      // No cluster and no node is in a label.
      assert.isFalse(Object.keys(all).some((name) => /dev|prod|worker/.test(name)))
    })).pipe(Effect.provide(Memory.layer({ name: "lab", clusters: { dev: stopped } }))))

  it.effect("count an interrupted operation as interrupted", () =>
    alone(Effect.gen(function*() {
      const provider = yield* Provider
      const fiber = yield* Effect.forkChild(provider.startNodes("dev"))
      yield* TestClock.adjust("1 second")
      yield* Fiber.interrupt(fiber)
      assert.strictEqual((yield* measured)["kubelayer_operations memory memory startNodes interrupted"], 1)
    })).pipe(Effect.provide(Memory.layer({ clusters: { dev: stopped }, latency: "1 minute" }))))

  it.effect("have the quota that is left of an account", () =>
    Effect.scoped(alone(Effect.gen(function*() {
      const { http } = canned(() => ({
        json: { servers: [] },
        headers: { "ratelimit-limit": "3600", "ratelimit-remaining": "17" }
      }))
      const { provider } = yield* over(http)
      yield* provider.listNodes("dev")
      assert.strictEqual((yield* measured)["kubelayer_quota_remaining hetzner hetzner"], 17)
    }))))
})

describe("the name of an instance", () => {
  it.effect("is in errors, outcomes and spans", () =>
    Effect.gen(function*() {
      const { layer, spans } = tracing()
      const memory = yield* Memory.Memory
      const provider = yield* Provider
      yield* memory.failNext({ operation: "list", reason: new Protected({ detail: "no" }), times: 1 })
      const error = yield* Effect.flip(provider.listNodes("dev")).pipe(Effect.provide(layer))
      assert.match(error.message, /^memory \(lab\) listNodes for cluster dev: /)
      assert.strictEqual(spans[0]?.attributes.get("kubelayer.instance"), "lab")
      const none = yield* Effect.flip(provider.startNodes("prod"))
      assert.match(none.message, /^memory \(lab\): cluster "prod" has no nodes/)
      yield* memory.failNext({ operation: "start", reason: new Protected({ detail: "no" }), times: 1 })
      const failed = yield* Effect.flip(provider.startNodes("dev"))
      const [outcome] = failed._tag === "NodesFailed" ? failed.report.failed.map((entry) => entry.outcome) : []
      assert.strictEqual(outcome?._tag === "Failed" && outcome.error.instance, "lab")
    }).pipe(Effect.provide(Memory.layer({ name: "lab", clusters: { dev: stopped } }))))
})

describe("a trace of an operation", () => {
  it.effect("has a child a node and a child a call, each with what became of it (U17)", () =>
    Effect.gen(function*() {
      const { layer, spans } = tracing()
      const memory = yield* Memory.Memory
      const provider = yield* Provider
      yield* memory.failNext({
        operation: "start",
        node: "dev-worker",
        reason: new Locked({ detail: "busy", status: 423 }),
        times: 1
      })
      const fiber = yield* Effect.forkChild(provider.startNodes("dev").pipe(Effect.provide(layer)))
      yield* TestClock.adjust("10 seconds")
      yield* Fiber.join(fiber)
      const [root] = spans
      assert.strictEqual(root?.name, "kubelayer.memory.startNodes")
      const nodes = spans.filter(({ name }) => name === "kubelayer.node")
      assert.sameMembers(nodes.map(({ attributes }) => attributes.get("kubelayer.node")), [
        "dev-control-plane",
        "dev-worker",
        "dev-worker2"
      ])
      for (const span of nodes) {
        assert.strictEqual(parentOf(span), root?.spanId)
        assert.strictEqual(span.attributes.get("kubelayer.outcome"), "Done")
      }
      const worker = nodes.find(({ attributes }) => attributes.get("kubelayer.node") === "dev-worker")
      const calls = spans.filter((span) => span.name === "kubelayer.call" && parentOf(span) === worker?.spanId)
      assert.deepStrictEqual(
        calls.map(({ attributes, kind, status }) => [
          kind,
          attributes.get("kubelayer.path"),
          attributes.get("kubelayer.attempt"),
          attributes.get("kubelayer.status"),
          status._tag === "Ended" ? status.exit._tag : status._tag
        ]),
        [
          ["client", "start", 1, 423, "Failure"],
          ["client", "start", 2, undefined, "Success"]
        ]
      )
    }).pipe(Effect.provide(Memory.layer({ clusters: { dev: stopped } }))))

  it.effect("has the method, the path template, the status and the server of an HTTP call (U17)", () =>
    Effect.scoped(Effect.gen(function*() {
      const { layer, spans } = tracing()
      const { provider } = yield* over(canned(() => ({ json: { servers: [] } })).http)
      yield* provider.listNodes("dev").pipe(Effect.provide(layer))
      const call = spans.find(({ name }) => name === "kubelayer.call")
      assert.deepInclude(Object.fromEntries(call?.attributes ?? []), {
        "kubelayer.method": "GET",
        "kubelayer.path": "/servers",
        "kubelayer.status": 200,
        "kubelayer.attempt": 1
      })
      assert.isString(call?.attributes.get("server.address"))
    })))
})

describe("a path template", () => {
  it.each([
    ["/servers/42/actions/poweroff", "/servers/{id}/actions/poweroff"],
    ["/servers?label_selector=x", "/servers"],
    ["/containers/kubelayer-dev-1/start", "/containers/{id}/start"],
    ["/containers/json", "/containers/json"],
    ["/containers/create", "/containers/create"],
    ["/networks/dev", "/networks/{id}"],
    ["/images/ghcr.io/a/b:1/json", "/images/{id}/json"],
    ["/images/create", "/images/create"],
    ["/exec/abc/start", "/exec/{id}/start"]
  ])("of %s is %s", (path, template) => {
    assert.strictEqual(pathTemplate(path), template)
  })
})
