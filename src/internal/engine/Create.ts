/**
 * One operation that creates: it plans once, adopts, carries the plan out, checks the result, and undoes what it created
 * unless it succeeds.
 *
 * Requests that create something are never aborted, so that it is known what they created. The clean-up waits for those
 * in flight and has its own deadline.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import type { ClusterName } from "../../Model.ts"
import type { InvalidPlan, PlanAction, StalePlan } from "../../Plan.ts"
import { type InvalidSpec, type Leftover, NodesNotCreated, OperationTimeout } from "../../ProviderError.ts"
import { Conflict, type Reason } from "../../Reason.ts"
import { AlreadyDone, Done, type OperationName, type OperationReport } from "../../Report.ts"
import type { AnyResource, CallFailure, Fate, Want } from "../../Resource.ts"
import { failWith } from "../Method.ts"
import * as Operation from "../Operation.ts"
import { asCallFailure, carryOut, finalCheck, recordFailure } from "./CarryOut.ts"
import { type Created, hasNoReply, makeCreated } from "./Created.ts"
import { adopt, type CreateContext } from "./CreateOne.ts"
import { diff, type DiffOptions, type Item, refusalOf } from "./Diff.ts"
import { type Engine, PolicyInForce } from "./Engine.ts"
import { guarded } from "./Guard.ts"
import { explains, kindsOf, type Look, look, ofCluster, refuseAmbiguous, subjectOf } from "./Look.ts"
import { removeOne } from "./Remove.ts"
import { makeRun, type Run } from "./Run.ts"
import { forgetFates, pacing, removalWaves, undo, whatRemains } from "./Undo.ts"

export interface CreateOptions<Read, Write extends Read> {
  readonly name: OperationName
  readonly cluster: ClusterName
  readonly onFailure: "remove" | "keep"
  /** The kinds that are listed. */
  readonly kinds: ReadonlyArray<AnyResource<Read, Write>>
  readonly wants: (world: Look) => Effect.Effect<ReadonlyArray<Want<Read, Write>>, InvalidSpec | CallFailure>
  readonly diff: Omit<DiffOptions, "cluster" | "world" | "fates">
  /** The actions that are refused before any write. */
  readonly refuses: ReadonlyArray<PlanAction>
  /** Nodes of addNodes: names that something else has taken are passed over, and others are tried. */
  readonly adds?: (
    world: Look,
    lost: ReadonlyArray<Item<Read, Write>>,
    taken: ReadonlySet<string>
  ) => Effect.Effect<ReadonlyArray<Want<Read, Write>>, InvalidSpec | CallFailure>
  /** Runs after everything was created and checked. */
  readonly afterwards?: (run: Run, items: ReadonlyArray<Item<Read, Write>>) => Effect.Effect<void, CallFailure>
}

export interface Planned<Read, Write extends Read> {
  readonly world: Look
  readonly items: ReadonlyArray<Item<Read, Write>>
}

/** Checks the plan before it is carried out. A failure ends the operation, and nothing was sent. */
export type Check<Read, Write extends Read> = (
  planned: Planned<Read, Write>
) => Effect.Effect<void, StalePlan | InvalidPlan | CallFailure>

type CreateError = InvalidSpec | NodesNotCreated | OperationTimeout | CallFailure

/** The fates of operations: those that the backend shows, and those that this one has decided. */
const fatesIn = <Read, Write extends Read>(
  { fates }: Engine<Read, Write>["backend"],
  world: Look,
  decided: ReadonlyMap<string, Fate>
): ReadonlyMap<string, Fate> => new Map([...fates?.known?.(world) ?? [], ...decided])

/** Those of some operations that may still be undone. */
const stillOpen = <Read, Write extends Read>(
  { backend, hasFinished }: Engine<Read, Write>,
  run: Run,
  world: Look,
  decided: ReadonlyMap<string, Fate>,
  operations: ReadonlyArray<string>
): ReadonlyArray<string> => {
  const fates = fatesIn<Read, Write>(backend, world, decided)
  return [...new Set(operations)].filter((operation) =>
    operation !== run.mark.operation && !fates.has(operation) && !hasFinished(operation)
  )
}

