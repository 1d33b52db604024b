/**
 * Shows what an operation does: live rows on a terminal, one line an event elsewhere.
 */
import * as Effect from "effect/Effect"
import type { OperationEvent } from "../Progress.ts"
import { onEvent } from "../Progress.ts"
import * as LiveRows from "./LiveRows.ts"
import { Screen } from "./Screen.ts"
import { Settings } from "./Settings.ts"
import { colored, cut, printable } from "./Table.ts"
import { elapsed } from "./Time.ts"

interface Row {
  readonly name: string
  readonly kind: string
  state: string
  readonly startedAt: number
  millis: number | undefined
  color: "green" | "red" | "dim" | undefined
}

const spinner = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"]

const stateOf = (event: OperationEvent): Pick<Row, "state" | "color"> => {
  switch (event._tag) {
    case "Scheduled":
      return { state: "scheduled", color: "dim" }
    case "Sent":
      return { state: event.call, color: undefined }
    case "Waiting":
      return { state: `waiting: ${event.reason}`, color: undefined }
    case "Transferred":
      return {
        state: event.total === undefined
          ? `${Math.round(event.bytes / 1e6)} MB`
          : `${Math.round(100 * event.bytes / Math.max(1, event.total))} % of ${Math.round(event.total / 1e6)} MB`,
        color: undefined
      }
    case "Settled":
      return settled(event.outcome)
  }
}

const settled = (
  outcome: Extract<OperationEvent, { readonly _tag: "Settled" }>["outcome"]
): Pick<Row, "state" | "color"> => {
  switch (outcome._tag) {
    case "Done":
      return { state: outcome.forced === true ? "done (forced)" : "done", color: "green" }
    case "AlreadyDone":
      return { state: "already done", color: "dim" }
    case "Skipped":
      return { state: `skipped: ${outcome.reason}`, color: "dim" }
    case "Unsupported":
      return { state: `not supported: ${outcome.reason}`, color: "red" }
    case "Failed":
      return { state: `failed: ${outcome.error.reason.detail}`, color: "red" }
    case "RolledBack":
      return { state: "removed again", color: "dim" }
  }
}

const now = () => performance.now()

/** Runs an operation and shows its progress on stderr. With `-q` nothing is shown. */
export const withProgress = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R | Screen | Settings> =>
  Effect.gen(function*() {
    const screen = yield* Screen
    const settings = yield* Settings
    if (settings.isQuiet) return yield* self
    return yield* screen.isLive ? live(self) : plain(self)
  })

/** One line for each thing that was settled or is waited for. */
const plain = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R | Screen> =>
  Effect.gen(function*() {
    const screen = yield* Screen
    const shown = new Map<string, string>()
    return yield* self.pipe(onEvent((event) => {
      if (event._tag !== "Settled" && event._tag !== "Waiting") return Effect.void
      const { kind, name } = event.subject
      const line = `${kind} ${printable(name)}: ${printable(stateOf(event).state)}`
      // A wait is reported again and again.
      if (shown.get(name) === line) return Effect.void
      shown.set(name, line)
      return screen.err(`${line}\n`)
    }))
  })

const live = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R | Screen | Settings> =>
  Effect.scoped(Effect.gen(function*() {
    const screen = yield* Screen
    const { color } = yield* Settings
    const rows = new Map<string, Row>()
    const region = yield* LiveRows.make(screen, screen.err)
    let frame = 0
    const lines = () => {
      const most = Math.min(40, Math.floor(screen.size().columns / 2))
      const widest = Math.min(most, Math.max(0, ...[...rows.values()].map(({ name }) => name.length)))
      return [...rows.values()].map((row) => {
        const mark = row.millis === undefined ? spinner[frame % spinner.length] ?? "" : row.color === "red" ? "✗" : "✓"
        const time = elapsed(row.millis ?? now() - row.startedAt)
        return `${colored(mark, row.color, color && screen.errHasColor)} ${
          cut(row.name, widest).padEnd(widest)
        }  ${row.state}  ${colored(time, "dim", color && screen.errHasColor)}`
      })
    }
    const draw = Effect.suspend(() => rows.size === 0 ? Effect.void : region.draw(lines()))
    const repeat = Effect.forever(Effect.andThen(
      Effect.sleep(LiveRows.redrawMillis),
      Effect.suspend(() => {
        frame++
        return draw
      })
    ))
    yield* Effect.addFinalizer(() => draw)
    yield* Effect.forkScoped(repeat)
    return yield* self.pipe(onEvent((event) =>
      Effect.sync(() => {
        const { kind, name } = event.subject
        const key = `${kind}/${name}`
        const row = rows.get(key) ??
          { name: printable(name), kind, state: "", startedAt: now(), millis: undefined, color: undefined }
        const { color: rowColor, state } = stateOf(event)
        row.state = printable(state)
        row.color = rowColor
        row.millis = event._tag === "Settled" ? event.durationMillis : undefined
        rows.set(key, row)
      })
    ))
  }))
