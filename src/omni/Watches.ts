/**
 * What there is of a kind, kept up to date by a watch; and the one watch of a cluster's status that all who wait for the
 * cluster share.
 *
 * Nothing is polled. Events that come together make one picture. Who joins a shared watch gets the present state at once;
 * it is opened with the first and closed with the last.
 */
import type { Message } from "@bufbuild/protobuf"
import * as Effect from "effect/Effect"
import * as RcMap from "effect/RcMap"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { failWith } from "../internal/Method.ts"
import type { ClusterName } from "../Model.ts"
import type { ClusterStatusSpec } from "./proto/specs_pb.ts"
import { type CallFailure, type Kind, Kinds, type LabelQuery, type Resource, type State } from "./State.ts"

/** The resources of a kind whose labels fit, by id: first all that there are, then all after each change. */
export const picture = <S extends Message>(
  state: State,
  kind: Kind<S>,
  labels: LabelQuery
): Stream.Stream<ReadonlyMap<string, Resource<S>>, CallFailure> =>
  Stream.transformPull(state.watch(kind, { labels }), (pull) =>
    Effect.sync(() => {
      const seen = new Map<string, Resource<S>>()
      let complete = false
      const next = Effect.gen(function*() {
        while (true) {
          for (const event of yield* pull) {
            switch (event._tag) {
              case "Created":
              case "Updated":
                seen.set(event.resource.metadata.id, event.resource)
                break
              case "Destroyed":
                seen.delete(event.id)
                break
              case "Bootstrapped":
                complete = true
                break
              case "Restarted":
                seen.clear()
                complete = false
            }
          }
          if (complete) return [new Map(seen)] as const
        }
      })
      return next
    }))

/** One resource as it is, and as it becomes; undefined while it is not there. */
export const one = <S extends Message>(
  state: State,
  kind: Kind<S>,
  id: string
): Stream.Stream<Resource<S> | undefined, CallFailure> =>
  state.watch(kind, { id }).pipe(
    Stream.filter((event) => event._tag !== "Bootstrapped" && event._tag !== "Restarted"),
    Stream.map((event) => event._tag === "Destroyed" ? undefined : event.resource)
  )

/** The statuses of clusters, each watched once however many listen. */
export interface SharedStatuses {
  readonly of: (cluster: ClusterName) => Stream.Stream<Resource<ClusterStatusSpec> | undefined, CallFailure>
}

/** The streams of a layer; they end with its scope. */
export const makeSharedStatuses = (state: State): Effect.Effect<SharedStatuses, never, Scope.Scope> =>
  Effect.map(
    RcMap.make({
      lookup: (cluster: ClusterName) =>
        Stream.broadcast(one(state, Kinds.ClusterStatus, cluster), { capacity: 16, strategy: "sliding", replay: 1 })
    }),
    (shared) => ({
      of: (cluster) =>
        Stream.unwrap(RcMap.get(shared, cluster)).pipe(
          // What failed runs for many; who is told is the method of each.
          Stream.catchTag("BackendError", ({ reason }) => Stream.fromEffect(failWith(reason)))
        )
    })
  )
