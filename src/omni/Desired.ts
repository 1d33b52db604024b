/**
 * From a spec by counts to the resources and machines of a cluster.
 *
 * A cluster that exists keeps its versions and machines. Missing machines are chosen among the free ones that fit the
 * Talos version; the longest known come first, so that a plan and its apply choose the same. Machines of a class are
 * Omni's to choose, so only the size of their set is in a plan.
 */
import * as Effect from "effect/Effect"
import { want } from "../Backend.ts"
import { failWith } from "../internal/Method.ts"
import { byName } from "../internal/Operation.ts"
import type { ClusterName } from "../Model.ts"
import type { AddedNodes, ClusterSpec } from "../Provider.ts"
import { InvalidSpec } from "../ProviderError.ts"
import { NotFoundError, UnsupportedError } from "../Reason.ts"
import type { Replaced, Want, World } from "../Resource.ts"
import type { Reading, Writing } from "./Access.ts"
import * as Labels from "./Labels.ts"
import { choose, newestFitting, selects } from "./Machines.ts"
import { clusterOf, isAllocated, nodes, type OmniNode, setOf, type WantedNode } from "./Nodes.ts"
import type { ClusterSpec as StoredCluster, MachineSetSpec, MachineStatusSpec } from "./proto/specs_pb.ts"
import { clusters, plainOf, sets } from "./Resources.ts"
import { type CallFailure, Kinds, type Resource } from "./State.ts"
import { type Actual, diff } from "./template/Diff.ts"
import { invalid } from "./template/Issue.ts"
import { load } from "./template/Load.ts"
import { type KnownMachine, knownMachine } from "./template/Machines.ts"
import { fromCounts, setId, type Template } from "./template/Model.ts"
import { preflight, talosVersions } from "./template/Preflight.ts"
import { fitsOneOf } from "./template/Selector.ts"
import { type Expected, translate } from "./template/Translate.ts"
import { bare, latestKubernetes, usableTalos } from "./template/Versions.ts"
import { nameOf } from "./Translate.ts"

type Wants = ReadonlyArray<Want<Reading, Writing>>

interface FreeMachine extends KnownMachine {
  readonly name: string
}

const freeMachine = (machine: Resource<MachineStatusSpec>): FreeMachine => {
  const { id, labels } = machine.metadata
  const name = nameOf(id, labels)
  return { ...knownMachine(machine), name: name === id ? machine.spec.network?.hostname || id : name }
}

// -----------------------------------------------------------------------------
// What exists
// -----------------------------------------------------------------------------

interface Present {
  readonly cluster: Resource<StoredCluster> | undefined
  readonly sets: ReadonlyMap<string, Resource<MachineSetSpec>>
  /** Machines that a user requested, those of addNodes last. */
  readonly nodes: (set: string) => ReadonlyArray<OmniNode>
  readonly all: ReadonlyArray<OmniNode>
}

const isAdded = ({ request }: OmniNode): boolean => request?.metadata.annotations[Labels.added] === "true"

const presentIn = (world: World, cluster: ClusterName): Present => {
  const isGoing = (node: OmniNode) => nodes.isGoing?.(node) === true
  const all = world.of(nodes).filter((node) => clusterOf(node) === cluster && !isGoing(node))
  return {
    cluster: world.named(clusters, cluster)?.resource as Resource<StoredCluster> | undefined,
    sets: new Map(
      world.of(sets).filter(({ resource: { metadata } }) => metadata.labels[Labels.cluster] === cluster)
        .map(({ resource }) => [resource.metadata.id, resource as unknown as Resource<MachineSetSpec>])
    ),
    all,
    nodes: (set) =>
      all.filter((node) => setOf(node) === set && !isAllocated(node)).sort((a, b) =>
        Number(isAdded(a)) - Number(isAdded(b)) || byName(a.name, b.name)
      )
  }
}

// -----------------------------------------------------------------------------
// Versions and machines
// -----------------------------------------------------------------------------

/** The machines that a new cluster may take: those that the layer selects, or those of its class. */
const candidates = Effect.fnUntraced(function*(
  { defaults, state }: Reading,
  machines: ReadonlyArray<KnownMachine>
): Effect.fn.Return<ReadonlyArray<KnownMachine>, CallFailure> {
  if (defaults.machineClass === undefined) return machines.filter(selects(defaults.machines ?? { ids: [] }))
  const found = yield* state.get(Kinds.MachineClass, defaults.machineClass)
  // A class that provisions its machines takes any version.
  return found === undefined || found.spec.autoProvision !== undefined
    ? []
    : machines.filter(({ labels }) => fitsOneOf(found.spec.matchLabels, labels))
})

