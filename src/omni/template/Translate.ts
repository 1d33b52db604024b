/**
 * From a template to the resources that make it: ids, labels, annotations and specs as Omni's own tool writes them.
 *
 * Pure; specs are plain values here, and `Specs.ts` turns them into messages. The disk that a machine is installed on
 * has two forms, and the server's version says which one it knows: `knowsInstallDisk` is the newer.
 * Source: Sidero Omni documentation, "Cluster templates"; ids and weights as measured on Omni 1.9.
 */
import * as GoYaml from "../GoYaml.ts"
import * as Labels from "../Labels.ts"
import { parseGoDuration } from "./GoDuration.ts"
import type { Issue, Path } from "./Issue.ts"
import type { Loaded } from "./Load.ts"
import {
  type Patch,
  setId,
  type Strategy,
  type Template,
  type TemplateControlPlane,
  type TemplateMachine,
  type TemplateWorkers
} from "./Model.ts"
import type { Content } from "./Patches.ts"
import { bare } from "./Versions.ts"

// -----------------------------------------------------------------------------
// Specs as plain values
// -----------------------------------------------------------------------------

export interface StrategySpec {
  readonly rolling: boolean
  /** Absent where no parallelism is configured; 0 is a configuration of its own. */
  readonly maxParallelism?: number
}

/** Seconds as a decimal, and nanoseconds. */
export interface PlainDuration {
  readonly seconds: string
  readonly nanos: number
}

/** The kinds of resources that a template has. The order is the order of writing. */
export interface PlainSpecs {
  readonly Cluster: {
    readonly kubernetesVersion: string
    readonly talosVersion: string
    readonly features: {
      readonly diskEncryption: boolean
      readonly enableWorkloadProxy: boolean
      readonly useEmbeddedDiscoveryService: boolean
      readonly disablePublicDiscoveryService: boolean
      readonly enableNodeAuditSkip: boolean
    }
    /** Absent where there are no backups. */
    readonly backup?: PlainDuration
  }
  readonly ExtensionsConfiguration: { readonly extensions: ReadonlyArray<string> }
  /** Two patches are the same where their documents are. */
  readonly ConfigPatch: Content
  readonly KubernetesManifestGroup: Content & { readonly mode: number }
  readonly KubernetesHealthCheck: Content & { readonly interval?: PlainDuration }
  readonly MachineInstallDiskConfig: { readonly disk: string; readonly diskSelector: string }
  readonly MachineSet: {
    readonly update: StrategySpec
    readonly delete: StrategySpec
    readonly upgrade: StrategySpec
    readonly bootstrap?: { readonly clusterUuid: string; readonly snapshot: string }
    readonly allocation?: { readonly name: string; readonly count: number; readonly unlimited: boolean }
  }
  readonly MachineSetNode: Readonly<Record<string, never>>
  readonly KernelArgs: { readonly args: ReadonlyArray<string> }
}

export type KindName = keyof PlainSpecs

/** Types in the order in which they are written: what others need comes first. */
export const writeOrder: ReadonlyArray<KindName> = [
  "Cluster",
  "ExtensionsConfiguration",
  "ConfigPatch",
  "MachineInstallDiskConfig",
  "KubernetesManifestGroup",
  "KubernetesHealthCheck",
  "MachineSet",
  "MachineSetNode",
  "KernelArgs"
]

/** Sorts as things are written; what is of one kind stays in its order. */
export const inWriteOrder = <A extends { readonly kind: KindName }>(items: ReadonlyArray<A>): ReadonlyArray<A> =>
  writeOrder.flatMap((kind) => items.filter((item) => item.kind === kind))

interface ExpectedOf<K extends KindName> {
  readonly kind: K
  readonly id: string
  readonly labels: Labels.Labels
  readonly annotations: Labels.Labels
  readonly spec: PlainSpecs[K]
  /** The place in the template that requests it. */
  readonly path: Path
}

/** A resource that a template requests. */
export type Expected = { readonly [K in KindName]: ExpectedOf<K> }[KindName]

// -----------------------------------------------------------------------------
// Parts
// -----------------------------------------------------------------------------

/** The targets of patches and extensions, and the prefix of their ids. */
interface Range {
  readonly scope: string
  readonly weight: number
  readonly labels: Labels.Labels
  readonly path: Path
}

const patchId = (range: Range, index: number, name: string): string =>
  `${String(range.weight + index).padStart(3, "0")}-${range.scope}-${name}`

const patchResources = (
  loaded: Loaded,
  range: Range,
  patches: ReadonlyArray<Patch> | undefined
): ReadonlyArray<Expected> =>
  (patches ?? []).flatMap((patch, index): ReadonlyArray<Expected> => {
    const content = loaded.contents.get(patch)
    if (content === undefined) return []
    const name = patch.name ?? patch.file ?? ""
    return [{
      kind: "ConfigPatch",
      id: patch.idOverride ?? patchId(range, index, name),
      labels: { ...range.labels, ...patch.labels },
      annotations: { name, ...patch.annotations },
      spec: content,
      path: [...range.path, "patches", index]
    }]
  })

