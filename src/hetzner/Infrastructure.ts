/**
 * Seeing to it that what a cluster's servers share is there: SSH keys, the network with its subnet, the firewall, the
 * placement groups; and after the servers, volumes and the floating IP.
 *
 * By now everything was judged: what is there agrees. What someone else makes meanwhile is judged again by `Making.ts`.
 * Source: Hetzner Cloud API reference, `POST` of `/networks`, `/firewalls`, `/placement_groups`, `/ssh_keys`, `/volumes`,
 * `/floating_ips`.
 */
import * as Effect from "effect/Effect"
import { retrying } from "../internal/Retry.ts"
import type { Made } from "../internal/Rollback.ts"
import type { Subject } from "../Progress.ts"
import { AlreadyDone, Done, type Outcome } from "../Report.ts"
import type { CallFailure } from "./Client.ts"
import { isReason } from "./Errors.ts"
import { findPublicKey, networkDifferences, rulesDifferences, volumeDifferences } from "./Judge.ts"
import * as Labels from "./Labels.ts"
import { awaitMade, type Call, labelsOfNew, leavesOpen, makeNamed, type Told } from "./Making.ts"
import type { PlannedNetwork, PlannedVolume } from "./Plan.ts"
import * as Replies from "./Replies.ts"
import type { FirewallRule } from "./Spec.ts"
import * as Wire from "./Wire.ts"

/** What makes something is sent once; `Making.ts` looks before it is sent again. */
export const once = { retry: false } as const

const keeping = (keep: boolean | undefined): Labels.LabelMap => keep === true ? { [Labels.keep]: "true" } : {}

const outcomeOf = ({ made }: { readonly made: boolean }): Outcome => made ? new Done({}) : new AlreadyDone({})

/** What holds a name now. */
const named = <A extends { readonly name: string }>(
  call: Call,
  collection: Wire.Collection<A>,
  name: string
): Effect.Effect<A | undefined, CallFailure> =>
  Effect.map(call.client.list(collection, { name }), (found) => found.find((each) => each.name === name))

export interface Ensured<A> {
  readonly outcome: Outcome
  readonly held: A
}

const ensured = <A>(made: Told<A>): Ensured<A> => ({ outcome: outcomeOf(made), held: made.held })

const subnetBody = (planned: PlannedNetwork, zone: string) => ({
  type: "cloud",
  ip_range: planned.subnet,
  network_zone: zone
})

/** Gives a network of ours the subnet that it lacks. Sent again only after a look. */
const addSubnet = (
  call: Call,
  subject: Subject,
  planned: PlannedNetwork,
  zone: string,
  network: Wire.Network
): Effect.Effect<Wire.Network, CallFailure> => {
  const { actions, client, making, operation } = call
  const look = Effect.flatMap(
    client.get(Wire.networks, network.id),
    (now) =>
      now?.subnets.some(({ ip_range }) => ip_range === planned.subnet) === true
        ? Effect.succeed(now)
        : Effect.succeed(undefined)
  )
  const send = operation.emit({ _tag: "Sent", subject, call: "add subnet" }).pipe(
    Effect.andThen(making(
      subject,
      client.post(
        `/networks/${network.id}/actions/add_subnet`,
        subnetBody(planned, zone),
        Replies.Started,
        once
      )
    )),
    Effect.flatMap((reply) => actions.await(Replies.actionsIn(reply), {})),
    Effect.as(network)
  )
  const given: Made = {
    subject,
    remove: client.post(`/networks/${network.id}/actions/delete_subnet`, { ip_range: planned.subnet }, Replies.Started)
      .pipe(
        Effect.flatMap((reply) => actions.await(Replies.actionsIn(reply), {})),
        // It was not given after all.
        Effect.catchIf((error) => isReason(error, "InvalidInput"), () => Effect.void),
        Effect.tap(Effect.sync(() => call.given.delete(given)))
      )
  }
  call.given.add(given)
  return retrying(operation.policy)(
    Effect.catchIf(
      send,
      (error) => leavesOpen(error) || isReason(error, "InvalidInput"),
      (error) => Effect.flatMap(look, (now) => now === undefined ? Effect.fail(error) : Effect.succeed(now))
    )
  )
}

