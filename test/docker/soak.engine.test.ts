/** The soak's first seeds, on the engine of the tests; `npm run soak` goes further. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { soakImage } from "../../scripts/soak/image.ts"
import { killedAt } from "../../scripts/soak/killed.ts"
import { runSeed } from "../../scripts/soak/run.ts"
import { randomWord } from "../../src/internal/Session.ts"

const dockerHost = process.env["KUBELAYER_ENGINE"] ?? ""
const seeds = Array.from({ length: 30 }, (_, index) => index + 1)
/** Calls at whose arrival the process is killed; from its first to some after the last that a create sends. */
const moments = [3, 5, 6, 7, 8, 9, 10, 11, 12, 13]

describe.skipIf(dockerHost === "")("soak", () => {
  it.live("the guarantees are kept under faults, for 30 seeds", () =>
    Effect.gen(function*() {
      const image = yield* soakImage({ dockerHost })
      const run = randomWord(4)
      const results = yield* Effect.forEach(seeds, (seed) => runSeed({ dockerHost, image, run }, seed), {
        concurrency: 6
      })
      const failed = results.filter(({ problems }) => problems.length > 0)
      assert.deepStrictEqual(
        failed.map(({ problems, seed, story }) => [`npm run soak -- --seeds 1 --from ${seed}`, ...problems, ...story]),
        []
      )
    }), 300_000)

  it.live(
    "a process that is killed while it creates leaves nothing that is not found and removed",
    () =>
      Effect.gen(function*() {
        const image = yield* soakImage({ dockerHost })
        const run = randomWord(4)
        const left = yield* Effect.forEach(
          moments,
          (call, index) =>
            killedAt({ dockerHost, image, run }, { call, how: index % 2 === 0 ? "create and delete" : "sweep" })
        )
        assert.deepStrictEqual(left.flat(), [])
      }),
    300_000
  )
})
