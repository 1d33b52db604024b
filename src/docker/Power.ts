/**
 * Starting and stopping the containers of a cluster.
 *
 * Start goes in waves: control planes first (one by one where the scheme wants it), then the rest. Stop goes in two: the
 * rest, then control planes; the engine's grace is paid once a wave. A start ends with one fresh list, because a
 * container can end right after the engine called its start a success.
 * Source: Docker Engine API reference, `ContainerStart`, `ContainerStop`, `ContainerUnpause`.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { type Operation, settledError } from "../internal/Operation.ts"
import { NoNodes } from "../ProviderError.ts"
import { BackendError, Conflict, NotFoundError, type Reason, ServerFault } from "../Reason.ts"
import { AlreadyDone, Done, Failed, type Outcome } from "../Report.ts"
import type { Client, Effected } from "./Client.ts"
import { isPaused } from "./Errors.ts"
import { type Member, members, subjectOf } from "./Members.ts"
import type { Scheme } from "./Scheme.ts"
import { exitCode } from "./Translate.ts"
import type { CallFailure } from "./Transport.ts"
import type { ContainerInspect } from "./Wire.ts"

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

/** Engines name a network that is gone by its id; the container knows its name. */
const missingNetwork = (operation: Operation, member: Member, error: BackendError): BackendError => {
  const [, id] = /network (\S+) not found/i.exec(error.reason.detail) ?? []
  if (id === undefined) return error
  const networks = Object.entries(member.container.NetworkSettings?.Networks ?? {})
  const name = networks.find(([, endpoint]) => endpoint?.NetworkID === id)?.[0] ?? networks[0]?.[0] ?? id
  return operation.error(
    new NotFoundError({
      detail: `network ${JSON.stringify(name)} of the node does not exist`,
      ...(error.reason.status === undefined ? {} : { status: error.reason.status }),
      hint: "Run createNodes again, which creates the network."
    }),
    subjectOf(member)
  )
}

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
        operation.error(
          new Conflict({
            detail: `the container is ${stateOf(member)}`,
            hint: "Delete the node: the engine did not finish its removal."
          }),
          subject
        )
      )
    default:
      return Effect.andThen(sent("start"), client.startContainer(member.container.Id)).pipe(
        Effect.map((effected): Outcome => effected === "Already" ? alreadyDone : done),
        Effect.catchIf(
          (error) => error instanceof BackendError && isPaused(error.reason),
          () => unpause
        ),
        Effect.catchIf(
          (error): error is BackendError => error instanceof BackendError && error.reason._tag === "NotFoundError",
          (error) => Effect.fail(missingNetwork(operation, member, error))
        )
      )
  }
}

/** The engine's text about an exit. Podman 5 keeps the text of a start that found the container running. */
const errorOf = ({ State: { Error: text } }: ContainerInspect): string | undefined =>
  text === undefined || text === null || text === "" || /container is running$/i.test(text) ? undefined : text

const whyNotRunning = (client: Client, member: Member): Effect.Effect<string> => {
  const state = stateOf(member)
  const code = exitCode(member.container.Status)
  const seen = code === undefined ? `the container is ${state}` : `the container is ${state} with exit code ${code}`
  return client.inspectContainer(member.container.Id).pipe(
    Effect.map((inspected) => {
      const text = errorOf(inspected)
      return text === undefined ? seen : `${seen}: ${text}`
    }),
    // The list is enough where the inspection fails.
    Effect.orElseSucceed(() => seen)
  )
}

const restartPolicyOf = (inspected: ContainerInspect): string => inspected.HostConfig?.RestartPolicy?.Name || "no"

/** Changes whenever the engine starts the process of the container. */
const runOf = ({ RestartCount, State }: ContainerInspect): string => `${RestartCount ?? 0} ${State.StartedAt ?? ""}`

/** Whether a container has run for less than a minute, by the status in a list. A crash loop never gets older. */
const isYoung = ({ container: { Status } }: Member): boolean => !/^Up (?!Less|\d+ second)/i.test(Status ?? "")

/**
 * What the engine knows of the runs of a container that may be in a restart loop; none where the container has no
 * restart policy, or has run for long.
 */
const restartable = (
  client: Client,
  member: Member
): Effect.Effect<ContainerInspect | undefined> =>
  isYoung(member)
    ? client.inspectContainer(member.container.Id).pipe(
      Effect.map((inspected) => restartPolicyOf(inspected) === "no" ? undefined : inspected),
      Effect.orElseSucceed(() => undefined)
    )
    : Effect.undefined

