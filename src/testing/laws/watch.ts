/**
 * Laws on `watchCluster`.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { toJson } from "../../Cluster.ts"
import type { ClusterStatus } from "../../Model.ts"
import { eventually, rest } from "../Harness.ts"
import { describe, expect, failsWith, type Law, law, succeeds, type World } from "../Law.ts"
import { trio } from "./nodes.ts"

const key = (status: ClusterStatus | undefined): string | undefined =>
  status === undefined ? undefined : JSON.stringify(toJson(status))

const phases = (seen: ReadonlyArray<ClusterStatus>): string =>
  seen.length === 0
    ? "no status"
    : seen.map((status) => `${status.phase} ${status.nodesReady}/${status.nodesTotal}`).join(", ")

/** Watches the cluster in the background, from its first status on. */
const watching = (world: World) =>
  Effect.gen(function*() {
    const { cluster, provider } = world
    const seen: Array<ClusterStatus> = []
    const fiber = yield* provider.watchCluster(cluster).pipe(
      Stream.runForEach((status) => Effect.sync(() => seen.push(status))),
      Effect.forkScoped
    )
    yield* eventually(Effect.sync(() => seen.length > 0 || fiber.pollUnsafe() !== undefined), (begun) => begun)
    /** Breaks the law where the watch has ended. */
    const goesOn = Effect.suspend(() => {
      const exit = fiber.pollUnsafe()
      return expect(
        exit === undefined,
        "the watch goes on as long as the cluster is there",
        exit === undefined || Exit.isSuccess(exit) ? "it ended" : `it failed with ${describe(exit.cause)}`
      )
    })
    /** Breaks the law unless the last status comes to be the present one, with so many nodes ready. */
    const settlesAt = (ready: number) =>
      Effect.gen(function*() {
        const last = yield* eventually(Effect.sync(() => seen.at(-1)), (status) => status?.nodesReady === ready)
        yield* goesOn
        yield* rest
        const present = yield* succeeds("getClusterStatus", provider.getClusterStatus(cluster))
        yield* expect(
          key(seen.at(-1)) === key(Option.getOrUndefined(present)) && last?.nodesReady === ready,
          `the last status is the one that getClusterStatus gives, ${phases(Option.toArray(present))}`,
          `the watch has given ${phases(seen)}`
        )
      })
    /** Breaks the law unless the watch ends on its own. */
    const ends = Effect.gen(function*() {
      const exit = yield* eventually(Effect.sync(() => fiber.pollUnsafe()), (exit) => exit !== undefined)
      yield* expect(
        exit !== undefined && Exit.isSuccess(exit),
        "the watch ends",
        exit === undefined
          ? "it goes on"
          : Exit.isFailure(exit) && !Cause.hasInterruptsOnly(exit.cause)
          ? `it fails with ${describe(exit.cause)}`
          : "it was interrupted"
      )
    })
    return { seen, fiber, goesOn, settlesAt, ends }
  })

/**
 * @category laws
 * @since 0.1.0
 */
