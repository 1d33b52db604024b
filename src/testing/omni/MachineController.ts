/**
 * The statuses of the machines of a fake Omni, and the way of a machine into a cluster and out of it.
 *
 * A machine takes one step a round. Omni shows CONFIGURING, then INSTALLING, then RUNNING; the node name and the installed
 * version come after that. On the way out it shows BEFORE_DESTROY and DESTROYING.
 * Source: Omni 1.9.3 as recorded.
 */
import { label, roleLabel } from "./Labels.ts"
import { isManaged, isOn, type Machine } from "./Machines.ts"
import type { Resources } from "./Resources.ts"
import type { Stored } from "./Store.ts"
import type { Wire } from "./Wire.ts"

export const stage = {
  booting: 1,
  installing: 2,
  configuring: 3,
  running: 4,
  destroying: 5,
  rebooting: 7,
  beforeDestroy: 9,
  poweredOff: 11
} as const

type Stage = (typeof stage)[keyof typeof stage]

const applyStatus = { pending: 1, applied: 2 } as const
const powerState = { unsupported: 1, on: 2, off: 3 } as const

interface Shown {
  readonly stage: Stage
  readonly ready: boolean
  readonly upToDate: boolean
}

/** The steps of a machine that joins a cluster. */
const joining: ReadonlyArray<Shown> = [
  { stage: stage.configuring, ready: true, upToDate: false },
  { stage: stage.configuring, ready: true, upToDate: false },
  { stage: stage.installing, ready: false, upToDate: false },
  { stage: stage.installing, ready: false, upToDate: true },
  { stage: stage.running, ready: true, upToDate: true }
]

/** The steps of a machine that gets another Talos version. */
const upgrading: ReadonlyArray<Shown> = [
  { stage: stage.running, ready: true, upToDate: false },
  { stage: stage.rebooting, ready: true, upToDate: false },
  { stage: stage.rebooting, ready: false, upToDate: false },
  { stage: stage.running, ready: false, upToDate: false },
  { stage: stage.running, ready: true, upToDate: false },
  { stage: stage.running, ready: true, upToDate: true }
]

/** The steps of a machine that gets another configuration. */
const reconfiguring: ReadonlyArray<Shown> = [
  { stage: stage.running, ready: true, upToDate: false },
  { stage: stage.running, ready: true, upToDate: true }
]

/** The steps of a machine that restarts and whose configuration stays pending: Omni skips its upgrade. */
const restarting: ReadonlyArray<Shown> = upgrading.slice(0, -1)

/** A machine whose configuration stays pending. */
const pending: ReadonlyArray<Shown> = upgrading.slice(0, 1)

const paths = { joining, upgrading, reconfiguring, restarting, pending } as const

/** The stage of a machine of a cluster. After the last one nothing changes. */
interface Progress {
  path: keyof typeof paths
  at: number
}

/** Rounds from RUNNING until the node name is known, and until MachineStatus shows the installation. */
const nodeNameAfter = 2
const installedAfter = 3

