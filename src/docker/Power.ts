/**
 * Starts, stops and restarts the container of a node.
 *
 * A stop always sends the grace, since Podman 4 takes a missing one as 0. A node that the engine restarts again and again
 * does not run, whatever one list says.
 * Source: Docker Engine API reference, `ContainerStart`, `ContainerStop`, `ContainerRestart`, `ContainerUnpause`.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { type BackendError, Conflict, NotFoundError, type Reason, ServerFault } from "../Reason.ts"
import { AlreadyDone, Done, type Outcome } from "../Report.ts"
import type { CallFailure, Power, Started, Task } from "../Resource.ts"
import { explainAddress } from "./AddressCause.ts"
import type { Effected, Reading, Writing } from "./Client.ts"
import { type Container, isNode, stateOf } from "./ClusterNodes.ts"
import { addressLabel } from "./Desired.ts"
import { isPaused } from "./Errors.ts"
import * as Labels from "./Labels.ts"
import { isMade } from "./Scheme.ts"
import { exitCode } from "./Translate.ts"
import { networkNames } from "./Users.ts"
import type { ContainerInspect } from "./Wire.ts"

const done = new Done({})
const alreadyDone = new AlreadyDone({})
const nodeLogHint = "Read the log of the node: its process ends on its own."

// -----------------------------------------------------------------------------
// Start
// -----------------------------------------------------------------------------

/** How fast the engine starts a process, in milliseconds: the fastest start of the operation. */
const fastestStart = (task: Task): Effect.Effect<{ millis: number }> =>
  task.once("fastest start", Effect.sync(() => ({ millis: Number.POSITIVE_INFINITY })))

/** Engines name a network that is gone by its id; the container knows its name. */
const missingNetwork = (actual: Container, task: Task, error: BackendError): BackendError => {
  const [, id] = /network (\S+) not found/i.exec(error.reason.detail) ?? []
  if (id === undefined) return error
  const networks = Object.entries(actual.container.NetworkSettings?.Networks ?? {})
  const name = networks.find(([, endpoint]) => endpoint?.NetworkID === id)?.[0] ?? networks[0]?.[0] ?? id
  return task.error(
    new NotFoundError({
      detail: `network ${JSON.stringify(name)} of the node does not exist`,
      ...(error.reason.status === undefined ? {} : { status: error.reason.status }),
      hint: "Run createNodes again, which creates the network."
    })
  )
}

const send = (write: Writing, actual: Container, task: Task): Effect.Effect<Outcome, CallFailure> => {
  const { Id } = actual.container
  const unpause = task.send("unpause", write.client.unpauseContainer(Id)).pipe(
    Effect.as<Outcome>(done),
    // Something else was faster.
    Effect.catchIf(
      (error) => error._tag === "BackendError" && /not paused/i.test(error.reason.detail),
      () => Effect.succeed<Outcome>(alreadyDone)
    )
  )
  switch (stateOf(actual)) {
    case "running":
      return Effect.succeed(alreadyDone)
    case "paused":
      return unpause
    case "removing":
    case "dead":
      return Effect.fail(task.error(
        new Conflict({
          detail: `the container is ${stateOf(actual)}`,
          hint: "Delete the node: the engine did not finish its removal."
        })
      ))
    default:
      return task.send("start", write.client.startContainer(Id)).pipe(
        Effect.map((effected): Outcome => effected === "Already" ? alreadyDone : done),
        Effect.catchIf((error) => error._tag === "BackendError" && isPaused(error.reason), () => unpause),
        Effect.catchIf(
          (error): error is BackendError => error._tag === "BackendError" && error.reason._tag === "NotFoundError",
          (error) => Effect.fail(missingNetwork(actual, task, error))
        ),
        explainAddress(write, task, { networks: networkNames(actual), address: actual.labels[addressLabel] })
      )
  }
}

