/**
 * The values that `Provider` speaks of: cluster names, nodes, statuses and reports, each with its Schema.
 *
 * They are the same for every backend; what a backend calls things is kept beside, in `rawRole`, `rawState` and
 * `rawPhase`. Nothing here does I/O or knows a backend. JSON is `Schema.toCodecJson` of the class; see
 * `Provider.toJson`.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { BackendError, InvalidClusterName, type Reason } from "./ProviderError.ts"

// -----------------------------------------------------------------------------
// Names
// -----------------------------------------------------------------------------

/** The longest cluster name, in characters: that of a label value and of a DNS label. */
export const maxNameLength = 63

const referable = /^[\p{L}\p{N}](?:[\p{L}\p{N}._-]*[\p{L}\p{N}])?$/u
const ascii = /^[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?$/
const creatable = /^[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?$/

/**
 * The name of a cluster that exists or may exist: 1 to 63 letters, digits, `.`, `_` and `-`, with a letter or digit at
 * both ends. Letters beyond ASCII are a cluster's name on Omni only; the other backends refuse them.
 *
 * @category models
 * @since 0.1.0
 */
export const ClusterName = Schema.String.check(
  Schema.isMaxLength(maxNameLength),
  // A generator of values cannot follow a pattern with Unicode classes; it makes ASCII names.
  Schema.isPattern(referable, { arbitraryConstraint: { patterns: [{ source: ascii.source, flags: ascii.flags }] } })
).pipe(Schema.brand("ClusterName"))

/** @category models @since 0.1.0 */
export type ClusterName = typeof ClusterName.Type

/**
 * The name of a cluster that is to be made: lower-case letters, digits, `.` and `-`, with a letter or digit at both ends.
 * A backend may be narrower.
 *
 * @category models
 * @since 0.1.0
 */
export const NewClusterName = Schema.String.check(
  Schema.isMaxLength(maxNameLength),
  Schema.isPattern(creatable)
).pipe(Schema.brand("ClusterName"), Schema.brand("NewClusterName"))

/** @category models @since 0.1.0 */
export type NewClusterName = typeof NewClusterName.Type

const describeIssue = (input: string, allowed: RegExp): string | undefined => {
  if (input.length === 0) return "it is empty"
  if (input.length > maxNameLength) return `it has ${input.length} characters, at most ${maxNameLength} are allowed`
  if (allowed.test(input)) return undefined
  const body = allowed === creatable ? /[a-z0-9.-]/ : allowed === ascii ? /[A-Za-z0-9._-]/ : /[\p{L}\p{N}._-]/u
  const stranger = [...input].find((character) => !body.test(character))
  if (stranger === undefined) return "it must begin and end with a letter or a digit"
  const code = (stranger.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, "0")
  const shown = /[\p{L}\p{N}\p{P}\p{S}]/u.test(stranger) ? `${JSON.stringify(stranger)} (U+${code})` : `U+${code}`
  return `${shown} is not allowed; allowed are ${
    allowed === creatable ? "lower-case letters, digits, `.` and `-`" : "letters, digits, `.`, `_` and `-`"
  }`
}

const check = (allowed: RegExp) => (input: string): Effect.Effect<ClusterName, InvalidClusterName> => {
  // A caller without types may hand over anything, also what throws when it is asked for its text.
  if (typeof input !== "string") {
    const given: unknown = input
    const textless = given === undefined || given === null || typeof given === "object" || typeof given === "function"
    return Effect.fail(
      new InvalidClusterName({
        input: textless ? "" : String(given),
        issue: given === undefined || given === null
          ? "none was given"
          : `it is not a string but of type ${typeof given}`
      })
    )
  }
  const issue = describeIssue(input, allowed)
  return issue === undefined
    ? Effect.succeed(input as ClusterName)
    : Effect.fail(new InvalidClusterName({ input, issue }))
}

/**
 * Checks a name that may be referred to, before any I/O.
 *
 * @category constructors
 * @since 0.1.0
 */
export const checkClusterName: (input: string) => Effect.Effect<ClusterName, InvalidClusterName> = check(ascii)

/**
 * Like `checkClusterName`, and takes letters of every script: Omni's rule.
 *
 * @category constructors
 * @since 0.1.0
 */
export const checkUnicodeClusterName: (input: string) => Effect.Effect<ClusterName, InvalidClusterName> = check(
  referable
)

/**
 * Checks a name that a new cluster is to have: lower-case letters, digits, `.` and `-`. A backend may be narrower.
 *
 * @category constructors
 * @since 0.1.0
 */
export const checkNewClusterName: (input: string) => Effect.Effect<ClusterName, InvalidClusterName> = check(creatable)

/**
 * Whether a name that a backend holds can be referred to. Those that cannot are left out of lists.
 *
 * @category guards
 * @since 0.1.0
 */
export const isClusterName = (input: string): input is ClusterName =>
  input.length <= maxNameLength && referable.test(input)

// -----------------------------------------------------------------------------
// Nodes
// -----------------------------------------------------------------------------

/**
 * What a node is for. `load-balancer` counts as a node of the cluster; `helper` is listed and acted on, but counts in
 * no total.
 *
 * @category models
 * @since 0.1.0
 */
export const NodeRole = Schema.Literals(["control-plane", "worker", "load-balancer", "helper"])

/** @category models @since 0.1.0 */
export type NodeRole = typeof NodeRole.Type

/**
 * The state of a node, one vocabulary for all backends. `unknown` stands for a state that the backend did not know, or
 * that kubelayer does not know; `rawState` has the original.
 *
 * @category models
 * @since 0.1.0
 */
export const NodeState = Schema.Literals([
  "creating",
  "starting",
  "running",
  "stopping",
  "stopped",
  "deleting",
  "failed",
  "unknown"
])

/** @category models @since 0.1.0 */
export type NodeState = typeof NodeState.Type

/**
 * One machine of a cluster.
 *
 * @category models
 * @since 0.1.0
 */
export class NodeInfo extends Schema.Class<NodeInfo>("kubelayer/NodeInfo")({
  name: Schema.String,
  clusterName: ClusterName,
  role: NodeRole,
  state: NodeState,
  /** The backend's immutable id: container id, server id, machine id. */
  id: Schema.String,
  /** The role in the backend's words. */
  rawRole: Schema.String,
  /** The state in the backend's words. */
  rawState: Schema.String,
  /** IP addresses, as text. Empty where the node has none at present, as a stopped container. */
  addresses: Schema.Struct({ private: Schema.Array(Schema.String), public: Schema.Array(Schema.String) }),
  serverType: Schema.optionalKey(Schema.String),
  location: Schema.optionalKey(Schema.String),
  /** ISO 8601, UTC. */
  createdAt: Schema.optionalKey(Schema.String)
}) {}

// -----------------------------------------------------------------------------
// Status
// -----------------------------------------------------------------------------

/** @category models @since 0.1.0 */
export const ClusterPhase = Schema.Literals(["running", "degraded", "stopped", "provisioning", "deleting", "unknown"])

/** @category models @since 0.1.0 */
export type ClusterPhase = typeof ClusterPhase.Type

/**
 * The state of a cluster, derived from its nodes, or from what the backend says of the cluster.
 *
 * @category models
 * @since 0.1.0
 */
export class ClusterStatus extends Schema.Class<ClusterStatus>("kubelayer/ClusterStatus")({
  phase: ClusterPhase,
  /** At least one node counts, and all that count are in the ready state. */
  ready: Schema.Boolean,
  /** Nodes that count: control planes, workers and load balancers, not helpers. */
  nodesTotal: Schema.Int,
  nodesReady: Schema.Int,
  /** All nodes, helpers too. */
  nodes: Schema.Array(NodeInfo),
  /** The URL of the *provider's* API. It is not the address of the kube-apiserver. */
  endpoint: Schema.optionalKey(Schema.String),
  /** The phase in the backend's words, where it has one. */
  rawPhase: Schema.optionalKey(Schema.String)
}) {}

// -----------------------------------------------------------------------------
// Reports
// -----------------------------------------------------------------------------

/** It was done, and it made a difference. `forced`: only after it did not obey. */
export class Done extends Schema.TaggedClass<Done>("kubelayer/Done")("Done", {
  forced: Schema.optionalKey(Schema.Boolean)
}) {}
/** It was so already; nothing had to be done. */
export class AlreadyDone extends Schema.TaggedClass<AlreadyDone>("kubelayer/AlreadyDone")("AlreadyDone", {}) {}
/** It was left out on purpose. */
export class Skipped extends Schema.TaggedClass<Skipped>("kubelayer/Skipped")("Skipped", { reason: Schema.String }) {}
/** The backend cannot do it for this node. */
export class Unsupported extends Schema.TaggedClass<Unsupported>("kubelayer/Unsupported")("Unsupported", {
  reason: Schema.String
}) {}
/** It was tried and did not succeed. */
export class Failed extends Schema.TaggedClass<Failed>("kubelayer/Failed")("Failed", { error: BackendError }) {}
/** It was made by this call and removed again, because the call did not succeed as a whole. */
export class RolledBack extends Schema.TaggedClass<RolledBack>("kubelayer/RolledBack")("RolledBack", {}) {}

/** @category models @since 0.1.0 */
export const Outcome = Schema.Union([Done, AlreadyDone, Skipped, Unsupported, Failed, RolledBack])

/** @category models @since 0.1.0 */
export type Outcome = typeof Outcome.Type

/** What an outcome, an event or a leftover is about. */
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

/** The methods that give an `OperationReport`. */
export const OperationName = Schema.Literals([
  "createNodes",
  "startNodes",
  "stopNodes",
  "deleteNodes",
  "addNodes",
  "removeNodes",
  "forEachNode"
])

/** @category models @since 0.1.0 */
export type OperationName = typeof OperationName.Type

/**
 * What became of one node, or of one other resource, in an operation.
 *
 * @category models
 * @since 0.1.0
 */
export class ResourceOutcome extends Schema.Class<ResourceOutcome>("kubelayer/ResourceOutcome")({
  kind: ResourceKind,
  name: Schema.String,
  id: Schema.optionalKey(Schema.String),
  outcome: Outcome,
  /** From the first thing done for it to its outcome. */
  durationMillis: Schema.Int,
  /** What was decided on the way, in order, such as the places where a server was tried to be made. */
  notes: Schema.optionalKey(Schema.Array(Schema.String))
}) {
  /** Why it is not done, in one line; empty where it is. */
  get problem(): string {
    switch (this.outcome._tag) {
      case "Failed":
        return this.outcome.error.reason.message
      case "Skipped":
      case "Unsupported":
        return this.outcome.reason
      default:
        return ""
    }
  }
}

/**
 * What an operation did, node by node. It is a failure if any node failed, or if none could be acted on and at least
 * one is unsupported.
 *
 * @category models
 * @since 0.1.0
 */
export class OperationReport extends Schema.Class<OperationReport>("kubelayer/OperationReport")({
  operation: OperationName,
  clusterName: ClusterName,
  outcomes: Schema.Array(ResourceOutcome),
  durationMillis: Schema.Int
}) {
  private having(tag: Outcome["_tag"]): ReadonlyArray<ResourceOutcome> {
    return this.outcomes.filter((entry) => entry.outcome._tag === tag)
  }

  /** Those that failed. */
  get failed(): ReadonlyArray<ResourceOutcome> {
    return this.having("Failed")
  }

  /** Those for which something was done; a no-op is not among them. */
  get done(): ReadonlyArray<ResourceOutcome> {
    return this.having("Done")
  }

  /** Those that were left out on purpose. */
  get skipped(): ReadonlyArray<ResourceOutcome> {
    return this.having("Skipped")
  }

  /** Those that the backend cannot act on. */
  get unsupported(): ReadonlyArray<ResourceOutcome> {
    return this.having("Unsupported")
  }

  /** Why those that failed did so. */
  get reasons(): ReadonlyArray<Reason> {
    return this.outcomes.flatMap((entry) => entry.outcome._tag === "Failed" ? [entry.outcome.error.reason] : [])
  }

  get isFailure(): boolean {
    if (this.failed.length > 0) return true
    const settled = this.outcomes.some(({ outcome }) => outcome._tag === "Done" || outcome._tag === "AlreadyDone")
    return !settled && this.unsupported.length > 0
  }
}
