/**
 * Durations as people write and read them: `90s`, `5m`, `1h30m`.
 */
import * as Duration from "effect/Duration"

const unitMillis = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const

/** `90s`, `1h30m`, `500ms`, `2d`; undefined for anything else, and for nothing. */
export const parseDuration = (text: string): Duration.Duration | undefined => {
  if (!/^(?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+$/.test(text)) return undefined
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d)/g)]
  const millis = parts.reduce(
    (sum, [, count, unit]) => sum + Number(count) * unitMillis[unit as keyof typeof unitMillis],
    0
  )
  return millis > 0 && Number.isFinite(millis) ? Duration.millis(Math.round(millis)) : undefined
}

/** The two largest units, as kubectl shows ages: `3d4h`, `5m`, `12s`. */
export const shortDuration = (millis: number): string => {
  const seconds = Math.max(0, Math.floor(millis / 1000))
  const minutes = Math.floor(seconds / 60)
  const hours = Math.floor(minutes / 60)
  const days = Math.floor(hours / 24)
  const pair = (large: number, largeUnit: string, small: number, smallUnit: string) =>
    `${large}${largeUnit}${small > 0 ? `${small}${smallUnit}` : ""}`
  if (days >= 10) return `${days}d`
  if (days > 0) return pair(days, "d", hours % 24, "h")
  if (hours > 0) return pair(hours, "h", minutes % 60, "m")
  if (minutes >= 10) return `${minutes}m`
  if (minutes > 0) return pair(minutes, "m", seconds % 60, "s")
  return `${seconds}s`
}

/** How long an operation took: `850 ms`, `4.2 s`, `2m10s`. */
export const elapsed = (millis: number): string =>
  millis < 1000
    ? `${Math.round(millis)} ms`
    : millis < 60_000
    ? `${(millis / 1000).toFixed(1)} s`
    : shortDuration(millis)
