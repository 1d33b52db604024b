/**
 * The input and output of the command: results on stdout, everything else on stderr.
 *
 * Tests give their own screen. `nodeScreen` is that of the process: a closed pipe is `OutputClosed`, and a disk that is
 * full is `OutputFailed`.
 */
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"

/** The reader of stdout has gone, such as `head`. Nothing is reported. */
export class OutputClosed extends Data.TaggedError("OutputClosed")<{}> {}

/** stdout cannot be written. */
class OutputFailed extends Data.TaggedError("OutputFailed")<{ readonly detail: string }> {
  override get message(): string {
    return `cannot write to stdout: ${this.detail}`
  }
}

export type OutputFailure = OutputClosed | OutputFailed

export interface ScreenService {
  /** Writes a result, with a line end. */
  readonly out: (text: string) => Effect.Effect<void, OutputFailure>
  /** Writes bytes of a node's output as they are. */
  readonly outBytes: (bytes: string | Uint8Array) => Effect.Effect<void, OutputFailure>
  /** Writes progress, a hint or an error as it is. It never fails. */
  readonly err: (text: string) => Effect.Effect<void>
  readonly errBytes: (bytes: string | Uint8Array) => Effect.Effect<void>
  /** Whether rows can be redrawn on stderr. */
  readonly isLive: boolean
  /** Whether rows can be redrawn on stdout. */
  readonly outIsLive: boolean
  readonly outHasColor: boolean
  readonly errHasColor: boolean
  /** Whether a person can answer a question. */
  readonly canAsk: boolean
  /** Of the terminal, at this moment; 80 by 24 where there is none. */
  readonly size: () => { readonly columns: number; readonly rows: number }
  /** Calls `f` at each resize, until the returned function is called. */
  readonly onResize: (f: () => void) => () => void
  /** Writes a question to stderr, and reads a line; undefined at the end of the input. */
  readonly ask: (question: string) => Effect.Effect<string | undefined>
  /** Reads all of stdin. */
  readonly readInput: Effect.Effect<string>
}

export class Screen extends Context.Service<Screen, ScreenService>()("kubelayer/cli/Screen") {}

const isSet = (value: string | undefined): boolean => value !== undefined && value !== ""

const hasColor = (stream: NodeJS.WriteStream, env: NodeJS.ProcessEnv): boolean => {
  if (isSet(env["NO_COLOR"]) || env["TERM"] === "dumb") return false
  const forced = env["FORCE_COLOR"]
  return isSet(forced) && forced !== "0" && forced !== "false" || stream.isTTY === true
}

/** The screen of the process. */
export const nodeScreen = (): ScreenService => {
  const { stderr, stdin, stdout } = process
  // Errors arrive in the callback of each write; without a listener they would end the process.
  for (const stream of [stdout, stderr]) stream.on("error", () => {})
  const isDumb = process.env["TERM"] === "dumb"

  const write = (stream: NodeJS.WriteStream, bytes: string | Uint8Array) =>
    Effect.callback<void, OutputFailure>((resume) => {
      const done = (error?: NodeJS.ErrnoException | null) =>
        resume(
          error === undefined || error === null
            ? Effect.void
            : error.code === "EPIPE" || error.code === "ERR_STREAM_DESTROYED"
            ? Effect.fail(new OutputClosed())
            : Effect.fail(new OutputFailed({ detail: error.message }))
        )
      try {
        stream.write(bytes, done)
      } catch (error) {
        done(error as NodeJS.ErrnoException)
      }
    })
  const err = (bytes: string | Uint8Array) => Effect.ignore(write(stderr, bytes))

  return {
    out: (text) => write(stdout, `${text}\n`),
    outBytes: (bytes) => write(stdout, bytes),
    err,
    errBytes: err,
    isLive: stderr.isTTY === true && !isDumb,
    outIsLive: stdout.isTTY === true && !isDumb,
    outHasColor: hasColor(stdout, process.env),
    errHasColor: hasColor(stderr, process.env),
    canAsk: stdin.isTTY === true && stderr.isTTY === true,
    size: () => {
      const { columns, rows } = stdout.isTTY === true ? stdout : stderr
      return { columns: columns > 0 ? columns : 80, rows: rows > 0 ? rows : 24 }
    },
    onResize: (f) => {
      process.on("SIGWINCH", f)
      return () => void process.off("SIGWINCH", f)
    },
    ask: (question) =>
      Effect.andThen(
        err(question),
        Effect.callback<string | undefined>((resume) => {
          let line = ""
          const onData = (data: Buffer) => {
            line += data.toString("utf8")
            if (line.includes("\n")) finish(line.split("\n")[0]?.trim())
          }
          const onEnd = () => finish(undefined)
          const stop = () => {
            stdin.off("data", onData).off("end", onEnd)
            stdin.pause()
          }
          const finish = (answer: string | undefined) => {
            stop()
            resume(Effect.succeed(answer))
          }
          stdin.on("data", onData).on("end", onEnd)
          stdin.resume()
          return Effect.sync(stop)
        })
      ),
    readInput: Effect.promise(async () => {
      const parts: Array<Buffer> = []
      for await (const part of stdin) parts.push(part as Buffer)
      return Buffer.concat(parts).toString("utf8")
    })
  }
}
