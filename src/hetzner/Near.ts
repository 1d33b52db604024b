/**
 * Known names that are near to one that is not known, for people who mistyped it. Pure.
 */

/** How many characters have to be changed, added, left out or swapped with the next to come from one word to the other. */
const distance = (a: string, b: string): number => {
  const rows: Array<Array<number>> = []
  const at = (i: number, j: number) => rows[i]?.[j] ?? Number.POSITIVE_INFINITY
  for (let i = 0; i <= a.length; i++) {
    rows[i] = []
    for (let j = 0; j <= b.length; j++) {
      const swapped = a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1] ? at(i - 2, j - 2) + 1 : Number.POSITIVE_INFINITY
      rows[i]?.push(
        i === 0 || j === 0
          ? i + j
          : Math.min(at(i - 1, j - 1) + (a[i - 1] === b[j - 1] ? 0 : 1), at(i - 1, j) + 1, at(i, j - 1) + 1, swapped)
      )
    }
  }
  return at(a.length, b.length)
}

const mostShown = 5

/** The nearest first; all of a few where none is near. */
const nearMatches = (word: string, known: ReadonlyArray<string>): ReadonlyArray<string> => {
  const names = [...new Set(known)]
  const near = names
    .map((name) => ({ name, away: distance(word.toLowerCase(), name.toLowerCase()) }))
    .filter(({ away, name }) => away <= Math.max(1, Math.floor(word.length / 3)) || name.startsWith(word))
    .sort((a, b) => a.away - b.away || (a.name < b.name ? -1 : 1))
    .map(({ name }) => name)
  return near.length > 0 ? near.slice(0, mostShown) : names.length <= mostShown ? names.sort() : []
}

/** In a sentence, after what is not known. */
export const nearWords = (word: string, known: ReadonlyArray<string>): string => {
  const near = nearMatches(word, known)
  return near.length === 0 ? "" : `; near are ${near.join(", ")}`
}