const versions = Effect.fnUntraced(function*(
  read: Reading,
  machines: ReadonlyArray<KnownMachine>,
  count: number
): Effect.fn.Return<{ readonly talos: string; readonly kubernetes: string }, CallFailure> {
  const { defaults, state } = read
  const known = yield* talosVersions(state)
  const given = defaults.talosVersion === undefined ? undefined : bare(defaults.talosVersion)
  const talos = given === undefined
    ? newestFitting(usableTalos(known), yield* candidates(read, machines), count)
    : known.find(({ version }) => version === given)
  if (talos === undefined && given === undefined) {
    return yield* failWith(
      new NotFoundError({ detail: "the server knows no Talos version that is neither deprecated nor a pre-release" })
    )
  }
  const kubernetes = defaults.kubernetesVersion === undefined
    ? talos === undefined ? undefined : latestKubernetes(talos)
    : bare(defaults.kubernetesVersion)
  // The preflight reports a version that the server does not know, with the nearest ones.
  return { talos: talos?.version ?? given ?? "", kubernetes: kubernetes ?? "0.0.0" }
})

/** Chooses machines that no running create of another cluster has chosen, as far as there are enough. */
const chooseFree = (
  { choices, defaults }: Reading,
  cluster: string,
  machines: ReadonlyArray<FreeMachine>,
  count: number,
  talosVersion: string,
  excluded: ReadonlySet<string> = new Set()
): Effect.Effect<ReadonlyArray<FreeMachine>, CallFailure> =>
  choices.oneAtATime(Effect.gen(function*() {
    const selection = defaults.machines ?? { ids: [] }
    const others = choices.ofOthers(cluster)
    const usable = machines.filter(({ name }) => !excluded.has(name))
    const among = (some: ReadonlyArray<FreeMachine>) => choose(some, count, selection, talosVersion)
    const ids = yield* others.size === 0
      ? among(usable)
      : Effect.catchTag(
        among(usable.filter(({ id }) => !others.has(id))),
        "BackendError",
        () => among(usable)
      )
    choices.take(cluster, ids)
    return ids.flatMap((id) => machines.find((machine) => machine.id === id) ?? [])
  }))

// -----------------------------------------------------------------------------
// Wants
// -----------------------------------------------------------------------------

/** The issues of a template in terms of a spec and of the layer's options. */
const inOurTerms = (error: InvalidSpec): InvalidSpec =>
  new InvalidSpec({
    issues: error.issues.map(({ message, path }) => ({
      message,
      path: path
        .replace(/^cluster\.(talos|kubernetes)\.version$/, "$1Version")
        .replace(/^(?:controlPlane|workers\.?\[?\d+\]?)\.machineClass(?:\.name)?$/, "machineClass")
    }))
  })

/** The existing resources of a cluster, in the form to compare with a template. */
const actualOf = ({ all, cluster, sets: found }: Present): ReadonlyArray<Actual> => [
  ...(cluster === undefined ? [] : [plainOf("Cluster", cluster)]),
  ...[...found.values()].map((set) => plainOf("MachineSet", set)),
  ...all.flatMap((node) =>
    node.request === undefined || isAllocated(node) ? [] : [
      plainOf("MachineSetNode", node.request)
    ]
  )
]

/** The wants of a template, after the server's own rules were checked. */
const wantsOf = Effect.fnUntraced(function*(
  read: Reading,
  template: Template,
  there: Present,
  names: ReadonlyMap<string, string>,
  options: { readonly allowFewerControlPlanes: boolean }
): Effect.fn.Return<Wants, InvalidSpec | CallFailure> {
  const loaded = yield* load(template)
  const expected = translate(loaded, { knowsInstallDisk: false })
  const actual = actualOf(there)
  const nodesIn = new Map<string, number>()
  for (const node of there.all) nodesIn.set(setOf(node) ?? "", (nodesIn.get(setOf(node) ?? "") ?? 0) + 1)
  const { capacity, issues } = yield* preflight(read.state, {
    cluster: template.cluster.name,
    talosVersion: bare(template.cluster.talos.version),
    changes: diff(expected, actual),
    actual,
    nodesIn,
    allowUnknownMachines: false,
    allowMissingMachines: false,
    validate: read.validate
  })
  if (issues.length > 0) return yield* invalid(issues, loaded.place)
  yield* capacity
  return expected.flatMap((each): Wants => {
    switch (each.kind) {
      case "Cluster":
        return [want(clusters, { expected: each })]
      case "MachineSet":
        return [
          want(sets, {
            expected: each,
            forbidsFewer: Object.hasOwn(each.labels, Labels.controlPlaneRole) && !options.allowFewerControlPlanes
          })
        ]
      case "MachineSetNode":
        return [want(nodes, wantedNode(each, names))]
      default:
        return []
    }
  })
})

