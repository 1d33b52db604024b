/** Checks the list of laws as a whole. */
import { assert, it } from "@effect/vitest"
import { capabilities, groups, laws } from "kubelayer/testing"
import { acting, answering } from "./wrong/index.ts"

it("each law is the only one that some wrong provider breaks", () => {
  const alone = new Set([...acting, ...answering].map((wrong) => wrong.breaks))
  const redundant = laws.filter((law) => !alone.has(law.id)).map((law) => law.id)
  assert.deepStrictEqual(redundant, [], "a law that no wrong provider breaks alone says nothing of its own")
})

it("ids are unique, in the order of the groups, and every group and capability is used", () => {
  const ids = laws.map((law) => law.id)
  assert.deepStrictEqual([...new Set(ids)], ids)
  assert.deepStrictEqual([...new Set(laws.map((law) => law.group))], [...groups])
  assert.sameMembers([...new Set(laws.flatMap((law) => law.needs))], Object.keys(capabilities))
})

it("a title is one sentence without a full stop", () => {
  for (const { id, title } of laws) assert.match(title, /^[A-Za-z].*[^.]$/, id)
})
