/**
 * Deleting a cluster: its `Cluster` resource is torn down, and Omni takes the sets, patches and machines with it.
 *
 * The machines go back to those that are free. While it waits it tells Omni's own words of the destroy, and which machines
 * have no connection, for those hold it up; they are given up only where that is asked for. A locked cluster is refused.
 * What a controller owns is never touched. Two deletes at once both succeed. Where the cluster is gone already, what still
 * carries its label goes too.
 * Source: the order and the texts of Omni 1.9 as measured.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { type Operation, settledError } from "../internal/Operation.ts"
import type { NodeInfo } from "../Model.ts"
import type { Subject } from "../Progress.ts"
import { Protected } from "../Reason.ts"
import { AlreadyDone, Done, Failed, type Outcome } from "../Report.ts"
import { disconnectedMachines, isLocked, withBlockers } from "./Blockers.ts"
import { subjectOf, toNodes } from "./ClusterNodes.ts"
import * as Labels from "./Labels.ts"
import type { ClusterSpec } from "./proto/specs_pb.ts"
import { one, picture } from "./SharedWatch.ts"
import { type CallFailure, isReason, type Kind, Kinds, type Resource, type State } from "./State.ts"

interface Context {
  readonly state: State
  readonly destroyDisconnectedMachines: boolean
}

const done = new Done({})
const alreadyDone = new AlreadyDone({})

/** What a cluster has beside its machines, in the order in which it is destroyed where there is no cluster any more. */
const parts = [
  ["MachineSetNode", Kinds.MachineSetNode],
  ["MachineSet", Kinds.MachineSet],
  ["ConfigPatch", Kinds.ConfigPatch],
  ["ExtensionsConfiguration", Kinds.ExtensionsConfiguration],
  ["KubernetesManifestGroup", Kinds.KubernetesManifestGroup],
  ["KubernetesHealthCheck", Kinds.KubernetesHealthCheck]
] as const

const deletePart = (
  state: State,
  operation: Operation,
  kind: (typeof parts)[number][1],
  subject: Subject,
  id: string
) =>
  Effect.andThen(
    operation.emit({ _tag: "Sent", subject, call: "teardown" }),
    state.teardownAndDestroy(kind as Kind<never>, id)
  ).pipe(Effect.as<Outcome>(done))

/** Removes what carries the label of a cluster that is not there. */
const deleteLeftovers = (state: State, operation: Operation): Effect.Effect<void, CallFailure> =>
  Effect.forEach(parts, ([name, kind]) =>
    Effect.gen(function*() {
      const left = yield* state.list(kind as Kind<never>, { [Labels.cluster]: operation.clusterName })
      const { concurrency, nodeTimeout } = operation.policy
      yield* operation.wave(
        left.filter(({ metadata }) => Labels.isUsers(metadata)).map(({ metadata }) => metadata.id),
        {
          subject: (id): Subject => ({ kind: "resource", name: `${name} ${id}` }),
          timeout: nodeTimeout.delete,
          width: concurrency.delete
        },
        (id) => deletePart(state, operation, kind, { kind: "resource", name: `${name} ${id}` }, id)
      )
    }), { discard: true })

/** Takes machines that Omni has lost touch with out of Omni, and what was said of them alone. */
const destroyDisconnected = Effect.fnUntraced(function*(
  state: State,
  operation: Operation,
  machines: ReadonlyArray<{ readonly id: string; readonly name: string }>
): Effect.fn.Return<void, CallFailure> {
  const ids = new Set(machines.map(({ id }) => id))
  const patches = (yield* state.list(Kinds.ConfigPatch, { [Labels.machine]: true })).filter(({ metadata }) =>
    Labels.isUsers(metadata) && ids.has(metadata.labels[Labels.machine] ?? "")
  )
  yield* Effect.forEach(machines, ({ id, name }) =>
    Effect.andThen(
      operation.emit({ _tag: "Sent", subject: { kind: "node", name, id }, call: "remove from Omni" }),
      state.teardownAndDestroy(Kinds.Link, id)
    ), { concurrency: operation.policy.concurrency.delete, discard: true })
  yield* Effect.forEach(patches, ({ metadata }) => state.teardownAndDestroy(Kinds.ConfigPatch, metadata.id), {
    concurrency: operation.policy.concurrency.delete,
    discard: true
  })
})

/** Kinds of machines that have no label of their cluster; a template marks those that it manages. */
const kindsOfMachines = [Kinds.KernelArgs, Kinds.MachineInstallDiskConfig] as const

/** Leaves what a template said of the machines to whoever uses them next: it stays, without the mark of the template. */
const releaseMachines = (
  state: State,
  operation: Operation,
  nodes: ReadonlyArray<NodeInfo>
): Effect.Effect<void, CallFailure> =>
  nodes.length === 0 ? Effect.void : Effect.forEach(kindsOfMachines, (each) =>
    Effect.gen(function*() {
      const kind = each as unknown as Kind<never>
      const ids = new Set(nodes.map(({ id }) => id))
      const marked = (yield* state.list(kind)).filter(({ metadata }) =>
        ids.has(metadata.id) && Labels.isUsers(metadata) &&
        Object.hasOwn(metadata.annotations, Labels.managedByTemplates)
      )
      yield* Effect.forEach(marked, ({ metadata: { id } }) =>
        state.modify(kind, id, (resource) => {
          const { [Labels.managedByTemplates]: mark, ...annotations } = resource.metadata.annotations
          return mark === undefined ? undefined : { ...resource, metadata: { ...resource.metadata, annotations } }
        }).pipe(Effect.catchIf((error) => isReason(error, "NotFoundError"), () => Effect.void)), {
        concurrency: operation.policy.concurrency.delete,
        discard: true
      })
    }), { concurrency: 2, discard: true })

