/**
 * What Omni's controllers make of the resources and machines: one round after the other, until nothing changes any more.
 *
 * A round takes each cluster, set and machine at most one step on, so that what a user sees on a real server between two
 * states is seen here: RUNNING before anything is scaled up, a machine that installs and boots, a destroy that goes from
 * the workers to the control planes to the cluster. It keeps to what was measured on release 1.9.
 */
import type { Message, MessageInitShape } from "@bufbuild/protobuf"
import type { GenMessage } from "@bufbuild/protobuf/codegenv2"
import { isUserManaged } from "./Access.ts"
import type { Machine } from "./Machines.ts"
import type { Metadata, Store, Stored } from "./Store.ts"
import type { Wire } from "./Wire.ts"

const prefix = "omni.sidero.dev/"
export const label = {
  cluster: `${prefix}cluster`,
  set: `${prefix}machine-set`,
  controlPlane: `${prefix}role-controlplane`,
  worker: `${prefix}role-worker`,
  available: `${prefix}available`,
  connected: `${prefix}connected`,
  disconnected: `${prefix}disconnected`,
  hostname: `${prefix}hostname`,
  nodeName: `${prefix}node-name`,
  managed: `${prefix}is-managed-by-static-infra-provider`,
  byController: `${prefix}managed-by-machine-set-node-controller`
} as const

export const typeOf = (plural: string): string => `${plural}.omni.sidero.dev`

const stage = {
  booting: 1,
  installing: 2,
  configuring: 3,
  running: 4,
  destroying: 5,
  upgrading: 6,
  poweringOn: 10,
  poweredOff: 11
} as const
const clusterPhase = { unknown: 0, scalingUp: 1, scalingDown: 2, running: 3, destroying: 4 } as const
const setPhase = { scalingUp: 1, scalingDown: 2, running: 3, destroying: 4, failed: 5 } as const
const upgradePhase = { upgrading: 1, done: 2 } as const
const powerState = { unsupported: 1, on: 2, off: 3 } as const

/** From the assignment of a machine to its readiness. */
const wayUp = [stage.installing, stage.booting, stage.configuring, stage.running] as const

type Stage = (typeof stage)[keyof typeof stage]
type SetPhase = (typeof setPhase)[keyof typeof setPhase]

/** What holds a cluster until its controllers are done with it. */
const clusterFinalizers = [
  "ClusterController",
  "ClusterStatusController",
  "ClusterEndpointController",
  "SecretsController"
]
const aboutClusters = ["ClusterStatuses", "ClusterDestroyStatuses", "TalosUpgradeStatuses", "KubernetesUpgradeStatuses"]
const setFinalizer = "MachineSetStatusController"

export interface Knobs {
  /** Clusters whose last finalizer is never taken off. */
  readonly stuck: Set<string>
}

