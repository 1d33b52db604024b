import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import { TestClock } from "effect/testing"
import * as Cluster from "kubelayer/Cluster"
import type { NodeInfo } from "kubelayer/Model"
import * as Policy from "kubelayer/Policy"
import * as Provider from "kubelayer/Provider"
import {
  InvalidClusterName,
  NodesFailed,
  NoNodes,
  OperationTimeout,
  ProviderUnavailable,
  SkipAction
} from "kubelayer/ProviderError"
import { BackendError } from "kubelayer/Reason"
import { AlreadyDone, Failed, Skipped, Unsupported } from "kubelayer/Report"
import { during, listing, locked, node, recorder, refused, told } from "./fixtures.ts"

const abc = listing([node("a"), node("b"), node("c")])

class Mine extends Data.TaggedError("Mine")<{ readonly code: number }> {}
class Worded extends Data.TaggedError("Worded")<{ readonly code: number }> {
  override get message() {
    return `code ${this.code}`
  }
}

/** Fails with this at node `b`. */
const failingAtB = <E>(error: E) => (each: NodeInfo) =>
  each.name === "b" ? Effect.fail(error) : Effect.succeed("anything")

const failed = <E>(error: E) =>
  Effect.map(Effect.flip(Cluster.forEachNode(abc, "dev", failingAtB(error))), (failure) => {
    if (!(failure instanceof NodesFailed)) return assert.fail("it did not fail with NodesFailed")
    return failure
  })

const errorOf = (failure: NodesFailed): BackendError => {
  const outcome = failure.report.failed[0]?.outcome
  return outcome?._tag === "Failed" ? outcome.error : assert.fail("no node failed")
}

describe("forEachNode", () => {
  it.effect("runs the callback for every node, in the order of the list, and reports each", () =>
    Effect.gen(function*() {
      const seen: Array<string> = []
      const report = yield* Cluster.forEachNode(abc, "dev", (each) => Effect.sync(() => void seen.push(each.name)), {
        concurrency: 1
      })
      assert.deepStrictEqual(seen, ["a", "b", "c"])
      assert.deepStrictEqual(told(report), ["a: Done", "b: Done", "c: Done"])
      assert.strictEqual(report.operation, "forEachNode")
      assert.deepStrictEqual(report.outcomes.map((entry) => entry.id), ["id-of-a", "id-of-b", "id-of-c"])
    }))

  it.effect("leaves out a node for which it fails with SkipAction", () =>
    Effect.gen(function*() {
      const report = yield* Cluster.forEachNode(abc, "dev", failingAtB(new SkipAction({ reason: "not a worker" })))
      assert.deepStrictEqual(told(report), ["a: Done", "b: Skipped", "c: Done"])
      assert.strictEqual(report.skipped[0]?.problem, "not a worker")
    }))

  it.effect("succeeds where every node is left out", () =>
    Effect.gen(function*() {
      const report = yield* Cluster.forEachNode(abc, "dev", () => Effect.fail(new SkipAction({ reason: "no" })))
      assert.lengthOf(report.skipped, 3)
    }))

  it.effect("has all failures in one error, and goes on after each", () =>
    Effect.gen(function*() {
      const failure = yield* Effect.flip(
        Cluster.forEachNode(abc, "dev", (each) =>
          each.name === "a" ? Effect.fail(refused) : each.name === "b" ? Effect.fail(locked) : Effect.void, {
          concurrency: 1
        })
      )
      assert.instanceOf(failure, NodesFailed)
      assert.deepStrictEqual(told(failure.report), ["a: Failed", "b: Failed", "c: Done"])
      assert.deepStrictEqual(
        failure.reasons.map((reason) =>
          reason._tag
        ),
        ["Protected", "Locked"]
      )
    }))

  it.effect("takes an outcome that the callback gives", () =>
    Effect.gen(function*() {
      const outcomes = {
        a: new AlreadyDone({}),
        b: new Skipped({ reason: "left out" }),
        c: new Unsupported({ reason: "cannot" })
      }
      const report = yield* Cluster.forEachNode(
        abc,
        "dev",
        (each) => Effect.succeed(outcomes[each.name as keyof typeof outcomes])
      )
      assert.deepStrictEqual(told(report), ["a: AlreadyDone", "b: Skipped", "c: Unsupported"])
      assert.strictEqual(report.outcomes[0]?.outcome, outcomes.a)
    }))

  it.effect("fails for an outcome that is a failure", () =>
    Effect.map(
      Effect.flip(Cluster.forEachNode(abc, "dev", () => Effect.succeed(new Failed({ error: refused })))),
      (failure) => assert.instanceOf(failure, NodesFailed)
    ))

  it.effect.each([
    ["undefined", undefined],
    ["null", null],
    ["a value of the caller's own that has a tag like an outcome's", { _tag: "Done" }],
    ["another one", { _tag: "Failed", error: "none of ours" }]
  ])("is done with a node when the callback gives %s", ([, value]) =>
    Effect.gen(function*() {
      const report = yield* Cluster.forEachNode(abc, "dev", () => Effect.succeed(value))
      assert.deepStrictEqual(told(report), ["a: Done", "b: Done", "c: Done"])
    }))

  it.effect("fails with NoNodes where there is none", () =>
    Effect.gen(function*() {
      let called = 0
      const error = yield* Effect.flip(
        Cluster.forEachNode(listing([]), "dev", () => Effect.sync(() => void called++))
      )
      assert.instanceOf(error, NoNodes)
      assert.strictEqual(called, 0)
    }))

  it.effect("refuses a name before it lists", () =>
    Effect.gen(function*() {
      const lister = listing([node("a")])
      assert.instanceOf(
        yield* Effect.flip(Cluster.forEachNode(lister, "../dev", () => Effect.void)),
        InvalidClusterName
      )
      assert.strictEqual(lister.asked, 0)
    }))

  it.effect("gives the error of a list that failed as it is", () =>
    Effect.map(
      Effect.flip(Cluster.forEachNode({ listNodes: () => Effect.fail("my own") }, "dev", () => Effect.void)),
      (error) => assert.strictEqual(error, "my own")
    ))

  it.effect("emits its progress", () =>
    Effect.gen(function*() {
      const heard = recorder()
      yield* Cluster.forEachNode(listing([node("a")]), "dev", () => Effect.void).pipe(Provider.onEvent(heard.sink))
      assert.deepStrictEqual(heard.told, ["Scheduled a", "Settled a Done"])
    }))
})

