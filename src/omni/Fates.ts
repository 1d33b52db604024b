/**
 * Decides the fate of what an operation created: an annotation of the cluster, written under the version that was read.
 *
 * Of two that decide at once one gets a conflict, reads again, and finds the decision of the other.
 */
import * as Effect from "effect/Effect"
import { isReason } from "../internal/CallFailures.ts"
import type { Fate, Fates } from "../Resource.ts"
import type { Writing } from "./Access.ts"
import * as Labels from "./Labels.ts"
import { clusters } from "./Resources.ts"
import { Kinds } from "./State.ts"

const fateOf = (text: string | undefined): Fate | undefined =>
  text === "adopted" || text === "undone" ? text : undefined

export const makeFates = (): Fates<Writing> => {
  /** The clusters of decisions, by operation. */
  const decided = new Map<string, string>()
  return {
    decide: ({ state }, cluster, operation, fate) => {
      const key = `${Labels.fate}${operation}`
      decided.set(operation, cluster)
      const write = state.modify(
        Kinds.Cluster,
        cluster,
        (found) =>
          fateOf(found.metadata.annotations[key]) !== undefined || found.metadata.phase === "tearingDown"
            ? undefined
            : { ...found, metadata: { ...found.metadata, annotations: { ...found.metadata.annotations, [key]: fate } } }
      )
      return write.pipe(
        // A cluster that is torn down takes everything of the operation with it.
        Effect.map(({ metadata }): Fate =>
          fateOf(metadata.annotations[key]) ?? (metadata.phase === "tearingDown" ? "undone" : fate)
        ),
        Effect.catchIf((error) => isReason(error, "NotFoundError"), () => Effect.succeed<Fate>("undone"))
      )
    },
    known: (world) =>
      new Map(
        world.of(clusters).flatMap(({ resource: { metadata } }) =>
          Object.entries(metadata.annotations).flatMap(([key, text]): ReadonlyArray<readonly [string, Fate]> => {
            const fate = key.startsWith(Labels.fate) ? fateOf(text) : undefined
            return fate === undefined ? [] : [[key.slice(Labels.fate.length), fate]]
          })
        )
      ),
    forget: ({ state }, operation) =>
      Effect.suspend(() => {
        const cluster = decided.get(operation)
        decided.delete(operation)
        return cluster === undefined ? Effect.void : Effect.catchIf(
          Effect.asVoid(state.modify(Kinds.Cluster, cluster, (found) => {
            const { [`${Labels.fate}${operation}`]: fate, ...annotations } = found.metadata.annotations
            return fate === undefined || found.metadata.phase === "tearingDown"
              ? undefined
              : { ...found, metadata: { ...found.metadata, annotations } }
          })),
          (error) => isReason(error, "NotFoundError"),
          () => Effect.void
        )
      })
  }
}
