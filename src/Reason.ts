/**
 * Why a backend refused or failed: the reasons, and `BackendError` that carries one of them.
 *
 * The table of reasons is the one place for advice and for what may be retried. The `Errors.ts` of a backend says which
 * status or code becomes which reason.
 *
 * @since 0.2.0
 */
import * as Duration from "effect/Duration"
import * as Schema from "effect/Schema"

// -----------------------------------------------------------------------------
// Kinds and differences
// -----------------------------------------------------------------------------

/** The kind of thing that an outcome, an event, an error or a leftover names. */
export const ResourceKind = Schema.Literals([
  "node",
  "cluster",
  "network",
  "volume",
  "image",
  "firewall",
  "placement-group",
  "floating-ip",
  "primary-ip",
  "load-balancer",
  "ssh-key",
  "resource"
])

/** @category models @since 0.1.0 */
export type ResourceKind = typeof ResourceKind.Type

/**
 * How a difference is removed.
 *
 * - `repair`: add what is missing (connect, attach, assign, apply). Nothing is taken away.
 * - `update`: change what exists (rules, labels, a larger volume).
 * - `replace`: delete the thing and create it again. No step does that on its own.
 *
 * @category models
 * @since 0.2.0
 */
export const Remedy = Schema.Literals(["repair", "update", "replace"])

/** @category models @since 0.2.0 */
export type Remedy = typeof Remedy.Type

/**
 * One field in which a node or resource is not as requested.
 *
 * @category models
 * @since 0.2.0
 */
export class Difference extends Schema.Class<Difference>("kubelayer/Difference")({
  /** The path of the field in the spec of the thing, such as `image` or `labels.team`. */
  field: Schema.String,
  /** The value that the backend has; `null` where it has none. Never a secret. */
  actual: Schema.Json,
  /** The value that the spec requests; `null` where it requests none. Never a secret. */
  requested: Schema.Json,
  remedy: Remedy
}) {
  override toString(): string {
    return `${this.field}: ${JSON.stringify(this.actual)} (requested ${JSON.stringify(this.requested)})`
  }
}

/**
 * All differences of one node or resource, and the step that would remove them.
 *
 * @category models
 * @since 0.2.0
 */
export const ResourceDifferences = Schema.Struct({
  kind: ResourceKind,
  name: Schema.String,
  id: Schema.optionalKey(Schema.String),
  /** `update` and `delete` are done by `apply` only; `refuse` by nothing. */
  action: Schema.Literals(["update", "delete", "refuse"]),
  /** One sentence, where the differences alone do not say it. */
  why: Schema.optionalKey(Schema.String),
  differences: Schema.Array(Difference)
})

/** @category models @since 0.2.0 */
export type ResourceDifferences = typeof ResourceDifferences.Type

// -----------------------------------------------------------------------------
// Reasons
// -----------------------------------------------------------------------------

/**
 * Each reason with its meaning for a caller: whether the same call may succeed when it is sent again, and the advice.
 *
 * @category errors
 * @since 0.1.0
 */
export const reasons = {
  Unauthorized: { isRetryable: false, advice: "Check that the credential is set, complete and not revoked." },
  ReadOnlyCredential: { isRetryable: false, advice: "Use a credential with write permission." },
  RateLimited: { isRetryable: true, advice: "Wait until the quota refills, or lower Policy.concurrency." },
  CapacityUnavailable: { isRetryable: false, advice: "Choose another location or server type, or try again later." },
  PlacementFailed: {
    isRetryable: false,
    advice: "Spread over more locations, or use fewer nodes per placement group."
  },
  QuotaExceeded: { isRetryable: false, advice: "Delete unused resources, or request a higher limit." },
  NameTaken: {
    isRetryable: false,
    advice: "Choose another name, or remove the thing that uses it. Nothing was changed."
  },
  Differs: {
    isRetryable: false,
    advice: "Review the plan and apply it, or change the spec. Nothing was changed."
  },
  AmbiguousCluster: { isRetryable: false, advice: "Set the scheme in the options of the layer instead of `auto`." },
  Locked: { isRetryable: true, advice: "Another operation uses the resource. Repeat when it has ended." },
  Conflict: { isRetryable: true, advice: "The resource changed in the meantime. Read it again and repeat." },
  InUse: { isRetryable: false, advice: "Remove or detach the thing that uses the resource, then repeat." },
  InvalidInput: { isRetryable: false, advice: "Correct the value that the backend names." },
  NotFoundError: { isRetryable: false, advice: "List again: it was deleted, or does not exist yet." },
  Protected: { isRetryable: false, advice: "Remove the protection of the resource, then repeat." },
  UnsupportedError: { isRetryable: false, advice: "The backend does not support this. See its documentation." },
  Transport: {
    isRetryable: true,
    advice: "The connection was cut, and the backend may have done the work. List before you repeat."
  },
  RequestTimeout: {
    isRetryable: true,
    advice: "The backend may still do the work. Raise Policy.requestTimeout or Policy.nodeTimeout."
  },
  ServerFault: { isRetryable: true, advice: "The backend reported an internal error. Read its log." },
  InvalidResponse: {
    isRetryable: false,
    advice: "The response is not from a supported version of this backend. Check the endpoint and any proxy."
  },
  UnknownError: {
    isRetryable: false,
    advice: "kubelayer does not know this error. If a backend reported it, please report it with its code."
  }
} as const satisfies Record<string, { readonly isRetryable: boolean; readonly advice: string }>

