/**
 * Server types, images and ISO images that retire: since when it is announced, and until when they can be used. Pure.
 *
 * Source: Hetzner Cloud API reference, `deprecation` of server types, images and ISO images.
 */

interface Announced {
  readonly announced?: string | null | undefined
  readonly unavailable_after?: string | null | undefined
}

const timeOf = (text: string | null | undefined): number | undefined => {
  const time = Date.parse(text ?? "")
  return Number.isNaN(time) ? undefined : time
}

/** Whether a thing can no longer be used for anything new. */
export const isRetired = (deprecation: Announced | null | undefined, now: number): boolean => {
  const end = timeOf(deprecation?.unavailable_after)
  return end !== undefined && end <= now
}

/** One sentence about a thing that retires or has retired; undefined for any other. */
export const deprecationText = (deprecation: Announced | null | undefined, now: number): string | undefined => {
  if (deprecation === null || deprecation === undefined) return undefined
  const end = timeOf(deprecation.unavailable_after)
  if (end === undefined) return "deprecated"
  const day = new Date(end).toISOString().slice(0, 10)
  return end <= now
    ? `not available for new servers since ${day}`
    : `deprecated, not available for new servers after ${day}`
}
