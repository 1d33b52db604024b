/**
 * The machine sets of a fake Omni: allocation from classes, counts, phases, and how a set is dissolved.
 *
 * Source: Omni 1.9.3 as recorded.
 */
import { label, roleLabel } from "./Labels.ts"
import type { MachineController } from "./MachineController.ts"
import { stage } from "./MachineController.ts"
import { type Machine, versionFault } from "./Machines.ts"
import type { Resources } from "./Resources.ts"
import { selects } from "./Selector.ts"
import type { Stored } from "./Store.ts"
import type { Wire } from "./Wire.ts"

export const setPhase = {
  scalingUp: 1,
  scalingDown: 2,
  running: 3,
  destroying: 4,
  failed: 5,
  reconfiguring: 6,
  upgrading: 7
} as const

type SetPhase = (typeof setPhase)[keyof typeof setPhase]

export interface Count {
  readonly requested: number
  readonly total: number
  readonly healthy: number
  readonly connected: number
}

/** The report to a cluster about one of its sets. */
export interface SetPart {
  readonly set: Stored
  readonly count: Count
  readonly phase: SetPhase
  readonly ready: boolean
}

export const noMachines: Count = { requested: 0, total: 0, healthy: 0, connected: 0 }

const setFinalizers = (controlPlane: boolean, ofClass: boolean): ReadonlyArray<string> => [
  ...(controlPlane ? ["ClusterBootstrapStatusController", "MachineSetEtcdAuditController"] : []),
  ...(ofClass ? ["MachineSetNodeController"] : []),
  "ControlPlaneStatusController",
  "MachineProvisionController",
  "MachineSetController",
  "MachineSetDestroyStatusController",
  "MachineSetStatusController"
]

const unlimited = 1