describe("an error of the callback", () => {
  it.effect("that is a BackendError stays what it is", () =>
    Effect.gen(function*() {
      assert.strictEqual(errorOf(yield* failed(locked)).reason, locked.reason)
    }))

  it.effect("that is ProviderUnavailable is a cut, as in every operation", () =>
    Effect.gen(function*() {
      const gone = new ProviderUnavailable({
        provider: "test",
        address: "tcp://10.0.0.1:2376",
        detail: "connection refused",
        advice: "Start it."
      })
      const { reason } = errorOf(yield* failed(gone))
      assert.strictEqual(reason._tag, "Transport")
      assert.include(reason.detail, "tcp://10.0.0.1:2376")
    }))

  const bare = Object.create(null)
  const looped: { self?: unknown } = {}
  looped.self = looped

  it.effect.each<readonly [string, unknown, RegExp]>([
    ["an Error", new Error("my message"), /my message/],
    ["an Error without a message", new RangeError(), /RangeError/],
    ["a tagged error without a message", new Mine({ code: 7 }), /Mine/],
    ["a tagged error with one", new Worded({ code: 7 }), /code 7/],
    ["a text", "out of patience", /out of patience/],
    ["a number", 7, /7/],
    ["a plain object", { _tag: "Mine", code: 7 }, /"code":7|code: 7/],
    ["a list", ["first", "second"], /first.*second/],
    ["an object that has no text", bare, /./],
    ["an object that holds itself", looped, /./],
    ["nothing", undefined, /./],
    ["null", null, /./]
  ])("that is %s is a failure that can be read, with the node in it", ([, error, has]) =>
    Effect.gen(function*() {
      const failure = yield* failed(error)
      assert.deepStrictEqual(told(failure.report), ["a: Done", "b: Failed", "c: Done"])
      const shown = errorOf(failure)
      assert.strictEqual(shown.subject?.name, "b")
      assert.strictEqual(shown.operation, "forEachNode")
      assert.match(shown.reason.detail, has)
      assert.notMatch(failure.message, /undefined|\[object/)
    }))

  it.effect("does not hide in a report that JSON cannot hold", () =>
    Effect.gen(function*() {
      const failure = yield* failed({ when: new Date(0), many: 10n })
      assert.isObject(JSON.parse(JSON.stringify(Cluster.toJson(failure.report))))
    }))

  it.effect("that is a defect is given as a defect", () =>
    Effect.gen(function*() {
      const defect = new Error("a bug")
      const exit = yield* Effect.exit(
        Cluster.forEachNode(abc, "dev", (each) => each.name === "b" ? Effect.die(defect) : Effect.void)
      )
      assert.strictEqual(Exit.isFailure(exit) && Cause.squash(exit.cause), defect)
    }))
})

describe("the policy of forEachNode", () => {
  const five = listing(["a", "b", "c", "d", "e"].map((name) => node(name)))

  const widest = <A, E, R>(
    runner: (f: (each: NodeInfo) => Effect.Effect<void>) => Effect.Effect<A, E, R>
  ) =>
    Effect.gen(function*() {
      let running = 0
      let most = 0
      yield* during("1 minute")(runner(() =>
        Effect.acquireUseRelease(
          Effect.sync(() => void (most = Math.max(most, ++running))),
          () => Effect.sleep("1 second"),
          () => Effect.sync(() => void running--)
        )
      ))
      return most
    })

  it.effect("bounds how many run at once; the option of the call wins", () =>
    Effect.gen(function*() {
      const three = Policy.override({ concurrency: { start: 3 } })
      assert.strictEqual(yield* widest((f) => three(Cluster.forEachNode(five, "dev", f))), 3)
      assert.strictEqual(yield* widest((f) => three(Cluster.forEachNode(five, "dev", f, { concurrency: 2 }))), 2)
      assert.strictEqual(yield* widest((f) => three(Cluster.forEachNode(five, "dev", f, { concurrency: 0 }))), 1)
    }))

  it.effect("gives each node its deadline", () =>
    Effect.gen(function*() {
      const exit = yield* during("10 seconds")(
        Cluster.forEachNode(five, "dev", (each) => each.name === "c" ? Effect.never : Effect.void).pipe(
          Policy.override({ nodeTimeout: { start: "10 seconds" } }),
          Effect.flip
        )
      )
      assert.isTrue(exit !== undefined && Exit.isSuccess(exit) && exit.value instanceof NodesFailed)
      if (exit === undefined || Exit.isFailure(exit) || !(exit.value instanceof NodesFailed)) return
      assert.deepStrictEqual(exit.value.report.failed.map((entry) => entry.name), ["c"])
      assert.strictEqual(exit.value.reasons[0]?._tag, "RequestTimeout")
    }))

  it.effect("bounds the whole, with a partial report", () =>
    Effect.gen(function*() {
      const exit = yield* during("10 seconds")(
        Cluster.forEachNode(five, "dev", (each) => each.name === "a" ? Effect.void : Effect.never).pipe(
          Policy.override({ operationTimeout: "10 seconds" }),
          Effect.flip
        )
      )
      assert.isTrue(exit !== undefined && Exit.isSuccess(exit) && exit.value instanceof OperationTimeout)
      if (exit === undefined || Exit.isFailure(exit) || !(exit.value instanceof OperationTimeout)) return
      assert.deepStrictEqual(told(exit.value.report), ["a: Done"])
    }))

  it.effect("interruption reaches every callback, and starts no other", () =>
    Effect.gen(function*() {
      const started: Array<string> = []
      const ended: Array<string> = []
      const fiber = yield* Effect.forkChild(
        Cluster.forEachNode(five, "dev", (each) =>
          Effect.sync(() => void started.push(each.name)).pipe(
            Effect.andThen(Effect.sleep("1 minute")),
            Effect.onInterrupt(() => Effect.sync(() => void ended.push(each.name)))
          ), { concurrency: 2 })
      )
      yield* TestClock.adjust("1 second")
      yield* Fiber.interrupt(fiber)
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual(started, ["a", "b"])
      assert.sameMembers(ended, ["a", "b"])
    }))
})
