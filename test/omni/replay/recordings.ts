/** The recordings of Omni 1.9.3, and how a reply of the fake is compared with a recorded one. */
import { type Message, toJson } from "@bufbuild/protobuf"
import { readdirSync, readFileSync } from "node:fs"
import { parse } from "yaml"
import type { Resource } from "../../../src/omni/proto/cosi_pb.ts"
import { loadWire, schemaOf } from "../../../src/testing/omni/Wire.ts"

export type Json = Readonly<Record<string, unknown>>

export interface RecordedCall {
  readonly id: string
  readonly title: string
  readonly note?: boolean
  readonly call: string
  readonly request: Json
  readonly reply: Json
  readonly count?: number
}

export interface Recording {
  readonly scenario: string
  readonly title: string
  readonly calls: ReadonlyArray<RecordedCall>
}

const directory = new URL("../../recordings/omni-1.9.3/", import.meta.url)

export const recordings: ReadonlyArray<Recording> = readdirSync(directory)
  .filter((name) => name.endsWith(".json"))
  .sort()
  .map((name) => JSON.parse(readFileSync(new URL(name, directory), "utf8")) as Recording)

export const recording = (scenario: string): Recording => {
  const found = recordings.find((each) => each.scenario === scenario)
  if (found === undefined) throw new Error(`no recording ${scenario}`)
  return found
}

const wire = await loadWire()

/** A spec as the recordings write it: JSON with numbers for enums, without defaults. */
export const specOf = (resource: Resource): unknown => {
  const schema = schemaOf(wire, resource.metadata?.type ?? "")
  return schema === undefined
    ? {}
    : toJson(schema, wire.protobuf.fromBinary(schema, resource.spec?.protoSpec ?? new Uint8Array()), {
      enumAsInteger: true
    })
}

/** The bytes of a recorded spec. */
export const specBytes = (type: string, spec: unknown): Uint8Array => {
  const schema = schemaOf(wire, type)
  return schema === undefined
    ? new Uint8Array()
    : wire.protobuf.toBinary(schema, wire.protobuf.fromJson(schema, spec as never, { ignoreUnknownFields: true }))
}

// -----------------------------------------------------------------------------
// Comparison
// -----------------------------------------------------------------------------

/** Fields that the fake leaves out or writes differently, as its README documents. */
const ignored: ReadonlySet<string> = new Set([
  "annotations of MachineStatuses",
  "configHash",
  "confighash",
  "hardware",
  "hostname",
  "initialTalosVersion",
  "initialtalosversion",
  "managementAddress",
  "managementAddresses",
  "managementaddresses",
  "managementaddress",
  "network",
  "omni.sidero.dev/cores",
  "omni.sidero.dev/cpu",
  "omni.sidero.dev/mem",
  "omni.sidero.dev/storage",
  "skipaudit"
])

const isPlaceholder = (value: unknown): boolean => typeof value === "string" && /<[^>]+>/.test(value)

const isEmpty = (value: unknown): boolean =>
  value === undefined || value === null || value === false || value === 0 || value === "" ||
  Array.isArray(value) && value.length === 0 ||
  typeof value === "object" && value !== null && Object.keys(value).length === 0

/** The paths at which a value differs from a recorded one. Placeholders equal anything; defaults may be left out. */
export const differences = (expected: unknown, actual: unknown, path = ""): ReadonlyArray<string> => {
  if (expected === undefined || isPlaceholder(expected)) return []
  if (isEmpty(expected) && isEmpty(actual)) return []
  if (Array.isArray(expected)) {
    if (!Array.isArray(actual) || actual.length !== expected.length) {
      return [`${path}: ${JSON.stringify(actual)} instead of ${JSON.stringify(expected)}`]
    }
    return expected.flatMap((each, index) => differences(each, actual[index], `${path}[${index}]`))
  }
  if (typeof expected === "object" && expected !== null) {
    if (typeof actual !== "object" || actual === null) {
      return [`${path}: ${JSON.stringify(actual)} instead of ${JSON.stringify(expected)}`]
    }
    return Object.entries(expected).flatMap(([name, each]) =>
      ignored.has(name) ? [] : differences(each, (actual as Json)[name], `${path}.${name}`)
    )
  }
  return expected === actual ? [] : [`${path}: ${JSON.stringify(actual)} instead of ${JSON.stringify(expected)}`]
}

