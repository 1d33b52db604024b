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
  const ranked = [["cx23", "fsn1"], ["cx23", "nbg1"], ["cx33", "fsn1"]].map(([serverType = "", location = ""]) => ({
    serverType,
    location
  }))
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
    const [first = { serverType: "", location: "" }] = ranked
    choice.soldOut(first, 0)
    assert.strictEqual(choice.next(new Set(), 0), ranked[1])
    assert.deepStrictEqual(choice.passedOver(new Set()), [ranked[0]])
  })

  it("come last in the next calls, for a time that grows with each shortage", () => {
    const shortages = makeShortages()
    const isFirst = (now: number) => makeChoice(ranked, shortages).next(new Set(), now) === ranked[0]
    shortages.remember(ranked[0]!, 0)
    assert.isFalse(isFirst(minute - 1))
    assert.isTrue(isFirst(minute))
    shortages.remember(ranked[0]!, minute)
    assert.isFalse(isFirst(3 * minute - 1))
    assert.isTrue(isFirst(3 * minute))
    for (let i = 0; i < 20; i++) shortages.remember(ranked[0]!, (i + 10) * 60 * minute)
    assert.isFalse(isFirst((29 * 60 + 29) * minute))
    assert.isTrue(isFirst((29 * 60 + 30) * minute))
    shortages.remember(ranked[0]!, 9000 * minute)
    shortages.forget(ranked[0]!)
    assert.isTrue(isFirst(9000 * minute))
  })

  it("count a shortage that many servers find at once as one", () => {
    const shortages = makeShortages()
    for (let i = 0; i < 23; i++) shortages.remember(ranked[0]!, i)
    assert.strictEqual(shortages.restsUntil(ranked[0]!, minute), undefined)
  })

  it("are tried after all, when every one was sold out before", () => {
    const shortages = makeShortages()
    shortages.remember(ranked[1]!, 0)
    shortages.remember(ranked[2]!, 10)
    shortages.remember(ranked[0]!, 20)
    assert.strictEqual(makeChoice(ranked, shortages).next(new Set(), 30), ranked[1])
  })
})
