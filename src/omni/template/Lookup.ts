/**
 * Resources by their ids: a few are read one by one, many by one list of their kind.
 */
import type { Message } from "@bufbuild/protobuf"
import * as Effect from "effect/Effect"
import type { CallFailure, Kind, Resource, StateReader as State } from "../State.ts"

/** From so many on, one list is less than the single reads are together. */
const many = 20

/** Those of the ids that there are. */
export const lookUp = <S extends Message>(
  state: State,
  kind: Kind<S>,
  ids: ReadonlyArray<string>
): Effect.Effect<ReadonlyMap<string, Resource<S>>, CallFailure> => {
  const found: Effect.Effect<ReadonlyArray<Resource<S> | undefined>, CallFailure> = ids.length > many
    ? state.list(kind)
    : Effect.forEach(ids, (id) => state.get(kind, id), { concurrency: many })
  return Effect.map(
    found,
    (resources) =>
      new Map(
        resources.flatMap((resource) => resource === undefined ? [] : [[resource.metadata.id, resource] as const])
      )
  )
}
