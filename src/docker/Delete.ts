/**
 * Deleting a cluster: its containers, then the networks and named volumes that are its own.
 *
 * Containers go by id, with their anonymous volumes. A network or volume that something foreign uses, running or not,
 * stays and is Skipped with the name of what uses it: the engine itself would remove a network from under a stopped
 * container. All of it can be repeated, with no container left too; two deletes at once both succeed.
 * Source: Docker Engine API reference, `ContainerDelete`, `NetworkDelete`, `VolumeDelete`.
 */
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import { type Operation, settledError } from "../internal/Operation.ts"
import type { ClusterName } from "../Model.ts"
import type { Subject } from "../Progress.ts"
import { BackendError, Locked } from "../Reason.ts"
import { AlreadyDone, Done, Failed, type Outcome, Skipped } from "../Report.ts"
import type { Client } from "./Client.ts"
import { holder } from "./Labels.ts"
import { type Member, members, subjectOf } from "./Members.ts"
import { isReason } from "./Power.ts"
import type { Scheme } from "./Scheme.ts"
import type { CallFailure } from "./Transport.ts"
import { type ContainerSummary, labelsOf, nameOf, type Network, type Volume } from "./Wire.ts"

const done = new Done({})
const alreadyDone = new AlreadyDone({})

/** Waits until a container that someone else is removing is gone. */
const awaitRemoval = (client: Client, operation: Operation, id: string): Effect.Effect<void, CallFailure> =>
  client.inspectContainer(id).pipe(
    Effect.andThen(Effect.fail(operation.error(new Locked({ detail: "the container is still being removed" })))),
    Effect.catchIf((error) => isReason(error, "NotFoundError"), () => Effect.void),
    Effect.retry({
      schedule: operation.policy.poll,
      while: (error) => isReason(error, "Locked")
    })
  )

/** Removes one container. One that is gone, or that someone else removes meanwhile, is AlreadyDone. */
export const removeOne = (
  client: Client,
  operation: Operation,
  subject: Subject & { readonly id: string }
): Effect.Effect<Outcome, CallFailure> =>
  Effect.andThen(operation.emit({ _tag: "Sent", subject, call: "remove" }), client.removeContainer(subject.id)).pipe(
    Effect.as<Outcome>(done),
    Effect.catchIf((error) => isReason(error, "NotFoundError"), () => Effect.succeed<Outcome>(alreadyDone)),
    Effect.catchIf(
      (error) => isReason(error, "Locked"),
      () =>
        operation.emit({ _tag: "Waiting", subject, reason: "someone else is removing it" }).pipe(
          Effect.andThen(awaitRemoval(client, operation, subject.id)),
          Effect.as<Outcome>(alreadyDone)
        )
    )
  )

const networkNames = (container: ContainerSummary): ReadonlyArray<string> =>
  Object.keys(container.NetworkSettings?.Networks ?? {})

/** The engine's own networks, which serve nobody in particular. */
const ofTheEngine = new Set(["bridge", "host", "none"])

/** A registry that serves other networks too is not the cluster's alone: k3d leaves it running, and so do we. */
const servesOthers = (member: Member): string | undefined => {
  if (member.scheme.name !== "k3d" || member.node.rawRole !== "registry") return undefined
  const own = member.labels["k3d.cluster.network"] ?? `k3d-${member.node.clusterName}`
  return networkNames(member.container).find((name) => name !== own && !ofTheEngine.has(name))
}

/** The containers in a network, running or not. */
export const usersOfNetwork = (
  containers: ReadonlyArray<ContainerSummary>,
  network: Network
): ReadonlyArray<ContainerSummary> =>
  containers.filter((container) =>
    Object.entries(container.NetworkSettings?.Networks ?? {}).some(([name, endpoint]) =>
      name === network.Name || name === network.Id || endpoint?.NetworkID === network.Id
    )
  )

/** The containers that mount a named volume. */
export const usersOfVolume = (
  containers: ReadonlyArray<ContainerSummary>,
  volume: Volume
): ReadonlyArray<ContainerSummary> =>
  containers.filter((container) =>
    (container.Mounts ?? []).some((mount) => mount.Type === "volume" && mount.Name === volume.Name)
  )

const usedBy = (users: ReadonlyArray<ContainerSummary>): string =>
  users.map((container) => `${nameOf(container)} (${holder(labelsOf(container))})`).join(", ")

/** How long an engine may still count an endpoint, or a mount, of a container that is gone. */
const releasedWithin = "5 seconds"

/**
 * Removes a network or volume unless a container uses it. `users` are those that are not about to go. Where the engine
 * says that it is in use all the same, it is looked again: something foreign has joined meanwhile, or what the nodes
 * held is not released yet.
 */
const removeUnused = (
  operation: Operation,
  subject: Subject,
  users: ReadonlyArray<ContainerSummary>,
  usersNow: Effect.Effect<ReadonlyArray<ContainerSummary>, CallFailure>,
  remove: Effect.Effect<void, CallFailure>
): Effect.Effect<Outcome, CallFailure> => {
  const used = (by: ReadonlyArray<ContainerSummary>): Outcome =>
    new Skipped({ reason: `used by container ${usedBy(by)}` })
  if (users.length > 0) return Effect.succeed(used(users))
  const attempt = remove.pipe(
    Effect.as<Outcome>(done),
    Effect.catchIf((error) => isReason(error, "NotFoundError"), () => Effect.succeed<Outcome>(alreadyDone)),
    Effect.catchIf(
      (error) => isReason(error, "InUse"),
      (error) => Effect.flatMap(usersNow, (now) => now.length > 0 ? Effect.succeed(used(now)) : Effect.fail(error))
    )
  )
  return operation.emit({ _tag: "Sent", subject, call: "remove" }).pipe(
    Effect.andThen(attempt),
    Effect.retry({
      while: (error) => isReason(error, "InUse"),
      schedule: Schedule.upTo(operation.policy.poll, { duration: releasedWithin })
    }),
    // By something that is no container of this engine.
    Effect.catchIf(
      (error) => isReason(error, "InUse"),
      (error) =>
        Effect.succeed<Outcome>(new Skipped({ reason: error instanceof BackendError ? error.reason.detail : "" }))
    )
  )
}

