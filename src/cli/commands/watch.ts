/**
 * Shows clusters and each change of them.
 *
 * Rows are redrawn at a terminal; elsewhere each change is one line.
 */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { ClusterStatus } from "../../Model.ts"
import * as LiveRows from "../LiveRows.ts"
import { encode, hint } from "../Render.ts"
import { clusterColumns, currentTime, nodeColumns } from "../Rows.ts"
import { type OutputFailure, Screen } from "../Screen.ts"
import { connect, withDeadline } from "../Session.ts"
import { Settings } from "../Settings.ts"
import { table } from "../Table.ts"

interface View<A> {
  /** The lines of a terminal. */
  readonly lines: (value: A) => ReadonlyArray<string>
  /** One line for each thing that changed, without a terminal. */
  readonly changes: (value: A, before: A | undefined) => ReadonlyArray<string>
}

const show = Effect.fnUntraced(function*<A, E, R>(stream: Stream.Stream<A, E, R>, view: View<A>) {
  const screen = yield* Screen
  const { format } = yield* Settings
  const json = (value: A) =>
    Effect.map(encode(Array.isArray(value) ? value : [value]), (values) => Array.isArray(value) ? values : values[0])
  if (format === "json") {
    return yield* Stream.runForEach(
      stream,
      (value) => Effect.flatMap(json(value), (encoded) => screen.out(JSON.stringify(encoded)))
    )
  }
  if (format === "yaml") {
    const { stringify } = yield* Effect.promise(() => import("yaml"))
    return yield* Stream.runForEach(
      stream,
      (value) => Effect.flatMap(json(value), (encoded) => screen.out(`---\n${stringify(encoded).trimEnd()}`))
    )
  }
  if (!screen.outIsLive) {
    let before: A | undefined
    return yield* Stream.runForEach(stream, (value) => {
      const lines = view.changes(value, before)
      before = value
      return lines.length === 0 ? Effect.void : screen.out(lines.join("\n"))
    })
  }
  yield* Effect.scoped(Effect.gen(function*() {
    let failure: OutputFailure | undefined
    const region = yield* LiveRows.make(
      screen,
      (text) =>
        Effect.catch(screen.outBytes(text), (error) =>
          Effect.sync(() => {
            failure = error
          }))
    )
    let latest: A | undefined
    let isDirty = false
    const draw = Effect.suspend(() => {
      if (latest === undefined || !isDirty) return Effect.void
      isDirty = false
      return region.draw(view.lines(latest))
    })
    const stopResize = screen.onResize(() => {
      isDirty = true
    })
    yield* Effect.addFinalizer(() => Effect.andThen(Effect.sync(stopResize), draw))
    const redraw = Effect.forever(Effect.andThen(
      draw,
      Effect.suspend(() => failure === undefined ? Effect.sleep(LiveRows.redrawMillis) : Effect.fail(failure))
    ))
    const read = Stream.runForEach(stream, (value) =>
      Effect.sync(() => {
        latest = value
        isDirty = true
      }))
    yield* Effect.raceFirst(read, redraw)
  }))
})

const options = Effect.gen(function*() {
  const screen = yield* Screen
  const settings = yield* Settings
  return () => ({
    color: screen.outHasColor && settings.color,
    wide: settings.format === "wide",
    columns: screen.size().columns
  })
})

const lineOf = ({ clusterName, nodesReady, nodesTotal, phase }: ClusterStatus): string =>
  `${clusterName} ${phase} ${nodesReady}/${nodesTotal}`

/** Watches one cluster until it is gone. */
export const watchOne = Effect.fnUntraced(function*(cluster: string) {
  const { provider } = yield* connect
  const tableOptions = yield* options
  const now = yield* currentTime
  yield* withDeadline(show(provider.watchCluster(cluster), {
    lines: (status) => [
      ...table(clusterColumns(now), [status], tableOptions()),
      "",
      ...table(nodeColumns(now), status.nodes, tableOptions())
    ],
    changes: (status, before) => before === undefined || lineOf(before) !== lineOf(status) ? [lineOf(status)] : []
  }))
  yield* hint(`cluster "${cluster}" is gone`)
  return 0
})

/** Watches all clusters, until it is interrupted. */
export const watchAll = Effect.gen(function*() {
  const { provider } = yield* connect
  const tableOptions = yield* options
  const now = yield* currentTime
  yield* withDeadline(show(provider.watchAllClusters, {
    lines: (statuses) =>
      statuses.length === 0
        ? [`no clusters on ${provider.name}`]
        : table(clusterColumns(now), statuses, tableOptions()),
    changes: (statuses, before = []) => {
      const known = new Map(before.map((status) => [status.clusterName as string, lineOf(status)]))
      const now = new Set(statuses.map(({ clusterName }) => clusterName as string))
      return [
        ...statuses.filter((status) => known.get(status.clusterName) !== lineOf(status)).map(lineOf),
        ...[...known.keys()].filter((name) => !now.has(name)).map((name) => `${name} gone`)
      ]
    }
  }))
  return 0
})

export const watch = (input: { readonly cluster: string | undefined }) =>
  input.cluster === undefined ? watchAll : watchOne(input.cluster)
