/**
 * The desired things of a spec, of added nodes and of replaced nodes, beside everything that exists.
 */
import * as Effect from "effect/Effect"
import { want } from "../Backend.ts"
import { nearList } from "../internal/Suggest.ts"
import type { ClusterName } from "../Model.ts"
import { InvalidSpec } from "../ProviderError.ts"
import type { CallFailure, Issue, Replaced, Want, World } from "../Resource.ts"
import { isInNetwork } from "./Attachments.ts"
import type { Client, Reading } from "./Client.ts"
import { type Context, isOwnedBy } from "./Context.ts"
import {
  desiredOf,
  digestOfField,
  digestOfServer,
  type RequestedKey,
  volumesOf,
  type WantedKey,
  type WantedLoadBalancer,
  type WantedNetwork,
  type WantedServer,
  type WantedVolume
} from "./Desired.ts"
import { isFate } from "./Fates.ts"
import * as Labels from "./Labels.ts"
import { nameOfPoolServer, nameOfServer } from "./Names.ts"
import { issuesOfOffers, type ReadOffers, readOffers, withOffer } from "./Offers.ts"
import { priceOf } from "./Prices.ts"
import type { Server } from "./ServerList.ts"
import {
  type AddNodes,
  clusterWide,
  fieldOfRole,
  type HetznerClusterSpec,
  merged,
  type NetworkSpec,
  type Role,
  roles,
  type ServerSpec
} from "./Spec.ts"
import { findKey, findPublicKey } from "./SshKeys.ts"
import { toNode } from "./Translate.ts"
import * as Wire from "./Wire.ts"

type Wants = ReadonlyArray<Want<Reading, Client>>

const invalid = (issues: ReadonlyArray<Issue>): Effect.Effect<void, InvalidSpec> =>
  issues.length > 0 ? Effect.fail(new InvalidSpec({ issues })) : Effect.void

// -----------------------------------------------------------------------------
// Keys
// -----------------------------------------------------------------------------

/** The keys of a spec: those that exist, and those that are added. Names that do not exist are issues. */
const keysOf = (
  keys: ReadonlyArray<RequestedKey>,
  existing: ReadonlyArray<Wire.SshKey>
): { readonly wanted: ReadonlyArray<WantedKey>; readonly issues: ReadonlyArray<Issue> } => {
  const issues: Array<Issue> = []
  const wanted = keys.flatMap((key, index): ReadonlyArray<WantedKey> => {
    // The same key under another name is the same key: the API takes none twice.
    const found = typeof key === "object" ? findPublicKey(existing, key.publicKey) : findKey(existing, key)
    if (found !== undefined) return [{ name: found.name, id: found.id }]
    if (typeof key === "object") return [key]
    issues.push({
      path: `sshKeys[${index}]`,
      message: `there is no key ${key}${nearList(String(key), existing.map(({ name }) => name))}`
    })
    return []
  })
  return { wanted: [...new Map(wanted.map((key) => [key.name, key])).values()], issues }
}

// -----------------------------------------------------------------------------
// Specs
// -----------------------------------------------------------------------------

/** Servers that have to be created: none of the name exists, or it is being deleted. */
const missingIn = (context: Context, servers: ReadonlyArray<WantedServer>, world: World) =>
  servers.filter(({ cluster, name }) => {
    const found = world.named(context.kinds().servers, name)
    return found === undefined || found.status === "deleting" && found.owner?.cluster === cluster
  })

/** The zone of the network's servers, where no catalogue was read. */
const zoneOfServers = (
  context: Context,
  read: Reading,
  servers: ReadonlyArray<WantedServer>,
  world: World
): Effect.Effect<string | undefined, CallFailure> => {
  const location = servers.flatMap(({ name }) => {
    const found = world.named(context.kinds().servers, name)
    return found?.location?.name ?? []
  })[0]
  return location === undefined
    ? Effect.succeed(undefined)
    : Effect.map(
      read.list(Wire.locations),
      (locations) => locations.find(({ name }) => name === location)?.network_zone
    )
}

