/**
 * Rows that are redrawn in place on a terminal.
 *
 * The cursor is hidden while rows are live, and shown again however the command ends. Rows never wrap: they are cut to
 * the window, and the last line counts the rows that do not fit.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { ScreenService } from "./Screen.ts"
import { cut } from "./Table.ts"

const hideCursor = "\u001b[?25l"
const showCursor = "\u001b[?25h"
const clearBelow = "\u001b[J"
// A row that fills the window would wrap, so the last cell stays empty.
const clearLine = "\u001b[K"

export interface LiveRows {
  /** Draws these rows in the place of the ones before. */
  readonly draw: (rows: ReadonlyArray<string>) => Effect.Effect<void>
}

/** A redraw costs time on a slow terminal, so changes are collected for this long. */
export const redrawMillis = 100

const withoutColor = (text: string): string =>
  text.split("\u001b[").map((part, index) => index === 0 ? part : part.slice(part.indexOf("m") + 1)).join("")

/** Escape sequences take no cells. A row that is cut loses its colors. */
const cutColored = (text: string, cells: number): string => {
  const plain = withoutColor(text)
  const shown = cut(plain, cells)
  return shown === plain ? text : shown
}

/** Begins live rows on stderr, or on stdout. They stay as they were drawn last when the scope closes. */
export const make = Effect.fnUntraced(function*(
  screen: ScreenService,
  write: (text: string) => Effect.Effect<void>
): Effect.fn.Return<LiveRows, never, Scope.Scope> {
  let drawn = 0
  let last: ReadonlyArray<string> = []
  let drawnColumns = 0

  const text = (rows: ReadonlyArray<string>): string => {
    const { columns, rows: height } = screen.size()
    const room = Math.max(1, height - 1)
    const shown = rows.length > room ? [...rows.slice(0, room - 1), `... ${rows.length - room + 1} more`] : rows
    // A window that became narrower has wrapped the rows above.
    const wraps = drawnColumns > columns
      ? last.slice(0, drawn).reduce(
        (sum, row) => sum + Math.max(0, Math.ceil(Math.min(row.length, drawnColumns) / columns) - 1),
        0
      )
      : 0
    const up = Math.min(drawn + wraps, height - 1)
    const lines = shown.map((row) => `${clearLine}${cutColored(row, columns - 1)}\n`)
    drawn = shown.length
    drawnColumns = columns
    last = rows
    return (up > 0 ? `\u001b[${up}A` : "") + `\r${lines.join("")}${clearBelow}`
  }

  const restore = () => process.stderr.isTTY === true && process.stderr.write(showCursor)
  process.once("exit", restore)
  yield* Effect.addFinalizer(() =>
    Effect.andThen(write(showCursor), Effect.sync(() => void process.off("exit", restore)))
  )
  yield* write(hideCursor)
  return { draw: (rows) => Effect.suspend(() => write(text(rows))) }
})
