/**
 * Creates one server: in the first place that has it, in the placement group that has room.
 *
 * A place that is sold out is left for the next one, with the same group: a shortage never costs the spread. A server
 * whose creation failed half way is removed before another place is tried, since it uses the name and is billed. A refusal
 * for good stops at once. Every decision is in the report.
 * Source: Hetzner Cloud API reference, `POST /servers`.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import { isReason } from "../internal/CallFailures.ts"
import { BackendError, CapacityUnavailable, ServerFault } from "../Reason.ts"
import type { CallFailure, Task } from "../Resource.ts"
import { type Choice, keyOfCandidate, makeChoice, wordsOf } from "./Candidates.ts"
import type { Place } from "./Catalogue.ts"
import type { Client } from "./Client.ts"
import { type Context, labelsOfNew } from "./Context.ts"
import { hasNoReply } from "./CreateByName.ts"
import type { WantedServer } from "./Desired.ts"
import { once } from "./LabelledKind.ts"
import * as Labels from "./Labels.ts"
import { placesOf } from "./Offers.ts"
import { groupPlaces } from "./PlacementGroups.ts"
import { removeById } from "./Remove.ts"
import * as Replies from "./Replies.ts"
import { type Server, withOwner } from "./ServerList.ts"
import { userDataOf } from "./Spec.ts"
import { findKey, findPublicKey } from "./SshKeys.ts"
import type * as Wire from "./Wire.ts"

/** The code of a spread group that has ten servers, by the API's own count. */
const isGroupFull = (error: CallFailure): boolean =>
  error instanceof BackendError && error.reason.code === "placement_group_member_limit_reached"

/** Refused for a reason that the next place does not change. */
const holdsForAll = (error: CallFailure): error is BackendError =>
  error instanceof BackendError && isReason(error, "Unauthorized", "ReadOnlyCredential", "QuotaExceeded")

/** An action that failed may succeed elsewhere, unless what is requested itself is refused. */
const isFinal = (error: CallFailure): boolean =>
  holdsForAll(error) || isReason(error, "InvalidInput", "UnsupportedError")

const wordsOfError = (error: CallFailure): string =>
  error instanceof BackendError ? `${error.reason._tag}: ${error.reason.detail}` : error.detail

const isShortage = (error: CallFailure): boolean =>
  !isGroupFull(error) && isReason(error, "CapacityUnavailable", "PlacementFailed")

/** How often the API's own count of a group is believed. */
const mostFullGroups = 3

/** The knowledge that all servers of one operation share. */
interface Common {
  /** Why no more servers are bought: one was refused for a reason that holds for all. */
  stopped: BackendError | undefined
  readonly choices: Map<string, Choice<Place>>
  /** The places that each server has tried. */
  readonly tried: Map<string, Set<string>>
}

const commonOf = (task: Task): Effect.Effect<Common> =>
  task.once("servers", Effect.sync((): Common => ({ stopped: undefined, choices: new Map(), tried: new Map() })))

/** The ids of the keys that may log in. */
const keyIds = (context: Context, { sshKeys }: WantedServer, task: Task): ReadonlyArray<number> => {
  const keys = task.world.of(context.kinds().sshKeys)
  return sshKeys.flatMap((key) =>
    (typeof key === "object" ? findPublicKey(keys, key.publicKey) : findKey(keys, key))?.id ?? []
  )
}

const bodyOf = (
  context: Context,
  wanted: WantedServer,
  place: Place,
  group: Wire.PlacementGroup | undefined,
  task: Task
): Effect.Effect<Readonly<Record<string, unknown>>> =>
  Effect.map(labelsOfNew(context, task, { role: wanted.role }), (labels) => {
    const { firewalls, networks } = context.kinds()
    const network = task.world.named(networks, wanted.network ?? "")
    const firewall = task.world.named(firewalls, wanted.firewall ?? "")
    const userData = userDataOf(wanted.spec)
    const sshKeys = keyIds(context, wanted, task)
    const isPublic = wanted.publicNet.ipv4 || wanted.publicNet.ipv6
    return {
      name: wanted.name,
      server_type: place.serverType,
      location: place.location,
      image: place.image,
      start_after_create: true,
      labels: {
        ...wanted.spec.labels,
        ...labels,
        ...(wanted.pool === undefined ? {} : { [Labels.pool]: wanted.pool }),
        [Labels.spec]: wanted.digest
      },
      public_net: { enable_ipv4: wanted.publicNet.ipv4, enable_ipv6: wanted.publicNet.ipv6 },
      ...(sshKeys.length === 0 ? {} : { ssh_keys: sshKeys }),
      ...(userData === undefined ? {} : { user_data: userData }),
      ...(network === undefined ? {} : { networks: [network.id] }),
      // The selector of the firewall covers it too, but some seconds later.
      ...(firewall === undefined || !isPublic ? {} : { firewalls: [{ firewall: firewall.id }] }),
      ...(group === undefined ? {} : { placement_group: group.id })
    }
  })

