/**
 * The simulated backend as the engine runs it: its kinds, its power, its fates.
 *
 * Networks and volumes are created before nodes and removed after them. Everything that is created carries the marks of
 * its operation.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { retrying, want } from "../Backend.ts"
import { policy } from "../Backend.ts"
import { isReason } from "../internal/CallFailures.ts"
import { createdAt } from "../internal/CreatedAt.ts"
import { failWith } from "../internal/Method.ts"
import { NodeInfo, type NodeRole } from "../Model.ts"
import type { Overrides } from "../Policy.ts"
import type { AddedNodes } from "../Provider.ts"
import { Difference, Locked, type Reason, RequestTimeout, ServerFault } from "../Reason.ts"
import { AlreadyDone, Done, type Outcome } from "../Report.ts"
import type { Backend, CallFailure, Mark, NodeResource, Owner, Resource, Task, World } from "../Resource.ts"
import { backend, type Engine, type Ticks } from "./Engine.ts"
import {
  addedNodes,
  decodeSpec,
  encodeSpec,
  issuesOf,
  type MemorySpec,
  nodesOf,
  placeOfName,
  resourceName,
  type WantedNode,
  type WantedResource
} from "./Spec.ts"
import type { MemoryNode, MemoryResource, Unlabelled } from "./World.ts"

/** The calls that only read. */
export type Reading = Pick<Engine, "ping" | "listAll" | "list" | "watch" | "unwatch">

/** Something of a list; what no cluster owns is among it. */
type NodeEntry = MemoryNode | Unlabelled
type ResourceEntry = MemoryResource | Unlabelled

/** A call has to be answered within the deadline of a request. */
const answered = <A>(call: Effect.Effect<A, CallFailure>): Effect.Effect<A, CallFailure> =>
  Effect.flatMap(policy, ({ requestTimeout }) =>
    Effect.timeoutOrElse(call, {
      duration: requestTimeout,
      orElse: () =>
        failWith(
          new RequestTimeout({
            detail: `no reply within ${Duration.format(requestTimeout)}`,
            durationMillis: Math.round(Duration.toMillis(requestTimeout))
          })
        )
    }))

const reading = <A>(call: Effect.Effect<A, CallFailure>): Effect.Effect<A, CallFailure> => retrying(answered(call))

const isOwned = <A extends MemoryNode | MemoryResource>(entry: A | Unlabelled): entry is A => "cluster" in entry

const ownerOf = (entry: NodeEntry | ResourceEntry): Owner | undefined =>
  isOwned<MemoryNode | MemoryResource>(entry) ? { cluster: entry.cluster, ...entry.mark } : undefined

const holderOf = (entry: NodeEntry | ResourceEntry): string =>
  isOwned<MemoryNode | MemoryResource>(entry)
    ? `${entry.kind} ${entry.name} of cluster ${entry.cluster}`
    : `the unlabelled ${entry.kind} ${entry.name}`

const identity = (entry: NodeEntry | ResourceEntry) =>
  isOwned<MemoryNode | MemoryResource>(entry) ? { name: entry.name, id: entry.id } : { name: entry.name }

const markOf = ({ added, bound, operation, session }: Mark): Partial<Mark> => ({
  operation,
  session,
  ...(bound ? { bound } : {}),
  ...(added ? { added } : {})
})

const unowned = (task: Task) =>
  task.error(new ServerFault({ detail: "something that no cluster owns cannot be changed" }))

/** Sends a call that is safe to repeat. */
const repeating = <A>(
  task: Task,
  call: string,
  send: Effect.Effect<A, CallFailure>
): Effect.Effect<A, CallFailure> => retrying(task.send(`${call} ${task.subject.kind} ${task.subject.name}`, send))

const creating = <A>(task: Task, send: Effect.Effect<A, CallFailure>): Effect.Effect<A, CallFailure> =>
  task.send(`create ${task.subject.kind} ${task.subject.name}`, send)

const outcome = (changed: boolean): Outcome => changed ? new Done({}) : new AlreadyDone({})

// -----------------------------------------------------------------------------
// Nodes
// -----------------------------------------------------------------------------

const rawState = ({ crash, state }: MemoryNode): string =>
  crash === undefined ? state : `${state} (exit code ${crash.exitCode})`

const labelDifferences = (wanted: WantedNode, actual: MemoryNode): ReadonlyArray<Difference> =>
  [...new Set([...Object.keys(wanted.labels), ...Object.keys(actual.labels)])].sort().flatMap((key) =>
    wanted.labels[key] === actual.labels[key] ? [] : [
      new Difference({
        field: `labels.${key}`,
        actual: actual.labels[key] ?? null,
        requested: wanted.labels[key] ?? null,
        remedy: "update"
      })
    ]
  )

