/**
 * Every error that a signature of kubelayer can name, beside `BackendError` of `Reason`.
 *
 * The sentinels and refusals (`NoNodes`, `InvalidSpec`, ...) mean that nothing was changed. `NodesFailed`,
 * `NodesNotCreated` and `OperationTimeout` carry the report of an operation that ran.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import type * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { nearList } from "./internal/Suggest.ts"
import type { ClusterName } from "./Model.ts"
import { BackendError, type Reason, type ReasonTag, type ResourceKind } from "./Reason.ts"
import type { OperationName, OperationReport } from "./Report.ts"

// -----------------------------------------------------------------------------
// Sentinels and refusals: nothing was done
// -----------------------------------------------------------------------------

// Invisible characters and changes of the text direction would disguise a message.
const quoted = (input: string): string =>
  JSON.stringify(input.length > 80 ? `${input.slice(0, 80)}…` : input).replace(
    /[^\p{L}\p{M}\p{N}\p{P}\p{S} ]/gu,
    (hidden) => `\\u{${(hidden.codePointAt(0) ?? 0).toString(16)}}`
  )

const otherClusters = (error: { readonly clusterName: string; readonly known?: ReadonlyArray<string> }): string =>
  `${nearList(error.clusterName, error.known ?? [])}. Check the name: listAllClusters lists all clusters.`

/** `hetzner`, or `hetzner (eu)` for a named instance. */
const providerOf = (error: { readonly provider: string; readonly instance?: string }): string =>
  error.instance === undefined ? error.provider : `${error.provider} (${error.instance})`

/**
 * The cluster has no nodes, so there is nothing to start or stop.
 *
 * @category errors
 * @since 0.1.0
 */
export class NoNodes extends Data.TaggedError("NoNodes")<{
  readonly provider: string
  /** The name of the layer's instance, where it is another one than that of the backend. */
  readonly instance?: string
  readonly clusterName: string
  /** The clusters that the backend has, where the operation listed them anyway. */
  readonly known?: ReadonlyArray<string>
}> {
  override get message(): string {
    return `${providerOf(this)}: cluster ${quoted(this.clusterName)} has no nodes${otherClusters(this)}`
  }
}

/**
 * No connection to the backend could be opened. There was no retry.
 *
 * @category errors
 * @since 0.1.0
 */
export class ProviderUnavailable extends Data.TaggedError("ProviderUnavailable")<{
  readonly provider: string
  /** The name of the layer's instance, if it differs from the name of the backend. */
  readonly instance?: string
  /** The address that was tried, as a URL without credentials. */
  readonly address?: string
  readonly detail: string
  /** Every place that was considered, in order, and why it was passed over. */
  readonly candidates?: ReadonlyArray<{ readonly address: string; readonly why: string }>
  readonly advice: string
}> {
  override get message(): string {
    const tried = (this.candidates ?? []).map((candidate) => `\n  - ${candidate.address}: ${candidate.why}`).join("")
    const address = this.address === undefined ? "" : ` at ${this.address}`
    return `${providerOf(this)} is not available${address}: ${this.detail}${tried}\n${this.advice}`
  }
}

/**
 * The cluster does not exist.
 *
 * @category errors
 * @since 0.1.0
 */
export class ClusterNotFound extends Data.TaggedError("ClusterNotFound")<{
  readonly provider: string
  /** The name of the layer's instance, where it is another one than that of the backend. */
  readonly instance?: string
  readonly clusterName: string
  /** The clusters that the backend has, where the operation listed them anyway. */
  readonly known?: ReadonlyArray<string>
}> {
  override get message(): string {
    return `${providerOf(this)}: there is no cluster ${quoted(this.clusterName)}${otherClusters(this)}`
  }
}

/**
 * A layer was configured with a label scheme that it does not know. Only building a layer fails with it.
 *
 * @category errors
 * @since 0.1.0
 */
