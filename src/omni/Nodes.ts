/**
 * The machines of clusters as the engine handles them.
 *
 * A machine is in a cluster because a `MachineSetNode` requests it: one that kubelayer or a template created, or one that
 * Omni created for a machine class. Omni reports how the machine does in a `ClusterMachineStatus`. Lists of one cluster
 * have the reports alone; lists of all clusters have both.
 */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { createdAt } from "../internal/CreatedAt.ts"
import { type ClusterName, NodeInfo } from "../Model.ts"
import { Difference, NotFoundError } from "../Reason.ts"
import { Unsupported } from "../Report.ts"
import type { NodeResource, Task } from "../Resource.ts"
import type { Reading, Writing } from "./Access.ts"
import * as Labels from "./Labels.ts"
import { awaitRunning } from "./MachineWaits.ts"
import type { ClusterMachineStatusSpec, MachineSetNodeSpec } from "./proto/specs_pb.ts"
import {
  createResource,
  differencesOf,
  type OmniKind,
  plainOf,
  removeResource,
  updateResource,
  wire
} from "./Resources.ts"
import { one } from "./SharedWatch.ts"
import { type CallFailure, Kinds, type Resource } from "./State.ts"
import type { Expected } from "./template/Translate.ts"
import { nameOf, roleOf, toNode } from "./Translate.ts"

/** A machine of a cluster. */
export interface OmniNode {
  /** The id of the machine. */
  readonly id: string
  readonly name: string
  readonly status: Resource<ClusterMachineStatusSpec> | undefined
  readonly request: Resource<MachineSetNodeSpec> | undefined
  /** The list had both, so that a machine without a request leaves its cluster. */
  readonly isWhole: boolean
}

export interface WantedNode {
  readonly id: string
  readonly name: string
  readonly role: "control-plane" | "worker"
  readonly pool?: string
  readonly expected: Extract<Expected, { readonly kind: "MachineSetNode" }>
}

/** The node of a report. */
export const reported = (status: Resource<ClusterMachineStatusSpec>): OmniNode => ({
  id: status.metadata.id,
  name: nameOf(status.metadata.id, status.metadata.labels),
  status,
  request: undefined,
  isWhole: false
})

const labelsOf = ({ request, status }: OmniNode): Labels.Labels =>
  status?.metadata.labels ?? request?.metadata.labels ?? {}

/** The cluster of a machine. */
export const clusterOf = ({ request, status }: OmniNode): string | undefined =>
  (request ?? status)?.metadata.labels[Labels.cluster]

/** Whether Omni requested the machine for a machine class. */
export const isAllocated = ({ request }: OmniNode): boolean =>
  request !== undefined &&
  (!Labels.isUsers(request.metadata) || Object.hasOwn(request.metadata.labels, Labels.managedByNodeController))

export const setOf = ({ request, status }: OmniNode): string | undefined =>
  (request ?? status)?.metadata.labels[Labels.machineSet]

const list = ({ names, state }: Reading, cluster: ClusterName | undefined) =>
  cluster !== undefined
    ? Effect.map(state.list(Kinds.ClusterMachineStatus, { [Labels.cluster]: cluster }), (all) => all.map(reported))
    : Effect.map(
      Effect.all([state.list(Kinds.MachineSetNode), state.list(Kinds.ClusterMachineStatus)], { concurrency: 2 }),
      ([requests, statuses]): ReadonlyArray<OmniNode> => {
        const byId = new Map(statuses.map((status) => [status.metadata.id, status]))
        const requested = requests.map((request): OmniNode => {
          const { id } = request.metadata
          const status = byId.get(id)
          byId.delete(id)
          const planned = names.get(id)
          const name = status === undefined ? id : nameOf(id, status.metadata.labels)
          return { id, name: name === id ? planned ?? id : name, status, request, isWhole: true }
        })
        return [...requested, ...[...byId.values()].map((status) => ({ ...reported(status), isWhole: true }))]
      }
    )

const info = (node: OmniNode, cluster: ClusterName): NodeInfo => {
  const { id, name, request, status } = node
  if (status !== undefined) return toNode(cluster, status, name)
  return new NodeInfo({
    name,
    clusterName: cluster,
    ...roleOf(labelsOf(node)),
    state: request?.metadata.phase === "tearingDown" ? "deleting" : "creating",
    id,
    rawState: "REQUESTED",
    addresses: { private: [], public: [] },
    ...createdAt(request?.metadata.created)
  })
}

/** Waits until a machine has left its cluster. */
const awaitLeft = ({ state }: Reading, { id }: OmniNode, cluster: ClusterName): Effect.Effect<void, CallFailure> =>
  one(state, Kinds.ClusterMachineStatus, id).pipe(
    Stream.filter((found) => found === undefined || found.metadata.labels[Labels.cluster] !== cluster),
    Stream.runHead,
    Effect.asVoid
  )

