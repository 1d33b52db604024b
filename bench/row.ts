/**
 * A row of the bench: what is measured, against which target, and how.
 *
 * A row that misses its target is reported, and nothing else happens. Rows of a topic that are read off the same runs
 * share them, so that the whole bench stays short. The rows are gathered in `rows.ts`.
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"

/** The target of a value. `text` is the comparison as people read it. */
export interface Target {
  readonly text: string
  readonly holds: (value: number) => boolean
}

export const atMost = (limit: number): Target => ({ text: `≤ ${limit}`, holds: (value) => value <= limit })

export const below = (limit: number): Target => ({ text: `< ${limit}`, holds: (value) => value < limit })

export const exactly = (count: number): Target => ({ text: `= ${count}`, holds: (value) => value === count })

/** A value, and the figures behind it. */
export interface Measured {
  readonly value: number
  readonly detail: string
}

/** A failure whose message is all that can be said. */
export interface NotMeasured {
  readonly message: string
}

export interface Row<R = never> {
  readonly id: string
  readonly what: string
  readonly target: Target
  readonly measure: Effect.Effect<Measured, NotMeasured, R>
}

/** The rows of this run. Work that several rows share does no more than these need. */
export const Chosen = Context.Reference<(id: string) => boolean>("kubelayer/bench/Chosen", {
  defaultValue: () => () => true
})
