/**
 * Carries out the creating steps of a plan: creates, repairs, updates and starts, in rising order, and the list at the
 * end that decides success. Failures are outcomes of the run.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { NodeInfo } from "../../Model.ts"
import type { Subject } from "../../Progress.ts"
import type { InvalidSpec } from "../../ProviderError.ts"
import { BackendError, InvalidInput, NotFoundError, ServerFault } from "../../Reason.ts"
import { AlreadyDone, Done, Failed, type Outcome, Skipped } from "../../Report.ts"
import type { AnyResource, CallFailure, Task } from "../../Resource.ts"
import * as Operation from "../Operation.ts"
import { type CreateContext, createOne } from "./CreateOne.ts"
import { diff, type DiffOptions, type Item } from "./Diff.ts"
import { guarded, guardedOutcome } from "./Guard.ts"
import { type Look, look, subjectOf } from "./Look.ts"
import { controlPlaneWaves, failUnstable } from "./Power.ts"
import { pacing } from "./Undo.ts"

const done = new Done({})
const alreadyDone = new AlreadyDone({})

/** A new thing has no id yet, so everything of a create goes by its name. */
export const subjectOfItem = ({ step: { kind, name } }: { readonly step: Item["step"] }): Subject => ({ kind, name })

interface Present<Read, Write extends Read> {
  readonly item: Item<Read, Write>
  readonly wanted: unknown
  actual: unknown
  /** This operation created it. */
  readonly isNew: boolean
  /** Something of it was changed. */
  readonly isChanged: boolean
}

export interface Carried<Read, Write extends Read> {
  /** Everything that exists by now, of what was wanted. */
  readonly present: ReadonlyArray<Present<Read, Write>>
  /** The names that an add passed over. */
  readonly passedOver: ReadonlyArray<Item<Read, Write>>
}

const hasFailed = ({ run }: { readonly run: CreateContext<unknown, unknown>["run"] }): Effect.Effect<boolean> =>
  Effect.map(run.operation.report, (report) => report.failed.length > 0 || (report.errors ?? []).length > 0)

/** An `InvalidSpec` that comes after the first write is a refusal of a value. */
export const asCallFailure = (
  run: CreateContext<unknown, unknown>["run"],
  error: InvalidSpec | CallFailure
): CallFailure =>
  error._tag === "InvalidSpec" ? run.operation.error(new InvalidInput({ detail: error.message })) : error

/** The allocations for the missing things of one kind. */
const prepared = <Read, Write extends Read>(
  { engine: { backend }, run }: CreateContext<Read, Write>,
  items: ReadonlyArray<Item<Read, Write>>
): Effect.Effect<ReadonlyMap<Item<Read, Write>, unknown>, CallFailure> =>
  Effect.gen(function*() {
    const wanted = new Map<Item<Read, Write>, unknown>()
    for (const resource of new Set(items.map((item) => item.resource))) {
      const missing = items.filter((item) => item.resource === resource)
      const [first] = missing
      if (resource.prepare === undefined || first === undefined) continue
      const allocated = yield* guarded(
        "prepare",
        () =>
          resource.prepare?.(backend.write, missing.map((item) => item.wanted), run.task(subjectOfItem(first))) ??
            Effect.succeed([])
      ).pipe(Effect.mapError((error) => asCallFailure(run, error)))
      missing.forEach((item, index) => wanted.set(item, allocated[index] ?? item.wanted))
    }
    return wanted
  })

const isNodeItem = <Read, Write extends Read>(context: CreateContext<Read, Write>, { resource }: Item<Read, Write>) =>
  resource === context.engine.backend.node

/** The info of a node that exists. */
const infoOf = <Read, Write extends Read>(
  { engine: { backend }, run }: CreateContext<Read, Write>,
  actual: unknown
): NodeInfo => backend.node.info(actual, run.cluster, run.world)

/** Finishes an adopted thing that another create has not finished. Returns whether anything was missing. */
const repairAdopted = <Read, Write extends Read>(
  { engine: { backend }, run }: CreateContext<Read, Write>,
  { resource }: Item<Read, Write>,
  wanted: unknown,
  actual: unknown,
  task: Task
): Effect.Effect<boolean, CallFailure> => {
  const { repair } = resource
  const lacking = resource.isShared?.(wanted) === true
    ? []
    : resource.diff(wanted, actual, run.world).filter(({ remedy }) => remedy === "repair")
  return repair === undefined || lacking.length === 0
    ? Effect.succeed(false)
    : Effect.as(guarded("repair", () => repair(backend.write, wanted, actual, lacking, task)), true)
}

