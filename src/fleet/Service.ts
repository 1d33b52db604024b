/** The service of a fleet over its store. It writes what is requested; runners carry it out. */
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import * as Document from "../Document.ts"
import { InvalidSpec } from "../ProviderError.ts"
import { ClusterNotFound } from "../ProviderError.ts"
import type { StoreError } from "./Errors.ts"
import type { FleetCluster, FleetEvent } from "./Model.ts"
import { checkReferences } from "./Secrets.ts"
import type { EventOptions, ListOptions, Store } from "./Store.ts"

/** The largest document that a store takes, in bytes of JSON. */
const maxDocumentBytes = 1024 * 1024

/** How often a watch asks the store for changes. */
const watchPace = "500 millis"

/**
 * The methods of `Fleet`. They read and write the store; runners reconcile the clusters afterwards.
 *
 * @category models
 * @since 0.2.0
 */
export interface FleetService {
  /**
   * Adds or changes the document of a cluster. The same document again changes nothing. Fails with `InvalidSpec` for an
   * invalid document, a document of more than 1 MiB, a secret that no runner reads, or the name of a cluster on another
   * backend.
   */
  readonly apply: (document: Document.ClusterDocument) => Effect.Effect<FleetCluster, InvalidSpec | StoreError>
  /**
   * Deletes a cluster: its nodes first, then its document. With `keepNodes` the document alone is removed, at once. Fails
   * with `ClusterNotFound` where the fleet does not have it.
   */
  readonly remove: (
    cluster: string,
    options?: { readonly keepNodes?: boolean }
  ) => Effect.Effect<void, ClusterNotFound | StoreError>
  readonly status: (cluster: string) => Effect.Effect<FleetCluster, ClusterNotFound | StoreError>
  /** Clusters by name, a page at a time: `after` is the last name of the page before. */
  readonly list: (options?: ListOptions) => Effect.Effect<ReadonlyArray<FleetCluster>, StoreError>
  /** All clusters first, then the whole list again at each change. */
  readonly watch: Stream.Stream<ReadonlyArray<FleetCluster>, StoreError>
  /** Leaves a cluster as it is until `resume`. A reconcile that runs is finished. */
  readonly pause: (cluster: string) => Effect.Effect<void, ClusterNotFound | StoreError>
  readonly resume: (cluster: string) => Effect.Effect<void, ClusterNotFound | StoreError>
  /** The events, the oldest first. */
  readonly events: (options?: EventOptions) => Effect.Effect<ReadonlyArray<FleetEvent>, StoreError>
}

const invalid = (path: string, message: string) => new InvalidSpec({ issues: [{ path, message }] })

/** How many nodes a document requests. */
const nodesOf = (document: Document.ClusterDocument): number =>
  (document.controlPlanes ?? 0) + (document.workers ?? 0) +
  ("pools" in document ? document.pools ?? [] : []).reduce((sum, { count }) => sum + count, 0)

/** The document as it is stored: fields in one order, so that the same document is the same text. */
const canonical = (value: unknown): string =>
  JSON.stringify(value, (_, field: unknown) =>
    typeof field === "object" && field !== null && !Array.isArray(field)
      ? Object.fromEntries(Object.entries(field).sort(([a], [b]) => a < b ? -1 : 1))
      : field)

const checked = (given: Document.ClusterDocument): Effect.Effect<Document.ClusterDocument, InvalidSpec> =>
  Effect.gen(function*() {
    const text = canonical(given)
    if (Buffer.byteLength(text) > maxDocumentBytes) {
      return yield* invalid(
        "",
        `the document has ${Buffer.byteLength(text)} bytes, at most ${maxDocumentBytes} are taken`
      )
    }
    const [document] = yield* Document.parse(text)
    if (document?.kind !== "Cluster") {
      return yield* invalid("kind", "must be Cluster; a fleet takes no templates of Omni")
    }
    yield* checkReferences(document.document)
    return document.document
  })

export const makeService = (store: Store, wake: Effect.Effect<void>): FleetService => {
  const missing = (cluster: string) => Effect.fail(new ClusterNotFound({ provider: "fleet", clusterName: cluster }))
  const changing = (cluster: string, change: Effect.Effect<boolean, StoreError>) =>
    Effect.flatMap(change, (found) => found ? wake : missing(cluster))
  const all = Effect.gen(function*() {
    const found: Array<FleetCluster> = []
    while (true) {
      const after = found.at(-1)?.name
      const page = yield* store.list(after === undefined ? {} : { after })
      found.push(...page)
      if (page.length < 1000) return found
    }
  })
  const status: FleetService["status"] = (cluster) =>
    Effect.flatMap(store.get(cluster), (found) => found === undefined ? missing(cluster) : Effect.succeed(found))
  return {
    apply: (given) =>
      Effect.gen(function*() {
        const document = yield* checked(given)
        const { backend, instance, name } = document
        const isTaken = !(yield* store.put({
          name,
          backend,
          instance,
          document: canonical(document),
          nodes: nodesOf(document)
        }))
        if (isTaken) {
          const other = yield* store.get(name)
          const where = other === undefined
            ? "another backend"
            : [other.backend, other.instance].filter(Boolean).join("/")
          return yield* invalid("name", `the fleet has a cluster "${name}" on ${where}; a name is used once in a fleet`)
        }
        yield* wake
        return yield* status(name).pipe(Effect.catchTag("ClusterNotFound", () =>
          Effect.fail(invalid("name", `cluster "${name}" was removed in the same moment`))))
      }),
    remove: (cluster, { keepNodes = false } = {}) =>
      changing(cluster, keepNodes ? store.forget(cluster) : store.requestRemoval(cluster)),
    status,
    list: (options) => store.list(options),
    watch: Stream.fromEffectSchedule(store.revision, Schedule.spaced(watchPace)).pipe(
      Stream.changes,
      Stream.mapEffect(() => all)
    ),
    pause: (cluster) => changing(cluster, store.setPaused(cluster, true)),
    resume: (cluster) => changing(cluster, store.setPaused(cluster, false)),
    events: (options) => store.events(options)
  }
}
