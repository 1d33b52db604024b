/**
 * Deletes a cluster: its nodes, then the resources that it owns, in falling order. Plans the same without a write.
 *
 * The nodes go first. The other kinds are listed after that, so that resources added or released in the meantime are
 * seen. A resource that something else uses, or that has data of a user, stays and is Skipped with the reason.
 */
import * as Effect from "effect/Effect"
import type { ClusterName, NodeInfo } from "../../Model.ts"
import { makePlan, type Plan, PlanStep } from "../../Plan.ts"
import type { Policy } from "../../Policy.ts"
import { Done, Failed, Skipped } from "../../Report.ts"
import type { AnyResource, CallFailure, World } from "../../Resource.ts"
import { byName, byRoleThenName } from "../Operation.ts"
import type { Engine } from "./Engine.ts"
import { guarded, guardedRead } from "./Guard.ts"
import {
  type AnyBackend,
  kindsOf,
  type Look,
  lookForDelete,
  lookTolerant,
  type Member,
  members,
  ofCluster,
  readLimit,
  refuseAmbiguous,
  subjectOf
} from "./Look.ts"
import type { Reader } from "./Look.ts"
import { listMembers, subjectOfMember } from "./Power.ts"
import { removeOne } from "./Remove.ts"
import type { Run } from "./Run.ts"
import { removalWaves } from "./Undo.ts"

interface Found<Read, Write extends Read> {
  readonly resource: AnyResource<Read, Write>
  readonly actual: unknown
  /** Why it stays. */
  readonly why: string | undefined
}

/** The steps of a delete for the listed things of a cluster, wave by wave. Reads the users of each thing. */
const removals = <Read, Write extends Read>(
  backend: Reader<Read, Write>,
  policy: Policy,
  cluster: ClusterName,
  world: Look,
  kinds: ReadonlyArray<ReadonlyArray<AnyResource<Read, Write>>>
): Effect.Effect<ReadonlyArray<ReadonlyArray<Found<Read, Write>>>, CallFailure> =>
  Effect.gen(function*() {
    // Users that go as well keep nothing in place.
    for (const resource of kinds.flat()) {
      for (const actual of ofCluster(resource, cluster, world)) world.leave(resource, actual)
    }
    return yield* Effect.forEach(kinds, (wave) =>
      Effect.map(
        Effect.forEach(wave, (resource) =>
          Effect.gen(function*() {
            const own = [...ofCluster(resource, cluster, world)].sort((a, b) =>
              byName(resource.identity(a).name, resource.identity(b).name)
            )
            const kept = resource.keep === undefined || own.length === 0
              ? undefined
              : yield* guardedRead(
                "keep",
                readLimit(policy),
                () => resource.keep?.(backend.read, own, world) ?? Effect.succeed(new Map<unknown, string>())
              )
            const removed = own.map((actual): Found<Read, Write> => {
              const why = kept?.get(actual)
              if (why !== undefined) world.stay(resource, actual)
              return { resource, actual, why }
            })
            return [...removed, ...yield* mentioned(backend, policy, resource, cluster, world)]
          })),
        (found) => found.flat()
      ))
  })

/** Things of a kind that the cluster does not own and that a delete names. */
const mentioned = <Read, Write extends Read>(
  backend: Reader<Read, Write>,
  policy: Policy,
  resource: AnyResource<Read, Write>,
  cluster: ClusterName,
  world: Look
): Effect.Effect<ReadonlyArray<Found<Read, Write>>, CallFailure> =>
  resource.mention === undefined ? Effect.succeed([]) : Effect.map(
    guardedRead(
      "mention",
      readLimit(policy),
      () => resource.mention?.(backend.read, cluster, world) ?? Effect.succeed(new Map<unknown, string>())
    ),
    (found) => [...found].map(([actual, why]): Found<Read, Write> => ({ resource, actual, why }))
  )

/**
 * The waves of a node deletion. The requests of control planes go first if waves overlap, so that no controller in the
 * cluster creates nodes again. That costs no time.
 */
const nodeWaves = <Read, Write extends Read>(
  backend: Pick<AnyBackend<Read, Write>, "deletesControlPlanesLast" | "power">,
  nodes: ReadonlyArray<Member>
): ReadonlyArray<ReadonlyArray<Member>> => {
  const isControlPlane = ({ info }: Member) => info.role === "control-plane"
  const controlPlanes = nodes.filter(isControlPlane)
  const others = nodes.filter((node) => !isControlPlane(node))
  return backend.deletesControlPlanesLast?.(nodes.map(({ actual }) => actual)) === true
    ? [others, controlPlanes]
    : backend.power.waitsOverlap === true
    ? [controlPlanes, others]
    : [nodes]
}

