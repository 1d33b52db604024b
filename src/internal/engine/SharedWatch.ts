/**
 * One subscription and one list for any number of watchers.
 *
 * The first watcher opens the subscription, the last one closes it. Each event makes the list stale; it is read once for a
 * burst of events, and once for watchers that come at the same time. A cut leads to a new subscription, paced by
 * `Policy.poll`, and to a new list: events in between are lost, the state is not.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as RcRef from "effect/RcRef"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Metrics from "../../Metrics.ts"
import type { ClusterName, ClusterStatus } from "../../Model.ts"
import type { Policy } from "../../Policy.ts"
import { ClusterNotFound } from "../../ProviderError.ts"
import { BackendError } from "../../Reason.ts"
import type { CallFailure, Change } from "../../Resource.ts"
import { count } from "../Meter.ts"
import { CurrentMethod } from "../Method.ts"
import { CurrentUrgency } from "../Urgency.ts"
import { PolicyInForce } from "./Engine.ts"
import { guarded } from "./Guard.ts"
import { pacing } from "./Undo.ts"

type Statuses = ReadonlyArray<ClusterStatus>

/** One watcher's place: at most one list waits for it, however slow it is. */
interface Watcher {
  /** The cluster that it watches; all where it is undefined. */
  readonly cluster: ClusterName | undefined
  readonly queue: Queue.Queue<Statuses, CallFailure>
  /** It waits for a list. */
  isWaiting: boolean
  /** The number of the changes that its last list includes. */
  seen: number
}

interface Hub {
  /** Adds a watcher; returns its next list. The first one was read after this. */
  readonly join: (
    cluster: ClusterName | undefined
  ) => Effect.Effect<Effect.Effect<Statuses, CallFailure>, never, Scope.Scope>
}

/** How long the first list waits for the subscription to open. It is read without it where that takes longer. */
const opensWithin = Duration.millis(250)

/** A subscription that lived this long was a good one, so the pace of reconnecting starts again. */
const goodLifeMillis = 1000

const isAway = (error: CallFailure): boolean => error._tag === "ProviderUnavailable" || error.isRetryable

/**
 * Subscribes, and again after each cut. Returns the error that ends it: the first subscription could not be opened, the
 * backend refuses, or it has been away for `Policy.idleTimeout`.
 */
const listen = (
  changes: Stream.Stream<Change | void, CallFailure>,
  policy: Policy,
  onChange: (change: Change | void) => Effect.Effect<void>
): Effect.Effect<CallFailure> =>
  Effect.gen(function*() {
    let isOpened = false
    let lastSeen = yield* Clock.currentTimeMillis
    let pace = yield* pacing(policy)
    while (true) {
      const began = yield* Clock.currentTimeMillis
      const end = yield* Effect.result(guarded("changes", () =>
        Stream.runForEach(changes, (change) => {
          isOpened = true
          return Effect.andThen(onChange(change), Effect.map(Clock.currentTimeMillis, (now) => void (lastSeen = now)))
        })))
      const now = yield* Clock.currentTimeMillis
      if (end._tag === "Failure") {
        if (!isAway(end.failure)) return end.failure
        // The first opening is retried like a read, unless there is no connection.
        const isLate = now - lastSeen > Duration.toMillis(policy.readTimeout)
        if (!isOpened && (end.failure._tag === "ProviderUnavailable" || isLate)) return end.failure
        if (lastSeen < began && now - lastSeen > Duration.toMillis(policy.idleTimeout)) return end.failure
      }
      // It was open until now.
      if (lastSeen >= began) lastSeen = now
      if (now - began > goodLifeMillis) pace = yield* pacing(policy)
      yield* Effect.logDebug("the subscription of a watch was cut; opening it again")
      yield* count(Metrics.watchReconnects, yield* CurrentMethod)
      const delay = yield* pace
      yield* Effect.sleep(Option.getOrElse(delay, () => Duration.seconds(1)))
    }
  })

/** Makes the list stale again and again, at the pace of the policy. */
const poll = (policy: Policy, onTick: Effect.Effect<void>): Effect.Effect<never> =>
  Effect.flatMap(pacing(policy), (pace) =>
    Effect.forever(
      Effect.andThen(
        Effect.flatMap(pace, (delay) => Effect.sleep(Option.getOrElse(delay, () => Duration.seconds(2)))),
        onTick
      )
    ))

