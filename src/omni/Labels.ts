/**
 * The labels and annotations that say who something on Omni belongs to, and for which cluster.
 *
 * Omni's own begin with `omni.sidero.dev/`: which cluster, set and role a machine has, whether it is free, connected,
 * locked. Those of kubelayer name the process that created a cluster, so that a sweep finds the clusters of an exited
 * process. A resource that has an owner is a controller's of Omni, and is never written to.
 */
import type { ClusterName } from "../Model.ts"
import type { Mark, Owner } from "../Resource.ts"

/** The prefix of Omni: no label of a caller may begin with it. */
const prefix = "omni.sidero.dev/"

export const cluster = `${prefix}cluster`
export const machineSet = `${prefix}machine-set`
export const clusterMachine = `${prefix}cluster-machine`
export const machine = `${prefix}machine`
export const controlPlaneRole = `${prefix}role-controlplane`
export const workerRole = `${prefix}role-worker`
export const available = `${prefix}available`
export const disconnected = `${prefix}disconnected`
export const hostname = `${prefix}hostname`
export const nodeName = `${prefix}node-name`
export const systemPatch = `${prefix}system-patch`
/** On machines with Talos on a disk. */
export const installed = `${prefix}installed`
/** On machines whose power Omni can switch on and off. */
export const managedPower = `${prefix}is-managed-by-static-infra-provider`
/** On MachineSetNodes that Omni makes for a machine class. */
export const managedByNodeController = `${prefix}managed-by-machine-set-node-controller`

/** Annotations. */
export const clusterLocked = `${prefix}cluster-locked`
export const locked = `${prefix}locked`
export const managedByTemplates = `${prefix}managed-by-cluster-templates`

/** The prefix of the annotations of kubelayer. */
export const ownPrefix = "kubelayer."
/** Annotation: the cluster that kubelayer created this for. */
export const owned = "kubelayer.owned"
/** Annotation: the process that created it, see `internal/Session.ts`. */
const session = "kubelayer.session"
/** Annotation: the create call that created it; a clean-up removes exactly the resources with its own id. */
export const operation = "kubelayer.operation"
/** Annotation, `true`: it is deleted when a scope of the process that created it closes. */
const bound = "kubelayer.bound"

/** Annotation, `true`: `addNodes` created it. */
export const added = "kubelayer.added"
/** Annotations of a cluster: what became of the things of an operation, which the rest of the key names. */
export const fate = "kubelayer.fate-"

/** Keys of these prefixes are not for a caller's own labels. */
export const reserved: ReadonlyArray<string> = [ownPrefix, prefix]

export type Labels = Readonly<Record<string, string>>

/** The annotations of what an operation creates. */
export const ownership = (clusterName: ClusterName, mark: Mark): Record<string, string> => ({
  [owned]: clusterName,
  [session]: mark.session,
  [operation]: mark.operation,
  ...(mark.bound ? { [bound]: "true" } : {}),
  ...(mark.added ? { [added]: "true" } : {})
})

/** The owner of a resource of a cluster: a user, and kubelayer if it has its annotations. */
export const ownerOf = (
  { annotations }: { readonly annotations: Labels },
  clusterName: string
): Owner => ({
  cluster: clusterName,
  ...(annotations[operation] === undefined ? {} : { operation: annotations[operation] }),
  ...(annotations[session] === undefined ? {} : { session: annotations[session] }),
  ...(annotations[bound] === "true" ? { bound: true } : {}),
  ...(annotations[added] === "true" ? { added: true } : {})
})

/** Whether a resource is a user's, and so may be changed; else a controller's of Omni. */
export const isUsers = (metadata: { readonly owner: string }): boolean => metadata.owner === ""
