/**
 * Making one server: the first place that has it, in the placement group that has room.
 *
 * A place that is sold out is left for the next one, with the same group: a shortage never costs the spread. A server
 * whose creation failed half-way is removed before another place is tried, since it holds the name and is billed. What
 * is refused for good stops at once. Every decision stands in the report.
 * Source: Hetzner Cloud API reference, `POST /servers`.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Semaphore from "effect/Semaphore"
import type { Subject } from "../Progress.ts"
import { BackendError, CapacityUnavailable } from "../Reason.ts"
import { AlreadyDone, Done, type Outcome } from "../Report.ts"
import { type Choice, keyOfCandidate, wordsOf } from "./Candidates.ts"
import type { Place } from "./Catalogue.ts"
import type { CallFailure } from "./Client.ts"
import { isReason } from "./Errors.ts"
import { ensureGroup, once } from "./Infrastructure.ts"
import { serverDifferences } from "./Judge.ts"
import * as Labels from "./Labels.ts"
import { awaitMade, type Call, labelsOfNew, makeNamed, type Told } from "./Making.ts"
import { namesOf } from "./Names.ts"
import { type Group, groupWithRoom } from "./Placement.ts"
import type { PlannedServer } from "./Plan.ts"
import { removeOne } from "./Removal.ts"
import * as Replies from "./Replies.ts"
import { type Role, userDataOf } from "./Spec.ts"
import * as Wire from "./Wire.ts"

/** The groups of a cluster, and how full they are, as this call knows it. */
export interface Groups {
  /** Takes a place in a group for a server; makes one more group where all are full. */
  readonly take: (planned: string) => Effect.Effect<Wire.PlacementGroup, CallFailure>
  readonly release: (group: Wire.PlacementGroup) => void
  /** The API calls it full, whatever its count says. */
  readonly isFull: (group: Wire.PlacementGroup) => void
  readonly all: () => ReadonlyArray<Wire.PlacementGroup>
}

export const makeGroups = (call: Call, known: ReadonlyArray<Wire.PlacementGroup>): Groups => {
  const groups = new Map(known.map((group) => [group.name, { group, members: group.servers.length }]))
  const full = new Set<string>()
  const gate = Semaphore.makeUnsafe(1)
  const { group: nameOfGroup } = namesOf(call.plan.cluster)
  const another = Effect.gen(function*() {
    let number = groups.size + 1
    while (groups.has(nameOfGroup(number))) number++
    const name = nameOfGroup(number)
    const { held, outcome } = yield* ensureGroup(call, name, undefined)
    yield* call.operation.record({ kind: "placement-group", name, id: String(held.id) }, outcome)
    const entry = { group: held, members: held.servers.length }
    groups.set(held.name, entry)
    return entry
  })
  return {
    take: (planned) =>
      gate.withPermits(1)(Effect.gen(function*() {
        const list = [...groups.values()].map(({ group, members }): Group => ({ name: group.name, members }))
        const open = groupWithRoom(list, planned, full)
        const entry = (open === undefined ? undefined : groups.get(open.name)) ?? (yield* another)
        entry.members++
        return entry.group
      })),
    release: (group) => {
      const entry = groups.get(group.name)
      if (entry !== undefined) entry.members--
    },
    isFull: (group) => void full.add(group.name),
    all: () => [...groups.values()].map(({ group }) => group)
  }
}

/** What all servers of a create call have in common. */
export interface Common {
  readonly call: Call
  readonly groups: Groups
  readonly choices: ReadonlyMap<Role, Choice<Place>>
  readonly network: Wire.Network | undefined
  readonly firewall: Wire.Firewall | undefined
  readonly sshKeys: ReadonlyArray<number>
  /** So many requests are sent at once; the waiting is not counted. */
  readonly sending: Semaphore.Semaphore
  /** Why no more servers are bought: one was refused for a reason that holds for all. */
  stopped: BackendError | undefined
}

/** The code of a spread group that has ten servers, by the API's own count. */
const isGroupFull = (error: CallFailure): boolean =>
  error instanceof BackendError && error.reason.code === "placement_group_member_limit_reached"

/** Refused for a reason that the next place does not change. */
const holdsForAll = (error: CallFailure): error is BackendError =>
  error instanceof BackendError && isReason(error, "Unauthorized", "ReadOnlyCredential", "QuotaExceeded")

/** An action that failed may succeed elsewhere, unless the wish itself is refused. */
const isFinal = (error: CallFailure): boolean =>
  holdsForAll(error) || isReason(error, "InvalidInput", "UnsupportedError")

const wordsOfError = (error: CallFailure): string =>
  error instanceof BackendError ? `${error.reason._tag}: ${error.reason.detail}` : error.detail

/** A group that is full by the API's count is another matter than this call's; how often it is believed. */
const mostFullGroups = 3

const isShortage = (error: CallFailure): boolean =>
  !isGroupFull(error) && isReason(error, "CapacityUnavailable", "PlacementFailed")

const subjectOf = (server: PlannedServer): Subject => ({ kind: "node", name: server.name })

