/** The addresses that nodes get in a subnet, and the subnets that are tried for a network. */
import { assert, describe, it } from "@effect/vitest"
import { freeAddresses, subnetsToTry } from "../../src/docker/Addresses.ts"
import { randomOf } from "./support/random.ts"

describe("addresses and subnets", () => {
  const toNumber = (address: string): number => address.split(".").reduce((sum, octet) => sum * 256 + Number(octet), 0)
  const toText = (value: number): string =>
    [24, 16, 8, 0].map((shift) => Math.floor(value / 2 ** shift) % 256).join(".")
  /** First and last address of a network. */
  const rangeOf = (subnet: string): readonly [number, number] => {
    const [address = "", prefix = ""] = subnet.split("/")
    const size = 2 ** (32 - Number(prefix))
    const first = Math.floor(toNumber(address) / size) * size
    return [first, first + size - 1]
  }
  const overlap = (a: string, b: string): boolean => {
    const [firstA, lastA] = rangeOf(a)
    const [firstB, lastB] = rangeOf(b)
    return firstA <= lastB && firstB <= lastA
  }

  it("nodes get the addresses after the gateway's, those that are taken left out", () => {
    assert.deepStrictEqual(freeAddresses("10.5.0.0/29", new Set(["10.5.0.3"])), [
      "10.5.0.2",
      "10.5.0.4",
      "10.5.0.5",
      "10.5.0.6"
    ])
    assert.deepStrictEqual(freeAddresses("10.5.0.0/31", new Set()), [])
    assert.deepStrictEqual(freeAddresses("10.5.0.0/32", new Set()), [])
    assert.deepStrictEqual(freeAddresses("fd00::/64", new Set()), [])
    assert.isAbove(freeAddresses("10.0.0.0/8", new Set()).length, 1000)
  })

  it("no address is outside of its subnet, the network's, the gateway's, the broadcast's, taken, or given twice", () => {
    const random = randomOf(11)
    for (let world = 0; world < 50; world++) {
      const prefix = 8 + random.below(22)
      const [first, last] = rangeOf(`${toText(random.below(2 ** 32))}/${prefix}`)
      const taken = new Set(Array.from({ length: random.below(20) }, () => toText(first + random.below(16))))
      const free = freeAddresses(`${toText(first)}/${prefix}`, taken)
      assert.strictEqual(new Set(free).size, free.length)
      const wrong = free.filter((address) => {
        const value = toNumber(address)
        return value <= first + 1 || value >= last || taken.has(address)
      })
      assert.deepStrictEqual(wrong, [], `${toText(first)}/${prefix}`)
    }
  })

  it("a requested subnet is the only one that is tried; a pool begins with its first subnet", () => {
    assert.deepStrictEqual(subnetsToTry("10.1.0.0/24", "10.89.0.0/24", ["10.1.0.0/16"]), ["10.1.0.0/24"])
    assert.strictEqual(subnetsToTry(undefined, "10.89.0.0/24", [])[0], "10.89.0.0/24")
    assert.strictEqual(subnetsToTry(undefined, "10.89.0.0/24", ["10.89.0.128/25"])[0], "10.89.1.0/24")
    assert.deepStrictEqual(subnetsToTry(undefined, "10.89.0.0/24", ["10.0.0.0/8"]), [])
  })

  it("nothing that is tried overlaps with a network that is known, or with another that is tried", () => {
    const random = randomOf(12)
    for (let world = 0; world < 60; world++) {
      const known = Array.from({ length: random.below(40) }, () =>
        random.pick([
          () => `10.89.${random.below(256)}.${random.below(256)}/${18 + random.below(14)}`,
          () => `172.${16 + random.below(16)}.0.0/16`,
          () => "fd00:1::/64",
          () => "not a subnet"
        ])())
      const tried = subnetsToTry(undefined, "10.89.0.0/24", known)
      assert.isAtMost(tried.length, 32)
      for (const [index, subnet] of tried.entries()) {
        assert.match(subnet, /^10\.89\.\d+\.0\/24$/)
        for (const other of [...known.filter((each) => /^\d/.test(each)), ...tried.slice(0, index)]) {
          if (overlap(subnet, other)) assert.fail(`${subnet} overlaps with ${other}`)
        }
      }
    }
  })
})
