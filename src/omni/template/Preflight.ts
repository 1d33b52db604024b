/**
 * Checks the changes against a server before anything is written: versions, machines, classes, patches and extensions.
 *
 * It reads only what the changes need. An issue has its place in the template. Too few machines of a class are reported
 * with how many are free, and why the others are not.
 */
import * as Effect from "effect/Effect"
import { failWith } from "../../internal/Method.ts"
import { CapacityUnavailable, Locked, Protected } from "../../Reason.ts"
import * as Labels from "../Labels.ts"
import { isAtLeast, type ServerVersion } from "../ServerVersion.ts"
import { type CallFailure, Kinds, type StateReader as State } from "../State.ts"
import type { Actual, Change } from "./Diff.ts"
import { didYouMean, type Issue, shown, visible } from "./Issue.ts"
import type { Loaded } from "./Load.ts"
import { lookUp } from "./Lookup.ts"
import { freeInWords, type KnownMachine, knownMachine, whyNotFitting } from "./Machines.ts"
import { patchesOf, valueAt } from "./Patches.ts"
import { fitsOneOf } from "./Selector.ts"
import { type Expected, setsOf } from "./Translate.ts"
import { bare, type KnownTalos, kubernetesFault, kubernetesStepFault, latestRelease, talosFault } from "./Versions.ts"

type ExpectedOf<K> = Extract<Expected, { readonly kind: K }>
type ActualOf<K> = Extract<Actual, { readonly kind: K }>

const isWrite = (change: Change) =>
  change.action === "create" || change.action === "recreate" || change.action === "update"

const writesOf = <K extends Expected["kind"]>(changes: ReadonlyArray<Change>, kind: K) =>
  changes.flatMap((change) =>
    isWrite(change) && "expected" in change && change.kind === kind ? [change.expected as ExpectedOf<K>] : []
  )

// -----------------------------------------------------------------------------
// What the server can do
// -----------------------------------------------------------------------------

/** The features of this server that the template needs. */
export interface Abilities {
  readonly knowsInstallDisk: boolean
  readonly knowsKernelArgs: boolean
  readonly knowsManifests: boolean
  readonly knowsHealthChecks: boolean
  /** Whether it can switch off the public discovery service of a cluster. */
  readonly knowsPublicDiscovery: boolean
}

/** Whether a server knows a feature of Omni 1.10: by its release, or by the fields of a cluster that it stores. */
const knowsPublicDiscovery = Effect.fnUntraced(function*(
  state: State,
  cluster: string,
  version: ServerVersion | undefined
): Effect.fn.Return<boolean, CallFailure> {
  const release = version === undefined ? undefined : yield* version
  if (release !== undefined) return isAtLeast(release, 1, 10)
  const found = yield* state.get(Kinds.Cluster, cluster)
  return found === undefined || found.yaml === "" || /\bdisablepublicdiscoveryservice:/.test(found.yaml)
})

/** Reads what the server can do, as far as the template needs it. */
export const abilities = (
  state: State,
  { template }: Loaded,
  version: ServerVersion | undefined
): Effect.Effect<Abilities, CallFailure> => {
  const { cluster } = template
  const hasKernelArgs = [cluster, template.controlPlane, ...template.workers ?? [], ...template.machines ?? []]
    .some(({ kernelArgs }) => kernelArgs !== undefined)
  const hasInstall = (template.machines ?? []).some(({ install }) => install !== undefined)
  const hasPatches = patchesOf(template).length > 0
  const yes = Effect.succeed(true)
  return Effect.all({
    knowsInstallDisk: hasInstall || hasPatches ? state.knows(Kinds.MachineInstallDiskConfig) : Effect.succeed(false),
    knowsKernelArgs: hasKernelArgs ? state.knows(Kinds.KernelArgs) : yes,
    knowsManifests: (cluster.kubernetes.manifests ?? []).length > 0 ? state.knows(Kinds.KubernetesManifestGroup) : yes,
    knowsHealthChecks: (cluster.kubernetes.healthchecks ?? []).length > 0
      ? state.knows(Kinds.KubernetesHealthCheck)
      : yes,
    knowsPublicDiscovery: cluster.features?.disablePublicDiscoveryService === true
      ? knowsPublicDiscovery(state, cluster.name, version)
      : yes
  }, { concurrency: "unbounded" })
}