const bodyOf = (
  { call, firewall, network, sshKeys }: Common,
  server: PlannedServer,
  place: Place,
  group: Wire.PlacementGroup | undefined
) => {
  const { publicNet } = call.plan
  const userData = userDataOf(server.spec)
  return {
    name: server.name,
    server_type: place.serverType,
    location: place.location,
    image: place.image,
    start_after_create: true,
    labels: {
      ...server.spec.labels,
      ...labelsOfNew(call, subjectOf(server), server.role),
      [Labels.spec]: server.digest
    },
    public_net: { enable_ipv4: publicNet.ipv4, enable_ipv6: publicNet.ipv6 },
    ...(sshKeys.length === 0 ? {} : { ssh_keys: sshKeys }),
    ...(userData === undefined ? {} : { user_data: userData }),
    ...(network === undefined ? {} : { networks: [network.id] }),
    ...(firewall === undefined ? {} : { firewalls: [{ firewall: firewall.id }] }),
    ...(group === undefined ? {} : { placement_group: group.id })
  }
}

/** What holds the name; one that is being deleted is waited for. */
const holder = (call: Call, server: PlannedServer): Effect.Effect<Wire.Server | undefined, CallFailure> =>
  call.client.list(Wire.servers, { name: server.name }).pipe(
    Effect.map((found) => found.find(({ name }) => name === server.name)),
    Effect.repeat({ until: (held) => held?.status !== "deleting", schedule: call.operation.policy.poll })
  )

/** One request in one place, and what became of it. */
const attempt = (
  common: Common,
  server: PlannedServer,
  place: Place,
  group: Wire.PlacementGroup | undefined
): Effect.Effect<Told<Wire.Server>, CallFailure> => {
  const { call, groups, network, sending } = common
  return sending.withPermits(1)(Effect.suspend(() =>
    common.stopped !== undefined
      ? Effect.fail(call.operation.error(common.stopped.reason, subjectOf(server)))
      : makeNamed<Wire.Server>(call, subjectOf(server), {
        path: "/servers",
        request: Effect.map(
          call.client.post("/servers", bodyOf(common, server, place, group), Replies.Server, once),
          (reply) => ({ held: reply.server, actions: Replies.actionsIn(reply) })
        ),
        find: holder(call, server),
        differences: (held) =>
          serverDifferences(call, server, held, {
            networks: network === undefined ? [] : [network],
            groups: groups.all()
          })
      })
  ))
}

/** Makes a server in the first place that has it. */
export const makeServer = Effect.fnUntraced(function*(
  common: Common,
  server: PlannedServer
): Effect.fn.Return<{ readonly outcome: Outcome; readonly held: Wire.Server }, CallFailure> {
  const { call, choices, groups } = common
  const { operation } = call
  const subject = subjectOf(server)
  const choice = choices.get(server.role)
  const tried = new Set<string>()
  let last: CallFailure | undefined
  let place: Place | undefined
  let fullGroups = 0

  while (true) {
    const now = yield* Clock.currentTimeMillis
    place ??= choice?.next(tried, now)
    if (choice === undefined || place === undefined) {
      const passed = choice?.passedOver(tried) ?? []
      if (passed.length > 0) {
        yield* operation.note(
          subject,
          `not tried again, since sold out for another server: ${passed.map(wordsOf).join(", ")}`
        )
      }
      return yield* Effect.fail(
        last ?? operation.error(
          new CapacityUnavailable({ detail: "every server type is sold out in every location that was given" }),
          subject
        )
      )
    }
    const at = place
    tried.add(keyOfCandidate(at))
    const group = server.group === undefined ? undefined : yield* groups.take(server.group)
    const where = group === undefined ? wordsOf(at) : `${wordsOf(at)}, ${group.name}`
    const sent = yield* Effect.result(attempt(common, server, at, group))
    if (sent._tag === "Success") {
      const made = sent.success
      if (!made.made) {
        if (group !== undefined) groups.release(group)
        yield* operation.note(subject, "was made by another call meanwhile")
        yield* awaitMade(call, made, "/servers", { server: server.name })
        return { outcome: new AlreadyDone({}), held: made.held }
      }
      yield* operation.emit({ _tag: "Waiting", subject, reason: "the server is being created" })
      const ready = yield* Effect.result(awaitMade(call, made, "/servers", { server: server.name }))
      if (ready._tag === "Success") {
        choice.made(at)
        yield* operation.note(subject, `${where}: made`)
        return { outcome: new Done({}), held: made.held }
      }
      last = ready.failure
      yield* operation.note(subject, `${where}: ${wordsOfError(last)}; what it left is removed`)
      yield* removeOne(call, operation, { kind: "node", name: server.name, id: String(made.held.id) })
      call.pending.delete(`/servers/${made.held.id}`)
    } else {
      last = sent.failure
      yield* operation.note(subject, `${where}: ${wordsOfError(last)}`)
    }
    if (group !== undefined) groups.release(group)
    if (isGroupFull(last) && group !== undefined && ++fullGroups <= mostFullGroups) {
      groups.isFull(group)
      // The same place again, in another group.
      continue
    }
    place = undefined
    if (isShortage(last)) {
      // Whether a group can be spread there says nothing of servers without it.
      if (isReason(last, "CapacityUnavailable")) choice.soldOut(at, now)
      continue
    }
    if (sent._tag === "Success" && !isFinal(last)) continue
    if (holdsForAll(last)) common.stopped ??= last
    return yield* Effect.fail(last)
  }
})
