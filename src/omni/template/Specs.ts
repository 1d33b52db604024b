/**
 * The specs of a template's resources, between plain values and the messages of the wire.
 *
 * A spec that is written replaces the whole of what is stored, as with Omni's own tool. A patch may be stored compressed
 * in a way that only the server reads; its text is then taken from the YAML that the server gives beside it.
 */
import type { Message } from "@bufbuild/protobuf"
import type * as Yaml from "yaml"
import { type Kind, Kinds, type Resource } from "../State.ts"
import type { SpecInit } from "../Wire.ts"
import type { Actual } from "./Diff.ts"
import { type Content, documentsOf } from "./Patches.ts"
import type { Expected, KindName, PlainDuration, PlainSpecs, StrategySpec } from "./Translate.ts"

type SpecOf<K> = K extends Kind<infer S extends Message> ? S : never

/** The message of each kind's spec. */
export type Messages = { readonly [K in KindName]: SpecOf<(typeof Kinds)[K]> }

interface Codec<K extends KindName> {
  readonly read: (resource: Resource<Messages[K]>, yaml: typeof Yaml) => PlainSpecs[K]
  readonly write: (spec: PlainSpecs[K]) => SpecInit<Messages[K]>
}

const strategyOf = (
  rolling: number,
  config: { readonly rolling?: { readonly maxParallelism: number } | undefined } | undefined
): StrategySpec => ({
  rolling: rolling === 1,
  ...(config?.rolling === undefined ? {} : { maxParallelism: config.rolling.maxParallelism })
})

const strategyConfig = <F extends string>(field: F, { maxParallelism }: StrategySpec) =>
  (maxParallelism === undefined ? {} : { [field]: { rolling: { maxParallelism } } }) as {
    readonly [K in F]?: { readonly rolling: { readonly maxParallelism: number } }
  }

/** The text of a resource, however it is stored. */
const storedText = (
  { spec, yaml }: Resource<Messages["ConfigPatch" | "KubernetesManifestGroup"]>,
  library: typeof Yaml
): string => {
  if (spec.data !== "" || spec.compressedData.length === 0) return spec.data
  try {
    const parsed: unknown = library.parse(yaml)
    if (typeof parsed !== "object" || parsed === null || !("data" in parsed)) return ""
    // The server indents after these breaks, which this reader takes for text.
    return String(parsed.data).replace(/([\u2028\u2029]) {4}/g, "$1")
  } catch {
    return ""
  }
}

const contentOf = (yaml: typeof Yaml, data: string): Content => {
  const { documents, faults } = documentsOf(yaml, data)
  // A text that is not YAML equals only itself.
  return { data, documents: faults.length > 0 ? [data] : documents }
}

const durationOf = (
  duration: { readonly seconds: bigint; readonly nanos: number } | undefined
): PlainDuration | undefined =>
  duration === undefined ? undefined : { seconds: String(duration.seconds), nanos: duration.nanos }

const durationMessage = ({ nanos, seconds }: PlainDuration) => ({ seconds: BigInt(seconds), nanos })

