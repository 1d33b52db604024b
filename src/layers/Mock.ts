/**
 * A `Provider` of prepared answers, for tests of programs that use one: what a method answers is said beforehand, and
 * what was called can be read afterwards.
 *
 * Nothing is simulated, unlike in `Memory`: an answer is given as it is, without retries or latency. Names are checked
 * as a backend checks them, and a report with failures fails as it would there.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { checkClusterName, checkNewClusterName } from "../internal/ClusterNames.ts"
import { makeLayers } from "../internal/Layers.ts"
import { method } from "../internal/Method.ts"
import { byRoleThenName } from "../internal/Operation.ts"
import { makeNodeCreator } from "../internal/ScopedCreate.ts"
import { type ActFailure, type Answers, isByCluster, makeAnswering, type MethodName } from "../mock/Answers.ts"
import { backend, status, unavailable } from "../mock/Values.ts"
import { ClusterName, ClusterStatus, type NodeInfo } from "../Model.ts"
import type { Plan } from "../Plan.ts"
import {
  type AddedNodes,
  type ApplyFailure,
  type ClusterSpec,
  type CreateFailure,
  NodeCreator,
  type NodeCreatorService,
  type NodeSelection,
  type Orphan,
  Provider,
  type ProviderService,
  type SweepOptions
} from "../Provider.ts"
import {
  type BackendFailure,
  type ClusterNotFound,
  type InvalidClusterName,
  NodesFailed,
  NodesNotCreated,
  type NoNodes,
  type ProviderUnavailable
} from "../ProviderError.ts"
import type { BackendError } from "../Reason.ts"
import type { OperationReport } from "../Report.ts"

export {
  type Answer,
  type Answering,
  type Answers,
  type ByCluster,
  type MethodName,
  Sequence,
  sequence
} from "../mock/Answers.ts"
export { failure, node, nodes, type OutcomeInput, plan, report, status, unavailable } from "../mock/Values.ts"

// -----------------------------------------------------------------------------
// Service
// -----------------------------------------------------------------------------

/**
 * @category models
 * @since 0.2.0
 */
export interface Options {
  /** The name of this instance in errors and spans; `mock` where it is left out. */
  readonly name?: string
}

/**
 * A recorded call, with its arguments.
 *
 * @category models
 * @since 0.1.0
 */
export interface Call {
  readonly method: MethodName
  readonly cluster?: string
  /** Of `createNodes` and `plan`. */
  readonly spec?: ClusterSpec
  /** Of `apply`. */
  readonly plan?: Plan
  /** Of `addNodes`: the nodes; of `removeNodes`: the names; of the others: the options, where any were given. */
  readonly options?: AddedNodes | ReadonlyArray<string> | NodeSelection | SweepOptions
}

/**
 * @category models
 * @since 0.1.0
 */
export interface MockService {
  readonly provider: ProviderService
  readonly creator: NodeCreatorService
  /** The calls, in order. A call that was refused because of its cluster name is not recorded. */
  readonly calls: Effect.Effect<ReadonlyArray<Call>>
  readonly clearCalls: Effect.Effect<void>
}

/**
 * The mock beside the `Provider` that it answers.
 *
 * **Example** (A start that fails first, and then works)
 *
 * ```ts run
 * import * as Effect from "effect/Effect"
 * import * as Mock from "kubelayer/layers/Mock"
 * import { Provider } from "kubelayer/Provider"
 * import { Locked } from "kubelayer/Reason"
 *
 * const program = Effect.gen(function*() {
 *   const provider = yield* Provider
 *   const report = yield* Effect.retry(provider.startNodes("dev"), { times: 1 })
 *   const { calls } = yield* Mock.Mock
 *   return `${report.done.length} started with ${(yield* calls).length} calls`
 * })
 *
 * const answers = Mock.layer({
 *   startNodes: Mock.sequence(
 *     Mock.failure(new Locked({ detail: "busy" })),
 *     Mock.report("startNodes", "dev", { "dev-worker": "Done" })
 *   )
 * })
 * console.log(await Effect.runPromise(program.pipe(Effect.provide(answers))))
 * // => 1 started with 2 calls
 * ```
 *
 * @category services
 * @since 0.1.0
 */
export class Mock extends Context.Service<Mock, MockService>()("kubelayer/layers/Mock") {}

// -----------------------------------------------------------------------------
// Constructors
// -----------------------------------------------------------------------------

