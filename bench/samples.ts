/**
 * Times taken in turns, and their statistics.
 *
 * Contestants take turns (A B A B ...), so that what else the machine does meets all of them alike; only times of one
 * run are ever compared.
 */
import * as Effect from "effect/Effect"
import type { Measured } from "./row.ts"

/** How many times each contestant has its turn, where a row does not say otherwise. */
export const PAIRS = 9

export const now = Effect.sync(() => performance.now())

/** How long an effect takes, in milliseconds. */
export const millisOf = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<number, E, R> =>
  Effect.gen(function*() {
    const began = yield* now
    yield* effect
    return (yield* now) - began
  })

const ascending = (samples: ReadonlyArray<number>): ReadonlyArray<number> => samples.toSorted((a, b) => a - b)

/** The smallest sample that a share of all samples does not exceed. */
export const percentile = (samples: ReadonlyArray<number>, share: number): number =>
  ascending(samples)[Math.max(0, Math.ceil(samples.length * share) - 1)] ?? Number.NaN

export const median = (samples: ReadonlyArray<number>): number => {
  const sorted = ascending(samples)
  const middle = sorted.length >> 1
  return ((sorted[middle] ?? Number.NaN) + (sorted[sorted.length - 1 - middle] ?? Number.NaN)) / 2
}

/** `412 ms (390 to 498)`: the median, the smallest and the largest. */
export const spread = (samples: ReadonlyArray<number>): string => {
  const digits = median(samples) < 10 ? 1 : 0
  const [smallest, middle, largest] = [Math.min(...samples), median(samples), Math.max(...samples)]
  return `${middle.toFixed(digits)} ms (${smallest.toFixed(digits)} to ${largest.toFixed(digits)})`
}

/** The medians' ratio. */
export const ratio = (
  ours: ReadonlyArray<number>,
  theirs: ReadonlyArray<number>,
  against: string
): Measured => ({
  value: median(ours) / median(theirs),
  detail: `${spread(ours)} against ${spread(theirs)} ${against}; ${theirs.length} pairs`
})

/** Gives each contestant `rounds` turns, in the order in which they are named. */
export const inTurns = Effect.fnUntraced(function*<K extends string, E, R>(
  rounds: number,
  contestants: Readonly<Record<K, Effect.Effect<number, E, R>>>
): Effect.fn.Return<Readonly<Record<K, ReadonlyArray<number>>>, E, R> {
  const names = Object.keys(contestants) as Array<K>
  const samples = Object.fromEntries(names.map((name) => [name, [] as Array<number>])) as Record<K, Array<number>>
  for (let round = 0; round < rounds; round++) {
    for (const name of names) samples[name].push(yield* contestants[name])
  }
  return samples
})
