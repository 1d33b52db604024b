/**
 * A cluster template as a value: one cluster, its control plane, its sets of workers, and what is said of single
 * machines.
 *
 * The shape is that of the documents of a template text, without `kind`: what can be written there can be written here,
 * and the same checks hold for both. Versions, names and patches are as in the text.
 * Source: Sidero Omni documentation, "Cluster templates".
 */

/**
 * A change of the machine configuration: exactly one of `inline` and `file`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Patch {
  /** The name of the patch. With `file` the default is the path of the file. */
  readonly name?: string
  /** Replaces the whole id of the patch. */
  readonly idOverride?: string
  readonly labels?: Readonly<Record<string, string>>
  readonly annotations?: Readonly<Record<string, string>>
  /** A Talos patch as a mapping, as a list of mappings (several documents), or as YAML text, which is kept verbatim. */
  readonly inline?: unknown
  /** A file with the patch, relative to the base directory. */
  readonly file?: string
}

/**
 * Kubernetes manifests that Omni applies to the cluster: exactly one of `inline` and `file`.
 *
 * @category models
 * @since 0.2.0
 */
export interface TemplateManifests {
  /** The name of the group; the path of the `file` by default. */
  readonly name?: string
  readonly labels?: Readonly<Record<string, string>>
  readonly annotations?: Readonly<Record<string, string>>
  /** `full`: Omni keeps them as they are here. `one-time`: Omni applies them once. */
  readonly mode: "full" | "one-time"
  /** A list of manifests. */
  readonly inline?: ReadonlyArray<unknown>
  /** A file with manifests, relative to the base directory. */
  readonly file?: string
}

/**
 * A Kubernetes job that Omni runs to check the cluster while it holds an upgrade: exactly one of `job` and `file`.
 *
 * @category models
 * @since 0.2.0
 */
export interface TemplateHealthCheck {
  readonly name?: string
  /** Replaces the whole id of the health check. */
  readonly idOverride?: string
  readonly labels?: Readonly<Record<string, string>>
  readonly annotations?: Readonly<Record<string, string>>
  /** The manifest of a Job, as a mapping or as YAML text. */
  readonly job?: unknown
  /** A file with the manifest, relative to the base directory. */
  readonly file?: string
  /** From one check to the next, such as `1m`; 30 seconds by default. */
  readonly interval?: string
}

/**
 * How many machines may change at once.
 *
 * @category models
 * @since 0.1.0
 */
export interface Strategy {
  /** `updateStrategy`: Rolling by default. `deleteStrategy` and `upgradeStrategy`: Unset by default. */
  readonly type?: "Rolling" | "Unset"
  /** 0, or nothing, is no limit. */
  readonly rolling?: { readonly maxParallelism?: number }
}

/** The fields that cluster, sets and machines have in common. */
interface Described {
  readonly labels?: Readonly<Record<string, string>>
  readonly annotations?: Readonly<Record<string, string>>
  readonly patches?: ReadonlyArray<Patch>
  /** Talos system extensions. An empty list is not the same as none: it takes away what is set further out. */
  readonly systemExtensions?: ReadonlyArray<string>
  /** Kernel arguments of the listed machines. An empty list is not the same as none. */
  readonly kernelArgs?: ReadonlyArray<string>
}

/**
 * @category models
 * @since 0.1.0
 */
export interface TemplateCluster extends Described {
  readonly name: string
  readonly kubernetes: {
    /** With or without `v`. */
    readonly version: string
    readonly manifests?: ReadonlyArray<TemplateManifests>
    readonly healthchecks?: ReadonlyArray<TemplateHealthCheck>
  }
  /** With `v`. */
  readonly talos: { readonly version: string }
  readonly features?: {
    readonly diskEncryption?: boolean
    readonly enableWorkloadProxy?: boolean
    readonly useEmbeddedDiscoveryService?: boolean
    readonly disablePublicDiscoveryService?: boolean
    readonly enableNodeAuditSkip?: boolean
    /** `interval` is a duration such as `1h30m`; without one there are no backups. */
    readonly backupConfiguration?: { readonly interval?: string }
  }
}

