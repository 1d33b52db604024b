import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import * as Backend from "kubelayer/Backend"
import { checkUnicodeClusterName } from "kubelayer/Cluster"
import { ClusterStatus, NodeInfo } from "kubelayer/Model"
import * as Policy from "kubelayer/Policy"
import type { ClusterSpec, ProviderService } from "kubelayer/Provider"
import { InvalidClusterName, NodesFailed, NoNodes, ProviderUnavailable } from "kubelayer/ProviderError"
import { BackendError, ServerFault } from "kubelayer/Reason"
import { Done } from "kubelayer/Report"
import { countCall, failWith } from "../../src/internal/Method.ts"
import { dev, logging, node, refused, tracing } from "./fixtures.ts"

const fault = new ServerFault({ detail: "the engine failed", status: 500 })
const unavailable = new ProviderUnavailable({ provider: "test", detail: "connection refused", advice: "Start it." })

interface Overrides {
  readonly listNodes?: () => Effect.Effect<ReadonlyArray<NodeInfo>, ProviderUnavailable | BackendError>
  readonly listAllClusters?: Effect.Effect<ReadonlyArray<string>, ProviderUnavailable | BackendError>
  readonly power?: (name: string, task: Backend.Task) => Effect.Effect<Done, ProviderUnavailable | BackendError>
  readonly changes?: () => Stream.Stream<void, ProviderUnavailable | BackendError>
  readonly ping?: Effect.Effect<void, ProviderUnavailable>
  readonly endpoint?: Effect.Effect<string | undefined>
  readonly checkName?: typeof checkUnicodeClusterName
}

/** A backend that sends nothing, with what a test wants otherwise. */
const providerOf = (overrides: Overrides = {}): ProviderService => {
  const { power = () => Effect.succeed(new Done({})) } = overrides
  const act = (_: unknown, { name }: NodeInfo, task: Backend.Task) => power(name, task)
  return Backend.make<ClusterSpec, NodeInfo, unknown, unknown>({
    backend: "test",
    read: undefined,
    write: undefined,
    target: Effect.succeed("test"),
    endpoint: overrides.endpoint ?? Effect.succeed("http://10.0.0.1:2375"),
    ping: overrides.ping ?? Effect.asVoid(countCall),
    ...(overrides.checkName === undefined ? {} : { checkName: overrides.checkName }),
    ...(overrides.changes === undefined ? {} : { changes: overrides.changes }),
    clusterNames: () => overrides.listAllClusters ?? Effect.as(countCall, [dev]),
    validate: () => [],
    encode: () => null,
    decode: () => undefined,
    desired: () => Effect.succeed([]),
    resources: [],
    node: {
      kind: "node",
      order: 0,
      list: overrides.listNodes ?? (() => Effect.as(countCall, [node("a"), node("b")])),
      identity: ({ id, name }: NodeInfo) => ({ id, name }),
      nameOf: () => "",
      placeOf: () => ({ role: "worker" }),
      owner: () => ({ cluster: overrides.checkName === undefined ? "dev" : "büro" }),
      info: (info: NodeInfo, clusterName) => new NodeInfo({ ...info, clusterName }),
      diff: () => [],
      remove: () => Effect.void
    },
    power: { start: act, stop: act }
  }).provider
}

/** Stops two nodes of three, sending two calls for each. */
const stopping: Overrides = {
  listNodes: () => Effect.as(countCall, [node("a"), node("b"), node("c")]),
  power: (name) =>
    Effect.andThen(countCall, countCall).pipe(
      Effect.andThen(name === "b" ? failWith(fault) : Effect.succeed(new Done({})))
    )
}

/** The spans of an effect, as name, attributes and the way it ended. */
const spansOf = <A, E>(effect: Effect.Effect<A, E>) =>
  Effect.gen(function*() {
    const { layer, spans } = tracing()
    yield* Effect.exit(effect.pipe(Effect.provide(layer)))
    return spans.map((span) => ({
      name: span.name,
      attributes: Object.fromEntries(span.attributes),
      ended: span.status._tag === "Ended" ? span.status.exit._tag : span.status._tag
    }))
  })

