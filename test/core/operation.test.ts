import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import { TestClock } from "effect/testing"
import * as Policy from "kubelayer/Policy"
import { NodesFailed, OperationTimeout, ProviderUnavailable } from "kubelayer/ProviderError"
import { type BackendError, RateLimited } from "kubelayer/Reason"
import { AlreadyDone, Done, type Outcome, RolledBack, Skipped } from "kubelayer/Report"
import * as Operation from "../../src/internal/Operation.ts"
import { retrying } from "../../src/internal/Retry.ts"
import { backendError, dev, during, locked, refused, subjectOf, told } from "./fixtures.ts"

type Work = Effect.Effect<Outcome, BackendError | ProviderUnavailable>

const done = new Done({})
const minute = Duration.minutes(1)

const run = <E, R>(
  body: (operation: Operation.Operation) => Effect.Effect<void, E, R>,
  overrides: Policy.Overrides = {}
) => Operation.run({ provider: "test", name: "startNodes", clusterName: dev, policy: Policy.make(overrides) }, body)

/** One wave over named works. */
const wave =
  (works: Readonly<Record<string, Work>>, options: { timeout?: Duration.Duration; width?: number } = {}) =>
  (operation: Operation.Operation) =>
    operation.wave(
      Object.entries(works),
      { subject: ([name]) => subjectOf(name), timeout: options.timeout ?? minute, width: options.width ?? 10 },
      ([, work]) => work
    )

const failing = <A, E>(exit: Exit.Exit<A, E> | undefined): E => {
  if (exit === undefined) return assert.fail("it still runs")
  const error = Exit.findErrorOption(exit)
  return error._tag === "Some" ? error.value : assert.fail("it did not fail")
}

