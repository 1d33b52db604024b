/**
 * Issues of a template, and where each is.
 *
 * A place is a path into the template as a value. In a template from text it is shown as line and column with the path in
 * its document; in a template from a program as the path alone.
 */
import type { Path } from "../../internal/SpecIssues.ts"
import { InvalidSpec } from "../../ProviderError.ts"

export { dotted, type Path } from "../../internal/SpecIssues.ts"
export interface Issue {
  /** Such as `["workers", 0, "machines", 2]`, from the root of the template. */
  readonly path: Path
  readonly message: string
}

export type Add = (path: Path, message: string) => void

/** Shows a path in words, and its position in the text, by which issues are sorted. */
export type Place = (path: Path) => { readonly text: string; readonly offset: number }

const isWithin = (path: Path, outer: Path): boolean => outer.every((part, index) => path[index] === part)

/** Leaves out issues of a place that has an issue already, or that is inside of one. */
export const withoutConsequences = (
  first: ReadonlyArray<Issue>,
  second: ReadonlyArray<Issue>
): ReadonlyArray<Issue> => [
  ...first,
  ...second.filter((issue) => !first.some(({ path }) => path.length > 0 && isWithin(issue.path, path)))
]

/** All issues as one error, in the order of the text. */
export const invalid = (issues: ReadonlyArray<Issue>, place: Place): InvalidSpec =>
  new InvalidSpec({
    issues: issues
      .map(({ message, path }) => ({ message, place: place(path) }))
      .sort((a, b) => a.place.offset - b.place.offset)
      .map(({ message, place }) => ({ path: place.text, message }))
  })

/** A text from outside on one line: cut if it is long, with a replacement for invisible and reordering characters. */
export const visible = (text: string, most = 80): string => {
  const seen = text.replace(/[^\p{L}\p{M}\p{N}\p{P}\p{S} ]/gu, "\u{FFFD}")
  return seen.length > most ? `${seen.slice(0, most)}…` : seen
}

/** A text from outside in quotes, or the type of another value. */
export const shown = (value: unknown): string =>
  typeof value === "string" ? JSON.stringify(visible(value)) : typeof value

export { didYouMean } from "../../internal/Suggest.ts"
