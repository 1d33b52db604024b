/** Runs one project of the test suite and counts its tests. */
import * as Effect from "effect/Effect"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { run } from "../lib/exec.ts"
import { ROOT } from "../lib/pack.ts"
import type { Outcome, StepContext, TestCounts } from "./step.ts"

/** The part of vitest's JSON report that is read. */
interface Report {
  readonly numPassedTests?: number
  readonly numFailedTests?: number
  readonly testResults?: ReadonlyArray<{
    readonly assertionResults?: ReadonlyArray<{ readonly status?: string; readonly fullName?: string }>
  }>
}

/** Tests that a selection leaves out are not counted as skipped. */
const countTests = (report: Report, selected: boolean): TestCounts => {
  const skippedNames = selected ? [] : (report.testResults ?? []).flatMap((file) => file.assertionResults ?? [])
    .filter(({ status }) => status !== "passed" && status !== "failed")
    .map(({ fullName }) => fullName ?? "?")
  return {
    passed: report.numPassedTests ?? 0,
    failed: report.numFailedTests ?? 0,
    skipped: skippedNames.length,
    skippedNames
  }
}

const readReport = (path: string): Report | undefined => {
  try {
    return JSON.parse(readFileSync(path, "utf8")) as Report
  } catch {
    return undefined
  }
}

/** The markers in the credentials of tests. The output of a test contains none of them. */
const CANARIES = [
  "canary0123456789",
  "fake-token-that-may",
  "a-credential-that-nobody",
  "BEGIN PGP PRIVATE KEY",
  // The key of a service account, in base64.
  "eyJuYW1lIjoi"
]

export const runTests = Effect.fnUntraced(function*(
  project: "unit" | "engine" | "crash",
  context: StepContext,
  env: Readonly<Record<string, string | undefined>> = {},
  /** The files and tests to run; by default all of the project. */
  selection: ReadonlyArray<string> = [],
  options: ReadonlyArray<string> = []
) {
  const reportFile = join(context.directory, `${project}${selection.length === 0 ? "" : "-selection"}.json`)
  const finished = yield* run(
    join(ROOT, "node_modules/.bin/vitest"),
    [
      "run",
      "--project",
      project,
      "--reporter=default",
      "--reporter=json",
      `--outputFile.json=${reportFile}`,
      ...options,
      ...selection
    ],
    { cwd: ROOT, env, graceMillis: 30_000, ...(context.onOutput && { onOutput: context.onOutput }) }
  )
  const report = readReport(reportFile)
  const tests = report && countTests(report, selection.length > 0)
  const shown = CANARIES.filter((canary) => `${finished.output}${JSON.stringify(report)}`.includes(canary))
  const status = finished.code === 0 && tests !== undefined && tests.passed > 0 && shown.length === 0 ? "ok" : "failed"
  const told = shown.map((canary) => `\nA credential with ${canary} is in this output.\n`).join("")
  const outcome: Outcome = { status, output: `${finished.output}${told}`, ...(tests && { tests }) }
  return outcome
})
