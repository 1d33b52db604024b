/** Providers that answer wrongly: each breaks the law that it was written for. */
import { describe } from "@effect/vitest"
import { answering } from "./wrong/index.ts"
import { judging } from "./wrong/judging.ts"

describe("the laws over providers that answer wrongly", () => {
  judging(answering)
})
