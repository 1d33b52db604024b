/**
 * The session of this process. It marks everything that the process creates, so that a sweep finds the leftovers of an
 * exited process and keeps everything of a running one.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import { readlinkSync } from "node:fs"
import { hostname } from "node:os"

/** The host of the process, its id, its start in seconds since the epoch, and a random word; joined by `/`. */
export interface Session {
  /** Host name and, on Linux, the process-id namespace: an id means something only within it. */
  readonly place: string
  readonly pid: number
  readonly startedAt: number
  readonly nonce: string
}

/**
 * Whether a new thing is deleted when a scope of this process closes. It is then an orphan once the process has exited.
 */
export const BoundToProcess = Context.Reference<boolean>("kubelayer/internal/BoundToProcess", {
  defaultValue: () => false
})

const alphabet = "abcdefghijklmnopqrstuvwxyz0123456789"

/** A random word of lower-case letters and digits, as labels and names everywhere take it. */
export const randomWord = (length: number): string =>
  Array.from(
    globalThis.crypto.getRandomValues(new Uint8Array(length)),
    (byte) => alphabet.charAt(byte % alphabet.length)
  ).join("")

// It is read without waiting, so that a simulated clock cannot run ahead of it.
const placeOfThisProcess = (): string => {
  try {
    return `${hostname()}:${readlinkSync("/proc/self/ns/pid").replace(/\D/g, "")}`
  } catch {
    return hostname()
  }
}

const startOfThisProcess = (): number => Math.round(performance.timeOrigin / 1000)

let current: string | undefined

/** The session of this process, created when it is first needed. */
export const currentSession = (): string =>
  current ??= `${placeOfThisProcess()}/${process.pid}/${startOfThisProcess()}/${randomWord(8)}`

/** Reads a session back from a label; undefined where it is not one. */
export const parseSession = (text: string): Session | undefined => {
  const [place, pid, startedAt, nonce, ...rest] = text.split("/")
  if (place === undefined || nonce === undefined || rest.length > 0) return undefined
  if (!/^\d+$/.test(pid ?? "") || !/^\d+$/.test(startedAt ?? "")) return undefined
  return { place, pid: Number(pid), startedAt: Number(startedAt), nonce }
}

/** How far two readings of one process's start may lie apart. */
const sameStartSeconds = 30

/** The start of the process with this id, in seconds since the epoch; undefined if the system does not report it. */
const startOf = async (pid: number): Promise<number | undefined> => {
  const fs = await import("node:fs/promises")
  try {
    const [stat, system] = await Promise.all([
      fs.readFile(`/proc/${pid}/stat`, "utf8"),
      fs.readFile("/proc/stat", "utf8")
    ])
    const booted = Number(/^btime (\d+)$/m.exec(system)?.[1])
    // The name in parentheses may contain anything; the fields after it are counted from its end.
    const ticks = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19])
    const start = booted + ticks / 100
    return Number.isFinite(start) ? start : undefined
  } catch {
    return undefined
  }
}

const exists = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== "ESRCH"
  }
}

/** Whether the process of a session is provably gone. Of another place nothing can be proven. */
const isDead = async (session: Session): Promise<boolean> => {
  if (session.place !== placeOfThisProcess()) return false
  if (!exists(session.pid)) return true
  const start = await startOf(session.pid)
  // The id was given to another process since.
  return start !== undefined && Math.abs(start - session.startedAt) > sameStartSeconds
}

/** The source of random words and sessions. */
export interface SessionSourceService {
  readonly randomWord: (length: number) => string
  /** The session of this process, as a label has it. */
  readonly session: Effect.Effect<string>
  /** Returns whether the process of a session has provably exited. */
  readonly hasExited: (session: Session) => Effect.Effect<boolean>
}

/** The crypto module and the operating system by default. A simulation provides a seeded source. */
export const SessionSource = Context.Reference<SessionSourceService>("kubelayer/internal/SessionSource", {
  defaultValue: () => ({
    randomWord,
    session: Effect.sync(currentSession),
    hasExited: (session) => Effect.promise(() => isDead(session))
  })
})

/** Returns whether the process of a session has provably exited. */
export const ownerProcessExited = (session: Session): Effect.Effect<boolean> =>
  SessionSource.use(({ hasExited }) => hasExited(session))
