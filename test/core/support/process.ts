/** Runs a case of `script.ts` as a process, and sends it signals. */
import * as Effect from "effect/Effect"
import { spawn } from "node:child_process"
import { fileURLToPath } from "node:url"

const script = fileURLToPath(new URL("./script.ts", import.meta.url))

export interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export const runScriptCase = (
  args: ReadonlyArray<string>,
  options: {
    readonly env?: Readonly<Record<string, string>>
    /** Checked every 5 ms with the output so far; the first signal is sent when it is true. */
    readonly signalWhen?: (stdout: string) => Effect.Effect<boolean>
    readonly signals?: ReadonlyArray<NodeJS.Signals>
    /** Between two signals; 300 where it is not given, as long as a person takes. */
    readonly pauseMillis?: number
  } = {}
): Effect.Effect<Ended> =>
  Effect.callback((resume) => {
    const child = spawn(process.execPath, [script, ...args], {
      env: { PATH: process.env["PATH"], ...options.env },
      stdio: ["ignore", "pipe", "pipe"]
    })
    let [stdout, stderr] = ["", ""]
    child.stdout.setEncoding("utf8").on("data", (chunk: string) => (stdout += chunk))
    child.stderr.setEncoding("utf8").on("data", (chunk: string) => (stderr += chunk))
    const { pauseMillis = 300, signals = [], signalWhen = () => Effect.succeed(false) } = options
    const poll = setInterval(() =>
      void Effect.runPromise(signalWhen(stdout)).then((isTime) => {
        if (!isTime) return
        clearInterval(poll)
        signals.forEach((signal, index) => setTimeout(() => child.kill(signal), index * pauseMillis))
      }), 5)
    child.on("close", (code) => {
      clearInterval(poll)
      resume(Effect.succeed({ code, stdout, stderr }))
    })
    return Effect.sync(() => {
      clearInterval(poll)
      child.kill("SIGKILL")
    })
  })
