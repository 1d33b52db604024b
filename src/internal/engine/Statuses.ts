/**
 * Statuses of clusters from one list of nodes.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { ClusterName, ClusterStatus } from "../../Model.ts"
import type { Policy } from "../../Policy.ts"
import type { CallFailure } from "../../Resource.ts"
import { buildClusterStatus } from "../ClusterStatus.ts"
import { byRoleThenName } from "../Operation.ts"
import { guardedRead } from "./Guard.ts"
import { type Look, look, members, type Reader, readLimit, refuseAmbiguous } from "./Look.ts"

const endpointOf = <Read, Write extends Read>(backend: Reader<Read, Write>) =>
  Effect.map(backend.endpoint ?? Effect.succeed(undefined), (endpoint) => endpoint === undefined ? {} : { endpoint })

const statusIn = <Read, Write extends Read>(
  backend: Reader<Read, Write>,
  cluster: ClusterName,
  world: Look,
  extra: { readonly endpoint?: string }
): Effect.Effect<Option.Option<ClusterStatus>, CallFailure> =>
  Effect.map(members(backend.node, cluster, world), (found) =>
    found.length === 0
      ? Option.none()
      : Option.some(
        buildClusterStatus(cluster, found.map(({ info }) => info).sort(byRoleThenName), "running", extra)
      ))

/** The status of one cluster; none where it does not exist. */
export const statusOf = <Read, Write extends Read>(
  backend: Reader<Read, Write>,
  policy: Policy,
  cluster: ClusterName
): Effect.Effect<Option.Option<ClusterStatus>, CallFailure> =>
  backend.clusters === undefined
    ? Effect.gen(function*() {
      const world = yield* look<Read, Write>(backend, policy, [backend.node], cluster)
      yield* refuseAmbiguous<Read, Write>(backend, cluster, world)
      return yield* statusIn(backend, cluster, world, yield* endpointOf(backend))
    })
    : guardedRead(
      "clusters.one",
      readLimit(policy),
      () => backend.clusters?.one(backend.read, cluster) ?? Effect.succeedNone
    )

/** The names of the clusters with a listed node, sorted. `warn` gets the names that cannot be referred to. */
export const namesIn = <Read, Write extends Read>(
  backend: Reader<Read, Write>,
  world: Look
): ReadonlyArray<string> => [
  ...new Set(world.of<unknown>(backend.node).flatMap((node) => backend.node.owner(node, world)?.cluster ?? []))
]

/** The statuses of all clusters, sorted by name. */
export const allStatuses = <Read, Write extends Read>(
  backend: Reader<Read, Write>,
  policy: Policy,
  checked: (names: ReadonlyArray<string>) => Effect.Effect<ReadonlyArray<ClusterName>>
): Effect.Effect<ReadonlyArray<ClusterStatus>, CallFailure> =>
  backend.clusters === undefined
    ? Effect.gen(function*() {
      const world = yield* look<Read, Write>(backend, policy, [backend.node], undefined)
      const extra = yield* endpointOf(backend)
      const names = yield* checked(namesIn(backend, world))
      const statuses = yield* Effect.forEach(names, (cluster) => statusIn(backend, cluster, world, extra))
      return statuses.flatMap(Option.toArray)
    })
    : Effect.map(
      guardedRead("clusters.all", readLimit(policy), () => backend.clusters?.all(backend.read) ?? Effect.succeed([])),
      (all) => [...all].sort((a, b) => a.clusterName < b.clusterName ? -1 : 1)
    )
