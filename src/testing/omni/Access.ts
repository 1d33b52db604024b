/**
 * The kinds of resources that a fake Omni knows, who may write them, and what a role may do.
 *
 * Source: Omni's access rules as measured on release 1.9. A kind that is not here does not exist, and a server says of it
 * that no access is permitted.
 */
import { code, Refusal } from "./Refusal.ts"

export type Role = "None" | "Reader" | "Operator" | "Admin"

const rank: Readonly<Record<Role, number>> = { None: 0, Reader: 1, Operator: 2, Admin: 3 }

/** `user`: made by users; `controller`: read only; `deletable`: read and delete. */
type Writers = "user" | "controller" | "deletable"

const plural = (names: ReadonlyArray<string>, writers: Writers) =>
  names.map((name) => [`${name}.omni.sidero.dev`, writers] as const)

const writersOf = new Map<string, Writers>([
  ...plural([
    "Clusters",
    "MachineSets",
    "MachineSetNodes",
    "ConfigPatches",
    "MachineClasses",
    "ExtensionsConfigurations",
    "KernelArgs",
    "MachineInstallDiskConfigs",
    "KubernetesManifestGroups",
    "KubernetesHealthChecks",
    "MachineLabels"
  ], "user"),
  ...plural([
    "ClusterStatuses",
    "ClusterDestroyStatuses",
    "ClusterEndpoints",
    "MachineSetStatuses",
    "MachineSetDestroyStatuses",
    "ClusterMachines",
    "ClusterMachineStatuses",
    "Machines",
    "MachineStatuses",
    "TalosVersions",
    "KubernetesVersions",
    "ControlPlaneStatuses",
    "LoadBalancerStatuses",
    "KubernetesStatuses",
    "KubernetesUpgradeStatuses",
    "TalosUpgradeStatuses"
  ], "controller"),
  ...plural(["Links"], "deletable")
])

export const isUserManaged = (type: string): boolean => writersOf.get(type) === "user"

export type Verb = "read" | "create" | "update" | "destroy"

/** Throws unless a role may do this with a kind. */
export const check = (type: string, verb: Verb, role: Role, absent: ReadonlySet<string>): void => {
  const writers = absent.has(type) ? undefined : writersOf.get(type)
  if (writers === undefined) {
    throw new Refusal(code.permissionDenied, `no access is permitted to ${type}`)
  }
  const needed: Role = verb === "read" ? "Reader" : "Operator"
  if (rank[role] < rank[needed]) {
    throw new Refusal(code.permissionDenied, `insufficient role: ${JSON.stringify(role)}`)
  }
  if (verb === "read" || writers === "user") return
  if (writers === "deletable") {
    if (verb !== "destroy") throw new Refusal(code.permissionDenied, "only read and delete access is permitted")
    return
  }
  throw new Refusal(code.permissionDenied, "only read access is permitted")
}
