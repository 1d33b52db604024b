/**
 * The desired things of a valid spec: servers and the resources that they share. Pure.
 *
 * The fields that a server shows (type, location, networks) are not stored a second time. A label has a digest of the
 * other fields, so that a later plan can name a difference.
 */
import { canonical, digestOf } from "../internal/Digest.ts"
import type { ClusterName } from "../Model.ts"
import { Difference } from "../Reason.ts"
import type { Place } from "./Catalogue.ts"
import { nameOfPoolServer, nameOfServer, namesOf } from "./Names.ts"
import { spread } from "./Placement.ts"
import type { Price } from "./Prices.ts"
import {
  clusterWide,
  countOf,
  fieldOfRole,
  type FirewallRule,
  type HetznerClusterSpec,
  imageText,
  merged,
  mergedPool,
  type NetworkSpec,
  type NodeDefaults,
  type Role,
  roles,
  type ServerSpec,
  userDataOf,
  type VolumeSpec
} from "./Spec.ts"

export interface WantedServer {
  readonly cluster: ClusterName
  readonly role: Role
  readonly pool: string | undefined
  readonly name: string
  readonly spec: ServerSpec
  /** The path of its fields in the spec. Servers of one path are created in the same places. */
  readonly path: string
  /** The fields of its creation that a server does not show, as its label has them. */
  readonly digest: string
  /** Whether it is in one of the cluster's placement groups. */
  readonly isSpread: boolean
  /** The placement group that it is meant for; any of the cluster's where it is left out. */
  readonly group: string | undefined
  /** The name of its network. */
  readonly network: string | undefined
  /** The name of its firewall. */
  readonly firewall: string | undefined
  readonly publicNet: { readonly ipv4: boolean; readonly ipv6: boolean }
  readonly sshKeys: ReadonlyArray<RequestedKey>
  /** The places where it can be created, the best first; only for servers that do not exist yet. */
  readonly places?: ReadonlyArray<Place>
  readonly price?: Price | undefined
  /** The parts of it that retire. */
  readonly deprecation?: string | undefined
}

/** A network that is created, or one that exists and that the cluster does not own, by its id. */
export interface WantedNetwork {
  readonly name: string
  readonly existing?: number
  readonly ipRange: string
  readonly subnet: string
  readonly zone: string | undefined
  /** The zone of a subnet that is created. */
  readonly zoneOfNew: string | undefined
}

export interface WantedFirewall {
  readonly cluster: ClusterName
  readonly name: string
  readonly rules: ReadonlyArray<FirewallRule>
}

export interface WantedGroup {
  readonly name: string
}

/** A key that exists, by its id, or one that is added. */
export interface WantedKey {
  readonly name: string
  readonly id?: number
  readonly publicKey?: string
}

export interface WantedVolume {
  readonly name: string
  readonly spec: VolumeSpec
  /** The server that it is attached to. */
  readonly server: string | undefined
  /** The location of a volume without a server. */
  readonly place: string | undefined
  readonly price?: Price | undefined
}

export interface WantedFloatingIp {
  readonly name: string
  readonly type: "ipv4" | "ipv6"
  readonly keep: boolean
  /** The control planes to one of which it is assigned, by name. */
  readonly servers: ReadonlyArray<string>
  readonly price?: Price | undefined
}

/** The load balancer in front of the Kubernetes API. */
export interface WantedLoadBalancer {
  readonly cluster: ClusterName
  readonly name: string
  readonly type: string
  readonly port: number
  readonly location: string | undefined
  /** The location of one that is created. */
  readonly place?: string | undefined
  readonly isPublic: boolean
  readonly network: string | undefined
  readonly price?: Price | undefined
}

export type RequestedKey = NonNullable<NodeDefaults["sshKeys"]>[number]

export interface Desired {
  readonly servers: ReadonlyArray<WantedServer>
  readonly network: WantedNetwork | undefined
  readonly existingNetwork: NetworkSpec["existing"]
  readonly firewall: WantedFirewall | undefined
  readonly groups: ReadonlyArray<WantedGroup>
  readonly sshKeys: ReadonlyArray<RequestedKey>
  readonly volumes: ReadonlyArray<WantedVolume>
  readonly floatingIp: WantedFloatingIp | undefined
  readonly loadBalancer: WantedLoadBalancer | undefined
}

/** The parts of a `spec` label: a letter for the field, and its digest. */
const digestFields = { u: "userData", k: "sshKeys", i: "image" } as const

export const digestOfServer = (spec: ServerSpec, sshKeys: ReadonlyArray<RequestedKey>): string => {
  const userData = userDataOf(spec)
  return [
    `i${digestOf(spec.image === undefined ? "" : imageText(spec.image))}`,
    ...(sshKeys.length === 0 ? [] : [`k${digestOf(JSON.stringify(canonical(sshKeys)))}`]),
    ...(userData === undefined ? [] : [`u${digestOf(userData)}`])
  ].join(".")
}

const partsOf = (digest: string) => new Map(digest.split(".").map((part) => [part.slice(0, 1), part.slice(1)]))

/** The digest of one field in a `spec` label. */
export const digestOfField = (digest: string | undefined, field: "userData" | "sshKeys"): string | undefined =>
  partsOf(digest ?? "").get(field === "userData" ? "u" : "k")