describe("a wave", () => {
  it.effect("goes on after a failure, and the report has every node, in the order of the wave", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(run(wave({
        a: Effect.succeed(done),
        b: Effect.fail(refused),
        c: Effect.succeed(new AlreadyDone({})),
        d: Effect.succeed(new Skipped({ reason: "left out" })),
        e: Effect.succeed(done)
      }, { width: 1 })))
      assert.instanceOf(error, NodesFailed)
      assert.deepStrictEqual(told(error.report), ["a: Done", "b: Failed", "c: AlreadyDone", "d: Skipped", "e: Done"])
      assert.deepStrictEqual(
        error.report.outcomes.map((entry) => entry.id),
        ["a", "b", "c", "d", "e"].map((name) => `id-of-${name}`)
      )
      assert.strictEqual(error.report.operation, "startNodes")
      assert.strictEqual(error.report.clusterName, "dev")
    }))

  it.effect("keeps the order of the wave, whatever the order of settling", () =>
    Effect.gen(function*() {
      const exit = yield* during("10 seconds")(run(wave({
        slow: Effect.delay(Effect.succeed(done), "3 seconds"),
        fast: Effect.succeed(done),
        middle: Effect.delay(Effect.succeed(done), "1 second")
      })))
      assert.isTrue(exit !== undefined && Exit.isSuccess(exit))
      if (exit === undefined || Exit.isFailure(exit)) return
      assert.deepStrictEqual(told(exit.value), ["slow: Done", "fast: Done", "middle: Done"])
      assert.deepStrictEqual(exit.value.outcomes.map((entry) => entry.durationMillis), [3000, 0, 1000])
      assert.strictEqual(exit.value.durationMillis, 3000)
    }))

  it.effect("does not delay the others for one that fails or hangs", () =>
    Effect.gen(function*() {
      const settledAt: Record<string, number> = {}
      const stamped = (name: string, work: Work): Work =>
        Effect.tap(work, () => Effect.map(Clock.currentTimeMillis, (now) => void (settledAt[name] = now)))
      yield* during("5 minutes")(run(wave({
        hangs: Effect.never,
        fails: Effect.fail(refused),
        quick: stamped("quick", Effect.delay(Effect.succeed(done), "1 second")),
        slow: stamped("slow", Effect.delay(Effect.succeed(done), "30 seconds"))
      })))
      assert.deepStrictEqual(settledAt, { quick: 1000, slow: 30_000 })
    }))

  it.effect("ends when a node that hangs is past its deadline, which is its failure", () =>
    Effect.gen(function*() {
      const error = failing(yield* during("1 minute")(run(wave({ a: Effect.never, b: Effect.succeed(done) }))))
      assert.instanceOf(error, NodesFailed)
      assert.deepStrictEqual(told(error.report), ["a: Failed", "b: Done"])
      const [entry] = error.report.failed
      assert.strictEqual(entry?.durationMillis, 60_000)
      const [reason] = error.reasons
      assert.strictEqual(reason?._tag, "RequestTimeout")
      assert.include(reason?.message ?? "", "1m")
      assert.include(error.message, "node a")
    }))

  it.effect("starts the deadline of a node when its turn comes", () =>
    Effect.gen(function*() {
      const work = Effect.delay(Effect.succeed(done), "50 seconds")
      const exit = yield* during("3 minutes")(run(wave({ a: work, b: work, c: work }, { width: 1 })))
      assert.isTrue(exit !== undefined && Exit.isSuccess(exit))
    }))

  it.effect("is followed by the next one, whatever became of its nodes", () =>
    Effect.gen(function*() {
      const error = failing(
        yield* during("5 minutes")(run((operation) =>
          wave({ a: Effect.never, b: Effect.fail(refused) })(operation).pipe(
            Effect.andThen(wave({ c: Effect.succeed(done) })(operation)),
            Effect.andThen(wave({ d: Effect.fail(locked) })(operation)),
            Effect.andThen(wave({ e: Effect.succeed(done) })(operation))
          )
        ))
      )
      assert.instanceOf(error, NodesFailed)
      assert.deepStrictEqual(told(error.report), ["a: Failed", "b: Failed", "c: Done", "d: Failed", "e: Done"])
      assert.deepStrictEqual(error.reasons.map((reason) => reason._tag), ["RequestTimeout", "Protected", "Locked"])
    }))

  it.effect.each([1, 2, 3, 7])("acts on at most %d nodes at once, and on so many", (width) =>
    Effect.gen(function*() {
      let running = 0
      let most = 0
      const started: Array<string> = []
      const names = Array.from({ length: 9 }, (_, index) => `n${index}`)
      const work = (name: string): Work =>
        Effect.acquireUseRelease(
          Effect.sync(() => {
            started.push(name)
            most = Math.max(most, ++running)
          }),
          () => Effect.delay(Effect.succeed(done), "1 second"),
          () => Effect.sync(() => void running--)
        )
      yield* during("1 minute")(run(wave(Object.fromEntries(names.map((name) => [name, work(name)])), { width })))
      assert.strictEqual(most, width)
      assert.deepStrictEqual(started, names)
    }))

  it.effect("of nothing is nothing", () =>
    Effect.map(run(wave({})), (report) => assert.deepStrictEqual(told(report), [])))

  it.effect("keeps nodes apart that have the same name, or no id", () =>
    Effect.gen(function*() {
      const subjects = [
        { kind: "node", name: "a", id: "1" },
        { kind: "node", name: "a", id: "2" },
        { kind: "node", name: "b", id: "" },
        { kind: "node", name: "c", id: "" },
        { kind: "network", name: "b" },
        { kind: "node", name: "d" }
      ] as const
      const report = yield* run((operation) =>
        operation.wave(
          subjects,
          { subject: (subject) => subject, timeout: minute, width: 2 },
          () => Effect.succeed(done)
        )
      )
      assert.deepStrictEqual(
        report.outcomes.map(({ id, kind, name }) => ({ kind, name, ...(id === undefined ? {} : { id }) })),
        [...subjects]
      )
    }))
})

