/**
 * The clusters of a fake Omni: what its controllers write about a cluster, and how a cluster is torn down.
 *
 * Source: Omni 1.9.3 as recorded.
 */
import type { ClusterStatusSpec_Phase } from "../../omni/proto/specs_pb.ts"
import { label, userLabels } from "./Labels.ts"
import type { MachineController } from "./MachineController.ts"
import type { Machine } from "./Machines.ts"
import { type Count, type MachineSetController, noMachines, type SetPart, setPhase } from "./MachineSetController.ts"
import type { Resources } from "./Resources.ts"
import type { Stored } from "./Store.ts"
import type { UpgradeController } from "./UpgradeController.ts"
import type { Wire } from "./Wire.ts"

const clusterPhase = { unknown: 0, scalingUp: 1, scalingDown: 2, running: 3, destroying: 4 } as const

/** Finalizers that go at the start of a teardown, and those that stay until all machines are gone. */
const earlyFinalizers = [
  "BackupDataController",
  "ClusterConfigVersionController",
  "ClusterEndpointController",
  "ClusterKubernetesManifestsStatusController",
  "ClusterWorkloadProxyController",
  "ClusterWorkloadProxyStatusController",
  "KubernetesUpgradeStatusController",
  "TalosUpgradeStatusController"
]
const lateFinalizers = [
  "ClusterController",
  "ClusterDestroyStatusController",
  "ClusterStatusController",
  "ClusterUUIDController",
  "SecretsController"
]

/** Kinds with one resource a cluster. */
const aboutClusters = [
  "ClusterStatuses",
  "ClusterDestroyStatuses",
  "ClusterEndpoints",
  "ClusterBootstrapStatuses",
  "ClusterKubernetesManifestsStatuses",
  "ClusterUUIDs",
  "LoadBalancerStatuses",
  "TalosUpgradeStatuses",
  "KubernetesUpgradeStatuses",
  "KubernetesStatuses",
  "EtcdBackupStatuses"
]

/** Parts of a cluster that its teardown removes once its sets are gone. */
const parts = ["ConfigPatches", "KubernetesManifestGroups", "ExtensionsConfigurations", "KubernetesHealthChecks"]

const condition = { etcd: 1, wireguard: 2, ready: 1 } as const

/** One cluster of three has its Kubernetes API off for some rounds around the moment when it is ready. */
const flakyEvery = 3
const flakyRounds = 3

const countOf = (count: number, what: string) => `${count} ${what}${count === 1 ? "" : "s"}`