/** A network that exists, as the spec refers to it, or the issue that there is none. */
const findNetwork = (
  context: Context,
  requested: NonNullable<NetworkSpec["existing"]>,
  world: World
): WantedNetwork | Issue => {
  const networks = world.of(context.kinds().networks)
  const path = "network.existing"
  const found = typeof requested === "object"
    ? networks.filter(({ labels }) => isSelected(labels, requested.selector))
    : networks.filter(({ id, name }) => name === requested || String(id) === String(requested))
  const [network] = found
  if (network === undefined) {
    const message = typeof requested === "object"
      ? `the label selector "${requested.selector}" selects no network`
      : `there is no network ${requested}${nearList(String(requested), networks.map(({ name }) => name))}`
    return { path, message }
  }
  if (found.length > 1) {
    return { path, message: `${found.length} networks are selected: ${found.map(({ name }) => name).join(", ")}` }
  }
  const zone = network.subnets[0]?.network_zone
  return zone === undefined
    ? { path, message: `the network ${network.name} has no subnet` }
    : {
      name: network.name,
      existing: network.id,
      ipRange: network.ip_range,
      subnet: network.subnets[0]?.ip_range ?? "",
      zone,
      zoneOfNew: zone
    }
}

/** Whether labels have all of `key=value`, `key`; other terms of a selector are not used here. */
const isSelected = (labels: Labels.LabelMap, selector: string): boolean =>
  selector.split(",").every((term) => {
    const [key = "", value] = term.trim().split(/\s*==?\s*/)
    return value === undefined ? labels[key] !== undefined : labels[key] === value
  })

/** Everything that a spec requests. */
export const wantSpec = (context: Context) =>
  Effect.fnUntraced(function*(
    read: Reading,
    spec: HetznerClusterSpec,
    world: World
  ): Effect.fn.Return<Wants, InvalidSpec | CallFailure> {
    const kinds = context.kinds()
    const requested = desiredOf(context.defaults, spec, spec.cluster as ClusterName)
    const other = requested.existingNetwork === undefined
      ? undefined
      : findNetwork(context, requested.existingNetwork, world)
    if (other !== undefined && "path" in other) return yield* new InvalidSpec({ issues: [other] })
    const desired = other === undefined ? requested : {
      ...requested,
      network: other,
      servers: requested.servers.map((server) => ({ ...server, network: other.name })),
      loadBalancer: requested.loadBalancer === undefined
        ? undefined
        : { ...requested.loadBalancer, network: other.name }
    }
    const existing = world.named(kinds.networks, desired.network?.name ?? "")
    const zone = desired.network?.zone ?? existing?.subnets[0]?.network_zone
    const keys = keysOf(desired.sshKeys, world.of(kinds.sshKeys))
    const offers = yield* readOffers(context, read, missingIn(context, desired.servers, world), zone)
    yield* invalid([...keys.issues, ...issuesOfOffers(offers)])
    const isZoneNeeded = desired.network !== undefined && (existing?.subnets ?? []).length === 0
    const zoneOfNew = zone ?? offers?.offered.zone ??
      (isZoneNeeded ? yield* zoneOfServers(context, read, desired.servers, world) : undefined)
    const { loadBalancer, firewall, floatingIp, network } = desired
    const place = offers?.offered.places.get("controlPlane")?.[0]?.location
    const servers = desired.servers.map((server) => withOffer(server, offers))
    return [
      ...keys.wanted.map((key) => want(kinds.sshKeys, key)),
      ...(network === undefined ? [] : [want(kinds.networks, { ...network, zoneOfNew })]),
      ...(firewall === undefined ? [] : [want(kinds.firewalls, firewall)]),
      ...desired.groups.map((group) => want(kinds.groups, group)),
      ...servers.map((server) => want(kinds.servers, server)),
      ...desired.volumes.map((volume) =>
        want(kinds.volumes, withPrice({ ...volume, place: volume.place ?? place }, offers))
      ),
      ...(floatingIp === undefined ? [] : [want(kinds.floatingIps, floatingIp)]),
      ...(loadBalancer === undefined ? [] : [want(kinds.loadBalancers, withBalancerPrice(loadBalancer, place, offers))])
    ]
  })

const withBalancerPrice = (
  balancer: WantedLoadBalancer,
  first: string | undefined,
  offers: ReadOffers | undefined
): WantedLoadBalancer => {
  const place = balancer.location ?? first
  return offers?.pricing === undefined
    ? { ...balancer, place }
    : {
      ...balancer,
      place,
      price: priceOf(offers.pricing, { kind: "load-balancer", type: balancer.type, location: place })
    }
}

