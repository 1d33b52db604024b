/** The lines that verify prints. */
import type { Result } from "./schedule.ts"
import type { Counts } from "./step.ts"

const seconds = (millis: number): string => `${(millis / 1000).toFixed(1)} s`

const indent = (text: string): string => text.trimEnd().split("\n").map((line) => `      ${line}`).join("\n")

/** So many skipped tests are named; of the rest only the number is said. */
const MOST_NAMES = 20

/** One line, and for a failure its output, unless that was shown as it came. */
export const lineOf = ({ millis, outcome, step }: Result, outputShown: boolean): string => {
  if (outcome.status === "skipped") return `SKIP  ${step.name}`
  const tests = outcome.tests
  const counts = tests === undefined ? "" : `  ${tests.passed} of ${tests.passed + tests.failed} passed`
  const line = `${outcome.status === "ok" ? "ok  " : "FAIL"}  ${step.name}  ${seconds(millis)}${counts}`
  return outcome.status === "ok" || outputShown ? line : `${line}\n${indent(outcome.output)}`
}

/** A step with tests counts as its tests; if it failed otherwise than by a test, that is one failure more. */
const countsOf = ({ outcome }: Result): Counts => {
  switch (outcome.status) {
    case "skipped":
      return { passed: 0, failed: 0, skipped: 1 }
    case "ok":
      return outcome.tests ?? { passed: 1, failed: 0, skipped: 0 }
    case "failed": {
      const tests = outcome.tests ?? { passed: 0, failed: 0, skipped: 0 }
      return { ...tests, failed: Math.max(tests.failed, 1) }
    }
  }
}

export const total = (results: ReadonlyArray<Result>): Counts =>
  results.map(countsOf).reduce((sum, next) => ({
    passed: sum.passed + next.passed,
    failed: sum.failed + next.failed,
    skipped: sum.skipped + next.skipped
  }), { passed: 0, failed: 0, skipped: 0 })

const skippedTests = (result: Result): ReadonlyArray<string> => {
  const names = result.outcome.status === "skipped" ? [] : result.outcome.tests?.skippedNames ?? []
  const shown = names.slice(0, MOST_NAMES).map((name) => `  SKIPPED TEST  ${result.step.name}: ${name}`)
  return names.length > MOST_NAMES ? [...shown, `  ... and ${names.length - MOST_NAMES} more`] : shown
}

/** Everything that was skipped or failed, together at the end, and the counts on the last line. */
export const summary = (results: ReadonlyArray<Result>, millis: number): string => {
  const { failed, passed, skipped } = total(results)
  const trouble = results.flatMap((result) => [
    ...(result.outcome.status === "skipped" ? [`  SKIPPED  ${result.step.name}: ${result.outcome.why}`] : []),
    ...(result.outcome.status === "failed" ? [`  FAILED  ${result.step.name}`] : []),
    ...skippedTests(result)
  ])
  return [
    "",
    `Took ${seconds(millis)}.`,
    ...(trouble.length > 0 ? ["Not all was checked, or not all passed:", ...trouble] : []),
    `${passed} passed, ${failed} failed, ${skipped} skipped`
  ].join("\n")
}
