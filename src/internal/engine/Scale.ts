/**
 * Adds, removes, replaces and restarts nodes of a cluster that exists.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { ClusterName, NodeRole } from "../../Model.ts"
import type { AddedNodes, NodeSelection, RollingOptions } from "../../Provider.ts"
import { ClusterNotFound, InvalidSpec, type NodesNotCreated, type OperationTimeout } from "../../ProviderError.ts"
import { UnsupportedError } from "../../Reason.ts"
import { AlreadyDone, type OperationReport } from "../../Report.ts"
import type { CallFailure, Issue, Want, World } from "../../Resource.ts"
import { failWith } from "../Method.ts"
import { byRoleThenName } from "../Operation.ts"
import { asCallFailure, carryOut, finalCheck } from "./CarryOut.ts"
import { adoptBelow, create } from "./Create.ts"
import { hasNoReply, makeCreated } from "./Created.ts"
import { removeMembers } from "./Delete.ts"
import { diff, type Item, refusalOf } from "./Diff.ts"
import { type Engine, PolicyInForce } from "./Engine.ts"
import { guardedOutcome, guardedRead } from "./Guard.ts"
import { kindsOf, knownClusters, type Look, look, type Member, members, readLimit, refuseAmbiguous } from "./Look.ts"
import { checkMembers, listMembers, select, startMembers, stopMembers, subjectOfMember } from "./Power.ts"
import type { Run } from "./Run.ts"

const notFound = <Read, Write extends Read>({ backend }: Engine<Read, Write>, cluster: ClusterName, world: World) =>
  new ClusterNotFound({ provider: backend.backend, clusterName: cluster, ...knownClusters(backend.node, world) })

/** The kinds that nodes depend on. A kind that even a delete lists only sometimes is not among them. */
const scaledKinds = <Read, Write extends Read>(backend: Engine<Read, Write>["backend"]) =>
  kindsOf<Read, Write>(backend).filter(({ concerns }) => concerns === undefined)

// -----------------------------------------------------------------------------
// Add
// -----------------------------------------------------------------------------

const count = (path: "controlPlanes" | "workers", value: unknown): ReadonlyArray<Issue> =>
  typeof value === "number" && Number.isInteger(value) && value >= 0
    ? []
    : [{ path, message: `must be an integer ≥ 0, got ${String(value)}` }]

/** The validation errors that are the same on every backend. */
const issuesOfAdded = (added: AddedNodes): ReadonlyArray<Issue> => {
  const { controlPlanes = 0, workers = 0 } = added
  const issues = [...count("controlPlanes", controlPlanes), ...count("workers", workers)]
  if (issues.length > 0) return issues
  if (controlPlanes + workers === 0) return [{ path: "workers", message: "no node is requested" }]
  return added.pool !== undefined && controlPlanes > 0 && workers > 0
    ? [{ path: "pool", message: "nodes of one pool have one role; set `controlPlanes` or `workers`, not both" }]
    : []
}

export const addNodes = <Read, Write extends Read>(
  engine: Engine<Read, Write>,
  cluster: ClusterName,
  nodes: AddedNodes
): Effect.Effect<
  OperationReport,
  ClusterNotFound | InvalidSpec | NodesNotCreated | OperationTimeout | CallFailure
> => {
  const { backend } = engine
  return Effect.gen(function*() {
    const policy = yield* PolicyInForce
    const issues = [...issuesOfAdded(nodes), ...backend.validateAdded?.(nodes) ?? []]
    if (issues.length > 0) return yield* new InvalidSpec({ issues })
    if (backend.added === undefined) {
      return yield* failWith(new UnsupportedError({ detail: `${backend.backend} cannot add nodes` }))
    }
    const wants = (added: AddedNodes, world: Look, taken: ReadonlySet<string>) =>
      guardedRead(
        "added",
        readLimit(policy),
        () => backend.added?.(backend.read, cluster, added, world, taken) ?? Effect.succeed([])
      )
    // Separated after the create, whose errors are those of the backend.
    let absentFrom: World | undefined
    const report = yield* Effect.result(create<Read, Write>(engine, {
      name: "addNodes",
      cluster,
      onFailure: nodes.onFailure ?? "remove",
      kinds: scaledKinds<Read, Write>(backend),
      wants: (world) =>
        Effect.flatMap(members(backend.node, cluster, world), (there) => {
          if (there.length === 0) absentFrom = world
          return there.length === 0
            ? failWith(new UnsupportedError({ detail: "there is no such cluster" }))
            : wants(nodes, world, new Set())
        }),
      diff: { ignoresSurplus: true },
      refuses: ["refuse"],
      adds: (world, lost, taken) => wants(again(nodes, backend.node.placeOf, lost), world, taken)
    }))
    if (absentFrom !== undefined) return yield* notFound(engine, cluster, absentFrom)
    return yield* report._tag === "Success" ? Effect.succeed(report.success) : Effect.fail(report.failure)
  })
}

