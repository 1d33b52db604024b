/**
 * Every error that a signature of kubelayer can name.
 *
 * There are three kinds. The sentinels and refusals (`NoNodes`, `InvalidSpec`, ...) say that nothing was done.
 * `BackendError` says what the backend answered, as one of the reasons below. `NodesFailed`, `NodesNotCreated` and
 * `OperationTimeout` carry the report of an operation that ran.
 *
 * The table of reasons is the one place for advice and for what may be tried again. Which status or code of a backend
 * becomes which reason is said in that backend's own `Errors.ts`.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Schema from "effect/Schema"
import type { OperationName, OperationReport, ResourceKind } from "./Model.ts"

// -----------------------------------------------------------------------------
// Reasons
// -----------------------------------------------------------------------------

/**
 * What each reason means for a caller: whether the same call may succeed when it is sent again, and what to do.
 *
 * @category errors
 * @since 0.1.0
 */
export const reasons = {
  Unauthorized: { isRetryable: false, advice: "Check that the credential is set, complete and not revoked." },
  ReadOnlyCredential: { isRetryable: false, advice: "Use a credential that may write." },
  RateLimited: { isRetryable: true, advice: "Wait until the quota refills, or lower Policy.concurrency." },
  CapacityUnavailable: { isRetryable: false, advice: "Choose another location or server type, or try again later." },
  PlacementFailed: {
    isRetryable: false,
    advice: "Spread over more locations, or use fewer nodes per placement group."
  },
  QuotaExceeded: { isRetryable: false, advice: "Delete what is not used, or ask the backend for a higher limit." },
  NameTaken: { isRetryable: false, advice: "Choose another name, or remove what holds it; nothing of it was touched." },
  AmbiguousCluster: { isRetryable: false, advice: "Name the scheme in the layer's options instead of `auto`." },
  Locked: { isRetryable: true, advice: "Another operation holds the resource; it frees itself." },
  Conflict: { isRetryable: true, advice: "The resource changed meanwhile; read it again and repeat." },
  InUse: { isRetryable: false, advice: "Remove or detach what uses the resource, then repeat." },
  InvalidInput: { isRetryable: false, advice: "The backend refused a value; its own words say which." },
  NotFoundError: { isRetryable: false, advice: "It is not there any more, or not yet; list again." },
  Protected: { isRetryable: false, advice: "Lift the protection of the resource first." },
  UnsupportedError: { isRetryable: false, advice: "This backend cannot do that; its documentation names the way." },
  Transport: {
    isRetryable: true,
    advice: "The connection was cut; the backend may have done the work, so read before repeating."
  },
  RequestTimeout: {
    isRetryable: true,
    advice: "No answer came in time; the backend may still do the work. Raise Policy.requestTimeout or nodeTimeout."
  },
  ServerFault: { isRetryable: true, advice: "The backend failed by itself; its log says more." },
  InvalidResponse: {
    isRetryable: false,
    advice: "Something that is not the backend answered, or its version is too far off."
  },
  UnknownError: {
    isRetryable: false,
    advice: "No error that kubelayer knows; if a backend gave it, please report it with its code."
  }
} as const satisfies Record<string, { readonly isRetryable: boolean; readonly advice: string }>

/** @category errors @since 0.1.0 */
export type ReasonTag = keyof typeof reasons

interface ReasonTraits {
  /** Whether the same call, sent again, may succeed. Whether it is *safe* to send again is the caller's knowledge. */
  readonly isRetryable: boolean
  /** How long the backend asked to wait, where it did. */
  readonly retryAfter: Duration.Duration | undefined
  /** What a person can do about it. */
  readonly advice: string
}

// TypeScript takes a class as a mixin only where its constructor is `(...args: any[])`.
// oxlint-disable-next-line typescript/no-explicit-any
type Constructor<A> = abstract new(...args: any[]) => A

const withTraits = <C extends Constructor<{ readonly _tag: ReasonTag; readonly detail: string }>>(
  base: C
): C & Constructor<ReasonTraits> => {
  interface Self extends ReasonTraits {
    readonly _tag: ReasonTag
    readonly detail: string
    readonly status?: number
    readonly code?: string
    readonly correlationId?: string
    readonly retryAfterMillis?: number
  }
  Object.defineProperties(base.prototype, {
    isRetryable: {
      get(this: Self) {
        return reasons[this._tag].isRetryable
      }
    },
    retryAfter: {
      get(this: Self) {
        return this.retryAfterMillis === undefined ? undefined : Duration.millis(this.retryAfterMillis)
      }
    },
    advice: {
      get(this: Self) {
        return reasons[this._tag].advice
      }
    },
    message: {
      get(this: Self) {
        const origin = [this.status, this.code, this.correlationId].filter((part) => part !== undefined).join(" ")
        return `${this._tag}: ${this.detail}${origin === "" ? "" : ` [${origin}]`}. ${this.advice}`
      }
    }
  })
  return base as C & Constructor<ReasonTraits>
}

