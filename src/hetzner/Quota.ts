/**
 * The quota governor: one for each credential in this process. It reads the headers of every reply.
 *
 * It keeps a copy of the Project's bucket, and sends a request when the bucket has a token for it. The API then refuses
 * hardly any. Other clients may use the same quota, so the values of a reply win. The last tokens are for deletes;
 * watches leave more. A request that would have to wait past its deadline fails at once. Source: Hetzner Cloud API
 * reference, "Rate Limiting": a bucket that is full after an hour, refilled evenly.
 */
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import * as Semaphore from "effect/Semaphore"
import { failWith, recordQuota, recordQuotaWait } from "../internal/Method.ts"
import { CurrentUrgency, type Urgency } from "../internal/Urgency.ts"
import { type BackendError, RateLimited } from "../Reason.ts"

/** Runs something that removes things: its requests are sent before those of others. */
export const asDelete: <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R> = Effect.provideService(
  CurrentUrgency,
  "delete"
)

/** How many tokens are left to those that are more urgent. */
const reserves: { readonly [K in Urgency]: number } = { watch: 10, usual: 1, delete: 0 }

/** How many calls may be sent again at once; one comes back every second. */
const retryBudget = 60

/**
 * The known quota; undefined before the first reply.
 *
 * @category models
 * @since 0.1.0
 */
export interface Quota {
  /** How many requests the Project has in an hour. */
  readonly limit: number
  /** How many are left now, as far as this process knows. */
  readonly remaining: number
  /** When the whole quota is left again if no request is sent until then. */
  readonly resetAt: DateTime.Utc
}

export interface Governor {
  /** Waits for a token and takes it. Fails with `RateLimited` where that would be later than `latest`. */
  readonly take: (urgency: Urgency, latest: number) => Effect.Effect<void, BackendError>
  /** The quota in a reply, or the absence of a reply. */
  readonly heard: (headers: Readonly<Record<string, string | undefined>> | undefined) => Effect.Effect<void>
  /** A request was refused for the quota; gives how long to wait, each caller another time. */
  readonly refused: Effect.Effect<number>
  /** Whether a call may be sent again. */
  readonly mayRetry: Effect.Effect<boolean>
  /** The factor by which watches wait longer: 1 with a full bucket. */
  readonly stretch: Effect.Effect<number>
  readonly quota: Effect.Effect<Quota | undefined>
}

const numberIn = (text: string | undefined): number | undefined => {
  const value = text === undefined || text.trim() === "" ? Number.NaN : Number(text)
  return Number.isFinite(value) && value >= 0 ? value : undefined
}

const millisPerHour = 3_600_000

export const makeGovernor = (): Governor => {
  let limit: number | undefined
  let tokens = 0
  let at = 0
  let inFlight = 0
  let retries = retryBudget
  let retriesAt: number | undefined
  /** Requests of one urgency wait in a line, and only the first one checks the bucket. */
  const lines = {
    watch: Semaphore.makeUnsafe(1),
    usual: Semaphore.makeUnsafe(1),
    delete: Semaphore.makeUnsafe(1)
  }
  const waiting = { watch: 0, usual: 0, delete: 0 }

  const perMilli = () => Math.max(1, limit ?? 1) / millisPerHour
  const fill = (now: number) => {
    if (limit === undefined) return
    tokens = Math.min(limit, tokens + Math.max(0, now - at) * perMilli())
    at = now
  }
  const send = () => {
    tokens--
    inFlight++
  }
  /** How long until the bucket has enough for so many, and the reserve. */
  const wait = (urgency: Urgency, count: number): number =>
    limit === undefined ? 0 : Math.max(0, Math.ceil((count + reserves[urgency] - tokens) / perMilli()))

  const refuse = (millis: number) =>
    failWith(
      new RateLimited({
        detail: `the quota of the Project is spent; the next request could be sent in ${Math.ceil(millis / 1000)} s`,
        retryAfterMillis: millis
      })
    )

  return {
    take: (urgency, latest) =>
      Effect.flatMap(Clock.currentTimeMillis, (now) => {
        fill(now)
        const needed = wait(urgency, waiting[urgency] + 1)
        if (needed === 0 && waiting[urgency] === 0) return Effect.sync(send)
        if (now + needed > latest) return refuse(needed)
        waiting[urgency]++
        const turn: Effect.Effect<void> = Effect.flatMap(Clock.currentTimeMillis, (then) => {
          fill(then)
          const more = wait(urgency, 1)
          return more === 0 ? Effect.sync(send) : Effect.andThen(Effect.sleep(more), turn)
        })
        return recordQuotaWait(lines[urgency].withPermits(1)(turn)).pipe(
          Effect.ensuring(Effect.sync(() => {
            waiting[urgency]--
          }))
        )
      }),
    heard: (headers) =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        inFlight = Math.max(0, inFlight - 1)
        const told = numberIn(headers?.["ratelimit-remaining"])
        const bound = numberIn(headers?.["ratelimit-limit"])
        if (told === undefined || bound === undefined || bound === 0) return
        const isFirst = limit === undefined
        limit = bound
        if (isFirst) at = now
        fill(now)
        // The header has whole tokens, and may not count yet what is on its way.
        const least = told - inFlight
        tokens = isFirst || tokens > told + 1 ? least : Math.max(tokens, least)
      }).pipe(Effect.andThen(Effect.suspend(() => limit === undefined ? Effect.void : recordQuota(tokens)))),
    refused: Effect.gen(function*() {
      fill(yield* Clock.currentTimeMillis)
      tokens = Math.min(tokens, 0)
      return Math.ceil((1 + (yield* Random.next)) / (limit === undefined ? 0.001 : perMilli()))
    }),
    mayRetry: Effect.map(Clock.currentTimeMillis, (now) => {
      retries = Math.min(retryBudget, retries + Math.max(0, now - (retriesAt ?? now)) / 1000)
      retriesAt = now
      if (retries < 1) return false
      retries--
      return true
    }),
    stretch: Effect.map(Clock.currentTimeMillis, (now) => {
      fill(now)
      if (limit === undefined) return 1
      const share = Math.max(0, tokens) / limit
      // Half of the bucket is spent freely. With the last of it, a watch waits ten times as long.
      return share >= 0.5 ? 1 : 1 + 9 * (1 - share * 2)
    }),
    quota: Effect.map(Clock.currentTimeMillis, (now) => {
      fill(now)
      return limit === undefined
        ? undefined
        : {
          limit,
          remaining: Math.max(0, Math.floor(tokens)),
          resetAt: DateTime.makeUnsafe(Math.round(now + Math.max(0, limit - tokens) / perMilli()))
        }
    })
  }
}