/** As many nodes of each role as were lost to others. */
const again = <Read, Write extends Read>(
  nodes: AddedNodes,
  placeOf: (wanted: unknown) => { readonly role: NodeRole },
  lost: ReadonlyArray<Item<Read, Write>>
): AddedNodes => {
  const of = (role: NodeRole) => lost.filter(({ wanted }) => placeOf(wanted).role === role).length
  return { ...nodes, controlPlanes: of("control-plane"), workers: of("worker") }
}

// -----------------------------------------------------------------------------
// Remove
// -----------------------------------------------------------------------------

export const removeNodes = <Read, Write extends Read>(
  engine: Engine<Read, Write>,
  run: Run,
  names: ReadonlyArray<string>
): Effect.Effect<void, ClusterNotFound | CallFailure> =>
  Effect.gen(function*() {
    const all = yield* listMembers<Read, Write>(engine, run)
    if (all.length === 0) return yield* notFound(engine, run.cluster, run.world)
    const { nodes, unknown } = select(all, { nodes: names })
    for (const name of unknown) yield* run.operation.record({ kind: "node", name }, new AlreadyDone({}))
    for (const { actual } of nodes) run.world.leave(engine.backend.node, actual)
    yield* removeMembers<Read, Write>(engine, run, nodes)
  })

// -----------------------------------------------------------------------------
// Replace and restart
// -----------------------------------------------------------------------------

const inWaves = <A>(items: ReadonlyArray<A>, size: number): ReadonlyArray<ReadonlyArray<A>> =>
  Array.from({ length: Math.ceil(items.length / size) }, (_, index) => items.slice(index * size, (index + 1) * size))

const waveSize = (options: { readonly maxUnavailable?: number }): Effect.Effect<number, InvalidSpec> => {
  const { maxUnavailable = 1 } = options
  return Number.isInteger(maxUnavailable) && maxUnavailable >= 1
    ? Effect.succeed(maxUnavailable)
    : Effect.fail(
      new InvalidSpec({
        issues: [{ path: "maxUnavailable", message: `must be an integer ≥ 1, got ${String(maxUnavailable)}` }]
      })
    )
}

const nameOfSelection = (options: NodeSelection, name: string): boolean =>
  "nodes" in options && options.nodes.includes(name)

const failedAny = (run: Run) => Effect.map(run.operation.report, (report) => report.isFailure)

/** Runs the gate with the nodes of a wave as they are now. */
const passGate = <Read, Write extends Read, E, R>(
  engine: Engine<Read, Write>,
  run: Run,
  options: RollingOptions<E, R>,
  names: ReadonlySet<string>
): Effect.Effect<void, E | CallFailure, R> =>
  options.gate === undefined
    ? Effect.void
    : Effect.flatMap(
      listMembers<Read, Write>(engine, run),
      (all): Effect.Effect<void, E, R> =>
        options.gate?.(all.map(({ info }) => info).filter(({ name }) => names.has(name))) ?? Effect.void
    )

const isRunning = ({ info }: Member) => info.state === "running"

export const restartNodes = <Read, Write extends Read, E, R>(
  engine: Engine<Read, Write>,
  run: Run,
  options: RollingOptions<E, R>
): Effect.Effect<void, E | ClusterNotFound | InvalidSpec | CallFailure, R> =>
  Effect.gen(function*() {
    const size = yield* waveSize(options)
    const all = yield* listMembers<Read, Write>(engine, run)
    if (all.length === 0) return yield* notFound(engine, run.cluster, run.world)
    const { nodes, unknown } = select(all, options)
    yield* run.operation.schedule(nodes.map(subjectOfMember))
    for (const name of unknown) yield* run.operation.record({ kind: "node", name }, new AlreadyDone({}))
    for (const wave of inWaves(nodes, size)) {
      const current = new Set(wave.map(({ info }) => info.name))
      const { restart } = engine.backend.power
      if (restart === undefined) {
        yield* stopMembers<Read, Write>(engine, run, wave)
        if (yield* failedAny(run)) return
        const now = (yield* listMembers<Read, Write>(engine, run)).filter(({ info }) => current.has(info.name))
        yield* startMembers<Read, Write>(engine, run, now)
      } else {
        yield* run.wave("start", wave.filter(isRunning), subjectOfMember, ({ actual }, task) =>
          guardedOutcome("power.restart", () =>
            restart(engine.backend.write, actual, task)))
        if (yield* failedAny(run)) {
          return
        }
        yield* startMembers<Read, Write>(
          engine,
          run,
          wave.filter((member) =>
            !isRunning(member)
          )
        )
        yield* checkMembers<Read, Write>(engine, run, wave.filter(isRunning))
      }
      if (yield* failedAny(run)) return
      yield* passGate(engine, run, options, current)
    }
  })

