/**
 * Nodes, statuses, reports and errors as a mock answers them, built from what a test cares for; the rest is filled in.
 *
 * @since 0.1.0
 */
import type * as Effect from "effect/Effect"
import { buildClusterStatus } from "../internal/ClusterStatus.ts"
import { failWith } from "../internal/Method.ts"
import { byRoleThenName } from "../internal/Operation.ts"
import { ClusterName, type ClusterStatus, NodeInfo, type NodeRole, type NodeState } from "../Model.ts"
import { makePlan, type Plan, type PlanAction, type PlanOperation, PlanStep } from "../Plan.ts"
import { ProviderUnavailable } from "../ProviderError.ts"
import { BackendError, type Reason } from "../Reason.ts"
import {
  AlreadyDone,
  Done,
  Failed,
  type OperationName,
  OperationReport,
  type Outcome,
  ResourceOutcome,
  RolledBack
} from "../Report.ts"

/** The name of the backend in errors, ids and spans. */
export const backend = "mock"

/**
 * A node. Without more it is a worker that runs, `dev-worker`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const node = (
  cluster: string,
  fields: Partial<Omit<ConstructorParameters<typeof NodeInfo>[0], "clusterName">> = {}
): NodeInfo => {
  const role = fields.role ?? "worker"
  const state = fields.state ?? "running"
  const name = fields.name ?? `${cluster}-${role}`
  return new NodeInfo({
    id: `${backend}-${name}`,
    rawRole: role,
    rawState: state,
    addresses: { private: [], public: [] },
    ...fields,
    clusterName: ClusterName.make(cluster),
    role,
    state,
    name
  })
}

/**
 * The nodes of a cluster: `dev-control-plane`, `dev-worker`, `dev-worker2`, ...
 *
 * @category constructors
 * @since 0.1.0
 */
export const nodes = (
  cluster: string,
  options: { readonly controlPlanes?: number; readonly workers?: number; readonly state?: NodeState } = {}
): ReadonlyArray<NodeInfo> => {
  const { controlPlanes = 1, state = "running", workers = 0 } = options
  const of = (role: NodeRole, count: number) =>
    Array.from(
      { length: count },
      (_, index) => node(cluster, { role, state, name: `${cluster}-${role}${index === 0 ? "" : index + 1}` })
    )
  return [...of("control-plane", controlPlanes), ...of("worker", workers)]
}

/**
 * The status of these nodes. The cluster's name is that of the first node; without nodes it is `dev` unless given.
 *
 * @category constructors
 * @since 0.1.0
 */
export const status = (
  nodes: ReadonlyArray<NodeInfo>,
  { clusterName, ...extra }: { readonly clusterName?: string; readonly endpoint?: string; readonly rawPhase?: string } =
    {}
): ClusterStatus =>
  buildClusterStatus(clusterName ?? nodes[0]?.clusterName ?? "dev", [...nodes].sort(byRoleThenName), "running", extra)

/**
 * An outcome, the name of one that needs no more, or the reason of a failure.
 *
 * @category models
 * @since 0.1.0
 */
export type OutcomeInput = Outcome | Reason | "Done" | "AlreadyDone" | "RolledBack"

const isOutcome = (input: Outcome | Reason): input is Outcome =>
  "error" in input || "reason" in input || ["Done", "AlreadyDone", "RolledBack"].includes(input._tag)

const outcomeOf = (operation: OperationName, cluster: string, name: string, input: OutcomeInput): Outcome => {
  if (input === "Done") return new Done({})
  if (input === "AlreadyDone") return new AlreadyDone({})
  if (input === "RolledBack") return new RolledBack({})
  return isOutcome(input)
    ? input
    : new Failed({
      error: new BackendError({
        provider: backend,
        operation,
        clusterName: cluster,
        subject: { kind: "node", name },
        reason: input
      })
    })
}

/**
 * The report of an operation, with an outcome for each node by its name.
 *
 * @category constructors
 * @since 0.1.0
 */
export const report = (
  operation: OperationName,
  cluster: string,
  outcomes: Readonly<Record<string, OutcomeInput>> | ReadonlyArray<ResourceOutcome> = {}
): OperationReport =>
  new OperationReport({
    operation,
    clusterName: ClusterName.make(cluster),
    durationMillis: 0,
    outcomes: isList(outcomes) ?
      outcomes :
      Object.entries(outcomes).map(([name, input]) =>
        new ResourceOutcome({
          kind: "node",
          name,
          outcome: outcomeOf(operation, cluster, name, input),
          durationMillis: 0
        })
      )
  })

/**
 * A plan with a step for each node by its name, or with the given steps.
 *
 * @category constructors
 * @since 0.2.0
 */
export const plan = (
  operation: PlanOperation,
  cluster: string,
  steps: Readonly<Record<string, PlanAction>> | ReadonlyArray<PlanStep> = {}
): Plan =>
  makePlan({
    backend,
    target: backend,
    operation,
    clusterName: ClusterName.make(cluster),
    spec: {},
    steps: isList(steps)
      ? steps
      : Object.entries(steps).map(([name, action]) =>
        new PlanStep({ kind: "node", name, action, differences: [], wave: 0 })
      )
  })

const isList = (value: object): value is ReadonlyArray<unknown> & object => Array.isArray(value)

/**
 * The answer of a method that fails with a `BackendError` for this reason.
 *
 * @category constructors
 * @since 0.1.0
 */
export const failure: (reason: Reason) => Effect.Effect<never, BackendError> = failWith

/**
 * The error of a backend that does not answer.
 *
 * @category constructors
 * @since 0.1.0
 */
export const unavailable = (detail = "it was set to be unavailable"): ProviderUnavailable =>
  new ProviderUnavailable({ provider: backend, detail, advice: "Change the answer given to Mock." })