export const makeController = (
  wire: Wire,
  store: Store,
  machines: Map<string, Machine>,
  knobs: Knobs,
  now: () => number
) => {
  const { protobuf, specs } = wire
  /** How many rounds a cluster has had sets; the first of them shows RUNNING. */
  const seen = new Map<string, number>()
  /** The stage of each machine that is in a cluster, as a place on its way up. */
  const progress = new Map<string, number>()
  /** The machines that have had a link. */
  const linked = new Set<string>()
  /** How many rounds an upgrade is under way. */
  const upgrading = new Map<string, number>()

  const list = (plural: string) => store.list(typeOf(plural), "default")
  const get = (plural: string, id: string) => store.get({ namespace: "default", type: typeOf(plural), id })
  const read = <M extends Message>(schema: GenMessage<M>, stored: Stored): M => protobuf.fromBinary(schema, stored.spec)
  const ofCluster = (plural: string, cluster: string) =>
    list(plural).filter(({ metadata }) => metadata.labels[label.cluster] === cluster)

  const sameRecord = (a: Readonly<Record<string, string>>, b: Readonly<Record<string, string>>) =>
    JSON.stringify(Object.entries(a).sort()) === JSON.stringify(Object.entries(b).sort())

  /** Stores what a controller has to say, unless it has said so already. */
  const say = <M extends Message>(
    plural: string,
    id: string,
    schema: GenMessage<M>,
    init: MessageInitShape<GenMessage<M>>,
    labels: Readonly<Record<string, string>> = {},
    owner = `${plural}Controller`
  ): void => {
    const spec = protobuf.toBinary(schema, protobuf.create(schema, init))
    const old = get(plural, id)
    if (old !== undefined && Buffer.compare(old.spec, spec) === 0 && sameRecord(old.metadata.labels, labels)) return
    const metadata: Metadata = {
      namespace: "default",
      type: typeOf(plural),
      id,
      version: (old?.metadata.version ?? 0) + 1,
      owner,
      phase: old?.metadata.phase ?? "running",
      created: old?.metadata.created ?? now(),
      updated: now(),
      finalizers: old?.metadata.finalizers ?? [],
      labels,
      annotations: old?.metadata.annotations ?? {}
    }
    store.put({ metadata, spec })
  }

  const drop = (plural: string, id: string) => store.drop({ namespace: "default", type: typeOf(plural), id })

  const change = (stored: Stored, changes: Partial<Metadata>) =>
    store.put({
      ...stored,
      metadata: { ...stored.metadata, version: stored.metadata.version + 1, updated: now(), ...changes }
    })

  const tearDown = (stored: Stored) => {
    if (stored.metadata.phase === "running") change(stored, { phase: "tearingDown" })
  }

  // ---------------------------------------------------------------------------
  // Machines
  // ---------------------------------------------------------------------------

  const stageOf = (machine: Machine): Stage => {
    const place = progress.get(machine.id) ?? 0
    if (place >= wayUp.length - 1 && machine.power === "off") return stage.poweredOff
    return wayUp[Math.min(place, wayUp.length - 1)] ?? stage.running
  }

  /** What Omni says of a machine itself, whether or not it is in a cluster. */
  const sayMachine = (machine: Machine) => {
    const assigned = get("ClusterMachineStatuses", machine.id)
    const cluster = assigned?.metadata.labels[label.cluster]
    const role: Record<string, string> = assigned === undefined || cluster === undefined ? { [label.available]: "" } : {
      [label.cluster]: cluster,
      [label.set]: assigned.metadata.labels[label.set] ?? "",
      ...(label.controlPlane in assigned.metadata.labels ? { [label.controlPlane]: "" } : { [label.worker]: "" })
    }
    say("MachineStatuses", machine.id, specs.MachineStatusSpecSchema, {
      talosVersion: machine.talosVersion,
      hardware: { arch: machine.arch },
      network: { hostname: machine.hostname, addresses: [...machine.addresses] },
      managementAddress: `fdae:41e4:649b:9303::${machine.id.slice(-4)}`,
      connected: machine.connected,
      maintenance: cluster === undefined,
      cluster: cluster ?? "",
      powerState: powerState[machine.power]
    }, {
      ...machine.labels,
      ...role,
      ...(machine.connected ? { [label.connected]: "" } : { [label.disconnected]: "" }),
      ...(machine.power === "unsupported" ? {} : { [label.managed]: "" }),
      [`${prefix}arch`]: machine.arch,
      [`${prefix}talos-version`]: machine.talosVersion
    })
    if (!linked.has(machine.id)) {
      linked.add(machine.id)
      say("Links", machine.id, specs.LinkSpecSchema, {}, {}, "LinkController")
    }
  }

  const forgetMachine = (machine: Machine) => {
    for (const plural of ["Links", "MachineStatuses", "ClusterMachineStatuses"]) drop(plural, machine.id)
    for (const node of list("MachineSetNodes")) if (node.metadata.id === machine.id) drop("MachineSetNodes", machine.id)
    progress.delete(machine.id)
    linked.delete(machine.id)
    machines.delete(machine.id)
  }

  /** A machine that is assigned to a set goes one step up. */
  const advance = (node: Stored, machine: Machine, upgrades: boolean) => {
    const { labels } = node.metadata
    const there = get("ClusterMachineStatuses", machine.id)
    const place = progress.get(machine.id)
    if (place === undefined) progress.set(machine.id, 0)
    else if (!machine.held && machine.connected && there !== undefined) {
      progress.set(machine.id, Math.min(place + 1, wayUp.length - 1))
    }
    const now = upgrades ? stage.upgrading : stageOf(machine)
    say("ClusterMachineStatuses", machine.id, specs.ClusterMachineStatusSpecSchema, {
      ready: now === stage.running && machine.connected,
      stage: now,
      configUpToDate: now === stage.running,
      managementAddress: `fdae:41e4:649b:9303::${machine.id.slice(-4)}`,
      configApplyStatus: now === stage.running ? 2 : 1
    }, {
      [label.cluster]: labels[label.cluster] ?? "",
      [label.set]: labels[label.set] ?? "",
      ...(label.controlPlane in labels ? { [label.controlPlane]: "" } : { [label.worker]: "" }),
      ...(machine.connected ? { [label.connected]: "" } : {}),
      ...(machine.power === "unsupported" ? {} : { [label.managed]: "" }),
      [label.hostname]: machine.hostname,
      [label.nodeName]: machine.hostname
    })
  }

  /** A machine that is in no set any more leaves its cluster: first it is reset, then it is free. One that is lost stays. */
  const retire = (status: Stored) => {
    const machine = machines.get(status.metadata.id)
    const spec = read(specs.ClusterMachineStatusSpecSchema, status)
    if (spec.stage !== stage.destroying) {
      say("ClusterMachineStatuses", status.metadata.id, specs.ClusterMachineStatusSpecSchema, {
        ...spec,
        ready: false,
        stage: stage.destroying
      }, status.metadata.labels)
    } else if (machine === undefined || machine.connected) {
      drop("ClusterMachineStatuses", status.metadata.id)
      progress.delete(status.metadata.id)
      if (machine?.power === "off") machine.power = "on"
    }
  }

  // ---------------------------------------------------------------------------
  // Sets
  // ---------------------------------------------------------------------------

  const labelsFit = (selector: string, labels: Readonly<Record<string, string>>): boolean =>
    selector.split(",").every((term) => {
      const [, name = "", , value] = /^\s*([^=!<>\s]+)\s*(==?\s*(\S*))?\s*$/.exec(term) ?? []
      return name in labels && (value === undefined || labels[name] === value)
    })

  const freeMachines = (machineClass: string): ReadonlyArray<Machine> => {
    const found = get("MachineClasses", machineClass)
    if (found === undefined) return []
    const { matchLabels } = read(specs.MachineClassSpecSchema, found)
    return [...machines.values()].filter((machine) => {
      const status = get("MachineStatuses", machine.id)
      return status !== undefined && machine.connected && label.available in status.metadata.labels &&
        get("MachineSetNodes", machine.id) === undefined &&
        matchLabels.some((selector) => labelsFit(selector, status.metadata.labels))
    })
  }

  const nodesOf = (set: Stored) =>
    list("MachineSetNodes").filter(({ metadata }) => metadata.labels[label.set] === set.metadata.id)

  /** A set with a machine class takes what it is to have, and gives back what is too much. */
  const allocate = (set: Stored) => {
    const allocation = read(specs.MachineSetSpecSchema, set).machineAllocation
    if (allocation === undefined || allocation.name === "") return
    const nodes = nodesOf(set)
    const wanted = allocation.allocationType === 1 ? Number.POSITIVE_INFINITY : allocation.machineCount
    for (const machine of freeMachines(allocation.name).slice(0, Math.max(0, wanted - nodes.length))) {
      const { labels } = set.metadata
      say("MachineSetNodes", machine.id, specs.MachineSetNodeSpecSchema, {}, {
        [label.cluster]: labels[label.cluster] ?? "",
        [label.set]: set.metadata.id,
        ...(label.controlPlane in labels ? { [label.controlPlane]: "" } : { [label.worker]: "" }),
        [label.byController]: ""
      }, "")
    }
    for (const node of nodes.slice(Math.min(wanted, nodes.length))) drop("MachineSetNodes", node.metadata.id)
  }

  const requestedOf = (set: Stored): number => {
    const allocation = read(specs.MachineSetSpecSchema, set).machineAllocation
    return allocation === undefined || allocation.name === "" || allocation.allocationType === 1
      ? nodesOf(set).length
      : allocation.machineCount
  }

  interface Count {
    readonly requested: number
    readonly total: number
    readonly healthy: number
    readonly connected: number
  }

  const count = (set: Stored): Count => {
    const statuses = list("ClusterMachineStatuses").filter(({ metadata }) =>
      metadata.labels[label.set] === set.metadata.id
    )
    return {
      requested: set.metadata.phase === "running" ? requestedOf(set) : 0,
      total: statuses.length,
      healthy: statuses.filter((status) => read(specs.ClusterMachineStatusSpecSchema, status).ready).length,
      connected: statuses.filter(({ metadata }) => label.connected in metadata.labels).length
    }
  }

  const isUp = (set: Stored): boolean =>
    list("ClusterMachineStatuses").filter(({ metadata }) => metadata.labels[label.set] === set.metadata.id)
      .every(({ metadata: { id } }) => (progress.get(id) ?? 0) >= wayUp.length - 1)

  const phaseOfSet = (set: Stored, { requested, total }: Count): SetPhase => {
    if (set.metadata.phase !== "running") return setPhase.destroying
    if (label.controlPlane in set.metadata.labels && requested === 0) return setPhase.failed
    if (total < requested || !isUp(set)) return setPhase.scalingUp
    return total > requested ? setPhase.scalingDown : setPhase.running
  }

  const sayPartOf = (set: Stored): { readonly count: Count; readonly phase: SetPhase } => {
    const counted = count(set)
    const phase = phaseOfSet(set, counted)
    const ready = phase === setPhase.running && counted.healthy === counted.requested
    say("MachineSetStatuses", set.metadata.id, specs.MachineSetStatusSpecSchema, {
      phase,
      ready,
      error: phase === setPhase.failed ? "control plane machine set must have at least one node" : "",
      machines: counted
    }, set.metadata.labels)
    return { count: counted, phase }
  }

  /** A set that is torn down gives its machines back, and goes when it has none. */
  const dissolve = (set: Stored) => {
    for (const node of nodesOf(set)) drop("MachineSetNodes", node.metadata.id)
    const left = list("ClusterMachineStatuses").some(({ metadata }) => metadata.labels[label.set] === set.metadata.id)
    if (left) return
    drop("MachineSetStatuses", set.metadata.id)
    if (set.metadata.finalizers.length > 0) change(set, { finalizers: [] })
  }

  // ---------------------------------------------------------------------------
  // Clusters
  // ---------------------------------------------------------------------------

  const sayUpgrades = (cluster: Stored, running: boolean): boolean => {
    const { id } = cluster.metadata
    const spec = read(specs.ClusterSpecSchema, cluster)
    let busy = false
    // The fields of the two are the same.
    const [talos, kubernetes] = [specs.TalosUpgradeStatusSpecSchema, specs.KubernetesUpgradeStatusSpecSchema]
    for (
      const [plural, schema, wanted] of [
        ["TalosUpgradeStatuses", talos, spec.talosVersion],
        ["KubernetesUpgradeStatuses", kubernetes as unknown as typeof talos, spec.kubernetesVersion]
      ] as const
    ) {
      const there = get(plural, id)
      // That of Kubernetes has the cluster's label, that of Talos has none.
      const labels: Record<string, string> = plural === "KubernetesUpgradeStatuses" ? { [label.cluster]: id } : {}
      if (there === undefined) {
        if (running) say(plural, id, schema, { phase: upgradePhase.done, lastUpgradeVersion: wanted }, labels)
        continue
      }
      const { lastUpgradeVersion } = read(schema, there)
      if (lastUpgradeVersion === wanted) continue
      const key = `${plural}/${id}`
      const rounds = (upgrading.get(key) ?? 0) + 1
      upgrading.set(key, rounds)
      // A server goes on saying for a while that all is done.
      if (rounds === 1) continue
      if (rounds < 6) {
        busy = true
        say(plural, id, schema, {
          phase: upgradePhase.upgrading,
          lastUpgradeVersion,
          currentUpgradeVersion: wanted,
          status: `updating machines ${rounds - 1}/4`
        }, labels)
      } else {
        upgrading.delete(key)
        say(plural, id, schema, { phase: upgradePhase.done, lastUpgradeVersion: wanted }, labels)
      }
    }
    return busy
  }

  const userLabels = (labels: Readonly<Record<string, string>>) =>
    Object.fromEntries(Object.entries(labels).filter(([name]) => !name.startsWith(prefix)))

  const run = (cluster: Stored) => {
    const { id } = cluster.metadata
    const missing = clusterFinalizers.find((finalizer) => !cluster.metadata.finalizers.includes(finalizer))
    if (missing !== undefined) change(cluster, { finalizers: [...cluster.metadata.finalizers, missing] })
    const spec = read(specs.ClusterSpecSchema, cluster)
    const sets = ofCluster("MachineSets", id)
    for (const set of sets) {
      if (set.metadata.phase === "running" && set.metadata.finalizers.length === 0) {
        change(set, { finalizers: [setFinalizer] })
      }
      if (set.metadata.phase === "running") allocate(set)
      else dissolve(set)
    }
    const parts = ofCluster("MachineSets", id).map((set) => ({ set, ...sayPartOf(set) }))
    const sum = (pick: (count: Count) => number) => parts.reduce((total, { count: each }) => total + pick(each), 0)
    const machinesOfAll: Count = {
      requested: sum(({ requested }) => requested),
      total: sum(({ total }) => total),
      healthy: sum(({ healthy }) => healthy),
      connected: sum(({ connected }) => connected)
    }
    const rounds = parts.length === 0 ? 0 : (seen.get(id) ?? 0) + 1
    seen.set(id, rounds)
    const failed = parts.some(({ phase }) => phase === setPhase.failed)
    const said = get("ClusterStatuses", id)
    const falseFriend = rounds === 1 &&
      (said === undefined || read(specs.ClusterStatusSpecSchema, said).phase === clusterPhase.unknown)
    const phase = parts.length === 0
      ? clusterPhase.unknown
      : falseFriend
      ? clusterPhase.running
      : parts.some((part) => part.phase === setPhase.scalingUp)
      ? clusterPhase.scalingUp
      : parts.some((part) => part.phase === setPhase.scalingDown || part.phase === setPhase.destroying)
      ? clusterPhase.scalingDown
      : clusterPhase.running
    const controlPlane = parts.find(({ set }) => label.controlPlane in set.metadata.labels)
    const up = (controlPlane?.count.healthy ?? 0) > 0
    const ready = falseFriend ||
      phase === clusterPhase.running && !failed && machinesOfAll.healthy === machinesOfAll.requested
    const busy = sayUpgrades(cluster, phase === clusterPhase.running && up && ready)
    say("ClusterStatuses", id, specs.ClusterStatusSpecSchema, {
      available: falseFriend || up,
      machines: falseFriend ? {} : machinesOfAll,
      phase,
      ready: ready && !busy,
      kubernetesAPIReady: up,
      controlplaneReady: up,
      hasConnectedControlPlanes: (controlPlane?.count.connected ?? 0) > 0,
      talosVersion: spec.talosVersion,
      kubernetesVersion: spec.kubernetesVersion
    }, userLabels(cluster.metadata.labels))
    for (const node of ofCluster("MachineSetNodes", id)) {
      const machine = machines.get(node.metadata.id)
      if (node.metadata.phase !== "running" || machine === undefined) continue
      advance(node, machine, busy)
      const version = `v${spec.talosVersion}`
      if (!busy && machine.talosVersion !== version && (progress.get(machine.id) ?? 0) >= wayUp.length - 1) {
        machine.talosVersion = version
        sayMachine(machine)
      }
    }
  }

  const plural = (count: number, what: string) => `${count} ${what}${count === 1 ? "" : "s"}`

  const destroy = (cluster: Stored) => {
    const { id } = cluster.metadata
    const sets = ofCluster("MachineSets", id)
    const statuses = ofCluster("ClusterMachineStatuses", id)
    const status = get("ClusterStatuses", id)
    if (status !== undefined) {
      say("ClusterStatuses", id, specs.ClusterStatusSpecSchema, {
        ...read(specs.ClusterStatusSpecSchema, status),
        phase: clusterPhase.destroying,
        ready: false
      }, status.metadata.labels)
    }
    if (sets.length > 0 || statuses.length > 0) {
      say("ClusterDestroyStatuses", id, specs.DestroyStatusSpecSchema, {
        phase: `Destroying: ${plural(sets.length, "machine set")}, ${plural(statuses.length, "machine")}`
      })
    }
    const workers = sets.filter(({ metadata }) => label.worker in metadata.labels)
    const first = workers.length > 0 ? workers : sets
    for (const set of first) {
      if (set.metadata.phase === "running") tearDown(set)
      else dissolve(set)
    }
    if (sets.length > 0) return
    for (const kind of ["ConfigPatches", "ExtensionsConfigurations"]) {
      for (const part of ofCluster(kind, id)) tearDown(part)
    }
    if (statuses.length > 0 || knobs.stuck.has(id)) return
    if (cluster.metadata.finalizers.length > 0) {
      change(cluster, { finalizers: cluster.metadata.finalizers.slice(1) })
      return
    }
    for (const kind of aboutClusters) drop(kind, id)
    seen.delete(id)
  }

  /** Omni destroys by itself what users have torn down and nobody holds. */
  const sweepUp = () => {
    for (
      const kind of [
        "MachineSetNodes",
        "MachineSets",
        "ConfigPatches",
        "ExtensionsConfigurations",
        "MachineClasses",
        "KernelArgs",
        "MachineInstallDiskConfigs",
        "Clusters"
      ]
    ) {
      for (const { metadata } of list(kind)) {
        if (isUserManaged(metadata.type) && metadata.phase === "tearingDown" && metadata.finalizers.length === 0) {
          if (kind === "Clusters" && get("ClusterStatuses", metadata.id) !== undefined) continue
          store.drop(metadata)
        }
      }
    }
  }

  /** What is said of clusters that are not there any more. */
  const sweepStatuses = () => {
    for (const kind of aboutClusters) {
      for (const { metadata: { id } } of list(kind)) if (get("Clusters", id) === undefined) drop(kind, id)
    }
  }

  /** One round. Gives whether machines are still on their way. */
  const round = (): boolean => {
    sweepUp()
    sweepStatuses()
    // A link goes at once, or between two rounds: its machine goes with it.
    for (const machine of machines.values()) {
      if (linked.has(machine.id) && get("Links", machine.id)?.metadata.phase !== "running") forgetMachine(machine)
    }
    for (const cluster of list("Clusters")) {
      if (cluster.metadata.phase === "running") run(cluster)
      else destroy(cluster)
    }
    const assigned = new Set(
      list("MachineSetNodes").filter(({ metadata }) => metadata.phase === "running").map(({ metadata }) => metadata.id)
    )
    for (const status of list("ClusterMachineStatuses")) if (!assigned.has(status.metadata.id)) retire(status)
    for (const machine of machines.values()) sayMachine(machine)
    return [...progress].some(([id, place]) => {
      const machine = machines.get(id)
      return machine !== undefined && machine.connected && !machine.held && place < wayUp.length - 1
    }) || upgrading.size > 0
  }

  return {
    round,
    /** Puts a machine at the end of its way up. */
    arrive: (id: string) => void progress.set(id, wayUp.length - 1)
  }
}