/** Parts of the template that this server cannot do. */
export const abilityIssues = ({ contents, template }: Loaded, can: Abilities): ReadonlyArray<Issue> => {
  const issues: Array<Issue> = []
  if (!can.knowsPublicDiscovery) {
    issues.push({
      path: ["cluster", "features", "disablePublicDiscoveryService"],
      message: "this server does not know the field; it needs Omni 1.10 or newer"
    })
  }
  if (!can.knowsManifests) {
    issues.push({ path: ["cluster", "kubernetes", "manifests"], message: "this server is too old for manifests" })
  }
  if (!can.knowsHealthChecks) {
    issues.push({
      path: ["cluster", "kubernetes", "healthchecks"],
      message: "this server is too old for health checks"
    })
  }
  if (!can.knowsKernelArgs) {
    for (const { path, set } of setsOf(template)) {
      if (set.kernelArgs !== undefined) {
        issues.push({ path: [...path, "kernelArgs"], message: "this server has no kernel arguments" })
      }
    }
    if (template.cluster.kernelArgs !== undefined) {
      issues.push({ path: ["cluster", "kernelArgs"], message: "this server has no kernel arguments" })
    }
  }
  ;(template.machines ?? []).forEach((machine, index) => {
    const path = ["machines", index]
    if (!can.knowsKernelArgs && machine.kernelArgs !== undefined) {
      issues.push({ path: [...path, "kernelArgs"], message: "this server has no kernel arguments" })
    }
    if (!can.knowsInstallDisk && machine.install?.diskSelector !== undefined) {
      issues.push({
        path: [...path, "install", "diskSelector"],
        message: "this server is too old to select a disk; name it with `disk`"
      })
    }
  })
  if (can.knowsInstallDisk) {
    for (const { patch, path } of patchesOf(template)) {
      const sets = contents.get(patch)?.documents.some((document) => {
        const disk = valueAt(document, ["machine", "install", "disk"])
        return disk !== undefined && disk !== null && disk !== ""
      })
      if (sets === true) {
        issues.push({ path, message: "this server sets machine.install.disk; use `install` of the machine" })
      }
    }
  }
  return issues
}

// -----------------------------------------------------------------------------
// Versions
// -----------------------------------------------------------------------------

/** The Talos versions of a server. */
export const talosVersions = (state: State): Effect.Effect<ReadonlyArray<KnownTalos>, CallFailure> =>
  Effect.map(state.list(Kinds.TalosVersion), (all) =>
    all.map(({ metadata, spec }) => ({
      version: spec.version === "" ? metadata.id : bare(spec.version),
      kubernetes: spec.compatibleKubernetesVersions.map(bare),
      deprecated: spec.deprecated,
      unsupported: spec.unsupported
    })))

const versionIssues = Effect.fnUntraced(function*(
  state: State,
  changes: ReadonlyArray<Change>,
  current: ActualOf<"Cluster"> | undefined
): Effect.fn.Return<ReadonlyArray<Issue>, CallFailure> {
  const [cluster] = writesOf(changes, "Cluster")
  if (cluster === undefined) return []
  const { kubernetesVersion, talosVersion } = cluster.spec
  const isTalosNew = current?.spec.talosVersion !== talosVersion
  const isKubernetesNew = current?.spec.kubernetesVersion !== kubernetesVersion
  if (!isTalosNew && !isKubernetesNew) return []
  const known = yield* talosVersions(state)
  const at = (product: string) => ["cluster", product, "version"]
  const issues: Array<Issue> = []
  const add = (product: string, message: string | undefined) => {
    if (message !== undefined) issues.push({ path: at(product), message })
  }
  if (isTalosNew) add("talos", talosFault(talosVersion, known))
  add("kubernetes", kubernetesFault(kubernetesVersion, talosVersion, known))
  if (issues.length === 0 && current !== undefined && isKubernetesNew) {
    add("kubernetes", kubernetesStepFault(current.spec.kubernetesVersion, kubernetesVersion))
  }
  // The Talos version is unknown, so only a Kubernetes version that no Talos version supports is an issue.
  if (issues.length > 0 && isTalosNew && known.length > 0) {
    const all = [...new Set(known.flatMap(({ kubernetes }) => kubernetes))]
    if (!all.includes(kubernetesVersion) && !issues.some(({ path }) => path[1] === "kubernetes")) {
      const latest = latestRelease(all)
      add(
        "kubernetes",
        `the server knows no Kubernetes ${kubernetesVersion}${latest === undefined ? "" : `; its latest is ${latest}`}`
      )
    }
  }
  return issues
})

