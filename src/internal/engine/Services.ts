/**
 * The services `Provider` and `NodeCreator` of a backend, over the engine.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { ClusterName } from "../../Model.ts"
import {
  compareSteps,
  digestSecret,
  InvalidPlan,
  isIntact,
  makePlan,
  type Plan,
  randomSalt,
  saltOf,
  StalePlan
} from "../../Plan.ts"
import type {
  AddedNodes,
  ApplyFailure,
  ClusterSpec,
  CreateFailure,
  NodeCreatorService,
  ProviderService
} from "../../Provider.ts"
import {
  type InvalidClusterName,
  InvalidSpec,
  NodesFailed,
  type OperationTimeout,
  ProviderUnavailable
} from "../../ProviderError.ts"
import { type BackendError, UnsupportedError } from "../../Reason.ts"
import type { OperationName, OperationReport } from "../../Report.ts"
import type { AnyResource, CallFailure, Want } from "../../Resource.ts"
import { checkClusterName, checkNewClusterName } from "../ClusterNames.ts"
import { failWith, method, streamMethod } from "../Method.ts"
import * as Operation from "../Operation.ts"
import { scopedCreate } from "../ScopedCreate.ts"
import { CurrentUrgency } from "../Urgency.ts"
import { subjectOfItem } from "./CarryOut.ts"
import { create, createChecked, type CreateOptions, type Planned } from "./Create.ts"
import { planDelete, remove } from "./Delete.ts"
import { diff, type Item } from "./Diff.ts"
import { type Engine, PolicyInForce } from "./Engine.ts"
import { guarded, guardedList, guardedRead, withoutDefects } from "./Guard.ts"
import {
  type AnyBackend,
  explains,
  kindsOf,
  type Look,
  look,
  members,
  type Reader,
  readLimit,
  refuseAmbiguous
} from "./Look.ts"
import { start, stop } from "./Power.ts"
import { removeOne } from "./Remove.ts"
import { makeRun, type Run } from "./Run.ts"
import { addNodes, removeNodes, replaceNodes, restartNodes } from "./Scale.ts"
import { makeSharedWatch } from "./SharedWatch.ts"
import { allStatuses, namesIn, statusOf } from "./Statuses.ts"
import { sweep } from "./Sweep.ts"

// -----------------------------------------------------------------------------
// Around every method
// -----------------------------------------------------------------------------

/** A method: its span, the policy in force, and no defects. */
const around =
  <Read, Write extends Read>({ backend, policy }: Engine<Read, Write>) =>
  <A, E, R>(operation: string, cluster: string | undefined, body: Effect.Effect<A, E, R>) =>
    Effect.flatMap(policy, (inForce) => Effect.provideService(withoutDefects(body), PolicyInForce, inForce)).pipe(
      method(backend.backend, operation, cluster, backend.name)
    )

/** An operation on nodes that exist: a run, and its report as a failure where it is one. */
const operate = <Read, Write extends Read, E, R>(
  { backend }: Engine<Read, Write>,
  name: OperationName,
  cluster: ClusterName,
  body: (run: Run) => Effect.Effect<void, E, R>,
  creates = false
): Effect.Effect<OperationReport, E | NodesFailed | OperationTimeout | CallFailure, R> =>
  Effect.scoped(Effect.gen(function*() {
    const policy = yield* PolicyInForce
    const world = yield* look<Read, Write>(backend, policy, [], undefined)
    const run = yield* makeRun({
      provider: backend.backend,
      name,
      cluster,
      policy,
      world,
      creates,
      ...explains<Read, Write>(backend)
    })
    yield* Operation.bounded(run.operation)(body(run))
    const report = yield* run.operation.report
    if (report.isFailure) return yield* new NodesFailed({ report })
    return report
    // A scope that is excluded from an open type is still in it.
  })) as Effect.Effect<OperationReport, E | NodesFailed | OperationTimeout | CallFailure, R>

// -----------------------------------------------------------------------------
// Provider
// -----------------------------------------------------------------------------