/** Lists and compares. Sends no write. */
const planOnce = <Read, Write extends Read>(
  { backend }: Engine<Read, Write>,
  run: Run,
  options: CreateOptions<Read, Write>,
  fates: ReadonlyMap<string, Fate>
): Effect.Effect<Planned<Read, Write>, InvalidSpec | CallFailure> =>
  Effect.gen(function*() {
    const { cluster } = options
    const world = yield* look<Read, Write>(backend, run.policy, options.kinds, undefined)
    yield* refuseAmbiguous<Read, Write>(backend, cluster, world)
    const wants = yield* options.wants(world)
    const known = fatesIn<Read, Write>(backend, world, fates)
    return { world, items: diff<Read, Write>(backend, wants, { ...options.diff, cluster, world, fates: known }) }
  })

const refusal = <Read, Write extends Read>(
  options: CreateOptions<Read, Write>,
  items: ReadonlyArray<Item<Read, Write>>
): Reason | undefined => refusalOf(options.cluster, items.map(({ step }) => step), options.refuses)

/**
 * Plans, and waits while a thing in the way is still being created by another operation, or still being removed. A
 * removal may take things of the cluster with it, so nothing is created before its end.
 */
const planPatiently = <Read, Write extends Read>(
  engine: Engine<Read, Write>,
  run: Run,
  options: CreateOptions<Read, Write>,
  fates: ReadonlyMap<string, Fate>
): Effect.Effect<Planned<Read, Write>, InvalidSpec | CallFailure> =>
  Effect.gen(function*() {
    const pace = yield* pacing(run.policy)
    const until = (yield* Clock.currentTimeMillis) + Duration.toMillis(run.policy.nodeTimeout.create)
    while (true) {
      const planned = yield* planOnce(engine, run, options, fates)
      const isPending = planned.items.some(({ isUnfinished, obstacle, resource, step }) =>
        step.holder === undefined &&
        (isUnfinished
          ? options.refuses.includes(step.action)
          : obstacle !== undefined && resource.isGoing?.(obstacle) === true)
      )
      if (!isPending || (yield* Clock.currentTimeMillis) >= until) return planned
      const delay = yield* pace
      if (Option.isNone(delay)) return planned
      yield* Effect.sleep(delay.value)
    }
  })

/** The operations of others whose things this one uses and that may still be undone. */
const undecided = <Read, Write extends Read>(
  engine: Engine<Read, Write>,
  run: Run,
  { items, world }: Planned<Read, Write>,
  decided: ReadonlyMap<string, Fate>
): ReadonlyArray<string> => {
  const operations = items.flatMap(({ actual, owner }) =>
    actual !== undefined && owner?.cluster === run.cluster && owner.isFinished !== true ? owner.operation ?? [] : []
  )
  return stillOpen<Read, Write>(engine, run, world, decided, operations)
}

/** The operations whose things added nodes would depend on, and that may still be undone. */
const undecidedBelow = <Read, Write extends Read>(
  engine: Engine<Read, Write>,
  run: Run,
  world: Look,
  decided: ReadonlyMap<string, Fate>
): ReadonlyArray<string> => {
  const operations = kindsOf<Read, Write>(engine.backend).flatMap((resource) =>
    world.of<unknown>(resource).flatMap((actual) => {
      const owner = resource.owner(actual, world)
      const isBelow = owner?.cluster === run.cluster && owner.isFinished !== true && owner.added !== true
      return isBelow ? owner.operation ?? [] : []
    })
  )
  return stillOpen<Read, Write>(engine, run, world, decided, operations)
}

