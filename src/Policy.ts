/**
 * Retries, deadlines, polling and concurrency: one record, every field of which a user can replace.
 *
 * The policy of a call is merged from four sources: the defaults here, the defaults of the backend, `layer({ policy
 * })`, and the context of the call (`Policy.override`). A later source replaces single fields of an earlier one. The
 * policy is read once, at the start of an operation.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type { BackendError } from "./Reason.ts"

/**
 * The operations that have a deadline for each node and a width.
 *
 * @category models
 * @since 0.1.0
 */
export type Operation = "create" | "start" | "stop" | "delete"

/**
 * @category models
 * @since 0.1.0
 */
export interface Policy {
  /** When and how often a call is sent again that failed with a retryable reason and is safe to repeat. */
  readonly retry: Schedule.Schedule<unknown, BackendError>
  /** The interval of polls, if the backend sends no event. */
  readonly poll: Schedule.Schedule<unknown>
  /** Deadline of one call. A call that has to wait for a node, such as a stop, gets its grace on top. */
  readonly requestTimeout: Duration.Duration
  /**
   * Deadline of a read, its retries and all its pages included. A read that would have to wait longer fails at once.
   */
  readonly readTimeout: Duration.Duration
  /** Deadline of one node within an operation, all its calls and waits together. A node past it is Failed. */
  readonly nodeTimeout: { readonly [K in Operation]: Duration.Duration }
  /** Deadline of an operation as a whole; past it, it fails with `OperationTimeout`. */
  readonly operationTimeout: Duration.Duration
  /** Deadline of the clean-up after a create that failed or was interrupted. */
  readonly cleanupTimeout: Duration.Duration
  /** A stream or a download that delivers nothing for this long is closed and counts as cut. */
  readonly idleTimeout: Duration.Duration
  /** How many nodes are acted on at once. */
  readonly concurrency: { readonly [K in Operation]: number }
}

/**
 * A policy with any field left out.
 *
 * @category models
 * @since 0.1.0
 */
export interface Overrides {
  readonly retry?: Schedule.Schedule<unknown, BackendError>
  readonly poll?: Schedule.Schedule<unknown>
  readonly requestTimeout?: Duration.Input
  readonly readTimeout?: Duration.Input
  readonly nodeTimeout?: { readonly [K in Operation]?: Duration.Input }
  readonly operationTimeout?: Duration.Input
  readonly cleanupTimeout?: Duration.Input
  readonly idleTimeout?: Duration.Input
  readonly concurrency?: { readonly [K in Operation]?: number }
}

/**
 * The defaults of every field.
 *
 * @category constants
 * @since 0.1.0
 */
export const defaults: Policy = {
  retry: Schedule.min([Schedule.exponential("200 millis"), Schedule.spaced("5 seconds")]).pipe(
    Schedule.jittered,
    Schedule.upTo({ times: 5, duration: "30 seconds" })
  ),
  poll: Schedule.min([Schedule.exponential("100 millis", 1.5), Schedule.spaced("2 seconds")]),
  requestTimeout: Duration.seconds(30),
  readTimeout: Duration.minutes(1),
  nodeTimeout: {
    create: Duration.minutes(5),
    start: Duration.minutes(1),
    stop: Duration.seconds(90),
    delete: Duration.minutes(1)
  },
  operationTimeout: Duration.infinity,
  cleanupTimeout: Duration.minutes(1),
  idleTimeout: Duration.minutes(5),
  // A start burns the engine's processor; a stop waits for the node, and has to wait for all of them at once.
  concurrency: { create: 10, start: 10, stop: 32, delete: 16 }
}

const present = <A extends object>(record: A | undefined): Partial<A> =>
  Object.fromEntries(Object.entries(record ?? {}).filter(([, value]) => value !== undefined)) as Partial<A>

/**
 * Merges overrides deeply; the later one wins.
 *
 * @category combinators
 * @since 0.1.0
 */
export const merge = (...all: ReadonlyArray<Overrides | undefined>): Overrides =>
  all.reduce<Overrides>((merged, next) => ({
    ...merged,
    ...present(next),
    nodeTimeout: { ...merged.nodeTimeout, ...present(next?.nodeTimeout) },
    concurrency: { ...merged.concurrency, ...present(next?.concurrency) }
  }), {})

/**
 * The defaults with overrides applied; the later override wins.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (...all: ReadonlyArray<Overrides | undefined>): Policy => {
  const chosen = merge(...all)
  const duration = (input: Duration.Input | undefined, otherwise: Duration.Duration) =>
    input === undefined ? otherwise : Duration.fromInputUnsafe(input)
  const perOperation = <A>(pick: (operation: Operation) => A) => ({
    create: pick("create"),
    start: pick("start"),
    stop: pick("stop"),
    delete: pick("delete")
  })
  return {
    retry: chosen.retry ?? defaults.retry,
    poll: chosen.poll ?? defaults.poll,
    requestTimeout: duration(chosen.requestTimeout, defaults.requestTimeout),
    readTimeout: duration(chosen.readTimeout, defaults.readTimeout),
    nodeTimeout: perOperation((op) => duration(chosen.nodeTimeout?.[op], defaults.nodeTimeout[op])),
    operationTimeout: duration(chosen.operationTimeout, defaults.operationTimeout),
    cleanupTimeout: duration(chosen.cleanupTimeout, defaults.cleanupTimeout),
    idleTimeout: duration(chosen.idleTimeout, defaults.idleTimeout),
    concurrency: perOperation((op) => Math.max(1, chosen.concurrency?.[op] ?? defaults.concurrency[op]))
  }
}

/**
 * The overrides of the present context; `{}` where none were set.
 *
 * @category references
 * @since 0.1.0
 */
export const Current = Context.Reference<Overrides>("kubelayer/Policy", { defaultValue: () => ({}) })

/**
 * Overrides the policy for everything inside an effect.
 *
 * **Example** (No retry for one call)
 *
 * ```ts run
 * import * as Effect from "effect/Effect"
 * import * as Schedule from "effect/Schedule"
 * import * as Memory from "kubelayer/layers/Memory"
 * import * as Policy from "kubelayer/Policy"
 * import { Provider } from "kubelayer/Provider"
 * import { Locked } from "kubelayer/Reason"
 *
 * const program = Effect.gen(function*() {
 *   const memory = yield* Memory.Memory
 *   const provider = yield* Provider
 *   yield* memory.failNext({ operation: "start", node: "dev-worker", reason: new Locked({ detail: "busy" }), times: 1 })
 *   yield* provider.startNodes("dev").pipe(Policy.override({ retry: Schedule.recurs(0) }))
 *   return "started"
 * }).pipe(
 *   Effect.catchTag("NodesFailed", ({ report }) => Effect.succeed(`failed: ${report.failed.map(({ name }) => name)}`))
 * )
 *
 * console.log(
 *   await Effect.runPromise(program.pipe(
 *     Effect.provide(Memory.layer({ clusters: { dev: { controlPlanes: 1, workers: 1, state: "stopped" } } }))
 *   ))
 * )
 * // => failed: dev-worker
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const override = (overrides: Overrides) => <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.updateService(self, Current, (outer) => merge(outer, overrides))