describe("the failure of a node", () => {
  it.effect("names the operation, the cluster and the node, whatever call it came from", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(run(wave({
        a: Effect.fail(backendError(refused.reason, { operation: "listNodes", clusterName: "dev" }))
      })))
      assert.instanceOf(error, NodesFailed)
      const outcome = error.report.failed[0]?.outcome
      assert.strictEqual(outcome?._tag, "Failed")
      if (outcome?._tag !== "Failed") return
      assert.deepInclude({ ...outcome.error }, {
        provider: "test",
        operation: "startNodes",
        clusterName: "dev",
        subject: { kind: "node", name: "a" }
      })
      assert.strictEqual(outcome.error.reason, refused.reason)
    }))

  it.effect("that names another node than its own keeps it", () =>
    Effect.gen(function*() {
      const named = backendError(refused.reason, { subject: { kind: "node", name: "load-balancer" } })
      const error = yield* Effect.flip(run(wave({ a: Effect.fail(named) })))
      const outcome = error instanceof NodesFailed ? error.report.failed[0]?.outcome : undefined
      assert.strictEqual(outcome?._tag === "Failed" ? outcome.error : undefined, named)
    }))

  it.effect("of which the backend went away is a cut, with the address", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(run(wave({
        a: Effect.fail(
          new ProviderUnavailable({
            provider: "test",
            address: "tcp://10.0.0.1:2376",
            detail: "connection refused",
            advice: "Start the engine."
          })
        ),
        b: Effect.fail(new ProviderUnavailable({ provider: "test", detail: "no route", advice: "Start the engine." }))
      })))
      assert.instanceOf(error, NodesFailed)
      assert.deepStrictEqual(error.reasons.map(({ _tag, detail }) => [_tag, detail]), [
        ["Transport", "connection refused (tcp://10.0.0.1:2376)"],
        ["Transport", "no route"]
      ])
    }))

  it.effect("that waits longer than the node has is reported at once", () =>
    Effect.gen(function*() {
      const limited = backendError(new RateLimited({ detail: "too many requests", retryAfterMillis: 3_600_000 }))
      // Nothing moves the clock.
      const error = yield* Effect.flip(run(wave({ a: retrying(Policy.make())(Effect.fail(limited)) })))
      assert.instanceOf(error, NodesFailed)
      assert.deepStrictEqual(error.reasons.map((reason) => reason._tag), ["RateLimited"])
    }))
})

describe("the duration of a node", () => {
  it.effect("is from the first thing done for it, and not from its scheduling", () =>
    Effect.gen(function*() {
      const work = Effect.delay(Effect.succeed(done), "2 seconds")
      const exit = yield* during("1 minute")(run(wave({ a: work, b: work }, { width: 1 })))
      assert.deepStrictEqual(
        exit !== undefined && Exit.isSuccess(exit) ? exit.value.outcomes.map((entry) => entry.durationMillis) : exit,
        [2000, 2000]
      )
    }))

  it.effect("counts what was done for it before, where it is acted on twice", () =>
    Effect.gen(function*() {
      const work = Effect.delay(Effect.succeed(done), "2 seconds")
      const exit = yield* during("1 minute")(
        run((operation) => Effect.andThen(wave({ a: work })(operation), wave({ a: work })(operation)))
      )
      assert.deepStrictEqual(
        exit !== undefined && Exit.isSuccess(exit) ? exit.value.outcomes.map((entry) => entry.durationMillis) : exit,
        [4000]
      )
    }))
})

describe("an outcome", () => {
  it.effect("that is set again replaces the first, in its place", () =>
    Effect.gen(function*() {
      const report = yield* run((operation) =>
        wave({ a: Effect.succeed(done), b: Effect.succeed(done) })(operation).pipe(
          Effect.andThen(operation.record(subjectOf("a"), new RolledBack({}))),
          Effect.tap(Effect.sync(() => assert.instanceOf(operation.outcomeOf(subjectOf("a")), RolledBack)))
        )
      )
      assert.deepStrictEqual(told(report), ["a: RolledBack", "b: Done"])
    }))

  it.effect("of a node that is being created keeps its place when it gets its id", () =>
    Effect.gen(function*() {
      const report = yield* run((operation) =>
        operation.schedule([{ kind: "node", name: "a" }, { kind: "node", name: "b" }]).pipe(
          Effect.andThen(operation.record({ kind: "node", name: "b", id: "2" }, done)),
          Effect.andThen(operation.record({ kind: "node", name: "a", id: "1" }, done))
        )
      )
      assert.deepStrictEqual(report.outcomes.map(({ id, name }) => [name, id]), [["a", "1"], ["b", "2"]])
    }))

  it.effect("may be recorded for what no wave had", () =>
    Effect.gen(function*() {
      const report = yield* run((operation) => operation.record({ kind: "network", name: "dev-net" }, done))
      assert.deepStrictEqual(told(report), ["dev-net: Done"])
      assert.strictEqual(report.outcomes[0]?.kind, "network")
    }))
})

