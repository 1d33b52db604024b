/**
 * The resources of Omni that kubelayer reads or writes: one table of kinds, and what every resource has around its spec.
 *
 * A spec is the message that protobuf-es makes of the proto files in `proto/`; it is decoded as it comes and never by
 * hand. The generated code and its runtime are loaded with the layer, by `loadProtos`. A kind that a server is too old to
 * know has no resources there.
 * Source: COSI resource API; Omni's resource definitions.
 */
import type { DescMessage, Message, MessageInitShape } from "@bufbuild/protobuf"
import type { GenMessage } from "@bufbuild/protobuf/codegenv2"
import type { Resource as WireResource } from "./proto/cosi_pb.ts"
import type * as Specs from "./proto/specs_pb.ts"

/** The generated code, and what reads and writes it. */
export interface Protos {
  readonly protobuf: typeof import("@bufbuild/protobuf")
  readonly wkt: typeof import("@bufbuild/protobuf/wkt")
  readonly cosi: typeof import("./proto/cosi_pb.ts")
  readonly management: typeof import("./proto/management_pb.ts")
  readonly specs: typeof import("./proto/specs_pb.ts")
}

export const loadProtos = async (): Promise<Protos> => {
  const [protobuf, wkt, cosi, management, specs] = await Promise.all([
    import("@bufbuild/protobuf"),
    import("@bufbuild/protobuf/wkt"),
    import("./proto/cosi_pb.ts"),
    import("./proto/management_pb.ts"),
    import("./proto/specs_pb.ts")
  ])
  return { protobuf, wkt, cosi, management, specs }
}

// -----------------------------------------------------------------------------
// Resources
// -----------------------------------------------------------------------------

export interface Metadata {
  readonly namespace: string
  readonly type: string
  readonly id: string
  /** A decimal, or `undefined` where there is none. */
  readonly version: string
  /** Empty if a user created it; otherwise the controller that owns it. */
  readonly owner: string
  readonly phase: "running" | "tearingDown"
  readonly labels: Readonly<Record<string, string>>
  readonly annotations: Readonly<Record<string, string>>
  /** The controllers that have to let go of it before it can be destroyed. */
  readonly finalizers: ReadonlyArray<string>
  /** ISO 8601, UTC. */
  readonly created: string | undefined
}

/** A resource as read. */
export interface Resource<Spec extends Message> {
  readonly metadata: Metadata
  readonly spec: Spec
  /** The spec as YAML, as the server writes it; what is compressed in the spec is plain here. */
  readonly yaml: string
}

/** The forms of a spec: a message, or its fields. */
export type SpecInit<Spec extends Message> = MessageInitShape<GenMessage<Spec>>

/** A resource as read, with what is to be changed changed. */
export interface Changed<Spec extends Message> {
  readonly metadata: Metadata
  readonly spec: SpecInit<Spec>
}

/** A new resource. It never has an owner, and runs. */
export interface New<Spec extends Message> {
  readonly id: string
  readonly labels?: Readonly<Record<string, string>>
  readonly annotations?: Readonly<Record<string, string>>
  readonly spec: SpecInit<Spec>
}

// -----------------------------------------------------------------------------
// Kinds
// -----------------------------------------------------------------------------

export interface Kind<Spec extends Message> {
  /** As the server has it, `Clusters.omni.sidero.dev`. */
  readonly type: string
  readonly namespace: string
  readonly schema: (specs: Protos["specs"]) => GenMessage<Spec>
}

const kind = <Spec extends Message>(
  plural: string,
  schema: (specs: Protos["specs"]) => GenMessage<Spec>,
  namespace = "default"
): Kind<Spec> => ({ type: `${plural}.omni.sidero.dev`, namespace, schema })

