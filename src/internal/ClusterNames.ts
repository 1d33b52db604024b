/**
 * Checks of cluster names, before any I/O.
 */
import * as Effect from "effect/Effect"
import { ascii, type ClusterName, creatable, maxNameLength, maxStoredNameLength, referable } from "../Model.ts"
import { InvalidClusterName } from "../ProviderError.ts"

const describeIssue = (input: string, allowed: RegExp): string | undefined => {
  if (input.length === 0) return "it is empty"
  const longest = allowed === referable ? maxStoredNameLength : maxNameLength
  if (input.length > longest) return `it has ${input.length} characters, at most ${longest} are allowed`
  if (allowed.test(input)) return undefined
  const body = allowed === creatable ? /[a-z0-9.-]/ : allowed === ascii ? /[A-Za-z0-9._-]/ : /[\p{L}\p{N}._-]/u
  const stranger = [...input].find((character) => !body.test(character))
  if (stranger === undefined) {
    return allowed === referable
      ? "it must have a letter or a digit, and must not begin with a dot"
      : "it must begin and end with a letter or a digit"
  }
  const code = (stranger.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, "0")
  const shown = /[\p{L}\p{N}\p{P}\p{S}]/u.test(stranger) ? `${JSON.stringify(stranger)} (U+${code})` : `U+${code}`
  return `${shown} is not allowed; allowed are ${
    allowed === creatable ? "lower-case letters, digits, `.` and `-`" : "letters, digits, `.`, `_` and `-`"
  }`
}

const check = (allowed: RegExp) => (input: string): Effect.Effect<ClusterName, InvalidClusterName> => {
  // A caller without types may pass any value, also one whose conversion to text throws.
  if (typeof input !== "string") {
    const given: unknown = input
    const textless = given === undefined || given === null || typeof given === "object" || typeof given === "function"
    return Effect.fail(
      new InvalidClusterName({
        input: textless ? "" : String(given),
        issue: given === undefined || given === null
          ? "none was given"
          : `it is not a string but of type ${typeof given}`
      })
    )
  }
  const issue = describeIssue(input, allowed)
  return issue === undefined
    ? Effect.succeed(input as ClusterName)
    : Effect.fail(new InvalidClusterName({ input, issue }))
}

/**
 * Checks a name that may be referred to, before any I/O.
 *
 * @category constructors
 * @since 0.1.0
 */
export const checkClusterName: (input: string) => Effect.Effect<ClusterName, InvalidClusterName> = check(ascii)

/**
 * Like `checkClusterName`, for the names that Omni stores: letters of every script, `-` and `_` at the ends, and up to
 * 253 characters.
 *
 * @category constructors
 * @since 0.1.0
 */
export const checkUnicodeClusterName: (input: string) => Effect.Effect<ClusterName, InvalidClusterName> = check(
  referable
)

/**
 * Checks a name that a new cluster is to have: lower-case letters, digits, `.` and `-`. A backend may be narrower.
 *
 * @category constructors
 * @since 0.1.0
 */
export const checkNewClusterName: (input: string) => Effect.Effect<ClusterName, InvalidClusterName> = check(creatable)
