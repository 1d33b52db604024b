/**
 * Addresses and subnets of the networks, IPv4 and IPv6, as numbers.
 *
 * The first and the last address of an IPv4 subnet are never given.
 */

/** @internal */
export interface Subnet {
  readonly text: string
  readonly version: 4 | 6
  readonly bits: number
  readonly first: bigint
  readonly last: bigint
  /** The given address lies above the first one of the subnet. */
  readonly hasHostBits: boolean
}

const v4 = (text: string): bigint | undefined => {
  const parts = text.split(".")
  if (parts.length !== 4 || parts.some((part) => !/^\d{1,3}$/.test(part) || Number(part) > 255)) return undefined
  return parts.reduce((sum, part) => sum * 256n + BigInt(part), 0n)
}

const v6 = (text: string): bigint | undefined => {
  if (!/^[0-9a-fA-F:]+$/.test(text)) return undefined
  const [head = "", tail, ...rest] = text.split("::")
  if (rest.length > 0) return undefined
  const groups = (part: string) => part === "" ? [] : part.split(":")
  const left = groups(head)
  const right = groups(tail ?? "")
  const missing = 8 - left.length - right.length
  if (tail === undefined ? missing !== 0 : missing < 1) return undefined
  const all = [...left, ...Array.from({ length: missing }, () => "0"), ...right]
  if (all.some((group) => !/^[0-9a-fA-F]{1,4}$/.test(group))) return undefined
  return all.reduce((sum, group) => sum * 65_536n + BigInt(`0x${group}`), 0n)
}

/** The number of an address, and undefined for a text that is none. */
const parseAddress = (text: string): bigint | undefined => text.includes(":") ? v6(text) : v4(text)

/** @internal */
export const formatAddress = (value: bigint, version: 4 | 6): string => {
  if (version === 4) return [24n, 16n, 8n, 0n].map((shift) => (value >> shift) & 255n).join(".")
  const groups = Array.from({ length: 8 }, (_, index) => ((value >> BigInt(112 - 16 * index)) & 65_535n).toString(16))
  return groups.join(":").replace(/(?:^|:)0(?::0)+(?:$|:)/, "::")
}

/** @internal */
export const parseSubnet = (text: string): Subnet | undefined => {
  const [address = "", bitsText = "", ...rest] = text.split("/")
  const version = address.includes(":") ? 6 : 4
  const value = parseAddress(address)
  const bits = Number(bitsText)
  const length = version === 4 ? 32 : 128
  if (value === undefined || rest.length > 0 || !/^\d+$/.test(bitsText) || bits > length) return undefined
  const size = 1n << BigInt(length - bits)
  const first = value - value % size
  return { text, version, bits, first, last: first + size - 1n, hasHostBits: first !== value }
}

/** The subnet with its first address. @internal */
export const masked = ({ bits, first, version }: Subnet): string => `${formatAddress(first, version)}/${bits}`

/** @internal */
export const overlaps = (a: Subnet, b: Subnet): boolean =>
  a.version === b.version && a.first <= b.last && b.first <= a.last

/** @internal */
export const contains = ({ first, last, version }: Subnet, address: string): boolean => {
  const value = parseAddress(address)
  return value !== undefined && address.includes(":") === (version === 6) && value >= first && value <= last
}

/** The subnets of this size in a pool, in order. @internal */
export const subnetsOf = function*(pool: string, size: number): Generator<string> {
  const parsed = parseSubnet(pool)
  if (parsed === undefined) return
  const step = 1n << BigInt(32 - size)
  for (let at = parsed.first; at + step - 1n <= parsed.last; at += step) yield `${formatAddress(at, 4)}/${size}`
}

/** The lowest address of a subnet that nothing uses; the first and the last of an IPv4 subnet are no addresses. @internal */
export const lowestFree = (subnet: Subnet, used: ReadonlySet<string>, after = ""): string | undefined => {
  const end = subnet.version === 4 ? subnet.last - 1n : subnet.last
  const start = contains(subnet, after) ? (parseAddress(after) ?? subnet.first) + 1n : subnet.first + 1n
  for (let at = start; at <= end; at++) {
    const address = formatAddress(at, subnet.version)
    if (!used.has(address)) return address
  }
  return after === "" ? undefined : lowestFree(subnet, used)
}
