/**
 * The catalogue of server types, locations and images, and the choice of a spec among them.
 *
 * The catalogue changes from month to month, so no part of it is in the code. Names that it does not have are issues of
 * the spec, reported with similar names. Source: Hetzner Cloud API reference, `GET /server_types`, `/locations`,
 * `/images`.
 */
import * as Effect from "effect/Effect"
import { nearList } from "../internal/Suggest.ts"
import type { Candidate } from "./Candidates.ts"
import type { CallFailure, Reading } from "./Client.ts"
import { isRetired } from "./Deprecation.ts"
import { newestImage, readSnapshots } from "./Images.ts"
import { type Fault, type ImageReference, imageText, type ServerSpec } from "./Spec.ts"
import * as Wire from "./Wire.ts"

/** A candidate with the image that fits its architecture. */
export interface Place extends Candidate {
  readonly image: number
}

/** Servers of one kind that do not exist yet. */
export interface MissingServers {
  /** The path of their fields in the spec. */
  readonly path: string
  readonly spec: ServerSpec
}

export interface Catalogue {
  readonly serverTypes: ReadonlyArray<Wire.ServerType>
  readonly locations: ReadonlyArray<Wire.Location>
  /** By the requested value: all of that name, or the one of that id. */
  readonly images: ReadonlyMap<string, ReadonlyArray<Wire.Image>>
  /** Names of images, if a requested one is not known. */
  readonly imageNames: ReadonlyArray<string>
}

const isId = (image: ImageReference): boolean =>
  typeof image === "number" || typeof image === "string" && /^\d+$/.test(image)

const lookUpImage = (
  client: Reading,
  image: ImageReference
): Effect.Effect<ReadonlyArray<Wire.Image>, CallFailure> =>
  typeof image === "object"
    ? readSnapshots(client, image.selector)
    : isId(image)
    ? Effect.map(client.get(Wire.images, Number(image)), (found) => found === undefined ? [] : [found])
    : client.list(Wire.images, { name: String(image), include_deprecated: "true" })

/** Reads the catalogue, as far as these roles need it. */
export const readCatalogue = Effect.fnUntraced(function*(
  client: Reading,
  wanted: ReadonlyArray<MissingServers>
): Effect.fn.Return<Catalogue, CallFailure> {
  const requested = new Map(
    wanted.flatMap(({ spec: { image } }) => image === undefined ? [] : [[imageText(image), image] as const])
  )
  const [serverTypes, locations, ...found] = yield* Effect.all([
    client.list(Wire.serverTypes),
    client.list(Wire.locations),
    ...[...requested].map(([text, image]) =>
      Effect.map(lookUpImage(client, image), (images) => [text, images] as const)
    )
  ], { concurrency: 8 })
  const unknown = found.some(([text, images]) => {
    const image = requested.get(text)
    return images.length === 0 && typeof image === "string" && !isId(image)
  })
  const all = unknown ? yield* client.list(Wire.images, { type: "system" }) : []
  return {
    serverTypes,
    locations,
    images: new Map(found),
    imageNames: all.flatMap(({ name }) => name ?? [])
  }
})

/** The locations of a type, those with stock before those without. */
const soldIn = (type: Wire.ServerType, now: number): ReadonlyArray<string> => {
  const sold = (type.locations ?? []).filter(({ deprecation }) => !isRetired(deprecation, now))
  return [
    ...sold.filter(({ available }) => available !== false),
    ...sold.filter(({ available }) => available === false)
  ]
    .map(({ name }) => name)
}

export interface Offered {
  readonly faults: ReadonlyArray<Fault>
  /** By path: where servers of that kind can be created, the best first. */
  readonly places: ReadonlyMap<string, ReadonlyArray<Place>>
  /** The network zone of the places. */
  readonly zone: string | undefined
}

const unknownName = (kind: string, name: string | number, known: ReadonlyArray<string>): string =>
  `there is no ${kind} ${name}${nearList(String(name), known)}`

