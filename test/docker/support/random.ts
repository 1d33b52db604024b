/** Pseudo-random numbers that are the same in every run (xorshift32). */
export interface Random {
  /** A whole number from 0 to `bound - 1`. */
  readonly below: (bound: number) => number
  readonly chance: (probability: number) => boolean
  readonly pick: <A>(from: ReadonlyArray<A>) => A
  readonly some: <A>(from: ReadonlyArray<A>, probability: number) => ReadonlyArray<A>
}

export const randomOf = (seed: number): Random => {
  // Seeds that lie close together are to give numbers that do not.
  let state = Math.imul((seed ^ (seed >>> 16)) + 1, 0x85eb_ca6b)
  state = Math.imul(state ^ (state >>> 13), 0xc2b2_ae35) ^ (state >>> 16) || 1
  const next = (): number => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) / 2 ** 32
  }
  const below = (bound: number): number => Math.floor(next() * bound)
  return {
    below,
    chance: (probability) => next() < probability,
    pick: (from) => from[below(from.length)] as (typeof from)[number],
    some: (from, probability) => from.filter(() => next() < probability)
  }
}
