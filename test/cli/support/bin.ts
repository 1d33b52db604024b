/** The built command, and ways to run it as a process. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { type ChildProcess, spawn } from "node:child_process"
import { mkdirSync, mkdtempSync, rmSync } from "node:fs"
import { join } from "node:path"
import { bundle } from "../../../scripts/lib/bin.ts"
import { ROOT } from "../../../scripts/lib/pack.ts"

/** Bundles the command once for a test file. Packages outside of the bundle are found from its folder. */
export const buildBin = async (): Promise<{ readonly bin: string; readonly remove: () => void }> => {
  const cache = join(ROOT, "node_modules/.cache")
  mkdirSync(cache, { recursive: true })
  const folder = mkdtempSync(join(cache, "kubelayer-bin-"))
  await bundle(folder)
  return { bin: join(folder, "kubelayer.mjs"), remove: () => rmSync(folder, { recursive: true }) }
}

interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

export interface Running {
  readonly child: ChildProcess
  readonly stdout: () => string
  readonly stderr: () => string
  readonly ended: Effect.Effect<Ended>
}

interface ProcessOptions {
  readonly env?: Readonly<Record<string, string>>
  readonly input?: string
}

/** Starts a program without a terminal. Only `PATH` and what is given are in its environment. */
export const start = (
  command: string,
  args: ReadonlyArray<string>,
  options: ProcessOptions = {}
): Effect.Effect<Running, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() =>
        spawn(command, args, {
          env: { PATH: process.env["PATH"], ...options.env },
          stdio: ["pipe", "pipe", "pipe"]
        })
      ),
      (child) => Effect.sync(() => void child.kill("SIGKILL"))
    ),
    (child) => {
      let stdout = ""
      let stderr = ""
      child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text)).on("error", () => {})
      child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text))
      child.stdin.on("error", () => {}).end(options.input ?? "")
      const closed = new Promise<Ended>((resolve) =>
        child.on("close", (code, signal) => resolve({ code, signal, stdout, stderr }))
      )
      return { child, stdout: () => stdout, stderr: () => stderr, ended: Effect.promise(() => closed) }
    }
  )

export const end = (command: string, args: ReadonlyArray<string>, options: ProcessOptions = {}) =>
  Effect.scoped(Effect.flatMap(start(command, args, options), ({ ended }) => ended))

/** Waits for something that a process does. The bound is never reached where the code is right. */
export const eventually = (what: string, holds: () => boolean | Promise<boolean>): Effect.Effect<void> =>
  Effect.promise(async () => {
    for (let waited = 0; !(await holds()); waited++) {
      if (waited > 600) throw new Error(`did not happen: ${what}`)
      await new Promise((resolve) => setTimeout(resolve, 25))
    }
  })