const nodes: NodeResource<WantedNode, NodeEntry, Reading, Engine> = {
  kind: "node",
  order: 1,
  list: (read, cluster) =>
    Effect.map(reading(read.list("node", cluster)), (entries) => entries as ReadonlyArray<NodeEntry>),
  identity,
  nameOf: ({ name }) => name,
  placeOf: ({ pool, role }) => ({ role, ...(pool === undefined ? {} : { pool }) }),
  owner: ownerOf,
  holder: holderOf,
  isGoing: (entry) => isOwned<MemoryNode>(entry) && entry.state === "deleting",
  isUnfinished: (entry) => isOwned<MemoryNode>(entry) && (entry.state === "creating" || entry.neverStarted === true),
  info: (entry, cluster) => {
    const node = entry as MemoryNode
    return new NodeInfo({
      name: node.name,
      clusterName: cluster,
      role: node.role,
      state: node.state,
      ...(node.pool === undefined ? {} : { pool: node.pool }),
      id: node.id,
      rawRole: node.role,
      rawState: rawState(node),
      addresses: { private: node.state === "running" ? [node.address] : [], public: [] },
      ...createdAt(node.createdAt)
    })
  },
  diff: (wanted, entry) => {
    if (!isOwned<MemoryNode>(entry)) return []
    const role = wanted.role === entry.role
      ? []
      : [new Difference({ field: "role", actual: entry.role, requested: wanted.role, remedy: "replace" })]
    const network = resourceName(entry.cluster, "network")
    const connection = entry.isConnected
      ? []
      : [new Difference({ field: "network", actual: null, requested: network, remedy: "repair" })]
    return [...role, ...labelDifferences(wanted, entry), ...connection]
  },
  create: (write, wanted, task) =>
    Effect.map(
      creating(
        task,
        answered(write.create({
          kind: "node",
          cluster: task.cluster,
          ...wanted,
          state: "creating",
          isConnected: true,
          mark: markOf(task.mark)
        }))
      ),
      (node) => node as MemoryNode
    ),
  settle: (read, entry, task) =>
    Effect.flatMap(reading(read.list("node", task.cluster)), (entries) => {
      const node = entries.find((other): other is MemoryNode =>
        isOwned(other) && other.kind === "node" && other.name === entry.name
      )
      return node?.state === "creating"
        ? Effect.fail(task.error(new Locked({ detail: "it is still being created" })))
        : Effect.succeed(node)
    }).pipe(
      Effect.retry({
        schedule: task.policy.poll,
        while: (error) => isReason(error, "Locked")
      }),
      (wait) => isOwned<MemoryNode>(entry) && entry.state !== "creating" ? Effect.void : wait
    ),
  repair: (write, _, entry, __, task) =>
    isOwned<MemoryNode>(entry)
      ? Effect.asVoid(repeating(task, "connect", answered(write.connect(entry))))
      : Effect.fail(unowned(task)),
  update: (write, wanted, entry, _, task) =>
    isOwned<MemoryNode>(entry)
      ? Effect.asVoid(repeating(task, "update", answered(write.update(entry, wanted.labels))))
      : Effect.fail(unowned(task)),
  remove: (write, entry, task) =>
    isOwned<MemoryNode>(entry)
      ? repeating(task, "delete", answered(write.delete(entry)))
      : Effect.fail(unowned(task)),
  createdAt: (entry) => isOwned<MemoryNode>(entry) ? Date.parse(entry.createdAt) : undefined
}

// -----------------------------------------------------------------------------
// Networks and volumes
// -----------------------------------------------------------------------------

const usersOf = (resource: MemoryResource, world: World): ReadonlyArray<string> =>
  world.of(nodes).flatMap((entry) => {
    if (!isOwned<MemoryNode>(entry)) return entry.uses?.includes(resource.name) ? [holderOf(entry)] : []
    return entry.cluster === resource.cluster && !world.isLeaving(nodes, entry) ? [`node ${entry.name}`] : []
  })