/**
 * Compares a fresh list with what was started: a node that does not run by now, or that was restarted since, is Failed
 * with its exit code or cause. `runs` has the runs of nodes that were running at first, by name.
 */
const finalCheck = (
  client: Client,
  operation: Operation,
  started: ReadonlyArray<Member>,
  fresh: ReadonlyArray<Member>,
  runs: ReadonlyMap<string, ContainerInspect>
): Effect.Effect<void> => {
  // By name: a node that was made again on other ports has another id.
  const now = new Map(fresh.map((member) => [member.name, member]))
  return Effect.forEach(started, (member) => {
    const subject = subjectOf(member)
    const outcome = operation.outcomeOf(subject)
    if (outcome?._tag !== "Done" && outcome?._tag !== "AlreadyDone") return Effect.void
    const seen = now.get(member.name)
    const fail = (reason: Reason) => operation.record(subject, new Failed({ error: operation.error(reason, subject) }))
    if (seen === undefined) return fail(new NotFoundError({ detail: "the container was removed in the meantime" }))
    if (seen.node.state !== "running") {
      return Effect.flatMap(
        whyNotRunning(client, seen),
        (why) => fail(new ServerFault({ detail: `it was started but does not run: ${why}`, hint: nodeLogHint }))
      )
    }
    return Effect.flatMap(restartable(client, seen), (inspected) => {
      if (inspected === undefined) return Effect.void
      const before = runs.get(member.name)
      // A start resets the count, so any restart is one since then.
      const restarted = before === undefined || outcome._tag === "Done"
        ? (inspected.RestartCount ?? 0) > 0
        : runOf(before) !== runOf(inspected)
      if (!restarted) return Effect.void
      return Effect.flatMap(nextExit(client, inspected), (code) =>
        fail(
          new ServerFault({
            detail: `its process exits${
              code === undefined ? "" : ` with exit code ${code}`
            }, and the engine restarts it`,
            hint: nodeLogHint
          })
        ))
    })
  }, { concurrency: operation.policy.concurrency.start, discard: true })
}

const nodeLogHint = "Read the log of the node: its process ends on its own."

/** The exit code of a restarted process. While the process runs the engine reports 0, so its next exit is awaited. */
const nextExit = (client: Client, inspected: ContainerInspect, tries = 10): Effect.Effect<number | undefined> =>
  inspected.State.Status !== "running"
    ? Effect.succeed(inspected.State.ExitCode ?? undefined)
    : tries === 0
    ? Effect.undefined
    : Effect.sleep("100 millis").pipe(
      Effect.andThen(client.inspectContainer(inspected.Id)),
      Effect.flatMap((again) => nextExit(client, again, tries - 1)),
      Effect.orElseSucceed(() => undefined)
    )

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
  // A node that was running may be in a restart loop: one list alone cannot say.
  const runs = new Map<string, ContainerInspect>()
  yield* Effect.forEach(
    everyone.filter((member) => stateOf(member) === "running"),
    (member) =>
      Effect.map(restartable(client, member), (inspected) => {
        // A node that has just started may not have exited yet for the first time.
        const fresh = /^Up (?:Less|1 second\b)/i.test(member.container.Status ?? "")
        if (inspected !== undefined && (fresh || (inspected.RestartCount ?? 0) > 0)) runs.set(member.name, inspected)
      }),
    { concurrency: concurrency.start, discard: true }
  )
  if (runs.size === 0 && everyone.every((member) => stateOf(member) === "running")) return
  const { least, most } = closingMoment
  const looping = runs.size > 0 || everyone.some((member) => stateOf(member) === "restarting")
  yield* Effect.sleep(
    looping ? most : Number.isFinite(fastest) ? Math.min(Math.max(fastest, least), most) : least
  )
  const seen = yield* Effect.result(look)
  if (seen._tag === "Success") return yield* finalCheck(client, operation, everyone, seen.success, runs)
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

/** A container that is gone is stopped. */
const goneIsDone = (
  self: Effect.Effect<Outcome | undefined, CallFailure>
): Effect.Effect<Outcome | undefined, CallFailure> =>
  Effect.catchIf(self, (error) => isReason(error, "NotFoundError"), () => Effect.succeed(alreadyDone))

/** Docker's grace for a container without one of its own. */
const defaultGraceSeconds = 10

interface StopPlan {
  readonly graceSeconds: number
  /** The grace that the container itself has; its stop may take that much longer. */
  readonly ownSeconds: number
  /** The engine may restart the container between two looks at it. */
  readonly restarts: boolean
}

/**
 * How to stop a container; none where it is at rest. Podman reports a container between two restarts as exited, so there
 * a restart policy decides.
 */
