/**
 * Starts and stops the servers of a cluster.
 *
 * A start sends the requests of control planes first, a stop sends them last; the waits of all servers run in parallel. A
 * start ends when a fresh list shows that every server runs. A stop sends each server an ACPI shutdown, lists the cluster
 * once a tick until all are off, and powers off the servers that did not shut down within the grace. Servers that appear
 * while the operation runs are included. One list a tick serves all servers that another action locks.
 * Source: Hetzner Cloud API reference, "Server Actions": `poweron`, `shutdown` (success means that the signal was sent,
 * not that the server is off), `poweroff`.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Semaphore from "effect/Semaphore"
import { type Operation, settledError } from "../internal/Operation.ts"
import { NoNodes } from "../ProviderError.ts"
import { BackendError, NotFoundError, ServerFault } from "../Reason.ts"
import { AlreadyDone, Done, Failed, type Outcome } from "../Report.ts"
import { type Actions, delaysOf } from "./Actions.ts"
import type { CallFailure, Client } from "./Client.ts"
import { isReason } from "./Errors.ts"
import type * as Labels from "./Labels.ts"
import { type Member, members, subjectOf } from "./Members.ts"
import * as Replies from "./Replies.ts"
import { makeTicks, type Ticks, whenUnlocked } from "./Unlocked.ts"

export interface Powering {
  readonly client: Client
  readonly actions: Actions
  readonly ownership: Labels.Ownership
  /** How long a server may take to shut down after the ACPI signal. */
  readonly grace: Duration.Duration
}

const done = new Done({})
const alreadyDone = new AlreadyDone({})

const listMembers = ({ client, ownership }: Powering, operation: Operation) =>
  members(client, ownership, operation.clusterName)

const listOrNoNodes = (context: Powering, operation: Operation) =>
  Effect.flatMap(
    listMembers(context, operation),
    (found): Effect.Effect<ReadonlyArray<Member>, NoNodes> =>
      found.length > 0
        ? Effect.succeed(found)
        : Effect.fail(new NoNodes({ provider: operation.provider, clusterName: operation.clusterName }))
  )

/** How one request is sent: in its turn, each time it is sent. */
type Send = <A, E>(request: Effect.Effect<A, E>) => Effect.Effect<A, E>

/**
 * Sends the requests of one kind of server before those of the rest, at most `width` in parallel. The rest begins when
 * each of the first was answered, was given up, or waits for a lock.
 */
const inOrder = (all: ReadonlyArray<Member>, isFirst: (member: Member) => boolean, width: number) => {
  const first = new Set(all.filter(isFirst).map(({ node }) => node.id))
  const permits = Semaphore.makeUnsafe(width)
  const answered = Latch.makeUnsafe(first.size === 0)
  const settled = (member: Member) =>
    Effect.suspend(() => first.delete(member.node.id) && first.size === 0 ? answered.open : Effect.void)
  return {
    settled,
    send: (member: Member): Send => (request) =>
      isFirst(member)
        ? Effect.ensuring(permits.withPermits(1)(request), settled(member))
        : Effect.andThen(answered.await, permits.withPermits(1)(request))
  }
}

const atOnce: Send = (request) => request

/** How a request about a server is sent and waited for. */
interface Sending {
  readonly send?: Send
  /** Lets the servers that are next in order begin. */
  readonly settled?: Effect.Effect<void>
  /** Why an accepted request is waited for. */
  readonly accepted?: string
}

/**
 * Sends a power action, again each time another action locks the server. Waits for its end, except that of a shutdown: its
 * success says only that the signal was sent.
 */
