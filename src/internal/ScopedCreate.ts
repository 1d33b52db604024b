/**
 * A create whose cluster is deleted when its scope closes.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Policy from "../Policy.ts"
import type { CreateFailure, NodeCreatorService, ProviderService } from "../Provider.ts"
import type { OperationReport, ResourceOutcome } from "../Report.ts"
import { BoundToProcess } from "./Session.ts"

const policyOfContext = Effect.map(Policy.Current, (context) => Policy.make(context))

/**
 * The two creates of a `NodeCreator` from a backend's create and delete.
 *
 * @category constructors
 * @since 0.1.0
 */
export const makeNodeCreator = (
  createNodes: NodeCreatorService["createNodes"],
  deleteNodes: ProviderService["deleteNodes"],
  policy: Effect.Effect<Policy.Policy> = policyOfContext
): Pick<NodeCreatorService, "createNodes" | "createNodesScoped"> => ({
  createNodes,
  createNodesScoped: scopedCreate(createNodes, deleteNodes, policy)
})

const warnOfRest = (cluster: string, rest: ReadonlyArray<ResourceOutcome>): Effect.Effect<void> =>
  rest.length === 0
    ? Effect.void
    : Effect.logWarning(
      `of cluster ${cluster} these were left in place:`,
      ...rest.map((left) => `${left.kind} ${left.name}: ${left.problem}`)
    )

/**
 * Turns a create into a scoped one: `deleteNodes` of the whole cluster runs when the scope closes, also if the create
 * found all of it. Leftovers are logged. An interrupted create has already cleaned up.
 *
 * @category constructors
 * @since 0.1.0
 */
export const scopedCreate = <Spec extends { readonly cluster: string }>(
  createNodes: (spec: Spec) => Effect.Effect<OperationReport, CreateFailure>,
  deleteNodes: ProviderService["deleteNodes"],
  policy: Effect.Effect<Policy.Policy> = policyOfContext
) =>
(spec: Spec): Effect.Effect<OperationReport, CreateFailure, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.provideService(createNodes(spec), BoundToProcess, true),
    () =>
      Effect.gen(function*() {
        const { cleanupTimeout } = yield* policy
        yield* deleteNodes(spec.cluster).pipe(
          Effect.timeout(cleanupTimeout),
          Effect.flatMap((report) => warnOfRest(spec.cluster, [...report.skipped, ...report.unsupported])),
          Effect.catch((error) =>
            Effect.andThen(
              "report" in error ? warnOfRest(spec.cluster, error.report.skipped) : Effect.void,
              Effect.logError(`cluster ${spec.cluster} could not be deleted: ${error.message}`)
            )
          )
        )
      }),
    { interruptible: true }
  )
