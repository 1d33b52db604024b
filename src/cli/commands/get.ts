export const get = (_: {readonly target: ReadonlyArray<string>}) => Effect.succeed(0)
import * as Effect from "effect/Effect"