// -----------------------------------------------------------------------------
// Machines
// -----------------------------------------------------------------------------

/** Every machine of the account. */
const machines = (state: State): Effect.Effect<ReadonlyArray<KnownMachine>, CallFailure> =>
  Effect.map(state.list(Kinds.MachineStatus), (all) => all.map(knownMachine))

/** Machines that join: each has to be there, in no other cluster, and fit the Talos version of the cluster. */
const machineIssues = Effect.fnUntraced(function*(
  state: State,
  { allowUnknownMachines, changes, cluster, talosVersion }: PreflightInput
): Effect.fn.Return<ReadonlyArray<Issue>, CallFailure> {
  const joining = changes.flatMap((change) =>
    (change.action === "create" || change.action === "recreate") && change.kind === "MachineSetNode"
      ? [change.expected]
      : []
  )
  const statuses = yield* lookUp(state, Kinds.MachineStatus, joining.map(({ id }) => id))
  const words = allowUnknownMachines || joining.every(({ id }) => statuses.has(id))
    ? ""
    : freeInWords(yield* machines(state), { talosVersion }).words
  return joining.flatMap(({ id, path }): ReadonlyArray<Issue> => {
    const status = statuses.get(id)
    if (status === undefined) {
      return allowUnknownMachines ? [] : [{ path, message: `the account has no machine ${id} (${words})` }]
    }
    const holder = status.metadata.labels[Labels.cluster]
    if (holder !== undefined && holder !== cluster) {
      return [{ path, message: `machine ${id} is in cluster ${visible(holder)} already` }]
    }
    const why = whyNotFitting(knownMachine(status), talosVersion)
    return why === undefined ? [] : [{ path, message: `machine ${id} does not fit: ${why}` }]
  })
})

interface ClassDemand {
  readonly name: string
  readonly more: number
  readonly of: ReadonlyArray<ExpectedOf<"MachineSet">>
}

/** How many machines of each class are wanted beyond those that the sets have. */
const demands = (
  changes: ReadonlyArray<Change>,
  nodesIn: ReadonlyMap<string, number>
): ReadonlyArray<ClassDemand> => {
  const byClass = new Map<string, ClassDemand>()
  for (const set of writesOf(changes, "MachineSet")) {
    const { allocation } = set.spec
    if (allocation === undefined) continue
    const so = byClass.get(allocation.name) ?? { name: allocation.name, more: 0, of: [] }
    const more = allocation.unlimited ? 0 : Math.max(0, allocation.count - (nodesIn.get(set.id) ?? 0))
    byClass.set(allocation.name, { ...so, more: so.more + more, of: [...so.of, set] })
  }
  return [...byClass.values()]
}

interface ClassFindings {
  readonly issues: ReadonlyArray<Issue>
  readonly shortages: ReadonlyArray<string>
}

