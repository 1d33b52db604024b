/** The runner of laws: outcomes and their words, scopes, deadlines, clean-up, simulated time. */
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Memory from "kubelayer/layers/Memory"
import {
  formatReport,
  Harness,
  type Law,
  law,
  LawBroken,
  type LawOptions,
  makeHarness,
  MemoryHarness,
  rest,
  runLaw,
  runLaws
} from "kubelayer/testing"
import { describeLaws } from "kubelayer/testing/vitest"

const memory = {
  name: "memory",
  layer: Memory.layer(),
  harness: MemoryHarness.layer(),
  capabilities: MemoryHarness.capabilities,
  time: "simulated"
} as const satisfies LawOptions<Memory.Memory>

const lawOf = (check: Law["check"], needs: Law["needs"] = []): Law =>
  law({ id: "lifecycle.made-up", title: "a node is what it is", needs, check: () => check })

const run = (law: Law) => runLaw(law, memory)

describe("a law", () => {
  it.live("passes where its check succeeds", () =>
    Effect.gen(function*() {
      const result = yield* run(lawOf(Effect.void))
      assert.strictEqual(result.outcome, "passed")
      assert.isUndefined(result.message)
    }))

  it.live("fails with its title, what was expected and what was observed", () =>
    Effect.gen(function*() {
      const result = yield* run(lawOf(Effect.fail(new LawBroken({ expected: "two nodes", observed: "one node" }))))
      assert.strictEqual(result.outcome, "failed")
      assert.strictEqual(result.message, "a node is what it is\n  expected: two nodes\n  observed: one node")
    }))

  it.live("fails where its check fails with another error, or dies", () =>
    Effect.gen(function*() {
      const failed = yield* run(lawOf(Effect.fail(new Error("no such thing"))))
      assert.include(failed.message, "observed: Error: no such thing")
      const died = yield* run(lawOf(Effect.die(new TypeError("x is not a function"))))
      assert.include(died.message, "observed: a defect, TypeError: x is not a function")
    }))

  it.live("says of the harness what the harness could not do", () =>
    Effect.gen(function*() {
      const bare = Layer.succeed(
        Harness,
        makeHarness({
          patience: Duration.seconds(1),
          uniqueName: Effect.succeed("a"),
          seed: () => Effect.succeed([]),
          nodes: () => Effect.succeed([])
        })
      )
      const needy = lawOf(Effect.flatMap(Harness, (harness) => Effect.scoped(harness.outage)), ["outage"])
      const result = yield* runLaw(needy, { ...memory, harness: bare })
      assert.include(result.message, "the harness could not outage")
    }))

  it.live("is skipped, and not run, where a capability is missing, which is named", () =>
    Effect.gen(function*() {
      let ran = false
      const needy = lawOf(
        Effect.sync(() => {
          ran = true
        }),
        ["calls", "outage"]
      )
      const result = yield* runLaw(needy, { ...memory, capabilities: ["calls"] })
      assert.strictEqual(result.outcome, "skipped")
      assert.include(result.message, "`outage` (make the backend unreachable)")
      assert.notInclude(result.message, "`calls`")
      assert.isFalse(ran)
    }))

  it.live("fails where its layer cannot be built", () =>
    Effect.gen(function*() {
      const broken = Memory.layer({ clusters: { a: { controlPlanes: 0, workers: 0 } } })
      const result = yield* runLaw(lawOf(Effect.void), { ...memory, layer: broken })
      assert.strictEqual(result.outcome, "failed")
      assert.include(result.message, "InvalidSpec")
    }))
})

describe("the scope of a law", () => {
  const cleaning = (check: (events: Array<string>) => Law["check"]) => {
    const events: Array<string> = []
    const acquire = Effect.acquireRelease(
      Effect.sync(() => events.push("made")),
      () => Effect.sync(() => events.push("removed"))
    )
    return { events, law: lawOf(Effect.andThen(acquire, check(events))) }
  }

  it.live("is closed before the next law begins, also where the law fails, dies or hangs", () =>
    Effect.gen(function*() {
      for (
        const check of [
          Effect.void,
          Effect.fail("no"),
          Effect.die("no"),
          Effect.never,
          Effect.uninterruptible(Effect.never)
        ]
      ) {
        const { events, law } = cleaning(() => check)
        yield* run(law)
        assert.deepStrictEqual(events, ["made", "removed"])
      }
    }))

  it.live("is closed where the run is interrupted", () =>
    Effect.gen(function*() {
      const begun = yield* Deferred.make<void>()
      const { events, law } = cleaning(() => Effect.andThen(Deferred.succeed(begun, undefined), Effect.never))
      const fiber = yield* Effect.forkChild(runLaw(law, { ...memory, time: "present" }))
      yield* Deferred.await(begun)
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(events, ["made", "removed"])
    }))

  it.live("has a layer of its own for each law", () =>
    Effect.gen(function*() {
      let built = 0
      const layer = Layer.effectDiscard(Effect.sync(() => built++)).pipe(Layer.provideMerge(Memory.layer()))
      yield* runLaws({ ...memory, layer, laws: [lawOf(Effect.void), lawOf(Effect.void)] })
      assert.strictEqual(built, 2)
    }))

  it.live("fails a law that passed where it cannot be closed", () =>
    Effect.gen(function*() {
      const died = yield* run(lawOf(Effect.addFinalizer(() => Effect.die(new Error("stuck")))))
      assert.include(died.message, "its clean-up did not succeed: a defect, Error: stuck")
      const hung = yield* run(lawOf(Effect.addFinalizer(() => Effect.never)))
      assert.include(hung.message, "its clean-up ends within 1m")
    }))
})

