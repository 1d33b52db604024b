/**
 * The session of this process: what marks everything that it makes, so that what a process that died has left behind is
 * found again, and can be told from what a living one still uses.
 */

/** Host, process id, start of the process in seconds since the epoch, and something random; joined by `/`. */
export interface Session {
  readonly host: string
  readonly pid: number
  readonly startedAt: number
  readonly nonce: string
}

const alphabet = "abcdefghijklmnopqrstuvwxyz0123456789"

/** A random word of lower-case letters and digits, as labels and names everywhere take it. */
export const randomWord = (length: number): string =>
  Array.from(
    globalThis.crypto.getRandomValues(new Uint8Array(length)),
    (byte) => alphabet.charAt(byte % alphabet.length)
  ).join("")

let current: string | undefined

/** The session of this process, made when it is first needed. */
export const currentSession = async (): Promise<string> => {
  if (current === undefined) {
    const os = await import("node:os")
    const startedAt = Math.round(performance.timeOrigin / 1000)
    current ??= `${os.hostname()}/${process.pid}/${startedAt}/${randomWord(8)}`
  }
  return current
}

/** Reads a session back from a label; undefined where it is not one. */
export const parseSession = (text: string): Session | undefined => {
  const [host, pid, startedAt, nonce, ...rest] = text.split("/")
  if (host === undefined || nonce === undefined || rest.length > 0) return undefined
  if (!/^\d+$/.test(pid ?? "") || !/^\d+$/.test(startedAt ?? "")) return undefined
  return { host, pid: Number(pid), startedAt: Number(startedAt), nonce }
}
