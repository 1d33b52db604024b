/**
 * Runs steps two at a time, each after those it depends on.
 */
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Semaphore from "effect/Semaphore"
import type { Outcome, Step, StepContext } from "./step.ts"

const WIDTH = 2

export interface Result {
  readonly step: Step
  readonly outcome: Outcome
  readonly millis: number
}

export interface ScheduleOptions {
  readonly steps: ReadonlyArray<Step>
  readonly context: StepContext
  /** An engine must be there: its absence fails a step instead of skipping it. */
  readonly engineRequired: boolean
  readonly onResult: (result: Result) => void
}

const outcomeWithout = (step: Step, options: ScheduleOptions): Outcome | undefined => {
  const { engine } = options.context
  if (!step.needsEngine || engine.kind !== "none") return undefined
  return options.engineRequired
    ? { status: "failed", output: `It needs an engine. ${engine.why}` }
    : { status: "skipped", why: engine.why }
}

export const runSteps = Effect.fnUntraced(function*(options: ScheduleOptions) {
  const { context, onResult, steps } = options
  const places = yield* Semaphore.make(WIDTH)
  const results = new Map<string, Deferred.Deferred<Result>>()
  for (const step of steps) results.set(step.name, yield* Deferred.make<Result>())

  /** The first of the steps it comes after that did not pass; those not chosen for this run do not count. */
  const blockedBy = Effect.fnUntraced(function*(step: Step) {
    for (const name of step.after ?? []) {
      const deferred = results.get(name)
      if (deferred !== undefined && (yield* Deferred.await(deferred)).outcome.status !== "ok") return name
    }
    return undefined
  })

  const perform = (step: Step): Effect.Effect<Outcome> =>
    step.run(context).pipe(
      Effect.catchCause((cause) => {
        if (Cause.hasInterruptsOnly(cause)) return Effect.interrupt
        const error = Cause.squash(cause)
        const output = Cause.hasDies(cause) || !(error instanceof Error) ? Cause.pretty(cause) : error.message
        return Effect.succeed<Outcome>({ status: "failed", output })
      })
    )

  const complete = Effect.fnUntraced(function*(step: Step) {
    const blocker = yield* blockedBy(step)
    let millis = 0
    let outcome = outcomeWithout(step, options)
    if (blocker !== undefined) outcome = { status: "skipped", why: `"${blocker}" did not pass` }
    if (outcome === undefined) {
      outcome = yield* places.withPermits(step.alone ? WIDTH : 1)(Effect.suspend(() => {
        const start = Date.now()
        return Effect.onExit(perform(step), () => Effect.sync(() => millis = Date.now() - start))
      }))
    }
    const result: Result = { step, outcome, millis }
    onResult(result)
    const deferred = results.get(step.name)
    if (deferred !== undefined) yield* Deferred.succeed(deferred, result)
  })

  yield* Effect.forEach(steps, complete, { concurrency: "unbounded", discard: true })
})
