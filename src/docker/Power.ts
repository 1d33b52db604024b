/**
 * Starting and stopping the containers of a cluster.
 *
 * Start goes in waves: control planes first (one by one where the scheme wants it), then the rest. Stop goes in two: the
 * rest, then control planes; the engine's grace is paid once a wave. A start ends with one fresh list, because a
 * container can end right after the engine called its start a success.
 * Source: Docker Engine API reference, `ContainerStart`, `ContainerStop`, `ContainerUnpause`.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { type Operation, settledError } from "../internal/Operation.ts"
import { NoNodes } from "../ProviderError.ts"
import { BackendError, Conflict, NotFoundError, ServerFault } from "../Reason.ts"
import { AlreadyDone, Done, Failed, type Outcome } from "../Report.ts"
import type { Client } from "./Client.ts"
import { type Member, members, subjectOf } from "./Members.ts"
import type { Scheme } from "./Scheme.ts"
import { exitCode } from "./Translate.ts"
import type { CallFailure } from "./Transport.ts"

/** Whether an error is a backend's, for this reason. */
export const isReason = (error: CallFailure, tag: BackendError["reason"]["_tag"]): boolean =>
  error instanceof BackendError && error.reason._tag === tag

const done = new Done({})
const alreadyDone = new AlreadyDone({})

const orNoNodes = (operation: Operation, found: ReadonlyArray<Member>) =>
  found.length > 0
    ? Effect.succeed(found)
    : Effect.fail(new NoNodes({ provider: operation.provider, clusterName: operation.clusterName }))

const stateOf = (member: Member): string => member.container.State.toLowerCase()

/** Starts one container, whatever state it is in. */
export const startOne = (client: Client, operation: Operation, member: Member): Effect.Effect<Outcome, CallFailure> => {
  const subject = subjectOf(member)
  const sent = (call: string) => operation.emit({ _tag: "Sent", subject, call })
  const unpause = Effect.andThen(sent("unpause"), client.unpauseContainer(member.container.Id)).pipe(
    Effect.as<Outcome>(done),
    // Someone else was faster; 20.10 says so with 500, newer engines with 409.
    Effect.catchIf(
      (error) => error instanceof BackendError && /not paused/i.test(error.reason.detail),
      () => Effect.succeed<Outcome>(alreadyDone)
    )
  )
  switch (stateOf(member)) {
    case "running":
      return Effect.succeed(alreadyDone)
    case "paused":
      return unpause
    case "removing":
    case "dead":
      return Effect.fail(
        operation.error(new Conflict({ detail: `the container is ${stateOf(member)}; delete it` }), subject)
      )
    default:
      return Effect.andThen(sent("start"), client.startContainer(member.container.Id)).pipe(
        Effect.map((effected): Outcome => effected === "Already" ? alreadyDone : done),
        Effect.catchIf(
          (error) =>
            error instanceof BackendError && error.reason._tag === "Conflict" && /paused/i.test(error.reason.detail),
          () => unpause
        )
      )
  }
}

const whyNotRunning = (client: Client, member: Member): Effect.Effect<string> => {
  const state = stateOf(member)
  const code = exitCode(member.container.Status)
  const seen = code === undefined ? `the container is ${state}` : `the container is ${state} with exit code ${code}`
  return client.inspectContainer(member.container.Id).pipe(
    Effect.map((inspected) =>
      inspected.State.Error !== undefined && inspected.State.Error !== null && inspected.State.Error !== ""
        ? `${seen}: ${inspected.State.Error}`
        : seen
    ),
    // What the list said is enough where the closer look fails.
    Effect.orElseSucceed(() => seen)
  )
}

/** Looks once more at what was started: a node that does not run by now is Failed, with its exit code or cause. */
const closingLook = (
  client: Client,
  operation: Operation,
  started: ReadonlyArray<Member>,
  fresh: ReadonlyArray<Member>
): Effect.Effect<void> => {
  // By name: a node that was made again on other ports has another id.
  const now = new Map(fresh.map((member) => [member.name, member]))
  return Effect.forEach(started, (member) => {
    const subject = subjectOf(member)
    const outcome = operation.outcomeOf(subject)
    if (outcome?._tag !== "Done" && outcome?._tag !== "AlreadyDone") return Effect.void
    const seen = now.get(member.name)
    if (seen !== undefined && seen.node.state === "running") return Effect.void
    return Effect.flatMap(
      seen === undefined ? Effect.succeed(undefined) : whyNotRunning(client, seen),
      (why) =>
        operation.record(
          subject,
          new Failed({
            error: operation.error(
              why === undefined
                ? new NotFoundError({ detail: "the container was removed meanwhile" })
                : new ServerFault({ detail: `it was started but does not run: ${why}` }),
              subject
            )
          })
        )
    )
  }, { concurrency: operation.policy.concurrency.start, discard: true })
}

