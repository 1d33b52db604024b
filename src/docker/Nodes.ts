/**
 * The nodes of a cluster, as containers.
 *
 * A node that exists is compared with the label that says what was requested for it, and with the networks that it is
 * in. A missing network is repaired; every other difference needs another container.
 * Source: Docker Engine API reference, `ContainerCreate`, `ContainerDelete`, `NetworkConnect`.
 */
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import { isReason } from "../internal/CallFailures.ts"
import type { ClusterName } from "../Model.ts"
import { Difference, Locked, NotFoundError } from "../Reason.ts"
import { AlreadyDone, Done, type Outcome } from "../Report.ts"
import type { CallFailure, NodeResource, Task, World } from "../Resource.ts"
import { explainAddress } from "./AddressCause.ts"
import { freeAddresses, isOutside } from "./Addresses.ts"
import type { Reading, Writing } from "./Client.ts"
import { type Container, isNode, listContainers, ownerOf, stateOf } from "./ClusterNodes.ts"
import { addressLabel, createBody, differences, networksOfNode, type WantedNode } from "./Desired.ts"
import { isAmbiguous, isPortTaken } from "./Errors.ts"
import { chooseHostPorts } from "./HostPorts.ts"
import { ensureImages } from "./Images.ts"
import * as Labels from "./Labels.ts"
import type { NetworkKind } from "./Networks.ts"
import { startNode } from "./Power.ts"
import type { Scheme } from "./Scheme.ts"
import { toNode } from "./Translate.ts"
import { endpointIn, servesOthers } from "./Users.ts"
import { ipv4SubnetOf, type Network } from "./Wire.ts"

export type NodeKind = NodeResource<WantedNode, Container, Reading, Writing>

/** How often other host ports are chosen for a node whose ports something else has taken. */
const portAttempts = 3

/** How long two networks may have one name. */
const ambiguousFor = "10 seconds"

const networkField = (name: string): string => `networks.${name}`

// -----------------------------------------------------------------------------
// Allocation
// -----------------------------------------------------------------------------

/** The addresses that endpoints in a network have, or that labels of the cluster's nodes keep. */
const takenAddresses = (containers: ReadonlyArray<Container>, network: Network, owner: string): ReadonlySet<string> =>
  new Set(
    containers.flatMap((container) => [
      ...(container.labels[Labels.owned] === owner ? [container.labels[addressLabel] ?? ""] : []),
      endpointIn(container, network)?.IPAddress ?? ""
    ]).filter((address) => address !== "")
  )

/** Gives nodes of schemes with fixed addresses the first free ones. */
const withAddresses = (
  wanted: ReadonlyArray<WantedNode>,
  containers: ReadonlyArray<Container>,
  network: Network | undefined,
  cluster: ClusterName
): ReadonlyArray<WantedNode> => {
  const [first] = wanted
  const subnet = network === undefined ? undefined : ipv4SubnetOf(network)
  if (first === undefined || network === undefined || subnet === undefined) return wanted
  if (first.design.network.subnet === undefined) return wanted
  const owner = Labels.owner(first.design.scheme.name, cluster)
  const names = new Set(wanted.map(({ name }) => name))
  const others = containers.filter(({ name }) => !names.has(name))
  const free = freeAddresses(subnet, takenAddresses(others, network, owner))
  return wanted.map((node, index) => {
    const address = free[index]
    return address === undefined ? node : { ...node, address }
  })
}

const heldPorts = (task: Task): Effect.Effect<Set<string>> =>
  task.once("host ports", Effect.sync(() => new Set<string>()))

// -----------------------------------------------------------------------------
// Create
// -----------------------------------------------------------------------------

/** A container as its create call describes it. */
const created = (wanted: WantedNode, id: string, labels: Readonly<Record<string, string>>): Container => ({
  name: wanted.name,
  labels,
  container: {
    Id: id,
    Names: [`/${wanted.name}`],
    State: "created",
    Labels: labels,
    NetworkSettings: { Networks: Object.fromEntries(networksOfNode(wanted).map((name) => [name, {}])) }
  },
  member: {
    scheme: wanted.design.scheme,
    membership: wanted.design.scheme.recognise({ name: wanted.name, labels }, []) ??
      { cluster: wanted.design.cluster, role: wanted.place.role, rawRole: wanted.place.role }
  }
})