/** Removes nodes that are listed. */
export const removeMembers = <Read, Write extends Read>(
  engine: Engine<Read, Write>,
  run: Run,
  nodes: ReadonlyArray<Member>
): Effect.Effect<void, CallFailure> =>
  Effect.gen(function*() {
    const { backend } = engine
    const kept = backend.node.keep === undefined || nodes.length === 0
      ? undefined
      : yield* guarded("keep", () =>
        backend.node.keep?.(backend.read, nodes.map(({ actual }) => actual), run.world) ??
          Effect.succeed(new Map<unknown, string>()))
    const [first = [], ...later] = nodeWaves<Read, Write>(backend, nodes)
    yield* run.wave("delete", first, subjectOfMember, (member, task) => {
      const why = kept?.get(member.actual)
      return why === undefined
        ? removeOne<Read, Write>(backend, backend.node, member.actual, task)
        : Effect.succeed(new Skipped({ reason: why }))
    }, { later, overlap: backend.power.waitsOverlap === true })
  })

/** A cluster to which something goes on adding nodes is not followed for ever. */
const rounds = 10

/** Adds the lists of one world to another one. */
const addAll = (world: Look, added: Look): void => {
  for (const kind of added.kinds) {
    const resource = kind as AnyResource<unknown>
    for (const actual of added.of<unknown>(resource)) world.add(resource, actual)
  }
}

const isGone = (run: Run, member: Member): boolean => {
  const tag = run.operation.outcomeOf(subjectOfMember(member))?._tag
  return tag === "Done" || tag === "AlreadyDone"
}

/** The operations whose things a delete removes, so that the records of their fates go as well. */
const operationsOf = <Read, Write extends Read>(
  kinds: ReadonlyArray<AnyResource<Read, Write>>,
  cluster: ClusterName,
  world: World
): ReadonlyArray<string> =>
  kinds.flatMap((resource) =>
    world.of<unknown>(resource).flatMap((actual) => {
      const owner = resource.owner(actual, world)
      return owner?.cluster === cluster ? owner.operation ?? [] : []
    })
  )

export const remove = <Read, Write extends Read>(
  engine: Engine<Read, Write>,
  run: Run
): Effect.Effect<void, CallFailure> =>
  Effect.gen(function*() {
    const { backend } = engine
    const { cluster, operation, policy } = run
    const kinds = kindsOf<Read, Write>(backend)
    const conditional = kinds.filter(({ concerns }) => concerns !== undefined)
    let nodes = yield* listMembers<Read, Write>(engine, run)
    const first = run.world
    const early = conditional.filter((kind) =>
      kind.isListedBeforeNodes === true && kind.concerns?.(cluster, first) === true
    )
    const before = yield* lookTolerant<Read, Write>(backend, policy, early, cluster)
    addAll(first, before.world)
    const seen = new Map(nodes.map((member) => [member.info.id, member]))
    if (backend.deleteCluster !== undefined) {
      const left = yield* onServer<Read, Write>(engine, run, nodes)
      if (left === undefined) return
      nodes = left
    }
    const rest = Effect.gen(function*() {
      // Nodes that the operation could not delete keep what they use.
      const always = kinds.filter((kind) => !conditional.includes(kind))
      const { errors, world } = yield* lookTolerant<Read, Write>(backend, policy, always, cluster, first)
      addAll(world, before.world)
      const late = conditional.filter((kind) => !early.includes(kind) && kind.concerns?.(cluster, world) === true)
      const last = yield* lookTolerant<Read, Write>(backend, policy, late, cluster)
      addAll(world, last.world)
      unlisted = [...errors, ...last.errors]
      for (const member of seen.values()) if (isGone(run, member)) world.leave(backend.node, member.actual)
      run.world = world
      return world
    })
    let world = first
    let unlisted: ReadonlyArray<CallFailure> = []
    for (let round = 0; round < rounds; round++) {
      for (const { actual } of nodes) run.world.leave(backend.node, actual)
      yield* removeMembers<Read, Write>(engine, run, nodes)
      for (const member of nodes) if (!isGone(run, member)) run.world.stay(backend.node, member.actual)
      // The report has everything that was done so far, so it must have a failed list, too.
      const now = yield* Effect.result(rest)
      if (now._tag === "Failure") return yield* operation.fail(asOperationError(run, now.failure))
      world = now.success
      nodes = (yield* members(backend.node, cluster, world)).filter(({ info }) => !seen.has(info.id))
        .sort((a, b) => byRoleThenName(a.info, b.info))
      if (nodes.length === 0) break
      for (const member of nodes) seen.set(member.info.id, member)
    }
    const others = removalWaves<Read, Write>(backend).map((wave) => wave.filter((kind) => kind !== backend.node))
    const waves = yield* Effect.result(removals<Read, Write>(backend, policy, cluster, world, others))
    if (waves._tag === "Failure") return yield* operation.fail(asOperationError(run, waves.failure))
    for (const wave of waves.success) {
      yield* run.wave(
        "delete",
        wave,
        ({ actual, resource }) => subjectOf(resource, actual),
        ({ actual, resource, why }, task) =>
          why === undefined
            ? removeOne<Read, Write>(backend, resource, actual, task)
            : Effect.succeed(new Skipped({ reason: why }))
      )
    }
    const strangers = yield* Effect.result(mentioned(backend, policy, backend.node, cluster, world))
    if (strangers._tag === "Failure") yield* operation.fail(asOperationError(run, strangers.failure))
    else {
      for (const { actual, resource, why } of strangers.success) {
        yield* operation.record(subjectOf(resource, actual), new Skipped({ reason: why ?? "" }))
      }
    }
    // Everything else was removed all the same.
    for (const error of [...before.errors, ...unlisted]) {
      yield* operation.fail(asOperationError(run, error))
    }
    yield* forgetFates(engine, run, [first, world])
  })

