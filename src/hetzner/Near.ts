/**
 * Known names that are near to one that is not known, for people who mistyped it. Pure.
 */

/** How many characters have to be changed, added or left out to come from one word to the other. */
const distance = (a: string, b: string): number => {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const changed = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(changed, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1))
    }
    row = next
  }
  return row[b.length] ?? 0
}

const mostShown = 5

/** The nearest first; all of a few where none is near. */
export const nearMatches = (word: string, known: ReadonlyArray<string>): ReadonlyArray<string> => {
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
