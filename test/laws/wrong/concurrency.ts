import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import { override } from "kubelayer/Policy"
import { OperationReport, type ResourceOutcome } from "kubelayer/Report"
import { locked, type Wrong } from "./Wrong.ts"

export const concurrency: ReadonlyArray<Wrong> = [
  {
    does: "starts one node after the other",
    breaks: "concurrency.start",
    make: ({ provider }) => ({
      provider: { startNodes: (cluster) => override({ concurrency: { start: 1 } })(provider.startNodes(cluster)) }
    })
  },
  {
    does: "stops one node after the other",
    breaks: "concurrency.stop",
    make: ({ provider }) => ({
      provider: { stopNodes: (cluster) => override({ concurrency: { stop: 1 } })(provider.stopNodes(cluster)) }
    })
  },
  {
    does: "starts all nodes at once, whatever the policy says",
    breaks: "concurrency.bound",
    make: ({ provider }) => ({
      provider: { startNodes: (cluster) => override({ concurrency: { start: 1000 } })(provider.startNodes(cluster)) }
    })
  },
  {
    does: "mixes the reports of operations that run at the same time",
    breaks: "concurrency.two-clusters",
    make: ({ provider }) => {
      const shared: Array<ResourceOutcome> = []
      let running = 0
      const sharing = <E>(operation: Effect.Effect<OperationReport, E>) =>
        Effect.suspend(() => {
          running++
          return operation
        }).pipe(
          Effect.map((report) => {
            shared.push(...report.outcomes)
            return new OperationReport({ ...report, outcomes: [...shared] })
          }),
          Effect.ensuring(Effect.sync(() => {
            if (--running === 0) shared.length = 0
          }))
        )
      return {
        provider: {
          startNodes: (cluster) => sharing(provider.startNodes(cluster)),
          stopNodes: (cluster) => sharing(provider.stopNodes(cluster))
        }
      }
    }
  },
  {
    does: "refuses a start while another one is under way",
    breaks: "concurrency.same-cluster",
    make: ({ provider }) => {
      const busy = new Set<string>()
      return {
        provider: {
          startNodes: (cluster) =>
            Effect.suspend(() => {
              if (busy.has(cluster)) return Effect.fail(locked(cluster))
              busy.add(cluster)
              return Effect.ensuring(provider.startNodes(cluster), Effect.sync(() => busy.delete(cluster)))
            })
        }
      }
    }
  },
  {
    does: "refuses a delete while another one is under way",
    breaks: "concurrency.delete",
    make: ({ provider }) => {
      const busy = new Set<string>()
      return {
        provider: {
          deleteNodes: (cluster) =>
            Effect.suspend(() => {
              if (busy.has(cluster)) return Effect.fail(locked(cluster, "deleteNodes"))
              busy.add(cluster)
              return provider.deleteNodes(cluster).pipe(
                Effect.delay("1 milli"),
                Effect.ensuring(Effect.sync(() => busy.delete(cluster)))
              )
            })
        }
      }
    }
  },
  {
    does: "answers no list before a start has ended",
    breaks: "concurrency.lists",
    make: ({ provider }) => {
      const free = Latch.makeUnsafe(true)
      return {
        provider: {
          startNodes: (cluster) =>
            Effect.andThen(Latch.close(free), provider.startNodes(cluster)).pipe(Effect.ensuring(Latch.open(free))),
          listNodes: (cluster) => Effect.andThen(free.await, provider.listNodes(cluster))
        }
      }
    }
  }
]
