/**
 * Starting and stopping the servers of a cluster.
 *
 * Control planes' requests are sent first at a start and last at a stop; the waiting is for all at once. A start ends
 * when a fresh list shows all running. A stop asks each machine by ACPI, watches the cluster by one list a tick until all
 * are off, and takes the power from what does not obey within its grace. A server that is locked is waited for.
 * Source: Hetzner Cloud API reference, "Server Actions": `poweron`, `shutdown` (whose success says that the signal went
 * out, not that it was obeyed), `poweroff`.
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
import { makePoller, type Poller } from "./Poller.ts"
import * as Replies from "./Replies.ts"
import type * as Wire from "./Wire.ts"

export interface Powering {
  readonly client: Client
  readonly actions: Actions
  readonly ownership: Labels.Ownership
  /** How long a machine may take to obey the ACPI signal. */
  readonly grace: Duration.Duration
}

const done = new Done({})
const alreadyDone = new AlreadyDone({})

const look = ({ client, ownership }: Powering, operation: Operation) =>
  members(client, ownership, operation.clusterName)

const lookOrNoNodes = (context: Powering, operation: Operation) =>
  Effect.flatMap(look(context, operation), (found): Effect.Effect<ReadonlyArray<Member>, NoNodes> =>
    found.length > 0
      ? Effect.succeed(found)
      : Effect.fail(new NoNodes({ provider: operation.provider, clusterName: operation.clusterName })))

/** How one request is sent: in its turn, and by itself each time. */
type Send = <A, E>(request: Effect.Effect<A, E>) => Effect.Effect<A, E>

/**
 * Sends the requests of one kind of server before those of the rest, so many at once. The rest begins when each of the
 * first was answered or given up; that one is locked, or takes its time, holds nobody up.
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

/** Asks for something of a server; again, as long as another action holds it. */
const act = (
  context: Powering,
  operation: Operation,
  member: Member,
  what: "poweron" | "poweroff" | "shutdown",
  send: Send = atOnce
): Effect.Effect<ReadonlyArray<Wire.Action>, CallFailure> => {
  const subject = subjectOf(member)
  const request = Effect.andThen(
    operation.emit({ _tag: "Sent", subject, call: what }),
    context.client.post(`/servers/${member.server.id}/actions/${what}`, undefined, Replies.Started)
  )
  return send(request).pipe(
    Effect.map(Replies.actionsIn),
    Effect.tapError((error) =>
      isReason(error, "Locked")
        ? operation.emit({ _tag: "Waiting", subject, reason: "another action holds the server" })
        : Effect.void
    ),
    Effect.retry({ schedule: operation.policy.poll, while: (error) => isReason(error, "Locked") })
  )
}

const isRunning = ({ server }: Member) => server.status === "running"
const isControlPlane = ({ node }: Member) => node.role === "control-plane"

// -----------------------------------------------------------------------------
// Start
// -----------------------------------------------------------------------------

const whyNotRunning = (member: Member, seen: Member | undefined) =>
  seen === undefined
    ? new NotFoundError({ detail: `server ${member.node.name} was deleted while it was started` })
    : new ServerFault({
      detail: `server ${member.node.name} is ${seen.server.status}, although its start was called a success`
    })

/** Statuses through which a server comes to run by itself. */
const onItsWay = new Set(["initializing", "starting", "migrating", "rebuilding"])

/** Looks until every server runs that was to, or shows that it will not. */
const closingLook = Effect.fnUntraced(function*(
  context: Powering,
  operation: Operation,
  waiting: ReadonlyArray<Member>,
  until: number
): Effect.fn.Return<void> {
  const delay = yield* delaysOf(operation.policy)
  let left = waiting
  const fail = (member: Member, error: CallFailure) => {
    const subject = subjectOf(member)
    return operation.record(subject, new Failed({ error: settledError(operation, subject, error) }))
  }
  while (left.length > 0) {
    const seen = yield* Effect.result(look(context, operation))
    const isLast = (yield* Clock.currentTimeMillis) >= until
    if (seen._tag === "Failure") {
      // The servers go on starting where nobody can look.
      if (isLast || seen.failure instanceof BackendError && !seen.failure.isRetryable) {
        yield* Effect.forEach(left, (member) => fail(member, seen.failure), { discard: true })
        return
      }
    } else {
      const now = new Map(seen.success.map((member) => [member.node.id, member]))
      const still: Array<Member> = []
      for (const member of left) {
        const found = now.get(member.node.id)
        if (found !== undefined && isRunning(found)) continue
        if (found !== undefined && onItsWay.has(found.server.status) && !isLast) still.push(member)
        else yield* fail(member, operation.error(whyNotRunning(member, found), subjectOf(member)))
      }
      left = still
    }
    if (left.length > 0) yield* Effect.sleep(yield* delay)
  }
})

