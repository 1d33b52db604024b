/**
 * Starts, stops and restarts the nodes of clusters.
 *
 * `--node` and `--pool` select a part of one cluster.
 */
import * as Effect from "effect/Effect"
import type { NodeSelection } from "../../Provider.ts"
import { UsageError } from "../Failure.ts"
import { withProgress } from "../Progress.ts"
import { connect, renderReports, withOperationTimeout } from "../Session.ts"

export interface PowerInput {
  readonly clusters: ReadonlyArray<string>
  readonly nodes: ReadonlyArray<string>
  readonly pool: string | undefined
}

const selectionOf = Effect.fnUntraced(
  function*(input: PowerInput): Effect.fn.Return<NodeSelection | undefined, UsageError> {
    const { clusters, nodes, pool } = input
    if (nodes.length === 0 && pool === undefined) return undefined
    if (nodes.length > 0 && pool !== undefined) {
      return yield* new UsageError({ message: "--node and --pool cannot be used together" })
    }
    if (clusters.length > 1) {
      return yield* new UsageError({ message: "--node and --pool need exactly one cluster" })
    }
    return pool === undefined ? { nodes } : { pool }
  }
)

const power = (method: "startNodes" | "stopNodes") =>
  Effect.fnUntraced(function*(input: PowerInput) {
    const selection = yield* selectionOf(input)
    const { provider } = yield* connect
    const reports = yield* Effect.forEach(input.clusters, (cluster) =>
      withProgress(withOperationTimeout(
        selection === undefined ? provider[method](cluster) : provider[method](cluster, selection)
      )))
    yield* renderReports(reports)
    return 0
  })

export const start = power("startNodes")
export const stop = power("stopNodes")

/** Restarts the selected nodes, or all of them, some at a time. */
export const restart = Effect.fnUntraced(function*(
  input: PowerInput & { readonly maxUnavailable: number | undefined }
) {
  const selection = yield* selectionOf(input)
  const { creator, provider } = yield* connect
  const rolling = input.maxUnavailable === undefined ? {} : { maxUnavailable: input.maxUnavailable }
  const reports = yield* Effect.forEach(
    input.clusters,
    (cluster) =>
      withProgress(withOperationTimeout(Effect.gen(function*() {
        const chosen = selection ??
          { nodes: (yield* provider.listNodes(cluster)).map(({ name }) => name) }
        return yield* creator.restartNodes(cluster, { ...chosen, ...rolling })
      })))
  )
  yield* renderReports(reports)
  return 0
})