/** @category errors @since 0.1.0 */
export type ReasonTag = keyof typeof reasons

interface ReasonTraits {
  /** Whether the same call, sent again, may succeed. Whether it is *safe* to send again is the caller's knowledge. */
  readonly isRetryable: boolean
  /** How long the backend asked to wait, where it did. */
  readonly retryAfter: Duration.Duration | undefined
  /** The advice to a person, in one sentence. */
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
    readonly hint?: string
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
        return this.hint ?? reasons[this._tag].advice
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
  /** The cause, in the backend's own words if it reported any. */
  detail: Schema.String,
  /** The backend's own error code, as it came. */
  code: Schema.optionalKey(Schema.String),
  /** The HTTP status or gRPC code, as it came. */
  status: Schema.optionalKey(Schema.Int),
  /** The backend's id of the request, for its support or its log. */
  correlationId: Schema.optionalKey(Schema.String),
  /** Advice about this very cause. `advice` returns it instead of the advice of the reason. */
  hint: Schema.optionalKey(Schema.String)
}

/**
 * The credential is missing, wrong, expired or revoked.
 *
 * @category errors
 * @since 0.1.0
 */
export class Unauthorized extends withTraits(Schema.TaggedError<Unauthorized>()("Unauthorized", common)) {}
/**
 * The credential may read, but not write.
 *
 * @category errors
 * @since 0.1.0
 */
export class ReadOnlyCredential
  extends withTraits(Schema.TaggedError<ReadOnlyCredential>()("ReadOnlyCredential", common))
{}
/**
 * The quota of requests is used up. `retryAfterMillis` is the wait that the backend requests.
 *
 * @category errors
 * @since 0.1.0
 */
export class RateLimited extends withTraits(
  Schema.TaggedError<RateLimited>()("RateLimited", { ...common, retryAfterMillis: Schema.optionalKey(Schema.Int) })
) {}
/**
 * The backend has no machine of this kind at this place at present.
 *
 * @category errors
 * @since 0.1.0
 */
export class CapacityUnavailable
  extends withTraits(Schema.TaggedError<CapacityUnavailable>()("CapacityUnavailable", common))
{}
/**
 * The backend cannot place the node as its placement group requires.
 *
 * @category errors
 * @since 0.1.0
 */
export class PlacementFailed extends withTraits(Schema.TaggedError<PlacementFailed>()("PlacementFailed", common)) {}
/**
 * A limit of the account is reached, such as the number of servers.
 *
 * @category errors
 * @since 0.1.0
 */
export class QuotaExceeded extends withTraits(Schema.TaggedError<QuotaExceeded>()("QuotaExceeded", common)) {}
/**
 * Something that the cluster does not own uses a name that a create needs; `by` names it. Nothing was changed.
 *
 * @category errors
 * @since 0.1.0
 */
export class NameTaken
  extends withTraits(Schema.TaggedError<NameTaken>()("NameTaken", { ...common, by: Schema.String }))
{}
/**
 * Nodes or resources of the cluster are not as requested, and `createNodes` does not change or delete them. Nothing was
 * sent. `differences` has all of them.
 *
 * @category errors
 * @since 0.2.0
 */
export class Differs extends withTraits(
  Schema.TaggedError<Differs>()("Differs", { ...common, differences: Schema.Array(ResourceDifferences) })
) {}
/**
 * Clusters of more than one scheme have the name; `candidates` are `scheme/cluster`. Nothing was changed.
 *
 * @category errors
 * @since 0.1.0
 */
