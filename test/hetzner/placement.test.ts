/** Groups of at most ten, and the order in which places are tried. */
import { assert, describe, it } from "@effect/vitest"
import { keyOfCandidate, makeChoice, makeShortages } from "../../src/hetzner/Candidates.ts"
import { groupSize, groupWithRoom, spread } from "../../src/hetzner/Placement.ts"

const sizes = (servers: number) => {
  const found = new Map<number, number>()
  for (const group of spread(servers)) found.set(group, (found.get(group) ?? 0) + 1)
  return [...found.values()]
}

describe("placement groups", () => {
  it("hold at most ten each, and are split evenly", () => {
    for (let servers = 1; servers <= 205; servers++) {
      const all = sizes(servers)
      assert.isAtMost(Math.max(...all), groupSize)
      assert.isAtMost(Math.max(...all) - Math.min(...all), 1)
      assert.strictEqual(all.length, Math.ceil(servers / 10))
    }
    assert.deepStrictEqual(sizes(11), [6, 5])
    assert.deepStrictEqual(sizes(26), [9, 9, 8])
  })

  it("keep the first nodes, the control planes, in one group", () => {
    assert.deepStrictEqual(spread(26).slice(0, 3), [1, 1, 1])
  })

  it("give room in the planned one, else in the emptiest, and never in a full one", () => {
    const groups = [{ name: "a", members: 10 }, { name: "b", members: 7 }, { name: "c", members: 3 }]
    assert.strictEqual(groupWithRoom(groups, "b")?.name, "b")
    assert.strictEqual(groupWithRoom(groups, "a")?.name, "c")
    assert.strictEqual(groupWithRoom(groups, "a", new Set(["c"]))?.name, "b")
    assert.strictEqual(groupWithRoom(groups, undefined, new Set(["b", "c"])), undefined)
  })
})

describe("places to try", () => {
  const first = { serverType: "cx23", location: "fsn1" }
  const second = { serverType: "cx23", location: "nbg1" }
  const third = { serverType: "cx33", location: "fsn1" }
  const ranked = [first, second, third]
  const minute = 60_000

  it("come as they are ranked, each once", () => {
    const choice = makeChoice(ranked, makeShortages())
    const tried = new Set<string>()
    const order = ranked.map(() => {
      const next = choice.next(tried, 0)
      if (next !== undefined) tried.add(keyOfCandidate(next))
      return next
    })
    assert.deepStrictEqual(order, ranked)
    assert.strictEqual(choice.next(tried, 0), undefined)
  })

  it("are not tried by the others of a call once one was sold out", () => {
    const choice = makeChoice(ranked, makeShortages())
    choice.soldOut(first, 0)
    assert.strictEqual(choice.next(new Set(), 0), second)
    assert.deepStrictEqual(choice.passedOver(new Set()), [first])
  })

  it("come last in the next calls, for a time that grows with each shortage", () => {
    const shortages = makeShortages()
    const isFirst = (now: number) => makeChoice(ranked, shortages).next(new Set(), now) === first
    shortages.remember(first, 0)
    assert.isFalse(isFirst(minute - 1))
    assert.isTrue(isFirst(minute))
    shortages.remember(first, minute)
    assert.isFalse(isFirst(3 * minute - 1))
    assert.isTrue(isFirst(3 * minute))
    for (let i = 0; i < 20; i++) shortages.remember(first, (i + 10) * 60 * minute)
    assert.isFalse(isFirst((29 * 60 + 29) * minute))
    assert.isTrue(isFirst((29 * 60 + 30) * minute))
    shortages.remember(first, 9000 * minute)
    shortages.forget(first)
    assert.isTrue(isFirst(9000 * minute))
  })

  it("count a shortage that many servers find at once as one", () => {
    const shortages = makeShortages()
    for (let i = 0; i < 23; i++) shortages.remember(first, i)
    assert.strictEqual(shortages.restsUntil(first, minute), undefined)
  })

  it("are tried after all, when every one was sold out before", () => {
    const shortages = makeShortages()
    shortages.remember(second, 0)
    shortages.remember(third, 10)
    shortages.remember(first, 20)
    assert.strictEqual(makeChoice(ranked, shortages).next(new Set(), 30), second)
  })
})
