/**
 * Shows what `apply` would do with documents.
 *
 * As JSON it is a file that `apply` carries out.
 */
import * as Effect from "effect/Effect"
import { exitCodes } from "../../Script.ts"
import { planOf, planText, savedPlan } from "../Plans.ts"
import { hint, renderValue } from "../Render.ts"
import { Screen } from "../Screen.ts"
import { withDeadline } from "../Session.ts"
import { Settings } from "../Settings.ts"
import { readDocuments } from "../Sources.ts"

export const plan = Effect.fnUntraced(function*(
  input: { readonly files: ReadonlyArray<string>; readonly exitCode: boolean }
) {
  const screen = yield* Screen
  const { color, format } = yield* Settings
  const sources = yield* readDocuments(input.files)
  const planned = yield* withDeadline(Effect.forEach(sources, planOf))
  const [only, ...others] = planned.map(savedPlan)
  if (format === "name") {
    const names = planned.flatMap(({ plan }) => plan.changes.map(({ kind, name }) => `${kind}/${name}`))
    if (names.length > 0) yield* screen.out(names.join("\n"))
  } else {
    const text = planned.map(({ plan }) => planText(plan, color && screen.outHasColor)).join("\n\n")
    yield* renderValue(others.length === 0 ? only : [only, ...others], text)
  }
  const refused = planned.filter(({ plan }) => plan.refusals.length > 0)
  for (const { plan } of refused) {
    yield* hint(`cluster "${plan.clusterName}": ${plan.refusals.length} refused; apply would fail before any change`)
  }
  return input.exitCode && planned.some(({ plan }) => !plan.isEmpty) ? exitCodes.notReady : 0
})
