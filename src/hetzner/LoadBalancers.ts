/**
 * Load balancers: the one in front of the Kubernetes API, and those that the cloud controller of the cluster has created.
 *
 * The targets of the first are selected by label, so that control planes that come later are among them. The label of the controller says only that some cluster's controller created one. Its targets say which cluster it
 * serves, so they are read while the servers exist.
 * Source: Hetzner Cloud API reference, `/load_balancers`, `add_target`, `add_service`, `attach_to_network`, `change_type`.
 */
import * as Effect from "effect/Effect"
import { retrying } from "../Backend.ts"
import { Difference } from "../Reason.ts"
import type { Resource, Task, World } from "../Resource.ts"
import { servesAny, servesWhom } from "./BalancerTargets.ts"
import type { Client, Reading } from "./Client.ts"
import { type Context, isOwnedBy, labelsOfNew, notOwned } from "./Context.ts"
import type { WantedLoadBalancer } from "./Desired.ts"
import { labelledKind, once } from "./LabelledKind.ts"
import { selector } from "./Labels.ts"
import { priceText } from "./Prices.ts"
import * as Replies from "./Replies.ts"
import * as Wire from "./Wire.ts"

/** The cloud controller marks the load balancers that it created for a service of a cluster. */
const serviceLabel = "hcloud-ccm/service-uid"

/** The listed servers and networks of each cluster. */
interface Clusters {
  readonly servers: ReadonlyMap<string, ReadonlySet<number>>
  readonly networks: ReadonlyMap<number, string>
}

/** The control planes, as a target that the API evaluates at all times. */
const targetOf = ({ ownership }: Context, { cluster, network }: WantedLoadBalancer) => ({
  type: "label_selector",
  label_selector: { selector: selector(ownership.labelsFor(cluster, "control-plane")) },
  use_private_ip: network !== undefined
})

const serviceOf = (port: number) => ({
  protocol: "tcp",
  listen_port: port,
  destination_port: port,
  proxyprotocol: false
})

const differences = (
  context: Context,
  wanted: WantedLoadBalancer,
  actual: Wire.LoadBalancer,
  world: World
): ReadonlyArray<Difference> => {
  const { label_selector: { selector: requested }, use_private_ip } = targetOf(context, wanted)
  const network = wanted.network === undefined ? undefined : world.named(context.kinds().networks, wanted.network)
  const service = (actual.services ?? []).find(({ listen_port }) => listen_port === wanted.port)
  const type = actual.load_balancer_type?.name ?? null
  const location = actual.location?.name ?? null
  const isPublic = actual.public_net?.enabled ?? true
  const repair = (field: string, value: string | number) =>
    new Difference({ field, actual: null, requested: value, remedy: "repair" })
  return [
    ...(type === wanted.type
      ? []
      : [new Difference({ field: "type", actual: type, requested: wanted.type, remedy: "update" })]),
    ...(wanted.location === undefined || location === wanted.location
      ? []
      : [new Difference({ field: "location", actual: location, requested: wanted.location, remedy: "replace" })]),
    ...(isPublic === wanted.isPublic
      ? []
      : [new Difference({ field: "public", actual: isPublic, requested: wanted.isPublic, remedy: "replace" })]),
    ...(wanted.network === undefined || actual.private_net.some((each) => each.network === network?.id)
      ? []
      : [repair("network", wanted.network)]),
    ...((actual.targets ?? []).some((target) =>
        target.type === "label_selector" && target.label_selector?.selector === requested &&
        (target.use_private_ip ?? false) === use_private_ip
      )
      ? []
      : [repair("targets", requested)]),
    ...(service === undefined
      ? [repair("port", wanted.port)]
      : service.destination_port === wanted.port
      ? []
      : [
        new Difference({
          field: "destinationPort",
          actual: service.destination_port,
          requested: wanted.port,
          remedy: "update"
        })
      ])
  ]
}

const act = (context: Context, write: Client, balancer: Wire.LoadBalancer, what: string, body: unknown, task: Task) =>
  Effect.flatMap(
    retrying(
      task.send(
        what.replaceAll("_", " "),
        write.post(`/load_balancers/${balancer.id}/actions/${what}`, body, Replies.Started, once)
      )
    ),
    (reply) => task.waiting(`${what.replaceAll("_", " ")} goes on`, context.actions.await(Replies.actionsIn(reply), {}))
  )

export const makeLoadBalancers = (
  context: Context
): Resource<WantedLoadBalancer, Wire.LoadBalancer, Reading, Client> => {
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
      const hasServers = world.earlier.of(servers).some(({ owner }) => owner?.cluster === cluster)
      // Without servers nothing refers to the cluster's own load balancer.
      if (!hasServers) return true
      return world.of(servers).some((server) => server.owner?.cluster === cluster && refersTo(server)) ||
        world.of(networks).some((network) => isOwnedBy(context, network.labels, cluster) && refersTo(network))
    },
    nameOf: ({ name }) => name,
    diff: (wanted, actual, world) => differences(context, wanted, actual, world),
    create: (write, wanted, task) =>
      Effect.gen(function*() {
        const { isPublic, name, port, type } = wanted
        const { networks, servers } = context.kinds()
        const network = wanted.network === undefined ? undefined : task.world.named(networks, wanted.network)
        const location = wanted.place ??
          task.world.of(servers).find(({ owner }) => owner?.cluster === task.cluster)?.location?.name
        const labels = yield* labelsOfNew(context, task)
        const body = {
          name,
          load_balancer_type: type,
          ...(location === undefined ? {} : { location }),
          ...(network === undefined ? {} : { network: network.id }),
          public_interface: isPublic,
          labels,
          services: [serviceOf(port)],
          targets: [targetOf(context, wanted)]
        }
        const reply = yield* task.send("create", write.post("/load_balancers", body, Replies.LoadBalancer, once))
        yield* task.waiting("it is being created", context.actions.await(Replies.actionsIn(reply), {}))
        const ip = reply.load_balancer.public_net?.ipv4?.ip
        if (ip !== undefined && ip !== null) yield* task.note(`the Kubernetes API is reachable at ${ip}:${port}`)
        return reply.load_balancer
      }),
    repair: (write, wanted, actual, found, task) =>
      Effect.gen(function*() {
        const fields = new Set(found.map(({ field }) => field))
        const network = task.world.named(context.kinds().networks, wanted.network ?? "")
        // Targets that are reached through the network need the load balancer in it first.
        if (fields.has("network") && network !== undefined) {
          yield* act(context, write, actual, "attach_to_network", { network: network.id }, task)
        }
        if (fields.has("targets")) yield* act(context, write, actual, "add_target", targetOf(context, wanted), task)
        if (fields.has("port")) yield* act(context, write, actual, "add_service", serviceOf(wanted.port), task)
      }),
    update: (write, wanted, actual, found, task) =>
      Effect.gen(function*() {
        const fields = new Set(found.map(({ field }) => field))
        if (fields.has("type")) {
          yield* act(context, write, actual, "change_type", { load_balancer_type: wanted.type }, task)
        }
        if (fields.has("destinationPort")) {
          yield* act(context, write, actual, "update_service", serviceOf(wanted.port), task)
        }
      }),
    details: ({ place, price, type }) => ({
      loadBalancerType: type,
      ...(place === undefined ? {} : { location: place }),
      ...(price === undefined ? {} : { price: priceText(price) })
    }),
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