const createContainer = (
  write: Writing,
  wanted: WantedNode,
  task: Task,
  kinds: { readonly nodes: NodeKind; readonly networks: NetworkKind }
): Effect.Effect<Container, CallFailure> =>
  Effect.gen(function*() {
    const { design } = wanted
    const addressed = { networks: networksOfNode(wanted), address: wanted.address }
    const body = createBody(wanted, Labels.ownership(design.scheme.name, design.cluster, task.mark))
    const id = yield* task.send("create", write.client.createContainer(wanted.name, body)).pipe(
      // Another create has created the same network at the same time, and one of the two removes its own again.
      Effect.retry({
        while: (error) => error._tag === "BackendError" && isAmbiguous(error.reason),
        schedule: Schedule.upTo(task.policy.poll, { duration: ambiguousFor })
      }),
      explainAddress(write, task, addressed)
    )
    // Before API 1.44 a create call takes one network only. A node that misses one is repaired by the next create.
    const [, ...others] = networksOfNode(wanted)
    yield* Effect.forEach(others, (name) =>
      task.send("connect", write.client.connectNetwork(task.world.named(kinds.networks, name)?.Id ?? name, id)).pipe(
        explainAddress(write, task, { networks: [name] })
      ), { discard: true })
    return created(wanted, id, body["Labels"] as Readonly<Record<string, string>>)
  })

/** Starts a new node. If something else has taken a chosen port, the container is created again with another one. */
const startNew = (
  write: Writing,
  wanted: WantedNode,
  actual: Container,
  task: Task,
  create: (wanted: WantedNode) => Effect.Effect<Container, CallFailure>,
  left = portAttempts
): Effect.Effect<Container, CallFailure> =>
  startNode(write, actual, task).pipe(
    Effect.as(actual),
    Effect.catchIf(
      (error) =>
        left > 0 && error._tag === "BackendError" && isPortTaken(error.reason) &&
        wanted.ports.some((port) => port.host === undefined),
      () =>
        Effect.gen(function*() {
          const hostPorts = yield* chooseHostPorts(wanted.ports, yield* heldPorts(task))
          yield* write.client.removeContainer(actual.container.Id)
          const again = yield* create({ ...wanted, hostPorts })
          return yield* startNew(write, wanted, again, task, create, left - 1)
        })
    )
  )

// -----------------------------------------------------------------------------
// Compare
// -----------------------------------------------------------------------------

/** The networks of the spec that a node is not in. */
const missingNetworks = (
  wanted: WantedNode,
  actual: Container,
  world: World,
  networks: NetworkKind
): ReadonlyArray<Difference> =>
  networksOfNode(wanted).flatMap((name) => {
    const network = world.named(networks, name)
    const isConnected = network !== undefined && endpointIn(actual, network) !== undefined
    return isConnected
      ? []
      : [new Difference({ field: networkField(name), actual: null, requested: name, remedy: "repair" })]
  })

/** A container that was never started, in a network that has another subnet by now, can never be started. */
const staleAddress = (
  wanted: WantedNode,
  actual: Container,
  world: World,
  networks: NetworkKind
): ReadonlyArray<Difference> => {
  const address = actual.labels[addressLabel]
  const network = world.named(networks, wanted.design.network.name)
  const subnet = network === undefined ? undefined : ipv4SubnetOf(network)
  return stateOf(actual) === "created" && isOutside(subnet, address)
    ? [new Difference({ field: "address", actual: address ?? null, requested: subnet ?? null, remedy: "repair" })]
    : []
}

const repair = (
  write: Writing,
  wanted: WantedNode,
  actual: Container,
  some: ReadonlyArray<Difference>,
  task: Task,
  kinds: { readonly nodes: NodeKind; readonly networks: NetworkKind }
): Effect.Effect<void, CallFailure> => {
  const { Id } = actual.container
  const main = task.world.named(kinds.networks, wanted.design.network.name)
  const subnet = main === undefined ? undefined : ipv4SubnetOf(main)
  const isStale = some.some(({ field }) => field === "address") ||
    (stateOf(actual) === "created" && isOutside(subnet, actual.labels[addressLabel]))
  // Nothing has ever run in it, so nothing is lost.
  if (isStale) {
    return Effect.gen(function*() {
      yield* task.send("remove", write.client.removeContainer(Id))
      const [allocated = wanted] = withAddresses([wanted], task.world.of(kinds.nodes), main, task.cluster)
      const hostPorts = yield* chooseHostPorts(wanted.ports, yield* heldPorts(task))
      const again = yield* createContainer(write, { ...allocated, hostPorts }, task, kinds)
      yield* startNode(write, again, task)
    })
  }
  return Effect.forEach(
    networksOfNode(wanted).filter((name) => some.some(({ field }) => field === networkField(name))),
    (name) => {
      const network = task.world.named(kinds.networks, name)
      if (network === undefined) {
        return Effect.fail(task.error(new NotFoundError({ detail: `there is no network "${name}"` })))
      }
      const address = name === main?.Name && !isOutside(subnet, actual.labels[addressLabel])
        ? actual.labels[addressLabel]
        : undefined
      return task.send("connect", write.client.connectNetwork(network.Id, Id, address)).pipe(
        explainAddress(write, task, { networks: [name], address })
      )
    },
    { discard: true }
  )
}

