/** `it` of `@effect/vitest`, with `it.simulated` for tests on simulated time. */
import { it as live } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { simulated } from "kubelayer/testing/SimulatedTime"

/**
 * Declares a test that runs in simulated time and in a scope of its own. It is for what lives in the process: Memory,
 * and the fakes without a socket.
 */
const simulatedTest = <A, E>(title: string, test: () => Effect.Effect<A, E, Scope.Scope>): void =>
  live.live(title, () => simulated(Effect.scoped(Effect.suspend(test))))

export const it: typeof live & { readonly simulated: typeof simulatedTest } = Object.assign(live, {
  simulated: simulatedTest
})
