/** The table at the end: a row for each step, with its time. */
import { seconds } from "./screen.ts"

export interface Row {
  readonly step: string
  readonly what: string
  readonly millis: number
}

export const table = (rows: ReadonlyArray<Row>): string => {
  const cells = [
    ["step", "what", "time"],
    ...rows.map(({ millis, step, what }) => [step, what, seconds(millis)])
  ]
  const width = (column: number) => Math.max(...cells.map((row) => row[column]?.length ?? 0))
  const line = (row: ReadonlyArray<string>) =>
    `${(row[0] ?? "").padEnd(width(0))}  ${(row[1] ?? "").padEnd(width(1))}  ${(row[2] ?? "").padStart(width(2))}`
  const rule = [0, 1, 2].map((column) => "-".repeat(width(column))).join("  ")
  return [line(cells[0] ?? []), rule, ...cells.slice(1).map(line)].join("\n")
}