const codecs: { readonly [K in KindName]: Codec<K> } = {
  Cluster: {
    read: ({ spec }) => ({
      kubernetesVersion: spec.kubernetesVersion,
      talosVersion: spec.talosVersion,
      features: {
        diskEncryption: spec.features?.diskEncryption ?? false,
        enableWorkloadProxy: spec.features?.enableWorkloadProxy ?? false,
        useEmbeddedDiscoveryService: spec.features?.useEmbeddedDiscoveryService ?? false,
        disablePublicDiscoveryService: spec.features?.disablePublicDiscoveryService ?? false,
        enableNodeAuditSkip: spec.features?.enableNodeAuditSkip ?? false
      },
      ...(spec.backupConfiguration?.enabled === true
        ? { backup: durationOf(spec.backupConfiguration.interval) ?? { seconds: "0", nanos: 0 } }
        : {})
    }),
    write: ({ backup, features, kubernetesVersion, talosVersion }) => ({
      kubernetesVersion,
      talosVersion,
      features,
      ...(backup === undefined ? {} : {
        backupConfiguration: { enabled: true, interval: durationMessage(backup) }
      })
    })
  },
  ExtensionsConfiguration: {
    read: ({ spec }) => ({ extensions: [...spec.extensions] }),
    write: ({ extensions }) => ({ extensions: [...extensions] })
  },
  ConfigPatch: {
    read: (resource, yaml) => contentOf(yaml, storedText(resource, yaml)),
    write: ({ data }) => ({ data })
  },
  KubernetesManifestGroup: {
    read: (resource, yaml) => ({ ...contentOf(yaml, storedText(resource, yaml)), mode: resource.spec.mode }),
    write: ({ data, mode }) => ({ data, mode: mode as 0 | 1 | 2 })
  },
  KubernetesHealthCheck: {
    read: ({ spec }, yaml) => {
      const interval = durationOf(spec.interval)
      return { ...contentOf(yaml, spec.job), ...(interval === undefined ? {} : { interval }) }
    },
    write: ({ data, interval }) => ({
      job: data,
      ...(interval === undefined ? {} : { interval: durationMessage(interval) })
    })
  },
  MachineInstallDiskConfig: {
    read: ({ spec }) => ({ disk: spec.disk, diskSelector: spec.diskSelector }),
    write: (spec) => ({ ...spec })
  },
  MachineSet: {
    read: ({ spec }) => ({
      update: strategyOf(spec.updateStrategy, spec.updateStrategyConfig),
      delete: strategyOf(spec.deleteStrategy, spec.deleteStrategyConfig),
      upgrade: strategyOf(spec.upgradeStrategy, spec.upgradeStrategyConfig),
      ...(spec.bootstrapSpec === undefined ? {} : {
        bootstrap: { clusterUuid: spec.bootstrapSpec.clusterUuid, snapshot: spec.bootstrapSpec.snapshot }
      }),
      ...(spec.machineAllocation === undefined ? {} : {
        allocation: {
          name: spec.machineAllocation.name,
          count: spec.machineAllocation.machineCount,
          unlimited: spec.machineAllocation.allocationType === 1
        }
      })
    }),
    write: (spec) => ({
      updateStrategy: spec.update.rolling ? 1 : 0,
      ...strategyConfig("updateStrategyConfig", spec.update),
      deleteStrategy: spec.delete.rolling ? 1 : 0,
      ...strategyConfig("deleteStrategyConfig", spec.delete),
      upgradeStrategy: spec.upgrade.rolling ? 1 : 0,
      ...strategyConfig("upgradeStrategyConfig", spec.upgrade),
      ...(spec.bootstrap === undefined ? {} : { bootstrapSpec: spec.bootstrap }),
      ...(spec.allocation === undefined ? {} : {
        machineAllocation: {
          name: spec.allocation.name,
          machineCount: spec.allocation.count,
          allocationType: spec.allocation.unlimited ? 1 : 0
        }
      })
    })
  },
  MachineSetNode: { read: () => ({}), write: () => ({}) },
  KernelArgs: {
    read: ({ spec }) => ({ args: [...spec.args] }),
    write: ({ args }) => ({ args: [...args] })
  }
}

/** The kind on the wire, with a codec between plain and message; the types of both stay together. */
const wireOf = <K extends KindName>(name: K) => ({
  kind: Kinds[name] as unknown as Kind<Messages[K]>,
  codec: codecs[name] as Codec<K>
})

/** A resource that the server has, as a plain value. */
export const actualOf = <K extends KindName>(
  name: K,
  resource: Resource<Messages[K]>,
  yaml: typeof Yaml
): Actual => {
  const { annotations, id, labels, phase } = resource.metadata
  return {
    kind: name,
    id,
    labels,
    annotations,
    isTearingDown: phase === "tearingDown",
    spec: wireOf(name).codec.read(resource, yaml)
  } as unknown as Actual
}

/** The kind of a resource on the wire. */
export const kindOf = <K extends KindName>(name: K): Kind<Messages[K]> => wireOf(name).kind

/** The spec of a resource as it is written. */
export const messageOf = (expected: Expected): SpecInit<Messages[KindName]> =>
  wireOf(expected.kind as KindName).codec.write(expected.spec as never) as SpecInit<Messages[KindName]>
