/**
 * What a cluster leaves behind beside its servers: removing what is its own, and naming what stays.
 *
 * Ours are floating IPs, volumes, firewalls, placement groups, SSH keys and the network, by their labels; and the load
 * balancers in the network, by its id, that the cloud controller made. What is foreign, or holds user data (a volume of
 * the CSI driver, a kept primary IP, what was to be kept), is Skipped with what it goes on costing; a network that
 * something else is in stays too. Every step is attempted; a look-up that failed is a failure, never "absent".
 */
import * as Effect from "effect/Effect"
import { type Operation, settledError } from "../internal/Operation.ts"
import type { ClusterName } from "../Model.ts"
import type { Subject } from "../Progress.ts"
import { Failed, type Outcome, Skipped } from "../Report.ts"
import { type Billed, type Biller, makeBiller } from "./Billing.ts"
import type { CallFailure } from "./Client.ts"
import { isReason } from "./Errors.ts"
import * as Labels from "./Labels.ts"
import type { Member } from "./Members.ts"
import { namesOf } from "./Names.ts"
import { type Deleting, type Removable, removeOne } from "./Removal.ts"
import * as Replies from "./Replies.ts"
import * as Wire from "./Wire.ts"

/** The cloud controller marks the load balancers that it made for a service of the cluster. */
const serviceLabel = "hcloud-ccm/service-uid"

/** One thing and what is to become of it: removed, or left for a reason. */
interface Step {
  readonly subject: Subject & { readonly id: string }
  readonly stays?: { readonly why: string; readonly billed?: Billed }
}

interface World {
  readonly networks: ReadonlyArray<Wire.Network>
  readonly firewalls: ReadonlyArray<Wire.Firewall>
  readonly groups: ReadonlyArray<Wire.PlacementGroup>
  readonly floatingIps: ReadonlyArray<Wire.FloatingIp>
  readonly volumes: ReadonlyArray<Wire.Volume>
  readonly sshKeys: ReadonlyArray<Wire.SshKey>
  readonly primaryIps: ReadonlyArray<Wire.PrimaryIp>
}

const words: { readonly [K in Subject["kind"]]?: string } = {
  node: "server",
  "placement-group": "placement group",
  "floating-ip": "floating IP",
  "load-balancer": "load balancer",
  "primary-ip": "primary IP",
  "ssh-key": "SSH key"
}

/** What was asked for and not told stands in the report, and everything else goes on. */
const lookUp = <A>(
  operation: Operation,
  kind: Subject["kind"],
  list: Effect.Effect<ReadonlyArray<A>, CallFailure>
): Effect.Effect<ReadonlyArray<A> | undefined> =>
  Effect.catch(list, (error) => {
    const subject: Subject = { kind, name: `${words[kind] ?? kind}s of the cluster` }
    return Effect.as(
      operation.record(subject, new Failed({ error: settledError(operation, subject, error) })),
      undefined
    )
  })

const subjectOf = (kind: Subject["kind"], held: { readonly id: number; readonly name: string }) => ({
  kind,
  name: held.name,
  id: String(held.id)
})

/** The names of servers that are not the cluster's, or were not deleted. */
const namesOfServers = (ids: ReadonlyArray<number>, servers: ReadonlyMap<number, Wire.Server>): string =>
  ids.map((id) => servers.get(id)?.name ?? `with the id ${id}`).join(", ")

const locationOf = (held: { readonly location?: { readonly name: string } | null }): string | undefined =>
  held.location?.name

interface Judge {
  readonly cluster: ClusterName
  readonly isOurs: (held: Labels.Labelled) => boolean
  /** Servers of the cluster that are gone. */
  readonly isGone: (server: number) => boolean
  /** Servers that stay, as far as they are known. */
  readonly staying: ReadonlyMap<number, Wire.Server>
}

/** The servers that a firewall guards by themselves; those that it selects by label are not held. */
export const serversBehind = ({ applied_to }: Wire.Firewall): ReadonlyArray<number> =>
  applied_to.flatMap(({ server }) => server === undefined || server === null ? [] : [server.id])

