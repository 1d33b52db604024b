/** The public models of a fleet: its clusters, their conditions, and events. */
import * as Schema from "effect/Schema"

/**
 * - `pending`: waits for a runner
 * - `reconciling`: a runner works on it
 * - `converged`: the cluster is as its document says
 * - `failed`: the last attempt failed and will be repeated
 * - `refused`: the document needs something that the fleet does not do, or cannot be used; it waits for another document
 * - `removing`: the cluster is being deleted
 *
 * @category models
 * @since 0.2.0
 */
export const FleetPhase = Schema.Literals(["pending", "reconciling", "converged", "failed", "refused", "removing"])

/** @category models @since 0.2.0 */
export type FleetPhase = typeof FleetPhase.Type

/** @category models @since 0.2.0 */
export const ConditionType = Schema.Literals(["SpecAccepted", "BackendReachable", "Converged"])

/** @category models @since 0.2.0 */
export type ConditionType = typeof ConditionType.Type

/**
 * One aspect of a cluster: whether it holds, and why.
 *
 * @category models
 * @since 0.2.0
 */
export class Condition extends Schema.Class<Condition>("kubelayer/fleet/Condition")({
  type: ConditionType,
  status: Schema.Literals(["true", "false", "unknown"]),
  /** One word for programs: `AsRequested`, `InvalidSpec`, `NoSuchBackend`, `QuotaExceeded`, ... */
  reason: Schema.String,
  /** One sentence for people. */
  message: Schema.String,
  /** When the status changed, in milliseconds since 1970. */
  since: Schema.Number
}) {}

/**
 * One cluster of a fleet.
 *
 * @category models
 * @since 0.2.0
 */
export class FleetCluster extends Schema.Class<FleetCluster>("kubelayer/fleet/FleetCluster")({
  name: Schema.String,
  backend: Schema.String,
  instance: Schema.optionalKey(Schema.String),
  phase: FleetPhase,
  isPaused: Schema.Boolean,
  /** It is counted up by each change of the document. */
  generation: Schema.Int,
  /** The generation that the cluster was last reconciled with. */
  observedGeneration: Schema.Int,
  /** How many nodes the document requests. */
  nodes: Schema.Int,
  /** Failed attempts since the last success. */
  attempts: Schema.Int,
  conditions: Schema.Array(Condition),
  /** The runner that reconciled it last. */
  runner: Schema.optionalKey(Schema.String),
  /** When it is reconciled next, in milliseconds since 1970. */
  dueAt: Schema.optionalKey(Schema.Number),
  /** When its phase, document or conditions changed, in milliseconds since 1970. */
  changedAt: Schema.Number,
  /** The document, with references instead of secrets. */
  document: Schema.Unknown
}) {
  /** Whether the cluster is as the present document says. */
  get isConverged(): boolean {
    return this.phase === "converged" && this.observedGeneration === this.generation
  }
}

/** @category models @since 0.2.0 */
export const EventKind = Schema.Literals([
  "Applied",
  "Paused",
  "Resumed",
  "RemoveRequested",
  "Removed",
  "Drifted",
  "Reconciled",
  "Failed",
  "Refused"
])

/** @category models @since 0.2.0 */
export type EventKind = typeof EventKind.Type

/**
 * Something that happened to a cluster of a fleet. `Reconciled` and `Failed` name what was changed; `plan` is the plan
 * where one was applied.
 *
 * @category models
 * @since 0.2.0
 */
export class FleetEvent extends Schema.Class<FleetEvent>("kubelayer/fleet/FleetEvent")({
  /** It grows with each event of the store. */
  id: Schema.Int,
  cluster: Schema.String,
  generation: Schema.Int,
  kind: EventKind,
  message: Schema.String,
  /** In milliseconds since 1970. */
  at: Schema.Number,
  runner: Schema.optionalKey(Schema.String),
  /** The change, such as `created node dev-worker`. */
  changes: Schema.Array(Schema.String),
  durationMillis: Schema.optionalKey(Schema.Int),
  plan: Schema.optionalKey(Schema.Unknown)
}) {}
