/** Turns the path of a request into a template without names and ids, for spans. */

/** Paths of the Docker Engine API with a name or id. */
const collections = /^\/(containers|networks|volumes|exec)\/(?!json$|create$|prune$)[^/]+/

/** `/servers/42/actions/poweroff` is `/servers/{id}/actions/poweroff`. A query is left out. */
export const pathTemplate = (path: string): string =>
  (path.split("?")[0] ?? "")
    .replace(collections, "/$1/{id}")
    .replace(
      /^\/images\/(?!json$|create$|prune$|search$|load$).+?(\/(?:json|push|tag|get|history))?$/,
      "/images/{id}$1"
    )
    .replace(/\/\d+(?=\/|$)/g, "/{id}")