/** The selected nodes, and the selected names that have no node because an earlier call has deleted it. */
const toReplace = (
  all: ReadonlyArray<Member>,
  options: NodeSelection
): ReadonlyArray<{ readonly name: string; readonly member: Member | undefined }> => {
  const { nodes, unknown } = select(all, options)
  return [
    ...nodes.map((member) => ({ name: member.info.name, member })),
    ...unknown.filter((name) => nameOfSelection(options, name)).map((name) => ({ name, member: undefined }))
  ]
}

const replaceInScope = <Read, Write extends Read, E, R>(
  engine: Engine<Read, Write>,
  run: Run,
  options: RollingOptions<E, R>
): Effect.Effect<void, E | ClusterNotFound | InvalidSpec | CallFailure, R | Scope.Scope> =>
  Effect.gen(function*() {
    const { backend } = engine
    const { cluster, policy } = run
    const size = yield* waveSize(options)
    if (backend.replaced === undefined) {
      return yield* failWith(new UnsupportedError({ detail: `${backend.backend} cannot replace nodes` }))
    }
    const kinds = scaledKinds<Read, Write>(backend)
    const first = yield* look<Read, Write>(backend, policy, kinds, undefined)
    yield* refuseAmbiguous<Read, Write>(backend, cluster, first)
    const all = [...yield* members(backend.node, cluster, first)].sort((a, b) => byRoleThenName(a.info, b.info))
    if (all.length === 0) return yield* notFound(engine, cluster, first)
    run.world = first
    const replaced = toReplace(all, options)
    const created = yield* makeCreated(backend.mayStillHappen ?? hasNoReply)
    const context = { engine, run, created, fates: new Map(), adopts: true }
    const wantsOf = (wave: ReturnType<typeof toReplace>, world: Look) =>
      guardedRead("replaced", readLimit(policy), () =>
        backend.replaced?.(
          backend.read,
          cluster,
          wave.map(({ member, name }) => ({ name, node: member?.actual })),
          world
        ) ?? Effect.succeed([]))
    const compare = (wants: ReadonlyArray<Want<Read, Write>>, world: Look) =>
      diff<Read, Write>(backend, wants, { cluster, world, ignoresSurplus: true })
    // All that could not be created again is found before the first node is deleted.
    const planned = compare(yield* wantsOf(replaced, first), first)
    const names = new Set(replaced.map(({ name }) => name))
    const reason = refusalOf(
      cluster,
      planned.filter(({ resource, step }) =>
        resource !== backend.node || !names.has(step.name) || step.holder !== undefined
      ).map(({ step }) => step),
      ["refuse"]
    )
    if (reason !== undefined) return yield* failWith(reason)
    yield* adoptBelow<Read, Write>(context, first)
    for (const wave of inWaves(replaced, size)) {
      const current = new Set(wave.map(({ name }) => name))
      const going = wave.flatMap(({ member }) => member ?? [])
      for (const { actual } of going) {
        if (backend.node.owner(actual, run.world)?.added === true) {
          run.addedNames.add(backend.node.identity(actual).name)
        }
      }
      const wants = yield* wantsOf(wave, run.world)
      yield* removeMembers<Read, Write>(engine, run, going)
      if (yield* failedAny(run)) return
      const world = yield* look<Read, Write>(backend, policy, kinds, undefined, run.world)
      run.world = world
      const items = compare(wants, world)
      const refused = refusalOf(cluster, items.map(({ step }) => step), ["refuse"])
      if (refused !== undefined) return yield* failWith(refused)
      run.sender = created.send
      yield* carryOut<Read, Write>(context, items).pipe(
        Effect.andThen(finalCheck<Read, Write>(context, items, { cluster, ignoresSurplus: true })),
        Effect.mapError((error) => asCallFailure(run, error)),
        Effect.ensuring(created.awaitReplies)
      )
      run.sender = (_, request) => request
      if (yield* failedAny(run)) return
      yield* passGate(engine, run, options, current)
    }
    engine.setFinished(run.mark.operation)
  })

export const replaceNodes = <Read, Write extends Read, E, R>(
  engine: Engine<Read, Write>,
  run: Run,
  options: RollingOptions<E, R>
): Effect.Effect<void, E | ClusterNotFound | InvalidSpec | CallFailure, R> =>
  // A scope that is excluded from an open type is still in it.
  Effect.scoped(replaceInScope(engine, run, options)) as Effect.Effect<
    void,
    E | ClusterNotFound | InvalidSpec | CallFailure,
    R
  >
