/**
 * Validates a template without a server: names, versions, machines, patches.
 *
 * It works on a draft, of which any part may be missing, so that all issues are reported at once. `Preflight.ts` checks
 * whether versions, classes and machines exist.
 * Source: Sidero Omni documentation, "Cluster templates".
 */
import { maxNameLength } from "../../Model.ts"
import { reserved } from "../Labels.ts"
import { parseGoDuration } from "./GoDuration.ts"
import { type Add, dotted, type Path, shown } from "./Issue.ts"
import type { Draft, Patch, Template, TemplateMachine, TemplateWorkers } from "./Model.ts"
import { patchesOf } from "./Patches.ts"
import { parseVersion } from "./Versions.ts"

const uuid = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i

const mostIdBytes = 1024
const mostLabels = 256
// Invisible characters and changes of the text direction would disguise an id.
const unseen = /[^\p{L}\p{M}\p{N}\p{P}\p{S} ]/u

const bytes = (text: string): number => new TextEncoder().encode(text).length

type MachineSetDraft = Omit<Draft<TemplateWorkers>, "name" | "deleteStrategy">

interface PlacedSet {
  readonly set: MachineSetDraft
  readonly path: Path
  readonly isControlPlane: boolean
}

const setsOf = (draft: Draft<Template>): ReadonlyArray<PlacedSet> => [
  ...(draft.controlPlane === undefined
    ? []
    : [{ set: draft.controlPlane, path: ["controlPlane"], isControlPlane: true }]),
  ...(draft.workers ?? []).flatMap((set, index) =>
    set === undefined ? [] : [{ set, path: ["workers", index], isControlPlane: false }]
  )
]

const machinesOf = (draft: Draft<Template>) =>
  (draft.machines ?? []).flatMap((machine, index) =>
    machine === undefined ? [] : [{ machine, path: ["machines", index] as Path }]
  )

// -----------------------------------------------------------------------------
// Parts
// -----------------------------------------------------------------------------

const checkCluster = (cluster: Draft<Template["cluster"]>, add: Add) => {
  const path: Path = ["cluster"]
  const { name } = cluster
  if (name === undefined) add([...path, "name"], "a cluster needs a name")
  else if (name.length > maxNameLength || !/^[\p{L}\p{N}](?:[\p{L}\p{N}_-]*[\p{L}\p{N}])?$/u.test(name)) {
    add(
      [...path, "name"],
      `${
        shown(name)
      } cannot be a cluster's name: 1 to 63 letters, digits, \`-\` and \`_\`, with a letter or digit at both ends`
    )
  }
  const talos = cluster.talos?.version
  if (talos === undefined) add([...path, "talos", "version"], "a cluster needs a Talos version")
  else if (!talos.startsWith("v") || parseVersion(talos) === undefined) {
    const meant = parseVersion(talos) === undefined ? "" : `; did you mean v${talos}?`
    add([...path, "talos", "version"], `${shown(talos)} is not a Talos version such as v1.12.1${meant}`)
  }
  const kubernetes = cluster.kubernetes?.version
  if (kubernetes === undefined) add([...path, "kubernetes", "version"], "a cluster needs a Kubernetes version")
  else if (parseVersion(kubernetes) === undefined) {
    add([...path, "kubernetes", "version"], `${shown(kubernetes)} is not a Kubernetes version such as v1.34.1`)
  }
  const parsed = talos === undefined ? undefined : parseVersion(talos)
  if (cluster.features?.diskEncryption === true && parsed !== undefined && parsed.major === 1 && parsed.minor < 5) {
    add([...path, "features", "diskEncryption"], "disk encryption needs Talos 1.5.0 or newer")
  }
  checkInterval(
    cluster.features?.backupConfiguration?.interval,
    [...path, "features", "backupConfiguration", "interval"],
    add
  )
}

const checkTexts = (
  owner: { readonly labels?: unknown; readonly annotations?: unknown } | undefined,
  path: Path,
  add: Add
) => {
  for (const field of ["labels", "annotations"] as const) {
    const entries = Object.keys(owner?.[field] as Readonly<Record<string, string>> | undefined ?? {})
    if (entries.length > mostLabels) add([...path, field], `${entries.length} are too many (${mostLabels})`)
    for (const key of entries) {
      const prefix = reserved.find((each) => key.startsWith(each))
      if (key === "") add([...path, field], "a key is empty")
      else if (prefix !== undefined) add([...path, field, key], `keys that begin with ${prefix} are not for templates`)
    }
  }
}

