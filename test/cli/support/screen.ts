/** A screen that keeps what was written to it. */
import * as Effect from "effect/Effect"
import { OutputClosed, type ScreenService } from "../../../src/cli/Screen.ts"

interface ScreenOptions {
  /** Whether stdin, stdout and stderr are a terminal. */
  readonly isTerminal?: boolean
  readonly columns?: number
  readonly rows?: number
  /** The lines that a person types, in turn; then the input ends. */
  readonly answers?: ReadonlyArray<string>
  readonly input?: string
  /** stdout is closed after so many writes. */
  readonly closesAfter?: number
}

export interface TestScreen extends ScreenService {
  readonly stdout: () => string
  readonly stderr: () => string
}

const text = (bytes: string | Uint8Array): string => typeof bytes === "string" ? bytes : Buffer.from(bytes).toString()

export const makeScreen = (options: ScreenOptions = {}): TestScreen => {
  const { answers = [], closesAfter = Number.POSITIVE_INFINITY, columns = 200, isTerminal = false, rows = 24 } = options
  let out = ""
  let err = ""
  let writes = 0
  let asked = 0
  const write = (bytes: string | Uint8Array) =>
    Effect.suspend(() => {
      if (writes++ >= closesAfter) return Effect.fail(new OutputClosed())
      out += text(bytes)
      return Effect.void
    })
  const error = (bytes: string | Uint8Array) =>
    Effect.sync(() => {
      err += text(bytes)
    })
  return {
    out: (line) => write(`${line}\n`),
    outBytes: write,
    err: error,
    errBytes: error,
    isLive: isTerminal,
    outIsLive: isTerminal,
    outHasColor: false,
    errHasColor: false,
    canAsk: isTerminal,
    size: () => ({ columns, rows }),
    onResize: () => () => {},
    ask: (question) => Effect.andThen(error(question), Effect.sync(() => answers[asked++])),
    readInput: Effect.succeed(options.input ?? ""),
    stdout: () => out,
    stderr: () => err
  }
}
