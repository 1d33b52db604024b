import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import * as Policy from "kubelayer/Policy"
import * as Provider from "kubelayer/Provider"
import {
  type BackendFailure,
  NodesFailed,
  NodesNotCreated,
  type OperationTimeout,
  ProviderUnavailable
} from "kubelayer/ProviderError"
import { Done, Failed, type OperationReport, Skipped, Unsupported } from "kubelayer/Report"
import { makeNodeCreator } from "../../src/internal/ScopedCreate.ts"
import { logging, node, refused, reportOf } from "./fixtures.ts"

const spec: Provider.ClusterSpec = { cluster: "dev", controlPlanes: 1, workers: 0 }
const created = reportOf({ a: new Done({}) }, { operation: "createNodes" })
const deleted = reportOf({ a: new Done({}) }, { operation: "deleteNodes" })

/** A creator that keeps what it was asked, with these as its create and delete. */
const creating = (
  create: Effect.Effect<OperationReport, Provider.CreateFailure> = Effect.succeed(created),
  remove: Effect.Effect<OperationReport, NodesFailed | OperationTimeout | BackendFailure> = Effect.succeed(deleted)
) => {
  const asked: Array<string> = []
  const creator = makeNodeCreator(
    ({ cluster }) => Effect.andThen(Effect.sync(() => asked.push(`create ${cluster}`)), create),
    (cluster) => Effect.andThen(Effect.sync(() => asked.push(`delete ${cluster}`)), remove)
  )
  return { asked, creator }
}

describe("createNodesScoped", () => {
  it.effect("gives the report of the create, and deletes when the scope closes, not before", () =>
    Effect.gen(function*() {
      const { asked, creator } = creating()
      yield* Effect.scoped(Effect.gen(function*() {
        assert.strictEqual(yield* creator.createNodesScoped(spec), created)
        assert.deepStrictEqual(asked, ["create dev"])
      }))
      assert.deepStrictEqual(asked, ["create dev", "delete dev"])
    }))

  it.effect("deletes whatever the scope ends with", () =>
    Effect.gen(function*() {
      for (const end of [Effect.fail("mine"), Effect.die("a bug"), Effect.interrupt]) {
        const { asked, creator } = creating()
        yield* Effect.exit(Effect.scoped(Effect.andThen(creator.createNodesScoped(spec), end)))
        assert.deepStrictEqual(asked, ["create dev", "delete dev"])
      }
    }))

  it.effect("deletes nothing after a failed create, which has already cleaned up", () =>
    Effect.gen(function*() {
      const error = new NodesNotCreated({ report: created, leftovers: [] })
      const { asked, creator } = creating(Effect.fail(error))
      assert.strictEqual(yield* Effect.flip(Effect.scoped(creator.createNodesScoped(spec))), error)
      assert.deepStrictEqual(asked, ["create dev"])
    }))

  it.effect("interruption ends a create at once, and no delete follows", () =>
    Effect.gen(function*() {
      let tidied = false
      const { asked, creator } = creating(
        Effect.onInterrupt(Effect.never, () => Effect.sync(() => void (tidied = true)))
      )
      const fiber = yield* Effect.forkChild(Effect.scoped(creator.createNodesScoped(spec)))
      yield* TestClock.adjust("1 second")
      yield* Fiber.interrupt(fiber)
      assert.isTrue(tidied)
      assert.deepStrictEqual(asked, ["create dev"])
    }))
})

