import { assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import {
  AlreadyDone,
  Done,
  Failed,
  OperationReport,
  Outcome,
  ResourceOutcome,
  RolledBack,
  Skipped,
  Unsupported
} from "kubelayer/Report"
import { locked, refused, reportOf } from "./fixtures.ts"

const done = new Done({})
const already = new AlreadyDone({})
const failed = new Failed({ error: refused })
const skipped = new Skipped({ reason: "used by another cluster" })
const unsupported = new Unsupported({ reason: "it cannot be powered on again" })
const rolledBack = new RolledBack({})

describe("OperationReport", () => {
  it.each<readonly [string, ReadonlyArray<Outcome>, boolean]>([
    ["nothing at all", [], false],
    ["all done", [done, done], false],
    ["all done already", [already], false],
    ["one failed among many done", [done, failed, done], true],
    ["one failed", [failed], true],
    ["all skipped", [skipped, skipped], false],
    ["all unsupported", [unsupported, unsupported], true],
    ["unsupported and skipped", [unsupported, skipped], true],
    ["unsupported and one done", [unsupported, done], false],
    ["unsupported and one done already", [unsupported, already], false],
    ["rolled back", [rolledBack], false]
  ])("%s", (_, outcomes, isFailure) => {
    assert.strictEqual(reportOf(Object.fromEntries(outcomes.entries())).isFailure, isFailure)
  })

  it("gives those of one kind in the report's order, and a no-op is never done", () => {
    const report = reportOf({ a: failed, b: done, c: already, d: skipped, e: unsupported, f: done, g: failed })
    const names = (entries: ReadonlyArray<ResourceOutcome>) => entries.map((entry) => entry.name)
    assert.deepStrictEqual(names(report.failed), ["a", "g"])
    assert.deepStrictEqual(names(report.done), ["b", "f"])
    assert.deepStrictEqual(names(report.skipped), ["d"])
    assert.deepStrictEqual(names(report.unsupported), ["e"])
    assert.deepStrictEqual(report.reasons, [refused.reason, refused.reason])
  })

  it("has the problem of each that is not done, and of no other", () => {
    const report = reportOf({
      a: new Failed({ error: locked }),
      b: done,
      c: already,
      d: skipped,
      e: unsupported,
      f: rolledBack
    })
    assert.deepStrictEqual(report.outcomes.map((entry) => entry.problem), [
      locked.reason.message,
      "",
      "",
      "used by another cluster",
      "it cannot be powered on again",
      ""
    ])
  })

  it.prop("fails if and only if a node failed, or none could be acted on and one is unsupported", {
    outcomes: Schema.Array(Outcome)
  }, ({ outcomes }) => {
    const tags = new Set(outcomes.map((outcome) => outcome._tag))
    const expected = tags.has("Failed") ||
      tags.has("Unsupported") && !tags.has("Done") && !tags.has("AlreadyDone")
    const report = reportOf(Object.fromEntries(outcomes.entries()))
    assert.instanceOf(report, OperationReport)
    assert.strictEqual(report.isFailure, expected)
  })
})
