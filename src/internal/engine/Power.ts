/**
 * Starts, stops and restarts the nodes of a cluster, or some of them.
 *
 * Start: control planes first; stop: control planes last. A start ends with one fresh list: a node that does not run by
 * then, or that has restarted since, is Failed.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { NodeState } from "../../Model.ts"
import type { Subject } from "../../Progress.ts"
import type { NodeSelection } from "../../Provider.ts"
import { NoNodes } from "../../ProviderError.ts"
import { BackendError, NotFoundError, type Reason, ServerFault } from "../../Reason.ts"
import { AlreadyDone, Failed, type Outcome } from "../../Report.ts"
import type { CallFailure, Started, Task } from "../../Resource.ts"
import { isReason } from "../CallFailures.ts"
import { byRoleThenName, settledError } from "../Operation.ts"
import type { Engine } from "./Engine.ts"
import { guarded, guardedOutcome } from "./Guard.ts"
import { type AnyBackend, knownClusters, look, type Member, members, refuseAmbiguous } from "./Look.ts"
import type { Run } from "./Run.ts"
import { pacing } from "./Undo.ts"

const alreadyDone = new AlreadyDone({})

export const subjectOfMember = ({ info: { id, name } }: Member) => ({ kind: "node" as const, name, id })

const isControlPlane = ({ info }: Member) => info.role === "control-plane"

/** The nodes of the cluster by role and name. */
export const listMembers = <Read, Write extends Read>(
  { backend }: Engine<Read, Write>,
  run: Run
): Effect.Effect<ReadonlyArray<Member>, CallFailure> =>
  Effect.gen(function*() {
    const world = yield* look<Read, Write>(backend, run.policy, [backend.node], run.cluster, run.world)
    yield* refuseAmbiguous<Read, Write>(backend, run.cluster, world)
    run.world = world
    return [...yield* members(backend.node, run.cluster, world)].sort((a, b) => byRoleThenName(a.info, b.info))
  })

/** The selected nodes, and the names that the cluster does not have. */
export const select = (
  all: ReadonlyArray<Member>,
  selection: NodeSelection | undefined
): { readonly nodes: ReadonlyArray<Member>; readonly unknown: ReadonlyArray<string> } => {
  if (selection === undefined) return { nodes: all, unknown: [] }
  if ("pool" in selection) return { nodes: all.filter(({ info }) => info.pool === selection.pool), unknown: [] }
  const names = new Set(selection.nodes)
  const nodes = all.filter(({ info }) => names.has(info.name))
  const known = new Set(nodes.map(({ info }) => info.name))
  return { nodes, unknown: [...names].filter((name) => !known.has(name)) }
}

const selected = <Read, Write extends Read>(
  engine: Engine<Read, Write>,
  run: Run,
  selection: NodeSelection | undefined
) =>
  Effect.gen(function*() {
    const all = yield* listMembers<Read, Write>(engine, run)
    if (all.length === 0) {
      return yield* new NoNodes({
        provider: engine.backend.backend,
        clusterName: run.cluster,
        ...knownClusters(engine.backend.node, run.world)
      })
    }
    return select(all, selection)
  })

// -----------------------------------------------------------------------------
// Nodes that appear during an operation
// -----------------------------------------------------------------------------

/** The nodes of the cluster in a list that were not known before. They are known from now on. */
const appeared = <Read, Write extends Read>(
  { backend }: Engine<Read, Write>,
  run: Run,
  known: Set<string>,
  nodes: ReadonlyArray<unknown>
): Effect.Effect<ReadonlyArray<Member>, CallFailure> =>
  Effect.map(
    members(backend.node, run.cluster, { ...run.world, of: () => nodes as ReadonlyArray<never> }),
    (found) => {
      const added = found.filter(({ info }) => !known.has(info.id))
      for (const { info } of added) known.add(info.id)
      return added.sort((a, b) => byRoleThenName(a.info, b.info))
    }
  )

/** A cluster to which something goes on adding nodes is not followed for ever. */
const mostRounds = 3

/** Acts on nodes, and then on those that the latest list has in addition. */
const inRounds = <Read, Write extends Read>(
  engine: Engine<Read, Write>,
  run: Run,
  nodes: ReadonlyArray<Member>,
  act: (round: ReadonlyArray<Member>) => Effect.Effect<void>,
  latest: Effect.Effect<ReadonlyArray<unknown> | undefined, CallFailure> | undefined
): Effect.Effect<void, CallFailure> =>
  Effect.gen(function*() {
    const known = new Set(nodes.map(({ info }) => info.id))
    let round = nodes
    for (let number = 1; number <= mostRounds && round.length > 0; number++) {
      yield* act(round)
      if (latest === undefined) return
      round = yield* appeared(engine, run, known, (yield* latest) ?? [])
    }
  })

// -----------------------------------------------------------------------------
// Start
// -----------------------------------------------------------------------------

const onItsWay: ReadonlySet<NodeState> = new Set(["creating", "starting"])

