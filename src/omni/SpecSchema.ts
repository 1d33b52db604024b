/**
 * The Schema of a cluster of Omni machines by counts. A cluster template has more fields.
 */
import { clusterFields, field, Word } from "../internal/SpecFields.ts"

const { controlPlanes, labels, onFailure, workers } = clusterFields

/** The spec in a document. */
export const DocumentFields = {
  controlPlanes,
  workers,
  labels,
  onFailure,
  machineClass: field(Word, "The machine class that machines are taken from."),
  talosVersion: field(Word, "The Talos version, with or without `v`; the latest where it is not given."),
  kubernetesVersion: field(Word, "The Kubernetes version, with or without `v`; the latest where it is not given.")
}