describe("the delete at the end of the scope", () => {
  const closing = (
    remove: Effect.Effect<OperationReport, NodesFailed | OperationTimeout | BackendFailure>,
    overrides: Policy.Overrides = {}
  ) =>
    Effect.gen(function*() {
      const logged = logging()
      const { creator } = creating(undefined, remove)
      const scope = yield* Scope.make()
      yield* creator.createNodesScoped(spec).pipe(
        Effect.provideService(Scope.Scope, scope),
        Policy.override(overrides),
        Effect.provide(logged.layer)
      )
      const close = yield* Effect.forkChild(Effect.exit(Scope.close(scope, Exit.void)))
      return { close, lines: logged.lines }
    })

  it.effect("is silent where nothing is left", () =>
    Effect.gen(function*() {
      const { close, lines } = yield* closing(Effect.succeed(deleted))
      assert.deepStrictEqual(yield* Fiber.join(close), Exit.void)
      assert.isEmpty(lines)
    }))

  it.effect("warns of what was left in place, by name and reason", () =>
    Effect.gen(function*() {
      const cannot = new Unsupported({ reason: "it is not kubelayer's to delete" })
      const left = reportOf({
        a: new Done({}),
        b: cannot,
        net: new Skipped({ reason: "a container of nobody's is in it" })
      })
      const { close, lines } = yield* closing(Effect.succeed(left))
      assert.deepStrictEqual(yield* Fiber.join(close), Exit.void)
      assert.lengthOf(lines, 1)
      assert.strictEqual(lines[0]?.level, "Warn")
      for (const part of ["cluster dev", "node net: a container of nobody's is in it", `node b: ${cannot.reason}`]) {
        assert.include(lines[0]?.text, part)
      }
    }))

  const gone = new ProviderUnavailable({ provider: "test", detail: "connection refused", advice: "Start it." })
  const failed = new NodesFailed({
    report: reportOf({
      a: new Failed({ error: refused }),
      net: new Skipped({ reason: "a container of nobody's is in it" })
    }, { operation: "deleteNodes" })
  })

  it.effect.each<readonly [string, NodesFailed | BackendFailure, ReadonlyArray<string>]>([
    ["a backend that is away", gone, ["connection refused", "Start it."]],
    ["a node that failed, and what was left out beside it", failed, ["node a", "Protected", "net", "nobody's"]]
  ])("logs %s, and the scope closes", ([, error, has]) =>
    Effect.gen(function*() {
      const { close, lines } = yield* closing(Effect.fail(error))
      assert.deepStrictEqual(yield* Fiber.join(close), Exit.void)
      assert.strictEqual(lines.at(-1)?.level, "Error")
      const text = lines.map((line) => line.text).join("\n")
      for (const part of ["cluster dev", ...has]) assert.include(text, part)
    }))

  it.effect("is bounded by its deadline, and says that it was cut off", () =>
    Effect.gen(function*() {
      let interrupted = false
      const { close, lines } = yield* closing(
        Effect.onInterrupt(Effect.never, () => Effect.sync(() => void (interrupted = true))),
        { cleanupTimeout: "20 seconds" }
      )
      yield* TestClock.adjust("19 seconds")
      assert.isUndefined(close.pollUnsafe())
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* Fiber.join(close), Exit.void)
      assert.isTrue(interrupted)
      assert.match(lines[0]?.text ?? "", /cluster dev could not be deleted: .*20s/)
    }))
})

// -----------------------------------------------------------------------------
// layerFrom
// -----------------------------------------------------------------------------

interface Backend {
  readonly provider: Provider.ProviderService
  readonly creator: Provider.NodeCreatorService
}
class East extends Context.Service<East, Backend>()("test/East") {}
class West extends Context.Service<West, Backend>()("test/West") {}

const backendWith = (name: string): Backend => {
  const unused = Effect.die("it is not asked")
  return {
    provider: {
      backend: name,
      name,
      planDelete: () => unused,
      listAllStatuses: unused,
      watchAllClusters: Stream.die("it is not watched"),
      startNodes: () => unused,
      stopNodes: () => unused,
      deleteNodes: () => unused,
      listNodes: () => Effect.succeed([node(`${name}-1`)]),
      listAllClusters: unused,
      nodesExist: () => unused,
      getClusterStatus: () => unused,
      isAvailable: unused,
      checkAvailable: unused,
      watchCluster: () => assert.fail("it is not watched")
    },
    creator: {
      ...creating(Effect.succeed(reportOf({ [`${name}-1`]: new Done({}) }))).creator,
      plan: () => unused,
      apply: () => unused,
      addNodes: () => unused,
      removeNodes: () => unused,
      replaceNodes: () => unused,
      restartNodes: () => unused,
      sweep: () => unused
    }
  }
}

describe("layerFrom", () => {
  const both = Layer.mergeAll(Layer.succeed(East, backendWith("east")), Layer.succeed(West, backendWith("west")))

  const asked = Effect.gen(function*() {
    const provider = yield* Provider.Provider
    const creator = yield* Provider.NodeCreator
    const [listed] = yield* provider.listNodes("dev")
    const made = yield* creator.createNodes(spec)
    return [provider.backend, listed?.name, made.outcomes[0]?.name]
  })

  it.effect("gives the Provider and the NodeCreator of the backend that is named, of two", () =>
    Effect.gen(function*() {
      const inEast = Effect.provide(asked, Provider.layerFrom(East))
      const inWest = Effect.provide(asked, Provider.layerFrom(West))
      assert.deepStrictEqual(yield* Effect.all([inEast, inWest, inEast]), [
        ["east", "east-1", "east-1"],
        ["west", "west-1", "west-1"],
        ["east", "east-1", "east-1"]
      ])
    }).pipe(Effect.provide(both)))

  it.effect("shares the instance: what it gives is the backend's own", () =>
    Effect.gen(function*() {
      const east = yield* East
      const [provider, creator] = yield* Effect.all([Provider.Provider, Provider.NodeCreator]).pipe(
        Effect.provide(Provider.layerFrom(East))
      )
      assert.strictEqual(provider, east.provider)
      assert.strictEqual(creator, east.creator)
    }).pipe(Effect.provide(both)))
})
