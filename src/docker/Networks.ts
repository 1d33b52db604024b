/**
 * Seeing to it that a cluster's networks and named volumes are there, each with the labels that say whose they are.
 *
 * One that exists and is ours is taken as it is; one of the same name that is not ours is `NameTaken`. An engine gives an
 * existing volume as if it had made it, so the labels of the answer are read. Before API 1.44 an engine may make two
 * networks of one name at once; then the older one stays, and ours is removed again.
 */
import * as Effect from "effect/Effect"
import type { Operation } from "../internal/Operation.ts"
import { retrying } from "../internal/Retry.ts"
import type { Subject } from "../Progress.ts"
import { Conflict, NameTaken, NotFoundError } from "../Reason.ts"
import { AlreadyDone, Done, type Outcome } from "../Report.ts"
import type { Client } from "./Client.ts"
import { HeldUnseen, untilSeen } from "./Held.ts"
import * as Labels from "./Labels.ts"
import { type Plan, type PlannedNetwork, type PlannedVolume, subnetsToTry } from "./Plan.ts"
import { isReason } from "./Power.ts"
import type { CallFailure } from "./Transport.ts"
import { labelsOf, type Network, type Volume } from "./Wire.ts"

interface Making {
  readonly client: Client
  readonly operation: Operation
  readonly ownership: Readonly<Record<string, string>>
  readonly making: <A>(subject: Subject, request: Effect.Effect<A, CallFailure>) => Effect.Effect<A, CallFailure>
}

export const networkSubject = ({ name }: PlannedNetwork): Subject => ({ kind: "network", name })
export const volumeSubject = ({ name }: PlannedVolume): Subject => ({ kind: "volume", name })

const isOurs = (plan: Plan, labels: Readonly<Record<string, string>>): boolean =>
  labels[Labels.owned] === Labels.owner(plan.scheme.name, plan.cluster)

const subnetsOf = (network: Network): ReadonlyArray<string> =>
  (network.IPAM?.Config ?? []).flatMap((config) => typeof config.Subnet === "string" ? [config.Subnet] : [])

const ipv4 = (subnets: ReadonlyArray<string>): string | undefined => subnets.find((subnet) => subnet.includes("."))

/** A unique local /64 that is the same for the same name, as kind does. */
const uniqueLocal = (name: string): string => {
  let hash = 0
  for (const character of name) hash = (hash * 31 + (character.codePointAt(0) ?? 0)) >>> 0
  const hex = hash.toString(16).padStart(8, "0")
  return `fc00:${hex.slice(0, 4)}:${hex.slice(4)}::/64`
}

/** Why an existing network cannot be the planned one; undefined where it can. */
export const refuseNetwork = (plan: Plan, planned: PlannedNetwork, network: Network): NameTaken | undefined => {
  const labels = labelsOf(network)
  const joined = plan.extended !== undefined &&
    plan.scheme.ownsNetwork(plan.cluster, { name: network.Name, labels }, plan.extended)
  if (!planned.shared && !planned.external && !isOurs(plan, labels) && !joined) {
    const by = Labels.holder(labels)
    return new NameTaken({ detail: `network ${planned.name} is held by something else (${by})`, by })
  }
  const subnet = ipv4(subnetsOf(network))
  return planned.wish === undefined || subnet === planned.wish ? undefined : new NameTaken({
    detail: `network ${planned.name} differs from what is asked: its subnet is ${subnet}, asked is ${planned.wish}`,
    by: planned.shared || planned.external ? Labels.holder(labels) : "this cluster's own network"
  })
}

/** Why an existing volume cannot be the planned one; undefined where it can. */
export const refuseVolume = (plan: Plan, planned: PlannedVolume, volume: Volume): NameTaken | undefined => {
  const labels = labelsOf(volume)
  const joined = plan.extended !== undefined &&
    plan.scheme.ownsVolume(plan.cluster, { name: volume.Name, labels }, plan.extended)
  const by = Labels.holder(labels)
  return isOurs(plan, labels) || joined
    ? undefined
    : new NameTaken({ detail: `volume ${planned.name} is held by something else (${by})`, by })
}

/** What became of a network, and the subnet that fixed addresses are of, where the scheme has them. */
interface Ensured {
  readonly outcome: Outcome
  readonly subnet: string | undefined
}

const adopt = (
  context: Making,
  plan: Plan,
  planned: PlannedNetwork,
  network: Network
): Effect.Effect<Ensured, CallFailure> => {
  const refusal = refuseNetwork(plan, planned, network)
  return refusal === undefined
    ? Effect.succeed({
      outcome: new AlreadyDone({}),
      subnet: planned.subnet === undefined ? undefined : ipv4(subnetsOf(network))
    })
    : Effect.fail(context.operation.error(refusal, networkSubject(planned)))
}