export class UnknownLabelScheme extends Data.TaggedError("UnknownLabelScheme")<{
  readonly scheme: string
  readonly known: ReadonlyArray<string>
}> {
  override get message(): string {
    return `unknown label scheme ${quoted(this.scheme)}; known: ${this.known.join(", ")}`
  }
}

/**
 * Fail with it in a callback of `forEachNode` to leave a node out: its outcome is `Skipped`, and the others go on.
 *
 * @category errors
 * @since 0.1.0
 */
export class SkipAction extends Data.TaggedError("SkipAction")<{ readonly reason: string }> {
  override get message(): string {
    return `skipped: ${this.reason}`
  }
}

/**
 * The name cannot be a cluster's. Nothing was sent.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidClusterName extends Data.TaggedError("InvalidClusterName")<{
  readonly input: string
  readonly issue: string
}> {
  override get message(): string {
    return `invalid cluster name ${quoted(this.input)}: ${this.issue}`
  }
}

/**
 * One thing that is wrong with a spec, an option or a variable of the environment.
 *
 * @category models
 * @since 0.2.0
 */
export interface SpecIssue {
  /** The path in the spec or the options, such as `nodes.image`, or the name of a variable, such as `HCLOUD_TOKEN`. */
  readonly path: string
  readonly message: string
  /** It concerns a credential that is missing or malformed. */
  readonly isCredential?: boolean
}

/**
 * Everything that is wrong with a spec, with a layer's options or with the environment, each with its path. Nothing was
 * sent.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidSpec extends Data.TaggedError("InvalidSpec")<{
  readonly issues: ReadonlyArray<SpecIssue>
}> {
  override get message(): string {
    return `invalid spec:${this.issues.map((issue) => `\n  - ${issue.path}: ${issue.message}`).join("")}`
  }
}

// -----------------------------------------------------------------------------
// Operations that ran
// -----------------------------------------------------------------------------

const failures = (report: OperationReport): string =>
  (report.errors ?? []).map((error) => `\n  - ${error.message}`).join("") +
  [...report.failed, ...report.unsupported].map((node) =>
    [`\n  - ${node.kind} ${node.name}: ${node.problem}`, ...node.notes ?? []].join("\n      ")
  ).join("")

/**
 * An operation ran to its end and at least one node failed, or none could be acted on. The report has every node.
 *
 * @category errors
 * @since 0.1.0
 */
export class NodesFailed extends Data.TaggedError("NodesFailed")<{ readonly report: OperationReport }> {
  /** The reasons of all nodes that failed, in the report's order. */
  get reasons(): ReadonlyArray<Reason> {
    return this.report.reasons
  }

  override get message(): string {
    const { clusterName, failed, operation, outcomes, unsupported } = this.report
    const count = `${failed.length + unsupported.length} of ${outcomes.length} failed`
    return `${operation} of cluster ${clusterName}: ${count}${failures(this.report)}`
  }
}

/**
 * Something that a failed or interrupted create created and could not remove.
 *
 * @category errors
 * @since 0.1.0
 */
export interface Leftover {
  readonly kind: ResourceKind
  readonly name: string
  readonly id?: string
  readonly why: string
}

const notCreated = ({ clusterName, operation }: OperationReport): string => {
  switch (operation) {
    case "addNodes":
      return `nodes were not added to cluster "${clusterName}"`
    case "replaceNodes":
      return `nodes of cluster "${clusterName}" were not created again`
    default:
      return `cluster ${clusterName} was not created`
  }
}

/**
 * A create did not succeed. Everything that it created is removed again, except the `leftovers`.
 *
 * @category errors
 * @since 0.1.0
 */
export class NodesNotCreated extends Data.TaggedError("NodesNotCreated")<{
  readonly report: OperationReport
  readonly leftovers: ReadonlyArray<Leftover>
}> {
  /** The reasons of everything that failed, in the report's order. */
  get reasons(): ReadonlyArray<Reason> {
    return this.report.reasons
  }

  override get message(): string {
    const left = this.leftovers.map((left) => `\n  - left behind: ${left.kind} ${left.name}: ${left.why}`).join("")
    return `${notCreated(this.report)}${failures(this.report)}${left}`
  }
}

