/**
 * IPv4 ranges as numbers, and ranges of both families in the spelling in which the API stores them.
 */

/** @internal */
export interface Range {
  readonly first: number
  readonly bits: number
}

/** @internal */
export const addressOf = (text: string): number | undefined => {
  const parts = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text)?.slice(1).map(Number)
  if (parts === undefined || parts.some((part) => part > 255)) return undefined
  return parts.reduce((sum, part) => sum * 256 + part, 0)
}

/** @internal */
export const textOf = (address: number): string =>
  [24, 16, 8, 0].map((shift) => Math.trunc(address / 2 ** shift) % 256).join(".")

/** @internal */
export const sizeOf = ({ bits }: Range): number => 2 ** (32 - bits)

/** Undefined where it is none, also where bits are set behind the mask. @internal */
export const rangeOf = (text: string): Range | undefined => {
  const [address = "", mask = "", ...more] = text.split("/")
  const first = addressOf(address)
  if (first === undefined || more.length > 0 || !/^\d{1,2}$/.test(mask) || Number(mask) > 32) return undefined
  const range = { first, bits: Number(mask) }
  return first % sizeOf(range) === 0 ? range : undefined
}

/** @internal */
export const contains = (outer: Range, inner: Range): boolean =>
  outer.first <= inner.first && inner.first + sizeOf(inner) <= outer.first + sizeOf(outer)

/** @internal */
export const overlap = (one: Range, other: Range): boolean =>
  one.first < other.first + sizeOf(other) && other.first < one.first + sizeOf(one)

/** @internal */
export const isWithin = (range: Range, address: number): boolean =>
  range.first <= address && address < range.first + sizeOf(range)

const privates = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"].flatMap((text) => rangeOf(text) ?? [])

/** Of the ranges that are for private use. @internal */
export const isPrivate = (range: Range): boolean => privates.some((outer) => contains(outer, range))

/**
 * The spelling in which the API stores a range of either family: `::0/0` becomes `::/0`. Undefined where the text is no
 * range, or has bits behind the mask.
 *
 * @internal
 */
export const storedRange = (text: string): string | undefined => {
  if (!text.includes(":")) {
    const range = rangeOf(text)
    return range === undefined ? undefined : `${textOf(range.first)}/${range.bits}`
  }
  const [address = "", mask = "", ...more] = text.split("/")
  if (more.length > 0 || !/^\d{1,3}$/.test(mask) || Number(mask) > 128) return undefined
  try {
    // The only reader of IPv6 addresses that every runtime has. It gives the shortest spelling.
    const shortest = new URL(`http://[${address}]/`).hostname.slice(1, -1)
    const bits = expanded(shortest).map((group) => Number.parseInt(group, 16).toString(2).padStart(16, "0")).join("")
    return bits.slice(Number(mask)).includes("1") ? undefined : `${shortest}/${Number(mask)}`
  } catch {
    return undefined
  }
}

const expanded = (address: string): ReadonlyArray<string> => {
  const [left = "", right] = address.split("::")
  const before = left === "" ? [] : left.split(":")
  if (right === undefined) return before
  const after = right === "" ? [] : right.split(":")
  return [...before, ...Array.from({ length: 8 - before.length - after.length }, () => "0"), ...after]
}
