/**
 * How the laws get an operation to a known point, without clocks and races: they listen to its progress, and an
 * operation waits for whoever listens.
 *
 * `Scheduled` comes between the list and the first act, `Sent` at each call on a node, `Settled` after its outcome. A
 * law holds the operation at one of these, changes the world or interrupts, and lets it go.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Option from "effect/Option"
import { onEvent, type OperationEvent, type Sink } from "../Progress.ts"
import { Harness } from "./Harness.ts"
import { LawBroken } from "./Law.ts"

/**
 * A point at which an operation waits.
 *
 * @category models
 * @since 0.1.0
 */
export interface Gate {
  /** Says that the point is reached, and waits until the gate is open. */
  readonly arrive: Effect.Effect<void>
  /** Waits until something has arrived; breaks the law where nothing does. */
  readonly reached: Effect.Effect<void, LawBroken, Harness>
  readonly open: Effect.Effect<void>
}

const missed = "it did not come to that. Operations report what they do as progress events (`kubelayer/Progress`); " +
  "a backend of `Backend.make` sends each request through `task.send`"

/**
 * A gate that is shut; `what` says what is expected to arrive.
 *
 * @category constructors
 * @since 0.1.0
 */
export const makeGate = (what: string): Effect.Effect<Gate> =>
  Effect.sync(() => {
    const arrived = Latch.makeUnsafe()
    const way = Latch.makeUnsafe()
    return {
      arrive: Effect.andThen(Latch.open(arrived), way.await),
      reached: Effect.gen(function*() {
        const { patience } = yield* Harness
        const inTime = yield* Effect.timeoutOption(arrived.await, Duration.times(patience, 4))
        if (Option.isNone(inTime)) {
          return yield* new LawBroken({ expected: what, observed: missed })
        }
      }),
      open: Effect.asVoid(Latch.open(way))
    }
  })

/**
 * The events of one operation, as they came.
 *
 * @category models
 * @since 0.1.0
 */
export interface Steering {
  readonly events: ReadonlyArray<OperationEvent>
  /** Runs an operation under this steering. */
  readonly steer: <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
}

/**
 * Steers an operation: `f` runs at each of its events, and the operation waits for it.
 *
 * @category constructors
 * @since 0.1.0
 */
export const steering = (f: Sink = () => Effect.void): Steering => {
  const events: Array<OperationEvent> = []
  return {
    events,
    steer: onEvent((event) =>
      Effect.suspend(() => {
        events.push(event)
        return f(event)
      })
    )
  }
}

/**
 * Whether an event is the first one of its kind about this node.
 *
 * @category guards
 * @since 0.1.0
 */
export const isAt = (event: OperationEvent, tag: OperationEvent["_tag"], node: { readonly name: string }): boolean =>
  event._tag === tag && event.subject.kind === "node" && event.subject.name === node.name
