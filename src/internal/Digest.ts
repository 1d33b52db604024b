/**
 * A short digest of any value, the same on every machine. It shows that a value differs without showing the value.
 */

/** FNV-1a, 52 bits, as 13 hexadecimal digits. */
export const digestOf = (text: string): string => {
  let hash = 0xcbf29ce484222325n
  for (const byte of new TextEncoder().encode(text)) {
    hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n)
  }
  return hash.toString(16).padStart(16, "0").slice(0, 13)
}

/** The same value with its keys in order and what is undefined left out, so that equal values have equal JSON. */
export const canonical = (value: unknown): unknown =>
  Array.isArray(value)
    ? value.map(canonical)
    : typeof value === "object" && value !== null
    ? Object.fromEntries(
      Object.entries(value).filter(([, field]) => field !== undefined).sort(([a], [b]) => a < b ? -1 : 1)
        .map(([key, field]) => [key, canonical(field)])
    )
    : value
