/**
 * Between the resources of a fake Omni and the messages of the wire.
 *
 * Specs are bytes in the store. On reads the server adds the spec as YAML, with every field under its lower-cased name.
 */
import type { DescField, DescMessage, Message } from "@bufbuild/protobuf"
import type { GenMessage } from "@bufbuild/protobuf/codegenv2"
import type { ReflectMessage } from "@bufbuild/protobuf/reflect"
import { loadPackage } from "../../internal/LoadPackage.ts"
import type { Metadata as WireMetadata, Resource as WireResource } from "../../omni/proto/cosi_pb.ts"
import { kindOf } from "./Access.ts"
import { code, Refusal } from "./Refusal.ts"
import type { Metadata, Stored } from "./Store.ts"

export interface Wire {
  readonly protobuf: typeof import("@bufbuild/protobuf")
  readonly reflect: typeof import("@bufbuild/protobuf/reflect")
  readonly wkt: typeof import("@bufbuild/protobuf/wkt")
  readonly yaml: typeof import("yaml")
  readonly cosi: typeof import("../../omni/proto/cosi_pb.ts")
  readonly management: typeof import("../../omni/proto/management_pb.ts")
  readonly specs: typeof import("../../omni/proto/specs_pb.ts")
}

export const loadWire = async (): Promise<Wire> => {
  const [protobuf, reflect, wkt, yaml, cosi, management, specs] = await Promise.all([
    import("@bufbuild/protobuf"),
    import("@bufbuild/protobuf/reflect"),
    import("@bufbuild/protobuf/wkt"),
    loadPackage<typeof import("yaml")>("yaml"),
    import("../../omni/proto/cosi_pb.ts"),
    import("../../omni/proto/management_pb.ts"),
    import("../../omni/proto/specs_pb.ts")
  ])
  return { protobuf, reflect, wkt, yaml, cosi, management, specs }
}

/** The names of spec messages that do not follow from the kind. */
const schemaNames: Readonly<Record<string, string>> = {
  ClusterDestroyStatuses: "DestroyStatus",
  ConfigPatches: "ConfigPatch",
  KernelArgs: "KernelArgs",
  MachineClasses: "MachineClass",
  MachineLabels: "MachineLabels",
  MachineSetDestroyStatuses: "DestroyStatus",
  "SysVersions.system.sidero.dev": "SysVersion"
}

/** Namespaces of kinds that are not in `default`. */
const namespaces: Readonly<Record<string, string>> = {
  EtcdBackups: "external",
  EtcdBackupStatuses: "metrics",
  EtcdManualBackups: "ephemeral",
  InfraProviderStatuses: "infra-provider",
  MachineSetDestroyStatuses: "ephemeral",
  "SysVersions.system.sidero.dev": "ephemeral"
}

/** The namespace that Omni keeps a kind in. */
export const namespaceOf = (kind: string): string => namespaces[kind] ?? "default"

/** The schema of a kind's spec; undefined if the kind's spec is of no interest. */
export const schemaOf = ({ specs }: Wire, type: string): GenMessage<Message> | undefined => {
  const kind = kindOf(type)
  const name = schemaNames[kind] ?? (kind.endsWith("Statuses") ? kind.slice(0, -2) : kind.replace(/s$/, ""))
  return specs[`${name}SpecSchema` as keyof typeof specs] as unknown as GenMessage<Message> | undefined
}

/** A field as the server writes it in YAML: also where it is not set. */
const yamlValue = (wire: Wire, message: ReflectMessage, field: DescField): unknown => {
  switch (field.fieldKind) {
    case "message":
      return message.isSet(field) ? yamlFields(wire, message.get(field).message) : null
    case "list":
      return [...message.get(field)].map((item) =>
        field.listKind === "message" ? yamlFields(wire, (item as ReflectMessage).message) : item
      )
    case "map":
      return Object.fromEntries(
        [...message.get(field)].map(([key, value]) => [
          key,
          field.mapKind === "message" ? yamlFields(wire, (value as ReflectMessage).message) : value
        ])
      )
    default: {
      const value = message.get(field)
      return value instanceof Uint8Array ? [...value] : typeof value === "bigint" ? Number(value) : value
    }
  }
}

const yamlFields = (wire: Wire, message: Message): unknown => {
  if (wire.protobuf.isMessage(message, wire.wkt.DurationSchema)) {
    return { seconds: Number(message.seconds), nanos: message.nanos }
  }
  const schema: DescMessage | undefined = wire.specs.file_specs.messages
    .flatMap((each) => [each, ...each.nestedMessages.flatMap((inner) => [inner, ...inner.nestedMessages])])
    .find(({ typeName }) => typeName === message.$typeName)
  if (schema === undefined) return wire.protobuf.toJson(wire.wkt.TimestampSchema, message as never)
  const reflected = wire.reflect.reflect(schema, message as never)
  return Object.fromEntries(
    schema.fields.map((field) => [field.name.replaceAll("_", "").toLowerCase(), yamlValue(wire, reflected, field)])
  )
}

const yamlOf = (wire: Wire, { metadata, spec }: Stored): string => {
  const schema = schemaOf(wire, metadata.type)
  return schema === undefined
    ? "{}\n"
    : wire.yaml.stringify(yamlFields(wire, wire.protobuf.fromBinary(schema, spec)), { indent: 4 })
}

/** The metadata of a resource that does not exist. */
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

/** A new resource may have any number, which is not kept; "undefined" never equals a stored version. */
const versionOf = ({ version }: WireMetadata): number => {
  if (version === "undefined") return 0
  if (!/^\d+$/.test(version)) {
    throw new Refusal(
      code.unknown,
      `error parsing version: strconv.ParseInt: parsing ${JSON.stringify(version)}: invalid syntax`
    )
  }
  return Number(version)
}

/** A resource as a client sent it. */
export const fromWire = (wire: Wire, resource: WireResource | undefined, on: "create" | "update"): Stored => {
  const metadata = resource?.metadata
  if (metadata === undefined) throw new Refusal(code.unknown, "metadata is missing")
  if (resource?.spec === undefined) throw new Refusal(code.unknown, "spec is missing")
  const version = versionOf(metadata)
  if (metadata.phase !== "running" && metadata.phase !== "tearingDown") {
    throw new Refusal(code.unknown, `unknown phase: ${metadata.phase}`)
  }
  const { id, namespace, owner, type } = metadata
  if (on === "create" && owner !== "") {
    throw new Refusal(
      code.unknown,
      `failed to set owner on create "${type}(${namespace}/${id}@undefined)": owner is already set to ${
        JSON.stringify(owner)
      }`
    )
  }
  const schema = schemaOf(wire, type)
  const spec = resource.spec.protoSpec
  if (schema !== undefined) {
    try {
      wire.protobuf.fromBinary(schema, spec)
    } catch {
      throw new Refusal(code.unknown, "unexpected EOF")
    }
  }
  const made: Metadata = {
    namespace,
    type,
    id,
    version,
    owner,
    phase: metadata.phase,
    created: 0,
    updated: metadata.updated === undefined ? 0 : wire.wkt.timestampDate(metadata.updated).getTime(),
    finalizers: metadata.finalizers,
    labels: metadata.labels,
    annotations: metadata.annotations
  }
  return { metadata: made, spec }
}
