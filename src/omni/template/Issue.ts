/**
 * Faults of a template: where each is, and how it is told.
 *
 * A place is a path into the template as a value. Where the template was a text, the place is told as line and column,
 * and the path as its documents have it; where it was a value, as the path alone. Nothing here knows what a fault is.
 */
import { InvalidSpec } from "../../ProviderError.ts"

/** `["workers", 0, "machines", 2]`, from the root of the template. */
export type Path = ReadonlyArray<string | number>

export interface Issue {
  readonly path: Path
  readonly message: string
}

export type Add = (path: Path, message: string) => void

/** Tells a path in words, and where it stands among the others. */
export type Place = (path: Path) => { readonly text: string; readonly offset: number }

/** `workers[0].machines[2]`. */
export const dotted = (path: Path): string =>
  path.reduce<string>((text, part) => {
    if (typeof part === "number") return `${text}[${part}]`
    const key = /^[\w-]+$/.test(part) ? part : JSON.stringify(part)
    return text === "" ? key : `${text}.${key}`
  }, "")

const isWithin = (path: Path, outer: Path): boolean => outer.every((part, index) => path[index] === part)

/** Leaves out what follows from a fault that is told already: of the same place, or of one around it. */
export const withoutConsequences = (
  first: ReadonlyArray<Issue>,
  second: ReadonlyArray<Issue>
): ReadonlyArray<Issue> => [
  ...first,
  ...second.filter((issue) => !first.some((told) => told.path.length > 0 && isWithin(issue.path, told.path)))
]

/** All faults, in the order in which a reader of the template meets them. */
export const invalid = (issues: ReadonlyArray<Issue>, place: Place): InvalidSpec =>
  new InvalidSpec({
    issues: issues
      .map(({ message, path }) => ({ message, place: place(path) }))
      .sort((a, b) => a.place.offset - b.place.offset)
      .map(({ message, place }) => ({ path: place.text, message }))
  })

/** A text from outside on one line: what is long is cut, and what cannot be seen or turns the text round is replaced. */
export const visible = (text: string, most = 80): string => {
  const seen = text.replace(/[^\p{L}\p{M}\p{N}\p{P}\p{S} ]/gu, "\u{FFFD}")
  return seen.length > most ? `${seen.slice(0, most)}…` : seen
}

/** A text from outside in quotes, or what else it is. */
export const shown = (value: unknown): string =>
  typeof value === "string" ? JSON.stringify(visible(value)) : typeof value

export { didYouMean } from "../../internal/Suggest.ts"
