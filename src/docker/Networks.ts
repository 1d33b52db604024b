/**
 * Seeing to it that a cluster's networks and named volumes are there, each with the labels that say whose they are.
 *
 * One that exists and is ours is taken as it is; one of the same name that is not ours is `NameTaken`. An engine gives an
 * existing volume as if it had made it, so the labels of the answer are read. Before API 1.44 an engine may make two
 * networks of one name at once; then the older one stays, and ours is removed again.
 */
import * as Effect from "effect/Effect"
import type { Operation } from "../internal/Operation.ts"
import { AlreadyDone, Done } from "../Model.ts"
import type { Subject } from "../Progress.ts"
import { Conflict, NameTaken, NotFoundError } from "../ProviderError.ts"
import type { Client } from "./Client.ts"
import * as Labels from "./Labels.ts"
import { type Plan, type PlannedNetwork, type PlannedVolume, subnetsToTry } from "./Plan.ts"
import { isReason } from "./Power.ts"
import type { CallFailure } from "./Transport.ts"
import { labelsOf, type Network, type Volume } from "./Wire.ts"

interface Making {
  readonly client: Client
  readonly operation: Operation
  readonly ownership: Readonly<Record<string, string>>
  readonly making: <A, E>(request: Effect.Effect<A, E>) => Effect.Effect<A, E>
}

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

/** Whether an existing network can be the planned one; gives its IPv4 subnet where fixed addresses are given out. */
const adopt = (
  context: Making,
  plan: Plan,
  planned: PlannedNetwork,
  network: Network
): Effect.Effect<string | undefined, CallFailure> => {
  const subject: Subject = { kind: "network", name: planned.name, id: network.Id }
  const labels = labelsOf(network)
  const held = planned.shared || planned.external || isOurs(plan, labels)
  const subnet = ipv4(subnetsOf(network))
  if (!held) {
    return Effect.fail(context.operation.error(
      new NameTaken({ detail: `network ${planned.name} is held by something else`, by: Labels.holder(labels) }),
      subject
    ))
  }
  if (planned.wish !== undefined && subnet !== planned.wish) {
    return Effect.fail(context.operation.error(
      new NameTaken({
        detail: `network ${planned.name} differs from what is asked: its subnet is ${subnet}, asked is ${planned.wish}`,
        by: "this cluster's own network"
      }),
      subject
    ))
  }
  return Effect.as(
    context.operation.record(subject, new AlreadyDone({})),
    planned.subnet === undefined ? undefined : subnet
  )
}

const createNetwork = Effect.fnUntraced(function*(
  context: Making,
  planned: PlannedNetwork,
  known: ReadonlyArray<Network>
): Effect.fn.Return<{ readonly id: string; readonly subnet: string | undefined }, CallFailure> {
  const { client, making, operation, ownership } = context
  const create = (subnet: string | undefined, ipv6: boolean) =>
    making(client.createNetwork({
      Name: planned.name,
      Driver: "bridge",
      CheckDuplicate: true,
      Labels: { ...planned.labels, ...ownership },
      Options: planned.options,
      ...(ipv6 ? { EnableIPv6: true } : {}),
      IPAM: {
        Config: [
          ...(subnet === undefined ? [] : [{ Subnet: subnet }]),
          ...(ipv6 ? [{ Subnet: uniqueLocal(planned.name) }] : [])
        ]
      }
    }))
  const subject: Subject = { kind: "network", name: planned.name }
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
  [...networks].sort((a, b) => (a.Created ?? "") < (b.Created ?? "") ? -1 : 1)[0]

/** Makes a network where it is missing. Gives the subnet that fixed addresses are of, where the scheme has them. */
export const ensureNetwork = Effect.fnUntraced(function*(
  context: Making,
  plan: Plan,
  planned: PlannedNetwork,
  known: ReadonlyArray<Network>
): Effect.fn.Return<string | undefined, CallFailure> {
  const { client, making, operation } = context
  const subject: Subject = { kind: "network", name: planned.name }
  const named = (networks: ReadonlyArray<Network>) => networks.filter((network) => network.Name === planned.name)
  yield* operation.schedule([subject])
  const present = eldest(named(known))
  if (present !== undefined) return yield* adopt(context, plan, planned, present)
  if (planned.external) {
    return yield* Effect.fail(
      operation.error(new NotFoundError({ detail: `there is no network ${planned.name}` }), subject)
    )
  }
  const made = yield* Effect.result(createNetwork(context, planned, known))
  const now = named(yield* client.listNetworks)
  const first = eldest(now)
  if (made._tag === "Failure") {
    // Someone else may have made it between the look and the call.
    return first === undefined || !isReason(made.failure, "NameTaken") && !isReason(made.failure, "Conflict")
      ? yield* Effect.fail(made.failure)
      : yield* adopt(context, plan, planned, first)
  }
  if (first !== undefined && first.Id !== made.success.id) {
    yield* making(client.removeNetwork(made.success.id))
    return yield* adopt(context, plan, planned, first)
  }
  yield* operation.record({ ...subject, id: made.success.id }, new Done({}))
  return planned.subnet === undefined ? undefined : made.success.subnet
})

/** Makes a named volume where it is missing. */
export const ensureVolume = Effect.fnUntraced(function*(
  context: Making,
  plan: Plan,
  planned: PlannedVolume,
  known: ReadonlyArray<Volume>
): Effect.fn.Return<void, CallFailure> {
  const { client, making, operation, ownership } = context
  const subject: Subject = { kind: "volume", name: planned.name }
  yield* operation.schedule([subject])
  const judged = (volume: Volume) => {
    const labels = labelsOf(volume)
    return isOurs(plan, labels)
      ? Effect.succeed(labels)
      : Effect.fail(operation.error(
        new NameTaken({ detail: `volume ${planned.name} is held by something else`, by: Labels.holder(labels) }),
        subject
      ))
  }
  const present = known.find((volume) => volume.Name === planned.name)
  if (present !== undefined) {
    yield* judged(present)
    return yield* operation.record(subject, new AlreadyDone({}))
  }
  yield* operation.emit({ _tag: "Sent", subject, call: "create" })
  const labels = yield* Effect.flatMap(
    making(client.createVolume({ Name: planned.name, Labels: { ...planned.labels, ...ownership } })),
    judged
  )
  const mine = labels[Labels.operation] === ownership[Labels.operation]
  yield* operation.record(subject, mine ? new Done({}) : new AlreadyDone({}))
})
