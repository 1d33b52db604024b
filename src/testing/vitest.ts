/**
 * Declares a test for each law with a test runner of the vitest kind (vitest, `@effect/vitest`, bun, jest).
 *
 * The runner's own functions are handed over, so that none is a dependency. Whether a law runs or is skipped is decided
 * here, before its test is declared. Tests run on the real event loop, so use the plain `it`, not `it.effect`; time is
 * what the options say.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { laws } from "./laws.ts"
import { type LawOptions, runLaw, whySkipped } from "./runLaws.ts"

/**
 * The functions of a test runner that are used.
 *
 * @category models
 * @since 0.1.0
 */
export interface Runner {
  readonly describe: (name: string, body: () => void) => unknown
  readonly it: {
    (name: string, body: (context?: { readonly signal?: AbortSignal }) => Promise<void>, timeout: number): unknown
    readonly skip: (name: string, body: () => void) => unknown
  }
}

/**
 * Declares the laws as tests of their layer, by group.
 *
 * **Example** (The laws over Memory)
 *
 * ```ts
 * import * as Memory from "kubelayer/layers/Memory"
 * import { MemoryHarness } from "kubelayer/testing"
 * import { describeLaws } from "kubelayer/testing/vitest"
 * import { describe, it } from "vitest"
 *
 * describeLaws({ describe, it }, {
 *   name: "memory",
 *   layer: Memory.layer(),
 *   harness: MemoryHarness.layer(),
 *   capabilities: MemoryHarness.capabilities,
 *   time: "simulated"
 * })
 * ```
 *
 * @category running
 * @since 0.1.0
 */
export const describeLaws = <R, E, E2>({ describe, it }: Runner, options: LawOptions<R, E, E2>): void => {
  const limit = Duration.toMillis(Duration.fromInputUnsafe(options.deadline ?? "1 minute"))
  describe(`laws over ${options.name}`, () => {
    for (const law of options.laws ?? laws) {
      const reason = whySkipped(law, options.capabilities)
      if (reason !== undefined) {
        it.skip(`${law.id}: ${law.title} [${reason}]`, () => {})
        continue
      }
      it(`${law.id}: ${law.title}`, async (context) => {
        const { message, outcome } = await Effect.runPromise(
          runLaw(law, options),
          context?.signal === undefined ? {} : { signal: context.signal }
        )
        if (outcome === "failed") throw new Error(`${law.id}: ${message}`)
        // A law has one deadline for its check and one for its clean-up, and reports which one it missed.
      }, 2 * limit + 15_000)
    }
  })
}
