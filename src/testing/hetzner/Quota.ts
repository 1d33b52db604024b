/**
 * The bucket of requests of a Project, and the headers that report it.
 */

/**
 * @category models
 * @since 0.1.0
 */
export interface Quota {
  /** How many requests the full bucket has. */
  readonly limit: number
  /** How many it has now. */
  readonly remaining: number
  readonly refillPerSecond: number
}

/** @internal */
export interface Bucket {
  readonly set: (quota: Partial<Quota>) => void
  readonly get: () => Quota
  /** Takes one request out; false where there is none. */
  readonly take: () => boolean
  readonly headers: () => Readonly<Record<string, string>>
}

/** @internal */
export const makeBucket = (now: () => number, initial: Partial<Quota> = {}): Bucket => {
  let limit = initial.limit ?? 3600
  let remaining = initial.remaining ?? limit
  let refillPerSecond = initial.refillPerSecond ?? limit / 3600
  let at = now()
  const fill = () => {
    const moment = now()
    remaining = Math.min(limit, remaining + (moment - at) / 1000 * refillPerSecond)
    at = moment
  }
  return {
    set: (quota) => {
      fill()
      limit = quota.limit ?? limit
      remaining = Math.min(limit, quota.remaining ?? remaining)
      refillPerSecond = quota.refillPerSecond ?? refillPerSecond
    },
    get: () => {
      fill()
      return { limit, remaining, refillPerSecond }
    },
    take: () => {
      fill()
      if (remaining < 1) return false
      remaining--
      return true
    },
    headers: () => {
      fill()
      const full = at / 1000 + (refillPerSecond === 0 ? 3600 : (limit - remaining) / refillPerSecond)
      return {
        "RateLimit-Limit": String(limit),
        "RateLimit-Remaining": String(Math.trunc(remaining)),
        "RateLimit-Reset": String(Math.ceil(full))
      }
    }
  }
}