const allocated = "Omni allocates it for a machine class; change the size of the class in the template"

/** Takes a machine out of its cluster. Omni wipes it and gives it back. */
const remove = (
  write: Writing,
  { id }: OmniNode,
  task: Task
): Effect.Effect<Unsupported | void, CallFailure> =>
  Effect.flatMap(
    write.state.get(Kinds.MachineSetNode, id),
    (request): Effect.Effect<Unsupported | void, CallFailure> => {
      if (request === undefined || request.metadata.labels[Labels.cluster] !== task.cluster) {
        return Effect.fail(task.error(new NotFoundError({ detail: "the machine is not in the cluster any more" })))
      }
      return isAllocated({ id, name: id, request, status: undefined, isWhole: true })
        ? Effect.succeed(new Unsupported({ reason: allocated }))
        : removeResource(write, "MachineSetNode", id, task)
    }
  )

export const nodes: NodeResource<WantedNode, OmniNode, Reading, Writing> = {
  kind: "node",
  order: 2,
  removal: 2,
  list,
  identity: ({ id, name }) => ({ name, id }),
  nameOf: ({ name }) => name,
  matches: (wanted, { id }) => wanted.id === id,
  placeOf: ({ pool, role }) => ({ role, ...(pool === undefined ? {} : { pool }) }),
  owner: (node) => {
    const cluster = clusterOf(node)
    return cluster === undefined ? undefined : Labels.ownerOf(node.request?.metadata ?? { annotations: {} }, cluster)
  },
  holder: (node) => `cluster ${clusterOf(node) ?? "of another name"}`,
  info,
  isGoing: ({ isWhole, request, status }) =>
    request?.metadata.phase === "tearingDown" || status?.metadata.phase === "tearingDown" ||
    (isWhole && request === undefined),
  isUnfinished: ({ isWhole, status }) => isWhole && status === undefined,
  isSurplus: (node) => node.request !== undefined && !isAllocated(node),
  diff: ({ expected }, node) => {
    const { request } = node
    if (request === undefined) return []
    if (isAllocated(node)) {
      return [new Difference({ field: "machineClass", actual: true, requested: false, remedy: "replace" })]
    }
    return differencesOf(
      expected,
      plainOf("MachineSetNode", request),
      (field) => field === `label ${Labels.machineSet}` ? "replace" : "update"
    )
  },
  create: (write, { expected, id, name }, task) =>
    Effect.suspend(() => {
      write.names.set(id, name)
      return Effect.map(createResource(write, expected, task), (request): OmniNode => ({
        id,
        name,
        status: undefined,
        request: request as unknown as Resource<MachineSetNodeSpec>,
        isWhole: true
      }))
    }),
  startNew: (write, _, node, task) =>
    Effect.map(awaitRunning(write, node.id, task), (status): OmniNode => {
      const name = nameOf(node.id, status.metadata.labels)
      return { ...node, status, name: name === node.id ? node.name : name }
    }),
  update: (write, { expected }, _, __, task) => updateResource(write, expected, task),
  remove,
  gone: (read, node, task) => awaitLeft(read, node, task.cluster),
  createdAt: ({ request, status }) => {
    const created = (request ?? status)?.metadata.created
    return created === undefined ? undefined : Date.parse(created)
  }
}

/**
 * Machines that are requested for a cluster and that Omni does not report: they have no node, and are deleted with the
 * rest.
 */
export const requests: OmniKind = {
  kind: "resource",
  order: 2,
  removal: 2,
  list: ({ state }, cluster) =>
    cluster === undefined
      ? Effect.succeed([])
      : Effect.map(
        state.list(wire("MachineSetNode"), { [Labels.cluster]: cluster }),
        (all) => all.map((resource) => ({ resource, isNamed: true }))
      ),
  identity: ({ resource }) => ({ name: `MachineSetNode ${resource.metadata.id}` }),
  nameOf: ({ expected }) => `MachineSetNode ${expected.id}`,
  owner: ({ resource: { metadata } }, world) => {
    const cluster = metadata.labels[Labels.cluster]
    const isNode = world.of(nodes).some(({ id }) => id === metadata.id)
    return cluster === undefined || isNode || !Labels.isUsers(metadata) ||
        Object.hasOwn(metadata.labels, Labels.managedByNodeController)
      ? undefined
      : Labels.ownerOf(metadata, cluster)
  },
  isGoing: ({ resource }) => resource.metadata.phase === "tearingDown",
  isSurplus: () => false,
  diff: () => [],
  gone: () => Effect.void,
  remove: (write, { resource }, task) => removeResource(write, "MachineSetNode", resource.metadata.id, task)
}