/** Names that can be referred to, sorted; the others are left out with one warning each. */
const makeChecked = (check: (input: string) => Effect.Effect<ClusterName, InvalidClusterName>) => {
  const warned = new Set<string>()
  return (names: ReadonlyArray<string>): Effect.Effect<ReadonlyArray<ClusterName>> =>
    Effect.map(
      Effect.forEach(new Set(names), (name) =>
        Effect.matchEffect(check(name), {
          onSuccess: (cluster) => Effect.succeed([cluster]),
          onFailure: (error) => {
            if (warned.has(name)) return Effect.succeed([])
            warned.add(name)
            return Effect.as(Effect.logWarning(`left out of the list of clusters: ${error.message}`), [])
          }
        })),
      (checked) => checked.flat().sort()
    )
}

const asUnavailable = (backend: string) => (error: ProviderUnavailable | BackendError): ProviderUnavailable =>
  error._tag === "ProviderUnavailable"
    ? error
    : new ProviderUnavailable({ provider: backend, detail: error.reason.detail, advice: error.reason.advice })

export const makeProvider = <Read, Write extends Read>(engine: Engine<Read, Write>): ProviderService => {
  const { backend } = engine
  const run = around(engine)
  const checkName = backend.checkName ?? checkClusterName
  const checked = makeChecked(checkName)
  const of = <A, E>(operation: string, cluster: string, body: (cluster: ClusterName) => Effect.Effect<A, E>) =>
    run(operation, cluster, Effect.flatMap(checkName(cluster), body))
  const nodesOf = (cluster: ClusterName) =>
    Effect.gen(function*() {
      const policy = yield* PolicyInForce
      const world = yield* look<Read, Write>(backend, policy, [backend.node], cluster)
      yield* refuseAmbiguous<Read, Write>(backend, cluster, world)
      const found = yield* members(backend.node, cluster, world)
      return found.map(({ info }) => info).sort(Operation.byRoleThenName)
    })
  const statuses = PolicyInForce.use((policy) => allStatuses<Read, Write>(backend, policy, checked))
  const ping = PolicyInForce.use(({ requestTimeout }) =>
    Effect.mapError(
      // A backend's own deadline comes first, since its error names the address.
      guardedRead("ping", Duration.times(requestTimeout, 2), () => backend.ping),
      asUnavailable(backend.backend)
    )
  )
  const watch = Effect.runSync(Scope.provide(
    makeSharedWatch({
      backend: backend.backend,
      changes: backend.changes === undefined
        ? undefined
        : Stream.unwrap(guarded("changes", () => Effect.sync(() => backend.changes?.(backend.read) ?? Stream.empty))),
      list: Effect.flatMap(engine.policy, (policy) => Effect.provideService(statuses, PolicyInForce, policy)),
      policy: engine.policy
    }),
    engine.scope
  ))

  return {
    backend: backend.backend,
    name: backend.name ?? backend.backend,
    startNodes: (cluster, options) =>
      of("startNodes", cluster, (name) => operate(engine, "startNodes", name, (one) => start(engine, one, options))),
    stopNodes: (cluster, options) =>
      of("stopNodes", cluster, (name) => operate(engine, "stopNodes", name, (one) => stop(engine, one, options))),
    deleteNodes: (cluster) =>
      of("deleteNodes", cluster, (name) =>
        operate(engine, "deleteNodes", name, (one) => remove(engine, one)).pipe(
          Effect.provideService(CurrentUrgency, "delete")
        )),
    planDelete: (cluster) =>
      of(
        "planDelete",
        cluster,
        (name) => PolicyInForce.use((policy) => planDelete<Read, Write>(backend, policy, name))
      ),
    listNodes: (cluster) => of("listNodes", cluster, nodesOf),
    nodesExist: (cluster) =>
      of("nodesExist", cluster, (name) => Effect.map(nodesOf(name), (nodes) => nodes.length > 0)),
    getClusterStatus: (cluster) =>
      of(
        "getClusterStatus",
        cluster,
        (name) => PolicyInForce.use((policy) => statusOf<Read, Write>(backend, policy, name))
      ),
    listAllClusters: run(
      "listAllClusters",
      undefined,
      Effect.gen(function*() {
        const policy = yield* PolicyInForce
        const { clusterNames } = backend
        if (clusterNames === undefined && backend.clusters !== undefined) {
          return (yield* statuses).map(({ clusterName }) => clusterName)
        }
        return yield* checked(
          clusterNames === undefined
            ? namesIn(backend, yield* look<Read, Write>(backend, policy, [backend.node], undefined))
            : yield* guardedRead("clusterNames", readLimit(policy), () => clusterNames(backend.read))
        )
      })
    ),
    listAllStatuses: run("listAllStatuses", undefined, statuses),
    isAvailable: run("isAvailable", undefined, ping).pipe(Effect.isSuccess),
    checkAvailable: Effect.mapError(run("checkAvailable", undefined, ping), asUnavailable(backend.backend)),
    watchCluster: (cluster) =>
      Stream.unwrap(Effect.map(checkName(cluster), watch.one)).pipe(
        streamMethod(backend.backend, "watchCluster", cluster, backend.name)
      ),
    watchAllClusters: watch.all.pipe(streamMethod(backend.backend, "watchAllClusters", undefined, backend.name))
  }
}