/** The step of one item, up to a node's start. Undefined where a node goes on to its start. */
const act = <Read, Write extends Read>(
  context: CreateContext<Read, Write>,
  item: Item<Read, Write>,
  wanted: unknown,
  task: Task,
  keep: (present: Present<Read, Write>) => void,
  passOver: (item: Item<Read, Write>) => void
): Effect.Effect<Outcome | undefined, CallFailure> =>
  Effect.gen(function*() {
    const { engine: { backend }, run } = context
    const { resource, step } = item
    const settle = (actual: unknown) =>
      resource.settle === undefined
        ? Effect.succeed(actual)
        : Effect.map(
          task.waiting(
            "it is not ready yet",
            guarded("settle", () => resource.settle?.(backend.read, actual, task) ?? Effect.void)
          ),
          (settled: unknown) => settled ?? actual
        )
    if (step.action === "create") {
      const creation = yield* createOne<Read, Write>(context, item, wanted, task)
      if (creation._tag === "PassedOver") {
        passOver(item)
        return undefined
      }
      run.world.add(resource, creation.actual)
      const actual = yield* settle(creation.actual)
      run.world.add(resource, actual)
      const isNew = creation._tag === "Created"
      const isRepaired = isNew ? false : yield* repairAdopted(context, item, wanted, actual, task)
      keep({ item, wanted, actual, isNew, isChanged: isNew || isRepaired })
      return isNodeItem(context, item) ? undefined : isNew ? done : alreadyDone
    }
    const differences = (remedy: string) => step.differences.filter((difference) => difference.remedy === remedy)
    let isChanged = false
    for (const remedy of ["repair", "update"] as const) {
      const [some, change] = [differences(remedy), resource[remedy]]
      if (some.length === 0 || change === undefined || step.action === "start") continue
      run.hasSent = true
      yield* guarded(remedy, () => change(backend.write, wanted, item.actual, some, task))
      isChanged = true
    }
    const actual = item.isUnfinished ? yield* settle(item.actual) : item.actual
    if (actual !== item.actual) run.world.add(resource, actual)
    keep({ item, wanted, actual, isNew: false, isChanged })
    return isNodeItem(context, item) ? undefined : isChanged ? done : alreadyDone
  })

/** Starts the nodes that do not run: control planes first. */
const startNodes = <Read, Write extends Read>(
  context: CreateContext<Read, Write>,
  nodes: ReadonlyArray<Present<Read, Write>>
): Effect.Effect<void> =>
  Effect.gen(function*() {
    const { engine: { backend }, run } = context
    const isControlPlane = ({ actual }: Present<Read, Write>) => infoOf(context, actual).role === "control-plane"
    const [controlPlanes, others] = [nodes.filter(isControlPlane), nodes.filter((node) => !isControlPlane(node))]
    const [head = [], ...rest] = [...controlPlaneWaves(backend.power, controlPlanes), others]
    yield* run.wave("create", head, ({ item }) => subjectOfItem(item), (node, task) => {
      const { actual, isChanged, isNew, item, wanted } = node
      if (infoOf(context, actual).state === "running") return Effect.succeed(isChanged ? done : alreadyDone)
      const { startNew } = item.resource
      run.hasSent = true
      if (isNew && startNew !== undefined) {
        return Effect.map(
          guarded("startNew", () => startNew(backend.write, wanted, actual, task)),
          (started: unknown): Outcome => {
            if (started !== undefined && started !== null) {
              run.world.remove(item.resource, actual)
              run.world.add(item.resource, started)
              node.actual = started
            }
            return done
          }
        )
      }
      return Effect.map(
        guardedOutcome("power.start", () => backend.power.start(backend.write, actual, task)),
        (outcome) => isNew && outcome._tag === "AlreadyDone" ? done : outcome
      )
    }, {
      later: rest,
      overlap: backend.power.waitsOverlap === true,
      width: run.policy.concurrency.start
    })
  })

/** Carries out the steps of the items, in rising order. */
export const carryOut = <Read, Write extends Read>(
  context: CreateContext<Read, Write>,
  items: ReadonlyArray<Item<Read, Write>>
): Effect.Effect<Carried<Read, Write>, CallFailure> =>
  Effect.gen(function*() {
    const { run } = context
    const present: Array<Present<Read, Write>> = []
    const passedOver: Array<Item<Read, Write>> = []
    const waves = [...new Set(items.map(({ step }) => step.wave))].sort((a, b) => a - b)
    yield* run.operation.schedule(items.map(subjectOfItem))
    for (const wave of waves) {
      const inWave = items.filter(({ step }) => step.wave === wave)
      if (yield* hasFailed(context)) {
        for (const item of inWave) {
          const exists = item.step.action !== "create"
          yield* run.operation.record(
            subjectOfItem(item),
            exists ? alreadyDone : new Skipped({ reason: "something that it needs was not created" })
          )
        }
        continue
      }
      const allocated = yield* prepared<Read, Write>(context, inWave.filter(({ step }) => step.action === "create"))
      yield* run.wave("create", inWave, subjectOfItem, (item, task) =>
        act<Read, Write>(
          context,
          item,
          allocated.get(item) ?? item.wanted,
          task,
          (found) => present.push(found),
          (passed) => passedOver.push(passed)
        ))
      for (const item of passedOver) yield* run.operation.forget(subjectOfItem(item))
      const nodes = present.filter(({ item }) => isNodeItem(context, item) && inWave.includes(item))
        .sort((a, b) => inWave.indexOf(a.item) - inWave.indexOf(b.item))
      if (nodes.length === 0) continue
      if (yield* hasFailed(context)) {
        // The operation fails as a whole, so a start would only be undone.
        for (const { isNew, item } of nodes) {
          yield* run.operation.record(subjectOfItem(item), isNew ? done : alreadyDone)
        }
      } else {
        yield* startNodes<Read, Write>(context, nodes)
      }
    }
    for (const found of present) {
      const subject = subjectOfItem(found.item)
      const outcome = run.operation.outcomeOf(subject)
      const { id, name } = subjectOf(found.item.resource, found.actual)
      if (outcome !== undefined && id !== undefined) yield* run.operation.identify(subject, id, name)
    }
    if (!(yield* hasFailed(context))) {
      const started = present.filter(({ isNew, item }) => isNew && isNodeItem(context, item))
      yield* failUnstable<Read, Write>(
        context.engine,
        run,
        started.map(({ actual, item }) => ({ node: actual, wasRunning: false, subject: subjectOfItem(item) }))
      )
    }
    return { present, passedOver }
  })

