/**
 * The refusals of a fake Omni for a Cluster: names, versions and their changes, encryption, backups, and locks.
 *
 * Source: Omni 1.9.3 as recorded.
 */
import type { ClusterSpec } from "../../omni/proto/specs_pb.ts"
import { typeOf } from "./Access.ts"
import { faultList, missingText } from "./Refusal.ts"
import type { Key, Store, Stored } from "./Store.ts"
import { goDuration, minorSteps } from "./Versions.ts"
import type { Wire } from "./Wire.ts"

const lockAnnotation = "omni.sidero.dev/cluster-locked"

/** The shortest interval of backups, as the server is configured. */
const shortestBackupSeconds = 60

/** A Talos version may be that many minors newer than the one before. */
const talosMinorsUp = 2

export const isLocked = ({ metadata }: Stored): boolean => lockAnnotation in metadata.annotations

const quoted = (text: string): string => JSON.stringify(text)

const nameFaults = (id: string): ReadonlyArray<string> =>
  id === ""
    ? ["resource ID must not be empty", "name is required"]
    : /^[\p{L}\p{N}_-]+$/u.test(id)
    ? []
    : ["name should only contain letters, digits, dashes and underscores"]

const missingVersions = ({ kubernetesVersion, talosVersion }: ClusterSpec): ReadonlyArray<string> =>
  [["Kubernetes", kubernetesVersion] as const, ["Talos", talosVersion] as const].flatMap(([what, version]) =>
    version === "" ? [`error validating ${what} version: ${faultList(["version is required"])}`] : []
  )

/** The version must be offered, and fit that of Kubernetes. One that a cluster has already may be deprecated. */
const versionFaults = (wire: Wire, store: Store, spec: ClusterSpec, old: ClusterSpec | undefined) => {
  const key: Key = { namespace: "default", type: typeOf("TalosVersions"), id: spec.talosVersion }
  const stored = store.get(key)
  if (stored === undefined) {
    return [`invalid talos version ${quoted(spec.talosVersion)}: failed to get: ${missingText(key)}`]
  }
  const known = wire.protobuf.fromBinary(wire.specs.TalosVersionSpecSchema, stored.spec)
  if (known.deprecated && old?.talosVersion !== spec.talosVersion) {
    return [`talos version ${quoted(spec.talosVersion)} is no longer supported`]
  }
  return known.compatibleKubernetesVersions.includes(spec.kubernetesVersion) ? [] : [
    `invalid kubernetes version ${quoted(spec.kubernetesVersion)}: is not compatible with talos version ${
      quoted(spec.talosVersion)
    }`
  ]
}

const talosChangeFaults = (from: string, to: string, initial: string): ReadonlyArray<string> => {
  if (from === to) return []
  // The text names the version that the cluster began with.
  if ((minorSteps(initial, to) ?? 0) < 0) {
    return [`downgrading from version ${quoted(initial)} to ${quoted(to)} is not supported`]
  }
  return (minorSteps(from, to) ?? 0) > talosMinorsUp
    ? [`talos version is not supported for upgrade to ${quoted(to)} from ${quoted(from)}`]
    : []
}

const kubernetesChangeFaults = (from: string, to: string): ReadonlyArray<string> => {
  const steps = minorSteps(from, to) ?? 0
  return steps === 0 || steps === 1
    ? []
    : [`kubernetes version is not supported for upgrade to ${quoted(to)} from ${quoted(from)}`]
}

const backupFaults = ({ backupConfiguration }: ClusterSpec): ReadonlyArray<string> => {
  const interval = backupConfiguration?.interval
  if (interval === undefined) return []
  const seconds = Number(interval.seconds) + interval.nanos / 1e9
  return seconds >= shortestBackupSeconds ? [] : [
    `backup interval must be greater than ${goDuration(shortestBackupSeconds)}, actual ${goDuration(seconds)}`
  ]
}

export const makeClusterRules = (wire: Wire, store: Store) => {
  /** The Talos version that each cluster was created with: it never goes below that minor. */
  const initial = new Map<string, string>()
  const read = ({ spec }: Stored) => wire.protobuf.fromBinary(wire.specs.ClusterSpecSchema, spec)

  const createFaults = (resource: Stored): ReadonlyArray<string> => {
    const spec = read(resource)
    const faults = [
      ...nameFaults(resource.metadata.id),
      ...missingVersions(spec),
      ...versionFaults(wire, store, spec, undefined),
      ...backupFaults(spec)
    ]
    if (faults.length === 0 && store.get(resource.metadata) === undefined) {
      initial.set(resource.metadata.id, spec.talosVersion)
    }
    return faults
  }

  const updateFaults = (resource: Stored, old: Stored): ReadonlyArray<string> => {
    const { id } = resource.metadata
    // Removing the lock is the one change that a lock allows.
    if (isLocked(old) && isLocked(resource)) {
      return [`updating cluster configuration is not allowed: the cluster ${quoted(id)} is locked`]
    }
    const [before, after] = [read(old), read(resource)]
    const talos = talosChangeFaults(before.talosVersion, after.talosVersion, initial.get(id) ?? before.talosVersion)
    if (talos.length > 0) return talos
    const versions = [...missingVersions(after), ...versionFaults(wire, store, after, before)]
    if (versions.length > 0) return versions
    return [
      ...kubernetesChangeFaults(before.kubernetesVersion, after.kubernetesVersion),
      ...((before.features?.diskEncryption ?? false) === (after.features?.diskEncryption ?? false)
        ? []
        : ["updating disk encryption settings is not allowed"]),
      ...backupFaults(after)
    ]
  }

  const removalFaults = (found: Stored): ReadonlyArray<string> =>
    isLocked(found) ? [`deletion is not allowed: the cluster ${quoted(found.metadata.id)} is locked`] : []

  return { createFaults, updateFaults, removalFaults }
}
