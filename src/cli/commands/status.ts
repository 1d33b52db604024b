/**
 * Shows one cluster and its nodes.
 *
 * With `--exit-code` a cluster that is not ready is exit code 8.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { ClusterNotFound } from "../../ProviderError.ts"
import { exitCodes } from "../../Script.ts"
import { hint, renderList } from "../Render.ts"
import { clusterColumns, currentTime, nodeColumns } from "../Rows.ts"
import { Screen } from "../Screen.ts"
import { connect, withDeadline } from "../Session.ts"
import { Settings } from "../Settings.ts"
import { table } from "../Table.ts"
import { watchOne } from "./watch.ts"

export const status = Effect.fnUntraced(function*(
  input: { readonly cluster: string; readonly exitCode: boolean; readonly watch: boolean }
) {
  if (input.watch) return yield* watchOne(input.cluster)
  const { provider } = yield* connect
  const found = yield* withDeadline(provider.getClusterStatus(input.cluster))
  if (Option.isNone(found)) {
    return yield* new ClusterNotFound({ provider: provider.name, clusterName: input.cluster })
  }
  const settings = yield* Settings
  const screen = yield* Screen
  const now = yield* currentTime
  yield* renderList({
    columns: clusterColumns(now),
    rows: [found.value],
    name: ({ clusterName }) => clusterName,
    none: "",
    isSingle: true
  })
  if (settings.format === "table" || settings.format === "wide") {
    const lines = table(nodeColumns(now), found.value.nodes, {
      color: screen.outHasColor && settings.color,
      wide: settings.format === "wide",
      ...(screen.outIsLive ? { columns: screen.size().columns } : {})
    })
    yield* screen.out(`\n${lines.join("\n")}`)
  }
  if (!input.exitCode || found.value.ready) return 0
  yield* hint(`cluster "${input.cluster}" is not ready`)
  return exitCodes.notReady
})