const common = {
  /** What happened, in the backend's own words where it gave any. */
  detail: Schema.String,
  /** The backend's own error code, as it came. */
  code: Schema.optionalKey(Schema.String),
  /** The HTTP status or gRPC code, as it came. */
  status: Schema.optionalKey(Schema.Int),
  /** The backend's id of the request, for its support or its log. */
  correlationId: Schema.optionalKey(Schema.String)
}

/** @category errors @since 0.1.0 */
export class Unauthorized extends withTraits(Schema.TaggedError<Unauthorized>()("Unauthorized", common)) {}
/** @category errors @since 0.1.0 */
export class ReadOnlyCredential
  extends withTraits(Schema.TaggedError<ReadOnlyCredential>()("ReadOnlyCredential", common))
{}
/** @category errors @since 0.1.0 */
export class RateLimited extends withTraits(
  Schema.TaggedError<RateLimited>()("RateLimited", { ...common, retryAfterMillis: Schema.optionalKey(Schema.Int) })
) {}
/** @category errors @since 0.1.0 */
export class CapacityUnavailable
  extends withTraits(Schema.TaggedError<CapacityUnavailable>()("CapacityUnavailable", common))
{}
/** @category errors @since 0.1.0 */
export class PlacementFailed extends withTraits(Schema.TaggedError<PlacementFailed>()("PlacementFailed", common)) {}
/** @category errors @since 0.1.0 */
export class QuotaExceeded extends withTraits(Schema.TaggedError<QuotaExceeded>()("QuotaExceeded", common)) {}
/**
 * A name that a create needs is held by something else; `by` says by what. It was not touched.
 *
 * @category errors
 * @since 0.1.0
 */
export class NameTaken
  extends withTraits(Schema.TaggedError<NameTaken>()("NameTaken", { ...common, by: Schema.String }))
{}
/**
 * The name stands for a cluster in more than one scheme; `candidates` are `scheme/cluster`. Nothing was touched.
 *
 * @category errors
 * @since 0.1.0
 */
export class AmbiguousCluster extends withTraits(
  Schema.TaggedError<AmbiguousCluster>()("AmbiguousCluster", { ...common, candidates: Schema.Array(Schema.String) })
) {}
/** @category errors @since 0.1.0 */
export class Locked extends withTraits(Schema.TaggedError<Locked>()("Locked", common)) {}
/** @category errors @since 0.1.0 */
export class Conflict extends withTraits(Schema.TaggedError<Conflict>()("Conflict", common)) {}
/** @category errors @since 0.1.0 */
export class InUse extends withTraits(Schema.TaggedError<InUse>()("InUse", common)) {}
/** @category errors @since 0.1.0 */
export class InvalidInput extends withTraits(Schema.TaggedError<InvalidInput>()("InvalidInput", common)) {}
/** @category errors @since 0.1.0 */
export class NotFoundError extends withTraits(Schema.TaggedError<NotFoundError>()("NotFoundError", common)) {}
/** @category errors @since 0.1.0 */
export class Protected extends withTraits(Schema.TaggedError<Protected>()("Protected", common)) {}
/** @category errors @since 0.1.0 */
export class UnsupportedError extends withTraits(Schema.TaggedError<UnsupportedError>()("UnsupportedError", common)) {}
/** @category errors @since 0.1.0 */
export class Transport extends withTraits(Schema.TaggedError<Transport>()("Transport", common)) {}
/** @category errors @since 0.1.0 */
export class RequestTimeout extends withTraits(
  Schema.TaggedError<RequestTimeout>()("RequestTimeout", { ...common, durationMillis: Schema.Int })
) {}
/** @category errors @since 0.1.0 */
export class ServerFault extends withTraits(
  Schema.TaggedError<ServerFault>()("ServerFault", { ...common, retryAfterMillis: Schema.optionalKey(Schema.Int) })
) {}
/** @category errors @since 0.1.0 */
export class InvalidResponse extends withTraits(Schema.TaggedError<InvalidResponse>()("InvalidResponse", common)) {}
/** @category errors @since 0.1.0 */
export class UnknownError extends withTraits(Schema.TaggedError<UnknownError>()("UnknownError", common)) {}