/**
 * Makes a mock of answers.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (answers: Answers, { name = backend }: Options = {}): Effect.Effect<MockService> =>
  Effect.sync(() => {
    const calls: Array<Call> = []
    const { answer, has } = makeAnswering(answers)

    const called = (call: Call) =>
      Effect.sync(() => {
        calls.push(call)
      })

    const about = <A, E>(
      name: MethodName,
      cluster: string,
      body: (cluster: ClusterName) => Effect.Effect<A, E>,
      details: Omit<Call, "method" | "cluster"> = {}
    ): Effect.Effect<A, E | InvalidClusterName> =>
      Effect.flatMap(
        checkClusterName(cluster),
        (checked) => Effect.andThen(called({ method: name, cluster, ...details }), body(checked))
      ).pipe(
        method(backend, name, cluster)
      )

    const list = (cluster: string) =>
      Effect.map(
        answer<ReadonlyArray<NodeInfo>, BackendFailure>("listNodes", cluster),
        (nodes) => [...nodes].sort(byRoleThenName)
      )

    const act = <E>(
      name: MethodName,
      cluster: string,
      details: Omit<Call, "method" | "cluster"> = {},
      argument: unknown = cluster
    ) =>
      about(
        name,
        cluster,
        () =>
          Effect.flatMap(
            answer<OperationReport, E>(name, cluster, argument),
            (report): Effect.Effect<OperationReport, E | NodesFailed> =>
              report.isFailure ? Effect.fail(new NodesFailed({ report })) : Effect.succeed(report)
          ),
        details
      )

    const optional = (options: NodeSelection | undefined) => options === undefined ? {} : { options }

    /** A method that follows from `listNodes` where it is not answered itself. */
    const orFromNodes = <A>(
      name: "nodesExist" | "getClusterStatus",
      cluster: string,
      from: (nodes: ReadonlyArray<NodeInfo>) => A
    ) =>
      about(name, cluster, () =>
        !has(name, cluster) && has("listNodes", cluster)
          ? Effect.map(list(cluster), from)
          : answer<A, BackendFailure>(name, cluster))

    const namesOfNodes = Effect.filter(
      isByCluster(answers.listNodes) ? Object.keys(answers.listNodes).filter((name) => name !== "*") : [],
      (cluster) => Effect.map(list(cluster), (nodes) => nodes.length > 0)
    )
    const listAllClusters = Effect.suspend(() => {
      const names: Effect.Effect<ReadonlyArray<string>, BackendFailure> =
        answers.listAllClusters === undefined && isByCluster(answers.listNodes)
          ? namesOfNodes
          : answer("listAllClusters")
      return Effect.map(
        Effect.catchTag(names, "InvalidClusterName", Effect.die),
        (all) => [...new Set(all)].sort().map((name) => ClusterName.make(name))
      )
    })
    const listAllStatuses = Effect.suspend(() =>
      answers.listAllStatuses === undefined && isByCluster(answers.listNodes)
        ? Effect.flatMap(namesOfNodes, (names) =>
          Effect.forEach([...names].sort(), (name) => Effect.map(list(name), (nodes) => status(nodes)))).pipe(
            Effect.catchTag("InvalidClusterName", Effect.die)
          )
        : answer<ReadonlyArray<ClusterStatus>, ProviderUnavailable | BackendError>("listAllStatuses")
    )

    const checkAvailable = Effect.suspend(() =>
      answers.checkAvailable !== undefined
        ? answer<void, ProviderUnavailable>("checkAvailable")
        : answers.isAvailable !== undefined
        ? Effect.flatMap(
          answer<boolean, never>("isAvailable"),
          (available) => available ? Effect.void : Effect.fail(unavailable())
        )
        : Effect.void
    )
    const isAvailable = Effect.suspend(() =>
      answers.isAvailable !== undefined ? answer<boolean, never>("isAvailable") : Effect.isSuccess(checkAvailable)
    )

    const provider: ProviderService = {
      backend,
      name,
      startNodes: (cluster, options) => act<ActFailure>("startNodes", cluster, optional(options)),
      stopNodes: (cluster, options) => act<ActFailure>("stopNodes", cluster, optional(options)),
      planDelete: (cluster) => about("planDelete", cluster, () => answer<Plan, BackendFailure>("planDelete", cluster)),
      listAllStatuses: Effect.andThen(called({ method: "listAllStatuses" }), listAllStatuses).pipe(
        method(backend, "listAllStatuses")
      ),
      watchAllClusters: Stream.unwrap(
        Effect.andThen(
          called({ method: "watchAllClusters" }),
          Effect.map(
            answer<
              | ReadonlyArray<ReadonlyArray<ClusterStatus>>
              | Stream.Stream<
                ReadonlyArray<ClusterStatus>,
                ProviderUnavailable | BackendError
              >,
              ProviderUnavailable | BackendError
            >("watchAllClusters"),
            (lists) => Stream.isStream(lists) ? lists : Stream.fromIterable(lists)
          )
        )
      ),
      deleteNodes: (cluster) => act<Exclude<ActFailure, NoNodes>>("deleteNodes", cluster),
      listNodes: (cluster) => about("listNodes", cluster, list),
      nodesExist: (cluster) => orFromNodes("nodesExist", cluster, (nodes) => nodes.length > 0),
      getClusterStatus: (cluster) =>
        Effect.map(
          orFromNodes<ClusterStatus | Option.Option<ClusterStatus>>(
            "getClusterStatus",
            cluster,
            (nodes) => nodes.length === 0 ? Option.none() : status(nodes)
          ),
          (found) => found instanceof ClusterStatus ? Option.some(found) : found
        ),
      listAllClusters: Effect.andThen(called({ method: "listAllClusters" }), listAllClusters).pipe(
        method(backend, "listAllClusters")
      ),
      isAvailable: Effect.andThen(called({ method: "isAvailable" }), isAvailable).pipe(method(backend, "isAvailable")),
      checkAvailable: Effect.andThen(called({ method: "checkAvailable" }), checkAvailable).pipe(
        method(backend, "checkAvailable")
      ),
      watchCluster: (cluster) =>
        Stream.unwrap(
          about("watchCluster", cluster, () =>
            Effect.map(
              answer<
                ReadonlyArray<ClusterStatus> | Stream.Stream<ClusterStatus, ClusterNotFound | BackendFailure>,
                ClusterNotFound | BackendFailure
              >("watchCluster", cluster),
              (statuses) => Stream.isStream(statuses) ? statuses : Stream.fromIterable(statuses)
            ))
        )
    }

    const created = (report: OperationReport) =>
      report.isFailure ? Effect.fail(new NodesNotCreated({ report, leftovers: [] })) : Effect.succeed(report)

    const createNodes: NodeCreatorService["createNodes"] = (spec) =>
      Effect.flatMap(checkNewClusterName(spec.cluster), (cluster) =>
        Effect.andThen(
          called({ method: "createNodes", cluster, spec }),
          answer<OperationReport, CreateFailure>("createNodes", cluster, spec)
        )).pipe(
          Effect.flatMap(created),
          method(backend, "createNodes", spec.cluster)
        )

    return {
      provider,
      creator: {
        ...makeNodeCreator(createNodes, provider.deleteNodes),
        plan: (spec) =>
          Effect.flatMap(checkNewClusterName(spec.cluster), (cluster) =>
            Effect.andThen(
              called({ method: "plan", cluster, spec }),
              answer<Plan, ProviderUnavailable | BackendError>("plan", cluster, spec)
            )).pipe(method(backend, "plan", spec.cluster)),
        apply: (plan) => act<ApplyFailure>("apply", plan.clusterName, { plan }, plan),
        addNodes: (cluster, nodes) =>
          about("addNodes", cluster, () =>
            Effect.flatMap(
              answer<OperationReport, CreateFailure>("addNodes", cluster, nodes),
              created
            ), { options: nodes }),
        removeNodes: (cluster, names) =>
          act<Exclude<ActFailure, NoNodes>>("removeNodes", cluster, { options: names }, names),
        replaceNodes: (cluster, options) => act<CreateFailure>("replaceNodes", cluster, { options }, options),
        restartNodes: (cluster, options) =>
          act<Exclude<ActFailure, NoNodes>>("restartNodes", cluster, { options }, options),
        sweep: (options) =>
          Effect.andThen(
            called({ method: "sweep", options }),
            answer<ReadonlyArray<Orphan>, ProviderUnavailable | BackendError>("sweep", undefined, options)
          ).pipe(method(backend, "sweep"))
      },
      calls: Effect.sync(() => [...calls]),
      clearCalls: Effect.sync(() => {
        calls.length = 0
      })
    }
  })

