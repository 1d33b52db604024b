/**
 * Says in words what a thing that stays behind goes on costing.
 *
 * The pricing is read only where something stays, and once. Where it cannot be read, the text says only that the thing is
 * billed.
 */
import * as Effect from "effect/Effect"
import type { Client } from "./Client.ts"
import { type Billed, priceOf, type Pricing, PricingReply } from "./Prices.ts"

export type { Billed } from "./Prices.ts"

/** Says what it goes on costing. */
export type Biller = (billed: Billed) => Effect.Effect<string>

/** Reads the pricing at most once. */
export const makeBiller = Effect.fnUntraced(function*(client: Client): Effect.fn.Return<Biller> {
  const pricing = yield* Effect.cached(
    client.read("/pricing", PricingReply).pipe(
      Effect.map((reply): Pricing | undefined => reply.pricing),
      Effect.orElseSucceed((): Pricing | undefined => undefined)
    )
  )
  return (billed) =>
    Effect.map(pricing, (known) => {
      const price = known === undefined ? undefined : priceOf(known, billed)
      return price === undefined
        ? "it goes on being billed every month"
        : `it goes on being billed: ${price.monthly.net.toFixed(2)} ${price.currency} net a month`
    })
})
