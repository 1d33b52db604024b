import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Stream from "effect/Stream"
import { ClusterNotFound } from "kubelayer/ProviderError"
import { BackendError, Transport } from "kubelayer/Reason"
import type { Right, Wrong } from "./Wrong.ts"

type Watch = ReturnType<Right["provider"]["watchCluster"]>

const watching = (f: (watch: Watch, cluster: string) => Watch): Wrong["make"] => ({ provider }) => ({
  provider: { watchCluster: (cluster) => f(provider.watchCluster(cluster), cluster) }
})

/** Keeps a status only if `f` returns true for its number, counted from 1. */
const passing = (f: (nth: number) => boolean) => (watch: Watch): Watch =>
  Stream.suspend(() => {
    let nth = 0
    return Stream.filter(watch, () => f(++nth))
  })

/** As `watching`, with the number of cuts of all watches so far. */
const cutting =
  (f: (watch: Watch, cuts: () => number, cluster: string) => Watch): Wrong["make"] => ({ memory, provider }) => {
    let cuts = 0
    return {
      provider: { watchCluster: (cluster) => f(provider.watchCluster(cluster), () => cuts, cluster) },
      memory: { cutWatches: Effect.andThen(Effect.sync(() => cuts++), memory.cutWatches) }
    }
  }

export const watch: ReadonlyArray<Wrong> = [
  {
    does: "gives the first list of all clusters and no other",
    breaks: "watch.all",
    make: ({ provider }) => ({
      provider: { watchAllClusters: Stream.concat(Stream.take(provider.watchAllClusters, 1), Stream.never) }
    })
  },
  {
    does: "gives no status before something changes",
    breaks: "watch.first",
    make: watching(Stream.drop(1))
  },
  {
    does: "ends a watch of a cluster that is not there",
    breaks: "watch.absent",
    make: watching((watch) => Stream.catchTag(watch, "ClusterNotFound", () => Stream.empty))
  },
  {
    does: "waits for a cluster that is not there",
    breaks: ["watch.absent"],
    make: watching((watch) => Stream.catchTag(watch, "ClusterNotFound", () => Stream.never))
  },
  {
    does: "ends a watch where the backend is not there",
    breaks: "watch.unavailable",
    make: watching((watch) => Stream.catchTag(watch, "ProviderUnavailable", () => Stream.empty))
  },
  {
    does: "gives the present status and the first change, and then no more unless it is cut",
    breaks: "watch.changes",
    make: cutting((watch, cuts) => passing((nth) => nth <= 2 || cuts() > 0)(watch))
  },
  {
    does: "gives only the present status",
    breaks: ["watch.changes", "watch.cut"],
    make: watching(passing((nth) => nth === 1))
  },
  {
    does: "gives every status twice",
    breaks: "watch.distinct",
    make: watching(Stream.flatMap((status) => Stream.make(status, status)))
  },
  {
    does: "goes on watching a cluster that is gone, unless it was cut",
    breaks: "watch.ends",
    make: cutting((watch, cuts) => Stream.concat(watch, Stream.suspend(() => cuts() > 0 ? Stream.empty : Stream.never)))
  },
  {
    does: "fails a watch when the cluster is gone",
    breaks: ["watch.ends"],
    make: watching((watch, clusterName) =>
      Stream.concat(watch, Stream.fail(new ClusterNotFound({ provider: "memory", clusterName })))
    )
  },
  {
    does: "ends a watch after its first change",
    breaks: ["watch.changes"],
    make: watching(Stream.take(2))
  },
  {
    does: "fails when it is cut",
    breaks: ["watch.cut", "watch.cut-again", "watch.cut-ends"],
    make: ({ memory, provider }) => {
      const cut = Deferred.makeUnsafe<never, BackendError>()
      const error = new BackendError({
        provider: "memory",
        operation: "watchCluster",
        reason: new Transport({ detail: "cut" })
      })
      return {
        provider: {
          watchCluster: (cluster) => Stream.interruptWhen(provider.watchCluster(cluster), Deferred.await(cut))
        },
        memory: { cutWatches: Effect.andThen(Deferred.fail(cut, error), memory.cutWatches) }
      }
    }
  },
  {
    does: "misses what changes after its first cut",
    breaks: "watch.cut",
    make: cutting((watch, cuts) =>
      Stream.suspend(() => {
        let missed = false
        return Stream.filter(watch, () => {
          if (missed || cuts() !== 1) return true
          missed = true
          return false
        })
      })
    )
  },
  {
    does: "goes on after its first cut, and says nothing after its second",
    breaks: "watch.cut-again",
    make: cutting((watch, cuts) => Stream.filter(watch, () => cuts() < 2))
  },
  {
    does: "takes a cluster that has gone after a cut for one that never was",
    breaks: "watch.cut-ends",
    make: cutting((watch, cuts, clusterName) =>
      Stream.concat(
        watch,
        Stream.suspend(() =>
          cuts() > 0 ? Stream.fail(new ClusterNotFound({ provider: "memory", clusterName })) : Stream.empty
        )
      )
    )
  },
  {
    does: "goes on for a while when nobody reads it any more",
    breaks: "watch.leaves",
    make: watching(
      Stream.onExit((exit) => Exit.hasInterrupts(exit) ? Effect.sleep("10 seconds") : Effect.void)
    )
  }
]
