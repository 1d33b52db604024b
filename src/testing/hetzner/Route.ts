/**
 * A route of the fake API, and what every collection has: lists by page, one by id, and the actions about it.
 *
 * A route declares its parameters and fields. Everything else in a request is a violation, so handlers need no check of
 * their own.
 */
import { invalid, Refusal } from "./Refusal.ts"
import { type Labels, parseSelector } from "./Selector.ts"
import * as Shape from "./Shape.ts"
import { type Json, showAction } from "./Show.ts"
import { type Action, need, type ResourceType, type World } from "./World.ts"

/** @internal */
export interface Reply {
  readonly status: number
  /** Absent where the reply has no body. */
  readonly body?: Json
}

/** The input of a handler. @internal */
export interface Asked<Q, B> {
  readonly world: World
  /** The numbers of the path, in their order. */
  readonly id: number
  readonly second: number
  readonly query: Q
  readonly body: B
}

/** @internal */
export interface Route {
  readonly method: "GET" | "POST" | "PUT" | "DELETE"
  readonly template: string
  readonly query: Readonly<Record<string, Shape.Parameter<unknown>>>
  /** Absent where a request may have no body. */
  readonly body?: Shape.Shape<unknown>
  // Each handler is checked against its own route where the route is defined.
  readonly handle: (asked: Asked<never, never>) => Reply
}

type Queries = Readonly<Record<string, Shape.Parameter<unknown>>>

/** @internal */
export const get = <Q extends Queries>(
  template: string,
  query: Q,
  handle: (asked: Asked<Shape.Parameters<Q>, undefined>) => Reply
): Route => ({ method: "GET", template, query, handle })

const writing = (method: "POST" | "PUT") =>
<F extends Readonly<Record<string, Shape.Shape<unknown>>>>(
  template: string,
  fields: F,
  handle: (asked: Asked<unknown, Shape.Fields<F>>) => Reply
): Route => ({ method, template, query: {}, body: Shape.record(fields), handle })

/** @internal */
export const post = writing("POST")
/** @internal */
export const put = writing("PUT")
/** A POST that says everything by its path. @internal */
export const bare = (template: string, handle: (asked: Asked<unknown, undefined>) => Reply): Route => ({
  method: "POST",
  template,
  query: {},
  handle
})
/** @internal */
export const remove = (template: string, handle: (asked: Asked<unknown, undefined>) => Reply): Route => ({
  method: "DELETE",
  template,
  query: {},
  handle
})

/** @internal */
export const ok = (body: Json): Reply => ({ status: 200, body })
/** @internal */
export const made = (body: Json): Reply => ({ status: 201, body })
/** @internal */
export const emptied: Reply = { status: 204 }

/** The reply to a call that has begun an action. @internal */
export const begun = (world: World, action: Action, beside: Json = {}): Reply =>
  made({ action: showAction(world, action), ...beside })

const LARGEST_PAGE = 50
const USUAL_PAGE = 25

/** One page of the requested list, with the six keys of its pagination. @internal */
export const page = <A>(
  key: string,
  items: ReadonlyArray<A>,
  query: { readonly page?: number; readonly per_page?: number },
  show: (item: A) => Json
): Json => {
  const at = query.page ?? 1
  const size = query.per_page ?? USUAL_PAGE
  if (at < 1) throw invalid("page", "must be at least 1")
  if (size < 1 || size > LARGEST_PAGE) throw invalid("per_page", `must be from 1 to ${LARGEST_PAGE}`)
  const last = Math.max(1, Math.ceil(items.length / size))
  return {
    [key]: items.slice((at - 1) * size, at * size).map(show),
    meta: {
      pagination: {
        page: at,
        per_page: size,
        previous_page: at > 1 ? at - 1 : null,
        next_page: at < last ? at + 1 : null,
        last_page: last,
        total_entries: items.length
      }
    }
  }
}

/** Sorts by `field`, `field:asc` and `field:desc`, the first key first. @internal */
export const sorted = (items: ReadonlyArray<Json>, sorts: ReadonlyArray<string>, allowed: ReadonlyArray<string>) => {
  const keys = sorts.map((sort) => {
    const [field = "", order = "asc", ...more] = sort.split(":")
    if (more.length > 0 || !allowed.includes(field) || (order !== "asc" && order !== "desc")) {
      throw invalid("sort", `unknown sort key '${sort}'`)
    }
    return { field, sign: order === "asc" ? 1 : -1 }
  })
  const valueOf = (item: Json, field: string) => item[field] as string | number
  return keys.length === 0 ? items : [...items].sort((a, b) => {
    for (const { field, sign } of keys) {
      const [left, right] = [valueOf(a, field), valueOf(b, field)]
      if (left !== right) return left < right ? -sign : sign
    }
    return 0
  })
}

const paging = { page: Shape.natural, per_page: Shape.natural }

/** The parts of a collection. @internal */
export interface Collection<A, Q extends Queries> {
  /** Also the key of a list. */
  readonly path: string
  /** The key of one. */
  readonly one: string
  /** How it is called in a message. */
  readonly what: string
  readonly items: (world: World) => ReadonlyMap<number, A>
  readonly show: (world: World, item: A) => Json
  /** By what a list can be sorted; none where it cannot. */
  readonly sorts: ReadonlyArray<string>
  /** Parameters of a list beside name, labels, sort and page. */
  readonly query: Q
  /** The resources of a list. */
  readonly matches?: (item: A, query: Shape.Parameters<Q>, world: World) => boolean
  /** Its type in actions, where it has some. */
  readonly resource?: ResourceType
}