interface Resource {
  readonly subject: Subject
  readonly users: (containers: ReadonlyArray<ContainerSummary>) => ReadonlyArray<ContainerSummary>
  readonly remove: Effect.Effect<void, CallFailure>
  readonly detach?: (container: string) => Effect.Effect<void, CallFailure>
}

/** The networks and volumes that are the cluster's own. */
export const ownResources = Effect.fnUntraced(function*(
  client: Client,
  schemes: ReadonlyArray<Scheme>,
  cluster: ClusterName,
  nodes: ReadonlyArray<Member>
): Effect.fn.Return<ReadonlyArray<Resource>, CallFailure> {
  // Of several schemes, a cluster without nodes may be in any; but what a name alone tells is then not enough.
  const candidates = nodes[0] === undefined
    ? schemes.filter((scheme) => schemes.length === 1 || scheme.knownByName !== true)
    : [nodes[0].scheme]
  const [networks, volumes] = yield* Effect.all([client.listNetworks, client.listVolumes], { concurrency: 2 })
  return [
    ...networks
      .filter((network) =>
        candidates.some((scheme) =>
          scheme.ownsNetwork(cluster, { name: network.Name, labels: labelsOf(network) }, nodes)
        )
      )
      .map((network): Resource => ({
        subject: { kind: "network", name: network.Name, id: network.Id },
        users: (containers) => usersOfNetwork(containers, network),
        remove: client.removeNetwork(network.Id),
        detach: (container) => client.disconnectNetwork(network.Id, container)
      })),
    ...volumes
      .filter((volume) =>
        candidates.some((scheme) => scheme.ownsVolume(cluster, { name: volume.Name, labels: labelsOf(volume) }, nodes))
      )
      .map((volume): Resource => ({
        subject: { kind: "volume", name: volume.Name },
        users: (containers) => usersOfVolume(containers, volume),
        remove: client.removeVolume(volume.Name)
      }))
  ]
})

const deleteResources = Effect.fnUntraced(function*(
  client: Client,
  operation: Operation,
  resources: ReadonlyArray<Resource>,
  spared: ReadonlyArray<Member>
): Effect.fn.Return<void, CallFailure> {
  if (resources.length === 0) return
  const containers = yield* client.listContainers()
  const { concurrency, nodeTimeout } = operation.policy
  yield* operation.wave(
    resources,
    { subject: (resource) => resource.subject, timeout: nodeTimeout.delete, width: concurrency.delete },
    (resource) =>
      Effect.gen(function*() {
        const users = resource.users(containers)
        const detachable = resource.detach === undefined
          ? []
          : users.filter((user) => spared.some((member) => member.container.Id === user.Id))
        if (resource.detach !== undefined && detachable.length === users.length) {
          yield* Effect.forEach(detachable, (user) => resource.detach?.(user.Id) ?? Effect.void, { discard: true })
        }
        const left = resource.detach !== undefined && detachable.length === users.length ? [] : users
        const usersNow = Effect.map(client.listContainers(), resource.users)
        return yield* removeUnused(operation, resource.subject, left, usersNow, resource.remove)
      })
  )
})

/** All at once, unless the rest is nobody's without its control plane. */
const inDeleteOrder = (nodes: ReadonlyArray<Member>): ReadonlyArray<ReadonlyArray<Member>> =>
  nodes[0]?.scheme.deletesControlPlanesLast === true
    ? [
      nodes.filter((member) => member.node.role !== "control-plane"),
      nodes.filter((member) => member.node.role === "control-plane")
    ]
    : [nodes]

export const deleteCluster = (client: Client, schemes: ReadonlyArray<Scheme>) => (operation: Operation) =>
  Effect.gen(function*() {
    const nodes = yield* members(client, schemes, operation.clusterName)
    const { concurrency, nodeTimeout } = operation.policy
    yield* operation.schedule(nodes.map(subjectOf))
    for (const wave of inDeleteOrder(nodes)) {
      yield* operation.wave(
        wave,
        { subject: subjectOf, timeout: nodeTimeout.delete, width: concurrency.delete },
        (member) => {
          const other = servesOthers(member)
          return other === undefined
            ? removeOne(client, operation, { kind: "node", name: member.name, id: member.container.Id })
            : Effect.succeed(new Skipped({ reason: `this registry also serves the network ${other}` }))
        }
      )
    }
    const spared = nodes.filter((member) => operation.outcomeOf(subjectOf(member))?._tag === "Skipped")
    const own = ownResources(client, schemes, operation.clusterName, nodes)
    yield* own.pipe(
      Effect.flatMap((resources) => deleteResources(client, operation, resources, spared)),
      // The nodes are gone by now and stand in the report, so what could not be asked has to stand there too.
      Effect.catch((error) => {
        const subject: Subject = { kind: "network", name: "networks and volumes of the cluster" }
        return operation.record(subject, new Failed({ error: settledError(operation, subject, error) }))
      })
    )
  })
