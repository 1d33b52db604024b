/**
 * The metrics that the library records. Every exporter of Effect metrics shows them without configuration.
 *
 * Labels are bounded: `backend`, `instance` (the name of the layer's instance), `operation`, `outcome`, `reason`,
 * `kind` and `phase`. The name of a cluster or node is never a label. Traces have those names:
 *
 * - `kubelayer.<backend>.<operation>`, one span for each call of a method: `kubelayer.cluster`, `kubelayer.instance`,
 *   `kubelayer.nodes`, `kubelayer.done`, `kubelayer.failed`, `kubelayer.calls`
 * - `kubelayer.node`, one child for each node that an operation acts on: `kubelayer.node`, `kubelayer.outcome`.
 *   `kubelayer.resource` is the same for networks, volumes, ...
 * - `kubelayer.call`, one child for each request: `kubelayer.method`, `kubelayer.path` (a template without names and ids),
 *   `kubelayer.status`, `kubelayer.attempt`, `server.address`
 *
 * **Example** (Count the operations of a program)
 *
 * ```ts run
 * import * as Effect from "effect/Effect"
 * import * as Metric from "effect/Metric"
 * import * as Memory from "kubelayer/layers/Memory"
 * import * as Metrics from "kubelayer/Metrics"
 * import { Provider } from "kubelayer/Provider"
 *
 * const program = Effect.gen(function*() {
 *   yield* Provider.use((provider) => provider.stopNodes("dev"))
 *   const stops = Metric.withAttributes(Metrics.operations, {
 *     backend: "memory",
 *     instance: "memory",
 *     operation: "stopNodes",
 *     outcome: "ok"
 *   })
 *   return (yield* Metric.value(stops)).count
 * })
 *
 * const clusters = { dev: { controlPlanes: 1, workers: 1 } }
 * console.log(await Effect.runPromise(program.pipe(Effect.provide(Memory.layer({ clusters })))))
 * // => 1
 * ```
 *
 * @since 0.2.0
 */
import * as Metric from "effect/Metric"

/** 5 ms to 10 minutes, in seconds. */
const boundaries = [0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600]

const counter = (name: string, description: string): Metric.Counter<number> =>
  Metric.counter(name, { description, incremental: true })

const seconds = (name: string, description: string): Metric.Histogram<number> =>
  Metric.histogram(name, { description, boundaries })

/**
 * Methods that ended. Labels: `backend`, `instance`, `operation`, `outcome` (`ok`, `interrupted`, the tag of the reason
 * of a `BackendError`, or else the tag of the error).
 *
 * @category metrics
 * @since 0.2.0
 */
export const operations: Metric.Counter<number> = counter("kubelayer_operations", "Methods that ended, by outcome.")

/**
 * How long methods took, in seconds; watches are not in it. Labels: `backend`, `instance`, `operation`.
 *
 * @category metrics
 * @since 0.2.0
 */
export const operationDuration: Metric.Histogram<number> = seconds(
  "kubelayer_operation_duration_seconds",
  "Duration of methods."
)

/**
 * Requests to backends, repeated ones included. Labels: `backend`, `instance`, `operation`.
 *
 * @category metrics
 * @since 0.2.0
 */
export const calls: Metric.Counter<number> = counter("kubelayer_calls", "Requests that were sent to a backend.")

/**
 * Requests that were sent again. Labels: `backend`, `instance`, `reason` (the tag).
 *
 * @category metrics
 * @since 0.2.0
 */
export const retries: Metric.Counter<number> = counter("kubelayer_retries", "Requests that were sent again, by reason.")

/**
 * Outcomes in the reports of operations. Labels: `backend`, `instance`, `operation`, `kind` (`node`, `network`, ...),
 * `outcome` (`Done`, `Failed`, ...).
 *
 * @category metrics
 * @since 0.2.0
 */
export const outcomes: Metric.Counter<number> = counter("kubelayer_outcomes", "Outcomes of nodes and resources.")

/**
 * How long an operation took for a node, in seconds. Labels: `backend`, `instance`, `operation`.
 *
 * @category metrics
 * @since 0.2.0
 */
export const nodeDuration: Metric.Histogram<number> = seconds(
  "kubelayer_node_duration_seconds",
  "Duration of an operation for one node."
)

/**
 * Requests that the quota of an account still allows. Labels: `backend`, `instance`.
 *
 * @category metrics
 * @since 0.2.0
 */
export const quotaRemaining: Metric.Gauge<number> = Metric.gauge("kubelayer_quota_remaining", {
  description: "Requests that the quota still allows."
})

/**
 * How long requests waited for the quota, in seconds. Labels: `backend`, `instance`.
 *
 * @category metrics
 * @since 0.2.0
 */
export const quotaWaits: Metric.Histogram<number> = seconds(
  "kubelayer_quota_waits_seconds",
  "Time that requests waited for the quota."
)

/**
 * Subscriptions of watches that were opened again after a cut. Labels: `backend`, `instance`.
 *
 * @category metrics
 * @since 0.2.0
 */
export const watchReconnects: Metric.Counter<number> = counter(
  "kubelayer_watch_reconnects",
  "Subscriptions of watches that were opened again after a cut."
)

/**
 * Things that a failed create could not remove. Labels: `backend`, `instance`.
 *
 * @category metrics
 * @since 0.2.0
 */
export const leftovers: Metric.Counter<number> = counter(
  "kubelayer_leftovers",
  "Things that a failed create could not remove."
)

/**
 * Reconciles of a fleet that ended. Labels: `backend`, `phase` (`converged`, `failed`, ...).
 *
 * @category metrics
 * @since 0.2.0
 */
export const fleetReconciles: Metric.Counter<number> = counter(
  "kubelayer_fleet_reconciles",
  "Reconciles of a fleet that ended, by the phase of the cluster after it."
)

/**
 * Clusters of a fleet. Only the runner with the scheduler records it. Labels: `phase`.
 *
 * @category metrics
 * @since 0.2.0
 */
export const fleetClusters: Metric.Gauge<number> = Metric.gauge("kubelayer_fleet_clusters", {
  description: "Clusters of a fleet by phase."
})

/**
 * How long it took from a change of a document, or a drift that was found, until the cluster was as requested, in
 * seconds.
 *
 * @category metrics
 * @since 0.2.0
 */
export const fleetLag: Metric.Histogram<number> = seconds(
  "kubelayer_fleet_lag_seconds",
  "Time from a change to the cluster being as requested."
)
