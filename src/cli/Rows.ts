/**
 * The columns of clusters, nodes, orphans and outcomes.
 */
import * as Clock from "effect/Clock"
import type * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import type { ClusterStatus, NodeInfo } from "../Model.ts"
import type { OperationReport } from "../Report.ts"
import { type Color, type Column, printable } from "./Table.ts"
import { elapsed, shortDuration } from "./Time.ts"

type Now = () => number

/** The time of the clock, at each call. */
export const currentTime: Effect.Effect<Now> = Effect.map(Clock.Clock, (clock) => () => clock.currentTimeMillisUnsafe())

const age = (createdAt: DateTime.Utc | undefined, now: Now): string =>
  createdAt === undefined ? "" : shortDuration(now() - createdAt.epochMilliseconds)

const phaseColor = (status: ClusterStatus): Color | undefined =>
  status.ready ? "green" : status.phase === "stopped" ? "dim" : status.phase === "degraded" ? "red" : "yellow"

const count = (status: ClusterStatus, role: NodeInfo["role"]): string =>
  String(status.nodes.filter((node) => node.role === role).length)

export const clusterColumns = (now: Now): ReadonlyArray<Column<ClusterStatus>> => [
  { title: "NAME", value: ({ clusterName }) => clusterName },
  {
    title: "PHASE",
    value: ({ phase, rawPhase }) => rawPhase === undefined ? phase : `${phase} (${rawPhase})`,
    color: phaseColor
  },
  { title: "READY", value: ({ nodesReady, nodesTotal }) => `${nodesReady}/${nodesTotal}` },
  { title: "CONTROL-PLANES", value: (status) => count(status, "control-plane") },
  { title: "WORKERS", value: (status) => count(status, "worker") },
  {
    title: "AGE",
    value: ({ createdAt }) => age(createdAt, now)
  },
  { title: "ENDPOINT", value: ({ endpoint }) => endpoint ?? "", isWide: true }
]

const stateColor = ({ state }: NodeInfo): Color | undefined =>
  state === "running" ? "green" : state === "failed" ? "red" : state === "stopped" ? "dim" : "yellow"

/** The columns of nodes; `of` is one cluster or several. */
export const nodeColumns = (
  now: Now,
  of: "one cluster" | "clusters" = "one cluster"
): ReadonlyArray<Column<NodeInfo>> => [
  { title: "NAME", value: ({ name }) => name },
  ...(of === "clusters" ? [{ title: "CLUSTER", value: ({ clusterName }: NodeInfo) => clusterName }] : []),
  { title: "ROLE", value: ({ role }) => role },
  { title: "STATE", value: ({ state }) => state, color: stateColor },
  { title: "PRIVATE-IP", value: ({ addresses }) => addresses.private[0] ?? "" },
  { title: "AGE", value: ({ createdAt }) => age(createdAt, now) },
  { title: "PUBLIC-IP", value: ({ addresses }) => addresses.public[0] ?? "", isWide: true },
  { title: "TYPE", value: ({ serverType }) => serverType ?? "", isWide: true },
  { title: "LOCATION", value: ({ location }) => location ?? "", isWide: true },
  { title: "POOL", value: ({ pool }) => pool ?? "", isWide: true },
  { title: "ID", value: ({ id }) => id, isWide: true }
]

/** `dev: 3 done, 1 already done in 4.2 s`. */
export const reportLine = (report: OperationReport): string => {
  const tally = (tag: string, words: string) => {
    const found = report.outcomes.filter(({ outcome }) => outcome._tag === tag).length
    return found === 0 ? [] : [`${found} ${words}`]
  }
  const parts = [
    ...tally("Done", "done"),
    ...tally("AlreadyDone", "already done"),
    ...tally("Skipped", "skipped"),
    ...tally("Unsupported", "not supported"),
    ...tally("Failed", "failed"),
    ...tally("RolledBack", "removed again")
  ]
  return `${report.clusterName}: ${parts.length === 0 ? "nothing to do" : parts.join(", ")} in ${
    elapsed(report.durationMillis)
  }`
}

/** One line for each thing that was left out and why. */
export const skippedLines = (report: OperationReport): ReadonlyArray<string> =>
  report.outcomes.flatMap(({ kind, name, outcome }) =>
    outcome._tag === "Skipped" || outcome._tag === "Unsupported"
      ? [`${kind} ${printable(name)}: ${outcome._tag === "Skipped" ? "skipped" : "not supported"}: ${outcome.reason}`]
      : []
  )
