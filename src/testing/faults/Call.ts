/**
 * Classifies a request to the Docker Engine API: its path without names, and its effect.
 *
 * A template is the same for all calls of one endpoint, so that counts and faults do not depend on ids. The literal
 * segments are those of the Docker Engine API reference. A path that is not in it gets a template all the same.
 *
 * @since 0.1.0
 */

/**
 * - `read`: asks, changes nothing.
 * - `create`: makes a container, network, volume or exec. Sent twice, it may be carried out twice.
 * - `change`: every other call that changes something.
 * - `stream`: the answer lasts: events, logs, statistics, pulls, builds.
 * - `hijack`: the connection itself is taken over, as for attach and exec.
 *
 * @category models
 * @since 0.1.0
 */
export type CallKind = "read" | "create" | "change" | "stream" | "hijack"

/**
 * One request, before it is answered.
 *
 * @category models
 * @since 0.1.0
 */
export interface Call {
  /** Counts the calls of a proxy, from 1. */
  readonly index: number
  readonly kind: CallKind
  readonly method: string
  /** The path without API version and query, and with `{id}` for names: `/containers/{id}/start`. */
  readonly template: string
  /** Counts the calls of this method and template, from 1. */
  readonly occurrence: number
  /** The path as it came, with its query. */
  readonly path: string
}

/** Second segments that are no names. */
const literals: Readonly<Record<string, ReadonlySet<string>>> = {
  containers: new Set(["json", "create", "prune"]),
  images: new Set(["json", "create", "search", "prune", "get", "load"]),
  networks: new Set(["create", "prune"]),
  volumes: new Set(["create", "prune"]),
  build: new Set(["prune", "cancel"]),
  system: new Set(["df"]),
  swarm: new Set(["init", "join", "leave", "update", "unlockkey", "unlock"]),
  plugins: new Set(["privileges", "pull", "create"]),
  services: new Set(["create"]),
  secrets: new Set(["create"]),
  configs: new Set(["create"])
}

/** The segments that may follow the name of an image, which can itself have slashes. */
const imageActions = new Set(["json", "history", "push", "tag", "get"])

/**
 * The template of a path.
 *
 * @category constructors
 * @since 0.1.0
 */
export const templateOf = (path: string): string => {
  const bare = path.split("?", 1)[0]?.replace(/^\/v\d+(?:\.\d+)?(?=\/)/, "") ?? ""
  const [collection = "", second, ...rest] = bare.split("/").filter((segment) => segment !== "")
  if (second === undefined) return `/${collection}`
  if (literals[collection]?.has(second) === true) return `/${[collection, second, ...rest].join("/")}`
  const last = rest.at(-1)
  const actions = collection === "images"
    ? last !== undefined && imageActions.has(last) ? [last] : []
    : rest
  return `/${[collection, "{id}", ...actions].join("/")}`
}

const creates =
  /^\/(?:containers|networks|volumes|services|secrets|configs|plugins)\/create$|^\/containers\/\{id\}\/exec$/
const lasting =
  /^\/(?:events|build|session|images\/create|images\/load|containers\/\{id\}\/(?:logs|stats|attach|wait))$/

/**
 * The effect of a call. `upgrade`: the request takes over the connection.
 *
 * @category constructors
 * @since 0.1.0
 */
export const kindOf = (method: string, template: string, upgrade: boolean): CallKind =>
  upgrade
    ? "hijack"
    : lasting.test(template) || template === "/exec/{id}/start"
    ? "stream"
    : method === "GET" || method === "HEAD"
    ? "read"
    : creates.test(template)
    ? "create"
    : "change"
