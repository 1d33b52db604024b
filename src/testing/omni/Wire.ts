/**
 * Between the resources of a fake Omni and the messages of the wire, and the gRPC services that carry them.
 *
 * Specs are bytes in the store. On reads a server adds the spec as YAML, with the lower-cased names of its own fields;
 * what a client reads of that is the data of config patches.
 */
import type { DescService, Message } from "@bufbuild/protobuf"
import type { GenMessage } from "@bufbuild/protobuf/codegenv2"
import type * as Grpc from "@grpc/grpc-js"
import type { Metadata as WireMetadata, Resource as WireResource } from "../../omni/proto/cosi_pb.ts"
import { code, Refusal } from "./Refusal.ts"
import type { Metadata, Stored } from "./Store.ts"

export interface Wire {
  readonly grpc: typeof import("@grpc/grpc-js")
  readonly protobuf: typeof import("@bufbuild/protobuf")
  readonly wkt: typeof import("@bufbuild/protobuf/wkt")
  readonly yaml: typeof import("yaml")
  readonly cosi: typeof import("../../omni/proto/cosi_pb.ts")
  readonly management: typeof import("../../omni/proto/management_pb.ts")
  readonly specs: typeof import("../../omni/proto/specs_pb.ts")
}

export const loadWire = async (): Promise<Wire> => {
  const [grpc, protobuf, wkt, yaml, cosi, management, specs] = await Promise.all([
    import("@grpc/grpc-js"),
    import("@bufbuild/protobuf"),
    import("@bufbuild/protobuf/wkt"),
    import("yaml"),
    import("../../omni/proto/cosi_pb.ts"),
    import("../../omni/proto/management_pb.ts"),
    import("../../omni/proto/specs_pb.ts")
  ])
  return { grpc, protobuf, wkt, yaml, cosi, management, specs }
}

/** What grpc-js wants to know of a service. */
export const definitionOf = ({ protobuf }: Wire, service: DescService): Grpc.ServiceDefinition =>
  Object.fromEntries(service.methods.map((method) => [method.name, {
    path: `/${service.typeName}/${method.name}`,
    requestStream: method.methodKind === "client_streaming" || method.methodKind === "bidi_streaming",
    responseStream: method.methodKind === "server_streaming" || method.methodKind === "bidi_streaming",
    requestSerialize: (message: Message) => Buffer.from(protobuf.toBinary(method.input, message)),
    requestDeserialize: (bytes: Buffer) => protobuf.fromBinary(method.input, bytes),
    responseSerialize: (message: Message) => Buffer.from(protobuf.toBinary(method.output, message)),
    responseDeserialize: (bytes: Buffer) => protobuf.fromBinary(method.output, bytes)
  }]))

const schemaNames: Readonly<Record<string, string>> = {
  Clusters: "ClusterSpec",
  ClusterStatuses: "ClusterStatusSpec",
  ClusterDestroyStatuses: "DestroyStatusSpec",
  MachineSets: "MachineSetSpec",
  MachineSetStatuses: "MachineSetStatusSpec",
  MachineSetNodes: "MachineSetNodeSpec",
  ClusterMachineStatuses: "ClusterMachineStatusSpec",
  MachineStatuses: "MachineStatusSpec",
  ConfigPatches: "ConfigPatchSpec",
  MachineClasses: "MachineClassSpec",
  TalosVersions: "TalosVersionSpec",
  ControlPlaneStatuses: "ControlPlaneStatusSpec",
  TalosUpgradeStatuses: "TalosUpgradeStatusSpec",
  KubernetesUpgradeStatuses: "KubernetesUpgradeStatusSpec",
  ExtensionsConfigurations: "ExtensionsConfigurationSpec",
  KernelArgs: "KernelArgsSpec",
  MachineInstallDiskConfigs: "MachineInstallDiskConfigSpec",
  Links: "LinkSpec"
}

