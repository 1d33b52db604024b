/**
 * The kinds of things that a cluster has at Hetzner.
 */
import type { NodeResource, Resource } from "../Resource.ts"
import type { Client, Reading } from "./Client.ts"
import type {
  WantedFirewall,
  WantedFloatingIp,
  WantedGroup,
  WantedKey,
  WantedLoadBalancer,
  WantedNetwork,
  WantedServer,
  WantedVolume
} from "./Desired.ts"
import type { Server } from "./ServerList.ts"
import type * as Wire from "./Wire.ts"

type Kind<Wanted, Actual> = Resource<Wanted, Actual, Reading, Client>

export interface Kinds {
  readonly servers: NodeResource<WantedServer, Server, Reading, Client>
  readonly networks: Kind<WantedNetwork, Wire.Network>
  readonly firewalls: Kind<WantedFirewall, Wire.Firewall>
  readonly groups: Kind<WantedGroup, Wire.PlacementGroup>
  readonly sshKeys: Kind<WantedKey, Wire.SshKey>
  readonly volumes: Kind<WantedVolume, Wire.Volume>
  readonly floatingIps: Kind<WantedFloatingIp, Wire.FloatingIp>
  readonly loadBalancers: Kind<WantedLoadBalancer, Wire.LoadBalancer>
  readonly primaryIps: Kind<unknown, Wire.PrimaryIp>
}