const checkWords = (
  owner: { readonly systemExtensions?: unknown; readonly kernelArgs?: unknown } | undefined,
  path: Path,
  add: Add
) => {
  for (const field of ["systemExtensions", "kernelArgs"] as const) {
    const words = owner?.[field] as ReadonlyArray<string | undefined> | undefined ?? []
    words.forEach((word, index) => {
      if (word !== undefined && (word.trim() === "" || unseen.test(word))) {
        add([...path, field, index], `${shown(word)} is empty or has characters that cannot be seen`)
      }
    })
  }
}

const checkSet = (placed: PlacedSet, clusterHasKernelArgs: boolean, add: Add) => {
  const { path, set } = placed
  if (set.machines !== undefined && set.machineClass !== undefined) {
    add([...path, "machineClass"], "a set has either `machines` or a `machineClass`, not both")
  }
  if (set.machineClass !== undefined) {
    const { name, size } = set.machineClass
    if (name === undefined || name === "") add([...path, "machineClass", "name"], "a machine class needs a name")
    if (size === undefined) {
      add([...path, "machineClass", "size"], "how many machines of the class: a number, or unlimited")
    }
    if (set.kernelArgs !== undefined) {
      add([...path, "kernelArgs"], "kernel arguments need a set with listed machines; this one has a machine class")
    } else if (clusterHasKernelArgs) {
      add([...path, "machineClass"], "kernel arguments of the cluster need sets with listed machines")
    }
  }
  checkTexts(set, path, add)
  checkWords(set, path, add)
}

const checkWorkerNames = (draft: Draft<Template>, add: Add) => {
  const names = new Map<string, Path>()
  ;(draft.workers ?? []).forEach((workers, index) => {
    if (workers === undefined) return
    const path: Path = workers.name === undefined ? ["workers", index] : ["workers", index, "name"]
    const name = workers.name ?? "workers"
    if (name === "control-planes") add(path, "`control-planes` is the name of the control plane's set")
    else if (!/^[\p{L}\p{N}._-]+$/u.test(name)) {
      add(path, `${shown(name)} cannot be a set's name: letters, digits, \`.\`, \`-\` and \`_\``)
    }
    const other = names.get(name)
    if (other === undefined) names.set(name, path)
    else if (workers.name === undefined || (draft.workers?.[Number(other[1])])?.name === undefined) {
      add(path, `a second set without a name or called workers; give each its own \`name\``)
    } else add(path, `a second set called ${name}`)
  })
}

const checkId = (id: string, path: Path, add: Add): boolean => {
  if (!uuid.test(id)) {
    add(path, `${shown(id)} is not a machine's id (a UUID)`)
    return false
  }
  if (id !== id.toLowerCase()) {
    add(path, `Omni writes the ids of machines in lower case: ${id.toLowerCase()}`)
    return false
  }
  return true
}

/** Each machine in one set at most, and each that is described in one. */
const checkMachines = (draft: Draft<Template>, add: Add) => {
  const members = new Map<string, PlacedSet & { readonly at: Path }>()
  for (const placed of setsOf(draft)) {
    ;(placed.set.machines ?? []).forEach((id, index) => {
      if (id === undefined) return
      const at = [...placed.path, "machines", index]
      if (!checkId(id, at, add)) return
      const other = members.get(id)
      if (other === undefined) members.set(id, { ...placed, at })
      else add(at, `machine ${id} is in ${dotted(other.at)} already; a machine is in one set only`)
    })
  }
  const described = new Set<string>()
  for (const { machine, path } of machinesOf(draft)) {
    checkTexts(machine, path, add)
    checkWords(machine, path, add)
    checkInstall(machine, path, add)
    const { name } = machine
    if (name === undefined) {
      add([...path, "name"], "a machine is named by its id (a UUID)")
      continue
    }
    if (!checkId(name, [...path, "name"], add)) continue
    if (described.has(name)) add([...path, "name"], `machine ${name} is described twice`)
    described.add(name)
    const member = members.get(name)
    if (member === undefined) add([...path, "name"], `machine ${name} is in no set of this template`)
    else if (machine.locked === true && member.isControlPlane) {
      add([...path, "locked"], "a control plane cannot be locked")
    }
  }
}

const checkInstall = ({ install }: Draft<TemplateMachine>, path: Path, add: Add) => {
  if (install === undefined) return
  if ((install.disk === undefined) === (install.diskSelector === undefined)) {
    add([...path, "install"], "exactly one of `disk` and `diskSelector` is needed")
  }
  for (const field of ["disk", "diskSelector"] as const) {
    const value = install[field]
    if (value !== undefined && (value.trim() === "" || unseen.test(value))) {
      add([...path, "install", field], `${shown(value)} is empty or has characters that cannot be seen`)
    }
  }
}