describe("interruption", () => {
  it.effect("of an operation sends nothing more, runs what each node has to tidy, and leaves no fiber", () =>
    Effect.gen(function*() {
      const sent: Array<string> = []
      let tidied = 0
      let live = 0
      const work = (name: string): Work =>
        Effect.gen(function*() {
          sent.push(name)
          live++
          yield* Effect.sleep("10 seconds")
          sent.push(`${name} again`)
          return done
        }).pipe(
          Effect.onInterrupt(() => Effect.sync(() => void tidied++)),
          Effect.ensuring(Effect.sync(() => void live--))
        )
      const fiber = yield* Effect.forkChild(
        run((operation) =>
          wave(Object.fromEntries(["a", "b", "c", "d"].map((name) => [name, work(name)])), { width: 2 })(operation)
            .pipe(
              Effect.andThen(wave({ later: work("later") })(operation))
            )
        )
      )
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(sent, ["a", "b"])
      yield* Fiber.interrupt(fiber)
      assert.strictEqual(live, 0)
      assert.strictEqual(tidied, 2)
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual(sent, ["a", "b"])
    }))
})

describe("operationTimeout", () => {
  it.effect("gives what was settled by then, and nothing is sent after it", () =>
    Effect.gen(function*() {
      let later = 0
      const exit = yield* during("1 hour")(run((operation) =>
        wave({ a: Effect.succeed(done), b: Effect.fail(refused), c: Effect.never })(operation).pipe(
          Effect.andThen(Effect.sync(() => void later++))
        ), { operationTimeout: "20 seconds" }))
      const error = failing(exit)
      assert.instanceOf(error, OperationTimeout)
      assert.deepStrictEqual(told(error.report), ["a: Done", "b: Failed"])
      assert.deepStrictEqual(error.duration, Duration.seconds(20))
      assert.strictEqual(error.operation, "startNodes")
      assert.strictEqual(error.report.durationMillis, 20_000)
      assert.include(error.message, "node b")
      assert.strictEqual(later, 0)
    }))

  it.effect("comes when it is due, not later", () =>
    Effect.gen(function*() {
      const timed = run(wave({ a: Effect.never }), { operationTimeout: "20 seconds" })
      assert.isUndefined(yield* during("19 seconds")(timed))
      assert.instanceOf(failing(yield* during("20 seconds")(timed)), OperationTimeout)
    }))

  it.effect("longer than the nodes need changes nothing", () =>
    Effect.gen(function*() {
      const exit = yield* during("1 minute")(
        run(wave({ a: Effect.delay(Effect.succeed(done), "19 seconds") }), { operationTimeout: "20 seconds" })
      )
      assert.isTrue(exit !== undefined && Exit.isSuccess(exit))
    }))

  it.effect("waits for the clean-up of what it ends, and reports it", () =>
    Effect.gen(function*() {
      const exit = yield* during("1 minute")(run((operation) =>
        Effect.andThen(wave({ a: Effect.succeed(done) })(operation), Effect.never).pipe(
          Effect.onInterrupt(() => Effect.delay(operation.record(subjectOf("a"), new RolledBack({})), "5 seconds"))
        ), { operationTimeout: "20 seconds" }))
      const error = failing(exit)
      assert.instanceOf(error, OperationTimeout)
      assert.deepStrictEqual(told(error.report), ["a: RolledBack"])
    }))

  it.effect("is a deadline for retries too", () =>
    Effect.gen(function*() {
      let sent = 0
      const call = retrying(Policy.make({ retry: Schedule.spaced("1 minute") }))(
        Effect.suspend(() => {
          sent++
          return Effect.fail(locked)
        })
      )
      const error = yield* Effect.flip(run(wave({ a: call }), { operationTimeout: "20 seconds" }))
      assert.instanceOf(error, NodesFailed)
      assert.strictEqual(sent, 1)
    }))
})

describe("a defect in the work of a node", () => {
  const defect = new Error("a bug")

  it.effect.each(
    [
      ["dies", () => Effect.die(defect)],
      ["throws", (): Work => {
        throw defect
      }]
    ] as const
  )("that %s is given as a defect, and ends the others", ([, make]) =>
    Effect.gen(function*() {
      let interrupted = 0
      const works: ReadonlyArray<readonly [string, () => Work]> = [
        ["a", () => Effect.onInterrupt(Effect.never, () => Effect.sync(() => void interrupted++))],
        ["b", make],
        ["c", () => Effect.succeed(done)]
      ]
      const exit = yield* Effect.exit(run((operation) =>
        operation.wave(
          works,
          { subject: ([name]) => subjectOf(name), timeout: minute, width: 2 },
          ([, work]) => work()
        )
      ))
      assert.strictEqual(Exit.isFailure(exit) && Cause.squash(exit.cause), defect)
      assert.strictEqual(interrupted, 1)
    }))
})
