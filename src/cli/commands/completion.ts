import * as Effect from "effect/Effect"
export const completion = (_: unknown) => Effect.succeed(0)
export const candidates = (_: unknown) => Effect.succeed(0)
