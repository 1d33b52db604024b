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
import { failWith, method } from "../internal/Method.ts"
import { byRoleThenName } from "../internal/Operation.ts"
import {
  AlreadyDone,
  checkClusterName,
  checkNewClusterName,
  ClusterName,
  ClusterStatus,
  Done,
  Failed,
  NodeInfo,
  type NodeRole,
  type NodeState,
  type OperationName,
  OperationReport,
  type Outcome,
  ResourceOutcome,
  RolledBack
} from "../Model.ts"
import {
  buildClusterStatus,
  type ClusterSpec,
  type CreateFailure,
  makeNodeCreator,
  NodeCreator,
  type NodeCreatorService,
  Provider,
  type ProviderService
} from "../Provider.ts"
import {
  BackendError,
  type BackendFailure,
  type ClusterNotFound,
  type InvalidClusterName,
  NodesFailed,
  NodesNotCreated,
  type NoNodes,
  type OperationTimeout,
  ProviderUnavailable,
  type Reason
} from "../ProviderError.ts"

const backend = "mock"

// -----------------------------------------------------------------------------
// Answers
// -----------------------------------------------------------------------------

/**
 * Answers one after the other; the last one stays. Made by `sequence`.
 *
 * @category models
 * @since 0.1.0
 */
export class Sequence<out Item> {
  readonly items: readonly [Item, ...ReadonlyArray<Item>]
  constructor(items: readonly [Item, ...ReadonlyArray<Item>]) {
    this.items = items
  }
}

/**
 * One answer: a value, an Effect, or a function that gives either.
 *
 * @category models
 * @since 0.1.0
 */
export type Answer<A, E, Args extends ReadonlyArray<unknown> = []> =
  | A
  | Effect.Effect<A, E>
  | ((...args: Args) => A | Effect.Effect<A, E>)

/**
 * An answer or a sequence of them.
 *
 * @category models
 * @since 0.1.0
 */
export type Answering<A, E, Args extends ReadonlyArray<unknown> = []> =
  | Answer<A, E, Args>
  | Sequence<Answer<A, E, Args>>

/**
 * One answer for all clusters, or one for each by its name; `*` stands for all others.
 *
 * @category models
 * @since 0.1.0
 */
export type ByCluster<A, E, Args extends ReadonlyArray<unknown> = [cluster: string]> =
  | Answering<A, E, Args>
  | { readonly [cluster: string]: Answering<A, E, Args> }

type ActFailure = NoNodes | NodesFailed | OperationTimeout | BackendFailure

/**
 * What the methods answer. Of `listNodes` follow `nodesExist`, `getClusterStatus` and, where it is given by cluster,
 * `listAllClusters`, unless they are answered themselves. A mock is available unless it is said otherwise.
 *
 * @category models
 * @since 0.1.0
 */
export interface Answers {
  readonly listNodes?: ByCluster<ReadonlyArray<NodeInfo>, BackendFailure>
  readonly nodesExist?: ByCluster<boolean, BackendFailure>
  readonly getClusterStatus?: ByCluster<ClusterStatus | Option.Option<ClusterStatus>, BackendFailure>
  readonly listAllClusters?: Answering<ReadonlyArray<string>, ProviderUnavailable | BackendError>
  /** A report with failures makes the method fail with `NodesFailed`. */
  readonly startNodes?: ByCluster<OperationReport, ActFailure>
  /** A report with failures makes the method fail with `NodesFailed`. */
  readonly stopNodes?: ByCluster<OperationReport, ActFailure>
  /** A report with failures makes the method fail with `NodesFailed`. */
  readonly deleteNodes?: ByCluster<OperationReport, Exclude<ActFailure, NoNodes>>
  readonly isAvailable?: Answering<boolean, never>
  readonly checkAvailable?: Answering<void, ProviderUnavailable>
  /** Statuses one after the other, after which the cluster is gone; or a Stream. */
  readonly watchCluster?: ByCluster<
    ReadonlyArray<ClusterStatus> | Stream.Stream<ClusterStatus, ClusterNotFound | BackendFailure>,
    ClusterNotFound | BackendFailure
  >
  /** A function gets the spec. A report with failures makes the method fail with `NodesNotCreated`. */
  readonly createNodes?: ByCluster<OperationReport, CreateFailure, [spec: ClusterSpec]>
}

