/**
 * Keeps the resources of a kind up to date by a watch, and shares one watch of a cluster's status among all callers.
 *
 * Nothing is polled. Events that come together give one value. A caller that joins a shared watch gets the present state
 * at once. The watch opens with its first caller and closes with its last.
 */
import type { Message } from "@bufbuild/protobuf"
import * as Effect from "effect/Effect"
import * as RcMap from "effect/RcMap"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { failWith } from "../internal/Method.ts"
import type { ClusterName } from "../Model.ts"
import type { ClusterStatusSpec } from "./proto/specs_pb.ts"
import {
  type CallFailure,
  type Kind,
  Kinds,
  type LabelQuery,
  type Resource,
  type StateReader as State
} from "./State.ts"

/** The resources of a kind whose labels match, by id: all that exist first, then all of them after each change. */
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

/** One resource: its present state first, then each change; undefined while it does not exist. */
export const one = <S extends Message>(
  state: State,
  kind: Kind<S>,
  id: string
): Stream.Stream<Resource<S> | undefined, CallFailure> =>
  state.watch(kind, { id }).pipe(
    Stream.filter((event) => event._tag !== "Bootstrapped" && event._tag !== "Restarted"),
    Stream.map((event) => event._tag === "Destroyed" ? undefined : event.resource)
  )

/** The statuses of clusters. Each is watched once for any number of callers. */
export interface SharedStatuses {
  readonly of: (cluster: ClusterName) => Stream.Stream<Resource<ClusterStatusSpec> | undefined, CallFailure>
}

/** Creates the shared watches of a layer; they end with its scope. */
export const makeSharedStatuses = (state: State): Effect.Effect<SharedStatuses, never, Scope.Scope> =>
  Effect.map(
    RcMap.make({
      lookup: (cluster: ClusterName) =>
        Stream.broadcast(one(state, Kinds.ClusterStatus, cluster), { capacity: 16, strategy: "sliding", replay: 1 })
    }),
    (shared) => ({
      of: (cluster) =>
        Stream.unwrap(RcMap.get(shared, cluster)).pipe(
          // One failure reaches many callers; each gets it as an error of its own method.
          Stream.catchTag("BackendError", ({ reason }) => Stream.fromEffect(failWith(reason)))
        )
    })
  )
