/**
 * Carries out what documents or saved plans say.
 *
 * It shows each plan, asks before it deletes or buys, and stops at the first plan that fails.
 */
import * as Effect from "effect/Effect"
import type { OperationReport } from "../../Report.ts"
import { UsageError } from "../Failure.ts"
import { applyPlanned, openSaved, planOf, planText, questionOf, readPlans } from "../Plans.ts"
import { withProgress } from "../Progress.ts"
import { hint } from "../Render.ts"
import { Screen } from "../Screen.ts"
import { confirm, renderReports, withDeadline, withOperationTimeout } from "../Session.ts"
import { Settings } from "../Settings.ts"
import { readDocuments, readText } from "../Sources.ts"

export interface ApplyInput {
  /** Files of saved plans. */
  readonly plans: ReadonlyArray<string>
  /** Files of documents. */
  readonly files: ReadonlyArray<string>
}

const looksLikeDocument = (path: string): boolean => /\.ya?ml$/.test(path)

const plansOf = Effect.fnUntraced(function*(input: ApplyInput) {
  const files = [...input.files, ...input.plans.filter(looksLikeDocument)]
  const saved = input.plans.filter((path) => !looksLikeDocument(path))
  if (files.length === 0 && saved.length === 0) {
    return yield* new UsageError({ message: "name a document with -f, or a plan that `plan -o json` has written" })
  }
  const sources = files.length === 0 ? [] : yield* readDocuments(files)
  if (saved.length === 0) return yield* withDeadline(Effect.forEach(sources, planOf))
  const read = yield* Effect.forEach(saved, (path) => Effect.flatMap(readText(path), (text) => readPlans(text, path)))
  return yield* Effect.forEach(read.flat(), (each) => openSaved(each, sources))
})

export const apply = Effect.fnUntraced(function*(input: ApplyInput) {
  const screen = yield* Screen
  const { color, format, isQuiet } = yield* Settings
  const planned = yield* plansOf(input)
  const plans = planned.map(({ plan }) => plan)
  const isText = format !== "json" && format !== "yaml"
  if (!isQuiet && plans.some((plan) => !plan.isEmpty)) {
    yield* screen.err(`${plans.map((plan) => planText(plan, color && screen.errHasColor)).join("\n\n")}\n`)
  }
  const question = plans.some((plan) => plan.refusals.length > 0) ? undefined : questionOf(plans)
  if (question !== undefined) yield* confirm(question)
  const reports: Array<OperationReport> = []
  for (const each of planned) {
    // A person reads that nothing is to do; a program gets the report all the same.
    if (each.plan.isEmpty && isText) yield* hint(`${each.plan.clusterName}: nothing to do`)
    else reports.push(yield* withProgress(withOperationTimeout(applyPlanned(each))))
  }
  if (reports.length > 0) yield* renderReports(reports)
  return 0
})