const createNetwork = Effect.fnUntraced(function*(
  context: Making,
  planned: PlannedNetwork,
  known: ReadonlyArray<Network>
): Effect.fn.Return<{ readonly id: string; readonly subnet: string | undefined }, CallFailure> {
  const { client, making, operation, ownership } = context
  const create = (subnet: string | undefined, ipv6: boolean) => {
    const request = client.createNetwork({
      Name: planned.name,
      Driver: "bridge",
      CheckDuplicate: true,
      // With our labels, what all clusters share would go with this one.
      Labels: planned.shared ? planned.labels : { ...planned.labels, ...ownership },
      Options: planned.options,
      ...(ipv6 ? { EnableIPv6: true } : {}),
      IPAM: {
        Config: [
          ...(subnet === undefined ? [] : [{ Subnet: subnet }]),
          ...(ipv6 ? [{ Subnet: uniqueLocal(planned.name) }] : [])
        ]
      }
    })
    // For the same reason it is nothing that this call would have to remove again.
    return planned.shared ? request : making(subject, request)
  }
  const subject = networkSubject(planned)
  yield* operation.emit({ _tag: "Sent", subject, call: "create" })
  if (planned.wish === undefined && planned.subnet === undefined) {
    const plain = create(undefined, false)
    // An engine without ip6tables refuses IPv6; the cluster then has IPv4 only.
    const id = yield* planned.ipv6
      ? Effect.catchIf(create(undefined, true), (error) => !isReason(error, "NameTaken"), () => plain)
      : plain
    return { id, subnet: undefined }
  }
  const candidates = subnetsToTry(planned.wish, planned.subnet ?? "", known.flatMap(subnetsOf))
  let last: CallFailure = operation.error(new Conflict({ detail: "no subnet of the pool is free" }), subject)
  for (const subnet of candidates) {
    const result = yield* Effect.result(create(subnet, false))
    if (result._tag === "Success") return { id: result.success, subnet }
    last = result.failure
    // Only an overlap, which may be with a route that no network tells of, is a reason to try the next one.
    if (!isReason(last, "Conflict")) break
  }
  return yield* Effect.fail(last)
})

/** The network of this name that an engine would choose: the oldest. */
const eldest = (networks: ReadonlyArray<Network>): Network | undefined =>
  [...networks].sort((a, b) => `${a.Created} ${a.Id}` < `${b.Created} ${b.Id}` ? -1 : 1)[0]

/** Makes a network where it is missing. */
export const ensureNetwork = Effect.fnUntraced(function*(
  context: Making,
  plan: Plan,
  planned: PlannedNetwork,
  known: ReadonlyArray<Network>
): Effect.fn.Return<Ensured, CallFailure> {
  const { client, making, operation } = context
  const named = (networks: ReadonlyArray<Network>) => networks.filter((network) => network.Name === planned.name)
  const present = eldest(named(known))
  if (present !== undefined) return yield* adopt(context, plan, planned, present)
  if (planned.external) {
    return yield* Effect.fail(
      operation.error(
        new NotFoundError({ detail: `there is no network ${planned.name}` }),
        networkSubject(planned)
      )
    )
  }
  const attempt = Effect.fnUntraced(function*(): Effect.fn.Return<Ensured, CallFailure | HeldUnseen> {
    const made = yield* Effect.result(createNetwork(context, planned, known))
    const first = eldest(named(yield* client.listNetworks))
    if (made._tag === "Failure") {
      const taken = isReason(made.failure, "NameTaken")
      if (first === undefined && taken) return yield* new HeldUnseen({ error: made.failure })
      // Someone else may have made it between the look and the call.
      return first === undefined || !taken && !isReason(made.failure, "Conflict")
        ? yield* Effect.fail(made.failure)
        : yield* adopt(context, plan, planned, first)
    }
    if (first !== undefined && first.Id !== made.success.id) {
      yield* making(networkSubject(planned), client.removeNetwork(made.success.id))
      return yield* adopt(context, plan, planned, first)
    }
    return { outcome: new Done({}), subnet: planned.subnet === undefined ? undefined : made.success.subnet }
  })
  return yield* untilSeen(operation.policy, attempt())
})

/** Makes a named volume where it is missing. */
export const ensureVolume = Effect.fnUntraced(function*(
  context: Making,
  plan: Plan,
  planned: PlannedVolume,
  known: ReadonlyArray<Volume>
): Effect.fn.Return<Outcome, CallFailure> {
  const { client, making, operation, ownership } = context
  const subject = volumeSubject(planned)
  const present = known.find((volume) => volume.Name === planned.name)
  if (present === undefined) yield* operation.emit({ _tag: "Sent", subject, call: "create" })
  const request = client.createVolume({ Name: planned.name, Labels: { ...planned.labels, ...ownership } })
  // An engine answers a second request with the volume of the first. Each try counts for itself: one whose answer did
  // not come may be carried out when the volume of a later one is removed already.
  const volume = present ?? (yield* retrying(operation.policy)(making(subject, request)))
  const refusal = refuseVolume(plan, planned, volume)
  if (refusal !== undefined) return yield* Effect.fail(operation.error(refusal, subject))
  const mine = labelsOf(volume)[Labels.operation] === ownership[Labels.operation]
  return mine ? new Done({}) : new AlreadyDone({})
})