/** Machines by their ids, or a machine class and how many of it; neither is an empty set. */
interface MachineSource {
  /** Ids (UUIDs) of machines. */
  readonly machines?: ReadonlyArray<string>
  readonly machineClass?: { readonly name: string; readonly size: number | "unlimited" }
}

/**
 * @category models
 * @since 0.1.0
 */
export interface TemplateControlPlane extends Described, MachineSource {
  readonly bootstrapSpec?: { readonly clusterUUID: string; readonly snapshot: string }
  readonly upgradeStrategy?: Strategy
}

/**
 * @category models
 * @since 0.1.0
 */
export interface TemplateWorkers extends Described, MachineSource {
  /** `workers` where it is not given. */
  readonly name?: string
  readonly updateStrategy?: Strategy
  readonly deleteStrategy?: Strategy
  readonly upgradeStrategy?: Strategy
}

/**
 * The settings of one machine. It must be in one of the sets, too.
 *
 * @category models
 * @since 0.1.0
 */
export interface TemplateMachine extends Described {
  /** The id (UUID) of the machine. */
  readonly name: string
  /** A locked machine is not changed or upgraded; workers only. */
  readonly locked?: boolean
  /** The disk for Talos: a device such as `/dev/sda`, or a CEL expression over disks on newer servers. */
  readonly install?: { readonly disk?: string; readonly diskSelector?: string }
}

/**
 * A cluster template.
 *
 * @category models
 * @since 0.1.0
 */
export interface Template {
  readonly cluster: TemplateCluster
  readonly controlPlane: TemplateControlPlane
  readonly workers?: ReadonlyArray<TemplateWorkers>
  readonly machines?: ReadonlyArray<TemplateMachine>
}

/** A value of which any part may be missing, because it was not given or because it was of the wrong shape. */
export type Draft<A> = A extends string | number | boolean ? A
  : A extends ReadonlyArray<infer B> ? ReadonlyArray<Draft<B> | undefined>
  : A extends object ? { readonly [K in keyof A]?: Draft<A[K]> | undefined }
  : A

/** The ids of machine sets. */
export const setId = {
  controlPlane: (cluster: string): string => `${cluster}-control-planes`,
  workers: (cluster: string, name: string | undefined): string => `${cluster}-${name ?? "workers"}`
}

/** The machines of a template that is built from counts. */
export type MachineChoice =
  | { readonly machineClass: string }
  /** Ids: the first are control planes, the next workers. */
  | { readonly machines: ReadonlyArray<string> }

/** The template of a plain cluster: one set of control planes, and one of workers where there are any. */
export const fromCounts = (options: {
  readonly cluster: string
  readonly controlPlanes: number
  readonly workers: number
  readonly talosVersion: string
  readonly kubernetesVersion: string
  readonly machines: MachineChoice
  readonly labels?: Readonly<Record<string, string>>
  readonly annotations?: Readonly<Record<string, string>>
  readonly patches?: ReadonlyArray<Patch>
}): Template => {
  const { controlPlanes, machines, workers } = options
  const source = (from: number, size: number): MachineSource =>
    "machineClass" in machines
      ? { machineClass: { name: machines.machineClass, size } }
      : { machines: machines.machines.slice(from, from + size) }
  return {
    cluster: {
      name: options.cluster,
      kubernetes: { version: options.kubernetesVersion },
      talos: { version: options.talosVersion.startsWith("v") ? options.talosVersion : `v${options.talosVersion}` },
      ...(options.labels === undefined ? {} : { labels: options.labels }),
      ...(options.annotations === undefined ? {} : { annotations: options.annotations }),
      ...(options.patches === undefined ? {} : { patches: options.patches })
    },
    controlPlane: source(0, controlPlanes),
    ...(workers > 0 ? { workers: [source(controlPlanes, workers)] } : {})
  }
}
