/** Lists the nodes of clusters. */
import * as Effect from "effect/Effect"
import { ClusterNotFound } from "../../ProviderError.ts"
import type { ProviderService } from "../../Provider.ts"
import { renderList } from "../Render.ts"
import { nodeColumns } from "../Rows.ts"
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
    columns: input.clusters.length === 1 ? nodeColumns.filter(({ title }) => title !== "CLUSTER") : nodeColumns,
    rows: found,
    name: ({ name }) => name,
    none: `no nodes on ${provider.name}`
  })
  return 0
})