// -----------------------------------------------------------------------------
// NodeCreator
// -----------------------------------------------------------------------------

/** The plan of one list. */
const toPlan = (
  backend: Pick<AnyBackend, "backend">,
  target: string,
  cluster: ClusterName,
  spec: Schema.Json,
  items: ReadonlyArray<Pick<Item, "step">>
): Plan =>
  makePlan({
    backend: backend.backend,
    target,
    operation: "createNodes",
    clusterName: cluster,
    spec,
    steps: items.map(({ step }) => step)
  })

/** The checks of a spec that need no call. */
const checkSpec = <Read, Write extends Read>(
  { backend }: Engine<Read, Write>,
  spec: ClusterSpec
): Effect.Effect<ClusterName, InvalidClusterName | InvalidSpec | BackendError> =>
  Effect.gen(function*() {
    const cluster = yield* (backend.checkNewName ?? checkNewClusterName)(spec.cluster)
    if (backend.cannotCreate !== undefined) {
      return yield* failWith(new UnsupportedError({ detail: backend.cannotCreate }))
    }
    const issues = backend.validate(spec)
    if (issues.length > 0) return yield* new InvalidSpec({ issues })
    return cluster
  })

const wantsOf = <Read, Write extends Read>(
  backend: Reader<Read, Write>,
  spec: ClusterSpec,
  world: Look
): Effect.Effect<ReadonlyArray<Want<Read, Write>>, InvalidSpec | CallFailure> =>
  PolicyInForce.use((policy) =>
    guardedList("desired", readLimit(policy), () => backend.desired(backend.read, spec, world))
  )

const kindsFor = <Read, Write extends Read>(
  backend: Reader<Read, Write>,
  spec: ClusterSpec
): ReadonlyArray<AnyResource<Read, Write>> =>
  backend.resourcesOf === undefined
    ? kindsOf<Read, Write>(backend)
    : [backend.node, ...backend.resourcesOf(spec)]

const createOptions = <Read, Write extends Read>(
  backend: Reader<Read, Write>,
  spec: ClusterSpec,
  cluster: ClusterName
): CreateOptions<Read, Write> => ({
  name: "createNodes",
  cluster,
  onFailure: spec.onFailure ?? "remove",
  kinds: kindsFor(backend, spec),
  wants: (world) => wantsOf(backend, spec, world),
  diff: { ignoresAdded: true, allowFewerControlPlanes: spec.allowFewerControlPlanes === true },
  refuses: ["refuse", "update", "delete"]
})

/** The plan of a spec, from one list. */
const planSpec = <Read, Write extends Read>(
  backend: Reader<Read, Write>,
  known: ((world: Look) => ReadonlyMap<string, "adopted" | "undone">) | undefined,
  spec: ClusterSpec,
  cluster: ClusterName,
  salt: string
): Effect.Effect<Plan, InvalidSpec | CallFailure> =>
  Effect.gen(function*() {
    const policy = yield* PolicyInForce
    const world = yield* look<Read, Write>(backend, policy, kindsFor(backend, spec), undefined)
    yield* refuseAmbiguous<Read, Write>(backend, cluster, world)
    const wants = yield* wantsOf(backend, spec, world)
    const items = diff<Read, Write>(backend, wants, {
      cluster,
      world,
      ...(known === undefined ? {} : { fates: known(world) }),
      allowFewerControlPlanes: spec.allowFewerControlPlanes === true
    })
    const target = yield* guarded("target", () => backend.target)
    return toPlan(backend, target, cluster, backend.encode(spec, (secret: string) => digestSecret(secret, salt)), items)
  })