const classFindings = Effect.fnUntraced(function*(
  state: State,
  { changes, nodesIn, talosVersion }: PreflightInput
): Effect.fn.Return<ClassFindings, CallFailure> {
  const wanted = demands(changes, nodesIn)
  if (wanted.length === 0) return { issues: [], shortages: [] }
  const [classes, all] = yield* Effect.all([
    state.list(Kinds.MachineClass),
    wanted.some(({ more }) => more > 0) ? machines(state) : Effect.succeed([])
  ], { concurrency: 2 })
  const names = classes.map(({ metadata }) => metadata.id)
  const issues: Array<Issue> = []
  const shortages: Array<string> = []
  for (const { more, name, of } of wanted) {
    const found = classes.find(({ metadata }) => metadata.id === name)
    if (found === undefined) {
      for (const { path } of of) {
        const there = names.length === 0 ? "; there is none at all" : `; there are ${names.join(", ")}`
        issues.push({
          path: [...path, "machineClass", "name"],
          message: `there is no machine class ${name}${didYouMean(name, names) || there}`
        })
      }
      continue
    }
    // Such a class makes its machines when they are needed.
    if (found.spec.autoProvision !== undefined || more === 0) continue
    const { free, words } = freeInWords(all, {
      fits: ({ labels }) => fitsOneOf(found.spec.matchLabels, labels),
      unfit: `not of the class (${found.spec.matchLabels.join(" or ")})`,
      talosVersion
    })
    if (free.length < more) {
      shortages.push(`${more} more ${more === 1 ? "machine" : "machines"} of the class ${name} are needed; ${words}`)
    }
  }
  return { issues, shortages }
})

/** A set that has nodes cannot change from listed machines to a class, or back. */
const modeIssues = (
  changes: ReadonlyArray<Change>,
  actual: ReadonlyArray<Actual>,
  nodesIn: ReadonlyMap<string, number>
): ReadonlyArray<Issue> =>
  writesOf(changes, "MachineSet").flatMap((expected): ReadonlyArray<Issue> => {
    const current = actual.find((each): each is ActualOf<"MachineSet"> =>
      each.kind === "MachineSet" && each.id === expected.id
    )
    const wasClass = current?.spec.allocation !== undefined
    const count = nodesIn.get(expected.id) ?? 0
    return current === undefined || count === 0 || wasClass === (expected.spec.allocation !== undefined)
      ? []
      : [{
        path: expected.path,
        message: `the set ${expected.id} has ${count} nodes ${
          wasClass ? "of a machine class" : "that are listed"
        }; it has to be empty before that changes`
      }]
  })

// -----------------------------------------------------------------------------
// Contents
// -----------------------------------------------------------------------------

/** How many patches the server validates at once. */
const patchesAtOnce = 4

/** Patches that are written: the server validates each without storing it. */
const patchIssues = (
  { changes, validate }: PreflightInput
): Effect.Effect<ReadonlyArray<Issue>, CallFailure> =>
  validate === undefined ? Effect.succeed([]) : Effect.map(
    Effect.forEach(
      writesOf(changes, "ConfigPatch").filter(({ labels }) => !Object.hasOwn(labels, Labels.systemPatch)),
      ({ path, spec }) =>
        Effect.map(validate(spec.data), (refusal): ReadonlyArray<Issue> =>
          refusal === undefined ? [] : [{ path, message: `the server refuses the patch: ${refusal}` }]),
      { concurrency: patchesAtOnce }
    ),
    (all) =>
      all.flat()
  )

/** System extensions that are written have to exist for the Talos version. */
const extensionIssues = Effect.fnUntraced(function*(
  state: State,
  { changes, talosVersion }: PreflightInput
): Effect.fn.Return<ReadonlyArray<Issue>, CallFailure> {
  const written = writesOf(changes, "ExtensionsConfiguration").filter(({ spec }) => spec.extensions.length > 0)
  if (written.length === 0) return []
  const known = yield* state.get(Kinds.TalosExtensions, talosVersion)
  // The server has not read the list, and reports that itself if it matters.
  if (known === undefined || known.spec.items.length === 0) return []
  const names = known.spec.items.map(({ name }) => name)
  return written.flatMap(({ path, spec }) =>
    spec.extensions.flatMap((name, index): ReadonlyArray<Issue> =>
      names.includes(name) ? [] : [{
        path: [...path, index],
        message: `the server has no extension ${shown(name)} for Talos ${talosVersion}${didYouMean(name, names)}`
      }]
    )
  )
})

