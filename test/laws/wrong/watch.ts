import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Stream from "effect/Stream"
import { BackendError, ClusterNotFound, Transport } from "kubelayer/ProviderError"
import type { Right, Wrong } from "./Wrong.ts"

type Watch = ReturnType<Right["provider"]["watchCluster"]>

const watching = (f: (watch: Watch, cluster: string) => Watch): Wrong["make"] => ({ provider }) => ({
  provider: { watchCluster: (cluster) => f(provider.watchCluster(cluster), cluster) }
})

/** Lets a status pass only where `f` says so of its number, counted from 1. */
const passing = (f: (nth: number) => boolean) => (watch: Watch): Watch =>
  Stream.suspend(() => {
    let nth = 0
    return Stream.filter(watch, () => f(++nth))
  })

export const watch: ReadonlyArray<Wrong> = [
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
    does: "gives the present status and the first change, and then no more",
    breaks: "watch.changes",
    make: watching(passing((nth) => nth <= 2))
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
    does: "goes on watching a cluster that is gone",
    breaks: "watch.ends",
    make: watching((watch) => Stream.concat(watch, Stream.never))
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
    breaks: "watch.cut",
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
    does: "misses what changes while it is cut",
    breaks: ["watch.cut"],
    make: ({ memory, provider }) => {
      let missed = false
      return {
        provider: {
          watchCluster: (cluster) =>
            Stream.filter(provider.watchCluster(cluster), () => {
              const pass = !missed
              missed = false
              return pass
            })
        },
        memory: {
          cutWatches: Effect.andThen(
            Effect.sync(() => {
              missed = true
            }),
            memory.cutWatches
          )
        }
      }
    }
  },
  {
    does: "goes on for a while when nobody reads it any more",
    breaks: "watch.leaves",
    make: watching(
      Stream.onExit((exit) => Exit.hasInterrupts(exit) ? Effect.sleep("10 seconds") : Effect.void)
    )
  }
]