/** Starts one container, whatever state it is in. */
export const startNode = (write: Writing, actual: Container, task: Task): Effect.Effect<Outcome, CallFailure> =>
  Effect.gen(function*() {
    const fastest = yield* fastestStart(task)
    const [duration, outcome] = yield* Effect.timed(send(write, actual, task))
    if (outcome._tag === "Done") fastest.millis = Math.min(fastest.millis, Duration.toMillis(duration))
    return outcome
  })

// -----------------------------------------------------------------------------
// Runs
// -----------------------------------------------------------------------------

/** The engine's text about an exit. Podman 5 keeps the text of a start that found the container running. */
const errorOf = ({ State: { Error: text } }: ContainerInspect): string | undefined =>
  text === undefined || text === null || text === "" || /container is running$/i.test(text) ? undefined : text

const whyNotRunning = (read: Reading, actual: Container): Effect.Effect<Reason> => {
  const state = stateOf(actual)
  const code = exitCode(actual.container.Status)
  const seen = code === undefined ? `the container is ${state}` : `the container is ${state} with exit code ${code}`
  return read.client.inspectContainer(actual.container.Id).pipe(
    Effect.map((inspected) => {
      const text = errorOf(inspected)
      return text === undefined ? seen : `${seen}: ${text}`
    }),
    // The list is enough where the inspection fails.
    Effect.orElseSucceed(() => seen),
    Effect.map((why) => new ServerFault({ detail: `it was started but does not run: ${why}`, hint: nodeLogHint }))
  )
}

const restartPolicyOf = (inspected: ContainerInspect): string => inspected.HostConfig?.RestartPolicy?.Name || "no"

/** Changes whenever the engine starts the process of the container. */
const runOf = ({ RestartCount, State }: ContainerInspect): string => `${RestartCount ?? 0} ${State.StartedAt ?? ""}`

/** Whether a container has run for less than a minute, by the status in a list. A crash loop never gets older. */
const isYoung = ({ container: { Status } }: Container): boolean => !/^Up (?!Less|\d+ second)/i.test(Status ?? "")

/** Whether kubelayer created a container. No field of its create call sets a stop timeout. */
const isOwn = ({ labels }: Container): boolean => labels[Labels.spec] !== undefined

/** Whether the engine may restart a container, as far as the labels of a node of ours say it. */
const mayRestart = (actual: Container): boolean => {
  const label = actual.labels[Labels.spec]
  if (label === undefined || !isNode(actual) || !isMade(actual.member.scheme)) return true
  if (label.includes("\"restart\"")) return true
  const { template } = actual.member.scheme
  const place = { role: "worker", index: 0, counts: { controlPlanes: 1, workers: 1, loadBalancers: 0 } } as const
  return "RestartPolicy" in template.hostConfig({ ...place, cluster: actual.member.membership.cluster as never })
}

/** The runs of a young container that the engine may restart, as the engine counts them; none of another container. */
const restartable = (read: Reading, actual: Container): Effect.Effect<ContainerInspect | undefined> =>
  isYoung(actual) && mayRestart(actual)
    ? read.client.inspectContainer(actual.container.Id).pipe(
      Effect.map((inspected) => restartPolicyOf(inspected) === "no" ? undefined : inspected),
      Effect.orElseSucceed(() => undefined)
    )
    : Effect.undefined

/** The exit code of a restarted process. While the process runs the engine reports 0, so its next exit is awaited. */
const nextExit = (read: Reading, inspected: ContainerInspect, tries = 10): Effect.Effect<number | undefined> =>
  inspected.State.Status !== "running"
    ? Effect.succeed(inspected.State.ExitCode ?? undefined)
    : tries === 0
    ? Effect.undefined
    : Effect.sleep("100 millis").pipe(
      Effect.andThen(read.client.inspectContainer(inspected.Id)),
      Effect.flatMap((again) => nextExit(read, again, tries - 1)),
      Effect.orElseSucceed(() => undefined)
    )

