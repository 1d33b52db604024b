/** A digest of everything that a run chose and saw. Two runs with one digest took the same steps. */

export interface Digest {
  readonly number: (value: number) => void
  readonly text: (value: string) => void
  /** 16 hexadecimal digits. */
  readonly hex: () => string
}

/** Two sums of the FNV-1a form, each with its own prime, so that an equal digest by chance needs 2^64 runs. */
export const makeDigest = (): Digest => {
  let left = 0x811c9dc5
  let right = 0x9dc5811c
  const number = (value: number) => {
    const bits = value | 0
    left = Math.imul(left ^ bits, 0x01000193)
    right = Math.imul(right ^ (bits + (left >>> 13)), 0x85ebca6b)
    right ^= right >>> 15
  }
  const word = (value: number) => (value >>> 0).toString(16).padStart(8, "0")
  return {
    number,
    text: (value) => {
      number(value.length)
      for (let index = 0; index < value.length; index++) number(value.charCodeAt(index))
    },
    hex: () => word(left) + word(right)
  }
}
