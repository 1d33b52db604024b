/**
 * Watching a cluster by the engine's events: no polling, one list for each burst of events.
 *
 * The event stream is opened before the first list, so that no change falls between. A cut, by the engine, a proxy or an
 * idle deadline, leads to a new stream, paced by `Policy.poll`, and to a new list: events in between may be lost, the
 * state is not. Source: Docker Engine API reference, `SystemEvents`.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import * as Option from "effect/Option"
import * as Pull from "effect/Pull"
import * as Queue from "effect/Queue"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import type { ClusterName, ClusterStatus } from "../Model.ts"
import type { Policy } from "../Policy.ts"
import { ClusterNotFound } from "../ProviderError.ts"
import type { Client } from "./Client.ts"
import { eventsOf } from "./Members.ts"
import type { Scheme } from "./Scheme.ts"
import type { CallFailure } from "./Transport.ts"
import type { Event } from "./Wire.ts"

/** Actions that say nothing of a container's state; healthchecks would otherwise cause a list every few seconds. */
const silent =
  /^(?:exec(?:_|$)|health_status|top$|resize$|attach$|detach$|archive-path|extract-to-dir|copy$|export$|commit$)/

export const watchCluster = (options: {
  readonly client: Client
  readonly schemes: ReadonlyArray<Scheme>
  readonly policy: Effect.Effect<Policy>
  readonly status: (cluster: ClusterName) => Effect.Effect<Option.Option<ClusterStatus>, CallFailure>
}) =>
(cluster: ClusterName): Stream.Stream<ClusterStatus, ClusterNotFound | CallFailure> => {
  const { client, schemes, status } = options

  return Stream.unwrap(Effect.gen(function*() {
    const policy = yield* options.policy
    // Holds at most one note, that something may have changed; more notes would only lead to the same list.
    const changes = yield* Queue.sliding<"Changed" | CallFailure>(1)

    let opened = false
    const { concerns, filter } = eventsOf(schemes, cluster)
    const cutAt = listen(
      client.events(filter),
      policy,
      (event) => {
        if (event === "Opened") opened = true
        return typeof event === "string" || !silent.test(event.Action ?? "") && concerns(event)
          ? Queue.offer(changes, "Changed")
          : Effect.void
      }
    )
    yield* Effect.forkScoped(Effect.flatMap(cutAt, (error) => Queue.offer(changes, error)))
    // An engine may send the headers of a quiet stream late; the present status does not wait for them.
    yield* Effect.forkScoped(Effect.delay(
      Effect.suspend(() => opened ? Effect.void : Queue.offer(changes, "Changed")),
      openingMillis
    ))

    const read = Effect.retry(status(cluster), {
      schedule: policy.poll,
      while: (error) => error._tag === "ProviderUnavailable"
    }).pipe(Effect.timeoutOrElse({ duration: policy.idleTimeout, orElse: () => status(cluster) }))

    let last: ClusterStatus | undefined
    const next: Effect.Effect<ClusterStatus, ClusterNotFound | CallFailure | Cause.Done> = Effect.gen(function*() {
      const note = yield* Queue.take(changes)
      if (note !== "Changed") return yield* Effect.fail(note)
      const found = yield* last === undefined ? status(cluster) : read
      if (Option.isNone(found)) {
        return last === undefined
          ? yield* new ClusterNotFound({ provider: "docker", clusterName: cluster })
          : yield* Cause.done()
      }
      if (last !== undefined && Equal.equals(found.value, last)) return yield* next
      last = found.value
      return last
    })
    return Stream.fromPull(Effect.succeed(Effect.map(next, (value) => [value] as const)))
  }))
}

/** How long the first list waits for the event stream, which usually opens at once. */
const openingMillis = 1000

/** A stream that lived this long was a good one: the pace of reconnecting starts again. */
const goodLifeMillis = 1000

/**
 * Listens, and listens again after each cut. Returns the error that ends it: the engine could not be reached at first,
 * it refuses, or it has been away for `Policy.idleTimeout`.
 */
const listen = Effect.fnUntraced(function*(
  events: Stream.Stream<Event | "Opened" | "Undecodable", CallFailure>,
  policy: Policy,
  onEvent: (event: Event | "Opened" | "Undecodable") => Effect.Effect<unknown>
): Effect.fn.Return<CallFailure> {
  let everOpened = false
  let lastSeen = yield* Clock.currentTimeMillis
  let pace = yield* Schedule.toStep(policy.poll)
  while (true) {
    const began = yield* Clock.currentTimeMillis
    const error = yield* events.pipe(
      Stream.runForEach((event) => {
        if (event === "Opened") everOpened = true
        return Effect.andThen(onEvent(event), Effect.map(Clock.currentTimeMillis, (now) => lastSeen = now))
      }),
      // `events` never ends by itself.
      Effect.andThen(Effect.never),
      Effect.flip
    )
    const now = yield* Clock.currentTimeMillis
    const retryable = error._tag === "ProviderUnavailable" || error.isRetryable
    if (!retryable || !everOpened && error._tag === "ProviderUnavailable") return error
    // The first opening is retried like a read.
    if (!everOpened && now - lastSeen > Duration.toMillis(policy.readTimeout)) return error
    if (lastSeen >= began) {
      // It was open, so the engine was there until now.
      lastSeen = now
    } else if (now - lastSeen > Duration.toMillis(policy.idleTimeout)) {
      return error
    }
    if (now - began > goodLifeMillis) pace = yield* Schedule.toStep(policy.poll)
    yield* Effect.logDebug("the event stream was cut; opening a new one", error.message)
    const delay = yield* pace(now, undefined).pipe(
      Effect.map(([, delay]) => Option.some(delay)),
      Pull.catchDone(() => Effect.succeedNone)
    )
    if (Option.isNone(delay)) return error
    yield* Effect.sleep(delay.value)
  }
})