// -----------------------------------------------------------------------------
// Final check
// -----------------------------------------------------------------------------

/** Lists that a slow replica may answer without what was created before. */
const staleRounds = 5

const failure = <Read, Write extends Read>(
  context: CreateContext<Read, Write>,
  { resource, step }: Item<Read, Write>,
  now: Item<Read, Write> | undefined,
  seen: unknown
): Effect.Effect<BackendError | undefined, CallFailure> =>
  Effect.gen(function*() {
    const { engine: { backend }, run } = context
    const subject: Subject = { kind: step.kind, name: step.name }
    if (now?.step.action === "unchanged") return undefined
    if (now === undefined || now.actual === undefined) {
      return run.operation.error(new NotFoundError({ detail: "something else removed it in the meantime" }), subject)
    }
    if (now.step.action === "start") {
      const { whyNotRunning } = backend.power
      const reason = whyNotRunning === undefined
        ? new ServerFault({ detail: `it was started and is ${infoOf(context, seen).rawState} now` })
        : yield* guarded("power.whyNotRunning", () => whyNotRunning(backend.read, seen, run.task(subject)))
      return run.operation.error(reason, subject)
    }
    const differences = now.step.differences.map(String).join(", ")
    const why = now.step.why ?? `it is not as requested: ${differences}`
    return run.operation.error(new ServerFault({ detail: `${resource.kind} ${step.name}: ${why}` }), subject)
  })

/**
 * Lists once more if anything was sent. Everything that is not as requested by then is Failed. Returns the last list.
 */
export const finalCheck = <Read, Write extends Read>(
  context: CreateContext<Read, Write>,
  items: ReadonlyArray<Item<Read, Write>>,
  options: Omit<DiffOptions, "world">
): Effect.Effect<Look, CallFailure> =>
  Effect.gen(function*() {
    const { engine: { backend }, run } = context
    const kinds = [...run.world.kinds] as ReadonlyArray<AnyResource<Read, Write>>
    const wants = items.map(({ resource, wanted }) => ({ resource, wanted }))
    const pace = yield* pacing(run.policy)
    for (let round = 1;; round++) {
      const world = yield* look<Read, Write>(backend, run.policy, kinds, undefined, run.world)
      const now = diff<Read, Write>(backend, wants, { ...options, world, ignoresSurplus: true })
      // If one list has a thing and another does not, list again.
      const isStale = now.some(({ actual, resource }, index) =>
        actual === undefined && isKnown(run.world, resource, items[index])
      )
      const isStarting = now.some((item) =>
        isNodeItem(context, item) && item.step.action === "start" && item.actual !== undefined &&
        ["creating", "starting"].includes(infoOf(context, item.actual).state)
      )
      // A backend may carry out some seconds later what it has accepted.
      const isSettling = now.some(({ step }) => step.action === "repair")
      if ((isStale || isStarting || isSettling) && round < staleRounds) {
        const delay = yield* pace
        if (Option.isSome(delay)) {
          yield* Effect.sleep(delay.value)
          continue
        }
      }
      yield* Effect.forEach(items, (item, index) =>
        Effect.gen(function*() {
          const subject = subjectOfItem(item)
          if (run.operation.outcomeOf(subject)?._tag === "Failed") return
          const seen = now[index]
          const error = yield* failure<Read, Write>(context, item, seen, seen?.actual)
          if (error !== undefined) yield* run.operation.record(subject, new Failed({ error }))
        }), { discard: true })
      run.world = world
      return world
    }
  })

const isKnown = <Read, Write extends Read>(
  world: Look,
  resource: AnyResource<Read, Write>,
  item: Item<Read, Write> | undefined
): boolean =>
  item !== undefined && world.of<unknown>(resource).some((actual) => resource.identity(actual).name === item.step.name)

/** The error of a call that ended an operation, as its outcome. */
export const recordFailure = (
  run: CreateContext<unknown, unknown>["run"],
  error: CallFailure
): Effect.Effect<void> =>
  error instanceof BackendError && error.subject !== undefined
    ? run.operation.record(
      error.subject,
      new Failed({ error: Operation.settledError(run.operation, error.subject, error) })
    )
    : run.operation.fail(error)
