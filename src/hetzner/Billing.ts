/**
 * What something that stays behind goes on costing, in words.
 *
 * Prices are read only where something stays, and net of VAT. Where they cannot be read, that it is billed is said all
 * the same.
 * Source: Hetzner Cloud API reference, `GET /pricing`.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { Client } from "./Client.ts"

const Price = Schema.Struct({ net: Schema.String })
const PerLocation = Schema.Struct({ location: Schema.String, price_monthly: Price })
const Prices = Schema.Array(PerLocation)

const PricingReply = Schema.Struct({
  pricing: Schema.Struct({
    currency: Schema.String,
    volume: Schema.optionalKey(Schema.Struct({ price_per_gb_month: Price })),
    primary_ips: Schema.optionalKey(Schema.Array(Schema.Struct({ type: Schema.String, prices: Prices }))),
    floating_ips: Schema.optionalKey(Schema.Array(Schema.Struct({ type: Schema.String, prices: Prices }))),
    server_types: Schema.optionalKey(Schema.Array(Schema.Struct({ name: Schema.String, prices: Prices }))),
    load_balancer_types: Schema.optionalKey(Schema.Array(Schema.Struct({ name: Schema.String, prices: Prices })))
  })
})

type Pricing = (typeof PricingReply.Type)["pricing"]

/** Something that is billed by the month. */
export type Billed =
  | { readonly kind: "volume"; readonly sizeGb: number }
  | { readonly kind: "primary_ips" | "floating_ips"; readonly type: string; readonly location: string | undefined }
  | {
    readonly kind: "server_types" | "load_balancer_types"
    readonly name: string | undefined
    readonly location: string | undefined
  }

const monthly = (pricing: Pricing, billed: Billed): number | undefined => {
  if (billed.kind === "volume") {
    const price = pricing.volume?.price_per_gb_month.net
    return price === undefined ? undefined : Number(price) * billed.sizeGb
  }
  const prices = "type" in billed
    ? pricing[billed.kind]?.find(({ type }) => type === billed.type)?.prices
    : pricing[billed.kind]?.find(({ name }) => name === billed.name)?.prices
  const price = prices?.find(({ location }) => location === billed.location)?.price_monthly.net
  return price === undefined ? undefined : Number(price)
}

/** Says what it goes on costing. */
export type Biller = (billed: Billed) => Effect.Effect<string>

/** Asks for the prices at most once. */
export const makeBiller = Effect.fnUntraced(function*(client: Client): Effect.fn.Return<Biller> {
  const pricing = yield* Effect.cached(
    client.read("/pricing", PricingReply).pipe(
      Effect.map((reply): Pricing | undefined => reply.pricing),
      Effect.orElseSucceed((): Pricing | undefined => undefined)
    )
  )
  return (billed) =>
    Effect.map(pricing, (known) => {
      const price = known === undefined ? undefined : monthly(known, billed)
      return price === undefined || !Number.isFinite(price)
        ? "it goes on being billed every month"
        : `it goes on being billed: ${price.toFixed(2)} ${known?.currency} net a month`
    })
})