/**
 * `Policy.operationTimeout` passed. The report has what was settled by then; what was sent, the backend completes.
 *
 * @category errors
 * @since 0.1.0
 */
export class OperationTimeout extends Data.TaggedError("OperationTimeout")<{
  readonly operation: OperationName
  readonly clusterName: string
  readonly duration: Duration.Duration
  readonly report: OperationReport
}> {
  override get message(): string {
    return `${this.operation} of cluster ${this.clusterName} did not end within ${Duration.format(this.duration)}; ` +
      `${this.report.outcomes.length} outcomes are known. Run it again to finish, or raise Policy.operationTimeout.` +
      failures(this.report)
  }
}

/**
 * A cluster that `deleteOlderThan` found. It has a `report` if it was deleted, an `error` if it was not, and neither in a
 * dry run.
 *
 * @category models
 * @since 0.2.0
 */
export interface ExpiredCluster {
  readonly clusterName: ClusterName
  /** The creation time of its oldest node. */
  readonly createdAt: DateTime.Utc
  readonly ageMillis: number
  readonly report?: OperationReport
  readonly error?: NodesFailed | OperationTimeout | BackendFailure
}

/**
 * `deleteOlderThan` could not delete at least one cluster. `clusters` has all of them, the deleted ones included.
 *
 * @category errors
 * @since 0.2.0
 */
export class ClustersNotDeleted extends Data.TaggedError("ClustersNotDeleted")<{
  readonly provider: string
  readonly clusters: ReadonlyArray<ExpiredCluster>
}> {
  override get message(): string {
    const failed = this.clusters.flatMap(({ clusterName, error }) =>
      error === undefined ? [] : [`\n  - ${clusterName}: ${error.message.replaceAll("\n", "\n    ")}`]
    )
    return `${this.provider}: ${failed.length} of ${this.clusters.length} clusters were not deleted${failed.join("")}`
  }
}

/**
 * The errors of every method that sends a request to a backend.
 *
 * @category errors
 * @since 0.1.0
 */
export type BackendFailure = InvalidClusterName | ProviderUnavailable | BackendError

/**
 * Every error of kubelayer.
 *
 * @category errors
 * @since 0.1.0
 */
export type ProviderError =
  | BackendFailure
  | NoNodes
  | ClusterNotFound
  | UnknownLabelScheme
  | SkipAction
  | InvalidSpec
  | NodesFailed
  | NodesNotCreated
  | OperationTimeout
  | ClustersNotDeleted

// -----------------------------------------------------------------------------
// Reasons inside errors
// -----------------------------------------------------------------------------

/**
 * The backend errors inside any error of kubelayer: the error itself, or those of the nodes and resources in its
 * report, in the report's order. Empty for every other value.
 *
 * @category getters
 * @since 0.2.0
 */
export const backendErrorsOf = (error: unknown): ReadonlyArray<BackendError> => {
  if (error instanceof BackendError) return [error]
  if (error instanceof ClustersNotDeleted) return error.clusters.flatMap((cluster) => backendErrorsOf(cluster.error))
  if (
    error instanceof NodesFailed || error instanceof NodesNotCreated || error instanceof OperationTimeout
  ) {
    const { errors = [], failed } = error.report
    return [...errors, ...failed.flatMap(({ outcome }) => outcome._tag === "Failed" ? [outcome.error] : [])]
  }
  return []
}

