/**
 * Lists what processes that are gone have left behind.
 *
 * With `--remove` it asks, and removes it.
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { Orphan } from "../../Provider.ts"
import { BackendError } from "../../Reason.ts"
import { exitCodes } from "../../Script.ts"
import { hint, renderList } from "../Render.ts"
import { confirm, connect, withOperationTimeout } from "../Session.ts"
import type { Column } from "../Table.ts"

export interface SweepInput {
  readonly olderThan: Duration.Duration
  readonly remove: boolean
}

const columns: ReadonlyArray<Column<Orphan>> = [
  { title: "KIND", value: ({ kind }) => kind },
  { title: "NAME", value: ({ name }) => name },
  { title: "CLUSTER", value: ({ clusterName }) => clusterName },
  {
    title: "REMOVED",
    value: ({ removed }) => removed === undefined ? "no" : removed === true ? "yes" : removed.reason.message,
    color: ({ removed }) => removed instanceof BackendError ? "red" : undefined
  },
  { title: "WHY", value: ({ why }) => why }
]

export const sweep = Effect.fnUntraced(function*(input: SweepInput) {
  const { creator, provider } = yield* connect
  const listed = yield* withOperationTimeout(creator.sweep({ olderThan: input.olderThan }))
  const isRemoving = input.remove && listed.length > 0
  if (isRemoving) yield* confirm(`Remove ${listed.length} ${listed.length === 1 ? "orphan" : "orphans"}?`)
  const orphans = isRemoving
    ? yield* withOperationTimeout(creator.sweep({ olderThan: input.olderThan, remove: true }))
    : listed
  yield* renderList({
    columns,
    rows: orphans,
    name: ({ kind, name }) => `${kind}/${name}`,
    none: `no orphans on ${provider.name}`
  })
  if (!input.remove && orphans.length > 0) yield* hint("They were listed only; --remove removes them.")
  return orphans.some(({ removed }) => removed instanceof BackendError) ? exitCodes.failed : 0
})
