/**
 * Writes results in the format that the user chose.
 */
import * as Effect from "effect/Effect"
import type * as Encoding from "../Cluster.ts"
import { type OutputFailure, Screen } from "./Screen.ts"
import { Settings } from "./Settings.ts"
import { type Column, table } from "./Table.ts"

/** Writes a value as YAML. */
const yaml = (value: unknown): Effect.Effect<string> =>
  Effect.map(
    Effect.promise(() => import("yaml")),
    ({ stringify }) => stringify(value, { lineWidth: 0, aliasDuplicateObjects: false, compat: "yaml-1.1" }).trimEnd()
  )

type Encodable = Parameters<typeof Encoding.toJson>[0]

/** The JSON of models. The encoder is loaded when it is needed. */
export const encode = (rows: ReadonlyArray<unknown>): Effect.Effect<ReadonlyArray<unknown>> =>
  Effect.map(
    Effect.promise(() => import("../Cluster.ts")),
    ({ toJson }) => rows.map((row) => toJson(row as Encodable))
  )

interface ListOptions<A> {
  readonly columns: ReadonlyArray<Column<A>>
  readonly rows: ReadonlyArray<A>
  readonly name: (row: A) => string
  /** The encoding of the library where it is not given. */
  readonly json?: (row: A) => unknown
  /** The hint on stderr where there is no row. */
  readonly none: string
  /** One object instead of a list, with JSON and YAML. */
  readonly isSingle?: boolean
}

/** Writes rows: as a table, as JSON or YAML, or only their names. */
export const renderList = Effect.fnUntraced(function*<A>(
  options: ListOptions<A>
): Effect.fn.Return<void, OutputFailure, Screen | Settings> {
  const screen = yield* Screen
  const settings = yield* Settings
  const { rows } = options
  if (settings.format === "json" || settings.format === "yaml") {
    const values = options.json === undefined ? yield* encode(rows) : rows.map(options.json)
    const value = options.isSingle === true ? values[0] ?? null : values
    return yield* screen.out(settings.format === "json" ? JSON.stringify(value, undefined, 2) : yield* yaml(value))
  }
  if (settings.format === "name") {
    return rows.length === 0 ? undefined : yield* screen.out(rows.map(options.name).join("\n"))
  }
  if (rows.length === 0) return yield* hint(options.none)
  const lines = table(options.columns, rows, {
    color: screen.outHasColor && settings.color,
    wide: settings.format === "wide",
    // Output into a pipe or a file is not cut.
    ...(screen.outIsLive ? { columns: screen.size().columns } : {})
  })
  yield* screen.out(lines.join("\n"))
})

/** Writes one value as JSON or YAML; with the other formats, the text. */
export const renderValue = Effect.fnUntraced(function*(
  value: unknown,
  text: string | undefined
): Effect.fn.Return<void, OutputFailure, Screen | Settings> {
  const screen = yield* Screen
  const { format } = yield* Settings
  if (format === "json") return yield* screen.out(JSON.stringify(value, undefined, 2))
  if (format === "yaml") return yield* screen.out(yield* yaml(value))
  if (text !== undefined && text !== "") yield* screen.out(text)
})

/** One line on stderr, for people; none with `-q`. */
export const hint = Effect.fnUntraced(function*(text: string) {
  const screen = yield* Screen
  const { isQuiet } = yield* Settings
  if (!isQuiet && text !== "") yield* screen.err(`${text}\n`)
})