/** Deletes the cluster on the server. Returns the nodes that are left; undefined where nothing more may be removed. */
const onServer = <Read, Write extends Read>(
  engine: Engine<Read, Write>,
  run: Run,
  nodes: ReadonlyArray<Member>
): Effect.Effect<ReadonlyArray<Member> | undefined, CallFailure> =>
  Effect.gen(function*() {
    const { deleteCluster, write } = engine.backend
    const { operation, policy } = run
    const subject = { kind: "cluster", name: run.cluster } as const
    yield* operation.schedule(nodes.map(subjectOfMember))
    const outcome = yield* operation.settle(
      subject,
      policy.nodeTimeout.delete,
      Effect.map(
        guarded("deleteCluster", () =>
          deleteCluster?.(
            write,
            nodes.map(({ actual }) => actual),
            run.task(subject),
            (node, settled) => operation.record(subjectOf(engine.backend.node, node), settled)
          ) ?? Effect.void),
        (done) => done ?? undefined
      )
    )
    if (outcome?._tag === "Failed") {
      // The server still removes the rest of a cluster that could not be deleted.
      for (const member of nodes) {
        const node = subjectOfMember(member)
        if (operation.outcomeOf(node) !== undefined) continue
        yield* operation.record(node, new Failed({ error: operation.error(outcome.error.reason, node) }))
      }
      return undefined
    }
    const left = yield* Effect.result(listMembers<Read, Write>(engine, run))
    if (left._tag === "Failure") {
      yield* operation.fail(asOperationError(run, left.failure))
      return undefined
    }
    const still = new Set(left.success.map(({ info }) => info.id))
    for (const member of nodes) {
      const isSettled = operation.outcomeOf(subjectOfMember(member)) !== undefined
      if (!isSettled && !still.has(member.info.id)) yield* operation.record(subjectOfMember(member), new Done({}))
    }
    return left.success
  })

const forgetFates = <Read, Write extends Read>(
  { backend }: Engine<Read, Write>,
  run: Run,
  worlds: ReadonlyArray<Look>
): Effect.Effect<void> =>
  Effect.gen(function*() {
    const { fates } = backend
    const last = worlds.at(-1)
    if (fates?.known === undefined || last === undefined) return
    const known = fates.known(last)
    const operations = new Set(
      worlds.flatMap((world) => operationsOf<Read, Write>(kindsOf<Read, Write>(backend), run.cluster, world))
    )
    yield* Effect.forEach(
      [...operations].filter((operation) => known.has(operation)),
      (operation) => Effect.ignore(guarded("fates.forget", () => fates.forget(backend.write, operation))),
      { discard: true }
    )
  })

const asOperationError = (run: Run, error: CallFailure): CallFailure =>
  error._tag === "BackendError" ? run.operation.error(error.reason) : error

// -----------------------------------------------------------------------------
// Plan
// -----------------------------------------------------------------------------

/** The plan of a delete: the things that it would remove, and the things that it would leave with the reason. */
export const planDelete = <Read, Write extends Read>(
  backend: Reader<Read, Write>,
  policy: Policy,
  cluster: ClusterName
): Effect.Effect<Plan, CallFailure> =>
  Effect.gen(function*() {
    const kinds = kindsOf<Read, Write>(backend)
    const always = kinds.filter(({ concerns }) => concerns === undefined)
    const world = yield* lookForDelete<Read, Write>(backend, policy, always, cluster)
    yield* refuseAmbiguous<Read, Write>(backend, cluster, world)
    const concerned = kinds.filter((kind) => kind.concerns?.(cluster, world) === true)
    addAll(world, yield* lookForDelete<Read, Write>(backend, policy, concerned, cluster))
    const waves = removalWaves<Read, Write>(backend)
    const found = yield* removals<Read, Write>(backend, policy, cluster, world, waves)
    const roleOf = ({ actual, resource }: Found<Read, Write>) => {
      const { name } = resource.identity(actual)
      return resource === backend.node
        ? { role: (backend.node.info(actual, cluster, world) as NodeInfo).role, name }
        : { role: "helper" as const, name }
    }
    const steps = found.flatMap((wave, rank) =>
      [...wave].sort((a, b) => byRoleThenName(roleOf(a), roleOf(b))).map(({ actual, resource, why }) => {
        const { id, name } = resource.identity(actual)
        return new PlanStep({
          kind: resource.kind,
          name,
          ...(id === undefined || id === "" ? {} : { id }),
          action: why === undefined ? "delete" : "retain",
          ...(why === undefined ? {} : { why }),
          differences: [],
          wave: rank
        })
      })
    )
    return makePlan({
      backend: backend.backend,
      target: yield* guarded("target", () => backend.target),
      operation: "deleteNodes",
      clusterName: cluster,
      spec: { cluster },
      steps
    })
  })
