/**
 * The routes of what the fake cloud sells: images, ISO images, server types, locations. Certificates cannot be created, so
 * their list is empty.
 */
import { unprotected } from "./Common.ts"
import { Refusal } from "./Refusal.ts"
import { begun, type Collection, emptied, get, ok, post, put, reads, remove, type Route } from "./Route.ts"
import { checkedLabels } from "./Selector.ts"
import * as Shape from "./Shape.ts"
import { showImage, showIso, showLocation, showPricing, showServerType } from "./Show.ts"
import { type Image, type Iso, type Location, need, type Resource, type ServerType, type World } from "./World.ts"

const architecture = Shape.many(Shape.oneOf("x86", "arm"))

const imageQuery = {
  architecture,
  type: Shape.many(Shape.oneOf("system", "app", "snapshot", "backup")),
  status: Shape.many(Shape.oneOf("available", "creating", "unavailable")),
  bound_to: Shape.many(Shape.natural),
  include_deprecated: Shape.truth
}

const imageCollection: Collection<Image, typeof imageQuery> = {
  path: "images",
  one: "image",
  what: "image",
  items: ({ images: items }) => items,
  show: showImage,
  sorts: ["id", "name", "created"],
  query: imageQuery,
  matches: (image, query) =>
    (query.architecture?.includes(image.architecture) ?? true) &&
    (query.type?.includes(image.type) ?? true) &&
    (query.status?.includes(image.status) ?? true) &&
    (query.bound_to?.includes(image.createdFrom?.id ?? -1) ?? true) &&
    (query.include_deprecated === true || image.deprecated === null),
  resource: "image"
}

const own = (world: World, id: number): Image => {
  const image = need(world.images, id, "image")
  if (image.type === "system") throw new Refusal("forbidden", "only images of the project can be changed")
  return image
}

const images: ReadonlyArray<Route> = [
  ...reads(imageCollection),
  put(
    "/images/{id}",
    {
      description: Shape.optional(Shape.text),
      type: Shape.optional(Shape.literals("snapshot")),
      labels: Shape.optional(Shape.labels)
    },
    ({ body, id, world }) => {
      const image = own(world, id)
      image.labels = body.labels === undefined ? image.labels : checkedLabels(body.labels)
      image.description = body.description ?? image.description
      return { status: 200, body: { image: showImage(world, image) } }
    }
  ),
  remove("/images/{id}", ({ id, world }) => {
    unprotected("image", own(world, id))
    world.images.delete(id)
    for (const server of world.servers.values()) if (server.image === id) server.image = null
    return emptied
  }),
  post("/images/{id}/actions/change_protection", { delete: Shape.optional(Shape.flag) }, ({ body, id, world }) => {
    const image = own(world, id)
    return begun(
      world,
      world.act({
        command: "change_protection",
        resources: [{ id, type: "image" }],
        done: () => {
          image.protected = body.delete ?? image.protected
        }
      })
    )
  })
]

const isoQuery = { architecture, include_architecture_wildcard: Shape.truth }

const isos: Collection<Iso, typeof isoQuery> = {
  path: "isos",
  one: "iso",
  what: "ISO",
  items: ({ isos: items }) => items,
  show: showIso,
  sorts: [],
  query: isoQuery,
  matches: ({ architecture: own }, query) =>
    query.architecture === undefined ||
    (own === null ? query.include_architecture_wildcard === true : query.architecture.includes(own))
}

const serverTypes: Collection<ServerType, Record<never, never>> = {
  path: "server_types",
  one: "server_type",
  what: "server type",
  items: ({ serverTypes: items }) => items,
  show: showServerType,
  sorts: [],
  query: {}
}

const locations: Collection<Location, Record<never, never>> = {
  path: "locations",
  one: "location",
  what: "location",
  items: ({ locations: items }) => items,
  show: showLocation,
  sorts: ["id", "name"],
  query: {}
}

const certificates: Collection<Resource, { type: Shape.Parameter<"uploaded" | "managed"> & { many: true } }> = {
  path: "certificates",
  one: "certificate",
  what: "certificate",
  items: () => new Map(),
  show: () => ({}),
  sorts: ["id", "name", "created"],
  query: { type: Shape.many(Shape.oneOf("uploaded", "managed")) }
}

const ended = () => {
  throw new Refusal("deprecated_api_endpoint", "the datacenters endpoints are gone", {
    announcement: "https://docs.hetzner.cloud/changelog"
  })
}

/** @internal */
export const shelf: ReadonlyArray<Route> = [
  ...images,
  ...reads(isos),
  ...reads(serverTypes),
  ...reads(locations),
  get("/pricing", {}, ({ world }) => ok({ pricing: showPricing(world) })),
  ...reads(certificates),
  get(
    "/datacenters",
    { name: Shape.word, sort: Shape.many(Shape.word), page: Shape.natural, per_page: Shape.natural },
    ended
  ),
  get("/datacenters/{id}", {}, ended)
]
