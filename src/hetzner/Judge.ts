/**
 * Judging what is in the project against what is to be there, before anything is touched. Pure.
 *
 * What agrees is kept, what is missing is created, a network of ours that lacks its subnet is healed. What differs, or is
 * held by something that is not ours, is refused with `NameTaken`, which names all that stands in the way.
 */
import { nearList } from "../internal/Suggest.ts"
import type { Subject } from "../Progress.ts"
import { NameTaken, type Reason } from "../Reason.ts"
import { cidrSet } from "./Cidr.ts"
import * as Labels from "./Labels.ts"
import {
  type AskedKey,
  digestDifferences,
  type Plan,
  type PlannedNetwork,
  type PlannedServer,
  type PlannedVolume
} from "./Plan.ts"
import type { Fault, FirewallRule } from "./Spec.ts"
import type * as Wire from "./Wire.ts"

/** What is in the project when a create begins. */
export interface World {
  readonly servers: ReadonlyArray<Wire.Server>
  readonly networks: ReadonlyArray<Wire.Network>
  readonly firewalls: ReadonlyArray<Wire.Firewall>
  readonly groups: ReadonlyArray<Wire.PlacementGroup>
  readonly sshKeys: ReadonlyArray<Wire.SshKey>
  readonly volumes: ReadonlyArray<Wire.Volume>
  readonly floatingIps: ReadonlyArray<Wire.FloatingIp>
}

/**
 * One line of a plan. `keep`: it is there and agrees. `heal`: it is ours and half made. `differs`, `foreign`: the create
 * would refuse, since its name is held by something else than what is asked, or by something that is not ours.
 *
 * @category models
 * @since 0.1.0
 */
export interface PlanStep extends Subject {
  readonly action: "create" | "keep" | "heal" | "differs" | "foreign"
  readonly why?: string
}

export interface Judge {
  readonly plan: Plan
  readonly ownership: Labels.Ownership
}

const isOurs = ({ ownership, plan }: Judge, { labels }: Labels.Labelled): boolean =>
  ownership.classify(labels)?.cluster === plan.cluster

/** A resource by its name: missing, foreign, or judged by what it differs in. */
const judgeNamed = <A extends Labels.Labelled>(
  judge: Judge,
  kind: Subject["kind"],
  name: string,
  found: ReadonlyArray<A>,
  differences: (held: A) => ReadonlyArray<string>
): PlanStep => {
  const held = found.find((each) => each.name === name)
  if (held === undefined) return { kind, name, action: "create" }
  const subject = { kind, name, id: String(held.id) }
  if (!isOurs(judge, held)) {
    return { ...subject, action: "foreign", why: `is held by something else (${Labels.holder(held.labels)})` }
  }
  const differing = differences(held)
  return differing.length === 0
    ? { ...subject, action: "keep" }
    : { ...subject, action: "differs", why: `differs from what is asked: ${differing.join(", ")}` }
}

const differs = (what: string, is: unknown, asked: unknown): ReadonlyArray<string> =>
  String(is) === String(asked) ? [] : [`${what} (it is ${String(is)}, asked is ${String(asked)})`]

export const networkDifferences = (planned: PlannedNetwork, held: Wire.Network): ReadonlyArray<string> => {
  const subnet = held.subnets.find(({ ip_range }) => ip_range === planned.subnet)
  return [
    ...differs("ipRange", held.ip_range, planned.ipRange),
    ...(subnet === undefined && held.subnets.length > 0
      ? differs("subnet", held.subnets.map(({ ip_range }) => ip_range).join(" and "), planned.subnet)
      : []),
    ...(subnet === undefined || planned.zone === undefined ? [] : differs("zone", subnet.network_zone, planned.zone))
  ]
}

const judgeNetwork = (judge: Judge, planned: PlannedNetwork, world: World): PlanStep => {
  const step = judgeNamed(judge, "network", planned.name, world.networks, (held) => networkDifferences(planned, held))
  const held = world.networks.find(({ name }) => name === planned.name)
  return step.action === "keep" && held?.subnets.length === 0
    ? { ...step, action: "heal", why: `lacks its subnet ${planned.subnet}` }
    : step
}

/** A rule as the wire has it, in our words. */
const ruleOfWire = (rule: Wire.FirewallRule): FirewallRule => ({
  direction: rule.direction as FirewallRule["direction"],
  protocol: rule.protocol as FirewallRule["protocol"],
  ...(rule.port === undefined || rule.port === null ? {} : { port: rule.port }),
  ...(rule.direction === "in" ? { sourceIps: rule.source_ips ?? [] } : { destinationIps: rule.destination_ips ?? [] })
})