const restartLoop = (read: Reading, inspected: ContainerInspect): Effect.Effect<Reason> =>
  Effect.map(nextExit(read, inspected), (code) =>
    new ServerFault({
      detail: `its process exits${code === undefined ? "" : ` with exit code ${code}`}, and the engine restarts it`,
      hint: nodeLogHint
    }))

/**
 * How long after the last start nodes are compared, in milliseconds. The engine reports success when the process exists;
 * one that cannot run ends within moments of that. An engine that is slow to start a process is as slow to see it end,
 * so the fastest start decides.
 */
const moment = { least: 100, most: 1000 } as const

/** Waits a moment after the starts; returns the nodes that the engine restarts again and again. */
const checkRuns = (
  read: Reading,
  nodes: ReadonlyArray<Started<Container>>,
  task: Task
): Effect.Effect<ReadonlyMap<Container, Reason>, CallFailure> =>
  Effect.gen(function*() {
    const { concurrency: { start: concurrency } } = task.policy
    const fastest = yield* fastestStart(task)
    const runs = new Map<Container, ContainerInspect>()
    yield* Effect.forEach(
      nodes.filter(({ wasRunning }) => wasRunning),
      ({ node }) =>
        Effect.map(restartable(read, node), (inspected) => {
          // A node that has just started may not have exited for the first time.
          const isFresh = /^Up (?:Less|1 second\b)/i.test(node.container.Status ?? "")
          if (inspected !== undefined && (isFresh || (inspected.RestartCount ?? 0) > 0)) runs.set(node, inspected)
        }),
      { concurrency, discard: true }
    )
    const started = nodes.filter(({ wasRunning }) => !wasRunning)
    if (runs.size === 0 && started.length === 0) return new Map()
    const isLooping = runs.size > 0 || started.some(({ node }) => stateOf(node) === "restarting")
    const { least, most } = moment
    yield* Effect.sleep(
      isLooping ? most : Number.isFinite(fastest.millis) ? Math.min(Math.max(fastest.millis, least), most) : least
    )
    const found = new Map<Container, Reason>()
    yield* Effect.forEach([...runs.keys(), ...started.map(({ node }) => node).filter(mayRestart)], (node) =>
      Effect.gen(function*() {
        const inspected = yield* Effect.orElseSucceed(
          read.client.inspectContainer(node.container.Id),
          () =>
            undefined
        )
        if (inspected === undefined || restartPolicyOf(inspected) === "no") return
        const before = runs.get(node)
        // A start resets the count, so any restart is one since then.
        const isRestarted = before === undefined
          ? (inspected.RestartCount ?? 0) > 0
          : runOf(before) !== runOf(inspected)
        if (isRestarted) found.set(node, yield* restartLoop(read, inspected))
      }), { concurrency, discard: true })
    return found
  })

// -----------------------------------------------------------------------------
// Stop
// -----------------------------------------------------------------------------

/** Docker's grace for a container without one of its own. */
const defaultGraceSeconds = 10

interface StopPlan {
  readonly graceSeconds: number
  /** The grace that the container itself has; its stop may take that much longer. */
  readonly ownSeconds: number
  /** The engine may restart the container between two lists. */
  readonly restarts: boolean
}

/**
 * How to stop a container; none where it does not run. Podman reports a container between two restarts as exited, so
 * there a restart policy decides.
 */
