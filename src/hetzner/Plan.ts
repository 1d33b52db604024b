/**
 * From a spec without faults to what is to be there. Pure.
 *
 * What a server shows by itself (type, location, networks) is not kept a second time; of what it does not show, a digest
 * of each field stands in a label, so that a later create can name a difference.
 */
import { canonical, digestOf } from "../internal/Digest.ts"
import type { ClusterName } from "../Model.ts"
import { nameOfServer, namesOf } from "./Names.ts"
import { spread } from "./Placement.ts"
import {
  clusterWide,
  countOf,
  type FirewallRule,
  type HetznerClusterSpec,
  merged,
  type NodeDefaults,
  type Role,
  roles,
  type ServerSpec,
  userDataOf,
  type VolumeSpec
} from "./Spec.ts"

export interface PlannedServer {
  readonly role: Role
  readonly name: string
  readonly spec: ServerSpec
  /** What it is made from, as far as a server does not show it, as it stands in its label. */
  readonly digest: string
  /** The placement group that it is meant for. */
  readonly group: string | undefined
}

export interface PlannedNetwork {
  readonly name: string
  readonly ipRange: string
  readonly subnet: string
  readonly zone: string | undefined
}

export interface PlannedVolume {
  readonly name: string
  readonly spec: VolumeSpec
  /** The server that it is attached to. */
  readonly server: string | undefined
}

export type AskedKey = NonNullable<NodeDefaults["sshKeys"]>[number]

export interface Plan {
  readonly cluster: ClusterName
  readonly servers: ReadonlyArray<PlannedServer>
  readonly network: PlannedNetwork | undefined
  readonly firewall: { readonly name: string; readonly rules: ReadonlyArray<FirewallRule> } | undefined
  readonly groups: ReadonlyArray<string>
  readonly sshKeys: ReadonlyArray<AskedKey>
  readonly publicNet: { readonly ipv4: boolean; readonly ipv6: boolean }
  readonly volumes: ReadonlyArray<PlannedVolume>
  readonly floatingIp: { readonly name: string; readonly type: "ipv4" | "ipv6"; readonly keep: boolean } | undefined
  /** Nodes are added to a cluster that is there: those that are not asked for stay. */
  readonly extends: boolean
}

/** The parts of a `spec` label: a letter for the field, and its digest. */
const digestFields = { u: "userData", k: "sshKeys", i: "image" } as const

const digestOfServer = (spec: ServerSpec, sshKeys: ReadonlyArray<AskedKey>): string => {
  const userData = userDataOf(spec)
  return [
    `i${digestOf(String(spec.image))}`,
    ...(sshKeys.length === 0 ? [] : [`k${digestOf(JSON.stringify(canonical(sshKeys)))}`]),
    ...(userData === undefined ? [] : [`u${digestOf(userData)}`])
  ].join(".")
}

export const makePlan = (defaults: NodeDefaults, spec: HetznerClusterSpec, cluster: ClusterName): Plan => {
  const wide = clusterWide(defaults, spec)
  const names = namesOf(cluster)
  const total = spec.controlPlanes + spec.workers
  const groupOf = spread(total)
  const servers = roles.flatMap((role, place) => {
    const server = merged(role, defaults, spec)
    const digest = digestOfServer(server, wide.sshKeys)
    return Array.from({ length: countOf(role, spec) }, (_, index): PlannedServer => ({
      role,
      name: nameOfServer(cluster, role, index + 1),
      spec: server,
      digest,
      group: wide.placementGroups ? names.group(groupOf[place * spec.controlPlanes + index] ?? 1) : undefined
    }))
  })
  return {
    cluster,
    servers,
    network: wide.network === undefined ? undefined : { name: names.network, ...wide.network },
    firewall: wide.rules === undefined ? undefined : { name: names.firewall, rules: wide.rules },
    groups: wide.placementGroups ? [...new Set(groupOf)].map(names.group) : [],
    sshKeys: wide.sshKeys,
    publicNet: wide.publicNet,
    volumes: wide.volumes.flatMap((volume): ReadonlyArray<PlannedVolume> =>
      volume.each === undefined
        ? [{ name: names.volume(volume.name), spec: volume, server: undefined }]
        : servers.filter(({ role }) => role === volume.each)
          .map(({ name }) => ({ name: `${name}-${volume.name}`, spec: volume, server: name }))
    ),
    floatingIp: wide.floatingIp === undefined
      ? undefined
      : { name: names.floatingIp, type: wide.floatingIp.type ?? "ipv4", keep: wide.floatingIp.keep === true },
    extends: false
  }
}

/** The fields in which what a server was made from differs from what is asked for now. */
export const digestDifferences = (label: string | undefined, asked: string): ReadonlyArray<string> => {
  if (label === asked) return []
  if (label === undefined) return ["what it was made from is not known"]
  const parts = (text: string) => new Map(text.split(".").map((part) => [part.slice(0, 1), part]))
  const made = parts(label)
  const wanted = parts(asked)
  return Object.entries(digestFields).flatMap(([key, field]) => made.get(key) === wanted.get(key) ? [] : [field])
}