// -----------------------------------------------------------------------------
// Remove
// -----------------------------------------------------------------------------

/** Waits until a container that something else is removing is gone. */
const awaitRemoval = (write: Writing, id: string, task: Task): Effect.Effect<void, CallFailure> =>
  task.waiting(
    "something else is removing it",
    write.client.inspectContainer(id).pipe(
      Effect.andThen(Effect.fail(task.error(new Locked({ detail: "the container is still being removed" })))),
      Effect.catchIf((error) => isReason(error, "NotFoundError"), () => Effect.void),
      Effect.retry({ schedule: task.policy.poll, while: (error) => isReason(error, "Locked") })
    )
  )

const remove = (write: Writing, { container: { Id } }: Container, task: Task): Effect.Effect<Outcome, CallFailure> =>
  task.send("remove", write.client.removeContainer(Id)).pipe(
    Effect.as<Outcome>(new Done({})),
    Effect.catchIf(
      (error) => isReason(error, "Locked"),
      () => Effect.as(awaitRemoval(write, Id, task), new AlreadyDone({}))
    )
  )

// -----------------------------------------------------------------------------
// Kind
// -----------------------------------------------------------------------------

export const makeNodes = (schemes: ReadonlyArray<Scheme>, networksOf: () => NetworkKind): NodeKind => {
  const kinds = {
    get nodes() {
      return nodes
    },
    get networks() {
      return networksOf()
    }
  }
  const nodes: NodeKind = {
    kind: "node",
    order: 1,
    list: ({ client }, cluster) => listContainers(client, schemes, cluster),
    identity: ({ container, name }) => ({ name, id: container.Id }),
    nameOf: ({ name }) => name,
    placeOf: ({ place, pool }) => ({ role: place.role, ...(pool === undefined ? {} : { pool }) }),
    owner: ownerOf,
    holder: ({ labels }) => Labels.holder(labels),
    isGoing: (container) => ["removing", "dead"].includes(stateOf(container)),
    isUnfinished: (container) => stateOf(container) === "created" && container.labels[Labels.operation] !== undefined,
    isUser: true,
    isSurplus: (container) => isNode(container) && container.member.membership.role !== "helper",
    info: (container, cluster) => toNode(container, cluster),
    diff: (wanted, actual, world) => [
      ...differences(actual.labels[Labels.spec], wanted.digest),
      ...missingNetworks(wanted, actual, world, networksOf()),
      ...staleAddress(wanted, actual, world, networksOf())
    ],
    prepare: (write, missing, task) =>
      Effect.gen(function*() {
        yield* ensureImages(write, missing, task, nodes)
        const network = task.world.named(networksOf(), missing[0]?.design.network.name ?? "")
        const placed = withAddresses(missing, task.world.of(nodes), network, task.cluster)
        const held = yield* heldPorts(task)
        return yield* Effect.forEach(placed, (node) =>
          Effect.map(chooseHostPorts(node.ports, held), (hostPorts) => ({ ...node, hostPorts })))
      }),
    create: (write, wanted, task) => createContainer(write, wanted, task, kinds),
    startNew: (write, wanted, actual, task) =>
      startNew(
        write,
        { ...wanted, ...(actual.labels[addressLabel] === undefined ? {} : { address: actual.labels[addressLabel] }) },
        actual,
        task,
        (again) => createContainer(write, again, task, kinds)
      ),
    repair: (write, wanted, actual, some, task) => repair(write, wanted, actual, some, task, kinds),
    remove,
    keep: (_, actuals) =>
      Effect.succeed(
        new Map(actuals.flatMap((actual) => {
          const other = servesOthers(actual)
          return other === undefined ? [] : [[actual, `this registry also serves the network ${other}`] as const]
        }))
      ),
    createdAt: ({ container: { Created } }) => typeof Created === "number" ? Created * 1000 : undefined,
    details: ({ spec: { image } }) => ({ image })
  }
  return nodes
}