/** Lists until every started node runs, or shows that it will not. */
const checkRunning = <Read, Write extends Read>(
  engine: Engine<Read, Write>,
  run: Run,
  started: ReadonlyArray<Member>,
  until: number
): Effect.Effect<void> =>
  Effect.gen(function*() {
    const { power, read } = engine.backend
    const { operation, policy } = run
    const fail = (member: Member, error: BackendError) =>
      operation.record(subjectOfMember(member), new Failed({ error }))
    const pace = yield* pacing(policy)
    let left = started
    while (left.length > 0) {
      const seen = yield* Effect.result(listMembers<Read, Write>(engine, run))
      const isLast = (yield* Clock.currentTimeMillis) >= until
      if (seen._tag === "Failure") {
        // Nodes go on starting while the list fails, where it may succeed later.
        const isFinal = isLast || !left.some(({ info }) => onItsWay.has(info.state)) ||
          !(seen.failure instanceof BackendError) || !seen.failure.isRetryable
        if (isFinal) {
          yield* Effect.forEach(
            left,
            (member) => fail(member, settledError(operation, subjectOfMember(member), seen.failure)),
            { discard: true }
          )
          return
        }
      } else {
        const now = new Map(seen.success.map((member) => [member.info.id, member]))
        const still: Array<Member> = []
        for (const member of left) {
          const subject = subjectOfMember(member)
          const found = now.get(member.info.id)
          if (found !== undefined && found.info.state === "running") continue
          if (found !== undefined && onItsWay.has(found.info.state) && !isLast) {
            still.push(found)
          } else if (found === undefined) {
            yield* fail(
              member,
              operation.error(new NotFoundError({ detail: `node ${member.info.name} is gone` }), subject)
            )
          } else {
            const { whyNotRunning } = power
            const reason = whyNotRunning === undefined
              ? Effect.succeed(new ServerFault({ detail: `it was started and is ${found.info.rawState} now` }))
              : guarded("power.whyNotRunning", () => whyNotRunning(read, found.actual, run.task(subject)))
            yield* Effect.flatMap(
              Effect.catch(reason, (error) => Effect.succeed(error.reason)),
              (why) => fail(member, operation.error(why, subject))
            )
          }
        }
        left = still
      }
      if (left.length === 0) return
      const delay = yield* pace
      yield* Effect.sleep(Option.getOrElse(delay, () => Duration.seconds(1)))
    }
  })

/** Lists once more, and makes each of these nodes that does not run Failed. */
export const checkMembers = <Read, Write extends Read>(
  engine: Engine<Read, Write>,
  run: Run,
  nodes: ReadonlyArray<Member>
): Effect.Effect<void> =>
  Effect.flatMap(
    Clock.currentTimeMillis,
    (now) => checkRunning<Read, Write>(engine, run, nodes, now + Duration.toMillis(run.policy.nodeTimeout.start))
  )

/** Control planes in the waves in which the backend starts them. */
export const controlPlaneWaves = <A extends { readonly actual: unknown }>(
  power: Pick<AnyBackend["power"], "controlPlaneWaves">,
  controlPlanes: ReadonlyArray<A>
): ReadonlyArray<ReadonlyArray<A>> => {
  const waves = power.controlPlaneWaves?.(controlPlanes.map(({ actual }) => actual))
  return waves === undefined
    ? [controlPlanes]
    : waves.map((wave) => wave.flatMap((actual) => controlPlanes.find((node) => node.actual === actual) ?? []))
}

/** Makes nodes that do not keep running Failed; returns them. A check that fails decides nothing. */
export const failUnstable = <Read, Write extends Read>(
  { backend: { power, read } }: Engine<Read, Write>,
  run: Run,
  nodes: ReadonlyArray<Started<unknown> & { readonly subject: Subject }>
): Effect.Effect<ReadonlySet<unknown>> =>
  Effect.gen(function*() {
    const { checkRuns } = power
    const [first] = nodes
    if (checkRuns === undefined || first === undefined) return new Set<unknown>()
    const found = yield* guarded("power.checkRuns", () => checkRuns(read, nodes, run.task(first.subject))).pipe(
      Effect.orElseSucceed((): ReadonlyMap<unknown, Reason> => new Map())
    )
    yield* Effect.forEach(nodes, ({ node, subject }) => {
      const reason = found.get(node)
      return reason === undefined
        ? Effect.void
        : run.operation.record(subject, new Failed({ error: run.operation.error(reason, subject) }))
    }, { discard: true })
    return new Set<unknown>(found.keys())
  })