/** The fields in which what a server was created from differs from what is requested now. */
export const digestDifferences = (label: string | undefined, requested: string): ReadonlyArray<Difference> => {
  if (label === requested) return []
  const actual = partsOf(label ?? "")
  const wanted = partsOf(requested)
  return Object.entries(digestFields).flatMap(([key, field]) =>
    actual.get(key) === wanted.get(key) ? [] : [
      new Difference({
        field,
        actual: actual.get(key) === undefined ? null : `digest ${actual.get(key)}`,
        requested: wanted.get(key) === undefined ? null : `digest ${wanted.get(key)}`,
        remedy: "replace"
      })
    ]
  )
}

/** Servers of one kind: those of a role, or of a pool. */
interface Kind {
  readonly role: Role
  readonly pool: string | undefined
  readonly path: string
  readonly spec: ServerSpec
  readonly names: ReadonlyArray<string>
  readonly volumes: ReadonlyArray<VolumeSpec>
}

const numbers = (count: number): ReadonlyArray<number> => Array.from({ length: count }, (_, index) => index + 1)

const kindsOf = (defaults: NodeDefaults, spec: HetznerClusterSpec, cluster: ClusterName): ReadonlyArray<Kind> =>
  roles.flatMap((role): ReadonlyArray<Kind> => [
    {
      role,
      pool: undefined,
      path: fieldOfRole(role),
      spec: merged(role, defaults, spec),
      names: numbers(countOf(role, spec)).map((number) => nameOfServer(cluster, role, number)),
      volumes: []
    },
    ...(spec.pools ?? []).flatMap((pool, index): ReadonlyArray<Kind> =>
      pool.role === role
        ? [{
          role,
          pool: pool.name,
          path: `pools[${index}]`,
          spec: mergedPool(pool, defaults, spec),
          names: numbers(pool.count).map((number) => nameOfPoolServer(cluster, pool.name, number)),
          volumes: pool.volumes ?? []
        }]
        : []
    )
  ])

/** Everything that a spec requests. */
export const desiredOf = (defaults: NodeDefaults, spec: HetznerClusterSpec, cluster: ClusterName): Desired => {
  const wide = clusterWide(defaults, spec)
  const names = namesOf(cluster)
  const kinds = kindsOf(defaults, spec, cluster)
  const groupOf = spread(kinds.reduce((sum, kind) => sum + kind.names.length, 0))
  let index = 0
  const servers = kinds.flatMap((kind) =>
    kind.names.map((name): WantedServer => ({
      cluster,
      role: kind.role,
      pool: kind.pool,
      name,
      spec: kind.spec,
      path: kind.path,
      digest: digestOfServer(kind.spec, wide.sshKeys),
      isSpread: wide.placementGroups,
      group: wide.placementGroups ? names.group(groupOf[index++] ?? 1) : undefined,
      network: wide.network === undefined ? undefined : names.network,
      firewall: wide.rules === undefined ? undefined : names.firewall,
      publicNet: wide.publicNet,
      sshKeys: wide.sshKeys
    }))
  )
  const controlPlanes = servers.filter(({ role }) => role === "control-plane")
  return {
    servers,
    network: wide.network === undefined
      ? undefined
      : { name: names.network, ...wide.network, zoneOfNew: wide.network.zone },
    firewall: wide.rules === undefined ? undefined : { cluster, name: names.firewall, rules: wide.rules },
    existingNetwork: wide.existingNetwork,
    groups: wide.placementGroups ? [...new Set(groupOf)].map((number) => ({ name: names.group(number) })) : [],
    sshKeys: wide.sshKeys,
    volumes: [
      ...wide.volumes.flatMap((volume): ReadonlyArray<WantedVolume> =>
        volume.each === undefined
          ? [{ name: names.volume(volume.name), spec: volume, server: undefined, place: volume.location }]
          : volumesOf(servers.filter(({ role }) => role === volume.each), volume)
      ),
      ...kinds.flatMap((kind) =>
        kind.volumes.flatMap((volume) => volumesOf(servers.filter(({ pool }) => pool === kind.pool), volume))
      )
    ],
    loadBalancer: wide.loadBalancer === undefined ? undefined : {
      cluster,
      name: names.loadBalancer,
      type: wide.loadBalancer.type ?? "lb11",
      port: wide.loadBalancer.port ?? 6443,
      location: wide.loadBalancer.location,
      isPublic: wide.loadBalancer.public ?? true,
      network: wide.network === undefined ? undefined : names.network
    },
    floatingIp: wide.floatingIp === undefined ? undefined : {
      name: names.floatingIp,
      type: wide.floatingIp.type ?? "ipv4",
      keep: wide.floatingIp.keep === true,
      servers: controlPlanes.map(({ name }) => name)
    }
  }
}

/** One volume for each of the servers, attached to it. */
export const volumesOf = (
  servers: ReadonlyArray<{ readonly name: string }>,
  volume: VolumeSpec
): ReadonlyArray<WantedVolume> =>
  servers.map(({ name }) => ({ name: `${name}-${volume.name}`, spec: volume, server: name, place: undefined }))
