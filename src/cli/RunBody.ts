/**
 * Runs the body of a command: its failure is shown, and its exit code is kept for the end of the process.
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type { Plan, StalePlan } from "../Plan.ts"
import type { Backends } from "./Backends.ts"
import { UsageError } from "./Failure.ts"
import { Screen } from "./Screen.ts"
import type { CommandContext } from "./Session.ts"
import { Settings, type SettingsShape } from "./Settings.ts"
import { colored } from "./Table.ts"

/** The exit code of this call. */
export class ExitStatus extends Context.Service<ExitStatus, { code: number }>()("kubelayer/cli/ExitStatus") {}

const isSilent = (error: unknown): boolean =>
  typeof error === "object" && error !== null && "_tag" in error && error._tag === "OutputClosed"

/** The plan as it would be now, where a plan was stale. */
const newPlanOf = (error: unknown): Plan | undefined =>
  typeof error === "object" && error !== null && "_tag" in error && error._tag === "StalePlan"
    ? (error as StalePlan).now
    : undefined

/** Shows a failure, and gives its exit code. */
const report = Effect.fnUntraced(function*(cause: Cause.Cause<unknown>, settings: SettingsShape) {
  const screen = yield* Screen
  const error = Cause.squash(cause)
  if (isSilent(error)) return 0
  const { exitCodeFor, failureJson, failureText } = yield* Effect.promise(() => import("./FailureText.ts"))
  const isUnexpected = !Cause.hasFails(cause)
  const text = isUnexpected ? `unexpected error: ${failureText(error)}` : failureText(error)
  // A wrong command line is no result, so it is text on stderr only.
  if (settings.format === "json" && !(error instanceof UsageError)) {
    yield* Effect.ignore(screen.out(JSON.stringify(failureJson(error), undefined, 2)))
  }
  if (settings.format !== "json" || !settings.isQuiet) {
    yield* screen.err(`${colored("error:", "red", settings.color && screen.errHasColor)} ${text}\n`)
  }
  const now = newPlanOf(error)
  if (now !== undefined) {
    const { planText } = yield* Effect.promise(() => import("./Plans.ts"))
    yield* screen.err(`${planText(now, settings.color && screen.errHasColor)}\n`)
  }
  return exitCodeFor(error)
})

export const runBody = (
  body: Effect.Effect<number, unknown, CommandContext>,
  settings: SettingsShape
): Effect.Effect<void, never, Screen | Backends | ExitStatus> =>
  Effect.gen(function*() {
    const status = yield* ExitStatus
    const screen = yield* Screen
    status.code = yield* Effect.scoped(body).pipe(
      Effect.provideService(Settings, settings),
      Effect.onInterrupt(() =>
        settings.format === "json"
          ? Effect.ignore(
            screen.out(JSON.stringify({ error: { tag: "Interrupted", message: "interrupted" } }, undefined, 2))
          )
          : Effect.void
      ),
      Effect.catchCause((cause) => Cause.hasInterruptsOnly(cause) ? Effect.interrupt : report(cause, settings))
    )
  })
