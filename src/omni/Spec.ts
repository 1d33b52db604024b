/**
 * The spec of a cluster by counts: where its machines come from, what is wrong with it, and the spec as JSON.
 */
import * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import { checkNewClusterName } from "../internal/ClusterNames.ts"
import { unknownFields } from "../internal/SpecIssues.ts"
import type { ClusterName } from "../Model.ts"
import type { AddedNodes, ClusterSpec } from "../Provider.ts"
import { InvalidClusterName } from "../ProviderError.ts"
import type { Issue } from "../Resource.ts"
import * as Labels from "./Labels.ts"
import type { MachineSelection } from "./Machines.ts"
import { DocumentFields } from "./SpecSchema.ts"

/**
 * The spec of `createNodes`.
 *
 * @category models
 * @since 0.1.0
 */
export interface ClusterDefaults {
  /** Machines of this class; Omni chooses, and replaces. How many a cluster that is there has is changed by `sync`. */
  readonly machineClass?: string
  /** Or machines chosen from those that are free. */
  readonly machines?: MachineSelection
  /**
   * With or without `v`. By default the newest release that enough free machines fit: a machine that runs from its boot
   * image fits its own minor version only.
   */
  readonly talosVersion?: string
  /** With or without `v`. By default the newest that this Talos supports. */
  readonly kubernetesVersion?: string
}

/** Checks the name of a cluster that is to be created on Omni. */
export const checkNewName = (input: string): Effect.Effect<ClusterName, InvalidClusterName> =>
  Effect.flatMap(checkNewClusterName(input), (name) =>
    name.includes(".")
      ? Effect.fail(new InvalidClusterName({ input, issue: "\".\" is not allowed in the name of a cluster on Omni" }))
      : Effect.succeed(name))

const countIssue = (path: string, count: unknown, least: number): ReadonlyArray<Issue> =>
  typeof count === "number" && Number.isInteger(count) && count >= least && count <= 1000
    ? []
    : [{ path, message: `must be an integer from ${least} to 1000, got ${String(count)}` }]

const labelIssues = (labels: unknown): ReadonlyArray<Issue> => {
  if (labels === undefined) return []
  if (typeof labels !== "object" || labels === null || Array.isArray(labels)) {
    return [{ path: "labels", message: "must be a record of strings" }]
  }
  return Object.entries(labels).flatMap(([key, value]): ReadonlyArray<Issue> =>
    Labels.reserved.some((prefix) => key.startsWith(prefix))
      ? [{ path: `labels.${key}`, message: `keys that begin with ${Labels.reserved.join(" or ")} are reserved` }]
      : key === ""
      ? [{ path: "labels", message: "has an empty key" }]
      : typeof value !== "string"
      ? [{ path: `labels.${key}`, message: "must be a string" }]
      : []
  )
}

const sourceIssues = (defaults: ClusterDefaults): ReadonlyArray<Issue> =>
  defaults.machineClass === undefined && defaults.machines === undefined
    ? [{ path: "machineClass", message: "neither `machineClass` nor `machines` is set in the layer's options" }]
    : defaults.machineClass !== undefined && defaults.machines !== undefined
    ? [{ path: "machines", message: "is set beside `machineClass`; machines come from one of them" }]
    : []

const knownFields = ["cluster", ...Object.keys(DocumentFields), "allowFewerControlPlanes", "pools"]

/** All that is wrong with a spec. */
export const issuesOf = (spec: ClusterSpec, defaults: ClusterDefaults): ReadonlyArray<Issue> => [
  ...unknownFields(spec, knownFields),
  ...((spec.pools ?? []).length === 0
    ? []
    : [{ path: "pools", message: "are not supported on Omni. Use the worker sets of a cluster template" }]),
  ...countIssue("controlPlanes", spec.controlPlanes, 1),
  ...countIssue("workers", spec.workers, 0),
  ...labelIssues(spec.labels),
  ...sourceIssues(defaults)
]

/** All that is wrong with nodes to be added, beside their counts. */
export const issuesOfAdded = (nodes: AddedNodes, defaults: ClusterDefaults): ReadonlyArray<Issue> => [
  ...labelIssues(nodes.labels),
  ...(defaults.machines === undefined
    ? [{ path: "machines", message: "is not set in the layer's options, so no machine can be chosen" }]
    : []),
  ...((nodes.controlPlanes ?? 0) > 0 && nodes.pool !== undefined
    ? [{ path: "pool", message: "control planes have no pool on Omni" }]
    : [])
]

export const encodeSpec = (spec: ClusterSpec): Schema.Json => ({
  cluster: spec.cluster,
  controlPlanes: spec.controlPlanes,
  workers: spec.workers,
  ...(spec.labels === undefined ? {} : { labels: { ...spec.labels } }),
  ...(spec.onFailure === undefined ? {} : { onFailure: spec.onFailure }),
  ...(spec.allowFewerControlPlanes === undefined ? {} : { allowFewerControlPlanes: spec.allowFewerControlPlanes })
})

/** Reads an encoded spec back. Its values are checked by `issuesOf`. */
export const decodeSpec = (encoded: Schema.Json): ClusterSpec | undefined =>
  typeof encoded === "object" && encoded !== null && !Array.isArray(encoded) && "cluster" in encoded &&
    typeof encoded.cluster === "string" && "controlPlanes" in encoded && "workers" in encoded
    ? encoded as unknown as ClusterSpec
    : undefined