export const watch: ReadonlyArray<Law> = [
  law({
    id: "watch.first",
    title: "a watch begins with the present status, without a change having to come",
    check: (world) =>
      Effect.gen(function*() {
        yield* trio(world, "running")
        const { seen } = yield* watching(world)
        const present = yield* succeeds("getClusterStatus", world.provider.getClusterStatus(world.cluster))
        yield* expect(
          seen.length > 0 && key(seen[0]) === key(Option.getOrUndefined(present)),
          `the first status is the present one, ${phases(Option.toArray(present))}`,
          `the watch has given ${phases(seen)}`
        )
      })
  }),
  law({
    id: "watch.absent",
    title: "a watch of a cluster that is not there fails with ClusterNotFound",
    check: ({ cluster, harness, provider }) =>
      Effect.gen(function*() {
        const watched = yield* Effect.timeoutOption(
          failsWith("watchCluster", "ClusterNotFound", Stream.runDrain(provider.watchCluster(cluster))),
          harness.patience
        )
        yield* expect(Option.isSome(watched), "watchCluster fails with ClusterNotFound", "it waits")
      })
  }),
  law({
    id: "watch.unavailable",
    title: "a watch fails with ProviderUnavailable where the backend is not there at its start",
    needs: ["outage"],
    check: (world) =>
      Effect.gen(function*() {
        yield* trio(world, "running")
        yield* world.harness.outage
        yield* failsWith(
          "watchCluster",
          "ProviderUnavailable",
          Stream.runHead(world.provider.watchCluster(world.cluster))
        )
      })
  }),
  law({
    id: "watch.changes",
    title: "a watch gives what changes, and when all is at rest its last status is the present one",
    needs: ["change"],
    check: (world) =>
      Effect.gen(function*() {
        const { harness } = world
        const { first, second } = yield* trio(world, "running")
        const { settlesAt } = yield* watching(world)
        yield* harness.setState(first, "stopped")
        yield* settlesAt(2)
        // There and back at once: a watch may leave states out, but not the one in which all comes to rest.
        yield* harness.setState(second, "stopped")
        yield* harness.setState(first, "running")
        yield* harness.setState(first, "stopped")
        yield* settlesAt(1)
      })
  }),
  law({
    id: "watch.distinct",
    title: "a watch gives no status twice in a row, also where something happens that changes none",
    needs: ["change"],
    check: (world) =>
      Effect.gen(function*() {
        const { cluster, harness } = world
        const { first } = yield* trio(world, "running")
        const [neighbour] = yield* harness.seed(`${cluster}-b`, { state: "running", controlPlanes: 1, workers: 0 })
        const { seen } = yield* watching(world)
        yield* harness.setState(first, "stopped")
        if (neighbour !== undefined) yield* harness.setState(neighbour, "stopped")
        yield* rest
        yield* harness.setState(first, "running")
        yield* rest
        const doubled = seen.some((status, index) => index > 0 && key(status) === key(seen[index - 1]))
        yield* expect(!doubled, "each status differs from the one before", `the watch has given ${phases(seen)}`)
      })
  }),
  law({
    id: "watch.ends",
    title: "a watch ends, without an error, when the last node is gone",
    check: (world) =>
      Effect.gen(function*() {
        yield* trio(world, "stopped")
        const { ends, goesOn } = yield* watching(world)
        yield* rest
        yield* goesOn
        yield* succeeds("deleteNodes", world.provider.deleteNodes(world.cluster))
        yield* ends
      })
  }),
  law({
    id: "watch.cut",
    title: "a watch that is cut continues, and emits the changes in between",
    needs: ["change", "cut-watches"],
    check: (world) =>
      Effect.gen(function*() {
        const { harness } = world
        const { first } = yield* trio(world, "running")
        const { settlesAt } = yield* watching(world)
        yield* harness.cutWatches
        yield* harness.setState(first, "stopped")
        yield* settlesAt(2)
      })
  }),
  law({
    id: "watch.cut-again",
    title: "a watch goes on however often it is cut",
    needs: ["change", "cut-watches"],
    check: (world) =>
      Effect.gen(function*() {
        const { harness } = world
        const { first } = yield* trio(world, "running")
        const { settlesAt } = yield* watching(world)
        for (let cuts = 0; cuts < 3; cuts++) {
          yield* harness.cutWatches
          yield* rest
        }
        yield* harness.setState(first, "stopped")
        yield* settlesAt(2)
      })
  }),
  law({
    id: "watch.cut-ends",
    title: "a watch that is cut while the cluster is deleted ends without an error, too",
    needs: ["cut-watches"],
    check: (world) =>
      Effect.gen(function*() {
        yield* trio(world, "stopped")
        const { ends } = yield* watching(world)
        const deleted = succeeds("deleteNodes", world.provider.deleteNodes(world.cluster))
        yield* Effect.all([world.harness.cutWatches, deleted], { concurrency: 2, discard: true })
        yield* ends
      })
  }),
  law({
    id: "watch.all",
    title: "watchAllClusters gives the statuses of all clusters, and again when one changes",
    needs: ["change"],
    check: (world) =>
      Effect.gen(function*() {
        const { cluster, harness, provider } = world
        const { first } = yield* trio(world, "running")
        const other = `${cluster}-b`
        yield* harness.seed(other, { state: "running", controlPlanes: 1, workers: 0 })
        const seen: Array<ReadonlyArray<ClusterStatus>> = []
        yield* provider.watchAllClusters.pipe(
          Stream.runForEach((statuses) => Effect.sync(() => seen.push(statuses))),
          Effect.forkScoped
        )
        const last = () =>
          (seen.at(-1) ?? []).filter(({ clusterName }) => clusterName === cluster || clusterName === other)
        const shows = (ready: ReadonlyArray<number>) =>
          Effect.flatMap(
            eventually(Effect.sync(last), (statuses) => statuses.map((it) => it.nodesReady).join() === ready.join()),
            (statuses) =>
              expect(
                statuses.map((it) => it.nodesReady).join() === ready.join(),
                `the last list has two clusters with ${ready.join(" and ")} ready nodes`,
                phases(statuses)
              )
          )
        yield* shows([3, 1])
        yield* harness.setState(first, "stopped")
        yield* shows([2, 1])
      })
  }),
  law({
    id: "watch.leaves",
    title: "a watch that nobody reads any more ends at once, and leaves the cluster as it is",
    check: (world) =>
      Effect.gen(function*() {
        yield* trio(world, "running")
        const { fiber } = yield* watching(world)
        const left = yield* Effect.timeoutOption(Fiber.interrupt(fiber), world.harness.patience)
        yield* expect(Option.isSome(left), "the watch ends when it is interrupted", "it goes on")
      })
  })
]