const withPrice = (volume: WantedVolume, offers: ReadOffers | undefined): WantedVolume =>
  offers?.pricing === undefined
    ? volume
    : { ...volume, price: priceOf(offers.pricing, { kind: "volume", sizeGb: volume.spec.sizeGb }) }

// -----------------------------------------------------------------------------
// Added nodes
// -----------------------------------------------------------------------------

const own = <A extends Labels.Labelled>(context: Context, cluster: string, things: ReadonlyArray<A>) =>
  things.filter(({ labels }) => isOwnedBy(context, labels, cluster))

/** The resources that new servers of a cluster join: its network, its firewall, its groups. */
const joined = (context: Context, cluster: ClusterName, world: World) => {
  const { firewalls, groups, networks } = context.kinds()
  const servers = world.of(context.kinds().servers).filter(({ owner }) => owner?.cluster === cluster)
  // If it owns none, its servers may all be in a network that existed before.
  const isJoined = ({ id }: Wire.Network) => servers.length > 0 && servers.every((server) => isInNetwork(server, id))
  const network = own(context, cluster, world.of(networks))[0] ?? world.of(networks).find(isJoined)
  const [firewall] = own(context, cluster, world.of(firewalls))
  return {
    zone: network?.subnets[0]?.network_zone,
    network: network?.name,
    firewall: firewall?.name,
    isSpread: own(context, cluster, world.of(groups)).some((group) => !isFate(group))
  }
}

const maxHostName = 63

/** Nodes that are added, under the first free names, in the network, the firewall and the groups of the cluster. */
export const wantAdded = (context: Context) =>
  Effect.fnUntraced(function*(
    read: Reading,
    cluster: ClusterName,
    nodes: AddNodes,
    world: World,
    taken: ReadonlySet<string>
  ): Effect.fn.Return<Wants, InvalidSpec | CallFailure> {
    const { defaults, kinds: kindsOf } = context
    const kinds = kindsOf()
    const { controlPlanes = 0, pool, workers = 0 } = nodes
    const spec: HetznerClusterSpec = { ...nodes, cluster, controlPlanes, workers }
    const wide = clusterWide(defaults, spec)
    const { zone, ...shared } = joined(context, cluster, world)
    const isFree = (name: string) => !taken.has(name) && world.named(kinds.servers, name) === undefined
    const of = (role: Role, count: number): ReadonlyArray<WantedServer> => {
      const servers: Array<WantedServer> = []
      const from = merged(role, defaults, spec)
      for (let number = 1; servers.length < count; number++) {
        const name = pool === undefined ? nameOfServer(cluster, role, number) : nameOfPoolServer(cluster, pool, number)
        if (!isFree(name)) continue
        servers.push({
          cluster,
          role,
          pool,
          name,
          spec: from,
          path: fieldOfRole(role),
          digest: digestOfServer(from, wide.sshKeys),
          ...shared,
          group: undefined,
          publicNet: wide.publicNet,
          sshKeys: wide.sshKeys
        })
      }
      return servers
    }
    const servers = roles.flatMap((role) => of(role, role === "worker" ? workers : controlPlanes))
    const long = servers.filter(({ name }) => name.length > maxHostName).map(({ name }): Issue => ({
      path: pool === undefined ? "cluster" : "pool",
      message: `the name ${name} has ${name.length} characters, at most ${maxHostName} are allowed`
    }))
    const keys = keysOf(wide.sshKeys, world.of(kinds.sshKeys))
    const offers = yield* readOffers(context, read, servers, zone)
    yield* invalid([...long, ...keys.issues, ...issuesOfOffers(offers)])
    return [
      ...keys.wanted.map((key) => want(kinds.sshKeys, key)),
      ...servers.map((server) => want(kinds.servers, withOffer(server, offers))),
      ...wide.volumes.flatMap((volume) =>
        volume.each === undefined
          ? []
          : volumesOf(servers.filter(({ role }) => role === volume.each), volume).map((each) =>
            want(kinds.volumes, withPrice(each, offers))
          )
      )
    ]
  })

// -----------------------------------------------------------------------------
// Replaced nodes
// -----------------------------------------------------------------------------

