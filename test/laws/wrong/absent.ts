import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { buildClusterStatus } from "kubelayer/Cluster"
import type { ClusterName } from "kubelayer/Model"
import { NoNodes } from "kubelayer/ProviderError"
import { type OperationName, OperationReport } from "kubelayer/Report"
import { nodesOf, type Wrong } from "./Wrong.ts"

const empty = (operation: OperationName, cluster: string) =>
  new OperationReport({ operation, clusterName: cluster as ClusterName, outcomes: [], durationMillis: 0 })

const backend = "memory"

export const absent: ReadonlyArray<Wrong> = [
  {
    does: "starts a cluster that is not there with success",
    breaks: "absent.start",
    make: ({ provider }) => ({
      provider: {
        startNodes: (cluster) =>
          Effect.catchTag(
            provider.startNodes(cluster),
            "NoNodes",
            () => Effect.succeed(empty("startNodes", cluster))
          )
      }
    })
  },
  {
    does: "stops a cluster that is not there with success",
    breaks: "absent.stop",
    make: ({ provider }) => ({
      provider: {
        stopNodes: (cluster) =>
          Effect.catchTag(provider.stopNodes(cluster), "NoNodes", () => Effect.succeed(empty("stopNodes", cluster)))
      }
    })
  },
  {
    does: "fails to delete a cluster that it never saw",
    breaks: "absent.delete",
    make: ({ memory, provider }) => {
      const seen = new Set<string>()
      return {
        provider: {
          deleteNodes: (cluster) =>
            Effect.flatMap(memory.world, ({ nodes, resources }) => {
              if ([...nodes, ...resources].some((one) => one.cluster === cluster)) seen.add(cluster)
              return seen.has(cluster)
                ? provider.deleteNodes(cluster)
                : Effect.andThen(provider.deleteNodes(cluster), Effect.die(new Error(`there is no cluster ${cluster}`)))
            })
        }
      }
    }
  },
  {
    does: "lists a cluster that was asked for as one that is there",
    breaks: "absent.list",
    make: ({ provider }) => {
      const asked = new Set<ClusterName>()
      return {
        provider: {
          listNodes: (cluster) =>
            Effect.tap(provider.listNodes(cluster), () => Effect.sync(() => asked.add(cluster as ClusterName))),
          listAllClusters: Effect.map(provider.listAllClusters, (all) => [...new Set([...all, ...asked])].sort())
        }
      }
    }
  },
  {
    does: "gives a cluster that is not there a status without nodes",
    breaks: "absent.status",
    make: ({ provider }) => ({
      provider: {
        getClusterStatus: (cluster) =>
          Effect.map(provider.getClusterStatus(cluster), Option.orElseSome(() => buildClusterStatus(cluster, [])))
      }
    })
  },
  {
    does: "finds a cluster only while a node of it runs",
    breaks: "absent.exist",
    make: ({ memory, provider }) => ({
      provider: {
        nodesExist: (cluster) =>
          Effect.flatMap(
            nodesOf(memory, cluster),
            (nodes) =>
              Effect.map(
                provider.nodesExist(cluster),
                (exist) => exist && nodes.some((node) => node.state === "running")
              )
          )
      }
    })
  },
  {
    does: "takes an error for the answer that there are no nodes",
    breaks: "absent.error",
    make: ({ provider }) => ({
      provider: {
        nodesExist: (cluster) =>
          Effect.catchTag(provider.nodesExist(cluster), "ProviderUnavailable", () => Effect.succeed(false))
      }
    })
  },
  {
    does: "gives an empty list where it could not ask",
    breaks: "absent.list-error",
    make: ({ provider }) => ({
      provider: {
        listNodes: (cluster) =>
          Effect.catchTag(provider.listNodes(cluster), "ProviderUnavailable", () => Effect.succeed([]))
      }
    })
  },
  {
    does: "gives a status without nodes where it could not ask",
    breaks: "absent.status-error",
    make: ({ provider }) => ({
      provider: {
        getClusterStatus: (cluster) =>
          Effect.catchTag(
            provider.getClusterStatus(cluster),
            "ProviderUnavailable",
            () => Effect.succeed(Option.some(buildClusterStatus(cluster, [])))
          )
      }
    })
  },
  {
    does: "says that there are no nodes to stop where it could not ask",
    breaks: "absent.act-error",
    make: ({ provider }) => ({
      provider: {
        stopNodes: (cluster) =>
          Effect.catchTag(
            provider.stopNodes(cluster),
            "ProviderUnavailable",
            () => Effect.fail(new NoNodes({ provider: backend, clusterName: cluster }))
          )
      }
    })
  },
  {
    does: "says that the backend is there without asking it",
    breaks: "absent.available",
    make: () => ({ provider: { isAvailable: Effect.succeed(true), checkAvailable: Effect.void } })
  },
  {
    does: "remembers that the backend was away",
    breaks: ["absent.available"],
    make: ({ provider }) => {
      let away = false
      return {
        provider: {
          isAvailable: Effect.map(provider.isAvailable, (available) => {
            away ||= !available
            return !away
          })
        }
      }
    }
  }
]
