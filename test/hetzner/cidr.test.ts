/** Networks and addresses as values. */
import { assert, describe, it } from "@effect/vitest"
import {
  canonicalAddress,
  canonicalCidr,
  cidrSet,
  isAddressIn,
  isInside,
  sameAddress,
  sameCidr,
  sameCidrs,
  suggestCidr
} from "../../src/hetzner/Cidr.ts"
import { faults } from "../../src/hetzner/Validation.ts"

describe("networks", () => {
  it("are the same in every spelling (H7)", () => {
    for (
      const [a, b] of [
        ["::0/0", "::/0"],
        ["2001:DB8:0:0::/32", "2001:db8::/32"],
        ["2001:0db8::/32", "2001:db8::/32"],
        ["10.0.0.0/8", "10.0.0.0/8"]
      ] as const
    ) {
      assert.isTrue(sameCidr(a, b), a)
      assert.strictEqual(canonicalCidr(a), b)
    }
    assert.isFalse(sameCidr("10.0.0.0/8", "10.0.0.0/9"))
    assert.isFalse(sameCidr("0.0.0.0/0", "::/0"))
  })

  it("are compared as sets: order, spelling and doubles do not count (H7)", () => {
    assert.isTrue(sameCidrs(["::0/0", "0.0.0.0/0", "::/0"], ["0.0.0.0/0", "::/0"]))
    assert.isFalse(sameCidrs(["::/0"], ["0.0.0.0/0", "::/0"]))
    assert.deepStrictEqual(cidrSet(["::0/0", "::/0"]), ["::/0"])
  })

  it("that do not parse are equal only to the same text", () => {
    assert.isTrue(sameCidr("nonsense", "nonsense"))
    assert.isFalse(sameCidr("10.0.0.1/8", "10.0.0.0/8"))
  })

  it("contain addresses and smaller networks", () => {
    assert.isTrue(isInside("10.0.1.0/24", "10.0.0.0/16"))
    assert.isTrue(isInside("10.0.0.0/16", "10.0.0.0/16"))
    assert.isFalse(isInside("10.0.0.0/15", "10.0.0.0/16"))
    assert.isTrue(isAddressIn("10.0.1.7", "10.0.1.0/24"))
    assert.isFalse(isAddressIn("10.0.2.7", "10.0.1.0/24"))
    assert.isFalse(isAddressIn("nonsense", "10.0.1.0/24"))
  })
})

describe("addresses", () => {
  it("are the same in every spelling", () => {
    assert.isTrue(sameAddress("2001:DB8:0:0:0:0:0:1", "2001:db8::1"))
    assert.strictEqual(canonicalAddress("::0"), "::")
    assert.isFalse(sameAddress("10.0.0.1", "10.0.0.2"))
  })
})

describe("a refused network", () => {
  const cases = [
    ["203.0.113.7", "203.0.113.7/32"],
    ["10.0.0.1/8", "10.0.0.0/8"],
    ["2001:db8::1", "2001:db8::1/128"],
    ["2001:db8::1/32", "2001:db8::/32"]
  ] as const
  for (const [given, meant] of cases) {
    it(`${given} has the hint "did you mean ${meant}?" (H19)`, () => {
      assert.strictEqual(suggestCidr(given), meant)
      const [fault] = faults({}, {
        cluster: "dev",
        controlPlanes: 1,
        workers: 0,
        nodes: { image: "debian-13", serverTypes: ["cx23"] },
        firewall: { rules: [{ direction: "in", protocol: "tcp", port: "22", sourceIps: [given] }] }
      })
      assert.include(fault?.message ?? "", `did you mean ${meant}?`)
    })
  }

  it("that is nothing like one has no hint (H19)", () => {
    for (const given of ["nonsense", "1.2.3.4/33", "::1/129", "1.2.3.4/8/8", "300.1.1.1", "", "10.0.0.0/8"]) {
      assert.isUndefined(suggestCidr(given), given)
    }
  })
})
