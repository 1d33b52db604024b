/**
 * Writes the JSON Schema of documents.
 *
 * Editors with a YAML language server complete and check fields by it.
 */
import * as Effect from "effect/Effect"
import { jsonSchema } from "../../Document.ts"
import { Screen } from "../Screen.ts"

export const schema = Effect.gen(function*() {
  const screen = yield* Screen
  yield* screen.out(JSON.stringify(jsonSchema(), undefined, 2))
  return 0
})
