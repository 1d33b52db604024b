/**
 * Explains refusals about addresses. Engines name neither the container that has an address nor the network that is full,
 * so both are listed after such a refusal.
 */
import * as Effect from "effect/Effect"
import { InUse, QuotaExceeded } from "../Reason.ts"
import type { CallFailure, Task } from "../Resource.ts"
import { freeAddresses } from "./Addresses.ts"
import type { Reading } from "./Client.ts"
import { type Container, listContainers } from "./ClusterNodes.ts"
import { isAddressTaken, isNetworkFull } from "./Errors.ts"
import { endpointIn } from "./Users.ts"
import { ipv4SubnetOf, type Network } from "./Wire.ts"

/** A node as far as its addresses matter. */
export interface Addressed {
  readonly networks: ReadonlyArray<string>
  /** The fixed address in one of the networks. */
  readonly address?: string | undefined
}

const endpointsOf = ({ container }: Container) => Object.entries(container.NetworkSettings?.Networks ?? {})

const takenAddress = (
  read: Reading,
  task: Task,
  { address, networks }: Addressed,
  facts: { readonly status?: number }
): Effect.Effect<CallFailure, CallFailure> =>
  Effect.map(listContainers(read.client, read.schemes, undefined), (containers) => {
    const [found] = containers.flatMap(({ container, name }) =>
      endpointsOf({ container, name } as Container).flatMap(([network, endpoint]) =>
        endpoint?.IPAddress === address && networks.includes(network) ? [{ name, network }] : []
      )
    )
    const by = found === undefined ? "something else" : `container "${found.name}"`
    return task.error(
      new InUse({
        ...facts,
        detail: `address ${address} of network "${found?.network ?? networks[0] ?? ""}" is used by ${by}`
      })
    )
  })

const isFull = (network: Network, containers: ReadonlyArray<Container>): boolean => {
  const subnet = ipv4SubnetOf(network)
  const taken = new Set(containers.flatMap((container) => endpointIn(container, network)?.IPAddress ?? []))
  return subnet !== undefined && freeAddresses(subnet, taken).length === 0
}

const fullNetwork = (
  read: Reading,
  task: Task,
  { networks }: Addressed,
  facts: { readonly status?: number; readonly hint?: string }
): Effect.Effect<CallFailure, CallFailure> =>
  Effect.map(
    Effect.all([read.client.listNetworks, listContainers(read.client, read.schemes, undefined)]),
    ([known, containers]) => {
      const own = known.filter(({ Name }) => networks.includes(Name))
      const full = own.length === 1 ? own : own.filter((network) => isFull(network, containers))
      const names = (full.length === 0 ? networks : full.map(({ Name }) => Name)).map((name) => `"${name}"`)
      return task.error(
        new QuotaExceeded({
          ...facts,
          detail: names.length === 1
            ? `network ${names[0]} has no free address`
            : `one of the networks ${names.join(", ")} has no free address`
        })
      )
    }
  )

/** Names the holder of a refused address, and the network that has no free one. Other errors stay as they are. */
export const explainAddress =
  (read: Reading, task: Task, node: Addressed) =>
  <A>(call: Effect.Effect<A, CallFailure>): Effect.Effect<A, CallFailure> =>
    Effect.catch(call, (error) => {
      if (error._tag !== "BackendError") return Effect.fail(error)
      const { hint, status } = error.reason
      const facts = status === undefined ? {} : { status }
      const explained = node.address !== undefined && isAddressTaken(error.reason)
        ? takenAddress(read, task, node, facts)
        : isNetworkFull(error.reason)
        ? fullNetwork(read, task, node, { ...facts, ...(hint === undefined ? {} : { hint }) })
        : Effect.fail(error)
      // Without the lists the engine's own words are what is known.
      return Effect.flatMap(Effect.orElseSucceed(explained, () => error), Effect.fail)
    })
