/**
 * Watching a cluster: its own resource, its status and its machines, each on a stream of the server's. No polling.
 *
 * The three are put together to the status that a read would give at this moment. The watch of the status is the one that
 * all share who wait for this cluster. A cut leads to a resume of that stream alone; what is watched ends when the
 * cluster's resource is gone.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"
import type { ClusterName, ClusterStatus } from "../Model.ts"
import { ClusterNotFound } from "../ProviderError.ts"
import { toNodes } from "./ClusterNodes.ts"
import * as Labels from "./Labels.ts"
import type { ClusterMachineStatusSpec, ClusterSpec, ClusterStatusSpec } from "./proto/specs_pb.ts"
import { one, picture, type SharedStatuses } from "./SharedWatch.ts"
import { type CallFailure, Kinds, type Resource, type State } from "./State.ts"
import { toStatus } from "./Translate.ts"

/** What has been told so far; absent until it has. */
interface Seen {
  cluster?: Resource<ClusterSpec> | undefined
  status?: Resource<ClusterStatusSpec> | undefined
  machines?: ReadonlyMap<string, Resource<ClusterMachineStatusSpec>>
}

export const watchCluster = (options: {
  readonly state: State
  readonly statuses: SharedStatuses
  readonly endpoint: string
}) =>
(cluster: ClusterName): Stream.Stream<ClusterStatus, ClusterNotFound | CallFailure> =>
  Stream.unwrap(Effect.gen(function*() {
    const { endpoint, state, statuses } = options
    const seen: Seen = {}
    let failure: CallFailure | undefined
    // One note, that something may have changed, is as good as many.
    const notes = yield* Queue.sliding<void>(1)

    const listen = <A>(stream: Stream.Stream<A, CallFailure>, take: (value: A) => void) =>
      Effect.forkScoped(
        Stream.runForEach(stream, (value) => {
          take(value)
          return Queue.offer(notes, undefined)
        }).pipe(
          Effect.catch((error) => {
            failure = error
            return Queue.offer(notes, undefined)
          })
        )
      )
    yield* listen(one(state, Kinds.Cluster, cluster), (found) => {
      seen.cluster = found
    })
    yield* listen(statuses.of(cluster), (status) => {
      seen.status = status
    })
    yield* listen(picture(state, Kinds.ClusterMachineStatus, { [Labels.cluster]: cluster }), (machines) => {
      seen.machines = machines
    })

    let last: ClusterStatus | undefined
    const next: Effect.Effect<readonly [ClusterStatus], ClusterNotFound | CallFailure | Cause.Done> = Effect.gen(
      function*() {
        while (true) {
          yield* Queue.take(notes)
          if ("cluster" in seen && seen.cluster === undefined) {
            return last === undefined
              ? yield* new ClusterNotFound({ provider: "omni", clusterName: cluster })
              : yield* Cause.done()
          }
          if (failure !== undefined) return yield* Effect.fail(failure)
          if (!("cluster" in seen) || !("status" in seen) || seen.machines === undefined) continue
          const status = toStatus(
            cluster,
            seen.cluster,
            seen.status,
            toNodes(cluster, seen.machines.values()),
            endpoint
          )
          if (last !== undefined && Equal.equals(status, last)) continue
          last = status
          return [status] as const
        }
      }
    )
    return Stream.fromPull(Effect.succeed(next))
  }))
