/**
 * The containers that use a network or volume, and its removal where none does.
 *
 * A running or stopped container that goes on to exist keeps what it uses: the engine itself would remove a network from
 * under a stopped container.
 */
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import { isReason } from "../internal/CallFailures.ts"
import { Done, type Outcome, Skipped } from "../Report.ts"
import type { CallFailure, Listed, Task, World } from "../Resource.ts"
import type { Client, Reading, Writing } from "./Client.ts"
import { type Container, isNode, listContainers } from "./ClusterNodes.ts"
import { holder } from "./Labels.ts"
import type { Network, Volume } from "./Wire.ts"

/** The networks of the engine itself, which belong to no cluster. */
const ofTheEngine = new Set(["bridge", "host", "none"])

/** A registry of k3d that is in other networks as well serves other clusters, so k3d leaves it running. */
export const servesOthers = (container: Container): string | undefined => {
  if (!isNode(container) || container.member.scheme.name !== "k3d") return undefined
  const { cluster, rawRole } = container.member.membership
  if (rawRole !== "registry") return undefined
  const own = container.labels["k3d.cluster.network"] ?? `k3d-${cluster}`
  return networkNames(container).find((name) => name !== own && !ofTheEngine.has(name))
}

export const networkNames = ({ container }: Pick<Container, "container">): ReadonlyArray<string> =>
  Object.keys(container.NetworkSettings?.Networks ?? {})

/** The endpoint of a container in a network; Podman 4 lists the name as the id. */
export const endpointIn = ({ container }: Pick<Container, "container">, network: Pick<Network, "Id" | "Name">) =>
  Object.entries(container.NetworkSettings?.Networks ?? {}).find(([name, endpoint]) => {
    const id = endpoint?.NetworkID ?? ""
    // A container that was never started has no id of its network yet.
    return id === "" || id === network.Name ? name === network.Name : id === network.Id
  })?.[1]

/** The containers in a network, running or not. */
export const usersOfNetwork = (
  containers: ReadonlyArray<Container>,
  network: Network
): ReadonlyArray<Container> =>
  containers.filter((container) =>
    networkNames(container).some((name) => name === network.Name || name === network.Id) ||
    endpointIn(container, network) !== undefined
  )

/** The containers that mount a named volume. */
export const usersOfVolume = (
  containers: ReadonlyArray<Container>,
  volume: Volume
): ReadonlyArray<Container> =>
  containers.filter(({ container }) =>
    (container.Mounts ?? []).some((mount) => mount.Type === "volume" && mount.Name === volume.Name)
  )

const usedBy = (users: ReadonlyArray<Container>): string =>
  `used by container ${users.map(({ labels, name }) => `${name} (${holder(labels)})`).join(", ")}`

/** Why networks or volumes stay: the containers that use them and are not removed as well. A delete lists all of them. */
export const makeKeep = (nodes: Listed<Container>) =>
<Actual>(
  usersOf: (containers: ReadonlyArray<Container>, actual: Actual) => ReadonlyArray<Container>,
  canDetach: boolean
) =>
(_: Reading, actuals: ReadonlyArray<Actual>, world: World): Effect.Effect<ReadonlyMap<Actual, string>> =>
  Effect.sync(() => {
    const containers = world.of(nodes)
    return new Map(actuals.flatMap((actual) => {
      const users = usersOf(containers, actual).filter((user) =>
        !world.isLeaving(nodes, user) && !(canDetach && servesOthers(user) !== undefined)
      )
      return users.length === 0 ? [] : [[actual, usedBy(users)] as const]
    }))
  })

/** How long an engine may still count an endpoint, or a mount, of a container that is gone. */
const releasedWithin = "5 seconds"

/**
 * Removes a network or volume. If the engine reports that it is in use all the same, its users are listed again.
 * Something has joined in the meantime, or the engine has not yet released it.
 */
export const removeUnused = (
  write: Writing,
  task: Task,
  nodes: Listed<Container>,
  usersOf: (containers: ReadonlyArray<Container>) => ReadonlyArray<Container>,
  calls: {
    readonly remove: Effect.Effect<void, CallFailure>
    readonly detach?: (id: string) => ReturnType<Client["disconnectNetwork"]>
  }
): Effect.Effect<Outcome, CallFailure> => {
  const { detach, remove } = calls
  const spare = (users: ReadonlyArray<Container>) =>
    Effect.forEach(
      usersOf(users).filter((user) => servesOthers(user) !== undefined),
      ({ container }) => detach?.(container.Id) ?? Effect.void,
      { discard: true }
    )
  const known = [...task.world.of(nodes), ...task.world.earlier.of(nodes)]
  // Remaining containers leave the network first: an engine removes a network also while a stopped container uses it.
  const detachSpared = detach !== undefined && known.some((node) => servesOthers(node) !== undefined)
    ? Effect.flatMap(listContainers(write.client, write.schemes, undefined), spare)
    : Effect.void
  const usersNow = Effect.map(listContainers(write.client, write.schemes, undefined), usersOf)
  const attempt: Effect.Effect<Outcome, CallFailure> = task.send("remove", remove).pipe(
    Effect.as<Outcome>(new Done({})),
    Effect.catchIf(
      (error) => isReason(error, "InUse"),
      (error) =>
        Effect.flatMap(usersNow, (users) => {
          const others = detach === undefined ? users : users.filter((user) => servesOthers(user) === undefined)
          return others.length > 0
            ? Effect.succeed<Outcome>(new Skipped({ reason: usedBy(others) }))
            : Effect.fail(error)
        })
    )
  )
  return Effect.andThen(detachSpared, attempt).pipe(
    Effect.retry({
      while: (error) => isReason(error, "InUse"),
      schedule: Schedule.upTo(task.policy.poll, { duration: releasedWithin })
    })
  )
}