const makeHub = (options: {
  readonly changes: Stream.Stream<Change | void, CallFailure> | undefined
  readonly list: Effect.Effect<Statuses, CallFailure>
  readonly policy: Policy
}): Effect.Effect<Hub, never, Scope.Scope> =>
  Effect.gen(function*() {
    const { list, policy } = options
    const watchers = new Set<Watcher>()
    const wake = yield* Queue.sliding<void>(1)
    const opened = Latch.makeUnsafe(options.changes === undefined)
    let changes = 0
    let failure: CallFailure | undefined
    let isOpen = false
    let isListing = false
    let hasListed = false
    const isWatched = (cluster: string | undefined): boolean =>
      cluster === undefined || [...watchers].some((watcher) => (watcher.cluster ?? cluster) === cluster)
    const onChange = (change: Change | void) =>
      Effect.suspend(() => {
        const cluster = change?.cluster
        // The list that waits for the subscription sees what it has to say at first.
        if (!isOpen && !isListing) {
          isOpen = true
          opened.openUnsafe()
          return Effect.void
        }
        if (!isWatched(cluster)) return Effect.void
        changes++
        return Effect.asVoid(Queue.offer(wake, undefined))
      })
    const fail = (some: Iterable<Watcher>, error: CallFailure) =>
      Effect.forEach([...some], (watcher) => {
        watchers.delete(watcher)
        return Queue.fail(watcher.queue, error)
      }, { discard: true })

    // A watch that has seen something outlives an outage.
    const read = Effect.suspend(() =>
      hasListed
        ? Effect.retry(list, { schedule: policy.poll, while: (error) => error._tag === "ProviderUnavailable" }).pipe(
          Effect.timeoutOrElse({ duration: policy.idleTimeout, orElse: () => list })
        )
        : list
    )
    const lists = Effect.gen(function*() {
      yield* Queue.take(wake)
      yield* Effect.timeoutOption(opened.await, opensWithin)
      while (true) {
        // A list is read only where somebody waits for it and something may have changed since the last one.
        if ([...watchers].some(({ isWaiting, seen }) => isWaiting && seen < changes)) {
          const joined = [...watchers]
          const now = changes
          hasListed = joined.some(({ seen }) => seen >= 0)
          isListing = true
          const statuses = yield* Effect.result(read)
          if (statuses._tag === "Failure") {
            yield* fail(joined, statuses.failure)
          } else {
            // A watcher that joined during the list gets the next one.
            for (const watcher of joined) {
              watcher.seen = now
              watcher.isWaiting = false
              Queue.offerUnsafe(watcher.queue, statuses.success)
            }
          }
        } else {
          yield* Queue.take(wake)
        }
      }
    })
    yield* Effect.forkScoped(lists)
    yield* Effect.forkScoped(
      options.changes === undefined
        ? poll(policy, onChange({}))
        : Effect.flatMap(listen(options.changes, policy, onChange), (error) => {
          failure = error
          return fail(watchers, error)
        })
    )
    return {
      join: (cluster) =>
        Effect.acquireRelease(
          Effect.gen(function*() {
            const watcher: Watcher = {
              cluster,
              queue: yield* Queue.sliding<Statuses, CallFailure>(1),
              isWaiting: false,
              seen: -1
            }
            if (failure === undefined) watchers.add(watcher)
            else yield* Queue.fail(watcher.queue, failure)
            return watcher
          }),
          (watcher) => Effect.sync(() => void watchers.delete(watcher))
        ).pipe(Effect.map((watcher) =>
          Effect.suspend(() => {
            if (Queue.sizeUnsafe(watcher.queue) === 0) watcher.isWaiting = true
            Queue.offerUnsafe(wake, undefined)
            return Queue.take(watcher.queue)
          })
        ))
    }
  })

export interface SharedWatch {
  readonly all: Stream.Stream<Statuses, CallFailure>
  readonly one: (cluster: ClusterName) => Stream.Stream<ClusterStatus, ClusterNotFound | CallFailure>
}

/** The error of the shared list as one of the watcher's own method. */
const asOwn = (error: CallFailure): Effect.Effect<never, CallFailure> =>
  Effect.flatMap(CurrentMethod, ({ clusterName, operation }) =>
    Effect.fail(
      error._tag === "BackendError"
        ? new BackendError({ ...error, operation, ...(clusterName === undefined ? {} : { clusterName }) })
        : error
    ))

// Every list builds new statuses, so the hashes that `Equal` keeps would never be used again.
const isSame = (a: ClusterStatus, b: ClusterStatus | undefined): boolean => JSON.stringify(a) === JSON.stringify(b)

export const makeSharedWatch = Effect.fnUntraced(function*(options: {
  readonly backend: string
  readonly changes: Stream.Stream<Change | void, CallFailure> | undefined
  readonly list: Effect.Effect<Statuses, CallFailure>
  readonly policy: Effect.Effect<Policy>
}): Effect.fn.Return<SharedWatch, never, Scope.Scope> {
  const hub = yield* RcRef.make({
    acquire: Effect.flatMap(
      options.policy,
      (policy) => Effect.provideService(makeHub({ ...options, policy }), PolicyInForce, policy)
    ).pipe(Effect.provideService(CurrentUrgency, "watch"))
  })
  const watcher = (cluster: ClusterName | undefined) =>
    Effect.map(
      Effect.flatMap(RcRef.get(hub), ({ join }) => join(cluster)),
      (next) => Effect.catch(next, asOwn)
    )

  const all: SharedWatch["all"] = Stream.unwrap(
    Effect.map(
      watcher(undefined),
      (next) => Stream.fromPull(Effect.succeed(Effect.map(next, (statuses) => [statuses] as const)))
    )
  ).pipe(
    Stream.changesWith((a, b) => a.length === b.length && a.every((status, index) => isSame(status, b[index])))
  )
  const one: SharedWatch["one"] = (cluster) =>
    Stream.unwrap(Effect.map(watcher(cluster), (list) => {
      let isKnown = false
      const next: Effect.Effect<ClusterStatus, ClusterNotFound | CallFailure | Cause.Done> = Effect.gen(function*() {
        const statuses = yield* list
        const status = statuses.find(({ clusterName }) => clusterName === cluster)
        if (status !== undefined) {
          isKnown = true
          return status
        }
        return yield* isKnown
          ? Cause.done()
          : Effect.fail(
            new ClusterNotFound({
              provider: options.backend,
              clusterName: cluster,
              ...(statuses.length === 0 ? {} : { known: statuses.map(({ clusterName }) => clusterName) })
            })
          )
      })
      return Stream.fromPull(Effect.succeed(Effect.map(next, (status) => [status] as const)))
    })).pipe(Stream.changesWith(isSame))
  return { all, one }
})
