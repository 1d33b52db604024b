/**
 * Adding nodes to a cluster that is there, and removing some of its nodes.
 *
 * New nodes get the first names that are free, join the network, the firewall and the placement groups that are there,
 * and are judged and undone as in a create. Nodes that are removed leave everything else in place.
 */
import * as Effect from "effect/Effect"
import { checkClusterName } from "../internal/ClusterNames.ts"
import * as Operation from "../internal/Operation.ts"
import * as Scaling from "../internal/Scaling.ts"
import type { ClusterName } from "../Model.ts"
import type { CreateFailure } from "../Provider.ts"
import { type BackendFailure, ClusterNotFound, type NodesFailed, type OperationTimeout } from "../ProviderError.ts"
import type { OperationReport } from "../Report.ts"
import type { CallFailure } from "./Client.ts"
import { carryOutPlan, type Context, planOf } from "./Create.ts"
import { deleteServers } from "./Delete.ts"
import { type Member, members } from "./Members.ts"
import { nameOfServer } from "./Names.ts"
import type { Plan } from "./Plan.ts"
import { type HetznerClusterSpec, type NodeDefaults, type Role, roles } from "./Spec.ts"

/**
 * How many nodes of each role are to be added, and what they are made from where the layer's options do not say.
 *
 * @category models
 * @since 0.1.0
 */
export interface AddNodes extends NodeDefaults, Scaling.Added {}

const present = Effect.fnUntraced(function*(
  { client, ownership }: Context,
  cluster: ClusterName
): Effect.fn.Return<ReadonlyArray<Member>, ClusterNotFound | CallFailure> {
  const found = yield* members(client, ownership, cluster)
  if (found.length === 0) return yield* new ClusterNotFound({ provider: "hetzner", clusterName: cluster })
  return found
})

/** The first names of a role that are free. */
const freeNames = (cluster: ClusterName, role: Role, count: number, held: ReadonlySet<string>): ReadonlySet<string> => {
  const free = new Set<string>()
  for (let number = 1; free.size < count; number++) {
    const name = nameOfServer(cluster, role, number)
    if (!held.has(name)) free.add(name)
  }
  return free
}

/** The highest number that a name of a role has. */
const highest = (cluster: ClusterName, role: Role, names: Iterable<string>): number =>
  Math.max(
    0,
    ...Array.from(names, (name) => {
      const start = nameOfServer(cluster, role, 0).slice(0, -1)
      return name.startsWith(start) ? Number(name.slice(start.length)) || 0 : 0
    })
  )

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
      const held = new Set(found.map(({ node }) => node.name))
      const { controlPlanes = 0, onFailure = "remove", workers = 0, ...how } = added
      const wanted = new Map<Role, ReadonlySet<string>>(
        roles.map((role) =>
          [role, freeNames(cluster, role, role === "worker" ? workers : controlPlanes, held)] as const
        )
      )
      // A plan for so many that every free name is in it; all but those are left out again.
      const upTo = (role: Role) => highest(cluster, role, wanted.get(role) ?? [])
      const whole: HetznerClusterSpec = {
        ...how,
        cluster,
        controlPlanes: Math.max(1, upTo("control-plane")),
        workers: upTo("worker")
      }
      const plan = yield* planOf(context.defaults, whole, cluster)
      const servers = plan.servers.filter(({ name, role }) => wanted.get(role)?.has(name) === true)
      const names = new Set(servers.map((server) => server.name))
      const extended: Plan = {
        ...plan,
        servers,
        groups: [...new Set(servers.flatMap(({ group }) => group ?? []))],
        // What the cluster has as a whole was made with it.
        volumes: plan.volumes.filter(({ server }) => server !== undefined && names.has(server)),
        floatingIp: undefined,
        extends: true
      }
      return yield* carryOutPlan(context, { policy, name: "addNodes", plan: extended, onFailure })
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
      { provider: "hetzner", name: "removeNodes", clusterName, policy },
      Effect.fnUntraced(function*(operation) {
        const found = yield* present(context, clusterName)
        const going = yield* Scaling.named(operation, found, names, ({ node }) => node.name)
        yield* deleteServers(context, operation, going)
      })
    )
  })
