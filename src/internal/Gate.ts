/**
 * Creates of one cluster run one at a time in an instance of a layer.
 */
import type * as Effect from "effect/Effect"
import * as Semaphore from "effect/Semaphore"
import type { ClusterName } from "../Model.ts"

/** One at a time for each cluster, in this instance. */
export type Gate = (cluster: ClusterName) => <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>

export const makeGate = (): Gate => {
  const gates = new Map<string, Semaphore.Semaphore>()
  return (cluster) => {
    const gate = gates.get(cluster) ?? Semaphore.makeUnsafe(1)
    gates.set(cluster, gate)
    return gate.withPermits(1)
  }
}