const wantedNode = (
  expected: Extract<Expected, { readonly kind: "MachineSetNode" }>,
  names: ReadonlyMap<string, string>
): WantedNode => ({
  id: expected.id,
  name: names.get(expected.id) ?? expected.id,
  role: Object.hasOwn(expected.labels, Labels.controlPlaneRole) ? "control-plane" : "worker",
  expected
})

/** Everything that a spec requests. */
export const desired = (
  read: Reading,
  spec: ClusterSpec,
  world: World
): Effect.Effect<Wants, InvalidSpec | CallFailure> =>
  Effect.gen(function*() {
    const { defaults, state } = read
    const cluster = spec.cluster as ClusterName
    const there = presentIn(world, cluster)
    const common = {
      cluster,
      controlPlanes: spec.controlPlanes,
      workers: spec.workers,
      ...(spec.labels === undefined ? {} : { labels: spec.labels })
    }
    const { cluster: found } = there
    if (found !== undefined && found.metadata.annotations[Labels.owned] !== cluster) {
      // It is in the way, whatever else is requested.
      const template = fromCounts({ ...common, talosVersion: "", kubernetesVersion: "", machines: { machines: [] } })
      const expected = translate({ template, contents: new Map(), place: () => ({ text: "", offset: 0 }) }, {
        knowsInstallDisk: false
      })
      return expected.flatMap((each) => each.kind === "Cluster" ? [want(clusters, { expected: each })] : [])
    }
    const wanted = [
      [there.nodes(setId.controlPlane(cluster)), spec.controlPlanes],
      [there.nodes(setId.workers(cluster, undefined)), spec.workers]
    ] as const
    const missing = wanted.map(([existing, count]) => Math.max(0, count - existing.length))
    const total = missing.reduce((a, b) => a + b, 0)
    const keepsVersions = found !== undefined && defaults.talosVersion === undefined
    const needsMachines = !keepsVersions || (defaults.machineClass === undefined && total > 0)
    const machines = needsMachines ? (yield* state.list(Kinds.MachineStatus)).map(freeMachine) : []
    const { kubernetes, talos } = keepsVersions
      ? { talos: found.spec.talosVersion, kubernetes: bare(defaults.kubernetesVersion ?? found.spec.kubernetesVersion) }
      : yield* versions(read, machines, spec.controlPlanes + spec.workers)
    const versioned = { ...common, talosVersion: talos, kubernetesVersion: kubernetes }
    const options = { allowFewerControlPlanes: spec.allowFewerControlPlanes === true }
    if (defaults.machineClass !== undefined) {
      const template = fromCounts({ ...versioned, machines: { machineClass: defaults.machineClass } })
      return yield* wantsOf(read, template, there, new Map(), options)
    }
    const chosen = [...yield* chooseFree(read, cluster, machines, total, talos)]
    const taken: ReadonlyArray<{ readonly id: string; readonly name: string }> = wanted.flatMap(
      ([existing, count], index) => [...existing.slice(0, count), ...chosen.splice(0, missing[index])]
    )
    const ids = taken.map(({ id }) => id)
    const template = fromCounts({ ...versioned, machines: { machines: ids } })
    const { labels } = spec
    return yield* wantsOf(
      read,
      labels === undefined ? template : { ...template, machines: ids.map((name) => ({ name, labels })) },
      there,
      new Map(taken.map(({ id, name }) => [id, name])),
      options
    )
  }).pipe(Effect.catchTag("InvalidSpec", (error) => Effect.fail(inOurTerms(error))))

