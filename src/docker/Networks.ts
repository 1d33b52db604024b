/**
 * The networks of a cluster.
 *
 * Before API 1.44 an engine may create two networks of one name at once. The older one stays; a create that finds its own
 * to be the younger one removes it again.
 * Source: Docker Engine API reference, `NetworkCreate`, `NetworkDelete`.
 */
import * as Effect from "effect/Effect"
import { isReason } from "../internal/CallFailures.ts"
import { Conflict, Difference } from "../Reason.ts"
import type { CallFailure, Listed, Resource, Task } from "../Resource.ts"
import { overlapping, subnetsToTry } from "./Addresses.ts"
import type { Reading, Writing } from "./Client.ts"
import type { Container } from "./ClusterNodes.ts"
import { addressLabel, type WantedNetwork } from "./Desired.ts"
import { ensureImages } from "./Images.ts"
import * as Labels from "./Labels.ts"
import { ownerOf } from "./Owners.ts"
import type { Scheme } from "./Scheme.ts"
import { makeKeep, removeUnused, usersOfNetwork } from "./Users.ts"
import { ipv4SubnetOf, labelsOf, type Network, subnetsOf } from "./Wire.ts"

export type NetworkKind = Resource<WantedNetwork, Network, Reading, Writing>

/** A unique local /64 that is the same for the same name, as kind has it. */
const uniqueLocal = (name: string): string => {
  let hash = 0
  for (const character of name) hash = (hash * 31 + (character.codePointAt(0) ?? 0)) >>> 0
  const hex = hash.toString(16).padStart(8, "0")
  return `fc00:${hex.slice(0, 4)}:${hex.slice(4)}::/64`
}

/** The oldest first: it is the one that an engine chooses by its name. */
const eldestFirst = (networks: ReadonlyArray<Network>): ReadonlyArray<Network> =>
  [...networks].sort((a, b) => `${a.Created} ${a.Id}` < `${b.Created} ${b.Id}` ? -1 : 1)

/** Sends the create call, with one subnet after the other where the spec requests none. */
const send = (
  write: Writing,
  wanted: WantedNetwork,
  task: Task,
  known: ReadonlyArray<Network>,
  addresses: ReadonlyArray<string>
): Effect.Effect<Network, CallFailure> =>
  Effect.gen(function*() {
    // With the owner label, what all clusters share would be deleted with this one.
    const labels = wanted.shared
      ? wanted.labels
      : { ...wanted.labels, ...Labels.ownership(wanted.design.scheme.name, task.cluster, task.mark) }
    const create = (subnet: string | undefined, ipv6: boolean) => {
      const subnets = [
        ...(subnet === undefined ? [] : [{ Subnet: subnet }]),
        ...(ipv6 ? [{ Subnet: uniqueLocal(wanted.name) }] : [])
      ]
      return Effect.map(
        task.send(
          "create",
          write.client.createNetwork({
            Name: wanted.name,
            Driver: "bridge",
            CheckDuplicate: true,
            Labels: labels,
            Options: wanted.options,
            ...(ipv6 ? { EnableIPv6: true } : {}),
            IPAM: { Config: subnets }
          })
        ),
        (id): Network => ({ Id: id, Name: wanted.name, Labels: labels, IPAM: { Config: subnets } })
      )
    }
    if (wanted.requestedSubnet === undefined && wanted.subnet === undefined) {
      // An engine without ip6tables refuses IPv6; the cluster then has IPv4 only.
      return yield* wanted.ipv6
        ? Effect.catchIf(
          create(undefined, true),
          (error) => isReason(error, "InvalidInput", "ServerFault", "UnsupportedError", "UnknownError"),
          () => create(undefined, false)
        )
        : create(undefined, false)
    }
    const candidates = subnetsToTry(wanted.requestedSubnet, wanted.subnet ?? "", known.flatMap(subnetsOf), addresses)
    let last: CallFailure = task.error(
      new Conflict({
        detail: `no subnet of the pool ${wanted.subnet} is free`,
        hint: "Remove networks that nothing uses, or set `network.subnet`."
      })
    )
    for (const subnet of candidates) {
      const result = yield* Effect.result(create(subnet, false))
      if (result._tag === "Success") return result.success
      last = result.failure
      // Only an overlap, which may be with a route that no network shows, is a reason to try the next one.
      if (!isReason(last, "Conflict")) break
    }
    return yield* Effect.fail(explained(last, wanted, task, known))
  })

/** An overlap names the network that has the subnet. */
const explained = (
  error: CallFailure,
  { requestedSubnet }: WantedNetwork,
  task: Task,
  known: ReadonlyArray<Network>
): CallFailure => {
  if (requestedSubnet === undefined || error._tag !== "BackendError" || error.reason._tag !== "Conflict") return error
  const other = overlapping(requestedSubnet, known, subnetsOf)
  return task.error(
    new Conflict({
      ...(error.reason.status === undefined ? {} : { status: error.reason.status }),
      detail: other === undefined
        ? `${error.reason.detail}: subnet ${requestedSubnet}`
        : `subnet ${requestedSubnet} overlaps with subnet ${subnetsOf(other).join(", ")} of network "${other.Name}"`,
      hint: "Choose another `network.subnet`, or remove that network."
    })
  )
}

export const makeNetworks = (schemes: ReadonlyArray<Scheme>, nodes: Listed<Container>): NetworkKind => {
  const networks: NetworkKind = {
    kind: "network",
    order: 0,
    list: ({ client }) => Effect.map(client.listNetworks, eldestFirst),
    identity: ({ Id, Name }) => ({ name: Name, id: Id }),
    nameOf: ({ name }) => name,
    owner: (network, world) =>
      ownerOf(schemes, nodes, "ownsNetwork", { name: network.Name, labels: labelsOf(network) }, world),
    holder: (network) => Labels.holder(labelsOf(network)),
    isShared: ({ external, shared }) => shared || external,
    diff: ({ requestedSubnet }, network) => {
      const subnet = ipv4SubnetOf(network)
      return requestedSubnet === undefined || subnet === requestedSubnet ? [] : [
        new Difference({ field: "subnet", actual: subnet ?? null, requested: requestedSubnet, remedy: "replace" })
      ]
    },
    // An image that cannot be pulled fails the create before the first write.
    prepare: (write, missing, task) => Effect.as(ensureImages(write, missing, task, nodes), missing),
    create: (write, wanted, task) =>
      Effect.gen(function*() {
        const known = task.world.of(networks)
        const addresses = task.world.of(nodes).flatMap(({ labels }) =>
          labels[Labels.owned] === Labels.owner(wanted.design.scheme.name, task.cluster)
            ? labels[addressLabel] ?? []
            : []
        )
        const created = yield* send(write, wanted, task, known, addresses)
        const eldest = eldestFirst(yield* write.client.listNetworks).find(({ Name }) => Name === wanted.name)
        if (eldest === undefined || eldest.Id === created.Id) return created
        yield* write.client.removeNetwork(created.Id)
        return eldest
      }),
    keep: makeKeep(nodes)(usersOfNetwork, true),
    remove: (write, network, task) =>
      removeUnused(write, task, nodes, (containers) => usersOfNetwork(containers, network), {
        remove: write.client.removeNetwork(network.Id),
        detach: (id) => write.client.disconnectNetwork(network.Id, id)
      }),
    createdAt: ({ Created }) => Date.parse(Created ?? "")
  }
  return networks
}
