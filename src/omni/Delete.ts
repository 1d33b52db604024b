/**
 * Deleting a cluster: its `Cluster` resource is torn down, and Omni removes the sets, patches and machines with it.
 *
 * The machines are free again afterwards. Progress has Omni's own words about the destroy, and the machines that have
 * no connection, for which it waits; they are removed from Omni only with an option. A locked cluster is refused, and
 * so is one that a controller owns. Two deletes at once both succeed. Source: the order and the texts of Omni 1.9 as
 * measured.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { isReason } from "../internal/CallFailures.ts"
import { Protected } from "../Reason.ts"
import { AlreadyDone, Done, type Outcome } from "../Report.ts"
import type { Task } from "../Resource.ts"
import type { Writing } from "./Access.ts"
import { disconnectedMachines, isLocked } from "./Blockers.ts"
import * as Labels from "./Labels.ts"
import type { OmniNode } from "./Nodes.ts"
import type { ClusterSpec } from "./proto/specs_pb.ts"
import { one, picture } from "./SharedWatch.ts"
import { type CallFailure, type Kind, Kinds, type Resource } from "./State.ts"

type Settled = (node: OmniNode, outcome: Outcome) => Effect.Effect<void>

const forEach = <A>(
  task: Task,
  items: ReadonlyArray<A>,
  f: (item: A) => Effect.Effect<unknown, CallFailure>
): Effect.Effect<void, CallFailure> =>
  Effect.forEach(items, f, { concurrency: task.policy.concurrency.delete, discard: true })

/** Takes machines without connection out of Omni, and the patches of them alone. */
const destroyDisconnected = Effect.fnUntraced(function*(
  { state }: Writing,
  task: Task,
  ids: ReadonlyArray<string>
): Effect.fn.Return<void, CallFailure> {
  const lost = new Set(ids)
  const patches = (yield* state.list(Kinds.ConfigPatch, { [Labels.machine]: true })).filter(({ metadata }) =>
    Labels.isUsers(metadata) && lost.has(metadata.labels[Labels.machine] ?? "")
  )
  yield* forEach(task, ids, (id) => task.send("remove from Omni", state.teardownAndDestroy(Kinds.Link, id)))
  yield* forEach(
    task,
    patches,
    ({ metadata }) => task.send("teardown", state.teardownAndDestroy(Kinds.ConfigPatch, metadata.id))
  )
})

/** Kinds of machines that have no label of their cluster; a template marks those that it manages. */
const kindsOfMachines = [Kinds.KernelArgs, Kinds.MachineInstallDiskConfig] as const

/** The settings of a template for machines stay with them, without the mark of the template. */
const releaseMachines = (
  { state }: Writing,
  task: Task,
  nodes: ReadonlyArray<OmniNode>
): Effect.Effect<void, CallFailure> => {
  const ids = new Set(nodes.map(({ id }) => id))
  return ids.size === 0 ? Effect.void : Effect.forEach(kindsOfMachines, (each) =>
    Effect.gen(function*() {
      const kind = each as unknown as Kind<never>
      const marked = (yield* state.list(kind)).filter(({ metadata }) =>
        ids.has(metadata.id) && Labels.isUsers(metadata) &&
        Object.hasOwn(metadata.annotations, Labels.managedByTemplates)
      )
      yield* forEach(task, marked, ({ metadata: { id } }) =>
        Effect.catchIf(
          task.send(
            "release",
            state.modify(kind, id, (resource) => {
              const { [Labels.managedByTemplates]: mark, ...annotations } = resource.metadata.annotations
              return mark === undefined ? undefined : { ...resource, metadata: { ...resource.metadata, annotations } }
            })
          ),
          (error) => isReason(error, "NotFoundError"),
          () => Effect.void
        ))
    }), { concurrency: 2, discard: true })
}

