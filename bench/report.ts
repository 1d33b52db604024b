/**
 * The output of the bench: a line for each row while it runs, the table at the end, and the same as JSON.
 */
import type { Measured, Row } from "./row.ts"

export type Result =
  & { readonly row: Pick<Row, "id" | "what" | "target"> }
  & ({ readonly outcome: Measured } | { readonly why: string })

/** Counts as they are; what is a ratio or a time with two digits. */
const shown = (value: number): string => Number.isInteger(value) ? String(value) : value.toFixed(2)

const holds = (result: Result): boolean => "outcome" in result && result.row.target.holds(result.outcome.value)

const verdict = (result: Result): string =>
  "outcome" in result ? holds(result) ? "holds" : "DOES NOT HOLD" : "not measured"

export const lineOf = (result: Result): string =>
  `${result.row.id}: ${"outcome" in result ? `${shown(result.outcome.value)}, ${result.outcome.detail}` : result.why}`

export const summary = (results: ReadonlyArray<Result>, millis: number): string => {
  const cells = [
    ["id", "value", "target", "", "what"],
    ...results.map((result) => [
      result.row.id,
      "outcome" in result ? shown(result.outcome.value) : "-",
      result.row.target.text,
      verdict(result),
      result.row.what
    ])
  ]
  const widths = [0, 1, 2, 3].map((column) => Math.max(...cells.map((row) => row[column]?.length ?? 0)))
  const line = (row: ReadonlyArray<string>) =>
    row.map((cell, column) => column === 1 ? cell.padStart(widths[1] ?? 0) : cell.padEnd(widths[column] ?? 0)).join(
      "  "
    )
  const count = (what: string) => results.filter((result) => verdict(result) === what).length
  const [held, missed, open] = [count("holds"), count("DOES NOT HOLD"), count("not measured")]
  const rest = [...(missed > 0 ? [`${missed} do not`] : []), ...(open > 0 ? [`${open} were not measured`] : [])]
  return [
    ...cells.map(line),
    "",
    `${held} of ${results.length} rows hold${rest.map((each) => `, ${each}`).join("")}; ${Math.round(millis / 1000)} s.`
  ].join("\n")
}

/** `[{ id, what, value, target, holds }]`; `value` is null where the row was not measured, and `what` says why. */
export const toJson = (results: ReadonlyArray<Result>): string =>
  `${
    JSON.stringify(
      results.map((result) => ({
        id: result.row.id,
        what: `${result.row.what} (${"outcome" in result ? result.outcome.detail : result.why})`,
        value: "outcome" in result ? result.outcome.value : null,
        target: result.row.target.text,
        holds: holds(result)
      })),
      undefined,
      2
    )
  }\n`
