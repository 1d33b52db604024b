import * as Effect from "effect/Effect"
export const doctor = Effect.succeed(0)