export const ensureNetwork = (
  call: Call,
  planned: PlannedNetwork,
  zone: string,
  present: Wire.Network | undefined
): Effect.Effect<Ensured<Wire.Network>, CallFailure> => {
  const subject: Subject = { kind: "network", name: planned.name }
  if (present !== undefined) {
    return present.subnets.length > 0
      ? Effect.succeed({ outcome: new AlreadyDone({}), held: present })
      : Effect.map(addSubnet(call, subject, planned, zone, present), (held) => ({ outcome: new Done({}), held }))
  }
  return Effect.map(
    makeNamed<Wire.Network>(call, subject, {
      path: "/networks",
      request: Effect.map(
        call.client.post(
          "/networks",
          {
            name: planned.name,
            ip_range: planned.ipRange,
            subnets: [subnetBody(planned, zone)],
            labels: labelsOfNew(call, subject)
          },
          Replies.Network,
          once
        ),
        (reply) => ({ held: reply.network, actions: Replies.actionsIn(reply) })
      ),
      find: named(call, Wire.networks, planned.name),
      differences: (held) => networkDifferences(planned, held)
    }),
    ensured
  )
}

const ruleBody = (rule: FirewallRule) => ({
  direction: rule.direction,
  protocol: rule.protocol,
  ...(rule.port === undefined ? {} : { port: rule.port }),
  ...(rule.direction === "in"
    ? { source_ips: rule.sourceIps ?? [] }
    : { destination_ips: rule.destinationIps ?? [] }),
  ...(rule.description === undefined ? {} : { description: rule.description })
})

export const ensureFirewall = (
  call: Call,
  planned: { readonly name: string; readonly rules: ReadonlyArray<FirewallRule> },
  present: Wire.Firewall | undefined
): Effect.Effect<Ensured<Wire.Firewall>, CallFailure> => {
  const subject: Subject = { kind: "firewall", name: planned.name }
  if (present !== undefined) return Effect.succeed({ outcome: new AlreadyDone({}), held: present })
  return makeNamed<Wire.Firewall>(call, subject, {
    path: "/firewalls",
    request: Effect.map(
      call.client.post(
        "/firewalls",
        { name: planned.name, labels: labelsOfNew(call, subject), rules: planned.rules.map(ruleBody) },
        Replies.Firewall,
        once
      ),
      (reply) => ({ held: reply.firewall, actions: Replies.actionsIn(reply) })
    ),
    find: named(call, Wire.firewalls, planned.name),
    differences: (held) => rulesDifferences(planned.rules, held)
  }).pipe(
    Effect.tap((made) => made.made ? awaitMade(call, made, "/firewalls", {}) : Effect.void),
    Effect.map(ensured)
  )
}

export const ensureGroup = (
  call: Call,
  name: string,
  present: Wire.PlacementGroup | undefined
): Effect.Effect<Ensured<Wire.PlacementGroup>, CallFailure> => {
  const subject: Subject = { kind: "placement-group", name }
  if (present !== undefined) return Effect.succeed({ outcome: new AlreadyDone({}), held: present })
  return Effect.map(
    makeNamed<Wire.PlacementGroup>(call, subject, {
      path: "/placement_groups",
      request: Effect.map(
        call.client.post(
          "/placement_groups",
          { name, type: "spread", labels: labelsOfNew(call, subject) },
          Replies.PlacementGroup,
          once
        ),
        (reply) => ({ held: reply.placement_group, actions: Replies.actionsIn(reply) })
      ),
      find: named(call, Wire.placementGroups, name),
      differences: () => []
    }),
    ensured
  )
}