const rulesKey = (rules: ReadonlyArray<FirewallRule>): string =>
  JSON.stringify(
    rules.map(({ destinationIps, direction, port, protocol, sourceIps }) =>
      [direction, protocol, port ?? "", cidrSet([...sourceIps ?? [], ...destinationIps ?? []]).join()].join()
    ).sort()
  )

export const rulesDifferences = (rules: ReadonlyArray<FirewallRule>, held: Wire.Firewall): ReadonlyArray<string> =>
  rulesKey(held.rules.map(ruleOfWire)) === rulesKey(rules) ? [] : ["rules"]

export const volumeDifferences = ({ spec }: PlannedVolume, held: Wire.Volume): ReadonlyArray<string> => [
  ...differs("sizeGb", held.size, spec.sizeGb),
  ...(spec.location === undefined ? [] : differs("location", held.location?.name, spec.location))
]

/** Until its actions have ended, a server is not in its network yet. */
export const isBeingMade = ({ status }: Wire.Server): boolean => status === "initializing" || status === "starting"

/** What a server that is there differs in from what is asked. */
export const serverDifferences = (
  judge: Judge,
  planned: PlannedServer,
  held: Wire.Server,
  world: { readonly networks: ReadonlyArray<Wire.Network>; readonly groups: ReadonlyArray<Wire.PlacementGroup> }
): ReadonlyArray<string> => {
  const { plan } = judge
  const network = world.networks.find(({ name }) => name === plan.network?.name)
  const oneOf = (what: string, is: string | undefined, asked: ReadonlyArray<string> | undefined) =>
    asked === undefined || is === undefined || asked.includes(is) ? [] : differs(what, is, asked.join(" or "))
  return [
    ...oneOf("serverType", held.server_type?.name, planned.spec.serverTypes),
    ...oneOf("location", held.location?.name, planned.spec.locations),
    ...digestDifferences(held.labels[Labels.spec], planned.digest),
    ...Object.entries(planned.spec.labels ?? {})
      .flatMap(([key, value]) => differs(`label ${key}`, held.labels[key] ?? "not there", value)),
    ...(plan.network !== undefined && !isBeingMade(held) &&
        !(held.private_net ?? []).some((joined) => joined.network === network?.id)
      ? ["network (it is not in it)"]
      : []),
    ...(planned.group !== undefined &&
        !world.groups.some((group) => isOurs(judge, group) && group.id === held.placement_group?.id)
      ? ["placement group (it is in none of the cluster's)"]
      : [])
  ]
}

/** A key by its name, fingerprint or id. */
export const findKey = (keys: ReadonlyArray<Wire.SshKey>, asked: string | number): Wire.SshKey | undefined =>
  keys.find(({ fingerprint, id, name }) => name === asked || fingerprint === asked || String(id) === String(asked))

/** Type and body; the comment after them is no part of a key. */
const keyBody = (publicKey: string): string => publicKey.trim().split(/\s+/, 2).join(" ")

export const findPublicKey = (keys: ReadonlyArray<Wire.SshKey>, publicKey: string): Wire.SshKey | undefined =>
  keys.find((key) => keyBody(key.public_key) === keyBody(publicKey))

const judgeKey = (asked: AskedKey, world: World): ReadonlyArray<PlanStep> => {
  if (typeof asked !== "object") {
    const held = findKey(world.sshKeys, asked)
    return held === undefined ? [] : [{ kind: "ssh-key", name: held.name, id: String(held.id), action: "keep" }]
  }
  // The same key under another name is the same key: the API takes none twice.
  const same = findPublicKey(world.sshKeys, asked.publicKey)
  if (same !== undefined) return [{ kind: "ssh-key", name: same.name, id: String(same.id), action: "keep" }]
  const named = world.sshKeys.find(({ name }) => name === asked.name)
  return [
    named === undefined
      ? { kind: "ssh-key", name: asked.name, action: "create" }
      : { kind: "ssh-key", name: asked.name, id: String(named.id), action: "foreign", why: "is another key" }
  ]
}

