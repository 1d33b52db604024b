/** The commands behind scripts/start.mjs: their help, and the columns of the quickstart. */
import { assert, describe, it } from "@effect/vitest"
import { spawnSync } from "node:child_process"
import { readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { columns, wrap } from "../../scripts/quickstart/columns.ts"
import { table } from "../../scripts/quickstart/table.ts"

const start = fileURLToPath(new URL("../../scripts/start.mjs", import.meta.url))
const manifest = JSON.parse(
  readFileSync(fileURLToPath(new URL("../../package.json", import.meta.url)), "utf8")
) as { readonly scripts: Readonly<Record<string, string>> }

describe("start.mjs", () => {
  const verbs = Object.entries(manifest.scripts).flatMap(([verb, script]) => script.includes("start.mjs") ? [verb] : [])

  it.each(verbs)("prints the usage of %s at once, without an install (U23)", (verb) => {
    for (const help of ["--help", "-h", "help"]) {
      // Without a PATH no npm can be started.
      const { status, stderr, stdout } = spawnSync(process.execPath, [start, verb, help], {
        encoding: "utf8",
        env: { PATH: "" }
      })
      assert.deepStrictEqual([status, stderr], [0, ""])
      assert.match(stdout, new RegExp(`^.+\\n\\nUsage: npm run ${verb} -- `))
    }
  })
})

describe("the quickstart's screen", () => {
  it("has columns as wide as their longest cell (U24)", () => {
    assert.deepStrictEqual(columns([["a", "b", "c"], ["quickstart-6m5z-placement-1", "", "d"]]), [
      "a                            b  c",
      "quickstart-6m5z-placement-1     d"
    ])
  })

  it("wraps at words (U24)", () => {
    assert.deepStrictEqual(wrap("running 4/4 → degraded 1/4", 12), ["running 4/4", "→ degraded", "1/4"])
    assert.deepStrictEqual(wrap("quickstart-worker x", 5), ["quickstart-worker", "x"])
  })

  it("has a table that fits the terminal, with the time in the first line of a row (U24)", () => {
    const what = "running 4/4 → degraded 1/4 → stopping 0/4 → stopped 0/4"
    const lines = table([{ step: "watch", what, millis: 1010 }], 50).split("\n")
    assert.isTrue(lines.every((line) => line.length <= 50), lines.join("\n"))
    assert.match(lines[2] ?? "", /^watch {2}running .* 1\.01 s$/)
    assert.strictEqual(lines.length, 4)
  })
})
