/**
 * The creation time of a node, from what a backend reports.
 */
import * as DateTime from "effect/DateTime"
import * as Option from "effect/Option"

/** A field for the fields of a node: milliseconds since the epoch, or ISO 8601. A time that no date can have is left out. */
export const createdAt = (time: number | string | null | undefined): { readonly createdAt?: DateTime.Utc } => {
  if (time === undefined || time === null || time === "") return {}
  const found = DateTime.make(new Date(time))
  return Option.isSome(found) ? { createdAt: found.value } : {}
}
