import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { InvalidClusterName } from "kubelayer/ProviderError"
import type { Right, Wrong } from "./Wrong.ts"

/** Changes a name on its way into every method. */
const renaming = ({ provider }: Right, rename: (cluster: string) => string) => ({
  startNodes: (cluster: string) => provider.startNodes(rename(cluster)),
  stopNodes: (cluster: string) => provider.stopNodes(rename(cluster)),
  listNodes: (cluster: string) => provider.listNodes(rename(cluster)),
  nodesExist: (cluster: string) => provider.nodesExist(rename(cluster)),
  deleteNodes: (cluster: string) => provider.deleteNodes(rename(cluster)),
  getClusterStatus: (cluster: string) => provider.getClusterStatus(rename(cluster)),
  watchCluster: (cluster: string) => provider.watchCluster(rename(cluster))
})

export const names: ReadonlyArray<Wrong> = [
  {
    does: "takes a name with space around it for the name",
    breaks: "names.refused",
    make: (right) => ({ provider: renaming(right, (cluster) => cluster.trim()) })
  },
  {
    does: "does not check names",
    breaks: ["names.refused", "names.strict", "names.before-io", "names.told"],
    make: (right) => ({ provider: renaming(right, (cluster) => cluster.replaceAll(/[^A-Za-z0-9]/g, "x").slice(0, 63)) })
  },
  {
    does: "does not check the name of a watch",
    breaks: ["names.refused"],
    make: ({ provider }) => ({
      provider: {
        watchCluster: (cluster) =>
          Stream.catchTag(provider.watchCluster(cluster), "InvalidClusterName", () => Stream.empty)
      }
    })
  },
  {
    does: "takes names that no new cluster can have",
    breaks: "names.strict",
    make: (right) => ({
      provider: renaming(
        right,
        (cluster) => /^[\w.-]{1,100}$/.test(cluster) ? cluster.replace(/^-|[-_]$/g, "").slice(0, 63) : cluster
      )
    })
  },
  {
    does: "checks a name after it has asked the backend",
    breaks: "names.before-io",
    make: ({ provider }) => ({
      provider: { listNodes: (cluster) => Effect.andThen(provider.checkAvailable, provider.listNodes(cluster)) }
    })
  },
  {
    does: "refuses names with capital letters",
    breaks: "names.referable",
    make: ({ provider }) => ({
      provider: {
        listNodes: (cluster) =>
          /[A-Z]/.test(cluster)
            ? Effect.fail(new InvalidClusterName({ input: cluster, issue: "capital letters" }))
            : provider.listNodes(cluster)
      }
    })
  },
  {
    does: "prints a refused name as it came",
    breaks: "names.told",
    make: ({ provider }) => ({
      provider: {
        listNodes: (cluster) =>
          Effect.mapError(
            provider.listNodes(cluster),
            (error) =>
              error._tag === "InvalidClusterName"
                ? Object.defineProperty(new InvalidClusterName(error), "message", { value: `no: ${error.input}` })
                : error
          )
      }
    })
  }
]