const layers = (options: Options) =>
  makeLayers<Mock, MockService, Answers, never>(Mock, (answers) => make(answers, options), [])

/**
 * `Provider`, `NodeCreator` and `Mock` from one set of answers.
 *
 * **Example** (What a list of nodes makes of a status)
 *
 * ```ts run
 * import * as Effect from "effect/Effect"
 * import * as Option from "effect/Option"
 * import * as Mock from "kubelayer/layers/Mock"
 * import { Provider } from "kubelayer/Provider"
 *
 * const program = Provider.use((provider) => provider.getClusterStatus("dev"))
 *
 * const answers = Mock.layer({
 *   listNodes: {
 *     dev: [Mock.node("dev", { role: "control-plane" }), Mock.node("dev", { role: "worker", state: "stopped" })]
 *   }
 * })
 * const status = await Effect.runPromise(program.pipe(Effect.provide(answers)))
 * console.log(Option.getOrThrow(status).phase)
 * // => degraded
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (answers: Answers = {}, options: Options = {}): Layer.Layer<Provider | NodeCreator | Mock> =>
  layers(options).layer(answers)

/**
 * `Mock` alone, for programs with several backends; `Provider.layerFrom(Mock)` makes it the `Provider`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerService = (answers: Answers = {}, options: Options = {}): Layer.Layer<Mock> =>
  layers(options).layerService(answers)

/**
 * The same as `layer`, under the name that every backend has; it reads nothing from the environment.
 *
 * @category layers
 * @since 0.2.0
 */
export const layerConfig = (
  answers: Answers = {},
  options: Options = {}
): Layer.Layer<Provider | NodeCreator | Mock> => layer(answers, options)

/**
 * The same as `layerService`, under the name that every backend has; it reads nothing from the environment.
 *
 * @category layers
 * @since 0.2.0
 */
export const layerServiceConfig = (answers: Answers = {}, options: Options = {}): Layer.Layer<Mock> =>
  layerService(answers, options)
