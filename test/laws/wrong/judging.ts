import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { type Law, type LawReport, laws, MemoryHarness, runLaws } from "kubelayer/testing"
import { layerOf, secret, type Wrong } from "./Wrong.ts"

const judge = (wrong: Wrong): Promise<LawReport> =>
  Effect.runPromise(
    runLaws({
      name: wrong.does,
      // Of one that breaks several, only those are of interest.
      laws: typeof wrong.breaks === "string" ? laws : laws.filter((law) => wrong.breaks.includes(law.id)),
      layer: layerOf(wrong),
      harness: MemoryHarness.layer({ secrets: [secret] }),
      capabilities: [...MemoryHarness.capabilities, "secrets"],
      time: "simulated"
    })
  )

const told = (report: LawReport, ids: ReadonlyArray<Law["id"]>): string =>
  report.results.filter((result) => ids.includes(result.id)).map(({ id, message }) => `\n- ${id}: ${message}`).join("")

/** Declares a test for each wrong provider: it says which laws should have been broken and which not. */
export const judging = (wrongs: ReadonlyArray<Wrong>): void => {
  for (const wrong of wrongs) {
    it(`a provider that ${wrong.does}`, async () => {
      const report = await judge(wrong)
      const broken = report.results.filter((result) => result.outcome !== "passed").map((result) => result.id)
      const alone = typeof wrong.breaks === "string"
      const missed = [wrong.breaks].flat().filter((id) => !broken.includes(id))
      const others = alone ? broken.filter((id) => id !== wrong.breaks) : []
      if (missed.length > 0) {
        assert.fail(`it does not break ${missed.join(", ")}; it breaks: ${broken.join(", ") || "no law"}`)
      }
      if (others.length > 0) {
        assert.fail(`it was made to break ${wrong.breaks} alone, and breaks:${told(report, others)}`)
      }
    }, 30_000)
  }
}
