/**
 * The screen of the quickstart: on a terminal a block of lines that is drawn again, one for each node; elsewhere a
 * plain line for each outcome. Colour only where the terminal has it and NO_COLOR is not set.
 */
import * as Effect from "effect/Effect"
import type { NodeInfo } from "../../src/Model.ts"
import type { OperationEvent, Sink } from "../../src/Progress.ts"
import type { Outcome } from "../../src/Report.ts"
import { columns } from "./columns.ts"

export interface Screen {
  readonly begin: (title: string) => Effect.Effect<void>
  readonly event: Sink
  readonly nodes: (nodes: ReadonlyArray<NodeInfo>) => Effect.Effect<void>
  readonly end: (what: string, millis: number) => Effect.Effect<void>
}

export const seconds = (millis: number): string => `${(millis / 1000).toFixed(millis < 10_000 ? 2 : 1)} s`

const problemOf = (outcome: Outcome): string =>
  outcome._tag === "Failed"
    ? `failed: ${outcome.error.reason.message}`
    : outcome._tag === "Skipped" || outcome._tag === "Unsupported"
    ? `${outcome._tag.toLowerCase()}: ${outcome.reason}`
    : outcome._tag === "AlreadyDone"
    ? "nothing to do"
    : outcome._tag === "RolledBack"
    ? "removed again"
    : "done"

const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(1)

const tell = (event: OperationEvent): string => {
  switch (event._tag) {
    case "Scheduled":
      return "waiting for its turn"
    case "Sent":
      return `${event.call} …`
    case "Waiting":
      return event.reason
    case "Transferred":
      return `${megabytes(event.bytes)}${event.total === undefined ? "" : ` of ${megabytes(event.total)}`} MB`
    case "Settled":
      return `${problemOf(event.outcome)} (${seconds(event.durationMillis)})`
  }
}

const paint = (code: number) => (text: string): string =>
  process.env["NO_COLOR"] === undefined || process.env["NO_COLOR"] === "" ? `\u001b[${code}m${text}\u001b[0m` : text
const bold = paint(1)
const dim = paint(2)
const green = paint(32)
const red = paint(31)

const write = (text: string) =>
  Effect.sync(() => {
    process.stdout.write(text)
  })

/** A row for each node, in columns that are as wide as their longest cell. */
const nodeRows = (nodes: ReadonlyArray<NodeInfo>): ReadonlyArray<string> =>
  columns(nodes.map((node) => [node.name, node.role, node.state, node.addresses.private.join(" ")]))
    .map((row) => `  ${row}`)

/** One line for each outcome. */
export const plainScreen: Screen = {
  begin: (title) => write(`${title}\n`),
  event: (event) =>
    event._tag === "Settled" ? write(`  ${event.subject.kind} ${event.subject.name}: ${tell(event)}\n`) : Effect.void,
  nodes: (nodes) => write(nodeRows(nodes).map((row) => `${row}\n`).join("")),
  end: (what, millis) => write(`  = ${what} in ${seconds(millis)}\n`)
}

/** Lines are cut to the terminal's width, or a redraw would miss those that wrap. */
const fit = (line: string): string => {
  const width = (process.stdout.columns || 80) - 1
  return line.length > width ? `${line.slice(0, width - 1)}…` : line
}

/** A block for each step, drawn over again at each event. */
export const terminalScreen = (): Screen => {
  let title = ""
  let drawn = 0
  const lines = new Map<string, { readonly text: string; readonly colour: (text: string) => string }>()

  const draw = Effect.suspend(() => {
    const up = drawn === 0 ? "" : `\u001b[${drawn}A`
    const width = Math.max(...[...lines.keys()].map((key) => key.length))
    const body = [...lines].map(([key, { colour, text }]) => colour(fit(`  ${key.padEnd(width)}  ${text}`)))
    const all = [bold(fit(title)), ...body]
    drawn = all.length
    return write(`${up}${all.map((line) => `\u001b[2K${line}\n`).join("")}`)
  })

  return {
    begin: (next) =>
      Effect.suspend(() => {
        title = next
        drawn = 0
        lines.clear()
        return draw
      }),
    event: (event) =>
      Effect.suspend(() => {
        const key = `${event.subject.kind} ${event.subject.name}`
        const colour = event._tag !== "Settled" ? dim : event.outcome._tag === "Failed" ? red : green
        lines.set(key, { text: tell(event), colour })
        return draw
      }),
    nodes: (nodes) =>
      Effect.andThen(
        Effect.sync(() => (drawn = 0)),
        write(nodeRows(nodes).map((row) => `${dim(fit(row))}\n`).join(""))
      ),
    end: (what, millis) => write(`  ${green("=")} ${what} in ${seconds(millis)}\n`)
  }
}