const makeKind = (kind: "network" | "volume"): Resource<WantedResource, ResourceEntry, Reading, Engine> => ({
  kind,
  order: 0,
  list: (read, cluster) =>
    Effect.map(reading(read.list(kind, cluster)), (entries) => entries as ReadonlyArray<ResourceEntry>),
  identity,
  nameOf: ({ name }) => name,
  owner: ownerOf,
  holder: holderOf,
  diff: () => [],
  create: (write, { name }, task) =>
    Effect.map(
      creating(task, answered(write.create({ kind, cluster: task.cluster, name, mark: markOf(task.mark) }))),
      (resource) => resource as MemoryResource
    ),
  remove: (write, entry, task) =>
    isOwned<MemoryResource>(entry)
      ? repeating(task, "delete", answered(write.delete(entry)))
      : Effect.fail(unowned(task)),
  keep: (_, entries, world) =>
    Effect.succeed(
      new Map(entries.flatMap((entry) => {
        const users = isOwned<MemoryResource>(entry) ? usersOf(entry, world) : []
        return users.length === 0 ? [] : [[entry, `it is used by ${users.join(" and ")}`] as const]
      }))
    ),
  createdAt: (entry) => isOwned<MemoryResource>(entry) ? Date.parse(entry.createdAt) : undefined
})

const networks = makeKind("network")
const volumes = makeKind("volume")

// -----------------------------------------------------------------------------
// Backend
// -----------------------------------------------------------------------------

const whyNotRunning = (entry: NodeEntry): Reason => {
  if (!isOwned<MemoryNode>(entry) || entry.crash === undefined) {
    return new ServerFault({
      detail: `it was started and is ${isOwned<MemoryNode>(entry) ? entry.state : "absent"} now`
    })
  }
  const { cause, exitCode } = entry.crash
  return new ServerFault({
    detail: `it was started and ended with exit code ${exitCode}${cause === undefined ? "" : `: ${cause}`}`,
    code: String(exitCode)
  })
}

/** The stream of changes: it ends where it is cut. */
const changes = (read: Reading): Stream.Stream<void, CallFailure> =>
  Stream.unwrap(Effect.gen(function*() {
    let ticks: Ticks | undefined
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        if (ticks !== undefined) read.unwatch(ticks)
      })
    )
    yield* reading(read.watch((opened) => {
      if (ticks !== undefined) read.unwatch(ticks)
      ticks = opened
    }))
    return ticks === undefined
      ? Stream.empty
      : Stream.concat(Stream.succeed<void>(undefined), Stream.fromQueue(ticks))
  }))

export const makeBackend = (
  engine: Engine,
  options: { readonly policy?: Overrides; readonly name?: string }
): Backend<MemorySpec, NodeEntry, Reading, Engine> => ({
  backend,
  ...(options.name === undefined ? {} : { name: options.name }),
  ...(options.policy === undefined ? {} : { policy: options.policy }),
  read: engine,
  write: engine,
  target: Effect.succeed(backend),
  ping: answered(engine.ping),
  validate: (spec) => issuesOf(spec),
  encode: encodeSpec,
  decode: decodeSpec,
  node: nodes,
  resources: [networks, volumes],
  desired: (_, spec) =>
    Effect.succeed([
      want(networks, { name: resourceName(spec.cluster, "network") }),
      want(volumes, { name: resourceName(spec.cluster, "volume") }),
      ...nodesOf(spec).map((node) => want(nodes, node))
    ]),
  added: (_, cluster, added: AddedNodes, world, taken) =>
    Effect.succeed(
      addedNodes(cluster, added, (name) => !taken.has(name) && world.named(nodes, name) === undefined).map((node) =>
        want(nodes, node)
      )
    ),
  replaced: (_, cluster, replaced) =>
    Effect.succeed(
      replaced.map(({ name, node }) => {
        const known = node !== undefined && isOwned<MemoryNode>(node)
          ? {
            role: node.role as NodeRole,
            labels: node.labels,
            ...(node.pool === undefined ? {} : { pool: node.pool })
          }
          : { ...placeOfName(cluster, name), labels: {} }
        return want(nodes, { name, ...known })
      })
    ),
  power: {
    start: (write, entry, task) =>
      isOwned<MemoryNode>(entry)
        ? Effect.map(repeating(task, "start", answered(write.start(entry))), outcome)
        : Effect.fail(unowned(task)),
    stop: (write, entry, task) =>
      isOwned<MemoryNode>(entry)
        ? Effect.map(repeating(task, "stop", answered(write.stop(entry))), outcome)
        : Effect.fail(unowned(task)),
    whyNotRunning: (_, entry) => Effect.succeed(whyNotRunning(entry))
  },
  fates: {
    decide: (write, cluster, operation, fate) => retrying(answered(write.decideFate(cluster, operation, fate))),
    forget: (write, operation) => retrying(answered(write.forgetFate(operation)))
  },
  changes,
  clusterNames: (read) => reading(read.listAll)
})
