/**
 * Opens a watch again after a cut: a server that stops, a proxy, a network, or a bookmark that is too old.
 *
 * Each event carries a bookmark. After a cut the watch continues from the last bookmark, at the pace of `Policy.poll`,
 * so that no change is lost or reported twice. If the server does not know the bookmark any more, all resources are
 * reported again after a `restarted` event. The first opening is retried by `Policy.retry`, as any other read, and not
 * at all if no connection can be opened.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Pull from "effect/Pull"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { failWith } from "../internal/Method.ts"
import type { Policy } from "../Policy.ts"
import { BackendError, Transport } from "../Reason.ts"
import type { CallFailure } from "./Client.ts"
import type { Event, WatchResponse } from "./proto/cosi_pb.ts"

interface Reconnecting<A> {
  readonly policy: Effect.Effect<Policy>
  /** Opens the watch from a bookmark, or with all that exists first. */
  readonly open: (bookmark: Uint8Array | undefined) => Stream.Stream<WatchResponse, CallFailure>
  /** None for an event without news. A failure cuts the watch. */
  readonly event: (event: Event) => Effect.Effect<Option.Option<A>, BackendError>
  /** Whether an error means that there is never anything to see; `empty` is reported then, once. */
  readonly isEmpty: (error: CallFailure) => boolean
  readonly empty: ReadonlyArray<A>
  /** The event before all resources are reported again. */
  readonly restarted: ReadonlyArray<A>
  /** Whether the watch continues from the last bookmark. */
  readonly keepsBookmark: boolean
}

type Messages = Pull.Pull<readonly [WatchResponse, ...Array<WatchResponse>], CallFailure>

/** After a watch that lasted this long, the pace of opening starts again. */
const goodLifeMillis = 1000

/** Whether a watch with this failure may be opened again. */
const passes = (error: CallFailure): boolean => error._tag === "ProviderUnavailable" || error.isRetryable

const isConflict = (error: CallFailure): boolean => error instanceof BackendError && error.reason._tag === "Conflict"

/** How long a schedule waits; none if it has ended. */
const delayOf = (step: Pull.Pull<readonly [unknown, Duration.Duration], never, unknown>) =>
  step.pipe(
    Effect.map(([, delay]) => Option.some(delay)),
    Pull.catchDone(() => Effect.succeedNone)
  )

const sleepOrFail = (delay: Option.Option<Duration.Duration>, error: CallFailure): Effect.Effect<void, CallFailure> =>
  Option.isNone(delay) ? Effect.fail(error) : Effect.sleep(delay.value)

export const reconnecting = <A>(options: Reconnecting<A>): Stream.Stream<A, CallFailure> =>
  Stream.unwrap(Effect.gen(function*() {
    const policy = yield* options.policy
    const outer = yield* Effect.scope

    let open: { readonly messages: Messages; readonly scope: Scope.Closeable; readonly since: number } | undefined
    let bookmark: Uint8Array | undefined
    /** Something was reported, and would be reported twice if all were reported again. */
    let reported = false
    let everOpened = false
    let silent = false
    let lastSeen = yield* Clock.currentTimeMillis
    let pace = yield* Schedule.toStep(policy.poll)
    const firstPace = yield* Schedule.toStep(policy.retry)
    const firstUntil = lastSeen + Duration.toMillis(policy.readTimeout)
    const pending: Array<A> = []

    const opening = Effect.gen(function*() {
      const scope = yield* Scope.fork(outer)
      const stream = options.open(options.keepsBookmark ? bookmark : undefined)
      const messages = yield* Scope.provide(Stream.toPull(stream), scope)
      const since = yield* Clock.currentTimeMillis
      open = { messages: messages as Messages, scope, since }
      return open
    })

    const closing = Effect.suspend(() => {
      const scope = open?.scope
      open = undefined
      return scope === undefined ? Effect.void : Scope.close(scope, Exit.void)
    })

    /** Queues the events of messages. The bookmark moves with the events, and not before. */
    const queue = (messages: ReadonlyArray<WatchResponse>) =>
      Effect.gen(function*() {
        for (const event of messages.flatMap((message) => message.event)) {
          const news = yield* options.event(event)
          if (Option.isSome(news)) {
            pending.push(news.value)
            reported = true
          }
          if (event.bookmark !== undefined && event.bookmark.length > 0) bookmark = event.bookmark
        }
      })

    /** Waits until the watch may be opened again, or fails with what ended it. */
    const afterCut = Effect.fnUntraced(function*(error: CallFailure, since: number) {
      const now = yield* Clock.currentTimeMillis
      if (!passes(error)) return yield* Effect.fail(error)
      if (!everOpened) {
        const again = error instanceof BackendError ? yield* delayOf(firstPace(now, error)) : Option.none()
        return yield* sleepOrFail(
          Option.filter(again, (delay) => now + Duration.toMillis(delay) <= firstUntil),
          error
        )
      }
      if (isConflict(error) || (bookmark === undefined && options.keepsBookmark)) {
        // The server does not know the bookmark any more, or none has come yet.
        bookmark = undefined
        if (reported) pending.push(...options.restarted)
        reported = false
      }
      if (lastSeen >= since) lastSeen = now
      else if (now - lastSeen > Duration.toMillis(policy.idleTimeout)) return yield* Effect.fail(error)
      if (now - since > goodLifeMillis) pace = yield* Schedule.toStep(policy.poll)
      yield* Effect.logDebug("a watch was cut; opening it again", error.message)
      return yield* sleepOrFail(yield* delayOf(pace(now, undefined)), error)
    })

    const next: Effect.Effect<readonly [A, ...Array<A>], CallFailure> = Effect.gen(function*() {
      while (true) {
        const [first, ...rest] = pending.splice(0)
        if (first !== undefined) return [first, ...rest] as const
        if (silent) return yield* Effect.never
        const current = open ?? (yield* opening)
        const result = yield* Effect.result(Effect.flatMap(current.messages, (messages) => {
          everOpened = true
          return Effect.flatMap(Clock.currentTimeMillis, (now) => {
            lastSeen = now
            return queue(messages)
          })
        }))
        if (result._tag === "Success") continue
        yield* closing
        const failure = result.failure
        if (Cause.isDone(failure)) {
          const error = yield* Effect.flip(failWith(new Transport({ detail: "the server ended the watch" })))
          yield* afterCut(error, current.since)
        } else if (!everOpened && options.isEmpty(failure)) {
          pending.push(...options.empty)
          silent = true
        } else {
          yield* afterCut(failure, current.since)
        }
      }
    })

    return Stream.fromPull(Effect.succeed(next))
  }))
