/** A watch that is cut: the position where it resumes, the events afterwards, and the failures that end it. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import * as Policy from "kubelayer/Policy"
import { ProviderUnavailable } from "kubelayer/ProviderError"
import { BackendError, Conflict, type Reason, Transport, Unauthorized } from "kubelayer/Reason"
import type { WatchResponse } from "../../src/omni/proto/cosi_pb.ts"
import { reconnecting } from "../../src/omni/Reconnect.ts"
import type { CallFailure } from "../../src/omni/State.ts"

const failure = (reason: Reason) => new BackendError({ provider: "omni", operation: "test", reason })
const cut = failure(new Transport({ detail: "Received RST_STREAM with code 0" }))
const dead = failure(new Conflict({ detail: "invalid watch bookmark" }))
const away = new ProviderUnavailable({ provider: "omni", detail: "nothing listens there", advice: "" })

/** A message of the server's with one word and, where it has one, a bookmark. */
const message = (word: string, bookmark?: string): WatchResponse =>
  ({
    event: [{ error: word, ...(bookmark === undefined ? {} : { bookmark: new TextEncoder().encode(bookmark) }) }]
  }) as unknown as WatchResponse
const established = { event: [] } as unknown as WatchResponse

/** Opens one after another of the streams, and notes from which bookmarks. */
const watched = (streams: ReadonlyArray<Stream.Stream<WatchResponse, CallFailure>>, keepsBookmark = true) => {
  const opened: Array<string | undefined> = []
  let closed = 0
  const stream = reconnecting<string>({
    policy: Effect.succeed(Policy.make({ poll: Policy.defaults.poll, idleTimeout: "1 minute" })),
    open: (bookmark) =>
      Stream.suspend(() => {
        opened.push(bookmark === undefined ? undefined : new TextDecoder().decode(bookmark))
        return (streams[opened.length - 1] ?? Stream.never).pipe(Stream.ensuring(Effect.sync(() => closed++)))
      }),
    event: (event) =>
      event.error === "ERRORED"
        ? Effect.fail(dead)
        : Effect.succeed(event.error === "NOOP" ? Option.none() : Option.some(event.error ?? "")),
    isEmpty: (error) => error._tag === "BackendError" && error.reason._tag === "UnsupportedError",
    empty: ["empty"],
    restarted: ["restarted"],
    keepsBookmark
  })
  return { opened, closed: () => closed, stream }
}

const says = (...messages: ReadonlyArray<WatchResponse>) => Stream.fromIterable([established, ...messages])
const then = (error: CallFailure) => (stream: Stream.Stream<WatchResponse>) => Stream.concat(stream, Stream.fail(error))

const told = (stream: Stream.Stream<string, CallFailure>, count: number) =>
  Effect.gen(function*() {
    const fiber = yield* Effect.forkChild(Stream.runCollect(Stream.take(stream, count)))
    yield* TestClock.adjust("30 seconds")
    return yield* Fiber.join(fiber)
  })

