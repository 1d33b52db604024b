/**
 * The kinds of resources of a fake Omni, who writes them, and which role a call needs.
 *
 * A kind that is not in this table does not exist, and access to it is refused.
 * Source: Omni 1.9.3 as recorded.
 */
import { code, denied, insufficientRole, Refusal } from "./Refusal.ts"

/** From the lowest to the highest. */
const roles = ["None", "InfraProvider", "Reader", "Operator", "Admin"] as const

export type Role = (typeof roles)[number]

const rank = (role: Role): number => roles.indexOf(role)

/** The lower of two roles. */
export const lower = (a: Role, b: Role): Role => rank(a) < rank(b) ? a : b

export const isRole = (text: string): text is Role => (roles as ReadonlyArray<string>).includes(text)

/**
 * `user`: created by users. `controller`: read only. `deletable`: read and delete. `admin`: read only, by Admins.
 * `secret`: not even read.
 */
type Access = "user" | "controller" | "deletable" | "admin" | "secret"

const domain = "omni.sidero.dev"

/** The type of a kind: `Clusters` is `Clusters.omni.sidero.dev`. A name with a domain of its own stays as it is. */
export const typeOf = (kind: string): string => kind.includes(".") ? kind : `${kind}.${domain}`

/** The kind of a type, without the domain of Omni. */
export const kindOf = (type: string): string => type.endsWith(`.${domain}`) ? type.slice(0, -domain.length - 1) : type

const accessOf = new Map<string, Access>([
  ...[
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
    "MachineLabels",
    "EtcdManualBackups",
    "InfraMachineConfigs",
    "InstallationMedias",
    "RotateTalosCAs",
    "JoinTokens",
    "DefaultJoinTokens"
  ].map((kind) => [typeOf(kind), "user"] as const),
  ...[
    "ClusterStatuses",
    "ClusterDestroyStatuses",
    "ClusterEndpoints",
    "ClusterBootstrapStatuses",
    "ClusterKubernetesManifestsStatuses",
    "ClusterTaints",
    "ClusterUUIDs",
    "MachineSetStatuses",
    "MachineSetDestroyStatuses",
    "ClusterMachines",
    "ClusterMachineStatuses",
    "Machines",
    "MachineStatuses",
    "MachineConfigDiffs",
    "MachineExtensions",
    "TalosVersions",
    "KubernetesVersions",
    "ControlPlaneStatuses",
    "LoadBalancerConfigs",
    "LoadBalancerStatuses",
    "KubernetesStatuses",
    "KubernetesUsages",
    "KubernetesUpgradeStatuses",
    "TalosUpgradeStatuses",
    "EtcdBackups",
    "EtcdBackupStatuses",
    "InfraProviders",
    "InfraProviderStatuses",
    "ConnectionParams",
    "SiderolinkAPIConfigs",
    "SysVersions.system.sidero.dev"
  ].map((kind) => [typeOf(kind), "controller"] as const),
  ...["Links"].map((kind) => [typeOf(kind), "deletable"] as const),
  ...["Users", "Identities", "AccessPolicies"].map((kind) => [typeOf(kind), "admin"] as const),
  [typeOf("ImportedClusterSecrets"), "secret"]
])

/** Every kind that users create, as types. The server destroys what they have torn down. */
export const userTypes: ReadonlyArray<string> = [...accessOf].flatMap(([type, access]) =>
  access === "user" ? [type] : []
)

export type Verb = "read" | "create" | "update" | "destroy"

/** Throws unless a role may do this with a kind. */
export const checkAccess = (type: string, verb: Verb, role: Role, absent: ReadonlySet<string>): void => {
  const access = absent.has(type) ? undefined : accessOf.get(type)
  if (access === undefined) throw denied("no access is permitted")
  if (access === "secret" && verb !== "create" && verb !== "destroy") {
    throw denied("only create and destroy access is permitted for imported cluster secrets")
  }
  const needed: Role = access === "admin" ? "Admin" : verb === "read" ? "Reader" : "Operator"
  if (rank(role) < rank(needed)) throw denied(insufficientRole(role))
  if (verb === "read" || access === "user" || access === "secret") return
  if (access !== "deletable") throw denied("only read access is permitted")
  if (verb !== "destroy") throw denied("only read and delete access is permitted")
}

/** Throws unless a role may make a call of the management service. */
export const checkRole = (role: Role, needed: Role): void => {
  if (rank(role) < rank(needed)) throw new Refusal(code.permissionDenied, insufficientRole(role))
}