describe("every method has one span", () => {
  const provider = providerOf()
  const one = { "kubelayer.cluster": "dev", "kubelayer.calls": 1 }

  it.effect.each<readonly [string, Effect.Effect<unknown, unknown>, Record<string, unknown>]>([
    ["listNodes", provider.listNodes("dev"), { ...one, "kubelayer.count": 2 }],
    ["nodesExist", provider.nodesExist("dev"), one],
    ["getClusterStatus", provider.getClusterStatus("dev"), one],
    ["listAllClusters", provider.listAllClusters, { "kubelayer.calls": 1, "kubelayer.count": 1 }],
    ["isAvailable", provider.isAvailable, { "kubelayer.calls": 1 }],
    ["checkAvailable", provider.checkAvailable, { "kubelayer.calls": 1 }]
  ])("%s, with its calls", ([name, effect, attributes]) =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* spansOf(effect), [{ name: `kubelayer.test.${name}`, attributes, ended: "Success" }])
    }))

  it.effect("the span of an operation has its nodes, done and failed, also if it fails", () =>
    Effect.gen(function*() {
      const [method, ...children] = yield* spansOf(providerOf(stopping).stopNodes("dev"))
      assert.deepStrictEqual(method, {
        name: "kubelayer.test.stopNodes",
        attributes: {
          "kubelayer.cluster": "dev",
          "kubelayer.nodes": 3,
          "kubelayer.done": 2,
          "kubelayer.failed": 1,
          "kubelayer.calls": 7
        },
        ended: "Failure"
      })
      assert.deepStrictEqual(
        children.map(({ attributes, name }) => [name, attributes["kubelayer.node"], attributes["kubelayer.outcome"]]),
        [
          ["kubelayer.node", "a", "Done"],
          ["kubelayer.node", "b", "Failed"],
          ["kubelayer.node", "c", "Done"]
        ]
      )
    }))

  it.effect("the span of an operation that timed out has what it had done", () =>
    Effect.gen(function*() {
      const provider = providerOf({
        power: (name) => name === "a" ? Effect.succeed(new Done({})) : Effect.never
      })
      const { layer, spans } = tracing()
      const fiber = yield* Effect.forkChild(
        Effect.exit(
          provider.stopNodes("dev").pipe(Policy.override({ operationTimeout: "5 seconds" }), Effect.provide(layer))
        )
      )
      yield* TestClock.adjust("5 seconds")
      yield* Fiber.join(fiber)
      assert.strictEqual(spans[0]?.attributes.get("kubelayer.done"), 1)
    }))

  it.effect("the span of an interrupted operation has the calls that it had sent", () =>
    Effect.gen(function*() {
      const { layer, spans } = tracing()
      const provider = providerOf({ listNodes: () => Effect.andThen(countCall, Effect.never) })
      const fiber = yield* Effect.forkChild(provider.listNodes("dev").pipe(Effect.provide(layer)))
      yield* TestClock.adjust("1 second")
      yield* Fiber.interrupt(fiber)
      assert.lengthOf(spans, 1)
      assert.strictEqual(spans[0]?.attributes.get("kubelayer.calls"), 1)
      assert.strictEqual(spans[0]?.status._tag, "Ended")
    }))

  it.effect("a refused name is a span without a call", () =>
    Effect.gen(function*() {
      const [span] = yield* spansOf(provider.stopNodes("../dev"))
      assert.deepStrictEqual(span, {
        name: "kubelayer.test.stopNodes",
        attributes: { "kubelayer.cluster": "../dev", "kubelayer.calls": 0 },
        ended: "Failure"
      })
    }))

  it.effect("each run counts from zero, and two at once do not mix", () =>
    Effect.gen(function*() {
      const list = provider.listNodes("dev")
      const { layer, spans } = tracing()
      yield* Effect.all([list, list, Effect.andThen(list, list)], { concurrency: 3 }).pipe(Effect.provide(layer))
      assert.deepStrictEqual(spans.map((span) => span.attributes.get("kubelayer.calls")), [1, 1, 1, 1])
    }))

  it.effect("a watch has one for as long as somebody listens, with all its calls", () =>
    Effect.gen(function*() {
      let lists = 0
      const provider = providerOf({
        listNodes: () => Effect.as(countCall, ++lists === 1 ? [node("a")] : []),
        changes: () => Stream.concat(Stream.fromIterable([undefined, undefined]), Stream.never)
      })
      assert.deepStrictEqual(yield* spansOf(Stream.runDrain(provider.watchCluster("dev"))), [{
        name: "kubelayer.test.watchCluster",
        attributes: { "kubelayer.cluster": "dev", "kubelayer.calls": 2 },
        ended: "Success"
      }])
    }))
})

describe("an error that a call makes names the method that runs", () => {
  const failing = providerOf({
    listNodes: () => failWith(fault),
    listAllClusters: failWith(fault)
  })

  it.effect.each<readonly [string, Effect.Effect<unknown, unknown>]>([
    ["listNodes", failing.listNodes("dev")],
    ["nodesExist", failing.nodesExist("dev")],
    ["getClusterStatus", failing.getClusterStatus("dev")],
    ["stopNodes", failing.stopNodes("dev")],
    ["watchCluster", Stream.runDrain(failing.watchCluster("dev"))]
  ])("%s", ([operation, effect]) =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(effect)
      assert.deepStrictEqual(
        error,
        new BackendError({ provider: "test", operation, clusterName: "dev", reason: fault })
      )
      assert.match(String(error), /test \w+ for cluster dev: ServerFault: the engine failed \[500\]/)
    }))

  it.effect("listAllClusters, which has no cluster", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(failing.listAllClusters)
      assert.deepStrictEqual(error, new BackendError({ provider: "test", operation: "listAllClusters", reason: fault }))
    }))
})

