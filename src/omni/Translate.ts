/**
 * Omni's words to ours: stages to states, phases to phases, machines to nodes. Pure; the only file that knows both
 * vocabularies.
 */
import { buildClusterStatus } from "../internal/ClusterStatus.ts"
import { createdAt } from "../internal/CreatedAt.ts"
import { type ClusterName, type ClusterPhase, ClusterStatus, NodeInfo, type NodeState } from "../Model.ts"
import * as Labels from "./Labels.ts"
import type { ClusterMachineStatusSpec, ClusterSpec, ClusterStatusSpec } from "./proto/specs_pb.ts"
import type { Resource } from "./Wire.ts"

/**
 * The stages of a machine in a cluster, by their numbers. A machine that is upgraded or rebooted comes back on its own,
 * so it is starting; before its installation is through, a machine is still being created.
 */
const stages: ReadonlyArray<readonly [name: string, state: NodeState]> = [
  ["UNKNOWN", "unknown"],
  ["BOOTING", "starting"],
  ["INSTALLING", "creating"],
  ["CONFIGURING", "creating"],
  ["RUNNING", "running"],
  ["DESTROYING", "deleting"],
  ["UPGRADING", "starting"],
  ["REBOOTING", "starting"],
  ["SHUTTING_DOWN", "stopping"],
  ["BEFORE_DESTROY", "deleting"],
  ["POWERING_ON", "starting"],
  ["POWERED_OFF", "stopped"]
]

/** The stage of a machine that runs. */
export const runningStage = 4

/** The phases of a cluster, by their numbers. */
const phases: ReadonlyArray<readonly [name: string, phase: ClusterPhase]> = [
  ["UNKNOWN", "unknown"],
  ["SCALING_UP", "provisioning"],
  ["SCALING_DOWN", "degraded"],
  ["RUNNING", "running"],
  ["DESTROYING", "deleting"]
]

/** The phase in which a cluster has what it should have. */
export const runningPhase = 3

/** The word of a number, and ours; the number itself where Omni has one that we do not know. */
const translated = <A>(
  table: ReadonlyArray<readonly [name: string, ours: A | "unknown"]>,
  value: number
): { readonly raw: string; readonly ours: A | "unknown" } => {
  const known = table[value]
  return known === undefined ? { raw: String(value), ours: "unknown" } : { raw: known[0], ours: known[1] }
}

export const stageOf = (stage: number) => translated<NodeState>(stages, stage)

export const phaseOf = (phase: number) => translated<ClusterPhase>(phases, phase)

/** The phases of a set of machines, by their numbers. */
const setPhases = [
  "Unknown",
  "ScalingUp",
  "ScalingDown",
  "Running",
  "Destroying",
  "Failed",
  "Reconfiguring",
  "Upgrading"
]

export const setPhaseOf = (phase: number): string => setPhases[phase] ?? String(phase)

/** The role that the labels of a machine say. */
export const roleOf = (labels: Labels.Labels) =>
  Object.hasOwn(labels, Labels.controlPlaneRole)
    ? { role: "control-plane", rawRole: "controlplane" } as const
    : { role: "worker", rawRole: "worker" } as const

/** The name of a machine: that of Kubernetes, that of its host, or its id while it has no name. */
export const nameOf = (id: string, labels: Labels.Labels): string => {
  const name = labels[Labels.nodeName] || labels[Labels.hostname]
  return name === undefined || name === "" ? id : name
}

/** A machine of a cluster, as a node. */
export const toNode = (
  cluster: ClusterName,
  { metadata, spec }: Resource<ClusterMachineStatusSpec>,
  name = nameOf(metadata.id, metadata.labels)
): NodeInfo => {
  const stage = stageOf(spec.stage)
  return new NodeInfo({
    name,
    clusterName: cluster,
    ...roleOf(metadata.labels),
    state: metadata.phase === "tearingDown" ? "deleting" : stage.ours,
    id: metadata.id,
    rawState: stage.raw,
    addresses: { private: spec.managementAddress === "" ? [] : [spec.managementAddress], public: [] },
    ...createdAt(metadata.created)
  })
}

/**
 * Whether all requested machines are healthy and the Kubernetes API answers. RUNNING alone also shows for moments before
 * a cluster grows, and with machines that are not healthy; `ready` alone shows while the API does not answer.
 */
export const isReady = (spec: ClusterStatusSpec): boolean => {
  const { healthy = 0, requested = 0, total = 0 } = spec.machines ?? {}
  return spec.phase === runningPhase && spec.ready && spec.available && spec.kubernetesAPIReady && total > 0 &&
    healthy === total &&
    requested === total
}

const phaseWith = (omnis: ClusterPhase, ready: boolean, nodes: ClusterPhase): ClusterPhase => {
  if (omnis === "deleting") return "deleting"
  if (nodes === "stopped" || nodes === "stopping") return nodes
  if (ready) return "running"
  return omnis === "running" ? (nodes === "provisioning" ? "provisioning" : "degraded") : omnis
}

/**
 * The status of a cluster from what Omni says of it, and of its machines. It says nothing of one that is new, and takes
 * back what it said of one that goes a little before the cluster itself.
 */
export const toStatus = (
  clusterName: ClusterName,
  cluster: Resource<ClusterSpec> | undefined,
  status: Resource<ClusterStatusSpec> | undefined,
  nodes: ReadonlyArray<NodeInfo>,
  endpoint: string
): ClusterStatus => {
  const fromNodes = buildClusterStatus(clusterName, nodes, "running", { endpoint })
  if (status === undefined) {
    const phase = cluster?.metadata.phase === "tearingDown" ? "deleting" : "unknown"
    return new ClusterStatus({ ...fromNodes, phase, ready: false })
  }
  const { ours, raw } = phaseOf(status.spec.phase)
  const ready = fromNodes.ready && isReady(status.spec)
  return new ClusterStatus({
    ...fromNodes,
    ready,
    phase: phaseWith(ours, ready, fromNodes.phase),
    rawPhase: raw
  })
}