export const ensureKey = (
  call: Call,
  key: { readonly name: string; readonly publicKey: string }
): Effect.Effect<Ensured<Wire.SshKey>, CallFailure> => {
  const { client } = call
  const subject: Subject = { kind: "ssh-key", name: key.name }
  // A key is the same by its text, whoever put it there under whatever name.
  const same = Effect.map(client.list(Wire.sshKeys), (keys) => findPublicKey(keys, key.publicKey))
  return makeNamed<Wire.SshKey>(call, subject, {
    path: "/ssh_keys",
    request: Effect.map(
      call.client.post(
        "/ssh_keys",
        { name: key.name, public_key: key.publicKey.trim(), labels: labelsOfNew(call, subject) },
        Replies.SshKey,
        once
      ),
      (reply) => ({ held: reply.ssh_key, actions: Replies.actionsIn(reply) })
    ),
    find: named(call, Wire.sshKeys, key.name),
    differences: (held) => findPublicKey([held], key.publicKey) === undefined ? ["publicKey"] : []
  }).pipe(
    Effect.map(ensured),
    Effect.catchIf(
      (error) => isReason(error, "NameTaken", "Conflict"),
      (error) =>
        Effect.flatMap(
          same,
          (held): Effect.Effect<Ensured<Wire.SshKey>, CallFailure> =>
            held === undefined ? Effect.fail(error) : Effect.succeed({ outcome: new AlreadyDone({}), held })
        )
    )
  )
}

/** A volume in its location, or attached to its server. */
export const ensureVolume = (
  call: Call,
  planned: PlannedVolume,
  where: { readonly server: number } | { readonly location: string },
  present: Wire.Volume | undefined
): Effect.Effect<Outcome, CallFailure> => {
  const subject: Subject = { kind: "volume", name: planned.name }
  if (present !== undefined) return Effect.succeed(new AlreadyDone({}))
  const { format, sizeGb } = planned.spec
  return makeNamed<Wire.Volume>(call, subject, {
    path: "/volumes",
    request: Effect.map(
      call.client.post(
        "/volumes",
        {
          name: planned.name,
          size: sizeGb,
          ...where,
          ...(format === undefined ? {} : { format }),
          labels: { ...labelsOfNew(call, subject), ...keeping(planned.spec.keep) }
        },
        Replies.Volume,
        once
      ),
      (reply) => ({ held: reply.volume, actions: Replies.actionsIn(reply) })
    ),
    find: named(call, Wire.volumes, planned.name),
    differences: (held) => volumeDifferences(planned, held)
  }).pipe(
    Effect.tap((made) => made.made ? awaitMade(call, made, "/volumes", {}) : Effect.void),
    Effect.map(outcomeOf)
  )
}

/** The cluster's floating IP, assigned to a server. */
export const ensureFloatingIp = (
  call: Call,
  planned: { readonly name: string; readonly type: "ipv4" | "ipv6"; readonly keep: boolean },
  server: number,
  present: Wire.FloatingIp | undefined
): Effect.Effect<Outcome, CallFailure> => {
  const subject: Subject = { kind: "floating-ip", name: planned.name }
  if (present !== undefined) return Effect.succeed(new AlreadyDone({}))
  return makeNamed<Wire.FloatingIp>(call, subject, {
    path: "/floating_ips",
    request: Effect.map(
      call.client.post(
        "/floating_ips",
        {
          name: planned.name,
          type: planned.type,
          server,
          labels: { ...labelsOfNew(call, subject), ...keeping(planned.keep) }
        },
        Replies.FloatingIp,
        once
      ),
      (reply) => ({ held: reply.floating_ip, actions: Replies.actionsIn(reply) })
    ),
    find: named(call, Wire.floatingIps, planned.name),
    differences: (held) => held.type === planned.type ? [] : ["type"]
  }).pipe(
    Effect.tap((made) => made.made ? awaitMade(call, made, "/floating_ips", {}) : Effect.void),
    Effect.map(outcomeOf)
  )
}
