/**
 * Lists all clusters of a backend.
 *
 * With `--watch` it goes on with each change, as `watch` does.
 */
import * as Effect from "effect/Effect"
import { renderList } from "../Render.ts"
import { clusterColumns, currentTime } from "../Rows.ts"
import { connect, withDeadline } from "../Session.ts"
import { watchAll } from "./watch.ts"

export const clusters = Effect.fnUntraced(function*(input: { readonly watch: boolean }) {
  if (input.watch) return yield* watchAll
  const { provider } = yield* connect
  const statuses = yield* withDeadline(provider.listAllStatuses)
  yield* renderList({
    columns: clusterColumns(yield* currentTime),
    rows: statuses,
    name: ({ clusterName }) => clusterName,
    none: `no clusters on ${provider.name}`
  })
  return 0
})
