/** The labels and annotations of Omni that a fake writes or reads. */

const prefix = "omni.sidero.dev/"

export const label = {
  cluster: `${prefix}cluster`,
  clusterUuid: `${prefix}cluster-uuid`,
  set: `${prefix}machine-set`,
  controlPlane: `${prefix}role-controlplane`,
  worker: `${prefix}role-worker`,
  available: `${prefix}available`,
  connected: `${prefix}connected`,
  disconnected: `${prefix}disconnected`,
  hostname: `${prefix}hostname`,
  nodeName: `${prefix}node-name`,
  installed: `${prefix}installed`,
  reportingEvents: `${prefix}reporting-events`,
  readyToUse: `${prefix}ready-to-use`,
  arch: `${prefix}arch`,
  platform: `${prefix}platform`,
  talosVersion: `${prefix}talos-version`,
  managed: `${prefix}is-managed-by-static-infra-provider`,
  byController: `${prefix}managed-by-machine-set-node-controller`,
  /** An annotation of a MachineSetNode: its machine is not updated. */
  locked: `${prefix}locked`
} as const

/** The labels that users gave; those of Omni are left out. */
export const userLabels = (labels: Readonly<Record<string, string>>): Readonly<Record<string, string>> =>
  Object.fromEntries(Object.entries(labels).filter(([name]) => !name.startsWith(prefix)))

/** The label that says what a machine or set is for. */
export const roleLabel = (labels: Readonly<Record<string, string>>): Readonly<Record<string, string>> =>
  label.controlPlane in labels
    ? { [label.controlPlane]: "" }
    : label.worker in labels
    ? { [label.worker]: "" }
    : {}
