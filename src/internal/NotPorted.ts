/**
 * The new methods of the services for backends that do not run on the engine yet. A backend that is ported stops using
 * this module; the last one deletes it.
 */
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import type { ClusterName, ClusterStatus } from "../Model.ts"
import type { NodeCreatorService, NodeSelection, ProviderService } from "../Provider.ts"
import type { ProviderUnavailable } from "../ProviderError.ts"
import { type BackendError, UnsupportedError } from "../Reason.ts"
import { failWith, method } from "./Method.ts"

type CallFailure = ProviderUnavailable | BackendError

const unsupported = (backend: string, operation: string, cluster?: string): Effect.Effect<never, BackendError> =>
  failWith(new UnsupportedError({ detail: `${operation} is not available for ${backend} yet` })).pipe(
    method(backend, operation, cluster)
  )

/** Selections are part of the engine. */
export const withoutSelection = <A, E>(
  backend: string,
  operation: string,
  cluster: string,
  options: NodeSelection | undefined,
  self: Effect.Effect<A, E>
): Effect.Effect<A, E | BackendError> =>
  options === undefined ? self : unsupported(backend, `${operation} of selected nodes`, cluster)

/** `listAllStatuses` and `watchAllClusters` from the methods of one cluster, with a call for each. */
export const allClusters = (backend: string, reads: {
  readonly listAllClusters: Effect.Effect<ReadonlyArray<ClusterName>, CallFailure>
  readonly status: (cluster: ClusterName) => Effect.Effect<Option.Option<ClusterStatus>, CallFailure>
}): Pick<ProviderService, "listAllStatuses" | "watchAllClusters" | "planDelete"> => {
  const listAllStatuses = Effect.flatMap(
    reads.listAllClusters,
    (clusters) =>
      Effect.map(
        Effect.forEach(clusters, reads.status, { concurrency: 8 }),
        (statuses) => statuses.flatMap(Option.toArray)
      )
  )
  return {
    listAllStatuses: listAllStatuses.pipe(method(backend, "listAllStatuses")),
    watchAllClusters: Stream.fromEffectSchedule(
      listAllStatuses.pipe(method(backend, "watchAllClusters")),
      Schedule.spaced("200 millis")
    ).pipe(Stream.changesWith((a, b) => a.length === b.length && a.every((one, index) => Equal.equals(one, b[index])))),
    planDelete: (cluster) => unsupported(backend, "planDelete", cluster)
  }
}

/** What a `NodeCreator` gets beside its two creates: the methods that the backend's own service has, and refusals. */
export const restOfCreator = (
  backend: string,
  own: Partial<Pick<NodeCreatorService, "addNodes" | "removeNodes" | "sweep">>
): Omit<NodeCreatorService, "createNodes" | "createNodesScoped"> => ({
  plan: ({ cluster }) => unsupported(backend, "plan", cluster),
  apply: ({ clusterName }) => unsupported(backend, "apply", clusterName),
  addNodes: own.addNodes ?? ((cluster) => unsupported(backend, "addNodes", cluster)),
  removeNodes: own.removeNodes ?? ((cluster) => unsupported(backend, "removeNodes", cluster)),
  replaceNodes: (cluster) => unsupported(backend, "replaceNodes", cluster),
  restartNodes: (cluster) => unsupported(backend, "restartNodes", cluster),
  sweep: own.sweep ?? (() => unsupported(backend, "sweep"))
})
