/** The fake engine gives the replies of real engines, request for request. */
import { assert, describe } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { it } from "../support/it.ts"
import { type EngineName, engines, replay, topics } from "./support/replay.ts"

for (const engine of Object.keys(engines) as ReadonlyArray<EngineName>) {
  describe(`the fake answers as ${engine}`, () => {
    for (const topic of topics(engine)) {
      it.simulated(topic, () =>
        Effect.gen(function*() {
          const differences = (yield* replay(engine, topic)).join("\n")
          assert.strictEqual(differences, "", differences)
        }))
    }
  })
}
