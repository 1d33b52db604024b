/**
 * Whether what exists is connected as requested: firewalls to servers, volumes and addresses to their server, servers to
 * their networks and public addresses. Pure. A resource of the right name that is not connected is not what the spec says.
 */
import { Difference } from "../Reason.ts"
import { sameAddress } from "./Cidr.ts"
import type * as Wire from "./Wire.ts"

/** The servers on which a firewall is neither applied nor about to be. */
export const serversWithout = (
  firewall: { readonly id: number },
  servers: ReadonlyArray<Wire.Server>
): ReadonlyArray<Wire.Server> =>
  servers.filter(({ public_net }) => !(public_net?.firewalls ?? []).some(({ id }) => id === firewall.id))

/** Whether a firewall is applied by this label selector, so that later servers are covered too. */
export const isAppliedBySelector = (firewall: Wire.Firewall, selector: string): boolean =>
  firewall.applied_to.some((target) => target.type === "label_selector" && target.label_selector?.selector === selector)

/** `connected` to the server, `free`, or used by another server. */
export type Connection = "connected" | "free" | { readonly usedBy: number }

/** How a volume or a floating IP is connected, seen from the server that it is for. */
export const connectionTo = (server: number, item: { readonly server: number | null }): Connection =>
  item.server === server ? "connected" : item.server === null ? "free" : { usedBy: item.server }

/** How a primary IP is connected, seen from the server that it is for. */
export const primaryIpConnection = (server: number, ip: Wire.PrimaryIp): Connection =>
  connectionTo(server, { server: ip.assignee_id ?? null })

/** The differences of the public addresses of a server. They cannot change while the server runs. */
export const publicNetDifferences = (
  { public_net }: Wire.Server,
  requested: { readonly ipv4: boolean; readonly ipv6: boolean }
): ReadonlyArray<Difference> =>
  (["ipv4", "ipv6"] as const).flatMap((family) => {
    const actual = public_net?.[family] !== null && public_net?.[family] !== undefined
    return actual === requested[family]
      ? []
      : [new Difference({ field: `publicNet.${family}`, actual, requested: requested[family], remedy: "replace" })]
  })

/** Whether a server is in a network, and at the address that is requested, where one is. */
export const isInNetwork = ({ private_net }: Wire.Server, network: number, ip?: string): boolean =>
  (private_net ?? []).some((each) => each.network === network && (ip === undefined || sameAddress(each.ip ?? "", ip)))
