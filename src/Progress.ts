/**
 * What an operation tells while it runs: which node is scheduled, which call was sent, what is waited for, how it
 * ended.
 *
 * Progress is for people and logs; the result of an operation is its report. The sink is looked up once an operation,
 * and a sink that fails or dies never fails the operation. An operation waits for its sink, so that events come in
 * order: what takes long belongs into a queue. `Provider.onEvent` sets it.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type { ResourceKind } from "./Reason.ts"
import type { OperationName, Outcome } from "./Report.ts"

/**
 * What an event is about.
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
 * - `Transferred`: bytes of an image have come; `total` where the backend tells it.
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
 * Where events go.
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
 * Sends the events of every operation inside an effect to `f`. The innermost one is the one that hears them.
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
