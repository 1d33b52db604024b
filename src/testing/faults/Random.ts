/**
 * Numbers that a seed decides. The same seed and the same words give the same numbers, on every machine and in every
 * order of use.
 *
 * They are for tests that are to be repeated. They are no secrets, and no statistics hang on them.
 *
 * @since 0.1.0
 */

/**
 * Gives the next number, from 0 up to but without 1.
 *
 * @category models
 * @since 0.1.0
 */
export type Random = () => number

/** Spreads the bits of 32; the multipliers are those of the finaliser of MurmurHash3, which is in the public domain. */
const spread = (bits: number): number => {
  let value = bits
  value = Math.imul(value ^ (value >>> 16), 0x85ebca6b)
  value = Math.imul(value ^ (value >>> 13), 0xc2b2ae35)
  return (value ^ (value >>> 16)) >>> 0
}

/**
 * The numbers of a seed and of some words. Other words give numbers that have nothing to do with these.
 *
 * @category constructors
 * @since 0.1.0
 */
export const random = (seed: number, ...words: ReadonlyArray<string | number>): Random => {
  let state = spread(seed >>> 0)
  for (const character of words.join("\n")) state = spread(state ^ (character.codePointAt(0) ?? 0))
  return () => {
    // The odd step visits every one of the 2^32 states before any comes again.
    state = (state + 0x9e3779b9) >>> 0
    return spread(state) / 2 ** 32
  }
}

/**
 * A whole number from `least` to `most`, both included.
 *
 * @category combinators
 * @since 0.1.0
 */
export const between = (next: Random, least: number, most: number): number =>
  least + Math.floor(next() * (most - least + 1))

/**
 * One of several.
 *
 * @category combinators
 * @since 0.1.0
 */
export const oneOf = <A>(next: Random, choices: readonly [A, ...ReadonlyArray<A>]): A =>
  choices[Math.floor(next() * choices.length)] ?? choices[0]
