/**
 * The statuses of all clusters on three streams of the server, one for each kind, for all watches of a layer.
 *
 * A watch lists the statuses after each change. The list comes from the streams, so it sends no call. It is read from
 * the server only while the streams are not open.
 */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { type ClusterName, type ClusterStatus, isClusterName } from "../Model.ts"
import { toNodes } from "./ClusterNodes.ts"
import * as Labels from "./Labels.ts"
import type { ClusterMachineStatusSpec, ClusterSpec, ClusterStatusSpec } from "./proto/specs_pb.ts"
import { picture } from "./SharedWatch.ts"
import { type CallFailure, Kinds, type Resource, type StateReader } from "./State.ts"
import { toStatus } from "./Translate.ts"

type ById<Spec> = ReadonlyMap<string, Resource<Spec & import("@bufbuild/protobuf").Message>>

interface Seen {
  clusters?: ById<ClusterSpec>
  statuses?: ById<ClusterStatusSpec>
  machines?: ById<ClusterMachineStatusSpec>
}

export interface LiveStatuses {
  /** An element for each change. The first comes when all streams have shown what exists. */
  readonly changes: Stream.Stream<void, CallFailure>
  /** The state of the streams; undefined while they are not open. */
  readonly statuses: () => ReadonlyArray<ClusterStatus> | undefined
}

/** The machines by their cluster. */
const byCluster = (
  machines: Iterable<Resource<ClusterMachineStatusSpec>>
): ReadonlyMap<string, ReadonlyArray<Resource<ClusterMachineStatusSpec>>> => {
  const found = new Map<string, Array<Resource<ClusterMachineStatusSpec>>>()
  for (const machine of machines) {
    const cluster = machine.metadata.labels[Labels.cluster]
    if (cluster === undefined) continue
    const others = found.get(cluster)
    if (others === undefined) found.set(cluster, [machine])
    else others.push(machine)
  }
  return found
}

/** The statuses of clusters. Names that cannot be referred to are left out. */
const statusesOf = (
  names: Iterable<string>,
  found: {
    readonly clusters: ReadonlyMap<string, Resource<ClusterSpec>>
    readonly statuses: ReadonlyMap<string, Resource<ClusterStatusSpec>>
    readonly machines: Iterable<Resource<ClusterMachineStatusSpec>>
  },
  endpoint: string
): ReadonlyArray<ClusterStatus> => {
  const machines = byCluster(found.machines)
  return [...names].filter(isClusterName).map((name: ClusterName) =>
    toStatus(
      name,
      found.clusters.get(name),
      found.statuses.get(name),
      toNodes(name, machines.get(name) ?? []),
      endpoint
    )
  )
}

/** Reads the statuses of all clusters with two calls. A cluster is in it from the moment Omni has its status. */
export const readStatuses = (
  state: StateReader,
  endpoint: string
): Effect.Effect<ReadonlyArray<ClusterStatus>, CallFailure> =>
  Effect.map(
    Effect.all([state.list(Kinds.ClusterStatus), state.list(Kinds.ClusterMachineStatus)], { concurrency: 2 }),
    ([statuses, machines]) => {
      const byId = new Map(statuses.map((status) => [status.metadata.id, status]))
      return statusesOf(byId.keys(), { clusters: new Map(), statuses: byId, machines }, endpoint)
    }
  )

export const makeLiveStatuses = (state: StateReader, endpoint: string): LiveStatuses => {
  let seen: Seen = {}
  const changes = Stream.unwrap(Effect.gen(function*() {
    const mine: Seen = {}
    seen = mine
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        if (seen === mine) seen = {}
      })
    )
    const isComplete = () => mine.clusters !== undefined && mine.statuses !== undefined && mine.machines !== undefined
    return Stream.mergeAll([
      Stream.map(picture(state, Kinds.Cluster, {}), (all) => void (mine.clusters = all)),
      Stream.map(picture(state, Kinds.ClusterStatus, {}), (all) => void (mine.statuses = all)),
      Stream.map(picture(state, Kinds.ClusterMachineStatus, {}), (all) => void (mine.machines = all))
    ], { concurrency: "unbounded" }).pipe(Stream.filter(isComplete))
  }))
  return {
    changes,
    statuses: () => {
      const { clusters, machines, statuses } = seen
      return clusters === undefined || machines === undefined || statuses === undefined
        ? undefined
        : statusesOf(clusters.keys(), { clusters, statuses, machines: machines.values() }, endpoint)
    }
  }
}