/** The server refuses a locked cluster as invalid input, in words that may change. */
const asLocked = (operation: Operation, subject: Subject, cluster: Resource<ClusterSpec>, error: CallFailure) =>
  isLocked(cluster.metadata) && (isReason(error, "InvalidInput") || isReason(error, "Protected"))
    ? operation.error(
      new Protected({
        detail: `the cluster is locked; remove its annotation ${Labels.clusterLocked}`,
        code: "INVALID_ARGUMENT"
      }),
      subject
    )
    : error

const owned = (operation: Operation, subject: Subject, cluster: Resource<ClusterSpec>) =>
  operation.error(new Protected({ detail: `the cluster is owned by ${cluster.metadata.owner}` }), subject)

/**
 * Tells, as long as the scope is open, what Omni says of the destroy, and settles nodes as they leave the cluster. Ends
 * when it has seen which have left before anything was sent.
 */
const accompany = Effect.fnUntraced(function*(
  state: State,
  operation: Operation,
  subject: Subject,
  nodes: ReadonlyArray<NodeInfo>,
  outcome: Outcome
) {
  const { clusterName } = operation
  const quietly = Effect.catch((error: CallFailure) => Effect.logDebug("progress cannot be told", error))
  yield* Effect.forkScoped(
    Stream.runForEach(
      one(state, Kinds.ClusterDestroyStatus, clusterName),
      (status) =>
        status === undefined || status.spec.phase === ""
          ? Effect.void
          : operation.emit({ _tag: "Waiting", subject, reason: status.spec.phase })
    ).pipe(quietly)
  )
  const looked = yield* Deferred.make<void>()
  let isFirst = true
  yield* Effect.forkScoped(
    Stream.runForEach(
      picture(state, Kinds.ClusterMachineStatus, { [Labels.cluster]: clusterName }),
      (machines) => {
        const settled = isFirst ? alreadyDone : outcome
        isFirst = false
        return Effect.forEach(
          nodes.filter((node) => !machines.has(node.id) && operation.outcomeOf(subjectOf(node)) === undefined),
          (node) => operation.record(subjectOf(node), settled),
          { discard: true }
        ).pipe(Effect.andThen(Deferred.succeed(looked, undefined)))
      }
    ).pipe(
      quietly,
      Effect.ensuring(Deferred.succeed(looked, undefined))
    )
  )
  yield* Deferred.await(looked)
})

const tellDisconnected = (
  operation: Operation,
  subject: Subject,
  lost: ReadonlyArray<{ readonly name: string }>
) =>
  lost.length === 0
    ? Effect.void
    : operation.emit({
      _tag: "Waiting",
      subject,
      reason: `${lost.map(({ name }) => name).join(", ")} ${
        lost.length === 1 ? "has" : "have"
      } no connection to Omni; the layer's option destroyDisconnectedMachines gives up on them`
    })

export const deleteCluster = (context: Context) => (operation: Operation): Effect.Effect<void, CallFailure> =>
  Effect.gen(function*() {
    const { state } = context
    const { clusterName, policy } = operation
    const [cluster, machines] = yield* Effect.all([
      state.get(Kinds.Cluster, clusterName),
      state.list(Kinds.ClusterMachineStatus, { [Labels.cluster]: clusterName })
    ], { concurrency: 2 })
    if (cluster === undefined) return yield* deleteLeftovers(state, operation)

    const nodes = toNodes(clusterName, machines)
    const subject: Subject = { kind: "cluster", name: clusterName }
    yield* operation.schedule([...nodes.map(subjectOf), subject])
    const outcome = cluster.metadata.phase === "tearingDown" ? alreadyDone : done

    yield* operation.settle(
      subject,
      policy.nodeTimeout.delete,
      Effect.scoped(Effect.gen(function*() {
        if (!Labels.isUsers(cluster.metadata)) return yield* owned(operation, subject, cluster)
        const lost = (yield* disconnectedMachines(state, clusterName)).map(({ metadata: { id } }) => ({
          id,
          name: nodes.find((node) => node.id === id)?.name ?? id
        }))
        if (!isLocked(cluster.metadata) && context.destroyDisconnectedMachines) {
          yield* destroyDisconnected(state, operation, lost)
          for (const { id, name } of lost) yield* operation.record({ kind: "node", name, id }, done)
        } else {
          yield* tellDisconnected(operation, subject, lost)
        }
        if (!isLocked(cluster.metadata)) yield* releaseMachines(state, operation, nodes)
        yield* accompany(state, operation, subject, nodes, outcome)
        yield* operation.emit({ _tag: "Sent", subject, call: "teardown" })
        yield* Effect.catch(
          state.teardownAndDestroy(Kinds.Cluster, clusterName),
          (error) => Effect.fail(asLocked(operation, subject, cluster, error))
        )
        return outcome
      }))
    )

    const settled = operation.outcomeOf(subject)
    if (settled?._tag !== "Failed") {
      // With the cluster, all its machines are out of it.
      return yield* Effect.forEach(
        nodes.filter((node) => operation.outcomeOf(subjectOf(node)) === undefined),
        (node) => operation.record(subjectOf(node), outcome),
        { discard: true }
      )
    }
    const error = yield* withBlockers(state, policy, clusterName, settled.error)
    yield* operation.record(subject, new Failed({ error }))
    for (const node of nodes) {
      if (operation.outcomeOf(subjectOf(node)) !== undefined) continue
      yield* operation.record(
        subjectOf(node),
        new Failed({ error: settledError(operation, subjectOf(node), operation.error(error.reason)) })
      )
    }
  })
