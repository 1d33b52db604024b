/**
 * The private network of a cluster, and its subnet.
 *
 * Source: Hetzner Cloud API reference, `/networks`, `add_subnet`.
 */
import * as Effect from "effect/Effect"
import { retrying } from "../Backend.ts"
import { Difference, InvalidInput } from "../Reason.ts"
import type { Resource } from "../Resource.ts"
import { sameCidr } from "./Cidr.ts"
import type { Client, Reading } from "./Client.ts"
import { type Context, isOwnedBy, labelsOfNew, notOwned } from "./Context.ts"
import type { WantedNetwork } from "./Desired.ts"
import { labelledKind, once } from "./LabelledKind.ts"
import { namesOf } from "./Names.ts"
import * as Replies from "./Replies.ts"
import { usedByServers } from "./Users.ts"
import * as Wire from "./Wire.ts"

const subnetBody = ({ subnet }: WantedNetwork, zone: string) => ({
  type: "cloud",
  ip_range: subnet,
  network_zone: zone
})

const replace = (field: string, actual: string, requested: string) =>
  new Difference({ field, actual, requested, remedy: "replace" })

const differences = (wanted: WantedNetwork, { ip_range, subnets }: Wire.Network): ReadonlyArray<Difference> => {
  const subnet = subnets.find((each) => sameCidr(each.ip_range, wanted.subnet))
  const others = subnets.map((each) => each.ip_range).join(", ")
  return [
    ...(sameCidr(ip_range, wanted.ipRange) ? [] : [replace("ipRange", ip_range, wanted.ipRange)]),
    ...(subnet !== undefined
      ? []
      : subnets.length > 0
      ? [replace("subnet", others, wanted.subnet)]
      : [new Difference({ field: "subnet", actual: null, requested: wanted.subnet, remedy: "repair" })]),
    ...(subnet === undefined || wanted.zone === undefined || subnet.network_zone === wanted.zone
      ? []
      : [replace("zone", subnet.network_zone, wanted.zone)])
  ]
}

const noZone = new InvalidInput({ detail: "no network zone is given, and no location of a server says it" })

export const makeNetworks = (context: Context): Resource<WantedNetwork, Wire.Network, Reading, Client> => {
  const common = labelledKind(context, "network", Wire.networks)
  return {
    ...common,
    order: 0,
    removal: 0,
    nameOf: ({ name }) => name,
    matches: ({ existing, name }, actual) => existing === undefined ? actual.name === name : actual.id === existing,
    isShared: ({ existing }) => existing !== undefined,
    diff: (wanted, actual) => wanted.existing === undefined ? differences(wanted, actual) : [],
    create: (write, wanted, task) =>
      wanted.zoneOfNew === undefined
        ? Effect.fail(task.error(noZone))
        : Effect.flatMap(labelsOfNew(context, task, { isShared: true }), (labels) =>
          task.send(
            "create",
            write.post(
              "/networks",
              {
                name: wanted.name,
                ip_range: wanted.ipRange,
                subnets: [subnetBody(wanted, wanted.zoneOfNew ?? "")],
                labels
              },
              Replies.Network,
              once
            )
          )).pipe(Effect.map(({ network }) => network)),
    repair: (write, wanted, actual, _, task) =>
      wanted.zoneOfNew === undefined
        ? Effect.fail(task.error(noZone))
        : retrying(
          task.send(
            "add subnet",
            write.post(
              `${common.pathOf(actual)}/actions/add_subnet`,
              subnetBody(wanted, wanted.zoneOfNew),
              Replies.Started,
              once
            )
          )
        ).pipe(
          Effect.flatMap((reply) =>
            task.waiting("the subnet is being added", context.actions.await(Replies.actionsIn(reply), {}))
          )
        ),
    keep: (read, networks, world) =>
      Effect.map(usedByServers(context, read, networks, ({ servers }) => servers, world), (used) => {
        const { loadBalancers } = context.kinds()
        const balancers = new Map(world.of(loadBalancers).map((each) => [each.id, each]))
        for (const network of networks) {
          const staying = (network.load_balancers ?? []).flatMap((id) => {
            const balancer = balancers.get(id)
            return balancer !== undefined && world.isLeaving(loadBalancers, balancer)
              ? []
              : [balancer?.name ?? `with the id ${id}`]
          })
          if (staying.length === 0) continue
          const why = `used by load balancer ${staying.join(", ")}`
          const servers = used.get(network)
          used.set(network, servers === undefined ? why : `${servers}; ${why}`)
        }
        return used
      }),
    mention: (_, cluster, world) =>
      Effect.succeed(
        new Map(
          world.of(context.kinds().networks).flatMap((network) =>
            network.name === namesOf(cluster).network && !isOwnedBy(context, network.labels, cluster)
              ? [[network, notOwned(network.labels)] as const]
              : []
          )
        )
      )
  }
}