/**
 * Gives its answers one after the other; the last one stays. Each cluster that has its own sequence has its own place
 * in it, and so has each layer.
 *
 * @category constructors
 * @since 0.1.0
 */
export const sequence = <Items extends readonly [unknown, ...ReadonlyArray<unknown>]>(
  ...items: Items
): Sequence<Items[number]> => new Sequence(items)

// -----------------------------------------------------------------------------
// Values
// -----------------------------------------------------------------------------

/**
 * A node. Without more it is a worker that runs, `dev-worker`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const node = (
  cluster: string,
  fields: Partial<Omit<ConstructorParameters<typeof NodeInfo>[0], "clusterName">> = {}
): NodeInfo => {
  const role = fields.role ?? "worker"
  const state = fields.state ?? "running"
  const name = fields.name ?? `${cluster}-${role}`
  return new NodeInfo({
    id: `${backend}-${name}`,
    rawRole: role,
    rawState: state,
    addresses: { private: [], public: [] },
    ...fields,
    clusterName: ClusterName.make(cluster),
    role,
    state,
    name
  })
}

/**
 * The nodes of a cluster: `dev-control-plane`, `dev-worker`, `dev-worker2`, ...
 *
 * @category constructors
 * @since 0.1.0
 */
export const nodes = (
  cluster: string,
  options: { readonly controlPlanes?: number; readonly workers?: number; readonly state?: NodeState } = {}
): ReadonlyArray<NodeInfo> => {
  const { controlPlanes = 1, state = "running", workers = 0 } = options
  const of = (role: NodeRole, count: number) =>
    Array.from(
      { length: count },
      (_, index) => node(cluster, { role, state, name: `${cluster}-${role}${index === 0 ? "" : index + 1}` })
    )
  return [...of("control-plane", controlPlanes), ...of("worker", workers)]
}

/**
 * The status that these nodes make.
 *
 * @category constructors
 * @since 0.1.0
 */
export const status = (
  nodes: ReadonlyArray<NodeInfo>,
  extra: { readonly endpoint?: string; readonly rawPhase?: string } = {}
): ClusterStatus => buildClusterStatus([...nodes].sort(byRoleThenName), "running", extra)

/**
 * An outcome, the name of one that needs no more, or the reason of a failure.
 *
 * @category models
 * @since 0.1.0
 */
export type OutcomeInput = Outcome | Reason | "Done" | "AlreadyDone" | "RolledBack"

const isOutcome = (input: Outcome | Reason): input is Outcome =>
  "error" in input || "reason" in input || ["Done", "AlreadyDone", "RolledBack"].includes(input._tag)

const outcomeOf = (operation: OperationName, cluster: string, name: string, input: OutcomeInput): Outcome => {
  if (input === "Done") return new Done({})
  if (input === "AlreadyDone") return new AlreadyDone({})
  if (input === "RolledBack") return new RolledBack({})
  return isOutcome(input)
    ? input
    : new Failed({
      error: new BackendError({ provider: backend, operation, clusterName: cluster, node: name, reason: input })
    })
}

/**
 * The report of an operation, with an outcome for each node by its name.
 *
 * @category constructors
 * @since 0.1.0
 */
export const report = (
  operation: OperationName,
  cluster: string,
  outcomes: Readonly<Record<string, OutcomeInput>> | ReadonlyArray<ResourceOutcome> = {}
): OperationReport =>
  new OperationReport({
    operation,
    clusterName: ClusterName.make(cluster),
    durationMillis: 0,
    outcomes: isList(outcomes) ?
      outcomes :
      Object.entries(outcomes).map(([name, input]) =>
        new ResourceOutcome({
          kind: "node",
          name,
          outcome: outcomeOf(operation, cluster, name, input),
          durationMillis: 0
        })
      )
  })

const isList = (value: object): value is ReadonlyArray<unknown> & object => Array.isArray(value)

/**
 * The answer of a method that fails with a `BackendError` for this reason.
 *
 * @category constructors
 * @since 0.1.0
 */
export const failure: (reason: Reason) => Effect.Effect<never, BackendError> = failWith

/**
 * The error of a backend that does not answer.
 *
 * @category constructors
 * @since 0.1.0
 */