export const start = (context: Powering) =>
  Effect.fnUntraced(function*(operation: Operation): Effect.fn.Return<void, NoNodes | CallFailure> {
    const all = yield* lookOrNoNodes(context, operation)
    const { concurrency, nodeTimeout } = operation.policy
    const until = (yield* Clock.currentTimeMillis) + Duration.toMillis(nodeTimeout.start)
    const going = all.filter((member) => !isRunning(member) && !onItsWay.has(member.server.status))
    const { send, settled } = inOrder(going, isControlPlane, concurrency.start)
    yield* operation.wave(
      all,
      { subject: subjectOf, timeout: nodeTimeout.start, width: Number.POSITIVE_INFINITY },
      (member): Effect.Effect<Outcome, CallFailure> => {
        if (isRunning(member)) return Effect.succeed(alreadyDone)
        const subject = subjectOf(member)
        // It comes by itself; the closing look sees to it.
        if (onItsWay.has(member.server.status)) return Effect.succeed(alreadyDone)
        return act(context, operation, member, "poweron", send(member)).pipe(
          Effect.tap(() => operation.emit({ _tag: "Waiting", subject, reason: "the server is starting" })),
          Effect.flatMap((actions) => context.actions.await(actions, { server: member.node.name })),
          Effect.as<Outcome>(done),
          Effect.ensuring(settled(member))
        )
      }
    )
    yield* closingLook(
      context,
      operation,
      all.filter((member) => {
        const outcome = operation.outcomeOf(subjectOf(member))
        return !isRunning(member) && (outcome?._tag === "Done" || outcome?._tag === "AlreadyDone")
      }),
      until
    )
  })

// -----------------------------------------------------------------------------
// Stop
// -----------------------------------------------------------------------------

/** Off, or gone: in either way it does not run. */
const isOff = (status: string | undefined): boolean => status === undefined || status === "off" || status === "deleting"

/** Waits until a server is off, by one list a tick for all that wait. */
const awaitOff = Effect.fnUntraced(function*(
  operation: Operation,
  ticks: Poller<number, string, CallFailure>,
  member: Member
): Effect.fn.Return<void> {
  const delay = yield* delaysOf(operation.policy)
  while (true) {
    const seen = yield* Effect.result(ticks.next(member.server.id, yield* delay))
    // A list that failed only delays.
    if (seen._tag === "Success" && isOff(seen.success)) return
  }
})

export const stop = (context: Powering) =>
  Effect.fnUntraced(function*(operation: Operation): Effect.fn.Return<void, NoNodes | CallFailure> {
    const all = yield* lookOrNoNodes(context, operation)
    const { concurrency, nodeTimeout, requestTimeout } = operation.policy
    const going = all.filter(({ server }) => !isOff(server.status))
    const { send, settled } = inOrder(going, (member) => !isControlPlane(member), concurrency.stop)
    const ticks = makePoller<number, string, CallFailure>({
      answersAll: true,
      ask: () =>
        Effect.map(
          look(context, operation),
          (found) => new Map(found.map(({ server }) => [server.id, server.status]))
        )
    })

    const force = (member: Member): Effect.Effect<Outcome, CallFailure> =>
      operation.emit({ _tag: "Waiting", subject: subjectOf(member), reason: "it did not obey, so its power is taken" })
        .pipe(
          Effect.andThen(act(context, operation, member, "poweroff")),
          Effect.flatMap((actions) => context.actions.await(actions, { server: member.node.name })),
          Effect.as<Outcome>(new Done({ forced: true }))
        )

    const stopOne = (member: Member): Effect.Effect<Outcome, CallFailure> =>
      (member.server.status === "stopping"
        ? Effect.void
        : act(context, operation, member, "shutdown", send(member))).pipe(
          Effect.andThen(
            operation.emit({ _tag: "Waiting", subject: subjectOf(member), reason: "it may take its grace to obey" })
          ),
          Effect.andThen(
            // Its grace begins when it was told, however long that had to wait.
            awaitOff(operation, ticks, member).pipe(
              Effect.as<Outcome>(done),
              Effect.timeoutOrElse({ duration: context.grace, orElse: () => force(member) })
            )
          ),
          Effect.catchIf((error) => isReason(error, "NotFoundError"), () => Effect.succeed<Outcome>(alreadyDone)),
          Effect.ensuring(settled(member))
        )

    yield* operation.wave(
      all,
      {
        subject: subjectOf,
        // Its grace, and then what it takes to take the power.
        timeout: Duration.max(nodeTimeout.stop, Duration.sum(context.grace, requestTimeout)),
        width: Number.POSITIVE_INFINITY
      },
      (member) => isOff(member.server.status) ? Effect.succeed(alreadyDone) : stopOne(member)
    )
  })