/**
 * Decides that the resources of a cluster stay before nodes are added to it. Otherwise the create that created its
 * network could undo it after the new nodes have joined.
 */
export const adoptBelow = <Read, Write extends Read>(
  context: CreateContext<Read, Write>,
  world: Look
): Effect.Effect<void, CallFailure> =>
  context.engine.backend.fates === undefined ? Effect.void : Effect.gen(function*() {
    const { engine, fates, run } = context
    yield* Effect.forEach(
      undecidedBelow<Read, Write>(engine, run, world, fates),
      (operation) => adopt(context, operation),
      { discard: true }
    )
    // A later create removes these remains. It could not remove a network that a new node has joined.
    if (undoneIn<Read, Write>(engine, run, world, fates).length > 0) {
      const detail = "a create of this cluster was undone and left things behind; run createNodes or deleteNodes first"
      return yield* failWith(new Conflict({ detail }))
    }
  })

interface Undone<Read, Write extends Read> {
  readonly resource: AnyResource<Read, Write>
  readonly actual: unknown
}

/** The remains of operations that were undone. They have no owner. */
const undoneIn = <Read, Write extends Read>(
  { backend }: Engine<Read, Write>,
  run: Run,
  world: Look,
  decided: ReadonlyMap<string, Fate>
): ReadonlyArray<Undone<Read, Write>> => {
  const fates = fatesIn<Read, Write>(backend, world, decided)
  return kindsOf<Read, Write>(backend).flatMap((resource) =>
    world.of<unknown>(resource).flatMap((actual) => {
      const owner = resource.owner(actual, world)
      const isUndone = owner?.cluster === run.cluster && owner.operation !== undefined &&
        fates.get(owner.operation) === "undone"
      return isUndone ? [{ resource, actual }] : []
    })
  )
}

/** Removes what a roll-back has left half way, in falling order. */
const removeUndone = <Read, Write extends Read>(
  { engine: { backend }, run }: CreateContext<Read, Write>,
  undone: ReadonlyArray<Undone<Read, Write>>
): Effect.Effect<void, CallFailure> =>
  Effect.forEach(
    removalWaves<Read, Write>(backend),
    (kinds) =>
      Effect.forEach(undone.filter(({ resource }) => kinds.includes(resource)), ({ actual, resource }) => {
        const { name } = resource.identity(actual)
        return removeOne<Read, Write>(backend, resource, actual, run.task({ kind: resource.kind, name }))
      }, { concurrency: run.policy.concurrency.delete, discard: true }),
    { discard: true }
  )

/** How often the plan is created again after a decision about another operation. */
const adoptionRounds = 5

/** The plan that is carried out: nothing of it can be undone by another operation. */
const adoptedPlan = <Read, Write extends Read>(
  context: CreateContext<Read, Write>,
  options: CreateOptions<Read, Write>,
  check: Check<Read, Write>
): Effect.Effect<Planned<Read, Write>, StalePlan | InvalidPlan | InvalidSpec | CallFailure> =>
  Effect.gen(function*() {
    const { engine, fates, run } = context
    for (let round = 0;; round++) {
      const planned = yield* planPatiently(engine, run, options, fates)
      const reason = refusal(options, planned.items)
      if (reason !== undefined) return yield* failWith(reason)
      if (round === 0) yield* check(planned)
      const others = engine.backend.fates === undefined
        ? []
        : context.adopts
        ? undecided(engine, run, planned, fates)
        : undecidedBelow<Read, Write>(engine, run, planned.world, fates)
      const undone = undoneIn(engine, run, planned.world, fates)
      if ((others.length === 0 && undone.length === 0) || round === adoptionRounds) return planned
      yield* Effect.forEach(others, (operation) => adopt(context, operation), { discard: true })
      yield* removeUndone(context, undone)
    }
  })

/**
 * Removes the records of fates that are not needed any more: that of this operation, which has succeeded, and those of
 * operations whose things this one has finished. Their things say so themselves, where the backend knows it.
 */