/** The image of a type's architecture, or why there is none. */
const imageFor = (
  type: Wire.ServerType,
  asked: ImageReference,
  images: ReadonlyArray<Wire.Image>
): Wire.Image | string => {
  if (typeof asked === "object") {
    return newestImage(images, { selector: asked.selector, architecture: type.architecture, diskGb: type.disk })
  }
  const fitting = images.find(({ architecture }) => architecture === type.architecture)
  if (fitting === undefined) {
    const others = [...new Set(images.map(({ architecture }) => architecture))].join(", ")
    return `the image ${asked} is for ${others}, and the server type ${type.name} is ${type.architecture}`
  }
  if (type.disk !== undefined && fitting.disk_size > type.disk) {
    return `the image ${asked} needs a disk of ${fitting.disk_size} GB, and the server type ${type.name} has ${type.disk}`
  }
  if (fitting.status !== undefined && fitting.status !== "available") {
    return `the image ${asked} is ${fitting.status}`
  }
  return fitting
}

/**
 * The places of the requested types and locations. With a network, all places are in one zone: the given one, or that
 * of the first place.
 */
export const offer = (
  wanted: ReadonlyArray<MissingServers>,
  catalogue: Catalogue,
  options: { readonly network: boolean; readonly zone: string | undefined; readonly now: number }
): Offered => {
  const faults: Array<Fault> = []
  const { now } = options
  const types = new Map(catalogue.serverTypes.map((type) => [type.name, type]))
  const zones = new Map(catalogue.locations.map((location) => [location.name, location.network_zone]))
  const knownZones = [...new Set(zones.values())]
  if (options.zone !== undefined && !knownZones.includes(options.zone)) {
    faults.push({ path: "network.zone", message: unknownName("network zone", options.zone, knownZones) })
  }
  let zone = options.network ? options.zone : undefined
  const inZone = (location: string): boolean => {
    if (!options.network) return true
    zone ??= zones.get(location)
    return zones.get(location) === zone
  }

  const places = new Map<string, ReadonlyArray<Place>>()
  for (const { path, spec } of wanted) {
    const add = (field: string, message: string) => void faults.push({ path: `${path}.${field}`, message })
    const before = faults.length
    const asked = spec.image ?? ""
    const images = catalogue.images.get(imageText(asked)) ?? []
    if (typeof asked === "object" && images.length === 0) {
      add("image", `the label selector "${asked.selector}" selects no snapshot`)
    } else if (images.length === 0) {
      const near = unknownName("image", imageText(asked), catalogue.imageNames)
      // A snapshot has a description and no name, and people give what they read.
      add("image", isId(asked) ? near : `${near}. A snapshot is given by its id, not by its description`)
    }
    spec.locations?.forEach((location, index) => {
      if (!zones.has(location)) {
        add(`locations[${index}]`, unknownName("location", location, [...zones.keys()]))
      } else if (!inZone(location)) {
        add(`locations[${index}]`, `${location} is in ${zones.get(location)}, and the network is in ${zone}`)
      }
    })
    const found: Array<Place> = []
    const nowhere: Array<string> = []
    spec.serverTypes?.forEach((name, index) => {
      const type = types.get(name)
      if (type === undefined) {
        return add(`serverTypes[${index}]`, unknownName("server type", name, [...types.keys()]))
      }
      const image = images.length === 0 ? undefined : imageFor(type, asked, images)
      if (typeof image === "string") add("image", image)
      if (type.locations === undefined || type.locations === null) {
        return add(`serverTypes[${index}]`, `the API sent no field \`locations\` for the server type ${name}`)
      }
      const sold = soldIn(type, now)
      const where = (spec.locations ?? sold).filter((location) => sold.includes(location) && inZone(location))
      if (where.length === 0) {
        nowhere.push(`${name} is sold in ${sold.length === 0 ? "no location any more" : sold.join(", ")}`)
      }
      if (image === undefined || typeof image === "string") return
      found.push(...where.map((location) => ({ serverType: name, location, image: image.id })))
    })
    if (found.length === 0 && faults.length === before) add("locations", nowhere.join("; "))
    // Stock that the catalogue denies is tried after all that it has.
    const stocked = ({ location, serverType }: Place) =>
      types.get(serverType)?.locations?.find(({ name }) => name === location)?.available !== false
    places.set(path, [...found.filter(stocked), ...found.filter((place) => !stocked(place))])
  }
  return { faults, places, zone }
}