const act = (
  context: Powering,
  operation: Operation,
  ticks: Ticks,
  member: Member,
  what: "poweron" | "poweroff" | "shutdown",
  { accepted, send = atOnce, settled = Effect.void }: Sending = {}
): Effect.Effect<void, CallFailure> => {
  const subject = subjectOf(member)
  const waiting = (reason: string) => operation.emit({ _tag: "Waiting", subject, reason })
  const request = Effect.andThen(
    operation.emit({ _tag: "Sent", subject, call: what }),
    context.client.post(`/servers/${member.server.id}/actions/${what}`, undefined, Replies.Started)
  )
  return send(request).pipe(
    Effect.tap(() => accepted === undefined ? Effect.void : waiting(accepted)),
    Effect.flatMap((reply) =>
      what === "shutdown"
        ? Effect.void
        : context.actions.await(Replies.actionsIn(reply), { server: member.node.name })
    ),
    whenUnlocked({
      ticks,
      policy: operation.policy,
      server: member.server,
      onWaiting: Effect.andThen(settled, waiting("another action locks the server"))
    }),
    Effect.ensuring(settled)
  )
}

const isRunning = ({ server }: Member) => server.status === "running"
const isControlPlane = ({ node }: Member) => node.role === "control-plane"

/** A cluster to which somebody goes on adding servers is not followed without end. */
const mostRounds = 3

const notIn = (known: ReadonlySet<string>) => ({ node }: Member) => !known.has(node.id)

// -----------------------------------------------------------------------------
// Start
// -----------------------------------------------------------------------------

const whyNotRunning = (member: Member, seen: Member | undefined) =>
  seen === undefined
    ? new NotFoundError({ detail: `server ${member.node.name} was deleted while it was starting` })
    : new ServerFault({
      detail: `server ${member.node.name} is ${seen.server.status}, although its start was reported as a success`
    })

/** Statuses of servers that come to run without a request. */
const startingStatuses = new Set(["initializing", "starting", "migrating", "rebuilding"])

/**
 * Lists until every server of `waiting` runs, or fails it. Gives the servers of the last list that are not in `known`.
 */
const finalCheck = Effect.fnUntraced(function*(
  context: Powering,
  operation: Operation,
  waiting: ReadonlyArray<Member>,
  known: ReadonlySet<string>,
  until: number
): Effect.fn.Return<ReadonlyArray<Member>> {
  const delay = yield* delaysOf(operation.policy)
  let left = waiting
  let added: ReadonlyArray<Member> = []
  const fail = (member: Member, error: CallFailure) => {
    const subject = subjectOf(member)
    return operation.record(subject, new Failed({ error: settledError(operation, subject, error) }))
  }
  while (left.length > 0) {
    const seen = yield* Effect.result(listMembers(context, operation))
    const isLast = (yield* Clock.currentTimeMillis) >= until
    if (seen._tag === "Failure") {
      // The servers go on starting while the API cannot be read.
      if (isLast || seen.failure instanceof BackendError && !seen.failure.isRetryable) {
        yield* Effect.forEach(left, (member) => fail(member, seen.failure), { discard: true })
        return added
      }
    } else {
      const now = new Map(seen.success.map((member) => [member.node.id, member]))
      const still: Array<Member> = []
      for (const member of left) {
        const found = now.get(member.node.id)
        if (found !== undefined && isRunning(found)) continue
        if (found !== undefined && startingStatuses.has(found.server.status) && !isLast) still.push(member)
        else yield* fail(member, operation.error(whyNotRunning(member, found), subjectOf(member)))
      }
      left = still
      added = seen.success.filter(notIn(known))
    }
    if (left.length > 0) yield* Effect.sleep(yield* delay)
  }
  return added
})

