/**
 * Child processes for the scripts.
 *
 * Each child leads its own process group: a Ctrl-C in the terminal reaches only
 * the script, which then stops its children in its own order, with all that
 * they started. Nothing here decides whether an exit code is a failure, except
 * `runOrFail`.
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import { type ChildProcess, spawn } from "node:child_process"

export interface Finished {
  readonly command: string
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
  /** Both streams, in the order they arrived. */
  readonly output: string
}

export interface RunOptions {
  readonly cwd?: string
  /** Added to the script's own environment; undefined removes a name. */
  readonly env?: Readonly<Record<string, string | undefined>>
  /** How long a child may take to clean up after SIGTERM before it is killed. */
  readonly graceMillis?: number
  readonly onOutput?: (text: string) => void
}

export class CommandNotStarted extends Data.TaggedError("CommandNotStarted")<{
  readonly command: string
  readonly cause: Error
}> {
  override get message(): string {
    return `${this.command} could not be started: ${this.cause.message}`
  }
}

export class CommandFailed extends Data.TaggedError("CommandFailed")<{ readonly finished: Finished }> {
  override get message(): string {
    const { code, command, output, signal } = this.finished
    const how = signal === null ? `exited with ${code}` : `was ended by ${signal}`
    return `${command} ${how}${output.trim() === "" ? "" : `:\n${output.trim()}`}`
  }
}

const signalGroup = (child: ChildProcess, signal: NodeJS.Signals): void => {
  if (child.pid === undefined) return
  try {
    process.kill(-child.pid, signal)
  } catch {
    // The group is gone already.
  }
}

/** A process that outlives its parent can hold the pipes open: do not wait for it longer than this. */
const PIPE_GRACE_MILLIS = 2000

export const run = (
  command: string,
  args: ReadonlyArray<string>,
  options: RunOptions = {}
): Effect.Effect<Finished, CommandNotStarted> =>
  Effect.callback<Finished, CommandNotStarted>((resume) => {
    const child = spawn(command, args, {
      cwd: options.cwd,
      env: { ...process.env, ...options.env },
      stdio: ["ignore", "pipe", "pipe"],
      detached: true
    })
    let stdout = ""
    let stderr = ""
    let output = ""
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      stdout += text
      output += text
      options.onOutput?.(text)
    })
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      stderr += text
      output += text
      options.onOutput?.(text)
    })

    const closed = new Promise<void>((resolve) => {
      child.on("error", (cause) => {
        resolve()
        resume(Effect.fail(new CommandNotStarted({ command, cause })))
      })
      child.on("exit", (code, signal) => {
        const finish = () => {
          clearTimeout(timer)
          signalGroup(child, "SIGKILL")
          resolve()
          resume(Effect.succeed({ command: [command, ...args].join(" "), code, signal, stdout, stderr, output }))
        }
        const timer = setTimeout(finish, PIPE_GRACE_MILLIS)
        child.on("close", finish)
      })
    })

    return Effect.promise(async () => {
      signalGroup(child, "SIGTERM")
      const timer = setTimeout(() => signalGroup(child, "SIGKILL"), options.graceMillis ?? 5000)
      await closed
      clearTimeout(timer)
    })
  })

export const runOrFail = (
  command: string,
  args: ReadonlyArray<string>,
  options?: RunOptions
): Effect.Effect<Finished, CommandNotStarted | CommandFailed> =>
  Effect.flatMap(
    run(command, args, options),
    (finished) => finished.code === 0 ? Effect.succeed(finished) : Effect.fail(new CommandFailed({ finished }))
  )
