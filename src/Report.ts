/**
 * The results of operations: one outcome for each node and resource, and the report that collects them.
 *
 * @since 0.2.0
 */
import * as Schema from "effect/Schema"
import { ClusterName } from "./Model.ts"
import { BackendError, type Reason, ResourceKind } from "./Reason.ts"

/** It was done and changed something. `forced`: the node did not shut down within its grace and was powered off. */
export class Done extends Schema.TaggedClass<Done>("kubelayer/Done")("Done", {
  forced: Schema.optionalKey(Schema.Boolean)
}) {}
/** Nothing had to be done. */
export class AlreadyDone extends Schema.TaggedClass<AlreadyDone>("kubelayer/AlreadyDone")("AlreadyDone", {}) {}
/** It was left out on purpose, for the given reason. */
export class Skipped extends Schema.TaggedClass<Skipped>("kubelayer/Skipped")("Skipped", { reason: Schema.String }) {}
/** The backend cannot do it for this node. */
export class Unsupported extends Schema.TaggedClass<Unsupported>("kubelayer/Unsupported")("Unsupported", {
  reason: Schema.String
}) {}
/** It was tried and did not succeed. */
export class Failed extends Schema.TaggedClass<Failed>("kubelayer/Failed")("Failed", { error: BackendError }) {}
/** This call created it and removed it again, because the call did not succeed as a whole. */
export class RolledBack extends Schema.TaggedClass<RolledBack>("kubelayer/RolledBack")("RolledBack", {}) {}

/** @category models @since 0.1.0 */
export const Outcome = Schema.Union([Done, AlreadyDone, Skipped, Unsupported, Failed, RolledBack])

/** @category models @since 0.1.0 */
export type Outcome = typeof Outcome.Type

/** The methods that give an `OperationReport`. */
export const OperationName = Schema.Literals([
  "createNodes",
  "startNodes",
  "stopNodes",
  "deleteNodes",
  "addNodes",
  "removeNodes",
  "replaceNodes",
  "restartNodes",
  "apply",
  "sync",
  "upgrade",
  "forEachNode"
])

/** @category models @since 0.1.0 */
export type OperationName = typeof OperationName.Type

/**
 * The outcome of one node or resource in an operation.
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
  /** Decisions of the operation in order, such as the locations in which a server was requested. */
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
 * The outcomes of an operation, node by node. It is a failure if any outcome is `Failed`, if `errors` is not empty, or
 * if nothing is `Done` or `AlreadyDone` and something is `Unsupported`.
 *
 * @category models
 * @since 0.1.0
 */
export class OperationReport extends Schema.Class<OperationReport>("kubelayer/OperationReport")({
  operation: OperationName,
  clusterName: ClusterName,
  outcomes: Schema.Array(ResourceOutcome),
  /** Failures that concern no single node or resource, such as a list that failed. */
  errors: Schema.optionalKey(Schema.Array(BackendError)),
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

  /** The reasons of all failures: those of `errors`, then those of the outcomes. */
  get reasons(): ReadonlyArray<Reason> {
    return [
      ...(this.errors ?? []).map(({ reason }) => reason),
      ...this.outcomes.flatMap((entry) => entry.outcome._tag === "Failed" ? [entry.outcome.error.reason] : [])
    ]
  }

  get isFailure(): boolean {
    if (this.failed.length > 0 || (this.errors ?? []).length > 0) return true
    const settled = this.outcomes.some(({ outcome }) => outcome._tag === "Done" || outcome._tag === "AlreadyDone")
    return !settled && this.unsupported.length > 0
  }
}