/** Starts nodes that are listed, and checks that they run. */
export const startMembers = <Read, Write extends Read>(
  engine: Engine<Read, Write>,
  run: Run,
  nodes: ReadonlyArray<Member>
): Effect.Effect<void> =>
  Effect.gen(function*() {
    const { power, write } = engine.backend
    const { operation, policy } = run
    const until = (yield* Clock.currentTimeMillis) + Duration.toMillis(policy.nodeTimeout.start)
    const waves = [
      ...controlPlaneWaves(power, nodes.filter(isControlPlane)),
      nodes.filter((node) => !isControlPlane(node))
    ]
    const acted: Array<Member> = []
    const act = (member: Member, task: Task): Effect.Effect<Outcome | undefined, CallFailure> => {
      acted.push(member)
      return member.info.state === "running"
        ? Effect.succeed(alreadyDone)
        : guardedOutcome("power.start", () => power.start(write, member.actual, task))
    }
    const [first = [], ...later] = waves
    yield* run.wave("start", first, subjectOfMember, act, { later, overlap: power.waitsOverlap === true })
    const started = nodes.filter((member) => {
      const tag = operation.outcomeOf(subjectOfMember(member))?._tag
      return tag === "Done" || tag === "AlreadyDone"
    })
    const unstable = yield* failUnstable<Read, Write>(
      engine,
      run,
      started.map((member) => ({
        node: member.actual,
        wasRunning: member.info.state === "running",
        subject: subjectOfMember(member)
      }))
    )
    const left = started.filter(({ actual }) => !unstable.has(actual))
    if (left.length === 0 || nodes.every(({ info }) => info.state === "running")) return
    yield* checkRunning<Read, Write>(engine, run, left, until)
  })

export const start = <Read, Write extends Read>(
  engine: Engine<Read, Write>,
  run: Run,
  selection: NodeSelection | undefined
): Effect.Effect<void, NoNodes | CallFailure> =>
  Effect.gen(function*() {
    const { nodes, unknown } = yield* selected<Read, Write>(engine, run, selection)
    yield* run.operation.schedule(nodes.map(subjectOfMember))
    for (const name of unknown) {
      const subject = { kind: "node", name } as const
      const error = run.operation.error(new NotFoundError({ detail: `the cluster has no node ${name}` }), subject)
      yield* run.operation.record(subject, new Failed({ error }))
    }
    // The check that the nodes run has listed them again.
    const latest = Effect.sync(() => run.world.of<unknown>(engine.backend.node))
    yield* inRounds<Read, Write>(
      engine,
      run,
      nodes,
      (round) => startMembers<Read, Write>(engine, run, round),
      selection === undefined ? latest : undefined
    )
  })

// -----------------------------------------------------------------------------
// Stop
// -----------------------------------------------------------------------------

/** Stops nodes that are listed. */
export const stopMembers = <Read, Write extends Read>(
  engine: Engine<Read, Write>,
  run: Run,
  nodes: ReadonlyArray<Member>
): Effect.Effect<void> => {
  const { power, read, write } = engine.backend
  const { isStopped, stopTimeout } = power
  const needsStop = (member: Member, task: Task): Effect.Effect<boolean, CallFailure> =>
    member.info.state !== "stopped"
      ? Effect.succeed(true)
      : isStopped === undefined
      ? Effect.succeed(false)
      : Effect.map(guarded("power.isStopped", () => isStopped(read, member.actual, task)), (stopped) => !stopped)
  const act = (member: Member, task: Task): Effect.Effect<Outcome | undefined, CallFailure> =>
    Effect.flatMap(needsStop(member, task), (needed) =>
      needed
        ? guardedOutcome("power.stop", () => power.stop(write, member.actual, task))
        : Effect.succeed<Outcome>(alreadyDone)).pipe(
        Effect.catchIf(
          (error) => isReason(error, "NotFoundError"),
          () => Effect.succeed<Outcome>(alreadyDone)
        )
      )
  const extra = Effect.forEach(
    stopTimeout === undefined ? [] : nodes.filter(({ info }) => info.state !== "stopped"),
    (member) =>
      guarded(
        "power.stopTimeout",
        () => stopTimeout?.(read, member.actual, run.task(subjectOfMember(member))) ?? Effect.succeed(Duration.zero)
      ).pipe(
        // The stop itself reports the failure.
        Effect.orElseSucceed(() => Duration.zero),
        Effect.map((duration) => [member, duration] as const)
      ),
    { concurrency: run.policy.concurrency.stop }
  )
  return Effect.flatMap(extra, (found) => {
    const extras = new Map<Member, Duration.Duration>(found)
    return run.wave("stop", nodes.filter((node) => !isControlPlane(node)), subjectOfMember, act, {
      later: [nodes.filter(isControlPlane)],
      overlap: power.waitsOverlap === true,
      timeout: (member) => Duration.sum(run.policy.nodeTimeout.stop, extras.get(member) ?? Duration.zero)
    })
  })
}

export const stop = <Read, Write extends Read>(
  engine: Engine<Read, Write>,
  run: Run,
  selection: NodeSelection | undefined
): Effect.Effect<void, NoNodes | CallFailure> =>
  Effect.gen(function*() {
    const { nodes, unknown } = yield* selected<Read, Write>(engine, run, selection)
    yield* run.operation.schedule(nodes.map(subjectOfMember))
    for (const name of unknown) yield* run.operation.record({ kind: "node", name }, alreadyDone)
    const { latest } = engine.backend.power
    yield* inRounds<Read, Write>(
      engine,
      run,
      nodes,
      (round) => stopMembers<Read, Write>(engine, run, round),
      selection !== undefined || latest === undefined
        ? undefined
        : guarded("power.latest", () => latest(run.task({ kind: "cluster", name: run.cluster })))
    )
  })
