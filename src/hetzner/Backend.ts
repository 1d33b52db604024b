/**
 * Hetzner as the engine runs it: its kinds of things, its power, its fates.
 *
 * SSH keys, the network, the firewall and placement groups are created before the servers; volumes and the floating IP
 * after them, since they exist where a server is. A delete goes the other way round, the network last.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { Overrides, Policy } from "../Policy.ts"
import type { Backend } from "../Resource.ts"
import { makeActions } from "./Actions.ts"
import { makeBiller, makePricing } from "./Billing.ts"
import { makeShortages } from "./Candidates.ts"
import { makeChanges, type SharedList } from "./Changes.ts"
import type { Client, Reading } from "./Client.ts"
import type { Context } from "./Context.ts"
import { decodeSpec, encodeSpec } from "./Encoding.ts"
import { makeFates } from "./Fates.ts"
import { makeFirewalls } from "./Firewalls.ts"
import { makeFloatingIps } from "./FloatingIps.ts"
import type { Kinds } from "./Kinds.ts"
import type { Ownership } from "./Labels.ts"
import { makeLoadBalancers } from "./LoadBalancers.ts"
import { makeNetworks } from "./Networks.ts"
import { makePlacementGroups } from "./PlacementGroups.ts"
import { makePower } from "./Power.ts"
import { makePrimaryIps } from "./PrimaryIps.ts"
import type { Governor } from "./Quota.ts"
import type { Server } from "./ServerList.ts"
import { makeServers } from "./Servers.ts"
import { type AddNodes, clusterWide, type HetznerClusterSpec, type NodeDefaults } from "./Spec.ts"
import { makeSshKeys } from "./SshKeys.ts"
import { issuesOf, issuesOfAdded } from "./Validation.ts"
import { makeVolumes } from "./Volumes.ts"
import { wantAdded, wantReplaced, wantSpec } from "./Want.ts"

const backend = "hetzner"

export interface HetznerBackend {
  readonly backend: Backend<HetznerClusterSpec, Server, Reading, Client, AddNodes>
  readonly kinds: Kinds
}

export const makeBackend = Effect.fnUntraced(function*(options: {
  readonly client: Client
  readonly governor: Governor
  readonly sharedList: SharedList
  readonly ownership: Ownership
  readonly defaults: NodeDefaults
  readonly grace: Duration.Duration
  readonly policy: Effect.Effect<Policy>
  readonly overrides: Overrides
  readonly name?: string
}): Effect.fn.Return<HetznerBackend> {
  const { client, defaults, governor, grace, ownership } = options
  const pricing = yield* makePricing(client)
  const context: Context = {
    client,
    actions: makeActions(client, governor, options.policy),
    ownership,
    defaults,
    shortages: makeShortages(),
    pricing,
    biller: makeBiller(pricing),
    kinds: () => kinds
  }
  const changes = makeChanges({ governor, policy: options.policy, sharedList: options.sharedList })
  const kinds: Kinds = {
    servers: makeServers(context, changes.latest),
    networks: makeNetworks(context),
    firewalls: makeFirewalls(context),
    groups: makePlacementGroups(context),
    sshKeys: makeSshKeys(context),
    volumes: makeVolumes(context),
    floatingIps: makeFloatingIps(context),
    loadBalancers: makeLoadBalancers(context),
    primaryIps: makePrimaryIps(context)
  }
  const { servers, ...others } = kinds
  return {
    kinds,
    backend: {
      backend,
      ...(options.name === undefined ? {} : { name: options.name }),
      policy: options.overrides,
      read: client,
      write: client,
      target: Effect.succeed(client.endpoint),
      endpoint: Effect.succeed(client.endpoint),
      ping: client.ping,
      validate: (spec) => issuesOf(defaults, spec),
      validateAdded: (nodes) => issuesOfAdded(defaults, nodes),
      encode: encodeSpec,
      decode: decodeSpec,
      node: servers,
      resources: Object.values(others),
      resourcesOf: (spec) => {
        const wide = clusterWide(defaults, spec)
        const hasVolumes = wide.volumes.length > 0 ||
          (spec.pools ?? []).some(({ volumes }) => (volumes ?? []).length > 0)
        return [
          ...(wide.network === undefined && wide.existingNetwork === undefined ? [] : [kinds.networks]),
          ...(wide.rules === undefined ? [] : [kinds.firewalls]),
          ...(wide.placementGroups ? [kinds.groups] : []),
          ...(wide.sshKeys.length === 0 ? [] : [kinds.sshKeys]),
          ...(hasVolumes ? [kinds.volumes] : []),
          ...(wide.floatingIp === undefined ? [] : [kinds.floatingIps]),
          ...(wide.loadBalancer === undefined ? [] : [kinds.loadBalancers])
        ]
      },
      desired: wantSpec(context),
      added: wantAdded(context),
      replaced: wantReplaced(context),
      power: makePower(context, grace),
      fates: makeFates(context),
      changes: changes.stream
    }
  }
})
