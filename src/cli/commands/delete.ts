/**
 * Deletes clusters by name, or those of documents.
 *
 * It asks first. Leftovers of a cluster without nodes are removed too.
 */
import * as Effect from "effect/Effect"
import { ClusterNotFound } from "../../ProviderError.ts"
import { Backends, type Connection } from "../Backends.ts"
import { UsageError } from "../Failure.ts"
import { withProgress } from "../Progress.ts"
import { hint } from "../Render.ts"
import { addressFor, confirm, connect, renderReports, withOperationTimeout } from "../Session.ts"
import { readDocuments } from "../Sources.ts"

export interface DeleteInput {
  readonly clusters: ReadonlyArray<string>
  readonly files: ReadonlyArray<string>
  readonly mustExist: boolean
}

interface Target {
  readonly cluster: string
  readonly connection: Connection
}

const targetsOf = Effect.fnUntraced(function*(input: DeleteInput) {
  if ((input.clusters.length === 0) === (input.files.length === 0)) {
    return yield* new UsageError({ message: "name the clusters to delete, or their documents with -f" })
  }
  if (input.files.length === 0) {
    const connection = yield* connect
    return input.clusters.map((cluster): Target => ({ cluster, connection }))
  }
  const backends = yield* Backends
  const documents = yield* readDocuments(input.files)
  return yield* Effect.forEach(documents, ({ address, document }) =>
    Effect.gen(function*() {
      const connection = yield* backends.open(yield* addressFor(address))
      return { cluster: document.name, connection } satisfies Target
    }))
})

export const remove = Effect.fnUntraced(function*(input: DeleteInput) {
  const targets = yield* targetsOf(input)
  const found = yield* Effect.forEach(
    targets,
    (target) =>
      Effect.map(target.connection.provider.listNodes(target.cluster), (nodes) => ({ ...target, nodes: nodes.length }))
  )
  for (const { cluster, connection, nodes } of found) {
    if (nodes > 0) continue
    if (input.mustExist) {
      return yield* new ClusterNotFound({ provider: connection.provider.name, clusterName: cluster })
    }
  }
  const existing = found.filter(({ nodes }) => nodes > 0)
  if (existing.length > 0) {
    const what = existing.map(({ cluster, nodes }) => `"${cluster}" (${nodes} ${nodes === 1 ? "node" : "nodes"})`)
    yield* confirm(`Delete ${what.length === 1 ? "cluster" : "clusters"} ${what.join(", ")}?`)
  }
  // Leftovers of a cluster without nodes are removed too.
  const reports = yield* Effect.forEach(found, ({ cluster, connection, nodes }) =>
    Effect.gen(function*() {
      const report = yield* withProgress(withOperationTimeout(connection.provider.deleteNodes(cluster)))
      if (nodes === 0) {
        const removed = report.outcomes.some(({ outcome }) => outcome._tag === "Done")
        yield* hint(`there is no cluster "${cluster}"${removed ? "; its leftovers were removed" : ""}`)
      }
      return report
    }))
  yield* renderReports(reports)
  return 0
})