export const makeMachineSetController = (
  wire: Wire,
  resources: Resources,
  machines: Map<string, Machine>,
  controller: MachineController
) => {
  const { specs } = wire
  const { change, get, hold, list, ofSet, read, remove, tearDown, write } = resources

  const allocationOf = (set: Stored) => {
    const { machineAllocation } = read(specs.MachineSetSpecSchema, set)
    return machineAllocation === undefined || machineAllocation.name === "" ? undefined : machineAllocation
  }

  const nodesOf = (set: Stored) =>
    ofSet("MachineSetNodes", set.metadata.id).filter(({ metadata }) => metadata.phase === "running")

  const freeMachines = (machineClass: string, cluster: string, talosVersion: string): ReadonlyArray<Machine> => {
    const found = get("MachineClasses", machineClass)
    if (found === undefined) return []
    const { matchLabels } = read(specs.MachineClassSpecSchema, found)
    return [...machines.values()].filter((machine) => {
      const status = get("MachineStatuses", machine.id)
      return status !== undefined && controller.isConnected(machine) && label.available in status.metadata.labels &&
        get("MachineSetNodes", machine.id) === undefined &&
        versionFault(machine, cluster, talosVersion) === undefined &&
        matchLabels.some((selector) => selects(selector, status.metadata.labels))
    })
  }

  /** A set of a class takes machines, and gives back what is too much. */
  const allocate = (set: Stored, talosVersion: string): void => {
    const allocation = allocationOf(set)
    if (allocation === undefined) return
    const { id, labels } = set.metadata
    const cluster = labels[label.cluster] ?? ""
    const nodes = nodesOf(set)
    const wanted = allocation.allocationType === unlimited ? Number.POSITIVE_INFINITY : allocation.machineCount
    const missing = Math.max(0, wanted - nodes.length)
    if (missing > 0) {
      for (const machine of freeMachines(allocation.name, cluster, talosVersion).slice(0, missing)) {
        write("MachineSetNodes", machine.id, specs.MachineSetNodeSpecSchema, {}, {
          [label.cluster]: cluster,
          [label.set]: id,
          ...roleLabel(labels),
          [label.byController]: ""
        }, ["MachineSetNodeController", "MachineSetStatusController"])
      }
    }
    for (const node of nodes.slice(Math.min(wanted, nodes.length))) remove("MachineSetNodes", node.metadata.id)
  }

  const requestedOf = (set: Stored): number => {
    const allocation = allocationOf(set)
    return allocation === undefined || allocation.allocationType === unlimited
      ? nodesOf(set).length
      : allocation.machineCount
  }

  const count = (set: Stored): Count => {
    const statuses = ofSet("ClusterMachineStatuses", set.metadata.id)
    return {
      requested: set.metadata.phase === "running" ? requestedOf(set) : 0,
      total: Math.max(ofSet("ClusterMachines", set.metadata.id).length, statuses.length),
      healthy: statuses.filter((status) => {
        const spec = read(specs.ClusterMachineStatusSpecSchema, status)
        return spec.ready && spec.stage === stage.running
      }).length,
      connected: statuses.filter(({ metadata }) => label.connected in metadata.labels).length
    }
  }

  const phaseOf = (set: Stored, { requested, total }: Count, upgrading: boolean): SetPhase => {
    if (set.metadata.phase !== "running") return setPhase.destroying
    if (label.controlPlane in set.metadata.labels && requested === 0) return setPhase.failed
    const statuses = ofSet("ClusterMachineStatuses", set.metadata.id)
    if (statuses.length < requested) return setPhase.scalingUp
    if (total > requested) return setPhase.scalingDown
    const changing = statuses.some(({ metadata, spec: bytes }) => {
      const spec = wire.protobuf.fromBinary(specs.ClusterMachineStatusSpecSchema, bytes)
      // The first read of a pending configuration comes too early to see it.
      return !spec.configUpToDate && metadata.version > 1
    })
    return changing ? upgrading ? setPhase.upgrading : setPhase.reconfiguring : setPhase.running
  }

  const lockedNodes = (set: Stored): number =>
    nodesOf(set).filter(({ metadata }) => label.locked in metadata.annotations).length

  /** Writes the status of a set; gives what the cluster needs of it. */
  const report = (set: Stored, options: { readonly upgrading: boolean; readonly first: boolean }): SetPart => {
    const counted = options.first ? noMachines : count(set)
    const phase = phaseOf(set, counted, options.upgrading)
    const ready = phase === setPhase.running && counted.healthy === counted.requested
    const allocation = allocationOf(set)
    write(
      "MachineSetStatuses",
      set.metadata.id,
      specs.MachineSetStatusSpecSchema,
      {
        phase,
        ready,
        error: phase === setPhase.failed ? "control plane machine set must have at least one node" : "",
        machines: counted,
        configHash: "0000000000000000000000000000000000000000000000000000000000000000",
        lockedUpdates: options.upgrading ? lockedNodes(set) : 0,
        ...(allocation === undefined ? {} : { machineAllocation: allocation })
      },
      set.metadata.labels,
      ["ClusterStatusController"]
    )
    return { set, count: counted, phase, ready }
  }

  const keep = (set: Stored): void => {
    if (set.metadata.phase !== "running") return
    hold(set, setFinalizers(label.controlPlane in set.metadata.labels, allocationOf(set) !== undefined))
  }

  /** A set that is torn down gives its machines back, and goes when it has none. */
  const dissolve = (set: Stored): void => {
    const { id } = set.metadata
    for (const node of ofSet("MachineSetNodes", id)) remove("MachineSetNodes", node.metadata.id)
    if (ofSet("ClusterMachineStatuses", id).length > 0 || ofSet("ClusterMachines", id).length > 0) return
    remove("ControlPlaneStatuses", id)
    remove("MachineSetStatuses", id)
    // Resources with finalizers of others stay.
    const own = new Set(setFinalizers(true, true))
    const left = set.metadata.finalizers.filter((finalizer) => !own.has(finalizer))
    if (left.length < set.metadata.finalizers.length) change(set, { finalizers: left })
  }

  /** Statuses of sets that are gone. */
  const sweep = (): void => {
    for (const { metadata: { id } } of list("MachineSetStatuses")) {
      if (get("MachineSets", id) === undefined) remove("MachineSetStatuses", id)
    }
  }

  const holdNodes = (set: Stored): void => {
    for (const node of nodesOf(set)) hold(node, ["MachineSetStatusController"])
  }

  /** Nodes that users have torn down are let go of. */
  const releaseNodes = (): void => {
    for (const node of list("MachineSetNodes")) {
      if (node.metadata.phase === "running" || node.metadata.finalizers.length === 0) continue
      resources.release(node, ["MachineSetNodeController", "MachineSetStatusController"])
    }
  }

  return { allocate, dissolve, holdNodes, keep, nodesOf, releaseNodes, report, sweep, tearDown }
}

export type MachineSetController = ReturnType<typeof makeMachineSetController>
