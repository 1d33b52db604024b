/** The fake Omni's watches, message by message: what comes first, bookmarks, resumes, refusals and cuts. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { EventType, LabelTerm_Operation } from "../../../src/omni/proto/cosi_pb.ts"
import { at, refusal, type Refused, stage, term, told, type Watching } from "./wire.ts"

const patches = "ConfigPatches"

/** The next so many events, and the messages they came in. */
const events = ({ next }: Watching, count: number) =>
  Effect.gen(function*() {
    const all = []
    while (all.length < count) all.push(...(yield* next))
    return all
  })
const lines = (watching: Watching, count: number): Effect.Effect<ReadonlyArray<string>, Refused> =>
  Effect.map(events(watching, count), (all) => all.map(told))

describe("a watch of the fake", () => {
  it.live("begins with a message without events, then has what there is by id, then what comes", () =>
    Effect.gen(function*() {
      const { call, make, watch } = yield* stage({ pace: "1 hour" })
      yield* make(patches, "b")
      yield* make(patches, "a")
      const watching = yield* watch(patches, { options: { bootstrapContents: true, bootstrapBookmark: true } })
      assert.deepStrictEqual(yield* watching.next, [])
      const first = yield* events(watching, 4)
      assert.deepStrictEqual(first.map(told), [
        "CREATED a@1",
        "CREATED b@1",
        "BOOTSTRAPPED @undefined",
        "NOOP @undefined"
      ])
      assert.deepStrictEqual(first.map(({ bookmark }) => bookmark?.length ?? 0), [0, 0, 8, 8])
      yield* make(patches, "c")
      yield* call("teardown", at(patches, "c"))
      yield* call("destroy", at(patches, "c"))
      const live = yield* events(watching, 3)
      assert.deepStrictEqual(live.map(told), ["CREATED c@1", "UPDATED c@2", "DESTROYED c@2"])
      assert.deepStrictEqual(live.map(({ bookmark, old }) => [bookmark?.length, old?.metadata?.version]), [
        [8, undefined],
        [8, "1"],
        [8, undefined]
      ])
    }))

  it.live("puts all existing resources into one message when aggregation is requested", () =>
    Effect.gen(function*() {
      const { make, watch } = yield* stage()
      for (const id of ["a", "b", "c"]) yield* make(patches, id)
      const watching = yield* watch(patches, { options: { bootstrapContents: true, aggregated: true } })
      yield* watching.next
      assert.deepStrictEqual((yield* watching.next).map(told), [
        "CREATED a@1",
        "CREATED b@1",
        "CREATED c@1",
        "BOOTSTRAPPED @undefined"
      ])
    }))

  it.live("of one resource begins with it, or with a tombstone", () =>
    Effect.gen(function*() {
      const { make, watch } = yield* stage()
      yield* make(patches, "a")
      assert.deepStrictEqual(yield* lines(yield* watch(patches, { id: "a" }), 1), ["CREATED a@1"])
      const absent = yield* watch(patches, { id: "b" })
      assert.deepStrictEqual(yield* lines(absent, 1), ["DESTROYED b@undefined"])
      yield* make(patches, "c")
      yield* make(patches, "b")
      assert.deepStrictEqual(yield* lines(absent, 1), ["CREATED b@1"])
    }))

  it.live("reports resources that start and stop matching a query", () =>
    Effect.gen(function*() {
      const { fake, watch } = yield* stage()
      const watching = yield* watch(patches, {
        options: { labelQuery: [{ terms: [term("on", LabelTerm_Operation.EXISTS)] }] }
      })
      assert.deepStrictEqual(yield* watching.next, [])
      yield* fake.put(patches, { id: "a" })
      yield* fake.put(patches, { id: "a", labels: { on: "" } })
      yield* fake.put(patches, { id: "a", labels: { on: "1" } })
      yield* fake.put(patches, { id: "a", labels: {} })
      assert.deepStrictEqual(yield* lines(watching, 3), ["CREATED a@2", "UPDATED a@3", "DESTROYED a@4"])
    }))

  it.live("goes on from a bookmark with all that was missed, and nothing else", () =>
    Effect.gen(function*() {
      const { fake, make, watch } = yield* stage()
      const first = yield* watch(patches, { options: { bootstrapContents: true } })
      const bookmark = (yield* events(first, 1))[0]?.bookmark ?? new Uint8Array()
      yield* first.close
      for (const id of ["a", "b"]) yield* make(patches, id)
      yield* fake.remove(patches, "a")
      const again = yield* watch(patches, { options: { startFromBookmark: bookmark } })
      assert.deepStrictEqual(yield* lines(again, 3), ["CREATED a@1", "CREATED b@1", "DESTROYED a@1"])
      yield* fake.expireBookmarks
      const dead = yield* watch(patches, { options: { startFromBookmark: bookmark } })
      assert.match(yield* refusal(dead.next), /^9 .*bookmark/)
    }))

  it.live("is refused before its first message", () =>
    Effect.gen(function*() {
      const { fake, watch } = yield* stage()
      const first = (kind: string, request: object) => Effect.flatMap(watch(kind, request), ({ next }) => refusal(next))
      assert.match(yield* first("Wishes", {}), /^7 failed to validate: .*no access is permitted/s)
      assert.match(yield* first(patches, { options: { tailEvents: 3 } }), /^2 .*not supported/)
      assert.match(yield* first(patches, { id: "a", options: { bootstrapContents: true } }), /^12 /)
      const junk = new Uint8Array([1, 2])
      assert.match(yield* first(patches, { options: { startFromBookmark: junk } }), /^9 /)
      assert.match(yield* first(patches, { options: { startFromBookmark: junk, bootstrapContents: true } }), /^2 /)
      yield* fake.setRole("None")
      assert.match(yield* first(patches, {}), /^7 /)
    }))

  it.live("without an API version gets no bootstrap message, and the fake notes a violation", () =>
    Effect.gen(function*() {
      const { fake, make, watch } = yield* stage()
      const watching = yield* watch(patches, { apiVersion: 0, options: { bootstrapContents: true } })
      yield* watching.next
      yield* make(patches, "a")
      assert.strictEqual((yield* events(watching, 1))[0]?.eventType, EventType.CREATED)
      assert.match((yield* fake.violations).join(), /API version 0/)
    }))
})