const forgetFinished = <Read, Write extends Read>(
  { engine: { backend }, fates: decided, run }: CreateContext<Read, Write>
): Effect.Effect<void> => {
  const { fates, write } = backend
  const known = fates?.known?.(run.world)
  if (fates === undefined || known === undefined) return Effect.void
  const isFinished = (operation: string) =>
    kindsOf<Read, Write>(backend).every((resource) =>
      run.world.of<unknown>(resource).every((actual) => {
        const owner = resource.owner(actual, run.world)
        return owner?.operation !== operation || owner.isFinished !== undefined
      })
    )
  const operations = [run.mark.operation, ...[...decided.keys()].filter(isFinished)]
  return Effect.forEach(
    operations.filter((operation) => known.has(operation)),
    (operation) => Effect.ignore(guarded("fates.forget", () => fates.forget(write, operation))),
    { discard: true }
  )
}

const warnOfLeftovers = (cluster: ClusterName, leftovers: ReadonlyArray<Leftover>): Effect.Effect<void> =>
  leftovers.length === 0
    ? Effect.void
    : Effect.logWarning(
      `a create of cluster ${cluster} did not end and left behind:`,
      ...leftovers.map((left) => `${left.kind} ${left.name}: ${left.why}`)
    )

/** Marks what this operation created, or took over, as finished. */
const finish = <Read, Write extends Read>(
  { engine: { backend }, run }: CreateContext<Read, Write>,
  world: Look
): Effect.Effect<void, CallFailure> =>
  Effect.forEach(
    [...world.kinds] as ReadonlyArray<AnyResource<Read, Write>>,
    (resource) =>
      Effect.forEach(
        world.of<unknown>(resource).filter((actual) =>
          resource.needsFinish?.(actual) === true && resource.owner(actual, world)?.cluster === run.cluster
        ),
        (actual) => {
          const { name } = resource.identity(actual)
          return guarded(
            "finish",
            () => resource.finish?.(backend.write, actual, run.task({ kind: resource.kind, name })) ?? Effect.void
          )
        },
        { concurrency: run.policy.concurrency.create, discard: true }
      ),
    { discard: true }
  )

/** Takes over what another operation has left unfinished. */
const claim = <Read, Write extends Read>(
  { engine: { backend }, run }: CreateContext<Read, Write>,
  items: ReadonlyArray<Item<Read, Write>>
): Effect.Effect<void, CallFailure> =>
  Effect.forEach(
    items.filter(({ actual, resource }) =>
      actual !== undefined && resource.claim !== undefined && resource.needsFinish?.(actual) === true
    ),
    ({ actual, resource, step }) =>
      guarded("claim", () =>
        resource.claim?.(backend.write, actual, run.task({ kind: step.kind, name: step.name })) ?? Effect.void),
    { concurrency: run.policy.concurrency.create, discard: true }
  )

/** Waits until the cluster is ready, where the backend decides that. Nodes that no step has are recorded as they run. */
const awaitReady = <Read, Write extends Read>(
  { adopts, engine: { backend }, run }: CreateContext<Read, Write>,
  before: Look,
  present: ReadonlyArray<unknown>
): Effect.Effect<void> => {
  const { awaitCluster } = backend
  if (awaitCluster === undefined) return Effect.void
  const { cluster, operation, policy } = run
  const idOf = (node: unknown) => subjectOf(backend.node, node).id
  const planned = new Set(present.map(idOf))
  const known = new Set(ofCluster(backend.node, cluster, before).map(idOf))
  const subject = { kind: "cluster", name: cluster } as const
  return Effect.asVoid(operation.settle(
    subject,
    policy.nodeTimeout.create,
    Effect.as(
      guarded("awaitCluster", () =>
        awaitCluster(backend.read, run.task(subject), (node) => {
          const found = subjectOf(backend.node, node)
          // An add is about its own nodes only.
          const isOther = planned.has(found.id) || (!adopts && known.has(found.id))
          return isOther || operation.outcomeOf(found) !== undefined
            ? Effect.void
            : operation.record(found, known.has(found.id) ? new AlreadyDone({}) : new Done({}))
        })),
      undefined
    )
  ))
}