/** The disks of a cluster that exists are encrypted or not; that cannot change. */
const encryptionIssues = (
  changes: ReadonlyArray<Change>,
  current: ActualOf<"Cluster"> | undefined
): ReadonlyArray<Issue> =>
  writesOf(changes, "Cluster").flatMap(({ spec }): ReadonlyArray<Issue> =>
    current === undefined || current.isTearingDown ||
      current.spec.features.diskEncryption === spec.features.diskEncryption
      ? []
      : [{
        path: ["cluster", "features", "diskEncryption"],
        message: `the cluster exists ${
          current.spec.features.diskEncryption ? "with" : "without"
        } disk encryption, and that cannot change`
      }]
  )

// -----------------------------------------------------------------------------
// All of it
// -----------------------------------------------------------------------------

interface PreflightInput {
  readonly cluster: string
  /** Of the template, without `v`. */
  readonly talosVersion: string
  readonly changes: ReadonlyArray<Change>
  readonly actual: ReadonlyArray<Actual>
  readonly nodesIn: ReadonlyMap<string, number>
  readonly allowUnknownMachines: boolean
  readonly allowMissingMachines: boolean
  readonly validate: ((config: string) => Effect.Effect<string | undefined, CallFailure>) | undefined
}

/** A machine that is locked stays where it is. */
const checkLocks = (
  changes: ReadonlyArray<Change>,
  actual: ReadonlyArray<Actual>
): Effect.Effect<void, CallFailure> => {
  const locked = changes.flatMap(({ action, id, kind }) =>
    action === "destroy" && kind === "MachineSetNode" &&
      actual.some((each) => each.kind === kind && each.id === id && Object.hasOwn(each.annotations, Labels.locked))
      ? [id]
      : []
  )
  return locked.length === 0
    ? Effect.void
    : failWith(
      new Protected({
        detail: `${locked.join(", ")} would leave the cluster and ${
          locked.length === 1 ? "is" : "are"
        } locked; sync with \`locked: false\` first`
      })
    )
}

/** A cluster that is locked or going takes no change. */
const checkCluster = (
  changes: ReadonlyArray<Change>,
  current: (ActualOf<"Cluster">) | undefined
): Effect.Effect<void, CallFailure> => {
  if (current === undefined || changes.length === 0) return Effect.void
  if (current.isTearingDown) {
    return failWith(
      new Locked({ detail: `cluster ${current.id} is being deleted; create it again when it is gone` })
    )
  }
  return Object.hasOwn(current.annotations, Labels.clusterLocked)
    ? failWith(
      new Protected({
        detail: `cluster ${current.id} is locked, and would take ${changes.length} changes; unlock it in Omni first`
      })
    )
    : Effect.void
}

/** Everything that the server has against the changes. Too few machines of a class fail here; the rest are issues. */
export const preflight = Effect.fnUntraced(function*(
  state: State,
  input: PreflightInput
): Effect.fn.Return<
  { readonly issues: ReadonlyArray<Issue>; readonly capacity: Effect.Effect<void, CallFailure> },
  CallFailure
> {
  const { actual, changes, nodesIn } = input
  const current = actual.find((each): each is ActualOf<"Cluster"> => each.kind === "Cluster")
  yield* checkCluster(changes, current)
  yield* checkLocks(changes, actual)
  const [versions, joining, classes, patches, extensions] = yield* Effect.all([
    versionIssues(state, changes, current),
    machineIssues(state, input),
    classFindings(state, input),
    patchIssues(input),
    extensionIssues(state, input)
  ], { concurrency: "unbounded" })
  return {
    issues: [
      ...versions,
      ...encryptionIssues(changes, current),
      ...extensions,
      ...patches,
      ...joining,
      ...classes.issues,
      ...modeIssues(changes, actual, nodesIn)
    ],
    capacity: classes.shortages.length === 0 || input.allowMissingMachines
      ? Effect.void
      : failWith(new CapacityUnavailable({ detail: classes.shortages.join(". ") }))
  }
})
