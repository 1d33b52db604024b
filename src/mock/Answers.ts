/**
 * The answers that a mock is given, and finding the one that is next: by method, by cluster, and by its place in a
 * sequence. What is answered is not judged here.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type * as Stream from "effect/Stream"
import type { ClusterStatus, NodeInfo } from "../Model.ts"
import type { ClusterSpec, CreateFailure } from "../Provider.ts"
import type {
  BackendFailure,
  ClusterNotFound,
  NodesFailed,
  NoNodes,
  OperationTimeout,
  ProviderUnavailable
} from "../ProviderError.ts"
import type { BackendError } from "../Reason.ts"
import type { OperationReport } from "../Report.ts"

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

/** How a method that acts on nodes can fail. */
export type ActFailure = NoNodes | NodesFailed | OperationTimeout | BackendFailure

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

/**
 * @category models
 * @since 0.1.0
 */
export type MethodName = keyof Answers

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
