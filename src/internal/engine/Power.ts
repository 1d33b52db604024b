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
import type { NodeSelection } from "../../Provider.ts"
import { NoNodes } from "../../ProviderError.ts"
import { BackendError, NotFoundError, ServerFault } from "../../Reason.ts"
import { AlreadyDone, Failed, type Outcome } from "../../Report.ts"
import type { CallFailure, Task } from "../../Resource.ts"
import { byRoleThenName, settledError } from "../Operation.ts"
import type { Engine } from "./Engine.ts"
import { guarded, guardedOutcome } from "./Guard.ts"
import { knownClusters, look, type Member, members, refuseAmbiguous } from "./Look.ts"
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
    const before = new Map(started.map((member) => [member.info.id, member]))
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
          const previous = before.get(member.info.id)
          const hasRestarted = found !== undefined && previous !== undefined &&
            power.hasRestarted?.(previous.actual, found.actual) === true
          if (found !== undefined && found.info.state === "running" && !hasRestarted) continue
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

/** Starts nodes that are listed, and checks that they run. */
export const startMembers = <Read, Write extends Read>(
  engine: Engine<Read, Write>,
  run: Run,
  nodes: ReadonlyArray<Member>
): Effect.Effect<void> =>
  Effect.gen(function*() {
    const { power, read, write } = engine.backend
    const { operation, policy } = run
    const until = (yield* Clock.currentTimeMillis) + Duration.toMillis(policy.nodeTimeout.start)
    const controlPlanes = nodes.filter(isControlPlane)
    const oneByOne = power.startsControlPlanesOneByOne?.(nodes.map(({ actual }) => actual)) === true
    const waves = [
      ...(oneByOne ? controlPlanes.map((node) => [node]) : [controlPlanes]),
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
    if (started.length === 0 || nodes.every(({ info }) => info.state === "running")) return
    const { beforeFinalCheck } = power
    if (beforeFinalCheck !== undefined) {
      const done = started.filter(({ info }) => info.state !== "running").map(({ actual }) => actual)
      yield* Effect.ignore(guarded("power.beforeFinalCheck", () => beforeFinalCheck(read, done, policy)))
    }
    yield* checkRunning<Read, Write>(engine, run, started, until)
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
    yield* startMembers<Read, Write>(engine, run, nodes)
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
  const { power, write } = engine.backend
  const act = (member: Member, task: Task): Effect.Effect<Outcome | undefined, CallFailure> =>
    member.info.state === "stopped"
      ? Effect.succeed(alreadyDone)
      : Effect.catchIf(
        guardedOutcome("power.stop", () => power.stop(write, member.actual, task)),
        (error) => error._tag === "BackendError" && error.reason._tag === "NotFoundError",
        () => Effect.succeed(alreadyDone)
      )
  return run.wave("stop", nodes.filter((node) => !isControlPlane(node)), subjectOfMember, act, {
    later: [nodes.filter(isControlPlane)],
    overlap: power.waitsOverlap === true,
    timeout: ({ actual }) => Duration.sum(run.policy.nodeTimeout.stop, power.stopTimeout?.(actual) ?? Duration.zero)
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
    yield* stopMembers<Read, Write>(engine, run, nodes)
  })