/** Ours, to be removed unless something that stays uses it; foreign of our name, to be told; neither. */
const judged = <A extends Labels.Labelled>(
  judge: Judge,
  kind: Subject["kind"],
  held: A,
  isOurName: boolean,
  users: ReadonlyArray<number>
): ReadonlyArray<Step> => {
  const subject = subjectOf(kind, held)
  if (!judge.isOurs(held)) {
    return isOurName
      ? [{ subject, stays: { why: `it is not this cluster's (${Labels.holder(held.labels)})` } }]
      : []
  }
  const staying = users.filter((id) => !judge.isGone(id))
  return staying.length === 0
    ? [{ subject }]
    : [{ subject, stays: { why: `used by server ${namesOfServers(staying, judge.staying)}` } }]
}

const stepsOf = (judge: Judge, world: World, going: ReadonlyArray<Wire.Server>): ReadonlyArray<Step> => {
  const names = namesOf(judge.cluster)
  const isOurGroup = (name: string) =>
    name.startsWith(names.groupPrefix) && /^\d+$/.test(name.slice(names.groupPrefix.length))
  const attached = new Set(going.flatMap(({ volumes }) => volumes ?? []))
  const addresses = new Set(going.flatMap(({ public_net }) => [public_net?.ipv4?.id, public_net?.ipv6?.id]))
  const kept = (held: Labels.Labelled) => held.labels[Labels.keep] === "true"
  const keeping = (step: Step, billed: Billed): Step => ({
    ...step,
    stays: { why: "it is to be kept, as its label says", billed }
  })
  return [
    ...world.floatingIps.flatMap((ip) =>
      judged(judge, "floating-ip", ip, ip.name === names.floatingIp, ip.server === null ? [] : [ip.server]).map(
        (step) => {
          const billed = { kind: "floating-ip", type: ip.type, location: ip.home_location?.name } as const
          return judge.isOurs(ip) && kept(ip) ? keeping(step, billed) : step
        }
      )
    ),
    ...world.volumes.flatMap((volume): ReadonlyArray<Step> => {
      const billed = { kind: "volume", sizeGb: volume.size } as const
      const steps = judged(judge, "volume", volume, false, volume.server === null ? [] : [volume.server])
      if (steps.length > 0) return kept(volume) ? steps.map((step) => keeping(step, billed)) : steps
      const claim = volume.labels["pvc-name"]
      return attached.has(volume.id)
        ? [{
          subject: subjectOf("volume", volume),
          stays: {
            why: `it was attached to the cluster and holds user data${
              claim === undefined ? "" : ` (of the claim ${claim})`
            }`,
            billed
          }
        }]
        : []
    }),
    ...world.firewalls.flatMap((firewall) =>
      judged(
        judge,
        "firewall",
        firewall,
        firewall.name === names.firewall,
        serversBehind(firewall)
      )
    ),
    ...world.groups.flatMap((group) => judged(judge, "placement-group", group, isOurGroup(group.name), group.servers)),
    ...world.sshKeys.flatMap((key) => judged(judge, "ssh-key", key, false, [])),
    ...world.primaryIps
      .filter((ip) => addresses.has(ip.id) && !ip.auto_delete)
      .map((ip): Step => ({
        subject: subjectOf("primary-ip", ip),
        stays: {
          why: "it is kept when its server goes",
          billed: { kind: "primary-ip", type: ip.type, location: locationOf(ip) }
        }
      }))
  ]
}

/** A firewall that selects servers by label is in use as long as it does so. */
const releaseSelectors = (
  { actions, client }: Deleting,
  firewall: Wire.Firewall | undefined
): Effect.Effect<void, CallFailure> => {
  const selectors = firewall?.applied_to.filter(({ type }) => type === "label_selector") ?? []
  return firewall === undefined || selectors.length === 0
    ? Effect.void
    : client.post(`/firewalls/${firewall.id}/actions/remove_from_resources`, {
      remove_from: selectors.map(({ label_selector, type }) => ({
        type,
        label_selector: { selector: label_selector?.selector ?? "" }
      }))
    }, Replies.Started).pipe(
      Effect.flatMap((reply) => actions.await(Replies.actionsIn(reply), {})),
      Effect.catchIf((error) => isReason(error, "NotFoundError"), () => Effect.void)
    )
}

