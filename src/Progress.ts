/**
 * The events of a running operation: a node is scheduled, a call is sent, the operation waits, a node is settled.
 *
 * Progress is for people and logs; the result of an operation is its report. The sink is read once per operation, and a
 * sink that fails or dies never fails the operation. An operation waits for its sink, so that events arrive in order. A
 * sink with slow work should put events into a queue. `Provider.onEvent` sets it.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type { ResourceKind } from "./Reason.ts"
import type { OperationName, Outcome } from "./Report.ts"

/**
 * The node or resource of an event.
 *
 * @category models
 * @since 0.1.0
 */
export interface Subject {
  readonly kind: ResourceKind
  readonly name: string
  readonly id?: string
}

/**
 * - `Scheduled`: the operation is going to act on it. It comes after the list and before the first act.
 * - `Sent`: a call is about to be sent for it, `call` says which.
 * - `Waiting`: nothing is left to send; `reason` says what is waited for.
 * - `Transferred`: bytes of an image have come; `total` if the backend reports it.
 * - `Settled`: this is its outcome. A create that is rolled back settles a second time.
 *
 * @category models
 * @since 0.1.0
 */
export type OperationEvent =
  & { readonly operation: OperationName; readonly clusterName: string; readonly subject: Subject }
  & (
    | { readonly _tag: "Scheduled" }
    | { readonly _tag: "Sent"; readonly call: string }
    | { readonly _tag: "Waiting"; readonly reason: string }
    | { readonly _tag: "Transferred"; readonly bytes: number; readonly total?: number }
    | { readonly _tag: "Settled"; readonly outcome: Outcome; readonly durationMillis: number }
  )

/**
 * A function that receives events.
 *
 * @category models
 * @since 0.1.0
 */
export type Sink = (event: OperationEvent) => Effect.Effect<void>

/**
 * The sink of the present context; none by default.
 *
 * @category references
 * @since 0.1.0
 */
export const Progress = Context.Reference<Sink | undefined>("kubelayer/Progress", { defaultValue: () => undefined })

/**
 * Sends the events of every operation inside an effect to `f`. If several are nested, only the innermost one receives
 * them.
 *
 * **Example** (A line for each node as soon as it is done)
 *
 * ```ts run
 * import * as Effect from "effect/Effect"
 * import * as Memory from "kubelayer/layers/Memory"
 * import { onEvent, Provider } from "kubelayer/Provider"
 *
 * const program = Provider.use((provider) => provider.stopNodes("dev")).pipe(
 *   onEvent((event) =>
 *     Effect.sync(() => {
 *       if (event._tag === "Settled") console.log(event.subject.name, event.outcome._tag)
 *     })
 *   )
 * )
 *
 * const clusters = { dev: { controlPlanes: 1, workers: 1 } }
 * await Effect.runPromise(program.pipe(Effect.provide(Memory.layer({ clusters }))))
 * // => dev-worker Done
 * // => dev-control-plane Done
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const onEvent = (f: Sink) => <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.provideService(self, Progress, f)
