/**
 * The details of a server in a plan: its place, its price, and everything that retires. Pure.
 */
import type { WantedServer } from "./Desired.ts"
import { priceText } from "./Prices.ts"

/** The place that is tried first, and its price. */
export const priceDetails = ({ places, price }: WantedServer): Readonly<Record<string, string>> => {
  const [first] = places ?? []
  return first === undefined ? {} : {
    serverType: first.serverType,
    location: first.location,
    ...(price === undefined ? {} : { price: priceText(price) })
  }
}

/** Types and images that retire. */
export const deprecationNote = ({ deprecation }: WantedServer): Readonly<Record<string, string>> =>
  deprecation === undefined ? {} : { deprecation }
