/**
 * The command as a process: Ctrl-C cleans up, a second one ends at once, and the exit code is set.
 */
import * as Effect from "effect/Effect"
import { runScript } from "../Script.ts"
import { backends } from "./Backends.ts"
import { run } from "./run.ts"
import { nodeScreen } from "./Screen.ts"

/** Ends the process when its output is written. Connections that are kept open would hold it. */
const end = (code: number) =>
  Effect.callback<never>(() => {
    process.stdout.write("", () => process.stderr.write("", () => process.exit(code)))
  })

export const start = (version: string): void => {
  const screen = nodeScreen()
  // A closed terminal sends SIGHUP, which would end the process without any clean-up.
  process.on("SIGHUP", () => process.kill(process.pid, "SIGTERM"))
  runScript(Effect.flatMap(run({ args: process.argv.slice(2), version, screen, backends }), end))
}
