/**
 * The refusals of a fake Omni for a MachineSet and a MachineSetNode: labels, ids, locks, classes, and machines whose
 * Talos version does not fit.
 *
 * Source: Omni 1.9.3 as recorded.
 */
import { typeOf } from "./Access.ts"
import { isLocked } from "./ClusterRules.ts"
import { label } from "./Labels.ts"
import { type Machine, versionFault } from "./Machines.ts"
import type { Store, Stored } from "./Store.ts"
import type { Wire } from "./Wire.ts"

const quoted = (text: string): string => JSON.stringify(text)

export const makeMachineSetRules = (wire: Wire, store: Store, machines: ReadonlyMap<string, Machine>) => {
  const find = (kind: string, id: string) => store.get({ namespace: "default", type: typeOf(kind), id })
  const readSet = ({ spec }: Stored) => wire.protobuf.fromBinary(wire.specs.MachineSetSpecSchema, spec)
  const classOf = (set: Stored): string => readSet(set).machineAllocation?.name ?? ""
  const labelOf = ({ metadata }: Stored, name: string): string => metadata.labels[name] ?? ""

  const missingLabels = ({ metadata }: Stored, names: ReadonlyArray<string>): ReadonlyArray<string> =>
    names.flatMap((name) => name in metadata.labels ? [] : [`label ${quoted(name)} does not exist`])

  const changedLabels = (now: Stored, old: Stored, names: ReadonlyArray<string>): ReadonlyArray<string> =>
    names.flatMap((name) =>
      labelOf(now, name) === labelOf(old, name) ? [] : [
        `changing value of label ${quoted(name)} from ${quoted(labelOf(old, name))} to ${quoted(labelOf(now, name))}`
      ]
    )

  // ---------------------------------------------------------------------------
  // Sets
  // ---------------------------------------------------------------------------

  const clusterFaults = (set: Stored, locked: (cluster: string) => string): ReadonlyArray<string> => {
    const id = labelOf(set, label.cluster)
    const cluster = find("Clusters", id)
    if (cluster === undefined) return [`the cluster ${quoted(id)} does not exist`]
    if (cluster.metadata.phase !== "running") return [`the cluster ${quoted(id)} is tearing down`]
    return isLocked(cluster) ? [locked(id)] : []
  }

  const idFaults = (set: Stored): ReadonlyArray<string> => {
    const { id, labels } = set.metadata
    const cluster = labels[label.cluster]
    if (cluster === undefined) return []
    const controlPlanes = `${cluster}-control-planes`
    if (label.controlPlane in labels) {
      return id === controlPlanes ? [] : [`control plane machine set must have ID ${quoted(controlPlanes)}`]
    }
    if (!(label.worker in labels)) {
      return [`machine set must have either ${quoted(label.controlPlane)} or ${quoted(label.worker)} label`]
    }
    if (id === controlPlanes) return [`worker machine set must not have ID ${quoted(controlPlanes)}`]
    return id.startsWith(`${cluster}-`)
      ? []
      : [`machine set of cluster ${quoted(cluster)} ID must have ${quoted(`${cluster}-`)} as prefix`]
  }

  const specFaults = (set: Stored): ReadonlyArray<string> => {
    const { bootstrapSpec, machineAllocation } = readSet(set)
    const machineClass = machineAllocation?.name ?? ""
    const faults = machineClass !== "" && find("MachineClasses", machineClass) === undefined
      ? [`machine class with name ${quoted(machineClass)} doesn't exist`]
      : []
    if (bootstrapSpec === undefined) return faults
    if (label.worker in set.metadata.labels) {
      return [...faults, "bootstrap spec is not allowed for worker machine sets"]
    }
    const known = store.list(typeOf("ClusterUUIDs"), "default")
      .some(({ spec }) =>
        wire.protobuf.fromBinary(wire.specs.ClusterUUIDSpecSchema, spec).uuid === bootstrapSpec.clusterUuid
      )
    return known ? faults : [...faults, `invalid cluster UUID ${quoted(bootstrapSpec.clusterUuid)}`]
  }

  const nodesOf = (set: string) =>
    store.list(typeOf("MachineSetNodes"), "default").filter(({ metadata }) => metadata.labels[label.set] === set)

  const modeFaults = (now: Stored, old: Stored): ReadonlyArray<string> => {
    if ((classOf(now) === "") === (classOf(old) === "") || nodesOf(old.metadata.id).length === 0) return []
    return [
      classOf(old) === ""
        ? "machine set is not empty and is using manual nodes management, updating to machine class mode is not allowed"
        : "machine set is not empty and is using machine class based node management, updating to manual mode is not allowed"
    ]
  }

  const set = {
    createFaults: (resource: Stored): ReadonlyArray<string> => [
      ...missingLabels(resource, [label.cluster]),
      ...clusterFaults(
        resource,
        (cluster) =>
          `adding machine set ${quoted(resource.metadata.id)} to the cluster ${
            quoted(cluster)
          } is not allowed: the cluster is locked`
      ),
      ...idFaults(resource),
      ...specFaults(resource)
    ],
    updateFaults: (resource: Stored, old: Stored): ReadonlyArray<string> => {
      const changed = changedLabels(resource, old, [label.cluster])
      const ofCluster = clusterFaults(
        resource,
        (cluster) =>
          `updating machine set ${quoted(resource.metadata.id)} on the cluster ${
            quoted(cluster)
          } is not allowed: the cluster is locked`
      )
      if (changed.length > 0 || ofCluster.some((fault) => fault.endsWith("is locked"))) {
        return [...changed, ...ofCluster]
      }
      return [...modeFaults(resource, old), ...specFaults(resource)]
    },
    removalFaults: (found: Stored): ReadonlyArray<string> => {
      const cluster = labelOf(found, label.cluster)
      const stored = find("Clusters", cluster)
      return stored === undefined || !isLocked(stored) ? [] : [
        `removing machine set ${quoted(found.metadata.id)} from the cluster ${
          quoted(cluster)
        } is not allowed: the cluster is locked`
      ]
    }
  }

  // ---------------------------------------------------------------------------
  // Nodes
  // ---------------------------------------------------------------------------

  /** Why a node may not be added to its set. */
  const whyNotAdded = (resource: Stored): string | undefined => {
    const cluster = labelOf(resource, label.cluster)
    const found = find("MachineSets", labelOf(resource, label.set))
    if (found === undefined) return "the machine set does not exist"
    if (found.metadata.phase !== "running") return "the machine set is tearing down"
    const owner = find("Clusters", cluster)
    if (owner === undefined) return `the cluster ${quoted(cluster)} does not exist`
    if (owner.metadata.phase !== "running") return `the cluster ${quoted(cluster)} is tearing down`
    if (isLocked(owner)) return `the cluster ${quoted(cluster)} is locked`
    return classOf(found) === "" ? undefined : "the machine set is using automated machine allocation"
  }

  const machineFaults = ({ metadata }: Stored): ReadonlyArray<string> => {
    const machine = machines.get(metadata.id)
    const owner = find("Clusters", metadata.labels[label.cluster] ?? "")
    if (machine === undefined || owner === undefined) return []
    const { talosVersion } = wire.protobuf.fromBinary(wire.specs.ClusterSpecSchema, owner.spec)
    const fault = versionFault(machine, owner.metadata.id, talosVersion)
    return fault === undefined ? [] : [fault]
  }

  const lockFault = (resource: Stored, what: (set: string) => string): ReadonlyArray<string> => {
    const cluster = labelOf(resource, label.cluster)
    const stored = find("Clusters", cluster)
    return stored === undefined || !isLocked(stored)
      ? []
      : [`${what(quoted(labelOf(resource, label.set)))} is not allowed: the cluster ${quoted(cluster)} is locked`]
  }

  const node = {
    createFaults: (resource: Stored): ReadonlyArray<string> => {
      const why = whyNotAdded(resource)
      return [
        ...missingLabels(resource, [label.cluster, label.set]),
        ...(why === undefined ? machineFaults(resource) : [
          `adding machine set node to the machine set ${quoted(labelOf(resource, label.set))} is not allowed: ${why}`
        ])
      ]
    },
    updateFaults: (resource: Stored, old: Stored): ReadonlyArray<string> => [
      ...changedLabels(resource, old, [label.cluster, label.set]),
      ...lockFault(resource, (name) => `updating machine set node on the machine set ${name}`)
    ],
    removalFaults: (found: Stored): ReadonlyArray<string> => [
      ...lockFault(found, (name) => `removing machine set node from the machine set ${name}`),
      ...(label.locked in found.metadata.annotations
        ? [`machine set node ${quoted(found.metadata.id)} is locked`]
        : [])
    ]
  }

  return { set, node }
}
