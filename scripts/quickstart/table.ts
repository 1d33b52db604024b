/** The table at the end: a row for each step, with its time. */
import { columns, wrap } from "./columns.ts"
import { seconds } from "./screen.ts"

export interface Row {
  readonly step: string
  readonly what: string
  readonly millis: number
}

/** Cells wrap at words where the table would be wider than the terminal. */
export const table = (rows: ReadonlyArray<Row>, terminalWidth = 80): string => {
  const times = rows.map(({ millis }) => seconds(millis))
  const timeWidth = Math.max(4, ...times.map((time) => time.length))
  const stepWidth = Math.max(4, ...rows.map(({ step }) => step.length))
  const room = Math.max(20, terminalWidth - stepWidth - timeWidth - 5)
  const lines = rows.flatMap(({ step, what }, index) =>
    wrap(what, room).map((part, line) =>
      line === 0 ? [step, part, (times[index] ?? "").padStart(timeWidth)] : ["", part, ""]
    )
  )
  const whatWidth = Math.max(4, ...lines.map(([, part = ""]) => part.length))
  const rule = [stepWidth, whatWidth, timeWidth].map((width) => "-".repeat(width))
  return columns([["step", "what", "time".padStart(timeWidth)], rule, ...lines]).join("\n")
}