const isRemovable = (subject: Step["subject"]): subject is Removable =>
  subject.kind !== "image" && subject.kind !== "primary-ip"

/** Carries out steps of one wave: what stays is told, the rest removed. */
const carryOut = (
  context: Deleting,
  operation: Operation,
  steps: ReadonlyArray<Step>,
  biller: Biller,
  firewalls: ReadonlyArray<Wire.Firewall> = []
): Effect.Effect<void> => {
  const { concurrency, nodeTimeout } = operation.policy
  return operation.wave(
    steps,
    { subject: ({ subject }) => subject, timeout: nodeTimeout.delete, width: concurrency.delete },
    ({ stays, subject }): Effect.Effect<Outcome, CallFailure> => {
      if (stays !== undefined) {
        const cost = stays.billed === undefined
          ? Effect.succeed("")
          : Effect.map(biller(stays.billed), (it) => `; ${it}`)
        return Effect.map(cost, (billing) => new Skipped({ reason: `${stays.why}${billing}` }))
      }
      if (!isRemovable(subject)) return Effect.succeed(new Skipped({ reason: "it is not removed by itself" }))
      const firewall = subject.kind === "firewall" ? firewalls.find(({ id }) => String(id) === subject.id) : undefined
      return Effect.andThen(releaseSelectors(context, firewall), removeOne(context, operation, subject))
    }
  )
}

const balancerStep = (balancer: Wire.LoadBalancer): Step => ({
  subject: subjectOf("load-balancer", balancer),
  ...(balancer.labels[serviceLabel] === undefined
    ? {
      stays: {
        why: `it is in the cluster's network and not the cluster's (${Labels.holder(balancer.labels)})`,
        billed: {
          kind: "load-balancer",
          type: balancer.load_balancer_type?.name,
          location: locationOf(balancer)
        }
      }
    }
    : {})
})

/** What is in a network that the cluster's delete has to leave there, in words. */
const inhabitants = (
  operation: Operation,
  network: Wire.Network,
  judge: Judge,
  balancers: ReadonlyArray<Wire.LoadBalancer> | undefined
): ReadonlyArray<string> => {
  const servers = network.servers.filter((id) => !judge.isGone(id))
  const staying = (balancers ?? []).filter((balancer) => {
    const outcome = operation.outcomeOf(subjectOf("load-balancer", balancer))
    return isIn(network, balancer) && outcome?._tag !== "Done" && outcome?._tag !== "AlreadyDone"
  })
  return [
    ...(servers.length === 0 ? [] : [`used by server ${namesOfServers(servers, judge.staying)}`]),
    ...(staying.length === 0 ? [] : [`used by load balancer ${staying.map(({ name }) => name).join(", ")}`]),
    ...(balancers === undefined ? ["whether load balancers are in it could not be asked"] : [])
  ]
}

const isIn = (network: Wire.Network, balancer: Wire.LoadBalancer): boolean =>
  balancer.private_net.some((joined) => joined.network === network.id)