/**
 * How long after the last start it is looked again, in milliseconds. The engine calls a start a success when the process
 * is there; one that cannot run ends within moments of that. An engine that is slow to start a process is as slow to see
 * it end, so the fastest start says what a moment is.
 */
const closingMoment = { least: 100, most: 1000 } as const

/** Starts waves of members, in order, and looks again at the end where anything was sent. */
export const startWaves = Effect.fnUntraced(function*(
  operation: Operation,
  waves: ReadonlyArray<ReadonlyArray<Member>>,
  startMember: (member: Member) => Effect.Effect<Outcome, CallFailure>,
  look: Effect.Effect<ReadonlyArray<Member>, CallFailure>,
  client: Client
): Effect.fn.Return<void> {
  const { concurrency, nodeTimeout } = operation.policy
  const everyone = waves.flat()
  let fastest = Number.POSITIVE_INFINITY
  const timed = (member: Member) =>
    Effect.map(Effect.timed(startMember(member)), ([duration, outcome]) => {
      if (outcome._tag === "Done") fastest = Math.min(fastest, Duration.toMillis(duration))
      return outcome
    })
  yield* operation.schedule(everyone.map(subjectOf))
  for (const wave of waves) {
    yield* operation.wave(
      wave,
      { subject: subjectOf, timeout: nodeTimeout.start, width: concurrency.start },
      timed
    )
  }
  if (everyone.every((member) => stateOf(member) === "running")) return
  const { least, most } = closingMoment
  yield* Effect.sleep(Number.isFinite(fastest) ? Math.min(Math.max(fastest, least), most) : least)
  const seen = yield* Effect.result(look)
  if (seen._tag === "Success") return yield* closingLook(client, operation, everyone, seen.success)
  for (const subject of everyone.map(subjectOf)) {
    if (operation.outcomeOf(subject)?._tag === "Done") {
      yield* operation.record(subject, new Failed({ error: settledError(operation, subject, seen.failure) }))
    }
  }
})

/** The waves in which a cluster starts. */
export const inStartOrder = (nodes: ReadonlyArray<Member>): ReadonlyArray<ReadonlyArray<Member>> =>
  [
    ...(nodes[0]?.scheme.controlPlaneWaves(nodes.filter((member) => member.node.role === "control-plane")) ?? []),
    nodes.filter((member) => member.node.role !== "control-plane")
  ].filter((wave) => wave.length > 0)

export const start = (client: Client, schemes: ReadonlyArray<Scheme>) => (operation: Operation) =>
  Effect.gen(function*() {
    const look = members(client, schemes, operation.clusterName)
    const nodes = yield* Effect.flatMap(look, (found) => orNoNodes(operation, found))
    yield* startWaves(
      operation,
      inStartOrder(nodes),
      (member) => startOne(client, operation, member),
      look,
      client
    )
  })

const stopOne = (
  client: Client,
  operation: Operation,
  member: Member,
  graceSeconds: number | undefined
): Effect.Effect<Outcome, CallFailure> => {
  const subject = subjectOf(member)
  switch (stateOf(member)) {
    case "running":
    case "paused":
    case "restarting":
    case "stopping":
      return operation.emit({ _tag: "Sent", subject, call: "stop" }).pipe(
        Effect.andThen(operation.emit({
          _tag: "Waiting",
          subject,
          reason: "it may take its grace to obey"
        })),
        Effect.andThen(client.stopContainer(member.container.Id, graceSeconds)),
        Effect.map((effected): Outcome => effected === "Already" ? alreadyDone : done),
        Effect.catchIf((error) => isReason(error, "NotFoundError"), () => Effect.succeed<Outcome>(alreadyDone))
      )
    default:
      return Effect.succeed(alreadyDone)
  }
}

export const stop = (client: Client, schemes: ReadonlyArray<Scheme>) => (operation: Operation) =>
  Effect.gen(function*() {
    const nodes = yield* Effect.flatMap(
      members(client, schemes, operation.clusterName),
      (found) => orNoNodes(operation, found)
    )
    const { concurrency, nodeTimeout } = operation.policy
    yield* operation.schedule(nodes.map(subjectOf))
    const waves = [
      nodes.filter((member) => member.node.role !== "control-plane"),
      nodes.filter((member) => member.node.role === "control-plane")
    ]
    for (const wave of waves) {
      yield* operation.wave(
        wave,
        { subject: subjectOf, timeout: nodeTimeout.stop, width: concurrency.stop },
        (member) => stopOne(client, operation, member, member.scheme.graceSeconds(member.node.role))
      )
    }
  })
