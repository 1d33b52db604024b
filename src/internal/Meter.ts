/** Records the metrics of methods and requests, with their labels. */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Metric from "effect/Metric"
import * as Metrics from "../Metrics.ts"
import { BackendError } from "../Reason.ts"
import { OperationReport } from "../Report.ts"

/** The backend and the instance that a value is recorded for. */
export interface Measured {
  readonly backend: string
  readonly instance: string | undefined
}

const labelsOf = ({ backend, instance }: Measured) => ({ backend, instance: instance ?? backend })

/** Adds one to a counter. */
export const count = (
  metric: Metric.Counter<number>,
  measured: Measured,
  labels: Readonly<Record<string, string>> = {},
  amount = 1
): Effect.Effect<void> => Metric.update(Metric.withAttributes(metric, { ...labelsOf(measured), ...labels }), amount)

/** Sets a gauge, or adds a duration in seconds to a histogram. */
export const observe = (
  metric: Metric.Gauge<number> | Metric.Histogram<number>,
  measured: Measured,
  value: number,
  labels: Readonly<Record<string, string>> = {}
): Effect.Effect<void> =>
  Metric.update(
    Metric.withAttributes(metric as Metric.Metric<number, unknown>, { ...labelsOf(measured), ...labels }),
    value
  )

const tagOf = (error: unknown): string =>
  error instanceof BackendError
    ? error.reason._tag
    : typeof error === "object" && error !== null && "_tag" in error
    ? String(error._tag)
    : "Unknown"

/** `ok`, `interrupted`, or the tag of the reason or error. */
const outcomeOf = (exit: Exit.Exit<unknown, unknown>): string => {
  if (exit._tag === "Success") return "ok"
  if (Cause.hasInterruptsOnly(exit.cause)) return "interrupted"
  const failure = exit.cause.reasons.find(Cause.isFailReason)
  return failure === undefined ? "Defect" : tagOf(failure.error)
}

/** The report that a method returned or failed with. */
export const reportIn = (value: unknown): OperationReport | undefined =>
  value instanceof OperationReport
    ? value
    : typeof value === "object" && value !== null && "report" in value && value.report instanceof OperationReport
    ? value.report
    : undefined

const leftoversIn = (value: unknown): number =>
  typeof value === "object" && value !== null && "leftovers" in value && Array.isArray(value.leftovers)
    ? value.leftovers.length
    : 0

/** Records the end of a method: its outcome, its duration where it is no watch, and the outcomes in its report. */
export const recordMethod = (
  measured: Measured,
  operation: string,
  exit: Exit.Exit<unknown, unknown>,
  durationMillis?: number
): Effect.Effect<void> =>
  Effect.gen(function*() {
    yield* count(Metrics.operations, measured, { operation, outcome: outcomeOf(exit) })
    if (durationMillis === undefined) return
    yield* observe(Metrics.operationDuration, measured, durationMillis / 1000, { operation })
    const result: unknown = exit._tag === "Success" ? exit.value : exit.cause.reasons.find(Cause.isFailReason)?.error
    const left = leftoversIn(result)
    if (left > 0) yield* count(Metrics.leftovers, measured, {}, left)
    for (const entry of reportIn(result)?.outcomes ?? []) {
      yield* count(Metrics.outcomes, measured, { operation, kind: entry.kind, outcome: entry.outcome._tag })
      if (entry.kind === "node") {
        yield* observe(Metrics.nodeDuration, measured, entry.durationMillis / 1000, { operation })
      }
    }
  })