interface Failed {
  readonly error: CallFailure
  /** The server existed for a while. */
  readonly wasCreated: boolean
}

/** Creates it in one place, and waits until it runs. The remains of a failure are removed. */
const attempt = (
  context: Context,
  write: Client,
  wanted: WantedServer,
  place: Place,
  group: Wire.PlacementGroup | undefined,
  task: Task
): Effect.Effect<Server, Failed> =>
  Effect.gen(function*() {
    const body = yield* bodyOf(context, wanted, place, group, task)
    const reply = yield* task.send("create", write.post("/servers", body, Replies.Server, once)).pipe(
      Effect.mapError((error): Failed => ({ error, wasCreated: false }))
    )
    const path = `/servers/${reply.server.id}`
    const wait = context.actions.await(Replies.actionsIn(reply), { server: wanted.name })
    yield* task.waiting("the server is being created", wait).pipe(
      Effect.catch((error) =>
        removeById(context.actions, write, path, task).pipe(
          Effect.catchIf((failure) => isReason(failure, "NotFoundError"), () => Effect.void),
          Effect.matchEffect({
            // The engine finds it by its name.
            onFailure: (failure) =>
              Effect.fail<Failed>({
                error: task.error(
                  new ServerFault({
                    detail: `${wordsOfError(error)}; what is left of it could not be removed: ${wordsOfError(failure)}`
                  })
                ),
                wasCreated: false
              }),
            onSuccess: () => Effect.fail<Failed>({ error, wasCreated: true })
          })
        )
      )
    )
    // Its actions have ended well; the final check sees a machine that went off again.
    return withOwner(context.ownership, { ...reply.server, status: "running" })
  })

/** Creates a server in the first place that has it. */
export const createServer = Effect.fnUntraced(function*(
  context: Context,
  write: Client,
  wanted: WantedServer,
  task: Task
): Effect.fn.Return<Server, CallFailure> {
  const common = yield* commonOf(task)
  const places = yield* placesOf(context, wanted, task)
  const choice = common.choices.get(wanted.path) ?? makeChoice(places, context.shortages)
  common.choices.set(wanted.path, choice)
  const groups = wanted.isSpread ? yield* groupPlaces(context, write, task) : undefined
  const tried = common.tried.get(wanted.name) ?? new Set<string>()
  common.tried.set(wanted.name, tried)
  let last: CallFailure | undefined
  let place: Place | undefined
  let fullGroups = 0

  while (true) {
    if (common.stopped !== undefined) return yield* Effect.fail(task.error(common.stopped.reason))
    const now = yield* Clock.currentTimeMillis
    place ??= choice.next(tried, now)
    if (place === undefined) {
      const passed = choice.passedOver(tried)
      if (passed.length > 0) {
        yield* task.note(`not tried again, since sold out for another server: ${passed.map(wordsOf).join(", ")}`)
      }
      return yield* Effect.fail(
        last ??
          task.error(
            new CapacityUnavailable({ detail: "every server type is sold out in every location that was given" })
          )
      )
    }
    const at = place
    const group = groups === undefined ? undefined : yield* groups.take(wanted.group, task)
    const where = group === undefined ? wordsOf(at) : `${wordsOf(at)}, ${group.name}`
    const sent = yield* Effect.result(attempt(context, write, wanted, at, group, task))
    if (sent._tag === "Success") {
      choice.made(at)
      yield* task.note(`${where}: created`)
      return sent.success
    }
    const { error, wasCreated } = sent.failure
    last = error
    // The engine resolves a lost reply, a name that is used, and what is refused for the moment.
    if (hasNoReply(error) && !wasCreated || isReason(error, "NameTaken", "Locked", "Conflict", "RateLimited")) {
      if (group !== undefined) groups?.release(group)
      return yield* Effect.fail(error)
    }
    tried.add(keyOfCandidate(at))
    yield* task.note(`${where}: ${wordsOfError(last)}${wasCreated ? "; what is left of it is removed" : ""}`)
    if (group !== undefined) groups?.release(group)
    if (isGroupFull(last) && group !== undefined && ++fullGroups <= mostFullGroups) {
      groups?.isFull(group)
      // The same place again, in another group.
      continue
    }
    place = undefined
    if (isShortage(last)) {
      // Whether a group can be spread there says nothing about servers without it.
      if (isReason(last, "CapacityUnavailable")) choice.soldOut(at, now)
      continue
    }
    if (wasCreated && !isFinal(last)) continue
    if (holdsForAll(last)) common.stopped ??= last
    return yield* Effect.fail(last)
  }
})
