/**
 * The places and prices of servers that do not exist yet, from the catalogue and the pricing.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import { InvalidSpec } from "../ProviderError.ts"
import { InvalidInput } from "../Reason.ts"
import type { CallFailure, Issue, Task } from "../Resource.ts"
import { type Catalogue, type MissingServers, offer, type Offered, type Place, readCatalogue } from "./Catalogue.ts"
import type { Reading } from "./Client.ts"
import type { Context } from "./Context.ts"
import { deprecationText } from "./Deprecation.ts"
import type { WantedServer } from "./Desired.ts"
import { priceOfServer, type Pricing } from "./Prices.ts"

export interface ReadOffers {
  readonly catalogue: Catalogue
  readonly offered: Offered
  readonly pricing: Pricing | undefined
  readonly now: number
}

/** Servers of one kind each, by their path. */
const kindsOf = (servers: ReadonlyArray<WantedServer>): ReadonlyArray<MissingServers> => [
  ...new Map(servers.map(({ path, spec }) => [path, { path, spec }])).values()
]

/** Reads what the missing servers can be created from. Reads nothing where none is missing. */
export const readOffers = Effect.fnUntraced(function*(
  context: Context,
  read: Reading,
  missing: ReadonlyArray<WantedServer>,
  zone: string | undefined
): Effect.fn.Return<ReadOffers | undefined, CallFailure> {
  if (missing.length === 0) return undefined
  const kinds = kindsOf(missing)
  const [catalogue, pricing] = yield* Effect.all([readCatalogue(read, kinds), context.pricing], { concurrency: 2 })
  const now = yield* Clock.currentTimeMillis
  const network = missing.some((server) => server.network !== undefined)
  return { catalogue, pricing, now, offered: offer(kinds, catalogue, { network, zone, now }) }
})

const deprecationOf = ({ catalogue, now }: ReadOffers, place: Place): string | undefined => {
  const type = catalogue.serverTypes.find(({ name }) => name === place.serverType)
  const ofType = deprecationText(type?.locations?.find(({ name }) => name === place.location)?.deprecation, now)
  const image = [...catalogue.images.values()].flat().find(({ id }) => id === place.image)
  const texts = [
    ...(ofType === undefined ? [] : [`server type ${place.serverType}: ${ofType}`]),
    ...(image?.deprecated === undefined || image.deprecated === null
      ? []
      : [`image ${image.name ?? image.id}: deprecated since ${image.deprecated.slice(0, 10)}`])
  ]
  return texts.length === 0 ? undefined : texts.join("; ")
}

/** A server with its places and their price. */
export const withOffer = (server: WantedServer, offers: ReadOffers | undefined): WantedServer => {
  const places = offers?.offered.places.get(server.path)
  if (offers === undefined || places === undefined) return server
  const [first] = places
  if (first === undefined) return { ...server, places }
  const { location, serverType: type } = first
  return {
    ...server,
    places,
    price: offers.pricing === undefined
      ? undefined
      : priceOfServer(offers.pricing, { type, location, ...server.publicNet }),
    deprecation: deprecationOf(offers, first)
  }
}

export const issuesOfOffers = (offers: ReadOffers | undefined): ReadonlyArray<Issue> => offers?.offered.faults ?? []

/** The places of a server that is created. They are known, unless it existed when the plan was created. */
export const placesOf = (
  context: Context,
  server: WantedServer,
  task: Task
): Effect.Effect<ReadonlyArray<Place>, CallFailure> =>
  server.places !== undefined ? Effect.succeed(server.places) : task.once(
    `places of ${server.path}`,
    Effect.flatMap(readOffers(context, context.client, [server], undefined), (offers) => {
      const issues = issuesOfOffers(offers)
      return issues.length > 0
        ? Effect.fail(task.error(new InvalidInput({ detail: new InvalidSpec({ issues }).message })))
        : Effect.succeed(offers?.offered.places.get(server.path) ?? [])
    })
  )