const extensionResources = (
  id: string,
  range: Range,
  extensions: ReadonlyArray<string> | undefined
): ReadonlyArray<Expected> =>
  extensions === undefined ? [] : [{
    kind: "ExtensionsConfiguration",
    id: `schematic-${id}`,
    labels: range.labels,
    annotations: {},
    spec: { extensions },
    path: [...range.path, "systemExtensions"]
  }]

/** A strategy without a type has the type of its kind. The configuration is kept whatever the type. */
const strategy = (given: Strategy | undefined, defaultType: "Rolling" | "Unset"): StrategySpec => ({
  rolling: (given?.type ?? defaultType) === "Rolling",
  ...(given?.rolling === undefined ? {} : { maxParallelism: given.rolling.maxParallelism ?? 0 })
})

const managed: Labels.Labels = { [Labels.managedByTemplates]: "" }

interface SetInTemplate {
  readonly set: TemplateControlPlane & TemplateWorkers
  readonly id: string
  readonly role: string
  readonly path: Path
}

/** The machine sets of a template with their ids. */
export const setsOf = (template: Template): ReadonlyArray<SetInTemplate> => {
  const { name } = template.cluster
  return [
    {
      set: template.controlPlane,
      id: setId.controlPlane(name),
      role: Labels.controlPlaneRole,
      path: ["controlPlane"]
    },
    ...(template.workers ?? []).map((set, index): SetInTemplate => ({
      set,
      id: setId.workers(name, set.name),
      role: Labels.workerRole,
      path: ["workers", index]
    }))
  ]
}

const setResource = (cluster: string, { id, path, role, set }: SetInTemplate): Expected => ({
  kind: "MachineSet",
  id,
  labels: { [Labels.cluster]: cluster, [role]: "", ...set.labels },
  annotations: { ...set.annotations },
  spec: {
    update: strategy(set.updateStrategy, "Rolling"),
    delete: strategy(set.deleteStrategy, "Unset"),
    upgrade: strategy(set.upgradeStrategy, "Unset"),
    ...(set.bootstrapSpec === undefined ? {} : {
      bootstrap: { clusterUuid: set.bootstrapSpec.clusterUUID, snapshot: set.bootstrapSpec.snapshot }
    }),
    ...(set.machineClass === undefined ? {} : {
      allocation: {
        name: set.machineClass.name,
        count: set.machineClass.size === "unlimited" ? 0 : set.machineClass.size,
        unlimited: set.machineClass.size === "unlimited"
      }
    })
  },
  path
})

const nodeResource = (
  cluster: string,
  { id, role }: SetInTemplate,
  machine: string,
  described: TemplateMachine | undefined,
  path: Path
): Expected => ({
  kind: "MachineSetNode",
  id: machine,
  labels: { [Labels.cluster]: cluster, [role]: "", [Labels.machineSet]: id, ...described?.labels },
  annotations: { ...(described?.locked === true ? { [Labels.locked]: "" } : {}), ...described?.annotations },
  spec: {},
  path
})

/** The newer form is a resource of its own, the older one a patch of the system. */
const installDisk = (range: Range, machine: TemplateMachine, knowsInstallDisk: boolean): ReadonlyArray<Expected> => {
  if (machine.install === undefined) return []
  const { disk, diskSelector } = machine.install
  const path = [...range.path, "install"]
  if (knowsInstallDisk) {
    return [{
      kind: "MachineInstallDiskConfig",
      id: machine.name,
      labels: {},
      annotations: managed,
      spec: { disk: disk ?? "", diskSelector: diskSelector ?? "" },
      path
    }]
  }
  const content = { machine: { install: { disk } } }
  return [{
    kind: "ConfigPatch",
    id: `000-${range.scope}-install-disk`,
    labels: { ...range.labels, [Labels.systemPatch]: "" },
    annotations: { name: "install-disk" },
    spec: { data: GoYaml.encode(GoYaml.ofProgram(content)), documents: [content] },
    path
  }]
}

const machineResources = (
  loaded: Loaded,
  cluster: string,
  machine: TemplateMachine,
  path: Path,
  knowsInstallDisk: boolean
): ReadonlyArray<Expected> => {
  const range: Range = {
    scope: `cm-${machine.name}`,
    weight: 400,
    labels: { [Labels.cluster]: cluster, [Labels.clusterMachine]: machine.name },
    path
  }
  return [
    ...installDisk(range, machine, knowsInstallDisk),
    ...patchResources(loaded, range, machine.patches),
    ...extensionResources(machine.name, range, machine.systemExtensions)
  ]
}

// -----------------------------------------------------------------------------
// Whole
// -----------------------------------------------------------------------------

/** A duration that is given and longer than zero. */
const positive = (text: string | undefined): PlainDuration | undefined => {
  const parsed = text === undefined ? undefined : parseGoDuration(text)
  return parsed === undefined || (parsed.seconds === 0n && parsed.nanos === 0n)
    ? undefined
    : { seconds: String(parsed.seconds), nanos: Number(parsed.nanos) }
}

const backupOf = (interval: string | undefined): Pick<PlainSpecs["Cluster"], "backup"> => {
  const backup = positive(interval)
  return backup === undefined ? {} : { backup }
}

