/**
 * The parts that commands share: the backend of the flags, deadlines, questions and reports.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Policy from "../Policy.ts"
import type { OperationReport } from "../Report.ts"
import { type Address, Backends, type Connection, type OpenFailure } from "./Backends.ts"
import { CommandTimeout, Declined, UsageError } from "./Failure.ts"
import { encode, hint, renderValue } from "./Render.ts"
import { reportLine, skippedLines } from "./Rows.ts"
import { type OutputFailure, Screen } from "./Screen.ts"
import { Settings, type SettingsShape } from "./Settings.ts"

export type CommandContext = Screen | Settings | Backends | Scope.Scope

const addressOf = (settings: SettingsShape): Address => ({
  backend: settings.backend,
  ...(settings.instance === undefined ? {} : { instance: settings.instance }),
  ...(settings.scheme === undefined ? {} : { scheme: settings.scheme }),
  ...(settings.host === undefined ? {} : { host: settings.host }),
  ...(settings.context === undefined ? {} : { context: settings.context })
})

/** The backend that the flags name. */
export const connect: Effect.Effect<Connection, OpenFailure, CommandContext> = Effect.gen(function*() {
  const settings = yield* Settings
  const backends = yield* Backends
  return yield* backends.open(addressOf(settings))
})

/** The address of the flags, where a document names no other one. */
export const addressFor = (
  document: Pick<Address, "backend" | "instance" | "scheme" | "defaults">
): Effect.Effect<Address, never, Settings> =>
  Effect.map(Settings, (settings) => ({
    ...(settings.backend === document.backend ? addressOf(settings) : {}),
    ...document
  }))

/** Ends a command that only reads when `--timeout` passes. */
export const withDeadline = <A, E, R>(
  self: Effect.Effect<A, E, R>
): Effect.Effect<A, E | CommandTimeout, R | Settings> =>
  Effect.flatMap(Settings, ({ timeout }) =>
    timeout === undefined ? self : self.pipe(
      Effect.timeoutOrElse({
        duration: timeout,
        orElse: () => Effect.fail(new CommandTimeout({ message: `timed out after ${Duration.format(timeout)}` }))
      })
    ))

/** Bounds an operation by `--timeout`. It then fails with its report. */
export const withOperationTimeout = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R | Settings> =>
  Effect.flatMap(
    Settings,
    ({ timeout }) => timeout === undefined ? self : self.pipe(Policy.override({ operationTimeout: timeout }))
  )

/** Asks before something is deleted or bought. Without a terminal and without `-y` it is a usage error. */
export const confirm = Effect.fnUntraced(function*(
  question: string
): Effect.fn.Return<void, UsageError | Declined, Screen | Settings> {
  const screen = yield* Screen
  const { isYes } = yield* Settings
  if (isYes) return
  if (!screen.canAsk) {
    return yield* new UsageError({ message: `${question} There is no terminal to ask. Give -y to answer yes.` })
  }
  const answer = yield* screen.ask(`${question} [y/N] `)
  if (answer === undefined) yield* screen.err("\n")
  if (answer === undefined || !/^y(?:es)?$/i.test(answer)) {
    return yield* new Declined({ message: "Nothing was changed." })
  }
})

/** Writes the report of an operation. */
export const renderReport = Effect.fnUntraced(function*(
  report: OperationReport
): Effect.fn.Return<void, OutputFailure, Screen | Settings> {
  yield* renderValue((yield* encode([report]))[0], undefined)
  yield* hint([...skippedLines(report), reportLine(report)].join("\n"))
})

/** Several reports: one value, or a list of them. */
export const renderReports = Effect.fnUntraced(function*(
  reports: ReadonlyArray<OperationReport>
): Effect.fn.Return<void, OutputFailure, Screen | Settings> {
  const [only, ...others] = reports
  if (only !== undefined && others.length === 0) return yield* renderReport(only)
  yield* renderValue(yield* encode(reports), undefined)
  for (const report of reports) yield* hint([...skippedLines(report), reportLine(report)].join("\n"))
})
