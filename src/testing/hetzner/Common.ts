/**
 * The parts that handlers of several kinds of resources share: names, limits, locks, protection.
 */
import { Refusal } from "./Refusal.ts"
import { begun, post, put, type Reply, type Route, uniqueName } from "./Route.ts"
import { checkedLabels, type Labels } from "./Selector.ts"
import * as Shape from "./Shape.ts"
import { type Json } from "./Show.ts"
import { byIdOrName, type Location, need, type Resource, type ResourceType, type World } from "./World.ts"

/** Refuses where the Project has as many of these as it may. @internal */
export const belowLimit = (world: World, name: string, count: number): void => {
  if (count >= (world.settings.limits.get(name) ?? Infinity)) {
    throw new Refusal("resource_limit_exceeded", `${name.replaceAll("_", " ")} exceeded`, { limits: [{ name }] })
  }
}

/** Refuses where something is at work on it. @internal */
export const unlocked = (world: World, type: ResourceType, id: number): void => {
  if (world.running(type, id).length > 0) {
    throw new Refusal("locked", `cannot perform operation because ${type.replaceAll("_", " ")} is locked`)
  }
}

/** @internal */
export const unprotected = (what: string, item: { readonly id: number; readonly protected: boolean }): void => {
  if (item.protected) throw new Refusal("protected", `${what} with ID '${item.id}' is delete protected`)
}

/** The first fields of a new resource of any kind. @internal */
export const begin = (world: World, name: string, labels: Labels = {}): Resource => ({
  id: world.nextId(),
  name,
  labels: checkedLabels(labels),
  created: world.timeline.now()
})

/** @internal */
export const locationOf = (world: World, wanted: string | number, field = "location"): Location => {
  const found = byIdOrName(world.locations, wanted)
  if (found !== undefined) return found
  throw new Refusal("invalid_input", `location ${wanted} not found`, { fields: [{ name: field, messages: [] }] })
}

/** A PUT that changes a name and labels, and what else `also` changes. @internal */
export const updates = <
  A extends { readonly id: number; name: string; labels: Labels },
  F extends Readonly<Record<string, Shape.Shape<unknown>>>
>(
  { items, one, path, show, what }: {
    readonly path: string
    readonly one: string
    readonly what: string
    readonly items: (world: World) => ReadonlyMap<number, A>
    readonly show: (world: World, item: A) => Json
  },
  fields: F,
  also: (item: A, body: Shape.Fields<F>, world: World) => void = () => {}
): Route =>
  put(
    `/${path}/{id}`,
    { name: Shape.optional(Shape.text), labels: Shape.optional(Shape.labels), ...fields },
    ({ body: asked, id, world }): Reply => {
      const body = asked as Shape.Fields<F> & { readonly name?: string; readonly labels?: Labels }
      const item = need(items(world), id, what)
      const labels = body.labels === undefined ? item.labels : checkedLabels(body.labels)
      if (body.name !== undefined) item.name = uniqueName(items(world), body.name, "name is already used", id)
      item.labels = labels
      also(item, body, world)
      return { status: 200, body: { [one]: show(world, item) } }
    }
  )

/** The action that protects something from being deleted, or does so no more. @internal */
export const protects = <A extends { readonly id: number; protected: boolean }>(
  path: string,
  resource: ResourceType,
  items: (world: World) => ReadonlyMap<number, A>
): Route =>
  post(`/${path}/{id}/actions/change_protection`, { delete: Shape.optional(Shape.flag) }, ({ body, id, world }) => {
    const item = need(items(world), id, resource.replaceAll("_", " "))
    return begun(
      world,
      world.act({
        command: "change_protection",
        resources: [{ id, type: resource }],
        done: () => {
          item.protected = body.delete ?? item.protected
        }
      })
    )
  })
