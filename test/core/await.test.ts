import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import * as Cluster from "kubelayer/Cluster"
import type { ClusterStatus, NodeState } from "kubelayer/Model"
import { type BackendFailure, ClusterNotFound, InvalidClusterName } from "kubelayer/ProviderError"
import { during, node, refused } from "./fixtures.ts"

const statusIn = (state: NodeState) => Cluster.buildClusterStatus("dev", [node("a", { state })])
const isReady = (status: ClusterStatus) => status.ready
const notFound = new ClusterNotFound({ provider: "test", clusterName: "dev" })

/** Watches these, one a second, the first at once; then it ends, fails, or stays. */
const watching = (
  states: ReadonlyArray<NodeState>,
  after: Stream.Stream<never, ClusterNotFound | BackendFailure> = Stream.never
) => {
  const watcher = {
    backend: "test",
    watched: [] as Array<string>,
    open: 0,
    watchCluster: (cluster: string) =>
      Stream.unwrap(Effect.gen(function*() {
        watcher.watched.push(cluster)
        watcher.open++
        yield* Effect.addFinalizer(() => Effect.sync(() => void watcher.open--))
        return Stream.fromIterable(states.map(statusIn)).pipe(
          Stream.mapEffect((status) =>
            status.phase === "running" ? Effect.delay(Effect.succeed(status), "1 second") : Effect.succeed(status)
          ),
          Stream.concat(after)
        )
      }))
  }
  return watcher
}

const timeout = { timeout: "1 minute" } as const

describe("awaitStatus", () => {
  it.effect("gives the first status that is as wanted, and stops watching", () =>
    Effect.gen(function*() {
      const watcher = watching(["stopped", "starting", "running", "failed"])
      const exit = yield* during("1 minute")(Cluster.awaitStatus(watcher, "dev", isReady, timeout))
      assert.deepStrictEqual(exit, Exit.succeed(statusIn("running")))
      assert.deepStrictEqual(watcher.watched, ["dev"])
      assert.strictEqual(watcher.open, 0)
    }))

  it.effect("is content with the present status, without any wait", () =>
    Effect.gen(function*() {
      const status = yield* Cluster.awaitStatus(
        watching(["stopped"]),
        "dev",
        ({ phase }) => phase === "stopped",
        timeout
      )
      assert.strictEqual(status.phase, "stopped")
    }))

  it.effect("fails with a timeout when it is due, not before, and stops watching", () =>
    Effect.gen(function*() {
      const watcher = watching(["stopped"])
      const waiting = yield* Effect.forkChild(Effect.flip(Cluster.awaitStatus(watcher, "dev", isReady, timeout)))
      yield* TestClock.adjust("59 seconds")
      assert.isUndefined(waiting.pollUnsafe())
      yield* TestClock.adjust("1 second")
      assert.isTrue(Cause.isTimeoutError(yield* Fiber.join(waiting)))
      assert.strictEqual(watcher.open, 0)
    }))

  it.effect("fails where the cluster is not there", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(
        Cluster.awaitStatus(watching([], Stream.fail(notFound)), "dev", isReady, timeout)
      )
      assert.strictEqual(error, notFound)
    }))

  it.effect("fails where the cluster goes away before it is as wanted", () =>
    Effect.gen(function*() {
      const watcher = watching(["stopped", "deleting"], Stream.empty)
      const error = yield* Effect.flip(Cluster.awaitStatus(watcher, "dev", isReady, timeout))
      assert.instanceOf(error, ClusterNotFound)
      assert.include(error.message, "test: there is no cluster \"dev\"")
    }))

  it.effect("gives the error of a watch that failed", () =>
    Effect.map(
      Effect.flip(Cluster.awaitStatus(watching(["stopped"], Stream.fail(refused)), "dev", isReady, timeout)),
      (error) => assert.strictEqual(error, refused)
    ))

  it.effect("stops watching when it is interrupted", () =>
    Effect.gen(function*() {
      const watcher = watching(["stopped"])
      const fiber = yield* Effect.forkChild(Cluster.awaitStatus(watcher, "dev", isReady, timeout))
      yield* TestClock.adjust("1 second")
      assert.strictEqual(watcher.open, 1)
      yield* Fiber.interrupt(fiber)
      assert.strictEqual(watcher.open, 0)
    }))
})

describe("awaitGone", () => {
  it.effect("ends when the watch ends", () =>
    Effect.gen(function*() {
      const watcher = watching(["running", "deleting"], Stream.empty)
      const exit = yield* during("2 seconds")(Cluster.awaitGone(watcher, "dev", timeout))
      assert.deepStrictEqual(exit, Exit.void)
      assert.strictEqual(watcher.open, 0)
    }))

  it.effect("is content where the cluster is not there", () =>
    Cluster.awaitGone(watching([], Stream.fail(notFound)), "dev", timeout))

  it.effect("fails with a timeout where the cluster stays", () =>
    Effect.gen(function*() {
      const watcher = watching(["running"])
      const exit = yield* during("1 minute")(Effect.flip(Cluster.awaitGone(watcher, "dev", timeout)))
      assert.isTrue(exit !== undefined && Exit.isSuccess(exit) && Cause.isTimeoutError(exit.value))
      assert.strictEqual(watcher.open, 0)
    }))

  it.effect("could not ask is that error, never gone", () =>
    Effect.gen(function*() {
      const bad = new InvalidClusterName({ input: "*", issue: "it is a glob" })
      for (const error of [refused, bad]) {
        assert.strictEqual(
          yield* Effect.flip(Cluster.awaitGone(watching([], Stream.fail(error)), "dev", timeout)),
          error
        )
      }
    }))
})