/** Removes what is the cluster's own beside its servers. `going` are the servers that it had. */
export const removeInfrastructure = Effect.fnUntraced(function*(
  context: Deleting,
  operation: Operation,
  going: ReadonlyArray<Member>
): Effect.fn.Return<void> {
  const { client, ownership } = context
  const { clusterName } = operation
  const read = <A>(kind: Subject["kind"], collection: Wire.Collection<A>) =>
    lookUp(operation, kind, client.list(collection))
  const servers = going.map(({ server }) => server)
  const hadAddresses = servers.some(({ public_net }) => (public_net?.ipv4 ?? public_net?.ipv6 ?? null) !== null)
  const [networks, firewalls, groups, floatingIps, volumes, sshKeys, primaryIps] = yield* Effect.all([
    read("network", Wire.networks),
    read("firewall", Wire.firewalls),
    read("placement-group", Wire.placementGroups),
    read("floating-ip", Wire.floatingIps),
    read("volume", Wire.volumes),
    read("ssh-key", Wire.sshKeys),
    hadAddresses ? read("primary-ip", Wire.primaryIps) : Effect.succeed([])
  ], { concurrency: operation.policy.concurrency.delete })

  const isOurs = (held: Labels.Labelled) => ownership.classify(held.labels)?.cluster === clusterName
  const ourNetworks = (networks ?? []).filter(isOurs)
  const gone = new Set(
    going.filter((member) => {
      const outcome = operation.outcomeOf(subjectOf("node", member.server))
      return outcome?._tag === "Done" || outcome?._tag === "AlreadyDone"
    }).map(({ server }) => server.id)
  )
  const used = [
    ...ourNetworks.flatMap((network) => network.servers),
    ...(groups ?? []).filter(isOurs).flatMap((group) => group.servers),
    ...(floatingIps ?? []).filter(isOurs).flatMap(({ server }) => server ?? []),
    ...(volumes ?? []).filter(isOurs).flatMap(({ server }) => server ?? []),
    ...(firewalls ?? []).filter(isOurs).flatMap((firewall) => serversBehind(firewall))
  ].filter((id) => !gone.has(id))
  const [found, balancers] = yield* Effect.all([
    Effect.forEach(
      [...new Set(used)],
      (id) => Effect.map(Effect.result(client.get(Wire.servers, id)), (result) => [id, result] as const),
      { concurrency: operation.policy.concurrency.delete }
    ),
    ourNetworks.some((network) => network.load_balancers?.length !== 0)
      ? read("load-balancer", Wire.loadBalancers)
      : Effect.succeed([])
  ], { concurrency: 2 })
  const staying = new Map<number, Wire.Server>()
  for (const [id, result] of found) {
    if (result._tag === "Failure") continue
    // A list can lag behind the end of a delete.
    if (result.success === undefined) gone.add(id)
    else staying.set(id, result.success)
  }

  const biller = yield* makeBiller(client)
  const judge: Judge = { cluster: clusterName, isOurs, isGone: (id) => gone.has(id), staying }
  const strangers = ourNetworks.flatMap((network) => network.servers)
    .flatMap((id) => staying.get(id) ?? [])
    .filter((server) => !isOurs(server) && !going.some((member) => member.server.id === server.id))
  const steps = [
    ...stepsOf(judge, {
      networks: networks ?? [],
      firewalls: firewalls ?? [],
      groups: groups ?? [],
      floatingIps: floatingIps ?? [],
      volumes: volumes ?? [],
      sshKeys: sshKeys ?? [],
      primaryIps: primaryIps ?? []
    }, servers),
    ...strangers.map((server): Step => ({
      subject: subjectOf("node", server),
      stays: {
        why: `it is in the cluster's network and not the cluster's (${Labels.holder(server.labels)})`,
        billed: { kind: "server", type: server.server_type?.name, location: locationOf(server) }
      }
    })),
    ...(balancers ?? []).filter((balancer) => ourNetworks.some((network) => isIn(network, balancer))).map(balancerStep)
  ]
  yield* carryOut(context, operation, steps, biller, firewalls)
  const lookAlike = namesOf(clusterName).network
  yield* carryOut(
    context,
    operation,
    (networks ?? []).flatMap((network): ReadonlyArray<Step> => {
      const subject = subjectOf("network", network)
      if (!isOurs(network)) {
        return network.name === lookAlike
          ? [{ subject, stays: { why: `it is not this cluster's (${Labels.holder(network.labels)})` } }]
          : []
      }
      const users = inhabitants(operation, network, judge, balancers)
      return [users.length === 0 ? { subject } : { subject, stays: { why: users.join("; ") } }]
    }),
    biller
  )
})
