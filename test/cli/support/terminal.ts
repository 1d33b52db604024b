/** A real terminal for a program: a window of tmux, of which a test sees what a person would. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { execFileSync, spawnSync } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { eventually } from "./bin.ts"

export const hasTmux = spawnSync("tmux", ["-V"]).status === 0

interface TerminalOptions {
  readonly command: string
  readonly columns?: number
  readonly rows?: number
  readonly env?: Readonly<Record<string, string>>
}

export interface Terminal {
  /** The lines on the screen, without blanks at their ends. */
  readonly lines: () => ReadonlyArray<string>
  /** The screen with its colors. */
  readonly colored: () => string
  readonly waitFor: (pattern: RegExp) => Effect.Effect<void>
  /** Keys as tmux names them: `C-c`, `Enter`, or text. */
  readonly press: (...keys: ReadonlyArray<string>) => Effect.Effect<void>
  readonly resize: (columns: number, rows: number) => Effect.Effect<void>
  /** Whether the cursor is shown. */
  readonly hasCursor: () => boolean
  /** The exit code of the command, once it has ended. */
  readonly exitCode: Effect.Effect<number>
}

/** Opens a window that runs a shell command, and stays after it. It is closed with the scope. */
export const openTerminal = Effect.fnUntraced(function*(
  options: TerminalOptions
): Effect.fn.Return<Terminal, never, Scope.Scope> {
  const { columns = 80, env = {}, rows = 24 } = options
  const folder = yield* Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "terminal-"))),
    (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
  )
  const tmux = (...args: ReadonlyArray<string>): string =>
    execFileSync("tmux", ["-S", join(folder, "tmux"), "-f", "/dev/null", ...args], {
      encoding: "utf8",
      env: { PATH: process.env["PATH"], HOME: folder, LANG: "C.UTF-8", TERM: "xterm-256color" }
    })
  const variables = Object.entries(env).map(([name, value]) => `${name}='${value}'`).join(" ")
  yield* Effect.acquireRelease(
    Effect.sync(() =>
      tmux(
        "-u",
        "new-session",
        "-d",
        "-x",
        String(columns),
        "-y",
        String(rows),
        // The shell must not end by the signal that ends the command.
        `trap : INT; ${variables} ${options.command}; echo "exit=$?"; exec sleep 600`
      )
    ),
    () =>
      Effect.sync(() => {
        try {
          tmux("kill-server")
        } catch {
          // It has ended already.
        }
      })
  )
  const lines = () => tmux("capture-pane", "-p", "-J").trimEnd().split("\n").map((line) => line.trimEnd())
  const waitFor = (pattern: RegExp) =>
    Effect.suspend(() => eventually(`${pattern} on the screen`, () => pattern.test(lines().join("\n"))))
  return {
    lines,
    colored: () => tmux("capture-pane", "-p", "-e"),
    waitFor,
    press: (...keys) => Effect.sync(() => void tmux("send-keys", ...keys)),
    resize: (width, height) => Effect.sync(() => void tmux("resize-window", "-x", String(width), "-y", String(height))),
    hasCursor: () => tmux("display-message", "-p", "#{cursor_flag}").trim() === "1",
    exitCode: Effect.map(waitFor(/exit=\d+/), () => Number(/exit=(\d+)/.exec(lines().join("\n"))?.[1]))
  }
})