/** The fields of a server that the API does not return; they come from the options of the layer. */
const unknownFields = (
  name: string,
  label: string | undefined,
  digest: string
): ReadonlyArray<Issue> =>
  (["userData", "sshKeys"] as const).flatMap((field) =>
    digestOfField(label, field) === digestOfField(digest, field) ? [] : [{
      path: field === "sshKeys" ? field : `nodes.${field}`,
      message: `node ${name} was created with other ${
        field === "sshKeys" ? "SSH keys" : "user data"
      } than the options of the layer say, and the API does not give it back. Set it in the options of the layer`
    }]
  )

/** The same servers, to be created again. */
export const wantReplaced = (context: Context) =>
  Effect.fnUntraced(function*(
    read: Reading,
    cluster: ClusterName,
    replaced: ReadonlyArray<Replaced<Server>>,
    world: World
  ): Effect.fn.Return<Wants, InvalidSpec | CallFailure> {
    const { defaults } = context
    const kinds = context.kinds()
    const spec: HetznerClusterSpec = { cluster, controlPlanes: 1, workers: 0 }
    const wide = clusterWide(defaults, spec)
    const { zone, ...shared } = joined(context, cluster, world)
    const issues: Array<Issue> = []
    const servers = replaced.map(({ name, node }): WantedServer => {
      const rest = name.slice(cluster.length + 1)
      const pool = node === undefined
        ? /^(?:control-plane|worker)-\d+$/.test(rest) ? undefined : /^(.+)-\d+$/.exec(rest)?.[1]
        : node.labels[Labels.pool]
      const known = node === undefined ? undefined : toNode(node, cluster, node.owner ?? { cluster })
      const role: Role = known === undefined
        ? /^control-plane-\d+$/.test(rest) ? "control-plane" : "worker"
        : known.role === "control-plane"
        ? "control-plane"
        : "worker"
      const base = merged(role, defaults, spec)
      const type = node?.server_type?.name
      const location = node?.location?.name
      const image = node?.image?.id
      const from: ServerSpec = {
        ...base,
        ...(type === undefined ? {} : { serverTypes: [type] }),
        ...(location === undefined ? {} : { locations: [location] }),
        ...(image === undefined ? {} : { image }),
        labels: node === undefined ? base.labels ?? {} : Labels.ownLabels(node.labels)
      }
      const path = fieldOfRole(role)
      if (from.image === undefined) issues.push({ path: `${path}.image`, message: `is not known for node ${name}` })
      if ((from.serverTypes ?? []).length === 0) {
        issues.push({ path: `${path}.serverTypes`, message: `is not known for node ${name}` })
      }
      const digest = digestOfServer(from, wide.sshKeys)
      const label = node?.labels[Labels.spec]
      if (node !== undefined) issues.push(...unknownFields(name, label, digest))
      const { ipv4, ipv6 } = node?.public_net ?? {}
      return {
        cluster,
        role,
        pool,
        name,
        spec: from,
        path: `${path} of ${name}`,
        // The image is the same one, however the spec refers to it.
        digest: label ?? digest,
        ...shared,
        group: undefined,
        publicNet: node === undefined
          ? wide.publicNet
          : { ipv4: ipv4 !== null && ipv4 !== undefined, ipv6: ipv6 !== null && ipv6 !== undefined },
        sshKeys: wide.sshKeys
      }
    })
    const keys = keysOf(wide.sshKeys, world.of(kinds.sshKeys))
    yield* invalid([...issues, ...keys.issues])
    const offers = yield* readOffers(context, read, servers, zone)
    yield* invalid(issuesOfOffers(offers))
    return [
      ...keys.wanted.map((key) => want(kinds.sshKeys, key)),
      ...servers.map((server) => want(kinds.servers, withOffer(server, offers))),
      ...replaced.flatMap(({ name, node }) =>
        own(context, cluster, world.of(kinds.volumes))
          .filter((volume) => volume.name.startsWith(`${name}-`) && (node === undefined || volume.server === node.id))
          .map((volume) =>
            want(kinds.volumes, {
              name: volume.name,
              spec: {
                name: volume.name.slice(name.length + 1),
                sizeGb: volume.size,
                keep: volume.labels[Labels.keep] === "true"
              },
              server: name,
              place: undefined
            })
          )
      )
    ]
  })
