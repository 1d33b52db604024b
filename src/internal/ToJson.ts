/**
 * The JSON of everything that a method returns or fails with.
 */
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Schema from "effect/Schema"
import { ClusterStatus, NodeInfo } from "../Model.ts"
import { type InvalidPlan, Plan, PlanStep, type StalePlan } from "../Plan.ts"
import type { ClusterSpec, Orphan } from "../Provider.ts"
import type { ExpiredCluster, ProviderError } from "../ProviderError.ts"
import { BackendError, Difference } from "../Reason.ts"
import { OperationReport, ResourceOutcome } from "../Report.ts"

/**
 * The values that `toJson` accepts.
 *
 * @category models
 * @since 0.2.0
 */
export type Jsonable =
  | NodeInfo
  | ClusterStatus
  | ResourceOutcome
  | OperationReport
  | Plan
  | PlanStep
  | Difference
  | ExpiredCluster
  | Orphan
  | ClusterSpec
  | ProviderError
  | StalePlan
  | InvalidPlan

const encoders: ReadonlyArray<readonly [is: (value: unknown) => boolean, encode: (value: never) => unknown]> = [
  NodeInfo,
  ClusterStatus,
  ResourceOutcome,
  OperationReport,
  Plan,
  PlanStep,
  BackendError
].map((model) => [
  (value) => value instanceof model,
  Schema.encodeSync(Schema.toCodecJson(model) as Schema.Codec<unknown, unknown>) as (value: never) => unknown
])

/** The fields of an error, without those that are only for people who inspect the object. */
const fieldsOf = (value: object): ReadonlyArray<readonly [string, unknown]> => {
  const fields = Object.entries(value).filter(([key, field]) =>
    field !== undefined && key !== "name" && key !== "stack"
  )
  return value instanceof Error
    ? [["_tag", "_tag" in value ? value._tag : value.name], ["message", value.message], ...fields]
    : Object.entries(value).filter(([, field]) => field !== undefined)
}

const encode = (value: unknown): unknown => {
  if (typeof value !== "object" || value === null) return value
  const model = encoders.find(([is]) => is(value))
  if (model !== undefined) return model[1](value as never)
  if (Array.isArray(value)) return value.map(encode)
  if (DateTime.isDateTime(value)) return DateTime.formatIso(value)
  return Object.fromEntries(
    fieldsOf(value).map(([key, field]) =>
      Duration.isDuration(field) ? [`${key}Millis`, Math.round(Duration.toMillis(field))] : [key, encode(field)]
    )
  )
}

/**
 * The JSON of a model, a report, a plan or an error, or of an array of these.
 *
 * - `Schema.toCodecJson` of a class reads the JSON of its values back. Getters are left out.
 * - An error has its `_tag`, its `message` and its fields; a `BackendError` has its fields alone.
 * - A duration is whole milliseconds under a name that ends in `Millis`. A time is ISO 8601.
 *
 * **Example** (A failure as one line of a log)
 *
 * ```ts run
 * import * as Effect from "effect/Effect"
 * import * as Memory from "kubelayer/layers/Memory"
 * import { toJson } from "kubelayer/Cluster"
 * import { Provider } from "kubelayer/Provider"
 *
 * const program = Provider.use((provider) => provider.startNodes("prod")).pipe(
 *   Effect.catch((error) => Effect.sync(() => console.log(JSON.stringify(toJson(error)))))
 * )
 *
 * const clusters = { dev: { controlPlanes: 1, workers: 1 } }
 * await Effect.runPromise(program.pipe(Effect.provide(Memory.layer({ clusters }))))
 * // => {"_tag":"NoNodes","message":"memory: cluster \"prod\" has no nodes; known: dev. Check the name: listAllClusters lists all clusters.","provider":"memory","clusterName":"prod","known":["dev"]}
 * ```
 *
 * @category converting
 * @since 0.1.0
 */
export const toJson = (value: Jsonable | ReadonlyArray<Jsonable>): Schema.Json => encode(value) as Schema.Json
