/**
 * Runs laws over a layer and reports the results.
 *
 * Each law gets a new layer and a new harness, in a scope that closes before the next law begins, and has a deadline. A
 * law that fails, hangs or dies is a line of the report, never a failure of `runLaws`.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import type { Provider } from "../Provider.ts"
import type { Harness } from "./Harness.ts"
import { capabilities, type Capability, describe, type Law, LawBroken } from "./Law.ts"
import { laws } from "./laws.ts"
import { simulated } from "./SimulatedTime.ts"

/**
 * The layer under test, its harness, and the laws to run.
 *
 * @category models
 * @since 0.1.0
 */
export interface LawOptions<R = never, E = unknown, E2 = unknown> {
  /** The name of the layer, for the report. */
  readonly name: string
  /** The layer under test. It gives `NodeCreator` too where `create` is claimed. */
  readonly layer: Layer.Layer<Provider | R, E>
  /** The harness; it may use what the layer gives beside `Provider`. */
  readonly harness: Layer.Layer<Harness, E2, R>
  /** The capabilities of the harness. Laws that need more are skipped. */
  readonly capabilities: ReadonlyArray<Capability>
  /** The laws to run; all by default. */
  readonly laws?: ReadonlyArray<Law>
  /**
   * `simulated` jumps over all waits, for a backend inside the process. By default it is the present clock.
   */
  readonly time?: "present" | "simulated"
  /** The deadline of one law, one minute by default. Its clean-up has as long again. */
  readonly deadline?: Duration.Input
}

/**
 * How one law went.
 *
 * @category models
 * @since 0.1.0
 */
export interface LawResult {
  readonly id: Law["id"]
  readonly title: string
  readonly outcome: "passed" | "failed" | "skipped"
  /** The expected and the observed behaviour, or the missing capability. None if the law holds. */
  readonly message?: string
  readonly durationMillis: number
}

/**
 * How the laws went.
 *
 * @category models
 * @since 0.1.0
 */
export interface LawReport {
  readonly name: string
  readonly passed: number
  readonly failed: number
  readonly skipped: number
  readonly results: ReadonlyArray<LawResult>
}

/**
 * The capabilities that a law needs and that are not claimed.
 *
 * @category getters
 * @since 0.1.0
 */
export const lacking = (law: Law, claimed: ReadonlyArray<Capability>): ReadonlyArray<Capability> =>
  law.needs.filter((capability) => !claimed.includes(capability))

/**
 * Says why a law is skipped; nothing where it is not.
 *
 * @category formatting
 * @since 0.1.0
 */
