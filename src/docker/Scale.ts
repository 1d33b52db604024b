/**
 * Adding nodes to a cluster that is there, and removing some of its nodes.
 *
 * The cluster may be one that its own tool made: its network and volumes are then joined as they are. New nodes get the
 * first names that are free. Everything else is as for a create: judged first, and undone where it does not succeed.
 */
import * as Effect from "effect/Effect"
import { checkClusterName } from "../internal/ClusterNames.ts"
import type { Gate } from "../internal/Gate.ts"
import * as Operation from "../internal/Operation.ts"
import * as Scaling from "../internal/Scaling.ts"
import type { ClusterName } from "../Model.ts"
import type { Policy } from "../Policy.ts"
import type { CreateFailure } from "../Provider.ts"
import { type BackendFailure, ClusterNotFound, type NodesFailed, type OperationTimeout } from "../ProviderError.ts"
import type { OperationReport } from "../Report.ts"
import type { Client } from "./Client.ts"
import { carryOutPlan, planOf } from "./Create.ts"
import { removeOne } from "./Delete.ts"
import { type Member, members, subjectOf } from "./Members.ts"
import type { Plan } from "./Plan.ts"
import type { Scheme } from "./Scheme.ts"
import type { DockerClusterSpec, NodeDefaults, Role } from "./Spec.ts"
import type { CallFailure } from "./Transport.ts"

/**
 * How many nodes of each role are to be added, and what they are made from where the layer's options do not say.
 *
 * @category models
 * @since 0.1.0
 */
export interface AddNodes extends NodeDefaults, Scaling.Added {}

interface Context {
  readonly client: Client
  readonly schemes: ReadonlyArray<Scheme>
  readonly policy: Effect.Effect<Policy>
  readonly defaults: NodeDefaults
  readonly gate: Gate
}

const countOf = (found: ReadonlyArray<Member>, role: Role): number =>
  found.filter((member) => member.node.role === role).length

/** Of a plan for the cluster as it is to be, the nodes that are new: the first free names of each role. */
const newNodes = (plan: Plan, found: ReadonlyArray<Member>, wanted: { readonly [R in Role]: number }) => {
  const held = new Set(found.map((member) => member.name))
  return (Object.keys(wanted) as ReadonlyArray<Role>).flatMap((role) =>
    plan.nodes.filter((node) => node.role === role && !held.has(node.name)).slice(0, wanted[role])
  )
}

const present = Effect.fnUntraced(function*(
  { client, schemes }: Context,
  cluster: ClusterName
): Effect.fn.Return<readonly [Member, ...ReadonlyArray<Member>], ClusterNotFound | CallFailure> {
  const [first, ...rest] = yield* members(client, schemes, cluster)
  if (first === undefined) return yield* new ClusterNotFound({ provider: "docker", clusterName: cluster })
  return [first, ...rest]
})

/** Builds `addNodes`. */
export const addNodes = (context: Context) =>
  Effect.fnUntraced(function*(
    name: string,
    added: AddNodes
  ): Effect.fn.Return<OperationReport, CreateFailure | ClusterNotFound> {
    const cluster = yield* checkClusterName(name)
    const fault = Scaling.faultOfAdded(added)
    if (fault !== undefined) return yield* fault
    const policy = yield* context.policy
    return yield* context.gate(cluster)(Effect.gen(function*() {
      const found = yield* present(context, cluster)
      const { controlPlanes = 0, onFailure = "remove", workers = 0, ...how } = added
      const whole: DockerClusterSpec = {
        ...how,
        cluster,
        controlPlanes: countOf(found, "control-plane") + controlPlanes,
        workers: countOf(found, "worker") + workers
      }
      const plan = yield* planOf(found[0].scheme, context.defaults, whole, cluster)
      const balancers = plan.nodes.filter((node) => node.role === "load-balancer").length
      const nodes = newNodes(plan, found, {
        "control-plane": controlPlanes,
        worker: workers,
        // A second control plane may need one where the first did not.
        "load-balancer": Math.max(0, balancers - countOf(found, "load-balancer"))
      })
      return yield* carryOutPlan({
        client: context.client,
        schemes: context.schemes,
        policy,
        name: "addNodes",
        plan: { ...plan, nodes, extended: found },
        onFailure
      })
    }))
  })

/** Builds `removeNodes`. Names that are not there are `AlreadyDone`; volumes stay until the cluster is deleted. */
export const removeNodes = (context: Context) =>
  Effect.fnUntraced(function*(
    name: string,
    names: ReadonlyArray<string>
  ): Effect.fn.Return<OperationReport, NodesFailed | OperationTimeout | ClusterNotFound | BackendFailure> {
    const clusterName = yield* checkClusterName(name)
    const policy = yield* context.policy
    return yield* Operation.run(
      { provider: "docker", name: "removeNodes", clusterName, policy },
      Effect.fnUntraced(function*(operation) {
        const found = yield* present(context, clusterName)
        const going = yield* Scaling.named(operation, found, names, (member) => member.name)
        yield* operation.wave(
          going,
          { subject: subjectOf, timeout: policy.nodeTimeout.delete, width: policy.concurrency.delete },
          (member) => removeOne(context.client, operation, { kind: "node", name: member.name, id: member.container.Id })
        )
      })
    )
  })