/** Every kind that kubelayer speaks of. */
export const Kinds = {
  Cluster: kind<Specs.ClusterSpec>("Clusters", (specs) => specs.ClusterSpecSchema),
  ClusterStatus: kind<Specs.ClusterStatusSpec>("ClusterStatuses", (specs) => specs.ClusterStatusSpecSchema),
  ClusterDestroyStatus: kind<Specs.DestroyStatusSpec>(
    "ClusterDestroyStatuses",
    (specs) => specs.DestroyStatusSpecSchema
  ),
  MachineSet: kind<Specs.MachineSetSpec>("MachineSets", (specs) => specs.MachineSetSpecSchema),
  MachineSetStatus: kind<Specs.MachineSetStatusSpec>("MachineSetStatuses", (specs) => specs.MachineSetStatusSpecSchema),
  MachineSetNode: kind<Specs.MachineSetNodeSpec>("MachineSetNodes", (specs) => specs.MachineSetNodeSpecSchema),
  ClusterMachineStatus: kind<Specs.ClusterMachineStatusSpec>(
    "ClusterMachineStatuses",
    (specs) => specs.ClusterMachineStatusSpecSchema
  ),
  ClusterMachine: kind<Specs.ClusterMachineSpec>("ClusterMachines", (specs) => specs.ClusterMachineSpecSchema),
  MachineStatus: kind<Specs.MachineStatusSpec>("MachineStatuses", (specs) => specs.MachineStatusSpecSchema),
  MachineClass: kind<Specs.MachineClassSpec>("MachineClasses", (specs) => specs.MachineClassSpecSchema),
  ConfigPatch: kind<Specs.ConfigPatchSpec>("ConfigPatches", (specs) => specs.ConfigPatchSpecSchema),
  ExtensionsConfiguration: kind<Specs.ExtensionsConfigurationSpec>(
    "ExtensionsConfigurations",
    (specs) => specs.ExtensionsConfigurationSpecSchema
  ),
  KernelArgs: kind<Specs.KernelArgsSpec>("KernelArgs", (specs) => specs.KernelArgsSpecSchema),
  MachineInstallDiskConfig: kind<Specs.MachineInstallDiskConfigSpec>(
    "MachineInstallDiskConfigs",
    (specs) => specs.MachineInstallDiskConfigSpecSchema
  ),
  KubernetesManifestGroup: kind<Specs.KubernetesManifestGroupSpec>(
    "KubernetesManifestGroups",
    (specs) => specs.KubernetesManifestGroupSpecSchema
  ),
  KubernetesHealthCheck: kind<Specs.KubernetesHealthCheckSpec>(
    "KubernetesHealthChecks",
    (specs) => specs.KubernetesHealthCheckSpecSchema
  ),
  TalosVersion: kind<Specs.TalosVersionSpec>("TalosVersions", (specs) => specs.TalosVersionSpecSchema),
  TalosExtensions: kind<Specs.TalosExtensionsSpec>("TalosExtensions", (specs) => specs.TalosExtensionsSpecSchema),
  TalosUpgradeStatus: kind<Specs.TalosUpgradeStatusSpec>(
    "TalosUpgradeStatuses",
    (specs) => specs.TalosUpgradeStatusSpecSchema
  ),
  KubernetesUpgradeStatus: kind<Specs.KubernetesUpgradeStatusSpec>(
    "KubernetesUpgradeStatuses",
    (specs) => specs.KubernetesUpgradeStatusSpecSchema
  ),
  ControlPlaneStatus: kind<Specs.ControlPlaneStatusSpec>(
    "ControlPlaneStatuses",
    (specs) => specs.ControlPlaneStatusSpecSchema
  ),
  Link: kind<Specs.LinkSpec>("Links", (specs) => specs.LinkSpecSchema),
  /** The release of the server, as the resource `current`. */
  SysVersion: {
    type: "SysVersions.system.sidero.dev",
    namespace: "ephemeral",
    schema: (specs) => specs.SysVersionSpecSchema
  } as Kind<Specs.SysVersionSpec>
} as const

// -----------------------------------------------------------------------------
// Numbers of the wire
// -----------------------------------------------------------------------------

export const eventType = { created: 0, updated: 1, destroyed: 2, bootstrapped: 3, errored: 4, noop: 5 } as const