/** The server refuses a locked cluster as invalid input, in words that may change. */
const asLocked = (task: Task, cluster: Resource<ClusterSpec>, error: CallFailure): CallFailure =>
  isLocked(cluster.metadata) && isReason(error, "InvalidInput", "Protected")
    ? task.error(
      new Protected({
        detail: `the cluster is locked; remove its annotation ${Labels.clusterLocked}`,
        code: "INVALID_ARGUMENT"
      })
    )
    : error

/**
 * Reports Omni's own words about the destroy, and the nodes as they leave the cluster, as long as the scope is open. Ends
 * when it has seen which nodes have left before anything was sent.
 */
const accompany = Effect.fnUntraced(function*(
  write: Writing,
  task: Task,
  nodes: ReadonlyArray<OmniNode>,
  settled: Settled,
  outcome: Outcome
) {
  const quietly = Effect.catch((error: CallFailure) =>
    Effect.logDebug("the progress of the destroy cannot be read", error)
  )
  yield* Effect.forkScoped(
    Stream.runForEach(
      one(write.state, Kinds.ClusterDestroyStatus, task.cluster),
      (status) =>
        status === undefined || status.spec.phase === "" ? Effect.void : task.waiting(status.spec.phase, Effect.void)
    ).pipe(quietly)
  )
  const seen = yield* Deferred.make<void>()
  const left = new Set(nodes)
  let isFirst = true
  yield* Effect.forkScoped(
    Stream.runForEach(
      picture(write.state, Kinds.ClusterMachineStatus, { [Labels.cluster]: task.cluster }),
      (machines) => {
        const gone = [...left].filter(({ id }) => !machines.has(id))
        for (const node of gone) left.delete(node)
        const how = isFirst ? new AlreadyDone({}) : outcome
        isFirst = false
        return Effect.andThen(
          Effect.forEach(gone, (node) => settled(node, how), { discard: true }),
          Deferred.succeed(seen, undefined)
        )
      }
    ).pipe(quietly, Effect.ensuring(Deferred.succeed(seen, undefined)))
  )
  yield* Deferred.await(seen)
})

const reportDisconnected = (task: Task, names: ReadonlyArray<string>): Effect.Effect<void> =>
  names.length === 0 ? Effect.void : task.waiting(
    `${names.join(", ")} ${
      names.length === 1 ? "has" : "have"
    } no connection to Omni; the layer's option destroyDisconnectedMachines gives up on them`,
    Effect.void
  )

/** Deletes a cluster, and waits until it is gone. Nothing where it does not exist. */
export const deleteCluster = (
  write: Writing,
  nodes: ReadonlyArray<OmniNode>,
  task: Task,
  settled: Settled
): Effect.Effect<Outcome | void, CallFailure> =>
  Effect.scoped(Effect.gen(function*() {
    const { state } = write
    const cluster = yield* state.get(Kinds.Cluster, task.cluster)
    if (cluster === undefined) return
    if (!Labels.isUsers(cluster.metadata)) {
      return yield* Effect.fail(
        task.error(new Protected({ detail: `the cluster is owned by ${cluster.metadata.owner}` }))
      )
    }
    const lost = yield* disconnectedMachines(state, task.cluster)
    if (!isLocked(cluster.metadata) && write.destroyDisconnectedMachines) {
      yield* destroyDisconnected(write, task, lost.map(({ metadata }) => metadata.id))
    } else {
      yield* reportDisconnected(
        task,
        lost.map(({ metadata: { id } }) => nodes.find((node) => node.id === id)?.name ?? id)
      )
    }
    if (!isLocked(cluster.metadata)) yield* releaseMachines(write, task, nodes)
    const outcome = cluster.metadata.phase === "tearingDown" ? new AlreadyDone({}) : new Done({})
    yield* accompany(write, task, nodes, settled, outcome)
    yield* Effect.mapError(
      task.send("teardown", state.teardownAndDestroy(Kinds.Cluster, task.cluster)),
      (error) => asLocked(task, cluster, error)
    )
    return outcome
  }))