// -----------------------------------------------------------------------------
// Added and replaced nodes
// -----------------------------------------------------------------------------

const nodeExpected = (
  cluster: string,
  set: { readonly id: string; readonly role: string },
  machine: string,
  labels: Labels.Labels
): Extract<Expected, { readonly kind: "MachineSetNode" }> => ({
  kind: "MachineSetNode",
  id: machine,
  labels: { [Labels.cluster]: cluster, [set.role]: "", [Labels.machineSet]: set.id, ...labels },
  annotations: {},
  spec: {},
  path: []
})

const unsupported = (detail: string) => failWith(new UnsupportedError({ detail }))

/** The free machines that are added to a cluster. Workers of a pool get a set of that name. */
export const added = (
  read: Reading,
  cluster: ClusterName,
  given: AddedNodes,
  world: World,
  taken: ReadonlySet<string>
): Effect.Effect<Wants, InvalidSpec | CallFailure> =>
  Effect.gen(function*() {
    const there = presentIn(world, cluster)
    const { cluster: found } = there
    if (found === undefined) return yield* unsupported("there is no such cluster")
    const { controlPlanes = 0, labels = {}, pool, workers = 0 } = given
    const workersSet = { id: setId.workers(cluster, pool), role: Labels.workerRole }
    const places = [
      { set: { id: setId.controlPlane(cluster), role: Labels.controlPlaneRole }, count: controlPlanes },
      { set: workersSet, count: workers }
    ].filter(({ count }) => count > 0)
    for (const { set } of places) {
      const allocation = there.sets.get(set.id)?.spec.machineAllocation
      if (allocation !== undefined && allocation.name !== "") {
        return yield* unsupported(
          `the machines of ${set.id} come from the class ${allocation.name}; change the size of the class with \`sync\``
        )
      }
    }
    const machines = (yield* read.state.list(Kinds.MachineStatus)).map(freeMachine)
    const chosen = [
      ...yield* chooseFree(read, cluster, machines, controlPlanes + workers, found.spec.talosVersion, taken)
    ]
    const template = fromCounts({
      cluster,
      controlPlanes: 0,
      workers: 0,
      talosVersion: found.spec.talosVersion,
      kubernetesVersion: found.spec.kubernetesVersion,
      machines: { machines: [] }
    })
    const loaded = yield* load({ ...template, workers: [pool === undefined ? {} : { name: pool }] })
    const newSets = translate(loaded, { knowsInstallDisk: false }).flatMap((expected) =>
      expected.kind === "MachineSet" && workers > 0 && expected.id === workersSet.id && !there.sets.has(expected.id)
        ? [want(sets, { expected })]
        : []
    )
    return [
      ...newSets,
      ...places.flatMap(({ count, set }) =>
        chosen.splice(0, count).map(({ id, name }) =>
          want(nodes, {
            id,
            name,
            role: set.role === Labels.workerRole ? "worker" as const : "control-plane" as const,
            ...(pool === undefined ? {} : { pool }),
            expected: nodeExpected(cluster, set, id, labels)
          })
        )
      )
    ]
  })

/** Requests the same machines again after they have left the cluster. */
export const replaced = (
  _: Reading,
  cluster: ClusterName,
  given: ReadonlyArray<Replaced<OmniNode>>,
  world: World
): Effect.Effect<Wants, InvalidSpec | CallFailure> =>
  Effect.forEach(given, ({ name, node: listed }) =>
    Effect.suspend(() => {
      const node = listed ?? world.earlier.of(nodes).find((other) => other.name === name)
      if (node?.request === undefined || isAllocated(node)) {
        return unsupported(
          node === undefined
            ? `Omni does not know which machine ${name} was; add a machine with \`addNodes\``
            : `${name} is a machine of a class, which Omni replaces on its own`
        )
      }
      const { annotations, labels } = node.request.metadata
      return Effect.succeed(want(nodes, {
        id: node.id,
        name: node.name,
        role: Object.hasOwn(labels, Labels.controlPlaneRole) ? "control-plane" as const : "worker" as const,
        expected: {
          kind: "MachineSetNode" as const,
          id: node.id,
          labels: { ...labels, [Labels.cluster]: cluster },
          annotations: Object.fromEntries(
            Object.entries(annotations).filter(([key]) => !key.startsWith(Labels.ownPrefix))
          ),
          spec: {},
          path: []
        }
      }))
    }))