/** The parts of a text that the recordings promise. */
const fragments = [
  /^failed to (?:validate|create|update|destroy|get)/,
  /is not in phase \w+/,
  /pending finalizers/,
  /update conflict/,
  /doesn't exist/,
  /already exists/,
  /only read(?: and delete)? access is permitted/,
  /no access is permitted/,
  /insufficient role: "\w+"/,
  /is locked/,
  /is tearing down/,
  /is owned by "\w+"/,
  /\* [^\n]+/g,
  /EULA has not been accepted/,
  /etcd write throttled out/,
  /not managed by a static infra provider/,
  /failed to shutdown machine/,
  /^[a-z][^":<\n]{8,40}/
]

export const textDifferences = (expected: string, actual: string): ReadonlyArray<string> =>
  fragments.flatMap((pattern) =>
    (expected.match(pattern) ?? []).flatMap((fragment) =>
      isPlaceholder(fragment) || fragment.includes("yaml: ") || fragment.includes("decode error") ||
        actual.includes(fragment)
        ? []
        : [`message: ${JSON.stringify(actual)} lacks ${JSON.stringify(fragment)}`]
    )
  )

const same = (a: ReadonlyArray<string>, b: ReadonlyArray<string>) => [...a].sort().join() === [...b].sort().join()

/** Kinds whose finalizers the fake has as the server. */
const finalizersOf: ReadonlySet<string> = new Set([
  "Clusters.omni.sidero.dev",
  "ConfigPatches.omni.sidero.dev",
  "MachineClasses.omni.sidero.dev",
  "MachineSets.omni.sidero.dev"
])

/** How a resource differs from a recorded one. */
export const resourceDifferences = (expected: Json, actual: Resource | undefined): ReadonlyArray<string> => {
  const metadata = expected["metadata"] as Json
  const found = actual?.metadata
  if (actual === undefined || found === undefined) return ["no resource"]
  const labels = metadata["labels"] as Json
  const extra = Object.keys(found.labels).filter((name) => !(name in labels))
  const missing = Object.keys(labels).filter((name) => !(name in found.labels) && !ignored.has(name))
  const recordedYaml = typeof expected["yaml"] === "string" ? (parse(expected["yaml"]) as unknown) : undefined
  const finalizers = metadata["finalizers"] as ReadonlyArray<string> | string
  return [
    ...differences(
      {
        namespace: metadata["namespace"],
        type: metadata["type"],
        id: metadata["id"],
        version: metadata["version"],
        owner: metadata["owner"],
        phase: metadata["phase"],
        labels
      },
      found,
      "metadata"
    ),
    ...(String(metadata["type"]).startsWith("MachineStatuses")
      ? []
      : differences(metadata["annotations"], found.annotations, "annotations")),
    ...extra.map((name) => `metadata.labels.${name}: not recorded`),
    ...missing.map((name) => `metadata.labels.${name}: missing`),
    ...(Array.isArray(finalizers) && finalizersOf.has(String(metadata["type"])) && !finalizers.some(isPlaceholder) &&
        !same(finalizers as ReadonlyArray<string>, found.finalizers)
      ? [`finalizers: ${found.finalizers.join()} instead of ${finalizers.join()}`]
      : []),
    ...differences(expected["spec"], specOf(actual), "spec"),
    ...differences(recordedYaml, parse(actual.spec?.yamlSpec ?? ""), "yaml")
  ]
}

export const resourceOf = (answer: Message | undefined): Resource | undefined =>
  (answer as { readonly resource?: Resource } | undefined)?.resource