const checkPatch = (patch: Draft<Patch>, path: Path, add: Add) => {
  const { file, idOverride, name } = patch
  const hasInline = patch.inline !== undefined
  if (hasInline === (file !== undefined)) add(path, "a patch needs exactly one of `inline` and `file`")
  if (hasInline && name === undefined && idOverride === undefined) {
    add(path, "a patch that is written inline needs a `name` or an `idOverride`")
  }
  for (const field of ["name", "idOverride"] as const) {
    const value = patch[field]
    if (value === undefined) continue
    if (value === "" || unseen.test(value)) {
      add([...path, field], `${shown(value)} is empty or has characters that cannot be seen`)
    } else if (bytes(value) > mostIdBytes - 128) add([...path, field], `${bytes(value)} bytes are too long for an id`)
  }
  checkTexts(patch, path, add)
}

const checkPatches = (draft: Draft<Template>, add: Add) => {
  const ids = new Map<string, Path>()
  for (const { patch, path } of patchesOf(draft)) {
    checkPatch(patch, path, add)
    if (patch.idOverride === undefined) continue
    const other = ids.get(patch.idOverride)
    if (other === undefined) ids.set(patch.idOverride, path)
    else add([...path, "idOverride"], `${dotted(other)} has this id already`)
  }
}

const checkInterval = (text: string | undefined, path: Path, add: Add) => {
  if (text === undefined) return
  const interval = parseGoDuration(text)
  if (interval === undefined || interval.seconds < 0n || interval.nanos < 0n) {
    add(path, `${shown(text)} is not a duration such as 1h30m`)
  }
}

/** Reports the second of two names, and what cannot be part of an id. */
const checkNames = (
  names: ReadonlyArray<string | undefined>,
  pathOf: (index: number) => Path,
  add: Add
) => {
  const seen = new Set<string>()
  names.forEach((name, index) => {
    if (name === undefined) return
    if (name === "" || unseen.test(name)) add(pathOf(index), `${shown(name)} is empty or has invisible characters`)
    else if (bytes(name) > mostIdBytes - 128) add(pathOf(index), `${bytes(name)} bytes are too long for an id`)
    else if (seen.has(name)) add(pathOf(index), `the name ${shown(name)} is used twice`)
    seen.add(name)
  })
}

const checkKubernetes = (draft: Draft<Template>, add: Add) => {
  const { healthchecks = [], manifests = [] } = draft.cluster?.kubernetes ?? {}
  const path: Path = ["cluster", "kubernetes"]
  manifests.forEach((group, index) => {
    if (group === undefined) return
    const at = [...path, "manifests", index]
    if (group.name === undefined && group.file === undefined) add([...at, "name"], "manifests need a name")
    if (group.mode === undefined) add([...at, "mode"], "manifests need a mode: full or one-time")
    if ((group.inline === undefined) === (group.file === undefined)) {
      add(at, "manifests need exactly one of `inline` and `file`")
    }
    checkTexts(group, at, add)
  })
  checkNames(manifests.map((group) => group?.name ?? group?.file), (index) => [...path, "manifests", index], add)
  healthchecks.forEach((check, index) => {
    if (check === undefined) return
    const at = [...path, "healthchecks", index]
    if (check.name === undefined && check.idOverride === undefined) {
      add([...at, "name"], "a health check needs a `name` or an `idOverride`")
    }
    if ((check.job === undefined) === (check.file === undefined)) {
      add(at, "a health check needs exactly one of `job` and `file`")
    }
    checkInterval(check.interval, [...at, "interval"], add)
    checkTexts(check, at, add)
  })
  checkNames(
    healthchecks.map((check) => check?.idOverride ?? check?.name),
    (index) => [...path, "healthchecks", index],
    add
  )
}

const checkBootstrap = (draft: Draft<Template>, add: Add) => {
  const bootstrap = draft.controlPlane?.bootstrapSpec
  if (bootstrap === undefined) return
  const path: Path = ["controlPlane", "bootstrapSpec"]
  if (bootstrap.clusterUUID === undefined || !uuid.test(bootstrap.clusterUUID)) {
    add([...path, "clusterUUID"], "the UUID of the cluster of the backup is needed")
  }
  if (bootstrap.snapshot === undefined || bootstrap.snapshot === "") {
    add([...path, "snapshot"], "the name of the snapshot is needed")
  }
}

/** Reports all issues of a template that can be found without a server. */
export const validate = (draft: Draft<Template>, add: Add): void => {
  if (draft.cluster !== undefined) {
    checkCluster(draft.cluster, add)
    checkTexts(draft.cluster, ["cluster"], add)
    checkWords(draft.cluster, ["cluster"], add)
  }
  for (const placed of setsOf(draft)) checkSet(placed, draft.cluster?.kernelArgs !== undefined, add)
  checkKubernetes(draft, add)
  checkBootstrap(draft, add)
  checkWorkerNames(draft, add)
  checkMachines(draft, add)
  checkPatches(draft, add)
}