export const whySkipped = (law: Law, claimed: ReadonlyArray<Capability>): string | undefined => {
  const lacks = lacking(law, claimed)
  return lacks.length === 0
    ? undefined
    : `the harness does not claim ${
      lacks.map((capability) => `\`${capability}\` (${capabilities[capability]})`).join(" and ")
    }`
}

const message = (law: Law, observed: string): string => `${law.title}\n${observed.replaceAll(/^/gm, "  ")}`

const tell = (law: Law, cause: Cause.Cause<unknown>): string => {
  const error = Cause.squash(cause)
  return message(
    law,
    error instanceof LawBroken
      ? error.message
      : new LawBroken({ expected: "it can be found out whether the law holds", observed: describe(cause) }).message
  )
}

/** Waits for an effect for so long. An effect that then ignores its interruption is left behind. */
const noLongerThan = (limit: Duration.Input) => <A, E, R>(self: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const fiber = yield* Effect.forkDetach(self)
    const exit = yield* Fiber.await(fiber).pipe(
      Effect.timeoutOption(limit),
      Effect.onInterrupt(() => Fiber.interrupt(fiber))
    )
    if (Option.isNone(exit)) yield* Effect.timeoutOption(Fiber.interrupt(fiber), "5 seconds")
    return exit
  })

const check = <R, E, E2>(law: Law, options: LawOptions<R, E, E2>) =>
  Effect.gen(function*() {
    const limit = Duration.fromInputUnsafe(options.deadline ?? "1 minute")
    const late = (what: string) =>
      message(
        law,
        new LawBroken({ expected: `${what} ends within ${Duration.format(limit)}`, observed: "it does not" }).message
      )
    const scope = yield* Scope.make()
    const body = Effect.gen(function*() {
      const services = yield* Layer.buildWithMemoMap(
        Layer.provideMerge(options.harness, options.layer),
        yield* Layer.makeMemoMap,
        scope
      )
      yield* Effect.provideContext(law.check, services)
    }).pipe(Effect.provideService(Scope.Scope, scope))

    const close = Effect.flatMap(
      noLongerThan(limit)(Scope.close(scope, Exit.void)),
      Option.match({
        onNone: () => Effect.succeed<string | undefined>(late("its clean-up")),
        onSome: (exit) =>
          Effect.succeed(
            Exit.isSuccess(exit)
              ? undefined
              : message(law, `its clean-up did not succeed: ${describe(exit.cause)}`)
          )
      })
    )
    const exit = yield* noLongerThan(limit)(body).pipe(Effect.onInterrupt(() => close))
    const uncleaned = yield* close
    if (Option.isNone(exit)) return late("the law")
    return Exit.isSuccess(exit.value) ? uncleaned : tell(law, exit.value.cause)
  })

/**
 * Runs one law. It fails never.
 *
 * @category running
 * @since 0.1.0
 */
export const runLaw = <R, E, E2>(law: Law, options: LawOptions<R, E, E2>): Effect.Effect<LawResult> =>
  Effect.gen(function*() {
    const { id, title } = law
    const reason = whySkipped(law, options.capabilities)
    if (reason !== undefined) return { id, title, outcome: "skipped", message: reason, durationMillis: 0 }
    const startedAt = yield* Clock.currentTimeMillis
    const problem = yield* options.time === "simulated" ? simulated(check(law, options)) : check(law, options)
    const durationMillis = (yield* Clock.currentTimeMillis) - startedAt
    return problem === undefined
      ? { id, title, outcome: "passed", durationMillis }
      : { id, title, outcome: "failed", message: problem, durationMillis }
  })

/**
 * Runs the laws, one after the other.
 *
 * **Example** (The laws on names, over Memory)
 *
 * ```ts run
 * import * as Effect from "effect/Effect"
 * import * as Memory from "kubelayer/layers/Memory"
 * import { laws, MemoryHarness, runLaws } from "kubelayer/testing"
 *
 * const report = await Effect.runPromise(runLaws({
 *   name: "memory",
 *   layer: Memory.layer(),
 *   harness: MemoryHarness.layer(),
 *   capabilities: MemoryHarness.capabilities,
 *   laws: laws.filter((law) => law.group === "names"),
 *   time: "simulated"
 * }))
 * console.log(report.passed > 0, report.failed)
 * // => true 0
 * ```
 *
 * @category running
 * @since 0.1.0
 */
export const runLaws = <R, E, E2>(options: LawOptions<R, E, E2>): Effect.Effect<LawReport> =>
  Effect.map(
    Effect.forEach(options.laws ?? laws, (law) => runLaw(law, options)),
    (results) => {
      const count = (outcome: LawResult["outcome"]) => results.filter((result) => result.outcome === outcome).length
      return {
        name: options.name,
        passed: count("passed"),
        failed: count("failed"),
        skipped: count("skipped"),
        results
      }
    }
  )

/**
 * The report as text: one line a law, and below it why it failed or was skipped.
 *
 * @category formatting
 * @since 0.1.0
 */
export const formatReport = (report: LawReport): string =>
  [
    `${report.name}: ${report.passed} passed, ${report.failed} failed, ${report.skipped} skipped`,
    ...report.results.map(({ id, message, outcome }) =>
      `  ${outcome} ${id}${message === undefined ? "" : `\n${message.replaceAll(/^/gm, "    ")}`}`
    )
  ].join("\n")
