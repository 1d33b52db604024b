/**
 * The refusals of a fake Omni for the data of a config patch: text that is not a configuration of Talos, and fields
 * that Omni sets.
 *
 * It knows the documents by kind, and the fields of the first two levels. Values are not checked, apart from a few that
 * must be mappings.
 * Source: Omni 1.9.3 as recorded; the configuration reference of Talos 1.12.
 */
import type { Wire } from "./Wire.ts"

const fields: Readonly<Record<string, ReadonlySet<string>>> = {
  machine: new Set(
    ("type token ca acceptedCAs certSANs controlPlane kubelet pods network disks install files env time sysctls sysfs " +
      "registries systemDiskEncryption features udev logging kernel seccompProfiles baseRuntimeSpecOverrides " +
      "nodeLabels nodeAnnotations nodeTaints").split(" ")
  ),
  cluster: new Set(
    ("id secret controlPlane clusterName network token aescbcEncryptionSecret secretboxEncryptionSecret ca acceptedCAs " +
      "aggregatorCA serviceAccount apiServer controllerManager proxy scheduler discovery etcd coreDNS " +
      "externalCloudProvider extraManifests extraManifestHeaders inlineManifests adminKubeconfig " +
      "allowSchedulingOnMasters allowSchedulingOnControlPlanes").split(" ")
  )
}

const scalars: ReadonlySet<string> = new Set(["version", "debug", "persist"])

/** Fields of `machine` that are mappings of texts. */
const mappings = ["env", "sysctls", "sysfs", "nodeLabels", "nodeAnnotations", "nodeTaints"]

const kinds: ReadonlySet<string> = new Set(
  ("BondConfig BridgeConfig DHCPv4Config DHCPv6Config DummyLinkConfig EnvironmentConfig EthernetConfig EventSinkConfig " +
    "ExistingVolumeConfig ExtensionServiceConfig HCloudVIPConfig HostnameConfig KmsgLogConfig Layer2VIPConfig " +
    "LinkAliasConfig LinkConfig NetworkDefaultActionConfig NetworkRuleConfig OOMConfig PCIDriverRebindConfig " +
    "RawVolumeConfig RegistryAuthConfig RegistryMirrorConfig RegistryTLSConfig ResolverConfig SideroLinkConfig " +
    "StaticHostConfig SwapVolumeConfig TimeSyncConfig TrustedRootsConfig UserVolumeConfig VLANConfig VolumeConfig " +
    "WatchdogTimerConfig WireguardConfig ZswapConfig").split(" ")
)

/** The fields that a patch must not set. `machine.install.disk` is allowed on servers up to 1.9. */
const forbidden = [
  "cluster.clusterName",
  "cluster.id",
  "cluster.controlPlane.endpoint",
  "cluster.token",
  "cluster.secret",
  "cluster.aescbcEncryptionSecret",
  "cluster.secretboxEncryptionSecret",
  "cluster.ca",
  "cluster.acceptedCAs",
  "cluster.serviceAccount",
  "machine.token",
  "machine.ca",
  "machine.type",
  "machine.install.extensions",
  "machine.acceptedCAs"
]

type Fields = Readonly<Record<string, unknown>>

const isMapping = (value: unknown): value is Fields =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const unknownFields = (config: Fields): Fields => {
  const unknown: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(config)) {
    const known = fields[name]
    if (known === undefined) {
      if (!scalars.has(name)) unknown[name] = value
    } else if (isMapping(value)) {
      const inner = Object.entries(value).filter(([field]) => !known.has(field) && field !== "$patch")
      if (inner.length > 0) unknown[name] = Object.fromEntries(inner)
    }
  }
  return unknown
}

const lookUp = (config: Fields, path: string): unknown =>
  path.split(".").reduce<unknown>((value, name) => isMapping(value) ? value[name] : undefined, config)

/**
 * The faults of a patch; none if Omni takes it. One that cannot be decoded has one fault, and `decoding` is true; fields
 * that Omni sets itself are listed all at once.
 */
export const patchFaults = (
  { yaml }: Wire,
  text: string
): { readonly decoding: boolean; readonly faults: ReadonlyArray<string> } => {
  const undecodable = (fault: string) => ({ decoding: true, faults: [fault] })
  const lines = new yaml.LineCounter()
  const documents = yaml.parseAllDocuments(text, { lineCounter: lines })
  const faults: Array<string> = []
  let found = 0
  for (const document of Array.isArray(documents) ? documents : []) {
    const [error] = document.errors
    if (error !== undefined) return undecodable(`decode error: yaml: ${error.message.split("\n")[0] ?? ""}`)
    const start = document.contents?.range?.[0]
    const config: unknown = document.toJS()
    if (start === undefined || config === null || config === undefined) continue
    found++
    const { line } = lines.linePos(start)
    if (!isMapping(config)) return undecodable(`expected a YAML document at line ${line}`)
    const of = (name: string) => `error decoding document ${name} (line ${line}): `
    const { apiVersion, kind } = config
    if (kind !== undefined || apiVersion !== undefined) {
      if (typeof kind !== "string") return undecodable(`${of("/v1alpha1/")}missing kind`)
      const version = String(apiVersion)
      if (!kinds.has(kind) || version !== "v1alpha1") {
        const name = typeof config["name"] === "string" ? config["name"] : ""
        return undecodable(`${of(`${version}/${kind}/${name}`)}"${kind}" "${version}": not registered`)
      }
      continue
    }
    for (const field of mappings) {
      const value = lookUp(config, `machine.${field}`)
      if (value !== undefined && value !== null && !isMapping(value)) {
        return undecodable(
          `${of("/v1alpha1/")}error decoding  to *v1alpha1.Config: yaml: construct errors:\n  cannot construct ${
            Array.isArray(value) ? "!!seq" : "!!str"
          } into map[string]string`
        )
      }
    }
    const unknown = unknownFields(config)
    if (Object.keys(unknown).length > 0) {
      return undecodable(
        `${of("/v1alpha1/")}unknown keys found during decoding:\n${yaml.stringify(unknown, { indent: 4 })}`
      )
    }
    for (const path of forbidden) {
      if (lookUp(config, path) !== undefined) {
        faults.push(`overriding "${path}" is not allowed in the config patch`)
      }
    }
  }
  return found === 0 ? undecodable("config not found") : { decoding: false, faults }
}