/**
 * All reasons inside any error of kubelayer: that of a `BackendError`, and those of all nodes and resources in
 * `NodesFailed`, `NodesNotCreated` and `OperationTimeout`. Empty for an error without a reason, such as `NoNodes`.
 *
 * **Example** (Why an operation failed, each reason once)
 *
 * ```ts run
 * import * as Effect from "effect/Effect"
 * import * as Memory from "kubelayer/layers/Memory"
 * import { Provider } from "kubelayer/Provider"
 * import { reasonsOf } from "kubelayer/ProviderError"
 * import { Protected } from "kubelayer/Reason"
 *
 * const program = Effect.gen(function*() {
 *   const memory = yield* Memory.Memory
 *   yield* memory.failNext({ operation: "stop", node: "dev-worker", reason: new Protected({ detail: "in use" }) })
 *   const error = yield* Effect.flip(Provider.use((provider) => provider.stopNodes("dev")))
 *   return reasonsOf(error).map((reason) => reason._tag)
 * })
 *
 * const clusters = { dev: { controlPlanes: 1, workers: 1 } }
 * console.log((await Effect.runPromise(program.pipe(Effect.provide(Memory.layer({ clusters }))))).join(", "))
 * // => Protected
 * ```
 *
 * @category getters
 * @since 0.2.0
 */
export const reasonsOf = (error: unknown): ReadonlyArray<Reason> => backendErrorsOf(error).map(({ reason }) => reason)

/**
 * The place of a reason that `catchNodeReason` found.
 *
 * @category models
 * @since 0.2.0
 */
export interface ReasonOrigin<E> {
  /** The node or resource that failed; `undefined` where the backend refused the call as a whole. */
  readonly subject: BackendError["subject"]
  /** The whole error of the operation. Fail with it to pass it on. */
  readonly error: Extract<E, BackendError | NodesFailed | NodesNotCreated | OperationTimeout>
  /** The other reasons inside `error`. Nodes can fail for different reasons. */
  readonly others: ReadonlyArray<Reason>
}

/**
 * Catches an error that contains a reason: a `BackendError`, or a `NodesFailed`, `NodesNotCreated` or
 * `OperationTimeout` in which a node or resource failed for that reason. `f` gets the first such reason, and its origin.
 * Other errors pass through.
 *
 * `Effect.catchReason("BackendError", ...)` sees only the error of the call as a whole, never that of a node.
 *
 * **Example** (Start again after the backend's rate limit)
 *
 * ```ts run
 * import * as Effect from "effect/Effect"
 * import * as Memory from "kubelayer/layers/Memory"
 * import { Provider } from "kubelayer/Provider"
 * import { catchNodeReason } from "kubelayer/ProviderError"
 * import { Protected } from "kubelayer/Reason"
 *
 * const program = Effect.gen(function*() {
 *   const memory = yield* Memory.Memory
 *   yield* memory.failNext({ operation: "start", node: "dev-worker", reason: new Protected({ detail: "locked" }) })
 *   return yield* Provider.use((provider) => provider.startNodes("dev")).pipe(
 *     Effect.map((report) => `${report.done.length} started`),
 *     catchNodeReason("Protected", (reason, { subject }) => Effect.succeed(`${subject?.name}: ${reason.detail}`))
 *   )
 * })
 *
 * const clusters = { dev: { controlPlanes: 1, workers: 1, state: "stopped" } } as const
 * console.log(await Effect.runPromise(program.pipe(Effect.provide(Memory.layer({ clusters })))))
 * // => dev-worker: locked
 * ```
 *
 * @category error handling
 * @since 0.2.0
 */
export const catchNodeReason = <const Tag extends ReasonTag, E, A2, E2, R2>(
  tag: Tag | ReadonlyArray<Tag>,
  f: (reason: Extract<Reason, { readonly _tag: Tag }>, origin: ReasonOrigin<E>) => Effect.Effect<A2, E2, R2>
) =>
<A, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A | A2, E | E2, R | R2> =>
  Effect.catch(self, (error): Effect.Effect<A2, E | E2, R2> => {
    const tags: ReadonlyArray<string> = typeof tag === "string" ? [tag] : tag
    const found = backendErrorsOf(error)
    const first = found.find(({ reason }) => tags.includes(reason._tag))
    if (first === undefined) return Effect.fail(error)
    return f(first.reason as Extract<Reason, { readonly _tag: Tag }>, {
      subject: first.subject,
      error: error as ReasonOrigin<E>["error"],
      others: found.filter((each) => each !== first).map(({ reason }) => reason)
    })
  })