export const start = (context: Powering) =>
  Effect.fnUntraced(function*(operation: Operation): Effect.fn.Return<void, NoNodes | CallFailure> {
    let round = yield* listOrNoNodes(context, operation)
    const { concurrency, nodeTimeout } = operation.policy
    const until = (yield* Clock.currentTimeMillis) + Duration.toMillis(nodeTimeout.start)
    const ticks = makeTicks(listMembers(context, operation))
    const known = new Set<string>()

    for (let rounds = 0; rounds < mostRounds && round.length > 0; rounds++) {
      for (const { node } of round) known.add(node.id)
      const isStarting = ({ server }: Member) => startingStatuses.has(server.status)
      const going = round.filter((member) => !isRunning(member) && !isStarting(member))
      const { send, settled } = inOrder(going, isControlPlane, concurrency.start)
      yield* operation.wave(
        round,
        { subject: subjectOf, timeout: nodeTimeout.start, width: Number.POSITIVE_INFINITY },
        (member): Effect.Effect<Outcome, CallFailure> =>
          // The final check waits for a server that is starting already.
          isRunning(member) || isStarting(member)
            ? Effect.succeed(alreadyDone)
            : Effect.as(
              act(context, operation, ticks, member, "poweron", {
                send: send(member),
                settled: settled(member),
                accepted: "the server is starting"
              }),
              done
            )
      )
      const isExpected = (member: Member) => {
        const outcome = operation.outcomeOf(subjectOf(member))
        return !isRunning(member) && (outcome?._tag === "Done" || outcome?._tag === "AlreadyDone")
      }
      round = yield* finalCheck(context, operation, round.filter(isExpected), known, until)
    }
  })

// -----------------------------------------------------------------------------
// Stop
// -----------------------------------------------------------------------------

/** Off, or gone: in both cases it does not run. */
const isOff = (status: string | undefined): boolean => status === undefined || status === "off" || status === "deleting"

/** Waits until a server is off, by one list a tick for all that wait. */
const awaitOff = Effect.fnUntraced(function*(
  operation: Operation,
  ticks: Ticks,
  member: Member
): Effect.fn.Return<void> {
  const delay = yield* delaysOf(operation.policy)
  while (true) {
    const seen = yield* Effect.result(ticks.next(member.server.id, yield* delay))
    // A list that failed only delays.
    if (seen._tag === "Success" && isOff(seen.success?.status)) return
  }
})

export const stop = (context: Powering) =>
  Effect.fnUntraced(function*(operation: Operation): Effect.fn.Return<void, NoNodes | CallFailure> {
    let round = yield* listOrNoNodes(context, operation)
    const { concurrency, nodeTimeout, requestTimeout } = operation.policy
    const ticks = makeTicks(listMembers(context, operation))
    const known = new Set<string>()

    const force = (member: Member): Effect.Effect<Outcome, CallFailure> =>
      operation.emit({
        _tag: "Waiting",
        subject: subjectOf(member),
        reason: `did not shut down within ${Duration.format(context.grace)}; powering off`
      }).pipe(
        Effect.andThen(act(context, operation, ticks, member, "poweroff")),
        Effect.as<Outcome>(new Done({ forced: true }))
      )

    const stopOne = (member: Member, sending: Sending): Effect.Effect<Outcome, CallFailure> =>
      (member.server.status === "stopping" ? Effect.void : act(context, operation, ticks, member, "shutdown", sending))
        .pipe(
          Effect.andThen(
            // The grace begins when the signal was sent, however long that had to wait.
            awaitOff(operation, ticks, member).pipe(
              Effect.as<Outcome>(done),
              Effect.timeoutOrElse({ duration: context.grace, orElse: () => force(member) })
            )
          ),
          Effect.catchIf((error) => isReason(error, "NotFoundError"), () => Effect.succeed<Outcome>(alreadyDone))
        )

    for (let rounds = 0; rounds < mostRounds && round.length > 0; rounds++) {
      for (const { node } of round) known.add(node.id)
      const going = round.filter(({ server }) => !isOff(server.status) && server.status !== "stopping")
      const { send, settled } = inOrder(going, (member) => !isControlPlane(member), concurrency.stop)
      yield* operation.wave(
        round,
        {
          subject: subjectOf,
          // The grace, and then the time to power off.
          timeout: Duration.max(nodeTimeout.stop, Duration.sum(context.grace, requestTimeout)),
          width: Number.POSITIVE_INFINITY
        },
        (member) =>
          isOff(member.server.status)
            ? Effect.succeed(alreadyDone)
            : stopOne(member, {
              send: send(member),
              settled: settled(member),
              accepted: `the server has ${Duration.format(context.grace)} to shut down`
            })
      )
      round = (ticks.latest() ?? []).filter(notIn(known))
    }
  })