const invalid = (detail: string): Effect.Effect<never, InvalidPlan> => Effect.fail(new InvalidPlan({ detail }))

/** Checks that need no call. */
const checkPlan = (backend: Pick<AnyBackend, "backend">, plan: Plan): Effect.Effect<void, InvalidPlan> =>
  plan.backend !== backend.backend
    ? invalid(`it is a plan for ${plan.backend}, not for ${backend.backend}.`)
    : isIntact(plan)
    ? Effect.void
    : invalid("it was edited after it was created. Create the plan again.")

const checkTarget = (plan: Plan, target: string): Effect.Effect<void, InvalidPlan> =>
  plan.target === target
    ? Effect.void
    : invalid(`it is a plan for ${JSON.stringify(plan.target)}, and this is ${JSON.stringify(target)}.`)

const checkFresh = (plan: Plan, now: Plan): Effect.Effect<void, StalePlan> =>
  plan.fingerprint === now.fingerprint
    ? Effect.void
    : Effect.fail(new StalePlan({ plan, now, differences: compareSteps(plan, now) }))

/** The spec that a plan is applied with: the one given, or the one that the plan itself has. */
const specOfPlan = <Read, Write extends Read>(
  { backend }: Engine<Read, Write>,
  specs: WeakMap<Plan, ClusterSpec>,
  plan: Plan,
  given: ClusterSpec | undefined
): Effect.Effect<ClusterSpec, InvalidPlan> => {
  const salt = saltOf(plan.spec)
  const known = given ?? specs.get(plan)
  if (known === undefined) {
    if (salt !== undefined) {
      return invalid("it has digests of secrets. Give the spec again, as `apply(plan, { spec })`.")
    }
    const decoded: unknown = backend.decode(plan.spec)
    return typeof decoded === "object" && decoded !== null
      ? Effect.succeed(decoded as ClusterSpec)
      : invalid(`its spec is not one of ${backend.backend}.`)
  }
  const encoded = backend.encode(known, (secret: string) => digestSecret(secret, salt ?? ""))
  return sameJson(encoded, plan.spec)
    ? Effect.succeed(known)
    : invalid("the spec that was given is not the one that was planned.")
}

const sameJson = (a: Schema.Json, b: Schema.Json): boolean => canonicalText(a) === canonicalText(b)

const canonicalText = (value: unknown): string =>
  JSON.stringify(value, (_, field: unknown) =>
    typeof field === "object" && field !== null && !Array.isArray(field)
      ? Object.fromEntries(Object.entries(field).sort(([a], [b]) => a < b ? -1 : 1))
      : field)

/** Deletes what a plan says is surplus, after everything else has succeeded. */
const deleteSurplus = <Read, Write extends Read>(
  { backend }: Engine<Read, Write>,
  run: Run,
  items: ReadonlyArray<Item<Read, Write>>
): Effect.Effect<void> => {
  const surplus = items.filter(({ step }) => step.action === "delete")
  for (const { actual, resource } of surplus) run.world.leave(resource, actual)
  return run.wave(
    "delete",
    surplus,
    subjectOfItem,
    ({ actual, resource }, task) => removeOne<Read, Write>(backend, resource, actual, task)
  ).pipe(
    Effect.provideService(CurrentUrgency, "delete")
  )
}

