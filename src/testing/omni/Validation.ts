/**
 * The validations of a fake Omni, beside the rules of the store itself: one rule a kind.
 *
 * Source: Omni 1.9.3 as recorded.
 */
import { kindOf, typeOf } from "./Access.ts"
import { makeClusterRules } from "./ClusterRules.ts"
import { patchFaults } from "./ConfigPatchRules.ts"
import { label } from "./Labels.ts"
import type { Machine } from "./Machines.ts"
import { makeMachineSetRules } from "./MachineSetRules.ts"
import { invalid, missingText } from "./Refusal.ts"
import { selectorFault } from "./Selector.ts"
import type { Key, Store, Stored } from "./Store.ts"
import type { Wire } from "./Wire.ts"

export interface Validation {
  /** Throws a refusal where a resource may not be stored. */
  readonly checkWrite: (resource: Stored, on: "create" | "update") => void
  /** Throws a refusal where a resource may not be torn down or destroyed. */
  readonly checkRemoval: (key: Key) => void
}

interface Rules {
  readonly createFaults: (resource: Stored) => ReadonlyArray<string>
  readonly updateFaults: (resource: Stored, old: Stored) => ReadonlyArray<string>
  readonly removalFaults?: (found: Stored) => ReadonlyArray<string>
}

const quoted = (text: string): string => JSON.stringify(text)

export const makeValidation = (options: {
  readonly wire: Wire
  readonly store: Store
  readonly machines: ReadonlyMap<string, Machine>
  /** The system extensions that the server's image factory offers. */
  readonly extensions: ReadonlySet<string>
}): Validation => {
  const { extensions, machines, store, wire } = options
  const { fromBinary } = wire.protobuf
  const find = (kind: string, id: string) => store.get({ namespace: "default", type: typeOf(kind), id })

  const tearingDown = ({ metadata }: Stored): ReadonlyArray<string> => {
    const cluster = metadata.labels[label.cluster] ?? ""
    return find("Clusters", cluster)?.metadata.phase === "tearingDown"
      ? [`cluster ${quoted(cluster)} is tearing down`]
      : []
  }

  const ofPatch = ({ spec }: Stored): ReadonlyArray<string> =>
    patchFaults(wire, fromBinary(wire.specs.ConfigPatchSpecSchema, spec).data).faults

  const ofExtensions = ({ metadata, spec }: Stored): ReadonlyArray<string> => {
    const wanted = fromBinary(wire.specs.ExtensionsConfigurationSpecSchema, spec).extensions
    if (wanted.length === 0) return []
    const cluster = metadata.labels[label.cluster]
    if (cluster === undefined) {
      return ["extensions configuration with a non-empty extensions list must target a cluster via the cluster label"]
    }
    const stored = find("Clusters", cluster)
    if (stored === undefined) return [`cluster ${quoted(cluster)} does not exist`]
    const { talosVersion } = fromBinary(wire.specs.ClusterSpecSchema, stored.spec)
    return wanted.flatMap((name, index) =>
      extensions.has(name)
        ? []
        : [`extension ${quoted(name)} (entry ${index}) is not available for Talos version ${quoted(talosVersion)}`]
    )
  }

  const ofClass = ({ spec }: Stored): ReadonlyArray<string> => {
    const { autoProvision, matchLabels } = fromBinary(wire.specs.MachineClassSpecSchema, spec)
    if (autoProvision === undefined && matchLabels.length === 0) {
      return ["machine class should either have auto provision or match labels set"]
    }
    if (autoProvision !== undefined && matchLabels.length > 0) {
      return ["can't set both auto provision and match labels at the same time"]
    }
    if (autoProvision !== undefined) {
      const key = {
        namespace: "infra-provider",
        type: typeOf("InfraProviderStatuses"),
        id: autoProvision.providerId
      }
      return store.get(key) === undefined ? [`failed to get provider: failed to get: ${missingText(key)}`] : []
    }
    return matchLabels.flatMap((selector) => {
      const fault = selectorFault(selector)
      return fault === undefined
        ? []
        : [`failed to parse matchLabels: rpc error: code = InvalidArgument desc = ${fault}`]
    })
  }

  const classRemoval = ({ metadata }: Stored): ReadonlyArray<string> => {
    const users = store.list(typeOf("MachineSets"), "default").filter(({ spec }) =>
      fromBinary(wire.specs.MachineSetSpecSchema, spec).machineAllocation?.name === metadata.id
    )
    return users.length === 0 ? [] : [
      `can not delete the machine class as it is still in use by machine sets: ${
        users.map(({ metadata: { id } }) => id).join(", ")
      }`
    ]
  }

  const { node, set } = makeMachineSetRules(wire, store, machines)
  const rules = new Map<string, Rules>([
    ["Clusters", makeClusterRules(wire, store)],
    ["MachineSets", set],
    ["MachineSetNodes", node],
    ["ConfigPatches", {
      createFaults: (resource) => [...tearingDown(resource), ...ofPatch(resource)],
      updateFaults: ofPatch
    }],
    ["ExtensionsConfigurations", { createFaults: ofExtensions, updateFaults: ofExtensions }],
    ["MachineClasses", { createFaults: ofClass, updateFaults: ofClass, removalFaults: classRemoval }]
  ])

  return {
    checkWrite: (resource, on) => {
      const rule = rules.get(kindOf(resource.metadata.type))
      if (rule === undefined) return
      const old = on === "update" ? store.get(resource.metadata) : undefined
      // A resource that is torn down is not validated again: its controllers have to remove their finalizers.
      if (on === "update" && (old === undefined || resource.metadata.phase !== "running")) return
      const faults = old === undefined ? rule.createFaults(resource) : rule.updateFaults(resource, old)
      if (faults.length > 0) throw invalid(...faults)
    },
    checkRemoval: (key) => {
      const found = store.get(key)
      const faults = found === undefined ? [] : rules.get(kindOf(key.type))?.removalFaults?.(found) ?? []
      if (faults.length > 0) throw invalid(...faults)
    }
  }
}
