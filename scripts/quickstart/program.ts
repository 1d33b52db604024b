/**
 * The main job, step by step, through `Provider` and `NodeCreator` alone: the same program runs on every backend.
 *
 * The cluster is created in a scope, so that every end of the program, also Ctrl-C, removes its nodes, network and
 * volume.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { ClusterStatus } from "../../src/Model.ts"
import { NodeCreator, onEvent, Provider } from "../../src/Provider.ts"
import type { ProviderError } from "../../src/ProviderError.ts"
import type { OperationReport } from "../../src/Report.ts"
import type { Screen } from "./screen.ts"
import type { Row } from "./table.ts"

const summary = (status: ClusterStatus): string => `${status.phase} ${status.nodesReady}/${status.nodesTotal}`

const counted = (report: OperationReport): string => {
  const nodes = report.outcomes.filter((entry) => entry.kind === "node").length
  const others = report.outcomes.filter((entry) => entry.kind !== "node").map((entry) => entry.kind)
  return others.length === 0 ? `${nodes} nodes` : `${nodes} nodes, ${[...new Set(others)].join(", ")}`
}

/** Runs the steps on a new cluster of this name. Gives a row for each. */
export const steps = Effect.fnUntraced(function*(
  cluster: string,
  screen: Screen
): Effect.fn.Return<
  ReadonlyArray<Row>,
  ProviderError | { readonly message: string },
  Provider | NodeCreator | Scope.Scope
> {
  const provider = yield* Provider
  const creator = yield* NodeCreator
  const rows: Array<Row> = []

  const step = <A, E, R>(name: string, title: string, work: Effect.Effect<A, E, R>, tell: (result: A) => string) =>
    Effect.gen(function*() {
      yield* screen.begin(title)
      const began = yield* Clock.currentTimeMillis
      const result = yield* work.pipe(onEvent(screen.event))
      const millis = (yield* Clock.currentTimeMillis) - began
      const what = tell(result)
      rows.push({ step: name, what, millis })
      yield* screen.end(what, millis)
      return result
    })

  yield* step(
    "create",
    `Creating cluster ${cluster}: 1 control plane, 3 workers`,
    creator.createNodesScoped({ cluster, controlPlanes: 1, workers: 3 }),
    counted
  )
  const nodes = yield* step(
    "list",
    "Listing its nodes",
    provider.listNodes(cluster),
    (found) => `${found.length} nodes`
  )
  yield* screen.nodes(nodes)
  yield* step(
    "status",
    "Asking for its status",
    provider.getClusterStatus(cluster),
    (status) => Option.match(status, { onNone: () => "it is not there", onSome: summary })
  )
  yield* step("stop", "Stopping it: workers first", provider.stopNodes(cluster), counted)
  yield* step("start", "Starting it: the control plane first", provider.startNodes(cluster), counted)
  yield* step(
    "watch",
    "Watching it while it is stopped",
    Effect.gen(function*() {
      const seen: Array<string> = []
      const watching = yield* Latch.make(false)
      const watcher = yield* provider.watchCluster(cluster).pipe(
        Stream.tap((status) => Effect.andThen(Effect.sync(() => seen.push(summary(status))), watching.open)),
        Stream.takeUntil((status) => status.phase === "stopped"),
        Stream.runDrain,
        Effect.forkChild
      )
      // The change must not come before the watcher has seen what was there.
      yield* watching.await.pipe(Effect.timeout("30 seconds"))
      yield* provider.stopNodes(cluster)
      yield* Fiber.join(watcher).pipe(Effect.timeout("30 seconds"))
      return seen.filter((each, index) => each !== seen[index - 1])
    }),
    (seen) => seen.join(" → ")
  )
  yield* step("delete", "Deleting it and all that is its own", provider.deleteNodes(cluster), counted)
  return rows
})