export const makeCreator = <Spec extends ClusterSpec, Added extends AddedNodes, Read, Write extends Read>(
  engine: Engine<Read, Write>,
  provider: ProviderService
): NodeCreatorService<Spec, Added> => {
  const { backend } = engine
  const run = around(engine)
  const checkName = backend.checkName ?? checkClusterName
  const known = backend.fates?.known
  // The specs of the plans of this instance, so that a plan with secrets can be applied without them being given again.
  const specs = new WeakMap<Plan, ClusterSpec>()

  const createNodes = (spec: Spec): Effect.Effect<OperationReport, CreateFailure> =>
    run(
      "createNodes",
      spec.cluster,
      Effect.flatMap(checkSpec(engine, spec), (cluster) =>
        engine.oneAtATime(cluster, create<Read, Write>(engine, createOptions(backend, spec, cluster))))
    )

  const applyCreate = (plan: Plan, spec: ClusterSpec): Effect.Effect<OperationReport, ApplyFailure> =>
    Effect.flatMap(checkSpec(engine, spec), (cluster) => {
      const check = ({ items }: Planned<Read, Write>) =>
        Effect.gen(function*() {
          const target = yield* guarded("target", () => backend.target)
          yield* checkTarget(plan, target)
          yield* checkFresh(plan, toPlan(backend, target, cluster, plan.spec, items))
        })
      return engine.oneAtATime(
        cluster,
        createChecked<Read, Write>(engine, {
          ...createOptions<Read, Write>(backend, spec, cluster),
          name: "apply",
          diff: { allowFewerControlPlanes: spec.allowFewerControlPlanes === true },
          refuses: ["refuse"],
          afterwards: (one, items) => deleteSurplus(engine, one, items)
        }, check)
      )
    }).pipe(
      Effect.filterOrFail(
        (report) => !report.isFailure,
        (report) => new NodesFailed({ report })
      )
    )

  const applyDelete = (plan: Plan): Effect.Effect<OperationReport, ApplyFailure> =>
    Effect.flatMap(
      checkName(plan.clusterName),
      (cluster) =>
        operate(engine, "apply", cluster, (one) =>
          Effect.gen(function*() {
            const now = yield* planDelete<Read, Write>(backend, one.policy, cluster)
            yield* checkTarget(plan, now.target)
            yield* checkFresh(plan, now)
            yield* remove(engine, one)
          }))
    ).pipe(Effect.provideService(CurrentUrgency, "delete"))

  return {
    plan: (spec) =>
      run(
        "plan",
        spec.cluster,
        Effect.gen(function*() {
          const cluster = yield* checkSpec(engine, spec)
          const plan = yield* planSpec<Read, Write>(backend, known, spec, cluster, randomSalt())
          specs.set(plan, spec)
          return plan
        })
      ),
    createNodes,
    createNodesScoped: scopedCreate(createNodes, provider.deleteNodes, engine.policy),
    apply: (plan, options) =>
      run(
        "apply",
        plan.clusterName,
        Effect.gen(function*() {
          yield* checkPlan(backend, plan)
          if (plan.operation === "deleteNodes") return yield* applyDelete(plan)
          return yield* applyCreate(plan, yield* specOfPlan(engine, specs, plan, options?.spec))
        })
      ),
    addNodes: (cluster, nodes) =>
      run(
        "addNodes",
        cluster,
        Effect.flatMap(
          checkName(cluster),
          (name) => engine.oneAtATime(name, addNodes<Read, Write>(engine, name, nodes))
        )
      ),
    removeNodes: (cluster, names) =>
      run(
        "removeNodes",
        cluster,
        Effect.flatMap(checkName(cluster), (name) =>
          operate(engine, "removeNodes", name, (one) =>
            removeNodes(engine, one, names)).pipe(
              Effect.provideService(CurrentUrgency, "delete")
            ))
      ),
    replaceNodes: (cluster, options) =>
      run(
        "replaceNodes",
        cluster,
        Effect.flatMap(checkName(cluster), (name) =>
          engine.oneAtATime(
            name,
            operate(engine, "replaceNodes", name, (one) => replaceNodes(engine, one, options), true)
          ))
      ),
    restartNodes: (cluster, options) =>
      run(
        "restartNodes",
        cluster,
        Effect.flatMap(checkName(cluster), (name) =>
          operate(engine, "restartNodes", name, (one) => restartNodes(engine, one, options)))
      ),
    sweep: (options) =>
      run(
        "sweep",
        undefined,
        Effect.scoped(PolicyInForce.use((policy) => sweep<Read, Write>(engine, policy, options)))
      )
  }
}