/**
 * Why a backend did not do what was asked. Match with `Effect.catchReason("BackendError", tag, f)`.
 *
 * @category errors
 * @since 0.1.0
 */
export const Reason = Schema.Union([
  Unauthorized,
  ReadOnlyCredential,
  RateLimited,
  CapacityUnavailable,
  PlacementFailed,
  QuotaExceeded,
  NameTaken,
  AmbiguousCluster,
  Locked,
  Conflict,
  InUse,
  InvalidInput,
  NotFoundError,
  Protected,
  UnsupportedError,
  Transport,
  RequestTimeout,
  ServerFault,
  InvalidResponse,
  UnknownError
])

/** @category errors @since 0.1.0 */
export type Reason = typeof Reason.Type

/**
 * What a backend answered to one operation, or to one node of it.
 *
 * @category errors
 * @since 0.1.0
 */
export class BackendError extends Schema.TaggedError<BackendError>()("BackendError", {
  /** The backend, `docker`, `hetzner`, ... */
  provider: Schema.String,
  /** The method that was running, `startNodes`, `listNodes`, ... */
  operation: Schema.String,
  clusterName: Schema.optionalKey(Schema.String),
  node: Schema.optionalKey(Schema.String),
  reason: Reason
}) {
  get isRetryable(): boolean {
    return this.reason.isRetryable
  }

  override get message(): string {
    const at = this.node !== undefined
      ? ` at ${this.node}`
      : this.clusterName !== undefined
      ? ` for cluster ${this.clusterName}`
      : ""
    return `${this.provider} ${this.operation}${at}: ${this.reason.message}`
  }
}

// -----------------------------------------------------------------------------
// Sentinels and refusals: nothing was done
// -----------------------------------------------------------------------------

// What cannot be seen, or turns the text round, would make a message look like another one.
const quoted = (input: string): string =>
  JSON.stringify(input.length > 80 ? `${input.slice(0, 80)}…` : input).replace(
    /[^\p{L}\p{M}\p{N}\p{P}\p{S} ]/gu,
    (hidden) => `\\u{${(hidden.codePointAt(0) ?? 0).toString(16)}}`
  )

/**
 * The cluster has no nodes, so there is nothing to start or stop.
 *
 * @category errors
 * @since 0.1.0
 */
export class NoNodes extends Data.TaggedError("NoNodes")<{
  readonly provider: string
  readonly clusterName: string
}> {
  override get message(): string {
    return `${this.provider}: cluster ${this.clusterName} has no nodes`
  }
}

/**
 * No connection to the backend could be made. It was not tried again.
 *
 * @category errors
 * @since 0.1.0
 */
export class ProviderUnavailable extends Data.TaggedError("ProviderUnavailable")<{
  readonly provider: string
  /** Where a connection was tried, as a URL without credentials. */
  readonly address?: string
  readonly detail: string
  /** Every place that was considered, in order, and why it was passed over. */
  readonly candidates?: ReadonlyArray<{ readonly address: string; readonly why: string }>
  readonly advice: string
}> {
  override get message(): string {
    const tried = (this.candidates ?? []).map((candidate) => `\n  - ${candidate.address}: ${candidate.why}`).join("")
    const address = this.address === undefined ? "" : ` at ${this.address}`
    return `${this.provider} is not available${address}: ${this.detail}${tried}\n${this.advice}`
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
  readonly clusterName: string
}> {
  override get message(): string {
    return `${this.provider}: there is no cluster ${this.clusterName}`
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
 * All faults of a spec at once, each with the path to it. Nothing was sent.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidSpec extends Data.TaggedError("InvalidSpec")<{
  readonly issues: ReadonlyArray<{ readonly path: string; readonly message: string }>
}> {
  override get message(): string {
    return `invalid spec:${this.issues.map((issue) => `\n  - ${issue.path}: ${issue.message}`).join("")}`
  }
}

// -----------------------------------------------------------------------------
// Operations that ran
// -----------------------------------------------------------------------------

const failures = (report: OperationReport): string =>
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
 * Something that a failed or interrupted create made and could not remove again.
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

/**
 * A create did not succeed. What it had made is removed again, but for the `leftovers`.
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
    return `cluster ${this.report.clusterName} was not created${failures(this.report)}${left}`
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
 * What every method that asks a backend can fail with.
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