/** How many times other names are tried for nodes of an add. */
const addRounds = 20

const carryOutAll = <Read, Write extends Read>(
  context: CreateContext<Read, Write>,
  options: CreateOptions<Read, Write>,
  planned: Planned<Read, Write>
): Effect.Effect<void, InvalidSpec | CallFailure> =>
  Effect.gen(function*() {
    const { engine: { backend }, run } = context
    run.world = planned.world
    yield* claim(context, planned.items)
    const isWanted = ({ wanted }: Item<Read, Write>) => wanted !== undefined
    let items = planned.items.filter(isWanted)
    const all = [...items]
    const taken = new Set<string>()
    const nodes: Array<unknown> = []
    for (let round = 0;; round++) {
      const { passedOver, present } = yield* carryOut<Read, Write>(context, items)
      nodes.push(...present.flatMap(({ actual, item }) => item.resource === backend.node ? [actual] : []))
      if (passedOver.length === 0 || options.adds === undefined) break
      for (const { step } of passedOver) taken.add(step.name)
      if (round === addRounds) {
        const detail = `other creates took every free name, ${addRounds} times in a row`
        return yield* failWith(new Conflict({ detail }))
      }
      const world = yield* look<Read, Write>(backend, run.policy, options.kinds, undefined, run.world)
      run.world = world
      const wants = yield* options.adds(world, passedOver, taken)
      items = diff<Read, Write>(backend, wants, { ...options.diff, cluster: options.cluster, world }).filter((item) =>
        isWanted(item) && (item.step.action === "create" || !all.some(({ step }) => step.name === item.step.name))
      )
      for (const item of passedOver) all.splice(all.indexOf(item), 1)
      all.push(...items)
    }
    if ((yield* run.operation.report).isFailure) return
    yield* awaitReady(context, planned.world, nodes)
    if ((yield* run.operation.report).isFailure) return
    if (!run.hasSent) return
    const world = yield* finalCheck<Read, Write>(context, all, { ...options.diff, cluster: options.cluster })
    if ((yield* run.operation.report).isFailure) return
    run.isFinishing = true
    yield* finish(context, world)
  })

/** Carries a create out. */
export const create = <Read, Write extends Read>(
  engine: Engine<Read, Write>,
  options: CreateOptions<Read, Write>
): Effect.Effect<OperationReport, CreateError> =>
  // Without a check there is nothing that makes a plan stale.
  createChecked(engine, options, () => Effect.void) as Effect.Effect<OperationReport, CreateError>

/** Carries a create out after a check of its plan. */
export const createChecked = <Read, Write extends Read>(
  engine: Engine<Read, Write>,
  options: CreateOptions<Read, Write>,
  check: Check<Read, Write>
): Effect.Effect<OperationReport, CreateError | StalePlan | InvalidPlan> =>
  Effect.scoped(Effect.gen(function*() {
    const { backend } = engine
    const policy = yield* PolicyInForce
    const { cluster } = options
    const run = yield* makeRun({
      provider: backend.backend,
      name: options.name,
      cluster,
      policy,
      world: emptyLook,
      creates: true,
      added: options.adds !== undefined,
      ...explains<Read, Write>(backend)
    })
    const created = yield* makeCreated(backend.mayStillHappen ?? hasNoReply)
    run.sender = created.send
    const context: CreateContext<Read, Write> = {
      engine,
      run,
      created,
      fates: new Map(),
      adopts: options.adds === undefined
    }
    return yield* unlessUndone(context, options, created, check)
  }))

