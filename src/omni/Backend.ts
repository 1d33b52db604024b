/**
 * Omni as the engine runs it: its kinds, its power, its fates, its statuses.
 *
 * Omni itself knows which clusters exist and how they are, deletes a cluster with all that it has, and installs machines
 * on its own. So a create ends when Omni reports the cluster as ready.
 */
import * as Effect from "effect/Effect"
import { CurrentUrgency } from "../Backend.ts"
import { checkUnicodeClusterName } from "../internal/ClusterNames.ts"
import type { Overrides } from "../Policy.ts"
import type { ClusterSpec } from "../Provider.ts"
import type { ProviderUnavailable } from "../ProviderError.ts"
import { NotFoundError } from "../Reason.ts"
import type { Backend, Task } from "../Resource.ts"
import type { Reading, Writing } from "./Access.ts"
import { blockersOf, describe } from "./Blockers.ts"
import { getStatus, toNodes } from "./ClusterNodes.ts"
import { deleteCluster } from "./Delete.ts"
import { added, desired, replaced } from "./Desired.ts"
import { makeFates } from "./Fates.ts"
import { readStatuses } from "./LiveStatuses.ts"
import { follow } from "./MachineWaits.ts"
import { nodes, type OmniNode, reported, requests } from "./Nodes.ts"
import { power } from "./Power.ts"
import type { ClusterMachineStatusSpec } from "./proto/specs_pb.ts"
import { clusters, parts, sets } from "./Resources.ts"
import { checkNewName, decodeSpec, encodeSpec, issuesOf, issuesOfAdded } from "./Spec.ts"
import { type CallFailure, Kinds, type Resource } from "./State.ts"
import { isReady } from "./Translate.ts"
import { untilStatus } from "./Waits.ts"

type Machines = ReadonlyMap<string, Resource<ClusterMachineStatusSpec>>

/** Waits until Omni reports the cluster as ready and all its machines run. Machines settle as they run. */
const awaitCluster = (
  read: Reading,
  task: Task,
  settled: (node: OmniNode) => Effect.Effect<void>
): Effect.Effect<void, CallFailure> =>
  Effect.gen(function*() {
    const { cluster } = task
    const machines = yield* follow(read, task)
    const done = new Set<string>()
    const running = (seen: Machines) =>
      toNodes(cluster, seen.values()).filter(({ id, state }) => state === "running" && !done.has(id))
    // Omni names a machine at about the time when it runs; until then its id is its name.
    const named = (seen: Machines) => running(seen).filter(({ id, name }) => id !== name)
    const settle = (seen: Machines, some: ReadonlyArray<{ readonly id: string }>) =>
      Effect.forEach(some, ({ id }) => {
        done.add(id)
        const status = seen.get(id)
        return status === undefined ? Effect.void : settled(reported(status))
      }, { discard: true })
    const following = Effect.forever(
      Effect.flatMap(
        machines.until((seen) => named(seen).length > 0 ? seen : undefined),
        (seen) => settle(seen, named(seen))
      )
    )
    const ready = untilStatus(read.waits, cluster, isReady).pipe(
      Effect.catchTag(
        "ClusterNotFound",
        () => Effect.fail(task.error(new NotFoundError({ detail: "the cluster was deleted in the meantime" })))
      )
    )
    yield* task.waiting("it is not ready yet", Effect.raceFirst(ready, following))
    const last = yield* machines.until((seen) =>
      toNodes(cluster, seen.values()).every(({ state }) => state === "running") ? seen : undefined
    )
    yield* settle(last, running(last))
  })

export const makeBackend = (
  write: Writing,
  options: {
    readonly policy: Overrides
    readonly ping: Effect.Effect<void, ProviderUnavailable>
    readonly name?: string | undefined
  }
): Backend<ClusterSpec, OmniNode, Reading, Writing> => {
  const { defaults, endpoint } = write
  return {
    backend: "omni",
    ...(options.name === undefined ? {} : { name: options.name }),
    read: write,
    write,
    policy: options.policy,
    target: Effect.succeed(endpoint),
    endpoint: Effect.succeed(endpoint),
    ping: options.ping,
    checkName: checkUnicodeClusterName,
    checkNewName,
    validate: (spec) => issuesOf(spec, defaults),
    validateAdded: (given) => issuesOfAdded(given, defaults),
    encode: encodeSpec,
    decode: decodeSpec,
    node: nodes,
    resources: [clusters, sets, ...parts, requests],
    resourcesOf: () => [clusters, sets],
    desired,
    added,
    replaced,
    power,
    fates: makeFates(),
    changes: ({ live }) => live.changes,
    clusters: {
      one: (read, cluster) => getStatus(read.state, endpoint)(cluster),
      all: (read) =>
        Effect.flatMap(CurrentUrgency, (urgency) => {
          const seen = urgency === "watch" ? read.live.statuses() : undefined
          return seen === undefined ? readStatuses(read.state, endpoint) : Effect.succeed(seen)
        })
    },
    clusterNames: ({ state }) => Effect.map(state.list(Kinds.Cluster), (all) => all.map(({ metadata }) => metadata.id)),
    deleteCluster,
    awaitCluster,
    explain: ({ state }, cluster) => Effect.map(blockersOf(state)(cluster), (blockers) => describe(blockers).slice(2))
  }
}