export const makeMachineController = (
  wire: Wire,
  resources: Resources,
  machines: Map<string, Machine>,
  now: () => number,
  noticeMillis: number
) => {
  const { specs } = wire
  const { drop, get, list, ofCluster, read, remove, write } = resources
  const progress = new Map<string, Progress>()
  /** Rounds that each machine has been running as a node. */
  const settled = new Map<string, number>()
  /** The Talos version that MachineStatus is to show next; it lags behind the machine. */
  const shownVersion = new Map<string, string>()
  const linked = new Set<string>()

  const isConnected = ({ connected, cutAt }: Machine): boolean =>
    connected && (cutAt === undefined || now() - cutAt < noticeMillis)

  const lengthOf = ({ path }: Progress): number => paths[path].length - 1

  const shown = (machine: Machine): Shown => {
    const place = progress.get(machine.id) ?? { path: "joining", at: 0 }
    const found = paths[place.path][Math.min(Math.max(place.at, 0), lengthOf(place))] ?? joining[0]
    const current = found ?? { stage: stage.configuring, ready: false, upToDate: false }
    if (current.stage === stage.running && !isOn(machine)) {
      return { ...current, stage: stage.poweredOff, ready: false }
    }
    return isConnected(machine) ? current : { ...current, ready: false }
  }

  const isResting = (id: string): boolean => {
    const place = progress.get(id)
    return place !== undefined && place.at >= lengthOf(place)
  }

  const canMove = (machine: Machine): boolean => isConnected(machine) && !machine.held && isOn(machine)

  const address = (id: string): string => `fdae:41e4:649b:9303::${id.slice(-4)}`

  const machineFinalizers = ["MachineTeardownController", "MachineUpgradeStatusController"]

  const writeMachine = (machine: Machine): void => {
    const { id } = machine
    const assigned = get("ClusterMachines", id)
    const cluster = assigned?.metadata.labels[label.cluster]
    const isNode = assigned !== undefined && (settled.get(id) ?? 0) >= installedAfter
    if (isNode || assigned === undefined) shownVersion.set(id, machine.talosVersion)
    const connected = isConnected(machine)
    const version = shownVersion.get(id) ?? machine.initialTalosVersion
    write("MachineStatuses", id, specs.MachineStatusSpecSchema, {
      talosVersion: version,
      hardware: { arch: machine.arch },
      network: { hostname: machine.hostname, addresses: [...machine.addresses] },
      managementAddress: address(id),
      connected,
      maintenance: !isNode,
      cluster: cluster ?? "",
      role: assigned === undefined ? 0 : label.controlPlane in assigned.metadata.labels ? 1 : 2,
      powerState: !connected
        ? powerState.unsupported
        : isOn(machine)
        ? powerState.on
        : powerState.off
    }, {
      ...machine.labels,
      ...(assigned === undefined || cluster === undefined ? { [label.available]: "" } : {
        [label.cluster]: cluster,
        [label.set]: assigned.metadata.labels[label.set] ?? "",
        ...roleLabel(assigned.metadata.labels)
      }),
      ...(connected ? { [label.connected]: "" } : { [label.disconnected]: "" }),
      ...(isManaged(machine) ? { [label.managed]: "" } : {}),
      ...(machine.installed && (isNode || assigned === undefined) ? { [label.installed]: "" } : {}),
      [label.reportingEvents]: "",
      ...(connected ? { [label.readyToUse]: "" } : {}),
      [label.platform]: "metal",
      [label.arch]: machine.arch,
      [label.talosVersion]: version
    }, machineFinalizers)
    write("Machines", id, specs.MachineSpecSchema, { managementAddress: address(id), connected })
    if (!linked.has(id)) {
      linked.add(id)
      write("Links", id, specs.LinkSpecSchema, {})
    }
  }

  const writeNode = (node: Stored, machine: Machine): void => {
    const { labels } = node.metadata
    const { ready, stage: current, upToDate } = shown(machine)
    const named = (settled.get(machine.id) ?? 0) >= nodeNameAfter
    write("ClusterMachineStatuses", machine.id, specs.ClusterMachineStatusSpecSchema, {
      ready,
      stage: current,
      configUpToDate: upToDate,
      managementAddress: address(machine.id),
      configApplyStatus: upToDate ? applyStatus.applied : applyStatus.pending,
      provisionStatus: {}
    }, {
      [label.cluster]: labels[label.cluster] ?? "",
      [label.set]: labels[label.set] ?? "",
      ...roleLabel(labels),
      ...(isConnected(machine) ? { [label.connected]: "" } : {}),
      ...(isManaged(machine) ? { [label.managed]: "" } : {}),
      [label.hostname]: machine.hostname,
      ...(named ? { [label.nodeName]: machine.hostname } : {})
    }, ["ClusterWorkloadProxyStatusController", "SecretRotationStatusController"])
  }

  /** A machine of a set takes one step. First it gets its ClusterMachine, then its ClusterMachineStatus. */
  const advance = (node: Stored, machine: Machine, talosVersion: string, kubernetesVersion: string): void => {
    const { id } = machine
    const { labels } = node.metadata
    const assigned = get("ClusterMachines", id)
    write("ClusterMachines", id, specs.ClusterMachineSpecSchema, { kubernetesVersion }, {
      [label.cluster]: labels[label.cluster] ?? "",
      [label.set]: labels[label.set] ?? "",
      ...roleLabel(labels)
    })
    if (assigned === undefined) return
    const place = progress.get(id)
    const there = get("ClusterMachineStatuses", id) !== undefined
    if (place === undefined) progress.set(id, { path: "joining", at: 0 })
    else if (there && canMove(machine)) {
      place.at = Math.min(place.at + 1, lengthOf(place))
      if (isResting(id)) {
        if (place.path === "joining" && !machine.installed) machine.talosVersion = `v${talosVersion}`
        if (place.path === "joining") machine.installed = true
        settled.set(id, (settled.get(id) ?? 0) + 1)
      }
    }
    writeNode(node, machine)
  }

  /** Starts a path for a machine that rests; gives whether it has started. */
  const start = (id: string, path: Exclude<Progress["path"], "joining">): boolean => {
    if (!isResting(id)) return false
    // The next round takes the first step.
    progress.set(id, { path, at: -1 })
    return true
  }

  /** The last control plane of a cluster stays until the cluster is torn down. */
  const isLastControlPlane = ({ metadata: { id, labels } }: Stored): boolean => {
    const cluster = labels[label.cluster] ?? ""
    return label.controlPlane in labels && get("Clusters", cluster)?.metadata.phase === "running" &&
      ofCluster("ClusterMachineStatuses", cluster).every(({ metadata }) =>
        metadata.id === id || !(label.controlPlane in metadata.labels)
      )
  }

  /** A machine that is in no set leaves its cluster. One that is disconnected stays until it is back or its link is gone. */
  const retire = (status: Stored): void => {
    const { id, labels } = status.metadata
    const machine = machines.get(id)
    const spec = read(specs.ClusterMachineStatusSpecSchema, status)
    const show = (next: Stage) =>
      write("ClusterMachineStatuses", id, specs.ClusterMachineStatusSpecSchema, { ...spec, stage: next }, labels)
    if (spec.stage !== stage.beforeDestroy && spec.stage !== stage.destroying) return show(stage.beforeDestroy)
    if (spec.stage === stage.beforeDestroy) return isLastControlPlane(status) ? undefined : show(stage.destroying)
    if (machine !== undefined && !isConnected(machine)) return
    remove("ClusterMachineStatuses", id)
    remove("ClusterMachines", id)
    progress.delete(id)
    settled.delete(id)
    if (machine === undefined || isOn(machine)) return
    machine.shutDown = false
    if (isManaged(machine)) machine.power = "on"
  }

  const forget = (id: string): void => {
    for (const kind of ["Links", "Machines", "MachineStatuses", "ClusterMachineStatuses", "ClusterMachines"]) {
      drop(kind, id)
    }
    drop("MachineSetNodes", id)
    for (const map of [progress, settled, shownVersion]) map.delete(id)
    linked.delete(id)
    machines.delete(id)
  }

  /** Machines that have left their sets, links that were removed, and the status of every machine. */
  const round = (): void => {
    // A link is gone at once, or torn down between two rounds, together with its machine.
    for (const id of Array.from(machines.keys())) {
      if (linked.has(id) && get("Links", id)?.metadata.phase !== "running") forget(id)
    }
    const assigned = new Set(
      list("MachineSetNodes").filter(({ metadata }) => metadata.phase === "running").map(({ metadata }) => metadata.id)
    )
    for (const status of list("ClusterMachineStatuses")) if (!assigned.has(status.metadata.id)) retire(status)
    for (const { metadata: { id } } of list("ClusterMachines")) {
      if (!assigned.has(id) && get("ClusterMachineStatuses", id) === undefined) remove("ClusterMachines", id)
    }
    for (const machine of machines.values()) writeMachine(machine)
  }

  /** Whether a machine of a cluster still has steps to take without anything else happening. */
  const busy = (): boolean =>
    [...progress].some(([id, place]) => {
      const machine = machines.get(id)
      return machine !== undefined && canMove(machine) &&
        (place.at < lengthOf(place) || (settled.get(id) ?? 0) <= installedAfter)
    })

  return {
    advance,
    busy,
    forget,
    isConnected,
    isResting,
    round,
    start,
    /** Puts a machine at the end of its way into a cluster. */
    arrive: (id: string) => {
      progress.set(id, { path: "joining", at: joining.length - 1 })
      settled.set(id, installedAfter)
    },
    /** The machines of a cluster that are nodes, by id. */
    nodes: (cluster: string) =>
      ofCluster("ClusterMachineStatuses", cluster).flatMap(({ metadata: { id } }) => machines.get(id) ?? [])
  }
}

export type MachineController = ReturnType<typeof makeMachineController>