const manifestModes = { full: 1, "one-time": 2 } as const

const manifestResources = (loaded: Loaded, range: Range): ReadonlyArray<Expected> =>
  (loaded.template.cluster.kubernetes.manifests ?? []).flatMap((group, index): ReadonlyArray<Expected> => {
    const content = loaded.contents.get(group)
    if (content === undefined) return []
    const name = group.name ?? group.file ?? ""
    return [{
      kind: "KubernetesManifestGroup",
      id: patchId(range, index, name),
      labels: { ...range.labels, ...group.labels },
      annotations: { name, ...group.annotations },
      spec: { ...content, mode: manifestModes[group.mode] },
      path: [...range.path, "kubernetes", "manifests", index]
    }]
  })

const healthCheckResources = (loaded: Loaded, range: Range): ReadonlyArray<Expected> =>
  (loaded.template.cluster.kubernetes.healthchecks ?? []).flatMap((check, index): ReadonlyArray<Expected> => {
    const content = loaded.contents.get(check)
    if (content === undefined) return []
    const interval = positive(check.interval)
    return [{
      kind: "KubernetesHealthCheck",
      id: check.idOverride ?? `${range.scope}-${check.name ?? ""}`,
      labels: { ...range.labels, ...check.labels },
      annotations: { ...check.annotations },
      spec: { ...content, ...(interval === undefined ? {} : { interval }) },
      path: [...range.path, "kubernetes", "healthchecks", index]
    }]
  })

const clusterResource = ({ cluster }: Template): Expected => ({
  kind: "Cluster",
  id: cluster.name,
  labels: { ...cluster.labels },
  annotations: { ...managed, ...cluster.annotations },
  spec: {
    kubernetesVersion: bare(cluster.kubernetes.version),
    talosVersion: bare(cluster.talos.version),
    features: {
      diskEncryption: cluster.features?.diskEncryption ?? false,
      enableWorkloadProxy: cluster.features?.enableWorkloadProxy ?? false,
      useEmbeddedDiscoveryService: cluster.features?.useEmbeddedDiscoveryService ?? false,
      disablePublicDiscoveryService: cluster.features?.disablePublicDiscoveryService ?? false,
      enableNodeAuditSkip: cluster.features?.enableNodeAuditSkip ?? false
    },
    ...backupOf(cluster.features?.backupConfiguration?.interval)
  },
  path: ["cluster"]
})

const kernelArgs = (
  template: Template,
  set: SetInTemplate,
  machine: string,
  described: TemplateMachine | undefined,
  path: Path
): ReadonlyArray<Expected> => {
  const args = described?.kernelArgs ?? set.set.kernelArgs ?? template.cluster.kernelArgs
  return args === undefined
    ? []
    : [{ kind: "KernelArgs", id: machine, labels: {}, annotations: managed, spec: { args }, path }]
}

/** All resources that a template requests, in the order of writing. */
export const translate = (loaded: Loaded, server: { readonly knowsInstallDisk: boolean }): ReadonlyArray<Expected> => {
  const { template } = loaded
  const { name } = template.cluster
  const ofCluster: Range = {
    scope: `cluster-${name}`,
    weight: 200,
    labels: { [Labels.cluster]: name },
    path: ["cluster"]
  }
  const described = new Map((template.machines ?? []).map((machine) => [machine.name, machine]))
  return inWriteOrder([
    clusterResource(template),
    ...patchResources(loaded, ofCluster, template.cluster.patches),
    ...extensionResources(name, ofCluster, template.cluster.systemExtensions),
    ...manifestResources(loaded, ofCluster),
    ...healthCheckResources(loaded, ofCluster),
    ...setsOf(template).flatMap((set): ReadonlyArray<Expected> => {
      const range: Range = {
        scope: set.id,
        weight: 400,
        labels: { [Labels.cluster]: name, [Labels.machineSet]: set.id },
        path: set.path
      }
      return [
        setResource(name, set),
        ...patchResources(loaded, range, set.set.patches),
        ...extensionResources(set.id, range, set.set.systemExtensions),
        ...(set.set.machines ?? []).flatMap((machine, index) => {
          const path = [...set.path, "machines", index]
          return [
            nodeResource(name, set, machine, described.get(machine), path),
            ...kernelArgs(template, set, machine, described.get(machine), path)
          ]
        })
      ]
    }),
    ...(template.machines ?? []).flatMap((machine, index) =>
      machineResources(loaded, name, machine, ["machines", index], server.knowsInstallDisk)
    )
  ])
}

/** Two resources of one kind cannot have one id. */
export const clashes = (expected: ReadonlyArray<Expected>): ReadonlyArray<Issue> => {
  const seen = new Set<string>()
  return expected.flatMap(({ id, kind, path }): ReadonlyArray<Issue> => {
    const key = `${kind}/${id}`
    if (seen.has(key)) return [{ path, message: `a second ${kind} with the id ${id}` }]
    seen.add(key)
    return new TextEncoder().encode(id).length > 1024
      ? [{ path, message: `the id ${id.slice(0, 40)}… has more than 1024 bytes` }]
      : []
  })
}