export const unavailable = (detail = "it was told to be unavailable"): ProviderUnavailable =>
  new ProviderUnavailable({ provider: backend, detail, advice: "Change the answer given to Mock." })

// -----------------------------------------------------------------------------
// Service
// -----------------------------------------------------------------------------

/**
 * @category models
 * @since 0.1.0
 */
export type MethodName = keyof Answers

/**
 * A call that was made, with its arguments.
 *
 * @category models
 * @since 0.1.0
 */
export interface Call {
  readonly method: MethodName
  readonly cluster?: string
  readonly spec?: ClusterSpec
}

/**
 * @category models
 * @since 0.1.0
 */
export interface MockService {
  readonly provider: ProviderService
  readonly creator: NodeCreatorService
  /** What was called, in order. A call that was refused for its cluster's name is not among them. */
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
 * import { Locked } from "kubelayer/ProviderError"
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

/** What to write in place of an answer that is missing. */
const examples: { readonly [K in MethodName]: (cluster: string) => string } = {
  listNodes: (cluster) => `{ "${cluster}": Mock.nodes("${cluster}", { workers: 2 }) }`,
  nodesExist: (cluster) => `{ "${cluster}": true }, or listNodes, from which it follows`,
  getClusterStatus: (cluster) =>
    `{ "${cluster}": Mock.status(Mock.nodes("${cluster}")) }, or listNodes, from which it follows`,
  listAllClusters: () => `["dev"], or listNodes by cluster, from which it follows`,
  startNodes: (cluster) => `{ "${cluster}": Mock.report("startNodes", "${cluster}", { "${cluster}-worker": "Done" }) }`,
  stopNodes: (cluster) => `{ "${cluster}": Mock.report("stopNodes", "${cluster}", { "${cluster}-worker": "Done" }) }`,
  deleteNodes: (cluster) =>
    `{ "${cluster}": Mock.report("deleteNodes", "${cluster}", { "${cluster}-worker": "Done" }) }`,
  isAvailable: () => "true",
  checkAvailable: () => "Effect.void",
  watchCluster: (cluster) => `{ "${cluster}": [Mock.status(Mock.nodes("${cluster}"))] }`,
  createNodes: (cluster) =>
    `{ "${cluster}": Mock.report("createNodes", "${cluster}", { "${cluster}-worker": "Done" }) }`
}

const isByCluster = (answer: unknown): answer is Readonly<Record<string, unknown>> =>
  typeof answer === "object" && answer !== null && Object.getPrototypeOf(answer) === Object.prototype

const missing = (answers: Answers, name: MethodName, cluster: string | undefined) => {
  const given = answers[name]
  const others = isByCluster(given) ? `; it has one for ${Object.keys(given).join(", ") || "no cluster"}` : ""
  return Effect.die(
    new Error(
      `Mock has no answer for ${name}${cluster === undefined ? "" : `("${cluster}")`}${others}. ` +
        `Add to Mock.layer({ ... }):\n  ${name}: ${examples[name](cluster ?? "dev")}`
    )
  )
}

/**
 * Makes a mock of answers.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (answers: Answers): Effect.Effect<MockService> =>
  Effect.sync(() => {
    const calls: Array<Call> = []
    const places = new Map<string, number>()

    /** The answer as it was given, and where its place in a sequence is kept. */
    const find = (name: MethodName, cluster: string | undefined): readonly [unknown, string] | undefined => {
      const given: unknown = answers[name]
      if (cluster === undefined || !isByCluster(given)) return given === undefined ? undefined : [given, name]
      const key = [cluster, "*"].find((key) => Object.hasOwn(given, key) && given[key] !== undefined)
      return key === undefined ? undefined : [given[key], `${name}/${key}`]
    }

    const settle = (answer: unknown, argument: unknown): Effect.Effect<unknown, unknown> =>
      typeof answer === "function"
        ? Effect.suspend(() => settle(answer(argument), argument))
        : Effect.isEffect(answer)
        ? answer as Effect.Effect<unknown, unknown>
        : Effect.succeed(answer)