const planStop = (
  { client }: Reading,
  actual: Container
): Effect.Effect<StopPlan | undefined, CallFailure> =>
  Effect.gen(function*() {
    const isPodman = (yield* client.engine) === "podman"
    const state = stateOf(actual)
    const isActive = ["running", "paused", "restarting", "stopping"].includes(state)
    const isBetweenRestarts = isPodman && (state === "exited" || state === "stopped")
    if (!isActive && !isBetweenRestarts) return undefined
    const ofScheme = isNode(actual) ? actual.member.scheme.graceSeconds(actual.member.membership.role) : undefined
    if (isOwn(actual) && !(isPodman && mayRestart(actual))) {
      return isBetweenRestarts
        ? undefined
        : { graceSeconds: ofScheme ?? defaultGraceSeconds, ownSeconds: 0, restarts: false }
    }
    const inspected = yield* client.inspectContainer(actual.container.Id)
    const restarts = isPodman && restartPolicyOf(inspected) !== "no"
    if (isBetweenRestarts && !restarts) return undefined
    const { StopTimeout } = inspected.Config
    // Podman 4 reports 0 for a container without one.
    const own = typeof StopTimeout === "number" && StopTimeout >= (isPodman ? 1 : 0) ? StopTimeout : undefined
    return {
      graceSeconds: own === undefined ? ofScheme ?? defaultGraceSeconds : Math.max(own, ofScheme ?? 0),
      ownSeconds: own ?? 0,
      restarts
    }
  })

/** The plan of a stop, created once for the deadline and the stop itself. */
const stopPlan = (read: Reading, actual: Container, task: Task) =>
  task.once(`stop ${actual.container.Id}`, planStop(read, actual))

/** How long the runs of a container must stay the same until it counts as stopped, and the pace of the lists. */
const atRest = { quiet: 1000, pace: 100 } as const

/**
 * Stops a container that Podman may be restarting. A stop between two restarts is answered with 304 and changes nothing;
 * only one that meets the running process ends the restarts.
 */
const stopRestarts = (
  write: Writing,
  id: string,
  stop: Effect.Effect<Effected, CallFailure>
): Effect.Effect<Effected, CallFailure> =>
  Effect.gen(function*() {
    let seen = ""
    let since = yield* Clock.currentTimeMillis
    while (true) {
      if ((yield* stop) === "Effected") return "Effected"
      const run = runOf(yield* write.client.inspectContainer(id))
      const now = yield* Clock.currentTimeMillis
      if (run !== seen) {
        seen = run
        since = now
      } else if (now - since >= atRest.quiet) return "Already"
      yield* Effect.sleep(atRest.pace)
    }
  })

const stop = (write: Writing, actual: Container, task: Task): Effect.Effect<Outcome, CallFailure> =>
  Effect.gen(function*() {
    const plan = yield* stopPlan(write, actual, task)
    if (plan === undefined) return alreadyDone
    const { Id } = actual.container
    const { graceSeconds, restarts } = plan
    const once = write.client.stopContainer(Id, graceSeconds).pipe(
      // Docker stops a paused container; Podman refuses to.
      Effect.catchIf(
        (error) => error._tag === "BackendError" && isPaused(error.reason),
        () => Effect.andThen(write.client.unpauseContainer(Id), write.client.stopContainer(Id, graceSeconds))
      )
    )
    const effected = yield* task.send("stop", restarts ? stopRestarts(write, Id, once) : once)
    return effected === "Already" ? alreadyDone : done
  })

const restart = (write: Writing, actual: Container, task: Task): Effect.Effect<Outcome, CallFailure> =>
  Effect.gen(function*() {
    const plan = yield* stopPlan(write, actual, task)
    yield* task.send(
      "restart",
      write.client.restartContainer(actual.container.Id, plan?.graceSeconds ?? defaultGraceSeconds)
    )
    return done
  })

// -----------------------------------------------------------------------------
// Power
// -----------------------------------------------------------------------------

export const power: Power<Container, Reading, Writing> = {
  start: startNode,
  stop,
  restart,
  controlPlaneWaves: (controlPlanes) => {
    const nodes = controlPlanes.filter(isNode)
    return nodes[0]?.member.scheme.controlPlaneWaves(nodes) ?? [controlPlanes]
  },
  stopTimeout: (read, actual, task) =>
    Effect.map(stopPlan(read, actual, task), (plan) => Duration.seconds(plan?.ownSeconds ?? 0)),
  isStopped: (read, actual, task) => Effect.map(stopPlan(read, actual, task), (plan) => plan === undefined),
  checkRuns,
  whyNotRunning
}
