/**
 * The replies of the API to creates, as far as they are read.
 */
import * as Schema from "effect/Schema"
import * as Wire from "./Wire.ts"

const action = Schema.optionalKey(Schema.NullOr(Wire.Action))
const actions = Schema.optionalKey(Schema.NullOr(Schema.Array(Wire.Action)))

/** The actions of a reply that has some, in one list. */
export const actionsIn = (reply: {
  readonly action?: Wire.Action | null
  readonly actions?: ReadonlyArray<Wire.Action> | null
  readonly next_actions?: ReadonlyArray<Wire.Action> | null
}): ReadonlyArray<Wire.Action> => [
  ...(reply.action === undefined || reply.action === null ? [] : [reply.action]),
  ...reply.actions ?? [],
  ...reply.next_actions ?? []
]

/** A request that only starts something. */
export const Started = Schema.Struct({ action, actions })

/** A reply of which nothing is read. */
export const Anything = Schema.Unknown

export const Network = Schema.Struct({ network: Wire.networks.schema, action })
export const Firewall = Schema.Struct({ firewall: Wire.firewalls.schema, actions })
export const PlacementGroup = Schema.Struct({ placement_group: Wire.placementGroups.schema, action })
export const SshKey = Schema.Struct({ ssh_key: Wire.sshKeys.schema, action })
export const Volume = Schema.Struct({ volume: Wire.volumes.schema, action, next_actions: actions })
export const FloatingIp = Schema.Struct({ floating_ip: Wire.floatingIps.schema, action })
export const LoadBalancer = Schema.Struct({ load_balancer: Wire.loadBalancers.schema, action })
export const Server = Schema.Struct({ server: Wire.servers.schema, action, next_actions: actions })
