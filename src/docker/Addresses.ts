/**
 * IPv4 addresses of nodes and subnets of networks. Pure.
 */
import * as IpInterface from "effect/net/IpInterface"
import * as IpNetwork from "effect/net/IpNetwork"
import * as NetAddress from "effect/net/NetAddress"
import * as Result from "effect/Result"

const octets = (address: NetAddress.Ipv4Address): number =>
  NetAddress.ipv4ToOctets(address).reduce((sum, octet) => sum * 256 + octet, 0)

const dotted = (value: number): string => [24, 16, 8, 0].map((shift) => Math.floor(value / 2 ** shift) % 256).join(".")

/** The addresses of a subnet that nodes can have, from the second on; the first is that of the gateway. */
export const freeAddresses = (subnet: string, taken: ReadonlySet<string>): ReadonlyArray<string> => {
  const network = Result.getOrUndefined(IpNetwork.ipv4FromString(subnet))
  if (network === undefined) return []
  const first = octets(IpNetwork.firstAddress(network)) + 2
  const last = octets(IpNetwork.lastAddress(network)) - 1
  const room = Math.min(last - first + 1, taken.size + 2048)
  return Array.from({ length: Math.max(0, room) }, (_, index) => dotted(first + index))
    .filter((address) => !taken.has(address))
}

/** Whether an address is one that a node in this subnet cannot have. */
export const isOutside = (subnet: string | undefined, address: string | undefined): boolean => {
  if (subnet === undefined || address === undefined) return false
  const network = Result.getOrUndefined(IpNetwork.ipv4FromString(subnet))
  const parsed = Result.getOrUndefined(NetAddress.ipv4FromString(address))
  return network !== undefined && parsed !== undefined && !IpNetwork.contains(network, parsed)
}

/** How many subnets of a pool are tried. */
const poolSize = 32

/** The known subnet that overlaps with one; undefined where none does. */
export const overlapping = <A>(
  subnet: string,
  known: ReadonlyArray<A>,
  subnetsOf: (known: A) => ReadonlyArray<string>
): A | undefined => {
  const network = Result.getOrUndefined(IpNetwork.ipv4FromString(subnet))
  if (network === undefined) return undefined
  return known.find((each) =>
    subnetsOf(each).some((other) => {
      const given = Result.getOrUndefined(IpInterface.ipv4FromString(other))
      return given !== undefined && IpNetwork.overlaps(network, IpNetwork.fromInterface(given))
    })
  )
}

/**
 * The subnets to try for a network: the requested one alone, or those of a pool that overlap with no known subnet. The
 * ones that contain an address of the cluster come first.
 */
export const subnetsToTry = (
  requested: string | undefined,
  pool: string,
  known: ReadonlyArray<string>,
  addresses: ReadonlyArray<string> = []
): ReadonlyArray<string> => {
  if (requested !== undefined) return [requested]
  const start = Result.getOrUndefined(IpNetwork.ipv4FromString(pool))
  if (start === undefined) return []
  const size = Number(IpNetwork.addressCount(start))
  const prefix = pool.slice(pool.indexOf("/"))
  const base = octets(IpNetwork.firstAddress(start))
  const held = known.flatMap((subnet) => {
    // An engine keeps a subnet as it was given, also with host bits.
    const given = Result.getOrUndefined(IpInterface.ipv4FromString(subnet))
    return given === undefined ? [] : [IpNetwork.fromInterface(given)]
  })
  const free = Array.from({ length: 255 }, (_, index) => `${dotted(base + index * size)}${prefix}`)
    .filter((subnet) => {
      const network = Result.getOrUndefined(IpNetwork.ipv4FromString(subnet))
      return network !== undefined && !held.some((other) => IpNetwork.overlaps(network, other))
    })
  const hasAddress = (subnet: string) => addresses.some((address) => !isOutside(subnet, address))
  return [...free.filter(hasAddress), ...free.filter((subnet) => !hasAddress(subnet))].slice(0, poolSize)
}
