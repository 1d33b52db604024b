/**
 * Lists the kinds of a backend, and finds the things that belong to a cluster.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { type ClusterName, isClusterName, NodeInfo } from "../../Model.ts"
import type { Policy } from "../../Policy.ts"
import type { Subject } from "../../Progress.ts"
import { InvalidResponse } from "../../Reason.ts"
import type { AnyNodeResource, AnyResource, Backend, CallFailure, Listed, World } from "../../Resource.ts"
import { failWith } from "../Method.ts"
import { guardedList } from "./Guard.ts"

// Spec, node and added nodes are the backend's own matter; the engine only hands them back.
// oxlint-disable-next-line typescript/no-explicit-any
export type AnyBackend<Read = any, Write extends Read = any> = Backend<any, any, Read, Write, any>

/** The part of a backend that plans, lists and watches get. It cannot write. */
export type Reader<Read, Write extends Read = Read> = Omit<
  AnyBackend<Read, Write>,
  "write" | "power" | "fates" | "deleteCluster"
>

/** A world that the engine completes while it acts. */
export interface Look extends World {
  /** The kinds that were listed. */
  readonly kinds: ReadonlySet<unknown>
  readonly add: <Actual>(resource: Listed<Actual>, actual: Actual) => void
  readonly remove: <Actual>(resource: Listed<Actual>, actual: Actual) => void
  readonly leave: <Actual>(resource: Listed<Actual>, actual: Actual) => void
  readonly stay: <Actual>(resource: Listed<Actual>, actual: Actual) => void
}

/** The id of a thing, or its name where it has none. */
export const keyOf = <Actual>(resource: Listed<Actual>, actual: Actual): string => {
  const { id, name } = resource.identity(actual)
  return id === undefined || id === "" ? name : id
}

export const subjectOf = <Actual>(resource: Listed<Actual>, actual: Actual): Subject => ({
  kind: resource.kind,
  ...resource.identity(actual)
})

const makeLook = (lists: ReadonlyMap<unknown, ReadonlyArray<unknown>>, earlier: Look | undefined): Look => {
  const held = new Map([...lists].map(([resource, list]) => [resource, [...list]]))
  const leaving = new Set<string>()
  const leavingKey = <Actual>(resource: Listed<Actual>, actual: Actual) =>
    `${resource.kind}/${resource.identity(actual).name}/${keyOf(resource, actual)}`
  const of = <Actual>(resource: Listed<Actual>) => (held.get(resource) ?? []) as ReadonlyArray<Actual>
  const remove: Look["remove"] = (resource, actual) => {
    const key = keyOf(resource, actual)
    held.set(resource, of(resource).filter((other) => keyOf(resource, other) !== key))
  }
  const look: Look = {
    kinds: new Set(lists.keys()),
    of,
    named: (resource, name) => of(resource).find((actual) => resource.identity(actual).name === name),
    isLeaving: (resource, actual) =>
      leaving.has(leavingKey(resource, actual)) || earlier?.isLeaving(resource, actual) === true,
    get earlier() {
      // The empty list with which an operation begins is not the first one.
      return earlier === undefined || earlier.kinds.size === 0 ? look : earlier.earlier
    },
    add: (resource, actual) => {
      remove(resource, actual)
      held.set(resource, [...of(resource), actual])
    },
    remove,
    leave: (resource, actual) => void leaving.add(leavingKey(resource, actual)),
    stay: (resource, actual) => void leaving.delete(leavingKey(resource, actual))
  }
  return look
}

/** A world with the fresh lists of some kinds, and the lists of another one for all other kinds. */
export const withFresh = (fresh: Look, base: Look): Look => {
  const worldOf = (resource: unknown) => fresh.kinds.has(resource) ? fresh : base
  return {
    ...fresh,
    get earlier() {
      return fresh.earlier
    },
    of: (resource) => worldOf(resource).of(resource),
    named: (resource, name) => worldOf(resource).named(resource, name)
  }
}

/** When a read of a backend counts as hanging: later than its own client gives up. */
export const readLimit = ({ readTimeout, requestTimeout }: Policy): Duration.Duration =>
  Duration.sum(readTimeout, requestTimeout)

/** Of which cluster a delete lists a kind: of all, if its things may use what the cluster owns. */
const deletedFrom = ({ isUser }: AnyResource<never>, cluster: ClusterName | undefined): ClusterName | undefined =>
  isUser === true ? undefined : cluster

/** Lists kinds of a backend for a delete. */
export const lookForDelete = <Read, Write extends Read>(
  backend: Reader<Read, Write>,
  policy: Policy,
  kinds: ReadonlyArray<AnyResource<Read, Write>>,
  cluster: ClusterName
): Effect.Effect<Look, CallFailure> =>
  Effect.flatMap(
    lookTolerant<Read, Write>(backend, policy, kinds, cluster),
    ({ errors: [error], world }) => error === undefined ? Effect.succeed(world) : Effect.fail(error)
  )

