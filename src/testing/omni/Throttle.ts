/**
 * The write limit of a fake Omni: bytes a second, with a burst, and the longest time that a write waits.
 *
 * A write that would wait longer is refused at once and not stored. Reads are not limited.
 * Source: `storage.rateLimits.etcd` of Omni 1.9.3 as recorded.
 */
import { code, Refusal } from "./Refusal.ts"

/** `storage.rateLimits.etcd` of a server. */
export interface WriteLimit {
  readonly bytesPerSecond: number
  readonly burstBytes: number
  readonly maxWaitMillis: number
}

/** Waits for room for a write, or refuses it. */
export type Throttle = (type: string, specBytes: number) => Promise<void>

/** The size of a resource in the store beside its spec. */
const metadataBytes = 120

export const makeThrottle = (
  limit: () => WriteLimit | undefined,
  now: () => number,
  sleep: (millis: number) => Promise<void>
): Throttle => {
  let tokens: number | undefined
  let last = 0
  return async (type, specBytes) => {
    const current = limit()
    if (current === undefined) {
      tokens = undefined
      return
    }
    const bytes = specBytes + metadataBytes
    const at = now()
    tokens = Math.min(
      current.burstBytes,
      (tokens ?? current.burstBytes) + (Math.max(0, at - last) / 1000) * current.bytesPerSecond
    )
    last = at
    const wait = Math.max(0, Math.ceil(((bytes - tokens) / current.bytesPerSecond) * 1000))
    if (bytes > current.burstBytes || wait > current.maxWaitMillis) {
      throw new Refusal(
        code.deadlineExceeded,
        `etcd write throttled out after 0.000s (class=user, type=${type}, bytes=${bytes}): rate: Wait(n=${bytes}) would exceed context deadline`
      )
    }
    tokens -= bytes
    if (wait > 0) await sleep(wait)
  }
}
