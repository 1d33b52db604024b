/**
 * Parts of a cluster beside its machines on a fake Omni: the status of Kubernetes manifests, and etcd backups.
 *
 * Manifests are applied as soon as the Kubernetes API is ready. A manual backup is done in the round after it was
 * requested. Neither was recorded: both follow Omni's resource definitions.
 */
import { label } from "./Labels.ts"
import type { Resources } from "./Resources.ts"
import type { Store, Stored } from "./Store.ts"
import { namespaceOf, type Wire } from "./Wire.ts"

const groupPhase = { pending: 1, applied: 3 } as const
const manifestPhase = { pending: 1, applied: 2 } as const
const backupOk = 1

/** The size of a snapshot of the fake. */
const snapshotBytes = 1_048_576n

interface Manifest {
  readonly apiVersion?: unknown
  readonly kind?: unknown
  readonly metadata?: { readonly name?: unknown; readonly namespace?: unknown }
}

const text = (value: unknown): string => typeof value === "string" ? value : ""

export const makeExtrasController = (wire: Wire, resources: Resources, store: Store, now: () => number) => {
  const { specs, wkt, yaml } = wire
  const { get, list, ofCluster, read, write } = resources
  const time = () => wkt.timestampFromDate(new Date(now()))

  const manifestsOf = (group: Stored): ReadonlyArray<Manifest> => {
    const documents = yaml.parseAllDocuments(read(specs.KubernetesManifestGroupSpecSchema, group).data)
    return (Array.isArray(documents) ? documents : []).flatMap((document) => {
      const value: unknown = document.errors.length > 0 ? undefined : document.toJS()
      return typeof value === "object" && value !== null ? [value] : []
    })
  }

  /** The status of the manifests of a cluster. */
  const report = (cluster: Stored, apiReady: boolean): void => {
    const { id } = cluster.metadata
    const groups = ofCluster("KubernetesManifestGroups", id)
    const there = get("ClusterKubernetesManifestsStatuses", id)
    if (groups.length === 0 && there === undefined) return
    const total = groups.reduce((count, group) => count + manifestsOf(group).length, 0)
    write("ClusterKubernetesManifestsStatuses", id, specs.ClusterKubernetesManifestsStatusSpecSchema, {
      groups: Object.fromEntries(groups.map((group) => [group.metadata.id, {
        phase: apiReady ? groupPhase.applied : groupPhase.pending,
        mode: read(specs.KubernetesManifestGroupSpecSchema, group).mode,
        manifests: Object.fromEntries(
          manifestsOf(group).map((manifest) => {
            const kind = text(manifest.kind)
            const name = text(manifest.metadata?.name)
            const apiVersion = text(manifest.apiVersion)
            return [`${kind}/${name}`, {
              phase: apiReady ? manifestPhase.applied : manifestPhase.pending,
              kind,
              name,
              namespace: text(manifest.metadata?.namespace),
              group: apiVersion.includes("/") ? apiVersion.split("/")[0] ?? "" : ""
            }]
          })
        )
      }])),
      outOfSync: apiReady ? 0 : total,
      total
    }, { [label.cluster]: id })
  }

  /** A manual backup has the cluster's id; its time says when it was requested. */
  const backUp = (request: Stored): void => {
    const { id } = request.metadata
    const { backupAt } = read(specs.EtcdManualBackupSpecSchema, request)
    const cluster = get("Clusters", id)
    if (backupAt === undefined || cluster === undefined) return
    const name = `${id}-${backupAt.seconds}`
    if (get("EtcdBackups", name) !== undefined) return
    write("EtcdBackups", name, specs.EtcdBackupSpecSchema, {
      createdAt: backupAt,
      snapshot: `${backupAt.seconds}.snapshot`,
      size: snapshotBytes
    }, { [label.cluster]: id })
    write("EtcdBackupStatuses", id, specs.EtcdBackupStatusSpecSchema, {
      status: backupOk,
      lastBackupTime: backupAt,
      lastBackupAttempt: time()
    }, { [label.cluster]: id })
  }

  return {
    report,
    round: () => {
      for (const request of store.list("EtcdManualBackups.omni.sidero.dev", namespaceOf("EtcdManualBackups"))) {
        backUp(request)
      }
      for (const backup of list("EtcdBackups")) {
        if (backup.metadata.phase !== "running") resources.drop("EtcdBackups", backup.metadata.id)
      }
    }
  }
}
