/** Providers that act wrongly: each breaks the law that it was written for. */
import { describe } from "@effect/vitest"
import { acting } from "./wrong/index.ts"
import { judging } from "./wrong/judging.ts"

describe("the laws over providers that act wrongly", () => {
  judging(acting)
})