describe("time", () => {
  it.live("is simulated: it passes at once, in order, and a law past its deadline fails", () =>
    Effect.gen(function*() {
      const seen: Array<string> = []
      const note = (what: string) =>
        Effect.flatMap(Clock.currentTimeMillis, (now) => Effect.sync(() => seen.push(`${what} at ${now}`)))
      const passed = yield* runLaw(
        lawOf(
          Effect.all([
            Effect.andThen(Effect.sleep("20 minutes"), note("long")),
            Effect.andThen(Effect.sleep("5 minutes"), note("short")).pipe(
              Effect.andThen(Effect.sleep("5 minutes")),
              Effect.andThen(note("twice"))
            )
          ], { concurrency: 2, discard: true })
        ),
        { ...memory, deadline: "1 hour" }
      )
      assert.strictEqual(passed.outcome, "passed")
      assert.deepStrictEqual(seen, ["short at 300000", "twice at 600000", "long at 1200000"])

      const late = yield* runLaw(lawOf(Effect.sleep("2 hours")), { ...memory, deadline: "1 hour" })
      assert.include(late.message, "expected: the law ends within 1h\n  observed: it does not")
    }))

  it.live("does not pass while there is something to do", () =>
    Effect.gen(function*() {
      const busy = Effect.gen(function*() {
        for (let n = 0; n < 200; n++) yield* Effect.flatMap(Effect.forkDetach(Effect.yieldNow), Fiber.join)
        return yield* Clock.currentTimeMillis
      })
      const check = Effect.flatMap(busy, (now) =>
        now === 0 ? Effect.void : Effect.fail(new LawBroken({ expected: "no time", observed: `${now} ms` })))
      const result = yield* run(lawOf(check))
      assert.isUndefined(result.message)
    }))

  it.live("is that of the present clock otherwise", () =>
    Effect.gen(function*() {
      const report = yield* runLaws({
        ...memory,
        harness: MemoryHarness.layer({ patience: "20 millis" }),
        time: "present",
        laws: [lawOf(Effect.andThen(rest, Effect.void))]
      })
      assert.strictEqual(report.passed, 1, formatReport(report))
    }))
})

describe("a report", () => {
  const laws = [
    lawOf(Effect.void),
    lawOf(Effect.fail(new LawBroken({ expected: "a", observed: "b" }))),
    lawOf(Effect.void, ["secrets"])
  ]

  it.live("counts the laws, and reports each law below its name", () =>
    Effect.gen(function*() {
      const report = yield* runLaws({ ...memory, laws })
      assert.deepStrictEqual([report.name, report.passed, report.failed, report.skipped], ["memory", 1, 1, 1])
      assert.deepStrictEqual(report.results.map((result) => result.outcome), ["passed", "failed", "skipped"])
      assert.strictEqual(
        formatReport(report),
        [
          "memory: 1 passed, 1 failed, 1 skipped",
          "  passed lifecycle.made-up",
          "  failed lifecycle.made-up",
          "    a node is what it is",
          "      expected: a",
          "      observed: b",
          "  skipped lifecycle.made-up",
          "    the harness does not claim `secrets` (report the credentials of the layer)"
        ].join("\n")
      )
    }))

  it("is a test for each law, and skipped ones are never run", async () => {
    const declared: Array<readonly [name: string, body: () => Promise<void>]> = []
    const skipped: Array<string> = []
    const it = Object.assign((name: string, body: () => Promise<void>) => declared.push([name, body]), {
      skip: (name: string) => skipped.push(name)
    })
    const describe = (_: string, body: () => void) => body()
    describeLaws({ describe, it }, { ...memory, laws })
    assert.deepStrictEqual(skipped, [
      "lifecycle.made-up: a node is what it is [the harness does not claim `secrets` (report the credentials of " +
      "the layer)]"
    ])
    const outcomes = await Promise.all(declared.map(([, body]) => body().then(() => "passed", String)))
    assert.deepStrictEqual(outcomes, [
      "passed",
      "Error: lifecycle.made-up: a node is what it is\n  expected: a\n  observed: b"
    ])
  })
})
