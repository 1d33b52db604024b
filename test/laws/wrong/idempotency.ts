import * as Effect from "effect/Effect"
import { AlreadyDone, Done, ResourceOutcome } from "kubelayer/Report"
import { all, editing, nodesOf, put, turning, withOutcome, type Wrong } from "./Wrong.ts"

export const idempotency: ReadonlyArray<Wrong> = [
  {
    does: "reports a start that had nothing to do as Done",
    breaks: "idempotency.start",
    make: ({ provider }) => ({
      provider: {
        startNodes: (cluster) =>
          turning("AlreadyDone", () => new Done({}), all("AlreadyDone"))(provider.startNodes(cluster))
      }
    })
  },
  {
    does: "reports a stop that had nothing to do as Done",
    breaks: "idempotency.stop",
    make: ({ provider }) => ({
      provider: {
        stopNodes: (cluster) =>
          turning("AlreadyDone", () => new Done({}), all("AlreadyDone"))(provider.stopNodes(cluster))
      }
    })
  },
  {
    does: "reports what it deleted before as deleted again",
    breaks: "idempotency.delete",
    make: ({ provider }) => {
      const deleted = new Map<string, ReadonlyArray<ResourceOutcome>>()
      return {
        provider: {
          deleteNodes: (cluster) =>
            provider.deleteNodes(cluster).pipe(
              editing((outcomes) => outcomes.length > 0 ? outcomes : deleted.get(cluster) ?? []),
              Effect.tap((report) => Effect.sync(() => deleted.set(cluster, report.outcomes)))
            )
        }
      }
    }
  },
  {
    does: "reports every node as Done, also those that were stopped before",
    breaks: "idempotency.half",
    make: ({ memory, provider }) => ({
      provider: {
        stopNodes: (cluster) =>
          Effect.flatMap(nodesOf(memory, cluster), (nodes) => {
            const stopped = nodes.filter((node) => node.state === "stopped").map((node) => node.name)
            const stop = provider.stopNodes(cluster)
            return stopped.length === nodes.length ?
              stop :
              editing((outcomes) =>
                outcomes.map((entry) => stopped.includes(entry.name) ? withOutcome(entry, new Done({})) : entry)
              )(stop)
          })
      }
    })
  },
  {
    does: "starts stopped nodes when it is asked whether there are any",
    breaks: "idempotency.reads",
    make: ({ memory, provider }) => ({
      provider: {
        nodesExist: (cluster) =>
          Effect.tap(
            provider.nodesExist(cluster),
            () => Effect.flatMap(nodesOf(memory, cluster), (nodes) => put(memory, nodes, "running"))
          )
      }
    })
  },
  {
    does: "believes after a stop what it listed before it, and starts nothing",
    breaks: "idempotency.round",
    make: ({ memory, provider }) => {
      const running = new Set<string>()
      return {
        provider: {
          stopNodes: (cluster) =>
            Effect.tap(provider.stopNodes(cluster), () => Effect.sync(() => running.add(cluster))),
          startNodes: (cluster) =>
            Effect.flatMap(nodesOf(memory, cluster), (nodes) =>
              running.delete(cluster)
                ? provider.startNodes(cluster).pipe(
                  turning("Done", () => new AlreadyDone({})),
                  Effect.tap(() => put(memory, nodes, "stopped"))
                )
                : provider.startNodes(cluster))
        }
      }
    }
  }
]