describe("what a provider is built from", () => {
  it.effect("a name is checked before anything is sent, in every method", () =>
    Effect.gen(function*() {
      const sent = () => assert.fail("something was sent")
      const provider = providerOf({ listNodes: sent, power: sent, changes: sent })
      for (
        const effect of [
          provider.startNodes("*"),
          provider.stopNodes("*"),
          provider.deleteNodes("*"),
          provider.listNodes("*"),
          provider.nodesExist("*"),
          provider.getClusterStatus("*"),
          Stream.runDrain(provider.watchCluster("*"))
        ]
      ) assert.instanceOf(yield* Effect.flip<unknown, unknown, never>(effect), InvalidClusterName)
    }))

  it.effect("a caller without types gets the same refusal, and no exception", () =>
    Effect.gen(function*() {
      const provider = providerOf()
      for (const input of [undefined, null, 7, {}, Object.create(null), Symbol("dev")]) {
        assert.instanceOf(yield* Effect.flip(provider.stopNodes(input as string)), InvalidClusterName)
        assert.instanceOf(
          yield* Effect.flip(Stream.runDrain(provider.watchCluster(input as string))),
          InvalidClusterName
        )
      }
    }))

  it.effect("could not ask is an error of nodesExist and getClusterStatus, never false or none", () =>
    Effect.gen(function*() {
      const provider = providerOf({ listNodes: () => Effect.fail(unavailable) })
      assert.strictEqual(yield* Effect.flip(provider.nodesExist("dev")), unavailable)
      assert.strictEqual(yield* Effect.flip(provider.getClusterStatus("dev")), unavailable)
    }))

  it.effect("a cluster without nodes does not exist", () =>
    Effect.gen(function*() {
      const provider = providerOf({ listNodes: () => Effect.succeed([]) })
      assert.isFalse(yield* provider.nodesExist("dev"))
      assert.isTrue(Option.isNone(yield* provider.getClusterStatus("dev")))
      assert.deepStrictEqual(yield* provider.listNodes("dev"), [])
    }))

  it.effect("a status is that of the nodes, with the backend's address", () =>
    Effect.gen(function*() {
      const status = Option.getOrThrow(yield* providerOf().getClusterStatus("dev"))
      assert.instanceOf(status, ClusterStatus)
      assert.strictEqual(status.phase, "running")
      assert.strictEqual(status.endpoint, "http://10.0.0.1:2375")
      const unknown = providerOf({ endpoint: Effect.succeed(undefined) })
      assert.notProperty(Option.getOrThrow(yield* unknown.getClusterStatus("dev")), "endpoint")
    }))

  it.effect("isAvailable is the success of checkAvailable, and never an error", () =>
    Effect.gen(function*() {
      const away = providerOf({ ping: Effect.fail(unavailable) })
      assert.isTrue(yield* providerOf().isAvailable)
      assert.isFalse(yield* away.isAvailable)
      assert.strictEqual(yield* Effect.flip(away.checkAvailable), unavailable)
    }))

  it.effect("the policy of the call reaches the operation", () =>
    Effect.gen(function*() {
      let seen = 0
      const provider = providerOf({
        listNodes: () => Effect.succeed([node("a", { state: "stopped" })]),
        power: (_, { policy }) =>
          Effect.sync(() => {
            seen = policy.concurrency.start
            return new Done({})
          })
      })
      yield* Effect.exit(provider.startNodes("dev").pipe(Policy.override({ concurrency: { start: 3 } })))
      assert.strictEqual(seen, 3)
    }))

  it.effect("an operation gives its own error as it is", () =>
    Effect.gen(function*() {
      const none = providerOf({ listNodes: () => Effect.succeed([]) })
      assert.instanceOf(yield* Effect.flip(none.startNodes("dev")), NoNodes)
      assert.instanceOf(yield* Effect.flip(providerOf(stopping).stopNodes("dev")), NodesFailed)
    }))

  it.effect("a name of Omni's passes if the backend allows it", () =>
    Effect.gen(function*() {
      assert.isTrue(yield* providerOf({ checkName: checkUnicodeClusterName }).nodesExist("büro"))
      assert.isTrue(Exit.isFailure(yield* Effect.exit(providerOf().nodesExist("büro"))))
    }))
})

describe("the log of a method", () => {
  it.effect("is at debug level only, with backend and cluster, and has the failure", () =>
    Effect.gen(function*() {
      const { layer, lines } = logging()
      const provider = providerOf({ listNodes: () => Effect.andThen(countCall, Effect.fail(refused)) })
      yield* Effect.exit(provider.listNodes("dev").pipe(Effect.provide(Layer.fresh(layer))))
      assert.deepStrictEqual([...new Set(lines.map((line) => line.level))], ["Debug"])
      assert.isTrue(lines.some((line) => line.text.includes("listNodes failed") && line.text.includes("Protected")))
      assert.isTrue(lines.some((line) => line.text === "listNodes: 1 call"))
      for (const line of lines) {
        assert.deepInclude({ ...line.annotations as object }, {
          "kubelayer.backend": "test",
          "kubelayer.cluster": "dev"
        })
      }
    }))
})