describe("a watch that is cut", () => {
  it.effect("resumes from its last bookmark and repeats no event", () =>
    Effect.gen(function*() {
      const { opened, stream } = watched([
        says(message("a"), message("all", "1"), message("b", "2")).pipe(then(cut)),
        says(message("c", "3")).pipe(then(away)),
        Stream.fail(away),
        says(message("d", "4"))
      ])
      assert.deepStrictEqual(yield* told(stream, 5), ["a", "all", "b", "c", "d"])
      assert.deepStrictEqual(opened, [undefined, "2", "3", "3"])
    }))

  it.effect("resumes after the server ends the stream", () =>
    Effect.gen(function*() {
      const { opened, stream } = watched([says(message("all", "1")), says(message("a", "2"))])
      assert.deepStrictEqual(yield* told(stream, 2), ["all", "a"])
      assert.deepStrictEqual(opened.slice(0, 2), [undefined, "1"])
    }))

  it.effect("moves its bookmark on NOOP messages", () =>
    Effect.gen(function*() {
      const { opened, stream } = watched([
        says(message("all", "1"), message("NOOP", "9")).pipe(then(cut)),
        says(message("a"))
      ])
      assert.deepStrictEqual(yield* told(stream, 2), ["all", "a"])
      assert.deepStrictEqual(opened, [undefined, "9"])
    }))

  it.effect("before its first bookmark emits a restart and all resources again", () =>
    Effect.gen(function*() {
      const { opened, stream } = watched([says(message("a")).pipe(then(cut)), says(message("a"), message("all", "1"))])
      assert.deepStrictEqual(yield* told(stream, 4), ["a", "restarted", "a", "all"])
      assert.deepStrictEqual(opened, [undefined, undefined])
    }))

  it.effect("emits all resources again when the server no longer knows its bookmark", () =>
    Effect.gen(function*() {
      const { opened, stream } = watched([
        says(message("all", "1")).pipe(then(cut)),
        Stream.fail(dead),
        says(message("b"), message("all", "7"))
      ])
      assert.deepStrictEqual(yield* told(stream, 4), ["all", "restarted", "b", "all"])
      assert.deepStrictEqual(opened, [undefined, "1", undefined])
    }))

  it.effect("emits all resources again after the server sends ERRORED", () =>
    Effect.gen(function*() {
      const { opened, stream } = watched([says(message("all", "1"), message("ERRORED")), says(message("all", "2"))])
      assert.deepStrictEqual(yield* told(stream, 3), ["all", "restarted", "all"])
      assert.deepStrictEqual(opened.slice(0, 2), [undefined, undefined])
    }))

  it.effect("of one resource requests it again and emits its current state", () =>
    Effect.gen(function*() {
      const { opened, stream } = watched([says(message("a", "1")).pipe(then(cut)), says(message("a", "1"))], false)
      assert.deepStrictEqual(yield* told(stream, 2), ["a", "a"])
      assert.deepStrictEqual(opened, [undefined, undefined])
    }))

  it.effect("thousands of times loses nothing", () =>
    Effect.gen(function*() {
      const count = 2000
      const { opened, stream } = watched(
        Array.from({ length: count }, (_, index) => says(message(String(index), String(index))).pipe(then(cut)))
      )
      const fiber = yield* Effect.forkChild(Stream.runCollect(Stream.take(stream, count)))
      yield* TestClock.adjust("3 hours")
      assert.deepStrictEqual(yield* Fiber.join(fiber), Array.from({ length: count }, (_, index) => String(index)))
      assert.deepStrictEqual(opened.at(-1), String(count - 2))
    }))
})

describe("a watch that is not opened again", () => {
  const ends = (streams: ReadonlyArray<Stream.Stream<WatchResponse, CallFailure>>) =>
    Effect.gen(function*() {
      const { opened, stream } = watched(streams)
      const fiber = yield* Effect.forkChild(Effect.exit(Stream.runDrain(stream)))
      yield* TestClock.adjust("10 minutes")
      const exit = yield* Fiber.join(fiber)
      return { opened, error: Option.getOrThrow(Exit.findErrorOption(exit)) }
    })

  it.effect("could not be opened at all", () =>
    Effect.gen(function*() {
      const { error: found, opened } = yield* ends([Stream.fail(away)])
      assert.strictEqual(found, away)
      assert.strictEqual(opened.length, 1)
    }))

  it.effect("was cut whenever it was opened: no more often than another read", () =>
    Effect.gen(function*() {
      const { error, opened } = yield* ends(Array.from({ length: 100 }, () => Stream.fail(cut)))
      assert.strictEqual(error, cut)
      assert.strictEqual(opened.length, 6)
    }))

  it.effect("is refused", () =>
    Effect.gen(function*() {
      const refused = failure(new Unauthorized({ detail: "invalid signature" }))
      const { error, opened } = yield* ends([says(message("all", "1")).pipe(then(cut)), Stream.fail(refused)])
      assert.strictEqual(error, refused)
      assert.strictEqual(opened.length, 2)
    }))

  it.effect("has a server that is away for longer than the idle deadline", () =>
    Effect.gen(function*() {
      const { error, opened } = yield* ends([
        says(message("all", "1")).pipe(then(cut)),
        ...Array.from({ length: 1000 }, () => Stream.fail(away))
      ])
      assert.strictEqual(error, away)
      // Paced: a minute of trying is no thousand calls.
      assert.isBelow(opened.length, 60)
    }))

  it.effect("is left by its reader: the stream under it is closed, none is opened", () =>
    Effect.gen(function*() {
      const { closed, opened, stream } = watched([Stream.concat(says(message("a", "1")), Stream.never)])
      assert.deepStrictEqual(yield* told(stream, 1), ["a"])
      assert.deepStrictEqual([opened.length, closed()], [1, 1])
    }))
})