    /** Gives the next answer to a method. The types of `Answers` say what `A` and `E` are. */
    const answer = <A, E>(name: MethodName, cluster?: string, argument: unknown = cluster): Effect.Effect<A, E> =>
      Effect.suspend(() => {
        const found = find(name, cluster)
        if (found === undefined) return missing(answers, name, cluster)
        const [given, key] = found
        if (!(given instanceof Sequence)) return settle(given, argument) as Effect.Effect<A, E>
        const place = places.get(key) ?? 0
        places.set(key, Math.min(place + 1, given.items.length - 1))
        return settle(given.items[place], argument) as Effect.Effect<A, E>
      })

    const called = (call: Call) =>
      Effect.sync(() => {
        calls.push(call)
      })

    const about = <A, E>(
      name: Exclude<MethodName, "createNodes">,
      cluster: string,
      body: (cluster: ClusterName) => Effect.Effect<A, E>
    ): Effect.Effect<A, E | InvalidClusterName> =>
      Effect.flatMap(checkClusterName(cluster), (checked) =>
        Effect.andThen(called({ method: name, cluster }), body(checked))).pipe(method(backend, name, cluster))

    const list = (cluster: string) =>
      Effect.map(
        answer<ReadonlyArray<NodeInfo>, BackendFailure>("listNodes", cluster),
        (nodes) =>
          [...nodes].sort(byRoleThenName)
      )

    const act = <E>(name: "startNodes" | "stopNodes" | "deleteNodes", cluster: string) =>
      about(name, cluster, () =>
        Effect.flatMap(
          answer<OperationReport, E>(name, cluster),
          (report): Effect.Effect<OperationReport, E | NodesFailed> =>
            report.isFailure ? Effect.fail(new NodesFailed({ report })) : Effect.succeed(report)
        ))

    /** A method that follows from `listNodes` where it is not answered itself. */
    const orFromNodes = <A>(
      name: "nodesExist" | "getClusterStatus",
      cluster: string,
      from: (nodes: ReadonlyArray<NodeInfo>) => A
    ) =>
      about(name, cluster, () =>
        find(name, cluster) === undefined && find("listNodes", cluster) !== undefined
          ? Effect.map(list(cluster), from)
          : answer<A, BackendFailure>(name, cluster))

    const listAllClusters = Effect.suspend(() => {
      const given = answers.listNodes
      const names: Effect.Effect<ReadonlyArray<string>, BackendFailure> =
        answers.listAllClusters === undefined && isByCluster(given)
          ? Effect.filter(
            Object.keys(given).filter((name) => name !== "*"),
            (cluster) => Effect.map(list(cluster), (nodes) => nodes.length > 0)
          )
          : answer("listAllClusters")
      return Effect.map(
        Effect.catchTag(names, "InvalidClusterName", Effect.die),
        (all) => [...new Set(all)].sort().map((name) => ClusterName.make(name))
      )
    })

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
      startNodes: (cluster) => act<ActFailure>("startNodes", cluster),
      stopNodes: (cluster) => act<ActFailure>("stopNodes", cluster),
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

    const createNodes: NodeCreatorService["createNodes"] = (spec) =>
      Effect.flatMap(checkNewClusterName(spec.cluster), (cluster) =>
        Effect.andThen(
          called({ method: "createNodes", cluster, spec }),
          answer<OperationReport, CreateFailure>("createNodes", cluster, spec)
        )).pipe(
          Effect.flatMap((report) =>
            report.isFailure ? Effect.fail(new NodesNotCreated({ report, leftovers: [] })) : Effect.succeed(report)
          ),
          method(backend, "createNodes", spec.cluster)
        )

    return {
      provider,
      creator: makeNodeCreator(createNodes, provider.deleteNodes),
      calls: Effect.sync(() => [...calls]),
      clearCalls: Effect.sync(() => {
        calls.length = 0
      })
    }
  })

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
export const layer = (answers: Answers = {}): Layer.Layer<Provider | NodeCreator | Mock> =>
  Layer.effectContext(
    Effect.map(make(answers), (mock) =>
      Context.make(Mock, mock).pipe(Context.add(Provider, mock.provider), Context.add(NodeCreator, mock.creator)))
  )

/**
 * `Mock` alone, for programs with several backends; `Provider.layerFrom(Mock)` makes it the `Provider`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerService = (answers: Answers = {}): Layer.Layer<Mock> => Layer.effect(Mock, make(answers))