/** The schema of a kind's spec; undefined where the kind is known and its spec is of no interest. */
export const schemaOf = ({ specs }: Wire, type: string): GenMessage<Message> | undefined => {
  const name = schemaNames[type.split(".")[0] ?? ""]
  return name === undefined ? undefined : specs[`${name}Schema` as keyof typeof specs] as unknown as GenMessage<Message>
}

/** A spec's fields under the names that a server writes in YAML. */
const yamlOf = (wire: Wire, { metadata, spec }: Stored): string => {
  const schema = schemaOf(wire, metadata.type)
  if (schema === undefined || spec.length === 0) return "{}\n"
  const json = wire.protobuf.toJson(schema, wire.protobuf.fromBinary(schema, spec), { enumAsInteger: true })
  const lowered = (value: unknown): unknown =>
    Array.isArray(value)
      ? value.map(lowered)
      : typeof value === "object" && value !== null
      ? Object.fromEntries(Object.entries(value).map(([name, each]) => [name.toLowerCase(), lowered(each)]))
      : value
  return wire.yaml.stringify(lowered(json), { indent: 4 })
}

/** The metadata without a spec: what stands for a resource that is not there. */
export const tombstone = ({ cosi, protobuf }: Wire, key: { namespace: string; type: string; id: string }) =>
  protobuf.create(cosi.ResourceSchema, { metadata: { ...key, version: "undefined", phase: "running" }, spec: {} })

export const toWire = (wire: Wire, stored: Stored): WireResource => {
  const { created, finalizers, updated, version, ...metadata } = stored.metadata
  const time = (millis: number) => wire.wkt.timestampFromDate(new Date(millis))
  return wire.protobuf.create(wire.cosi.ResourceSchema, {
    metadata: {
      ...metadata,
      labels: { ...metadata.labels },
      annotations: { ...metadata.annotations },
      finalizers: [...finalizers],
      version: String(version),
      created: time(created),
      updated: time(updated)
    },
    spec: { protoSpec: stored.spec, yamlSpec: yamlOf(wire, stored) }
  })
}

const versionOf = ({ version }: WireMetadata, on: "create" | "update"): number => {
  if (on === "create" && version === "undefined") return 1
  if (on === "update" && version === "undefined") return 0
  if (!/^\d+$/.test(version)) {
    throw new Refusal(code.unknown, `error parsing version ${JSON.stringify(version)}: strconv.ParseUint`)
  }
  return Number(version)
}

/** A resource as a client sent it. */
export const fromWire = (wire: Wire, resource: WireResource | undefined, on: "create" | "update"): Stored => {
  const metadata = resource?.metadata
  if (metadata === undefined) throw new Refusal(code.unknown, "metadata is missing")
  if (resource?.spec === undefined) throw new Refusal(code.unknown, "spec is missing")
  if (metadata.phase !== "running" && metadata.phase !== "tearingDown") {
    throw new Refusal(code.unknown, `unknown phase ${JSON.stringify(metadata.phase)}`)
  }
  if (on === "create" && metadata.owner !== "") throw new Refusal(code.unknown, "owner is already set")
  const schema = schemaOf(wire, metadata.type)
  const spec = resource.spec.protoSpec
  if (schema !== undefined) {
    try {
      wire.protobuf.fromBinary(schema, spec)
    } catch {
      throw new Refusal(code.unknown, "unexpected EOF")
    }
  }
  const made: Metadata = {
    namespace: metadata.namespace,
    type: metadata.type,
    id: metadata.id,
    version: versionOf(metadata, on),
    owner: metadata.owner,
    phase: metadata.phase,
    created: 0,
    updated: metadata.updated === undefined ? 0 : wire.wkt.timestampDate(metadata.updated).getTime(),
    finalizers: metadata.finalizers,
    labels: metadata.labels,
    annotations: metadata.annotations
  }
  return { metadata: made, spec }
}