export const makeClusterController = (
  wire: Wire,
  resources: Resources,
  machines: Map<string, Machine>,
  controllers: {
    readonly machines: MachineController
    readonly sets: MachineSetController
    readonly upgrades: UpgradeController
    /** Parts that a cluster has beside its machines. */
    readonly extras: { readonly report: (cluster: Stored, apiReady: boolean) => void }
  },
  /** Clusters whose last finalizer stays. */
  stuck: ReadonlySet<string>
) => {
  const { specs } = wire
  const { change, get, hold, list, ofCluster, read, remove, tearDown, write } = resources
  const { sets, upgrades } = controllers
  let created = 0

  interface Known {
    /** Rounds with sets. */
    rounds: number
    /** Rounds since a control plane is connected. */
    api: number
    /** Rounds since the cluster is ready. */
    ready: number
    readonly flaky: boolean
    readonly uuid: string
  }
  const known = new Map<string, Known>()

  const knownOf = (id: string): Known => {
    const found = known.get(id)
    if (found !== undefined) return found
    created++
    const fresh: Known = {
      rounds: 0,
      api: 0,
      ready: 0,
      flaky: created % flakyEvery === 0,
      uuid: `00000000-0000-4000-9000-${String(created).padStart(12, "0")}`
    }
    known.set(id, fresh)
    return fresh
  }

  const statusFinalizers = ["ClusterBootstrapStatusController", "DiscoveryServiceConfigPatchController"]

  const sum = (all: ReadonlyArray<SetPart>, pick: (count: Count) => number) =>
    all.reduce((total, { count }) => total + pick(count), 0)

  const totals = (all: ReadonlyArray<SetPart>): Count => ({
    requested: sum(all, ({ requested }) => requested),
    total: sum(all, ({ total }) => total),
    healthy: sum(all, ({ healthy }) => healthy),
    connected: sum(all, ({ connected }) => connected)
  })

  const phaseOf = (all: ReadonlyArray<SetPart>): ClusterStatusSpec_Phase => {
    if (all.length === 0) return clusterPhase.unknown
    if (all.some(({ phase }) => phase === setPhase.scalingUp)) return clusterPhase.scalingUp
    return all.some(({ phase }) => phase === setPhase.scalingDown || phase === setPhase.destroying)
      ? clusterPhase.scalingDown
      : clusterPhase.running
  }

  /** Whether the load balancer sees the Kubernetes API: soon after a control plane is connected, with a gap for some. */
  const isApiReady = (state: Known, connected: boolean): boolean => {
    state.api = connected ? state.api + 1 : 0
    const inGap = state.flaky && state.api > 2 && state.ready < flakyRounds
    return state.api > 1 && !inGap
  }

  const writeBase = (cluster: Stored, state: Known): void => {
    const { id } = cluster.metadata
    const byCluster = { [label.cluster]: id }
    write("ClusterUUIDs", id, specs.ClusterUUIDSpecSchema, { uuid: state.uuid }, { [label.clusterUuid]: state.uuid })
    write("ClusterEndpoints", id, specs.ClusterEndpointSpecSchema, {
      managementAddresses: ofCluster("ClusterMachineStatuses", id)
        .filter(({ metadata }) => label.controlPlane in metadata.labels)
        .map((status) => read(specs.ClusterMachineStatusSpecSchema, status).managementAddress)
    })
    if (get("LoadBalancerStatuses", id) === undefined) {
      write("LoadBalancerStatuses", id, specs.LoadBalancerStatusSpecSchema, { stopped: true }, byCluster)
    }
    if (get("ClusterBootstrapStatuses", id) === undefined) {
      write("ClusterBootstrapStatuses", id, specs.ClusterBootstrapStatusSpecSchema, {})
    }
  }

  const writeControlPlane = (part: SetPart | undefined, cluster: string): void => {
    if (part === undefined || part.count.healthy === 0) return
    write("ControlPlaneStatuses", part.set.metadata.id, specs.ControlPlaneStatusSpecSchema, {
      conditions: [
        { type: condition.wireguard, status: condition.ready },
        { type: condition.etcd, status: condition.ready }
      ]
    }, { [label.cluster]: cluster })
    write("ClusterBootstrapStatuses", cluster, specs.ClusterBootstrapStatusSpecSchema, { bootstrapped: true })
  }

  /** The sets of a cluster, without those that are dissolved. */
  const reported = (cluster: string) =>
    ofCluster("MachineSets", cluster).filter(({ metadata: { id, phase } }) =>
      phase === "running" || get("MachineSetStatuses", id) !== undefined
    )

  /** One round of a cluster that is not torn down. */
  const run = (cluster: Stored): void => {
    const { id } = cluster.metadata
    const state = knownOf(id)
    hold(cluster, [...earlyFinalizers, ...lateFinalizers].sort())
    const spec = read(specs.ClusterSpecSchema, cluster)
    writeBase(cluster, state)

    const stored = ofCluster("MachineSets", id)
    if (stored.length > 0) state.rounds++
    // The sets are seen before their nodes: RUNNING comes before SCALING_UP.
    const first = state.rounds === 1
    for (const set of stored) {
      sets.keep(set)
      if (set.metadata.phase !== "running") sets.dissolve(set)
      else if (!first) sets.allocate(set, spec.talosVersion)
      sets.holdNodes(set)
    }
    const upgrading = upgrades.talos(cluster, spec)
    for (const node of ofCluster("MachineSetNodes", id)) {
      const machine = machines.get(node.metadata.id)
      if (node.metadata.phase !== "running" || machine === undefined || first) continue
      controllers.machines.advance(node, machine, spec.talosVersion, spec.kubernetesVersion)
    }
    const all = reported(id).map((set) => sets.report(set, { upgrading, first }))
    const counted = first ? noMachines : totals(all)
    const phase = phaseOf(all)
    const controlPlane = all.find(({ set }) => label.controlPlane in set.metadata.labels)
    writeControlPlane(controlPlane, id)

    const connected = (controlPlane?.count.connected ?? 0) > 0
    const apiReady = isApiReady(state, connected)
    write("LoadBalancerStatuses", id, specs.LoadBalancerStatusSpecSchema, {
      healthy: apiReady,
      stopped: !connected
    }, { [label.cluster]: id })
    // In the first round the set of the control planes is not known yet, only that of the workers.
    const relevant = first ? all.filter(({ phase: each }) => each !== setPhase.failed) : all
    const ready = phase === clusterPhase.running && relevant.length > 0 && relevant.every((part) => part.ready)
    state.ready = ready ? state.ready + 1 : 0
    write(
      "ClusterStatuses",
      id,
      specs.ClusterStatusSpecSchema,
      {
        available: (controlPlane?.count.total ?? 0) > 0,
        machines: counted,
        phase,
        ready,
        kubernetesAPIReady: apiReady,
        controlplaneReady: controlPlane?.ready ?? false,
        hasConnectedControlPlanes: connected,
        talosVersion: spec.talosVersion,
        kubernetesVersion: spec.kubernetesVersion
      },
      userLabels(cluster.metadata.labels),
      statusFinalizers
    )
    upgrades.kubernetes(cluster, spec, ready && !first && controlPlane !== undefined)
    controllers.extras.report(cluster, apiReady)
  }

  const writeDestroying = (cluster: Stored, all: ReadonlyArray<SetPart>): void => {
    const { id } = cluster.metadata
    const status = get("ClusterStatuses", id)
    if (status === undefined) return
    const before = read(specs.ClusterStatusSpecSchema, status)
    const controlPlane = all.find(({ set }) => label.controlPlane in set.metadata.labels)
    const alive = controlPlane !== undefined && controlPlane.phase !== setPhase.destroying
    write("ClusterStatuses", id, specs.ClusterStatusSpecSchema, {
      ...before,
      available: (controlPlane?.count.total ?? 0) > 0,
      machines: wire.protobuf.create(specs.MachinesSchema, totals(all)),
      phase: clusterPhase.destroying,
      ready: false,
      kubernetesAPIReady: before.kubernetesAPIReady && alive,
      controlplaneReady: before.controlplaneReady && alive,
      hasConnectedControlPlanes: before.hasConnectedControlPlanes && alive
    }, status.metadata.labels)
    if (!alive && get("LoadBalancerStatuses", id) !== undefined) {
      write("LoadBalancerStatuses", id, specs.LoadBalancerStatusSpecSchema, { stopped: true }, { [label.cluster]: id })
    }
  }

  /** Removes what the controllers wrote about a cluster. */
  const removeStatus = (id: string): void => {
    resources.drop("LoadBalancerStatuses", id)
    for (const kind of aboutClusters) remove(kind, id)
    known.delete(id)
  }

  /** One round of a cluster that is torn down: workers, control planes, its other parts, and then itself. */
  const destroy = (cluster: Stored): void => {
    const { id } = cluster.metadata
    const stored = ofCluster("MachineSets", id)
    const assigned = ofCluster("ClusterMachines", id)
    upgrades.end(id)
    const releasing = cluster.metadata.finalizers.find((finalizer) => earlyFinalizers.includes(finalizer))
    if (releasing !== undefined) resources.release(cluster, [releasing])
    write("ClusterDestroyStatuses", id, specs.DestroyStatusSpecSchema, {
      phase: `Destroying: ${countOf(stored.length, "machine set")}, ${countOf(assigned.length, "machine")}`
    })
    const workers = stored.filter(({ metadata }) => label.worker in metadata.labels)
    for (const set of workers.length > 0 ? workers : stored) {
      tearDown(set)
      const torn = get("MachineSets", set.metadata.id)
      if (torn !== undefined && set.metadata.phase !== "running") sets.dissolve(torn)
    }
    writeDestroying(
      cluster,
      reported(id).map((set) => sets.report(set, { upgrading: false, first: false }))
    )
    if (stored.length > 0 || assigned.length > 0) return
    for (const kind of parts) for (const part of ofCluster(kind, id)) tearDown(part)
    if (stuck.has(id)) return
    const current = get("Clusters", id)
    if (current === undefined) return
    const next = current.metadata.finalizers.find((finalizer) => lateFinalizers.includes(finalizer))
    if (next !== undefined) return resources.release(current, [next])
    const early = current.metadata.finalizers.filter((finalizer) => earlyFinalizers.includes(finalizer))
    if (early.length > 0) return resources.release(current, early)
    removeStatus(id)
  }

  /** Statuses of clusters that are gone. */
  const sweep = (): void => {
    const ids = new Set(aboutClusters.flatMap((kind) => list(kind).map(({ metadata }) => metadata.id)))
    for (const id of [...ids, ...known.keys()]) if (get("Clusters", id) === undefined) removeStatus(id)
  }

  return {
    run,
    destroy,
    sweep,
    /** Whether a gap in the readiness of an API ends without anything else happening. */
    busy: () =>
      [...known.values()].some(({ api, flaky, ready }) => api === 1 || flaky && ready > 0 && ready <= flakyRounds),
    /** A cluster that is put in place running: it has had its first rounds. */
    arrive: (id: string) => {
      const state = knownOf(id)
      state.rounds = 2
      state.api = 2
      state.ready = flakyRounds + 1
    },
    change
  }
}