/** Lists kinds of a backend, of one cluster or of all. */
export const look = <Read, Write extends Read>(
  backend: Reader<Read, Write>,
  policy: Policy,
  kinds: ReadonlyArray<AnyResource<Read, Write>>,
  cluster: ClusterName | undefined,
  earlier?: Look
): Effect.Effect<Look, CallFailure> =>
  Effect.map(
    Effect.forEach(
      kinds,
      (resource) =>
        Effect.map(
          guardedList("list", readLimit(policy), () => resource.list(backend.read, cluster)),
          (list) => [resource, list] as const
        ),
      { concurrency: "unbounded" }
    ),
    (lists) => makeLook(new Map(lists), earlier)
  )

/** Lists kinds of a backend for a delete, and goes on where the list of one fails. Nodes have to be listed. */
export const lookTolerant = <Read, Write extends Read>(
  backend: Reader<Read, Write>,
  policy: Policy,
  kinds: ReadonlyArray<AnyResource<Read, Write>>,
  cluster: ClusterName | undefined,
  earlier?: Look
): Effect.Effect<{ readonly world: Look; readonly errors: ReadonlyArray<CallFailure> }, CallFailure> =>
  Effect.gen(function*() {
    const listed = yield* Effect.forEach(
      kinds,
      (resource) =>
        Effect.map(
          Effect.result(
            guardedList("list", readLimit(policy), () => resource.list(backend.read, deletedFrom(resource, cluster)))
          ),
          (result) => [resource, result] as const
        ),
      { concurrency: "unbounded" }
    )
    const lists = new Map<unknown, ReadonlyArray<unknown>>()
    const errors: Array<CallFailure> = []
    for (const [resource, result] of listed) {
      if (result._tag === "Success") lists.set(resource, result.success)
      else if (resource === backend.node) return yield* Effect.fail(result.failure)
      else errors.push(result.failure)
    }
    return { world: makeLook(lists, earlier), errors }
  })

/** All kinds of a backend, nodes first. */
export const kindsOf = <Read, Write extends Read>(
  backend: Pick<AnyBackend<Read, Write>, "node" | "resources">
): ReadonlyArray<AnyResource<Read, Write>> => [backend.node, ...backend.resources]

/** The things of a kind that belong to a cluster, whatever else the list contains. */
export const ofCluster = <Read, Write extends Read>(
  resource: AnyResource<Read, Write>,
  cluster: ClusterName,
  world: World
): ReadonlyArray<unknown> =>
  world.of<unknown>(resource).filter((actual) => resource.owner(actual, world)?.cluster === cluster)

/** The text that an operation adds to errors of deadlines. */
export const explains = <Read, Write extends Read>(backend: Reader<Read, Write>) => {
  const { explain, read } = backend
  return explain === undefined ? {} : { explain: (cluster: ClusterName) => explain(read, cluster) }
}

/** Fails where the backend says that nothing may be done with the cluster. */
export const refuseAmbiguous = <Read, Write extends Read>(
  backend: Reader<Read, Write>,
  cluster: ClusterName,
  world: World
): Effect.Effect<void, CallFailure> => {
  const reason = backend.refuse?.(cluster, world)
  return reason === undefined ? Effect.void : failWith(reason)
}

/** The names of the listed clusters that can be referred to, for errors that suggest them. */
export const knownClusters = <Read, Write extends Read>(
  node: AnyNodeResource<Read, Write>,
  world: World
): { readonly known?: ReadonlyArray<string> } => {
  const names = new Set(world.of<unknown>(node).flatMap((actual) => node.owner(actual, world)?.cluster ?? []))
  const known = [...names].filter(isClusterName).sort()
  return known.length === 0 ? {} : { known }
}

/** A listed node with its `NodeInfo`. */
export interface Member {
  readonly actual: unknown
  readonly info: NodeInfo
}

/** The listed nodes of a cluster. Fails if the backend returns something that is no node. */
export const members = <Read, Write extends Read>(
  node: AnyNodeResource<Read, Write>,
  cluster: ClusterName,
  world: World
): Effect.Effect<ReadonlyArray<Member>, CallFailure> =>
  Effect.forEach(ofCluster(node, cluster, world), (actual) => {
    const info: unknown = node.info(actual, cluster, world)
    return info instanceof NodeInfo && info.clusterName === cluster
      ? Effect.succeed({ actual, info })
      : failWith(new InvalidResponse({ detail: "`info` of the backend returned no node of the cluster" }))
  })