export const labelOperation = { exists: 0, equal: 1 } as const

// -----------------------------------------------------------------------------
// Bytes
// -----------------------------------------------------------------------------

const iso = (time: { readonly seconds: bigint; readonly nanos: number } | undefined): string | undefined => {
  const date = new Date(time === undefined ? Number.NaN : Number(time.seconds) * 1000 + time.nanos / 1e6)
  return Number.isNaN(date.getTime()) ? undefined : date.toISOString()
}

const noSpec = new Uint8Array()

/** Reads a resource; throws where its bytes are not those of its kind. A tombstone has an empty spec. */
export const decode = <Spec extends Message>(
  { protobuf, specs }: Protos,
  kind: Kind<Spec>,
  { metadata, spec }: WireResource
): Resource<Spec> => ({
  metadata: {
    namespace: metadata?.namespace ?? kind.namespace,
    type: metadata?.type ?? kind.type,
    id: metadata?.id ?? "",
    version: metadata?.version ?? "undefined",
    owner: metadata?.owner ?? "",
    phase: metadata?.phase === "tearingDown" ? "tearingDown" : "running",
    labels: metadata?.labels ?? {},
    annotations: metadata?.annotations ?? {},
    finalizers: metadata?.finalizers ?? [],
    created: iso(metadata?.created)
  },
  spec: protobuf.fromBinary(kind.schema(specs), spec?.protoSpec ?? noSpec),
  yaml: spec?.yamlSpec ?? ""
})

/** The name of a resource in errors: `ConfigPatch 200-cluster-dev-dns`. */
export const subjectName = (kind: Kind<never>, id: string): string => {
  const known = Object.entries(Kinds).find(([, each]) => each.type === kind.type)
  return `${known?.[0] ?? kind.type} ${id}`
}

type Fields = Readonly<Record<string, unknown>>

/** Copies what a message has beyond this version's fields, in the message and in those inside of it. */
const copyUnknown = (schema: DescMessage, from: Fields, to: Record<string, unknown>): void => {
  if (Array.isArray(from.$unknown) && from.$unknown.length > 0) to.$unknown = from.$unknown
  for (const field of schema.fields) {
    const [old, next] = [from[field.localName], to[field.localName]]
    if (field.fieldKind !== "message" || typeof old !== "object" || old === null) continue
    if (typeof next === "object" && next !== null) {
      copyUnknown(field.message, old as Fields, next as Record<string, unknown>)
    }
  }
}

/** A spec that replaces another one and keeps what a newer server has stored in fields that are unknown here. */
export const replacing = <Spec extends Message>(
  { protobuf, specs }: Protos,
  kind: Kind<Spec>,
  old: Spec,
  next: SpecInit<Spec>
): SpecInit<Spec> => {
  const schema = kind.schema(specs)
  const message = protobuf.create(schema, next)
  copyUnknown(schema, old as unknown as Fields, message as unknown as Record<string, unknown>)
  return message as SpecInit<Spec>
}

/** The bytes of a resource as it is to be stored. */
export const encode = <Spec extends Message>(
  { protobuf, specs, wkt }: Protos,
  kind: Kind<Spec>,
  { metadata, spec }: Changed<Spec>
) => {
  const schema = kind.schema(specs)
  return {
    metadata: {
      namespace: metadata.namespace,
      type: metadata.type,
      id: metadata.id,
      version: metadata.version,
      // An owner, once given, would shut out whoever gave it.
      owner: "",
      phase: metadata.phase,
      labels: { ...metadata.labels },
      annotations: { ...metadata.annotations },
      finalizers: [...metadata.finalizers],
      ...(metadata.created === undefined ? {} : { created: wkt.timestampFromDate(new Date(metadata.created)) }),
      // Stored as it is sent: left out, it would be 1970.
      updated: wkt.timestampFromDate(new Date())
    },
    spec: { protoSpec: protobuf.toBinary(schema, protobuf.create(schema, spec)) }
  }
}
