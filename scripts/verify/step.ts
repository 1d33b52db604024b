/** The model of a check of the project, and its outcomes. */
import type * as Effect from "effect/Effect"
import type { Engine } from "../engine/engine.ts"

export interface Counts {
  readonly passed: number
  readonly failed: number
  readonly skipped: number
}

export type Outcome =
  | { readonly status: "ok" | "failed"; readonly output: string; readonly tests?: TestCounts }
  | { readonly status: "skipped"; readonly why: string }

export interface TestCounts extends Counts {
  /** Names of the tests that were skipped: they are said aloud. */
  readonly skippedNames: ReadonlyArray<string>
}

export interface StepContext {
  /** A directory for the run's files. */
  readonly directory: string
  readonly engine: Engine
  readonly onOutput?: (text: string) => void
}

export interface Step {
  readonly name: string
  /** Names of steps that must have passed before. */
  readonly after?: ReadonlyArray<string>
  /** Skipped, and on CI failed, where there is no engine. */
  readonly needsEngine?: boolean
  /** Runs only with `--full`, or where `--only` names it. */
  readonly full?: boolean
  /** Measures time or loads the engine: nothing else runs beside it. */
  readonly alone?: boolean
  readonly run: (context: StepContext) => Effect.Effect<Outcome, { readonly message: string }>
}