describe("cuts of the fake's watches", () => {
  it.live("all at once, as a server that stops and as one that is killed", () =>
    Effect.gen(function*() {
      const { fake, watch } = yield* stage()
      const one = yield* watch(patches)
      yield* one.next
      const other = yield* watch(patches)
      yield* other.next
      assert.strictEqual(yield* fake.openWatches, 2)
      yield* fake.cutWatches
      assert.match(yield* refusal(one.next), /^13 Received RST_STREAM with code 0/)
      assert.match(yield* refusal(other.next), /^14 Connection dropped/)
      assert.strictEqual(yield* fake.openWatches, 0)
    }))

  it.live("in place of every n-th event, which comes again with the bookmark before it", () =>
    Effect.gen(function*() {
      const { fake, make, watch } = yield* stage()
      const watching = yield* watch(patches)
      yield* watching.next
      yield* fake.cutEvery(2, 1)
      for (const id of ["a", "b", "c"]) yield* make(patches, id)
      const [a] = yield* events(watching, 1)
      assert.strictEqual(a === undefined ? "" : told(a), "CREATED a@1")
      assert.match(yield* refusal(watching.next), /^1[34] /)
      const again = yield* watch(patches, { options: { startFromBookmark: a?.bookmark ?? new Uint8Array() } })
      assert.deepStrictEqual(yield* lines(again, 2), ["CREATED b@1", "CREATED c@1"])
    }))

  it.live("by a server that goes and comes back, which still knows the bookmarks", () =>
    Effect.gen(function*() {
      const { fake, make, watch } = yield* stage()
      const watching = yield* watch(patches, { options: { bootstrapContents: true } })
      const bookmark = (yield* events(watching, 1))[0]?.bookmark ?? new Uint8Array()
      yield* fake.setAvailable(false)
      assert.match(yield* refusal(watching.next), /^1[34] /)
      yield* fake.put(patches, { id: "a" })
      yield* fake.setAvailable(true)
      yield* Effect.eventually(make(patches, "b"))
      const again = yield* watch(patches, { options: { startFromBookmark: bookmark } })
      assert.deepStrictEqual(yield* lines(again, 2), ["CREATED a@1", "CREATED b@1"])
    }))
})