const planStop = (
  client: Client,
  member: Member
): Effect.Effect<StopPlan | undefined, CallFailure> =>
  Effect.gen(function*() {
    const podman = (yield* client.engine) === "podman"
    const state = stateOf(member)
    const active = ["running", "paused", "restarting", "stopping"].includes(state)
    const betweenRestarts = podman && (state === "exited" || state === "stopped")
    if (!active && !betweenRestarts) return undefined
    const inspected = yield* client.inspectContainer(member.container.Id)
    const restarts = podman && restartPolicyOf(inspected) !== "no"
    if (betweenRestarts && !restarts) return undefined
    const { StopTimeout } = inspected.Config
    // Podman 4 reports 0 for a container without one.
    const own = typeof StopTimeout === "number" && StopTimeout >= (podman ? 1 : 0) ? StopTimeout : undefined
    const ofScheme = member.scheme.graceSeconds(member.node.role)
    return {
      graceSeconds: own === undefined ? ofScheme ?? defaultGraceSeconds : Math.max(own, ofScheme ?? 0),
      ownSeconds: own ?? 0,
      restarts
    }
  })

/** How long the runs of a container must stay the same until it counts as at rest, and how often it is looked. */
const atRest = { quiet: 1000, pace: 100 } as const

/**
 * Stops a container that Podman may be restarting. A stop between two restarts is answered with 304 and changes nothing;
 * only one that meets the running process ends the restarts.
 */
const stopRestarts = (
  client: Client,
  id: string,
  stop: Effect.Effect<Effected, CallFailure>
): Effect.Effect<Effected, CallFailure> =>
  Effect.gen(function*() {
    let seen = ""
    let since = yield* Clock.currentTimeMillis
    while (true) {
      if ((yield* stop) === "Effected") return "Effected"
      const run = runOf(yield* client.inspectContainer(id))
      const now = yield* Clock.currentTimeMillis
      if (run !== seen) {
        seen = run
        since = now
      } else if (now - since >= atRest.quiet) return "Already"
      yield* Effect.sleep(atRest.pace)
    }
  })

const stopOne = (
  client: Client,
  operation: Operation,
  member: Member,
  { graceSeconds, restarts }: StopPlan
): Effect.Effect<Outcome, CallFailure> => {
  const subject = subjectOf(member)
  const { Id } = member.container
  const stop = client.stopContainer(Id, graceSeconds).pipe(
    // Docker stops a paused container; Podman refuses to.
    Effect.catchIf(
      (error) => error instanceof BackendError && isPaused(error.reason),
      () => Effect.andThen(client.unpauseContainer(Id), client.stopContainer(Id, graceSeconds))
    )
  )
  return operation.emit({ _tag: "Sent", subject, call: "stop" }).pipe(
    Effect.andThen(operation.emit({
      _tag: "Waiting",
      subject,
      reason: `it has ${graceSeconds} s to shut down`
    })),
    Effect.andThen(restarts ? stopRestarts(client, Id, stop) : stop),
    Effect.map((effected): Outcome => effected === "Already" ? alreadyDone : done)
  )
}

export const stop = (client: Client, schemes: ReadonlyArray<Scheme>) => (operation: Operation) =>
  Effect.gen(function*() {
    const nodes = yield* Effect.flatMap(
      members(client, schemes, operation.clusterName),
      (found) => orNoNodes(operation, found)
    )
    const { concurrency, nodeTimeout } = operation.policy
    yield* operation.schedule(nodes.map(subjectOf))
    const stopMember = Effect.fnUntraced(function*(member: Member) {
      const subject = subjectOf(member)
      const began = yield* Clock.currentTimeMillis
      let plan: StopPlan | undefined
      yield* operation.settle(
        subject,
        nodeTimeout.stop,
        goneIsDone(Effect.map(planStop(client, member), (found) => {
          plan = found
          return found === undefined ? alreadyDone : undefined
        }))
      )
      if (plan === undefined) return
      // The deadline follows the grace that the container itself has.
      const elapsed = (yield* Clock.currentTimeMillis) - began
      const limit = Duration.toMillis(nodeTimeout.stop) - elapsed + plan.ownSeconds * 1000
      yield* operation.settle(subject, Duration.millis(limit), goneIsDone(stopOne(client, operation, member, plan)))
    })
    const waves = [
      nodes.filter((member) => member.node.role !== "control-plane"),
      nodes.filter((member) => member.node.role === "control-plane")
    ]
    for (const wave of waves) {
      yield* Effect.forEach(wave, stopMember, { concurrency: concurrency.stop, discard: true })
    }
  })
