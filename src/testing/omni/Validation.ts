/**
 * What a fake Omni refuses to store, beside what the store itself refuses: names, versions, locks, and what has to be
 * there already.
 *
 * Source: Omni's validations as measured on release 1.9. Config patches are taken as they are.
 */
import { invalid } from "./Refusal.ts"
import type { Store, Stored } from "./Store.ts"
import type { Wire } from "./Wire.ts"

const prefix = "omni.sidero.dev/"
const locked = `${prefix}cluster-locked`
const inDefault = (type: string, id: string) => ({ namespace: "default", type: `${type}.omni.sidero.dev`, id })

const clusterFaults = (wire: Wire, store: Store, resource: Stored): ReadonlyArray<string> => {
  const { id } = resource.metadata
  const spec = wire.protobuf.fromBinary(wire.specs.ClusterSpecSchema, resource.spec)
  const faults: Array<string> = []
  if (!/^[\p{L}\p{N}_-]+$/u.test(id)) faults.push("name should only contain letters, digits, dashes and underscores")
  const version = store.get(inDefault("TalosVersions", spec.talosVersion))
  const known = version === undefined
    ? undefined
    : wire.protobuf.fromBinary(wire.specs.TalosVersionSpecSchema, version.spec)
  if (known === undefined) faults.push(`invalid talos version ${JSON.stringify(spec.talosVersion)}`)
  else if (known.deprecated) faults.push(`talos version ${JSON.stringify(spec.talosVersion)} is no longer supported`)
  else if (!known.compatibleKubernetesVersions.includes(spec.kubernetesVersion)) {
    faults.push(
      `invalid kubernetes version ${JSON.stringify(spec.kubernetesVersion)}: is not compatible with talos version ${
        JSON.stringify(spec.talosVersion)
      }`
    )
  }
  return faults
}

const setFaults = (wire: Wire, store: Store, resource: Stored): ReadonlyArray<string> => {
  const { id, labels } = resource.metadata
  const cluster = labels[`${prefix}cluster`]
  const faults: Array<string> = []
  if (cluster === undefined) return ["cluster label is missing"]
  if (!id.startsWith(`${cluster}-`)) {
    faults.push(
      `machine set of cluster ${JSON.stringify(cluster)} ID must have ${JSON.stringify(`${cluster}-`)} as prefix`
    )
  }
  const controlPlane = `${prefix}role-controlplane` in labels
  if (controlPlane === `${prefix}role-worker` in labels) faults.push("machine set must have either role label")
  if (controlPlane !== (id === `${cluster}-control-planes`)) {
    faults.push(`control plane machine set must have ID ${JSON.stringify(`${cluster}-control-planes`)}`)
  }
  if (store.get(inDefault("Clusters", cluster)) === undefined) {
    faults.push(`cluster ${JSON.stringify(cluster)} does not exist`)
  }
  const spec = wire.protobuf.fromBinary(wire.specs.MachineSetSpecSchema, resource.spec)
  const machineClass = spec.machineAllocation?.name ?? ""
  if (machineClass !== "" && store.get(inDefault("MachineClasses", machineClass)) === undefined) {
    faults.push(`machine class with name ${JSON.stringify(machineClass)} doesn't exist`)
  }
  return faults
}

const nodeFaults = (wire: Wire, store: Store, { metadata: { labels } }: Stored): ReadonlyArray<string> => {
  const cluster = labels[`${prefix}cluster`]
  const set = labels[`${prefix}machine-set`]
  if (cluster === undefined || set === undefined) return ["cluster or machine set label is missing"]
  const found = store.get(inDefault("MachineSets", set))
  if (found === undefined) return [`machine set ${JSON.stringify(set)} does not exist`]
  if (found.metadata.phase !== "running") return [`machine set ${JSON.stringify(set)} is tearing down`]
  if (store.get(inDefault("Clusters", cluster)) === undefined) {
    return [`cluster ${JSON.stringify(cluster)} does not exist`]
  }
  const spec = wire.protobuf.fromBinary(wire.specs.MachineSetSpecSchema, found.spec)
  return (spec.machineAllocation?.name ?? "") === ""
    ? []
    : ["adding machine set node to the machine set is not allowed: the machine set is using automatic provisioning"]
}

/** What is against storing a resource of a user's; throws. */
export const checkWrite = (wire: Wire, store: Store, resource: Stored, on: "create" | "update"): void => {
  const type = resource.metadata.type.split(".")[0]
  // Taking the lock off is the one change that a lock allows.
  if (on === "update" && type === "Clusters" && locked in resource.metadata.annotations) {
    checkLock(store, resource.metadata)
  }
  const faults = type === "Clusters"
    ? clusterFaults(wire, store, resource)
    : type === "MachineSets"
    ? setFaults(wire, store, resource)
    : type === "MachineSetNodes" && on === "create"
    ? nodeFaults(wire, store, resource)
    : []
  if (faults.length > 0) throw invalid(...faults)
}

const checkLock = (store: Store, key: { namespace: string; type: string; id: string }): void => {
  const found = store.get(key)
  if (found !== undefined && locked in found.metadata.annotations) {
    throw invalid("operation is not permitted: the cluster is locked")
  }
}

/** What is against tearing a resource down or destroying it; throws. */
export const checkRemoval = (
  wire: Wire,
  store: Store,
  key: { readonly namespace: string; readonly type: string; readonly id: string }
): void => {
  const type = key.type.split(".")[0]
  if (type === "Clusters") checkLock(store, key)
  const found = store.get(key)
  if (type === "MachineSetNodes" && found !== undefined && `${prefix}locked` in found.metadata.annotations) {
    throw invalid(`machine set node ${JSON.stringify(key.id)} is locked`)
  }
  if (type !== "MachineClasses") return
  const users = store.list("MachineSets.omni.sidero.dev", "default").filter(({ spec }) =>
    wire.protobuf.fromBinary(wire.specs.MachineSetSpecSchema, spec).machineAllocation?.name === key.id
  )
  if (users.length > 0) {
    throw invalid(
      `can not delete the machine class as it is still in use by machine sets: ${
        users.map(({ metadata }) => metadata.id).join(", ")
      }`
    )
  }
}
