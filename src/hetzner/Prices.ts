/**
 * Prices from the pricing of the API: by the hour and by the month, without and with VAT. Pure, except for the request
 * that reads the pricing.
 *
 * Amounts are of the API's list. Traffic, usage caps and discounts are not part of them.
 * Source: Hetzner Cloud API reference, `GET /pricing`.
 */
import * as Schema from "effect/Schema"

const orNull = <S extends Schema.Constraint>(schema: S) => Schema.optionalKey(Schema.NullOr(schema))

const Amounts = Schema.Struct({ net: Schema.String, gross: Schema.String })
const AtLocation = Schema.Struct({
  location: Schema.String,
  price_hourly: orNull(Amounts),
  price_monthly: Amounts
})
const ByName = Schema.Array(Schema.Struct({ name: Schema.String, prices: Schema.Array(AtLocation) }))
const ByType = Schema.Array(Schema.Struct({ type: Schema.String, prices: Schema.Array(AtLocation) }))
const ByGigabyte = Schema.Struct({ price_per_gb_month: Amounts })

/** The pricing of the API, as far as it is read. */
export const Pricing = Schema.Struct({
  currency: Schema.String,
  server_types: orNull(ByName),
  load_balancer_types: orNull(ByName),
  primary_ips: orNull(ByType),
  floating_ips: orNull(ByType),
  volume: orNull(ByGigabyte),
  image: orNull(ByGigabyte),
  server_backup: orNull(Schema.Struct({ percentage: Schema.String }))
})
export type Pricing = typeof Pricing.Type

/** The response that has the pricing. */
export const PricingReply = Schema.Struct({ pricing: Pricing })

/** Something that is billed. */
export type Billed =
  | { readonly kind: "volume"; readonly sizeGb: number }
  | { readonly kind: "snapshot"; readonly sizeGb: number }
  | { readonly kind: "primary-ip" | "floating-ip"; readonly type: string; readonly location: string | undefined }
  | {
    readonly kind: "server"
    readonly type: string | undefined
    readonly location: string | undefined
    /** Whether backups are enabled, which costs a share of the server's price. */
    readonly backups?: boolean
  }
  | { readonly kind: "load-balancer"; readonly type: string | undefined; readonly location: string | undefined }

interface Amount {
  /** Without VAT. */
  readonly net: number
  /** With VAT. */
  readonly gross: number
}

/** A price in `currency`, such as `EUR`. */
export interface Price {
  readonly currency: string
  readonly monthly: Amount
  /** Undefined for what has a monthly price only, such as volumes and floating IPs. */
  readonly hourly: Amount | undefined
}

const amountOf = (written: typeof Amounts.Type | null | undefined, factor = 1): Amount | undefined => {
  if (written === null || written === undefined) return undefined
  const [net, gross] = [Number(written.net) * factor, Number(written.gross) * factor]
  return Number.isFinite(net) && Number.isFinite(gross) ? { net, gross } : undefined
}

const add = (a: Amount, b: Amount): Amount => ({ net: a.net + b.net, gross: a.gross + b.gross })

/** One and the share of a server's price that its backups cost. */
const backupFactor = (pricing: Pricing): number => {
  const percentage = Number(pricing.server_backup?.percentage ?? "0")
  return 1 + (Number.isFinite(percentage) ? percentage : 0) / 100
}

const locatedPrices = (pricing: Pricing, billed: Billed): ReadonlyArray<typeof AtLocation.Type> | undefined => {
  switch (billed.kind) {
    case "server":
      return pricing.server_types?.find(({ name }) => name === billed.type)?.prices
    case "load-balancer":
      return pricing.load_balancer_types?.find(({ name }) => name === billed.type)?.prices
    case "primary-ip":
      return pricing.primary_ips?.find(({ type }) => type === billed.type)?.prices
    case "floating-ip":
      return pricing.floating_ips?.find(({ type }) => type === billed.type)?.prices
    default:
      return undefined
  }
}

/** The price of a thing; undefined if the pricing does not have it. */
export const priceOf = (pricing: Pricing, billed: Billed): Price | undefined => {
  const { currency } = pricing
  if (billed.kind === "volume" || billed.kind === "snapshot") {
    const each = billed.kind === "volume" ? pricing.volume : pricing.image
    const monthly = amountOf(each?.price_per_gb_month, billed.sizeGb)
    return monthly === undefined ? undefined : { currency, monthly, hourly: undefined }
  }
  const price = locatedPrices(pricing, billed)?.find(({ location }) => location === billed.location)
  const factor = billed.kind === "server" && billed.backups === true ? backupFactor(pricing) : 1
  const monthly = amountOf(price?.price_monthly, factor)
  return monthly === undefined ? undefined : { currency, monthly, hourly: amountOf(price?.price_hourly, factor) }
}

/** The price of a server with its public addresses. An address without a price adds nothing. */
export const priceOfServer = (
  pricing: Pricing,
  server: {
    readonly type: string | undefined
    readonly location: string | undefined
    readonly ipv4: boolean
    readonly ipv6: boolean
    readonly backups?: boolean
  }
): Price | undefined => {
  const { location } = server
  const own = priceOf(pricing, { kind: "server", ...server })
  const addresses = (["ipv4", "ipv6"] as const).filter((family) => server[family])
    .flatMap((type) => priceOf(pricing, { kind: "primary-ip", type, location }) ?? [])
  return own === undefined ? undefined : sumOf([own, ...addresses])
}

/**
 * The sum of prices of one currency; undefined for none. The hourly sum is of those that have an hourly price, and
 * undefined where none has.
 */
export const sumOf = (prices: ReadonlyArray<Price>): Price | undefined => {
  const [first, ...rest] = prices
  if (first === undefined) return undefined
  return rest.reduce<Price>((sum, price) => ({
    currency: sum.currency,
    monthly: add(sum.monthly, price.monthly),
    hourly: sum.hourly === undefined || price.hourly === undefined
      ? sum.hourly ?? price.hourly
      : add(sum.hourly, price.hourly)
  }), first)
}

/** An amount for people: two digits, or four below one, without rounding a price to nothing. */
const shown = (amount: number): string => amount.toFixed(amount >= 1 || amount === 0 ? 2 : 4)

/** A price for people: `3.49 EUR a month net (4.15 with VAT), 0.0056 EUR an hour`. */
export const priceText = ({ currency, hourly, monthly }: Price): string =>
  `${shown(monthly.net)} ${currency} a month net (${shown(monthly.gross)} with VAT)${
    hourly === undefined ? "" : `, ${shown(hourly.net)} ${currency} an hour`
  }`
