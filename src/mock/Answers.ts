/**
 * The prepared answers of a mock, and the selection of the next one: by method, by cluster, and by its place in a
 * sequence. Answers are not validated here.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type * as Stream from "effect/Stream"
import type { ClusterStatus, NodeInfo } from "../Model.ts"
import type { Plan } from "../Plan.ts"
import type {
  AddedNodes,
  ApplyFailure,
  ClusterSpec,
  CreateFailure,
  Orphan,
  RollingOptions,
  SweepOptions
} from "../Provider.ts"
import type {
  BackendFailure,
  ClusterNotFound,
  InvalidSpec,
  NodesFailed,
  NoNodes,
  OperationTimeout,
  ProviderUnavailable
} from "../ProviderError.ts"
import type { BackendError } from "../Reason.ts"
import type { OperationName, OperationReport } from "../Report.ts"

/**
 * Answers one after the other; the last one stays. `sequence` creates it.
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
 * One answer for all clusters, or one for each by its name; `*` is for all others.
 *
 * @category models
 * @since 0.1.0
 */
export type ByCluster<A, E, Args extends ReadonlyArray<unknown> = [cluster: string]> =
  | Answering<A, E, Args>
  | { readonly [cluster: string]: Answering<A, E, Args> }

/** How a method that acts on nodes can fail. */
export type ActFailure = NoNodes | NodesFailed | OperationTimeout | BackendFailure

/**
 * The answers of the methods. `nodesExist` and `getClusterStatus` follow from `listNodes`, and `listAllClusters` and
 * `listAllStatuses` too where `listNodes` is given by cluster, unless they have an answer of their own. A mock is
 * available unless an answer says otherwise.
 *
 * @category models
 * @since 0.1.0
 */
export interface Answers {
  readonly listNodes?: ByCluster<ReadonlyArray<NodeInfo>, BackendFailure>
  readonly nodesExist?: ByCluster<boolean, BackendFailure>
  readonly getClusterStatus?: ByCluster<ClusterStatus | Option.Option<ClusterStatus>, BackendFailure>
  readonly listAllClusters?: Answering<ReadonlyArray<string>, ProviderUnavailable | BackendError>
  readonly listAllStatuses?: Answering<ReadonlyArray<ClusterStatus>, ProviderUnavailable | BackendError>
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
  /** Lists of statuses one after the other, after which the stream ends; or a Stream. */
  readonly watchAllClusters?: Answering<
    | ReadonlyArray<ReadonlyArray<ClusterStatus>>
    | Stream.Stream<
      ReadonlyArray<ClusterStatus>,
      ProviderUnavailable | BackendError
    >,
    ProviderUnavailable | BackendError
  >
  readonly planDelete?: ByCluster<Plan, BackendFailure>
  /** A function gets the spec. */
  readonly plan?: ByCluster<Plan, BackendFailure | InvalidSpec, [spec: ClusterSpec]>
  /** A function gets the spec. A report with failures makes the method fail with `NodesNotCreated`. */
  readonly createNodes?: ByCluster<OperationReport, CreateFailure, [spec: ClusterSpec]>
  /** A function gets the plan. A report with failures makes the method fail with `NodesFailed`. */
  readonly apply?: ByCluster<OperationReport, ApplyFailure, [plan: Plan]>
  /** A function gets the nodes. A report with failures makes the method fail with `NodesNotCreated`. */
  readonly addNodes?: ByCluster<OperationReport, CreateFailure | ClusterNotFound, [nodes: AddedNodes]>
  /** A function gets the names. A report with failures makes the method fail with `NodesFailed`. */
  readonly removeNodes?: ByCluster<
    OperationReport,
    Exclude<ActFailure, NoNodes> | ClusterNotFound,
    [names: ReadonlyArray<string>]
  >
  /** A function gets the options; no gate runs. A report with failures makes the method fail with `NodesFailed`. */
  readonly replaceNodes?: ByCluster<OperationReport, CreateFailure | NodesFailed | ClusterNotFound, [
    options: RollingOptions<unknown, unknown>
  ]>
  /** A function gets the options; no gate runs. A report with failures makes the method fail with `NodesFailed`. */
  readonly restartNodes?: ByCluster<OperationReport, Exclude<ActFailure, NoNodes> | ClusterNotFound | InvalidSpec, [
    options: RollingOptions<unknown, unknown>
  ]>
  /** A function gets the options. */
  readonly sweep?: Answering<ReadonlyArray<Orphan>, ProviderUnavailable | BackendError, [options: SweepOptions]>
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

/**
 * @category models
 * @since 0.1.0
 */
export type MethodName = keyof Answers

const reportExample = (method: OperationName) => (cluster: string) =>
  `{ "${cluster}": Mock.report("${method}", "${cluster}", { "${cluster}-worker": "Done" }) }`

/** The code to write for a missing answer. */
const examples: { readonly [K in MethodName]: (cluster: string) => string } = {
  listNodes: (cluster) => `{ "${cluster}": Mock.nodes("${cluster}", { workers: 2 }) }`,
  nodesExist: (cluster) => `{ "${cluster}": true }, or listNodes, from which it follows`,
  getClusterStatus: (cluster) =>
    `{ "${cluster}": Mock.status(Mock.nodes("${cluster}")) }, or listNodes, from which it follows`,
  listAllClusters: () => `["dev"], or listNodes by cluster, from which it follows`,
  listAllStatuses: () => `[Mock.status(Mock.nodes("dev"))], or listNodes by cluster, from which it follows`,
  startNodes: reportExample("startNodes"),
  stopNodes: reportExample("stopNodes"),
  deleteNodes: reportExample("deleteNodes"),
  isAvailable: () => "true",
  checkAvailable: () => "Effect.void",
  watchCluster: (cluster) => `{ "${cluster}": [Mock.status(Mock.nodes("${cluster}"))] }`,
  watchAllClusters: () => `[[Mock.status(Mock.nodes("dev"))]]`,
  planDelete: (cluster) =>
    `{ "${cluster}": Mock.plan("deleteNodes", "${cluster}", { "${cluster}-worker": "delete" }) }`,
  plan: (cluster) => `{ "${cluster}": Mock.plan("createNodes", "${cluster}", { "${cluster}-worker": "create" }) }`,
  createNodes: reportExample("createNodes"),
  apply: reportExample("apply"),
  addNodes: reportExample("addNodes"),
  removeNodes: reportExample("removeNodes"),
  replaceNodes: reportExample("replaceNodes"),
  restartNodes: reportExample("restartNodes"),
  sweep: () => "[]"
}

/** Whether answers are given by the names of clusters. */
export const isByCluster = (answer: unknown): answer is Readonly<Record<string, unknown>> =>
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

/** The answers of one mock, each with its place in its sequence. */
export const makeAnswering = (answers: Answers) => {
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

  return { answer, has: (name: MethodName, cluster: string): boolean => find(name, cluster) !== undefined }
}