export class AmbiguousCluster extends withTraits(
  Schema.TaggedError<AmbiguousCluster>()("AmbiguousCluster", { ...common, candidates: Schema.Array(Schema.String) })
) {}
/**
 * Another operation of the backend uses the resource at present.
 *
 * @category errors
 * @since 0.1.0
 */
export class Locked extends withTraits(Schema.TaggedError<Locked>()("Locked", common)) {}
/**
 * Another client changed the resource at the same time.
 *
 * @category errors
 * @since 0.1.0
 */
export class Conflict extends withTraits(Schema.TaggedError<Conflict>()("Conflict", common)) {}
/**
 * Something else uses the resource, so that it cannot be removed or changed.
 *
 * @category errors
 * @since 0.1.0
 */
export class InUse extends withTraits(Schema.TaggedError<InUse>()("InUse", common)) {}
/**
 * The backend refused a value of the request.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidInput extends withTraits(Schema.TaggedError<InvalidInput>()("InvalidInput", common)) {}
/**
 * The resource does not exist.
 *
 * @category errors
 * @since 0.1.0
 */
export class NotFoundError extends withTraits(Schema.TaggedError<NotFoundError>()("NotFoundError", common)) {}
/**
 * The resource is protected against this operation.
 *
 * @category errors
 * @since 0.1.0
 */
export class Protected extends withTraits(Schema.TaggedError<Protected>()("Protected", common)) {}
/**
 * The backend, or its version, does not support the operation.
 *
 * @category errors
 * @since 0.1.0
 */
export class UnsupportedError extends withTraits(Schema.TaggedError<UnsupportedError>()("UnsupportedError", common)) {}
/**
 * The connection was cut before the reply.
 *
 * @category errors
 * @since 0.1.0
 */
export class Transport extends withTraits(Schema.TaggedError<Transport>()("Transport", common)) {}
/**
 * The backend did not reply within `durationMillis`.
 *
 * @category errors
 * @since 0.1.0
 */
export class RequestTimeout extends withTraits(
  Schema.TaggedError<RequestTimeout>()("RequestTimeout", { ...common, durationMillis: Schema.Int })
) {}
/**
 * The backend reported an internal error.
 *
 * @category errors
 * @since 0.1.0
 */
export class ServerFault extends withTraits(
  Schema.TaggedError<ServerFault>()("ServerFault", { ...common, retryAfterMillis: Schema.optionalKey(Schema.Int) })
) {}
/**
 * The response is not of the expected form, such as the page of a proxy.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidResponse extends withTraits(Schema.TaggedError<InvalidResponse>()("InvalidResponse", common)) {}
/**
 * The backend reported an error that kubelayer does not know, or a callback failed with an unknown value.
 *
 * @category errors
 * @since 0.1.0
 */
export class UnknownError extends withTraits(Schema.TaggedError<UnknownError>()("UnknownError", common)) {}

/**
 * The cause of a failure, one of a fixed set. `catchNodeReason` of `kubelayer/ProviderError` matches one.
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
  Differs,
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
 * The failure of one operation on a backend, or of one node or resource of it.
 *
 * @category errors
 * @since 0.1.0
 */
export class BackendError extends Schema.TaggedError<BackendError>()("BackendError", {
  /** The backend, `docker`, `hetzner`, ... */
  provider: Schema.String,
  /** The name of the layer's instance, where it is another one than that of the backend. */
  instance: Schema.optionalKey(Schema.String),
  /** The method that was running, `startNodes`, `listNodes`, ... */
  operation: Schema.String,
  clusterName: Schema.optionalKey(Schema.String),
  /** The node or resource that the backend refused, where the error concerns a single one. */
  subject: Schema.optionalKey(Schema.Struct({ kind: ResourceKind, name: Schema.String })),
  reason: Reason
}) {
  get isRetryable(): boolean {
    return this.reason.isRetryable
  }

  override get message(): string {
    const at = this.subject !== undefined
      ? ` of ${this.subject.kind} ${this.subject.name}`
      : this.clusterName !== undefined
      ? ` for cluster ${this.clusterName}`
      : ""
    const instance = this.instance === undefined ? "" : ` (${this.instance})`
    return `${this.provider}${instance} ${this.operation}${at}: ${this.reason.message}`
  }
}
