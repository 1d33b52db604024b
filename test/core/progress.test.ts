import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import { TestClock } from "effect/testing"
import * as Policy from "kubelayer/Policy"
import type { Sink } from "kubelayer/Progress"
import * as Provider from "kubelayer/Provider"
import { NodesFailed } from "kubelayer/ProviderError"
import { AlreadyDone, Done, RolledBack } from "kubelayer/Report"
import * as Operation from "../../src/internal/Operation.ts"
import { dev, during, recorder, refused, subjectOf, told } from "./fixtures.ts"

const done = new Done({})

const run = <E, R>(body: (operation: Operation.Operation) => Effect.Effect<void, E, R>) =>
  Operation.run({ provider: "test", name: "stopNodes", clusterName: dev, policy: Policy.make() }, body)

/** Two waves: `a` and `b`, of which `b` fails, then `c`. */
const twoWaves = run((operation) => {
  const wave = (names: ReadonlyArray<string>) =>
    operation.wave(
      names,
      { subject: subjectOf, timeout: Policy.defaults.nodeTimeout.stop, width: 1 },
      (name) =>
        Effect.andThen(
          operation.emit({ _tag: "Sent", subject: subjectOf(name), call: "stop" }),
          name === "b" ? Effect.fail(refused) : Effect.succeed(done)
        )
    )
  return Effect.andThen(wave(["a", "b"]), wave(["c"]))
})

describe("the events of an operation", () => {
  it.effect("come in order: scheduled with its wave, then sent and settled, node by node", () =>
    Effect.gen(function*() {
      const heard = recorder()
      yield* Effect.exit(twoWaves.pipe(Provider.onEvent(heard.sink)))
      assert.deepStrictEqual(heard.told, [
        "Scheduled a",
        "Scheduled b",
        "Sent a stop",
        "Settled a Done",
        "Sent b stop",
        "Settled b Failed",
        "Scheduled c",
        "Sent c stop",
        "Settled c Done"
      ])
    }))

  it.effect("say which operation of which cluster they are of, and what they are about", () =>
    Effect.gen(function*() {
      const heard = recorder()
      yield* Effect.exit(twoWaves.pipe(Provider.onEvent(heard.sink)))
      for (const event of heard.events) {
        assert.strictEqual(event.operation, "stopNodes")
        assert.strictEqual(event.clusterName, "dev")
        assert.strictEqual(event.subject.kind, "node")
        assert.strictEqual(event.subject.id, `id-of-${event.subject.name}`)
      }
    }))

  it.effect("say how long a node took", () =>
    Effect.gen(function*() {
      const heard = recorder()
      yield* during("1 minute")(
        run((operation) =>
          Effect.asVoid(
            operation.settle(
              subjectOf("a"),
              Policy.defaults.requestTimeout,
              Effect.delay(Effect.succeed(done), "3 seconds")
            )
          )
        ).pipe(Provider.onEvent(heard.sink))
      )
      assert.deepInclude(heard.events.at(-1), { _tag: "Settled", durationMillis: 3000 })
    }))

  it.effect("schedule a node once, and settle it as often as its outcome is set", () =>
    Effect.gen(function*() {
      const heard = recorder()
      yield* run((operation) =>
        operation.schedule([subjectOf("a"), subjectOf("a")]).pipe(
          Effect.andThen(operation.schedule([subjectOf("a")])),
          Effect.andThen(operation.record(subjectOf("a"), done)),
          Effect.andThen(operation.record(subjectOf("a"), new RolledBack({})))
        )
      ).pipe(Provider.onEvent(heard.sink))
      assert.deepStrictEqual(heard.told, ["Scheduled a", "Settled a Done", "Settled a RolledBack"])
    }))
})

describe("the sink", () => {
  it.effect("that is the innermost hears, and the outer one does not", () =>
    Effect.gen(function*() {
      const [outer, inner] = [recorder(), recorder()]
      yield* Effect.exit(twoWaves.pipe(Provider.onEvent(inner.sink), Provider.onEvent(outer.sink)))
      assert.lengthOf(inner.events, 9)
      assert.isEmpty(outer.events)
    }))

  it.effect("hears all operations inside the effect, and none after it", () =>
    Effect.gen(function*() {
      const heard = recorder()
      yield* Effect.andThen(Effect.exit(twoWaves), Effect.exit(twoWaves)).pipe(Provider.onEvent(heard.sink))
      yield* Effect.exit(twoWaves)
      assert.lengthOf(heard.events, 18)
    }))

  const broken: ReadonlyArray<readonly [string, Sink]> = [
    ["dies", () => Effect.die(new Error("a bug in the sink"))],
    ["throws", () => {
      throw new Error("a bug in the sink")
    }],
    ["fails, behind its type", () => Effect.fail("no") as unknown as Effect.Effect<void>],
    ["interrupts itself", () => Effect.interrupt]
  ]

  it.effect.each(broken)("that %s changes nothing of the operation", ([, sink]) =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(twoWaves.pipe(Provider.onEvent(sink)))
      assert.instanceOf(error, NodesFailed)
      assert.deepStrictEqual(told(error.report), ["a: Done", "b: Failed", "c: Done"])
    }))

  it.effect("that is slow does not hold an interruption up", () =>
    Effect.gen(function*() {
      let sent = 0
      const fiber = yield* Effect.forkChild(
        run((operation) =>
          operation.wave(["a"], { subject: subjectOf, timeout: Policy.defaults.requestTimeout, width: 1 }, () =>
            Effect.sync(() => {
              sent++
              return new AlreadyDone({})
            }))
        ).pipe(Provider.onEvent(() =>
          Effect.never
        ))
      )
      yield* TestClock.adjust("1 second")
      const exit = yield* Effect.andThen(Fiber.interrupt(fiber), Fiber.await(fiber))
      assert.isTrue(Exit.hasInterrupts(exit))
      assert.strictEqual(sent, 0)
    }))

  it.effect("is not needed", () => Effect.map(Effect.flip(twoWaves), (error) => assert.instanceOf(error, NodesFailed)))
})
