/**
 * One instance of a backend as the engine runs it: its policy, one operation at a time for each cluster, and which of its
 * own operations have succeeded.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as RcMap from "effect/RcMap"
import * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import type { ClusterName } from "../../Model.ts"
import * as Policy from "../../Policy.ts"
import type { AnyBackend } from "./Look.ts"

/** The policy in force: it is resolved once a method, and everything that the method runs reads it here. */
export const PolicyInForce = Context.Reference<Policy.Policy>("kubelayer/internal/PolicyInForce", {
  defaultValue: () => Policy.make()
})

// oxlint-disable-next-line typescript/no-explicit-any
export interface Engine<Read = any, Write extends Read = any> {
  readonly backend: AnyBackend<Read, Write>
  /** The policy of the backend and its layer under that of the present context. */
  readonly policy: Effect.Effect<Policy.Policy>
  /** Runs one create or scale at a time for each cluster. */
  readonly oneAtATime: <A, E, R>(cluster: ClusterName, self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /** Operations of this instance that have succeeded, so that their things cannot be undone any more. */
  readonly hasFinished: (operation: string) => boolean
  readonly setFinished: (operation: string) => void
  /** The scope of what all callers share. It is never closed before the program ends where no layer owns it. */
  readonly scope: Scope.Scope
}

/** How many finished operations an instance remembers. An older one costs another create one call. */
const remembered = 1000

export const makeEngine = <Read, Write extends Read>(backend: AnyBackend<Read, Write>): Engine<Read, Write> => {
  const scope = Scope.makeUnsafe()
  // A map in a scope of its own never waits while it is built.
  const gates = Effect.runSync(Scope.provide(
    RcMap.make<ClusterName, Semaphore.Semaphore, never, never>({
      lookup: () => Effect.sync(() => Semaphore.makeUnsafe(1))
    }),
    scope
  ))
  const finished = new Set<string>()
  return {
    backend,
    scope,
    policy: Effect.map(Policy.Current, (context) => Policy.make(backend.policy, context)),
    oneAtATime: (cluster, self) =>
      Effect.scoped(Effect.flatMap(RcMap.get(gates, cluster), (gate) => gate.withPermits(1)(self))) as typeof self,
    hasFinished: (operation) => finished.has(operation),
    setFinished: (operation) => {
      finished.add(operation)
      for (const oldest of finished) {
        if (finished.size <= remembered) break
        finished.delete(oldest)
      }
    }
  }
}
