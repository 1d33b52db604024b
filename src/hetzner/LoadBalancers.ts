/**
 * Load balancers that the cloud controller of the cluster has created for its services.
 *
 * The label of the controller says only that some cluster's controller created one. Its targets say which cluster it
 * serves, so they are read while the servers exist.
 * Source: Hetzner Cloud API reference, `/load_balancers`.
 */
import * as Effect from "effect/Effect"
import type { Resource, World } from "../Resource.ts"
import { servesAny, servesWhom } from "./BalancerTargets.ts"
import type { Client, Reading } from "./Client.ts"
import { type Context, isOwnedBy, notOwned } from "./Context.ts"
import { labelledKind } from "./LabelledKind.ts"
import * as Wire from "./Wire.ts"

/** The cloud controller marks the load balancers that it created for a service of a cluster. */
const serviceLabel = "hcloud-ccm/service-uid"

/** The servers and networks of each cluster in a look. */
interface Clusters {
  readonly servers: ReadonlyMap<string, ReadonlySet<number>>
  readonly networks: ReadonlyMap<number, string>
}

export const makeLoadBalancers = (context: Context): Resource<unknown, Wire.LoadBalancer, Reading, Client> => {
  const common = labelledKind(context, "load-balancer", Wire.loadBalancers)

  const clustersIn = (world: World): Clusters => {
    const { networks, servers } = context.kinds()
    const found = new Map<string, Set<number>>()
    for (const server of [...world.earlier.of(servers), ...world.of(servers)]) {
      const cluster = server.owner?.cluster
      if (cluster !== undefined) found.set(cluster, (found.get(cluster) ?? new Set()).add(server.id))
    }
    return {
      servers: found,
      networks: new Map(
        world.of(networks).flatMap(({ id, labels }) => {
          const cluster = context.ownership.classify(labels)?.cluster
          return cluster === undefined ? [] : [[id, cluster] as const]
        })
      )
    }
  }

  /** The cluster that a controller's load balancer serves alone. */
  const servedBy = (balancer: Wire.LoadBalancer, world: World): string | undefined => {
    if (balancer.labels[serviceLabel] === undefined) return undefined
    const { networks, servers } = clustersIn(world)
    for (const [cluster, ids] of servers) {
      if (servesWhom(balancer, ids) === "cluster") return cluster
    }
    // Without a server behind it, it belongs to the cluster in whose network it is.
    return servesWhom(balancer, new Set()) === "nothing"
      ? balancer.private_net.flatMap(({ network }) => networks.get(network) ?? [])[0]
      : undefined
  }

  return {
    ...common,
    order: 2,
    removal: 1,
    isListedBeforeNodes: true,
    concerns: (cluster, world) => {
      const { networks, servers } = context.kinds()
      const refersTo = ({ load_balancers }: { readonly load_balancers?: ReadonlyArray<number> | null }) =>
        (load_balancers ?? []).length > 0
      return world.of(servers).some((server) => server.owner?.cluster === cluster && refersTo(server)) ||
        world.of(networks).some((network) => isOwnedBy(context, network.labels, cluster) && refersTo(network))
    },
    nameOf: () => "",
    diff: () => [],
    owner: (actual, world) => {
      const own = common.owner(actual, world)
      if (own !== undefined) return own
      const cluster = servedBy(actual, world)
      return cluster === undefined ? undefined : { cluster }
    },
    mention: (_, cluster, world) =>
      Effect.gen(function*() {
        const { networks, servers } = clustersIn(world)
        const { loadBalancers } = context.kinds()
        const own = servers.get(cluster) ?? new Set<number>()
        const mentioned = new Map<Wire.LoadBalancer, string>()
        for (const balancer of world.of(loadBalancers)) {
          if (loadBalancers.owner(balancer, world)?.cluster === cluster) continue
          const isInNetwork = balancer.private_net.some(({ network }) => networks.get(network) === cluster)
          const serves = servesAny(balancer, own)
          if (!isInNetwork && !serves) continue
          const cost = yield* context.biller({
            kind: "load-balancer",
            type: balancer.load_balancer_type?.name,
            location: balancer.location?.name
          })
          const where = serves ? "it has servers of the cluster as targets" : "it is in the cluster's network"
          mentioned.set(balancer, `${where} and is ${notOwned(balancer.labels)}; ${cost}`)
        }
        return mentioned
      })
  }
}