const emptyLook: Look = {
  kinds: new Set(),
  of: () => [],
  named: () => undefined,
  isLeaving: () => false,
  get earlier() {
    return emptyLook
  },
  add: () => undefined,
  remove: () => undefined,
  leave: () => undefined,
  stay: () => undefined
}

/** After a roll-back, the decisions about operations of which nothing is left either. */
const forgetAdopted = <Read, Write extends Read>(
  { engine: { backend }, fates, run }: CreateContext<Read, Write>
): Effect.Effect<void> =>
  fates.size === 0
    ? Effect.void
    : look<Read, Write>(backend, run.policy, kindsOf<Read, Write>(backend), undefined).pipe(
      Effect.flatMap((world) => forgetFates<Read, Write>(backend, fates.keys(), world)),
      Effect.ignore
    )

const unlessUndone = <Read, Write extends Read>(
  context: CreateContext<Read, Write>,
  options: CreateOptions<Read, Write>,
  created: Created,
  check: Check<Read, Write>
): Effect.Effect<OperationReport, CreateError | StalePlan | InvalidPlan, Scope.Scope> =>
  Effect.gen(function*() {
    const { engine: { backend, setFinished }, run } = context
    const { operation, policy } = run
    let isClean = false
    const left = new Map<string, Leftover>()

    const cleanUp = Effect.suspend(() =>
      Effect.andThen(
        created.awaitReplies,
        Effect.suspend(() =>
          !created.isAny()
            ? Effect.succeed([])
            : options.onFailure === "keep"
            ? whatRemains<Read, Write>(backend, run, created, "kept, as `onFailure` requests")
            : Effect.tap(
              undo<Read, Write>(backend, run, created, left),
              () => forgetAdopted(context)
            )
        )
      )
    ).pipe(
      Effect.tap(() => Effect.sync(() => void (isClean = true))),
      Effect.timeoutOrElse({
        duration: policy.cleanupTimeout,
        orElse: () =>
          Effect.sync(() => {
            isClean = true
            return left.size > 0
              ? [...left.values()]
              : created.all().map((subject): Leftover => ({ ...subject, why: "the time for the clean-up was over" }))
          })
      }),
      // The requests of the clean-up end with it.
      (self) =>
        Effect.suspend(() => {
          run.sender = (_, request) => request
          return self
        })
    )

    const body = Effect.gen(function*() {
      const planned = yield* adoptedPlan(context, options, check)
      yield* carryOutAll(context, options, planned)
      const report = yield* operation.report
      if (report.isFailure) return yield* new NodesNotCreated({ report, leftovers: [] })
      setFinished(run.mark.operation)
      yield* forgetFinished(context)
      if (options.afterwards !== undefined) yield* options.afterwards(run, planned.items)
      return yield* operation.report
    })

    return yield* Operation.bounded(operation)(body).pipe(
      Effect.catch((error) =>
        Effect.gen(function*() {
          if (error._tag === "StalePlan" || error._tag === "InvalidPlan") return yield* Effect.fail(error)
          // Nothing was sent, so there is nothing to report but the error.
          if (!run.hasSent && error._tag !== "NodesNotCreated") return yield* Effect.fail(error)
          if (error._tag === "InvalidSpec") yield* recordFailure(run, asCallFailure(run, error))
          if (error._tag === "BackendError" || error._tag === "ProviderUnavailable") yield* recordFailure(run, error)
          const leftovers = yield* cleanUp
          const report = yield* operation.report
          if (error._tag !== "OperationTimeout") return yield* new NodesNotCreated({ report, leftovers })
          yield* warnOfLeftovers(run.cluster, leftovers)
          // The report of now also says what was removed again.
          return yield* new OperationTimeout({ ...error, report })
        })
      ),
      Effect.onExit((exit) =>
        Exit.isFailure(exit) && !isClean && created.isAny()
          ? Effect.flatMap(cleanUp, (leftovers) => warnOfLeftovers(run.cluster, leftovers))
          : Effect.void
      )
    )
  })
