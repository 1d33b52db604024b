/** Prices of resources, from the pricing endpoint of the API. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { priceOf, priceOfServer, priceText, Pricing, sumOf } from "../../src/hetzner/Prices.ts"
import { startFake } from "./fake/support.ts"

const amounts = (net: number) => ({ net: net.toFixed(10), gross: (net * 1.19).toFixed(16) })
const at = (location: string, hourly: number, monthly: number) => ({
  location,
  price_hourly: amounts(hourly),
  price_monthly: amounts(monthly)
})
const pricing: Pricing = {
  currency: "EUR",
  server_types: [{ name: "cx23", prices: [at("fsn1", 0.0056, 3.49), at("ash", 0.01, 6)] }],
  load_balancer_types: [{ name: "lb11", prices: [at("fsn1", 0.0088, 5.39)] }],
  primary_ips: [{ type: "ipv4", prices: [at("fsn1", 0.0008, 0.5)] }],
  floating_ips: [{ type: "ipv4", prices: [{ location: "fsn1", price_monthly: amounts(3) }] }],
  volume: { price_per_gb_month: amounts(0.044) },
  image: { price_per_gb_month: amounts(0.011) },
  server_backup: { percentage: "20.0000000000" }
}

const rounded = (price: ReturnType<typeof priceOf>) =>
  price === undefined ? undefined : [
    price.monthly.net.toFixed(4),
    price.monthly.gross.toFixed(4),
    price.hourly?.net.toFixed(5)
  ]

describe("a price", () => {
  it("is by the hour and by the month, without and with VAT, of the location", () => {
    const of = (location: string) => priceOf(pricing, { kind: "server", type: "cx23", location })
    assert.deepStrictEqual(rounded(of("fsn1")), ["3.4900", "4.1531", "0.00560"])
    assert.deepStrictEqual(rounded(of("ash")), ["6.0000", "7.1400", "0.01000"])
  })

  it("of a server with backups is higher by their percentage", () => {
    const price = priceOf(pricing, { kind: "server", type: "cx23", location: "fsn1", backups: true })
    assert.deepStrictEqual(rounded(price), ["4.1880", "4.9837", "0.00672"])
  })

  it("of a volume or a snapshot is by the gigabyte, and has no hourly part", () => {
    assert.deepStrictEqual(rounded(priceOf(pricing, { kind: "volume", sizeGb: 100 })), ["4.4000", "5.2360", undefined])
    assert.deepStrictEqual(rounded(priceOf(pricing, { kind: "snapshot", sizeGb: 10 })), ["0.1100", "0.1309", undefined])
  })

  it("is undefined for what the pricing does not have, and never zero or NaN", () => {
    const unknown = [
      priceOf(pricing, { kind: "server", type: "cx99", location: "fsn1" }),
      priceOf(pricing, { kind: "server", type: "cx23", location: "hel1" }),
      priceOf(pricing, { kind: "server", type: undefined, location: undefined }),
      priceOf({ currency: "EUR" }, { kind: "volume", sizeGb: 10 }),
      priceOf({ ...pricing, volume: { price_per_gb_month: { net: "?", gross: "?" } } }, { kind: "volume", sizeGb: 10 })
    ]
    assert.deepStrictEqual(unknown, unknown.map(() => undefined))
  })
})

describe("a sum", () => {
  it("of a server and its addresses adds what has a price", () => {
    const server = { type: "cx23", location: "fsn1", ipv4: true, ipv6: true }
    assert.deepStrictEqual(rounded(priceOfServer(pricing, server)), ["3.9900", "4.7481", "0.00640"])
    assert.deepStrictEqual(rounded(priceOfServer(pricing, { ...server, ipv4: false })), ["3.4900", "4.1531", "0.00560"])
    assert.isUndefined(priceOfServer(pricing, { ...server, type: "cx99" }))
  })

  it("has the hourly prices of those that have one", () => {
    const server = priceOf(pricing, { kind: "server", type: "cx23", location: "fsn1" })
    const volume = priceOf(pricing, { kind: "volume", sizeGb: 10 })
    if (server === undefined || volume === undefined) return assert.fail("a price is missing")
    assert.deepStrictEqual(rounded(sumOf([volume, server, server])), ["7.4200", "8.8298", "0.01120"])
    assert.isUndefined(sumOf([]))
    assert.isUndefined(sumOf([volume])?.hourly)
  })
})

describe("the text of a price", () => {
  it("has its currency and both amounts, and rounds no price to nothing", () => {
    const price = priceOf(pricing, { kind: "server", type: "cx23", location: "fsn1" })
    assert.strictEqual(
      price && priceText(price),
      "3.49 EUR a month net (4.15 with VAT), 0.0056 EUR an hour"
    )
    const ip = priceOf(pricing, { kind: "floating-ip", type: "ipv4", location: "fsn1" })
    assert.strictEqual(ip && priceText(ip), "3.00 EUR a month net (3.57 with VAT)")
  })
})

describe("the pricing of the API", () => {
  it.live("has a price for everything that can be created", () =>
    Effect.gen(function*() {
      const fake = yield* startFake()
      const { json } = yield* fake.call("GET", "/pricing")
      const known = Schema.decodeUnknownSync(Pricing)(json.pricing)
      for (
        const billed of [
          { kind: "server", type: "cx23", location: "fsn1" },
          { kind: "load-balancer", type: "lb11", location: "fsn1" },
          { kind: "primary-ip", type: "ipv4", location: "fsn1" },
          { kind: "floating-ip", type: "ipv6", location: "hel1" },
          { kind: "volume", sizeGb: 10 },
          { kind: "snapshot", sizeGb: 10 }
        ] as const
      ) {
        assert.isAbove(priceOf(known, billed)?.monthly.gross ?? 0, 0, billed.kind)
      }
    }))
})
