/**
 * Networks and addresses as values: two spellings of one network are the same network. Pure.
 *
 * The API stores the shortest spelling (`::0/0` becomes `::/0`), so a spec and what the API has are compared here and
 * never as texts.
 */
import * as IpNetwork from "effect/net/IpNetwork"
import * as NetAddress from "effect/net/NetAddress"
import * as Result from "effect/Result"

/** The shortest spelling of a network; the text itself where it is none. */
export const canonicalCidr = (text: string): string =>
  Result.match(IpNetwork.fromString(text), { onFailure: () => text, onSuccess: IpNetwork.format })

/** The shortest spelling of an address; the text itself where it is none. */
export const canonicalAddress = (text: string): string =>
  Result.match(NetAddress.ipFromString(text), { onFailure: () => text, onSuccess: NetAddress.formatIp })

/** Whether two texts are the same network. */
export const sameCidr = (a: string, b: string): boolean => canonicalCidr(a) === canonicalCidr(b)

/** Whether two texts are the same address. */
export const sameAddress = (a: string, b: string): boolean => canonicalAddress(a) === canonicalAddress(b)

/** The networks of a list, each once, in the shortest spelling and in order. Lists of the same networks give equal sets. */
export const cidrSet = (texts: ReadonlyArray<string>): ReadonlyArray<string> =>
  [...new Set(texts.map(canonicalCidr))].sort()

/** Whether two lists have the same networks, in whatever order and spelling. */
export const sameCidrs = (a: ReadonlyArray<string>, b: ReadonlyArray<string>): boolean =>
  cidrSet(a).join() === cidrSet(b).join()

/** Whether a network is inside of another one; false where one of the texts is no network. */
export const isInside = (inner: string, outer: string): boolean => {
  const [small, large] = [IpNetwork.fromString(inner), IpNetwork.fromString(outer)]
  return Result.isSuccess(small) && Result.isSuccess(large) && IpNetwork.containsNetwork(large.success, small.success)
}

/** Whether an address is inside of a network; false where one of the texts is neither. */
export const isAddressIn = (address: string, network: string): boolean => {
  const [inner, outer] = [NetAddress.ipFromString(address), IpNetwork.fromString(network)]
  return Result.isSuccess(inner) && Result.isSuccess(outer) && IpNetwork.contains(outer.success, inner.success)
}

/** The network that was meant by an address, or by a network with host bits; undefined for any other text. */
export const suggestCidr = (text: string): string | undefined => {
  const [address = "", length, ...more] = text.trim().split("/")
  const parsed = NetAddress.ipFromString(address)
  if (Result.isFailure(parsed) || more.length > 0) return undefined
  const width = address.includes(":") ? 128 : 32
  const prefix = length === undefined ? width : /^\d{1,3}$/.test(length) ? Number(length) : Number.NaN
  const network = IpNetwork.fromAddress(parsed.success, prefix)
  const meant = Result.isSuccess(network) ? IpNetwork.format(network.success) : undefined
  return meant === text ? undefined : meant
}