/** The routes that read a collection. @internal */
export const reads = <
  A extends { readonly id: number; readonly name: string | null; readonly labels?: Labels },
  Q extends Queries
>(
  collection: Collection<A, Q>
): ReadonlyArray<Route> => {
  const { items, matches, one, path, resource, show, sorts, what } = collection
  const parameters = {
    ...collection.query,
    ...paging,
    name: Shape.word,
    label_selector: Shape.word,
    // One client sends it to collections that cannot be sorted, too.
    sort: Shape.many(Shape.word)
  }
  const readable: Array<Route> = [
    get(`/${path}`, parameters, ({ query: asked, world }) => {
      const query = asked as Shape.Parameters<Q> & {
        readonly name?: string
        readonly label_selector?: string
        readonly sort?: ReadonlyArray<string>
        readonly page?: number
        readonly per_page?: number
      }
      const selects = query.label_selector === undefined ? () => true : parseSelector(query.label_selector)
      const chosen: Array<A> = []
      for (const item of items(world).values()) {
        if (query.name !== undefined && item.name !== query.name) continue
        if (selects(item.labels ?? {}) && (matches === undefined || matches(item, query, world))) chosen.push(item)
      }
      if (query.sort === undefined) return ok(page(path, chosen, query, (item) => show(world, item)))
      const allowed = sorts.length === 0 ? ["id", "name"] : sorts
      const shown = sorted(chosen.map((item) => show(world, item)), query.sort, allowed)
      return ok(page(path, shown, query, (item) => item))
    }),
    get(`/${path}/{id}`, {}, ({ id, world }) => ok({ [one]: show(world, need(items(world), id, what)) }))
  ]
  return resource === undefined ? readable : [...readable, ...actionsOf(path, resource)]
}

const actionSorts = ["id", "command", "status", "started", "finished"]

const ofActions = {
  id: Shape.many(Shape.natural),
  status: Shape.many(Shape.oneOf("running", "success", "error")),
  sort: Shape.many(Shape.word),
  ...paging
}

const chosen = (
  world: World,
  query: Shape.Parameters<typeof ofActions>,
  about: (action: Action) => boolean
): ReadonlyArray<Json> => {
  const found: Array<Action> = []
  const wanted = query.id === undefined
    ? world.actions.values()
    : query.id.flatMap((id) => world.actions.get(id) ?? [])
  for (const action of wanted) {
    if (about(action) && (query.status === undefined || query.status.includes(action.status))) found.push(action)
  }
  return sorted(found.map((action) => showAction(world, action)), query.sort ?? [], actionSorts)
}

const listed = (
  world: World,
  query: Shape.Parameters<typeof ofActions>,
  about: (action: Action) => boolean
): Json => page("actions", chosen(world, query, about), query, (action) => action)

const oneAction = (world: World, id: number, about: (action: Action) => boolean): Json => {
  const action = need(world.actions, id, "action")
  if (!about(action)) throw new Refusal("not_found", `action with ID '${id}' not found`)
  return { action: showAction(world, action) }
}

const isAbout = (type: ResourceType, id?: number) => ({ resources }: Action): boolean =>
  resources.some((resource) => resource.type === type && (id === undefined || resource.id === id))

/** The four forms in which the actions of a resource can be read. */
const actionsOf = (path: string, type: ResourceType): ReadonlyArray<Route> => {
  const { id: _, ...ofOne } = ofActions
  return [
    get(`/${path}/actions`, ofActions, ({ query, world }) => ok(listed(world, query, isAbout(type)))),
    get(`/${path}/actions/{id}`, {}, ({ id, world }) => ok(oneAction(world, id, isAbout(type)))),
    get(`/${path}/{id}/actions`, ofOne, ({ id, query, world }) => ok(listed(world, query, isAbout(type, id)))),
    get(
      `/${path}/{id}/actions/{id}`,
      {},
      ({ id, second, world }) => ok(oneAction(world, second, isAbout(type, id)))
    )
  ]
}

/** The actions of the whole Project, which can be read by their ids only. @internal */
export const actions: ReadonlyArray<Route> = [
  get("/actions", ofActions, ({ query, world }) => {
    if (query.id === undefined) {
      throw new Refusal(
        "deprecated_api_endpoint",
        "listing all actions is not possible any more, ask for them by their ids",
        { announcement: "https://docs.hetzner.cloud/changelog" }
      )
    }
    // All of them at once, and without a word on pages: a client must not wait for one.
    return ok({ actions: chosen(world, query, () => true) })
  }),
  get("/actions/{id}", {}, ({ id, world }) => ok(oneAction(world, id, () => true)))
]

/** Keeps a name of its kind to one owner. @internal */
export const uniqueName = (
  items: ReadonlyMap<number, { readonly id: number; readonly name: string | null }>,
  name: string,
  message: string,
  self?: number
): string => {
  for (const item of items.values()) {
    if (item.name === name && item.id !== self) {
      throw new Refusal("uniqueness_error", message, { fields: [{ name: "name" }] })
    }
  }
  return name
}