/** Keys that are asked for by name and not there: faults of the spec, told with those that are near. */
export const keyFaults = (plan: Plan, world: World): ReadonlyArray<Fault> =>
  plan.sshKeys.flatMap((key, index) =>
    typeof key === "object" || findKey(world.sshKeys, key) !== undefined ? [] : [{
      path: `sshKeys[${index}]`,
      message: `there is no key ${key}${nearList(String(key), world.sshKeys.map(({ name }) => name))}`
    }]
  )

/** A plan that adds nodes joins what the cluster has, as it is, and makes nothing of that kind where there is none. */
export const joining = (plan: Plan, world: World, ownership: Labels.Ownership): Plan => {
  if (!plan.extends) return plan
  const ours = <A extends Labels.Labelled>(all: ReadonlyArray<A>) =>
    all.filter((held) => isOurs({ plan, ownership }, held))
  const [network] = ours(world.networks)
  const [subnet] = network?.subnets ?? []
  const [firewall] = ours(world.firewalls)
  const hasGroups = ours(world.groups).length > 0
  return {
    ...plan,
    network: network === undefined ? undefined : {
      name: network.name,
      ipRange: network.ip_range,
      subnet: subnet?.ip_range ?? plan.network?.subnet ?? "",
      zone: subnet?.network_zone ?? plan.network?.zone
    },
    firewall: firewall === undefined ? undefined : { name: firewall.name, rules: firewall.rules.map(ruleOfWire) },
    groups: hasGroups ? plan.groups : [],
    servers: hasGroups ? plan.servers : plan.servers.map((server) => ({ ...server, group: undefined }))
  }
}

const judgeServer = (judge: Judge, planned: PlannedServer, world: World): PlanStep => {
  const held = world.servers.find(({ name }) => name === planned.name)
  // A name is free once its server is deleted; the create waits for that.
  return held?.status === "deleting" && isOurs(judge, held)
    ? { kind: "node", name: planned.name, action: "create", why: "the one of this name is being deleted" }
    : judgeNamed(
      judge,
      "node",
      planned.name,
      world.servers,
      (found) => serverDifferences(judge, planned, found, world)
    )
}

/** Servers of the cluster that are not asked for. What an autoscaler added is its own matter. */
const notAskedFor = (judge: Judge, world: World): ReadonlyArray<PlanStep> => {
  const planned = new Set(judge.plan.servers.map(({ name }) => name))
  return world.servers
    .filter((server) =>
      isOurs(judge, server) && !planned.has(server.name) && server.status !== "deleting" &&
      !Labels.isAutoscaled(server.labels)
    )
    .map(({ id, name }) => ({ kind: "node", name, id: String(id), action: "differs", why: "is not asked for" }))
}

/** Everything that a create would do, in the order of its doing. */
export const diff = (plan: Plan, world: World, ownership: Labels.Ownership): ReadonlyArray<PlanStep> => {
  const judge: Judge = { plan, ownership }
  const { firewall, floatingIp, network } = plan
  return [
    ...plan.sshKeys.flatMap((key) => judgeKey(key, world)),
    ...(network === undefined ? [] : [judgeNetwork(judge, network, world)]),
    ...(firewall === undefined ? [] : [
      judgeNamed(judge, "firewall", firewall.name, world.firewalls, (held) => rulesDifferences(firewall.rules, held))
    ]),
    ...plan.groups.map((name) => judgeNamed(judge, "placement-group", name, world.groups, () => [])),
    ...plan.servers.map((server) => judgeServer(judge, server, world)),
    ...(plan.extends ? [] : notAskedFor(judge, world)),
    ...plan.volumes.map((volume) =>
      judgeNamed(judge, "volume", volume.name, world.volumes, (held) => volumeDifferences(volume, held))
    ),
    ...(floatingIp === undefined ? [] : [
      judgeNamed(
        judge,
        "floating-ip",
        floatingIp.name,
        world.floatingIps,
        (held) => differs("type", held.type, floatingIp.type)
      )
    ])
  ]
}

/** Why a create is refused; undefined where it can begin. All that stands in its way is named. */
export const refusalOf = (steps: ReadonlyArray<PlanStep>): Reason | undefined => {
  const refused = steps.filter(({ action }) => action === "differs" || action === "foreign")
  const [first] = refused
  if (first === undefined) return undefined
  return new NameTaken({
    detail: refused.map(({ kind, name, why }) => `${kind} ${name} ${why ?? ""}`).join("; "),
    by: first.action === "foreign"
      ? /\((.*)\)$/.exec(first.why ?? "")?.[1] ?? "something else"
      : `this cluster's own ${first.kind}`
  })
}
