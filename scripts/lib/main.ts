/**
 * Runs a script's effect as the process, by `runScript`: a signal interrupts it and its finalizers run. The effect gives
 * the exit code. A failure is one plain line; a defect shows its stack.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import { runScript } from "../../src/Script.ts"

/** A failure whose message is all that the user needs. */
export interface Plain {
  readonly message: string
}

export const main = <E extends Plain>(effect: Effect.Effect<number, E>): void => {
  // A closed terminal sends SIGHUP, which would end the process without clean-up.
  process.on("SIGHUP", () => process.kill(process.pid, "SIGTERM"))
  // Output into a closed pipe must not stop the clean-up either.
  for (const stream of [process.stdout, process.stderr]) stream.on("error", () => {})

  runScript(effect.pipe(
    Effect.map((code) => {
      process.exitCode = code
    }),
    Effect.tapCause((cause) => Effect.sync(() => Cause.hasDies(cause) && console.error(Cause.pretty(cause))))
  ))
}
