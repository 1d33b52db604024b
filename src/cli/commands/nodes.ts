/**
 * Lists the nodes of clusters.
 *
 * Without a name it lists the nodes of all clusters, from one read.
 */
import * as Effect from "effect/Effect"
import type { ProviderService } from "../../Provider.ts"
import { ClusterNotFound } from "../../ProviderError.ts"
import { renderList } from "../Render.ts"
import { currentTime, nodeColumns } from "../Rows.ts"
import { connect, withDeadline } from "../Session.ts"

const nodesOf = (provider: ProviderService, cluster: string) =>
  Effect.flatMap(provider.listNodes(cluster), (found) =>
    found.length > 0
      ? Effect.succeed(found)
      : Effect.fail(new ClusterNotFound({ provider: provider.name, clusterName: cluster })))

export const nodes = Effect.fnUntraced(function*(input: { readonly clusters: ReadonlyArray<string> }) {
  const { provider } = yield* connect
  const found = yield* withDeadline(
    input.clusters.length === 0
      ? Effect.map(provider.listAllStatuses, (statuses) => statuses.flatMap((status) => status.nodes))
      : Effect.map(Effect.forEach(input.clusters, (cluster) => nodesOf(provider, cluster)), (lists) => lists.flat())
  )
  yield* renderList({
    columns: nodeColumns(yield* currentTime, input.clusters.length === 1 ? "one cluster" : "clusters"),
    rows: found,
    name: ({ name }) => name,
    none: `no nodes on ${provider.name}`
  })
  return 0
})
