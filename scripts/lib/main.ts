/**
 * Runs a script's effect as the process: SIGINT, SIGTERM and SIGHUP interrupt
 * it, its finalizers run, and the exit code says how it ended. An expected
 * failure is one plain line; only a defect shows a stack.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Runtime from "effect/Runtime"

/** A failure whose message is all that the user needs. */
export interface Plain {
  readonly message: string
}

export const main = <E extends Plain>(effect: Effect.Effect<number, E>): void => {
  // A closed terminal sends SIGHUP, which would end the process with no clean-up.
  process.on("SIGHUP", () => process.kill(process.pid, "SIGTERM"))
  // Output into a closed pipe must not stop the clean-up either.
  for (const stream of [process.stdout, process.stderr]) stream.on("error", () => {})

  const reported = Effect.catchCause(effect, (cause) => {
    if (Cause.hasInterruptsOnly(cause)) return Effect.interrupt
    const error = Cause.squash(cause)
    const text = Cause.hasDies(cause) ? Cause.pretty(cause) : (error as Plain).message
    return Effect.sync(() => {
      process.stderr.write(`${text}\n`)
      return 1
    })
  })

  NodeRuntime.runMain(reported, {
    disableErrorReporting: true,
    teardown: (exit, onExit) =>
      exit._tag === "Success" ? onExit(exit.value as number) : Runtime.defaultTeardown(exit, onExit)
  })
}
