/**
 * Says in words what a thing that stays behind goes on costing.
 *
 * The pricing is read when it is needed, and again after an hour. If it cannot be read, the text only says that the
 * thing is billed.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Ref from "effect/Ref"
import type { Reading } from "./Client.ts"
import { type Billed, priceOf, type Pricing, PricingReply } from "./Prices.ts"

/** Says what it goes on costing. */
export type Biller = (billed: Billed) => Effect.Effect<string>

const keptForMillis = 60 * 60_000

/** The pricing; undefined where it cannot be read. */
export const makePricing = (read: Reading): Effect.Effect<Effect.Effect<Pricing | undefined>> =>
  Effect.map(
    Ref.make<{ readonly at: number; readonly pricing: Pricing } | undefined>(undefined),
    (known) =>
      Effect.gen(function*() {
        const now = yield* Clock.currentTimeMillis
        const before = yield* Ref.get(known)
        if (before !== undefined && now - before.at < keptForMillis) return before.pricing
        const reply = yield* Effect.option(read.read("/pricing", PricingReply))
        if (reply._tag === "None") return undefined
        yield* Ref.set(known, { at: now, pricing: reply.value.pricing })
        return reply.value.pricing
      })
  )

export const makeBiller = (pricing: Effect.Effect<Pricing | undefined>): Biller => (billed) =>
  Effect.map(pricing, (known) => {
    const price = known === undefined ? undefined : priceOf(known, billed)
    return price === undefined
      ? "it goes on being billed every month"
      : `it goes on being billed: ${price.monthly.net.toFixed(2)} ${price.currency} net a month`
  })
