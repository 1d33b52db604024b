/**
 * Suggests known words for one that is not known, for people who mistyped it. Pure.
 */

const maxLength = 64

/** How many letters have to be changed, added, removed or swapped with the next to get from one word to the other. */
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

/** Known words that are near, the nearest first. */
const nearWords = (word: string, known: ReadonlyArray<string>): ReadonlyArray<string> =>
  word.length > maxLength ? [] : [...new Set(known)]
    .map((name) => ({ name, distance: distance(word.toLowerCase(), name.toLowerCase()) }))
    .filter(({ distance, name }) => distance <= Math.max(1, Math.floor(word.length / 3)) || name.startsWith(word))
    .sort((a, b) => a.distance - b.distance || (a.name < b.name ? -1 : 1))
    .map(({ name }) => name)

/** `; did you mean x?`, or nothing. */
export const didYouMean = (word: string, known: ReadonlyArray<string>): string => {
  const [nearest] = nearWords(word, known)
  return nearest === undefined || word === "" ? "" : `; did you mean ${nearest}?`
}

const maxSuggestions = 5

/** `; similar: x, y`, or all known words if they are few and none is similar, or nothing. */
export const nearList = (word: string, known: ReadonlyArray<string>): string => {
  const near = nearWords(word, known)
  if (near.length > 0) return `; similar: ${near.slice(0, maxSuggestions).join(", ")}`
  const names = [...new Set(known)]
  return names.length === 0 || names.length > maxSuggestions ? "" : `; known: ${names.sort().join(", ")}`
}
