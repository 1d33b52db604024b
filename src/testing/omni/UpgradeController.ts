/**
 * Upgrades of a fake Omni: Talos on one machine after the other, Kubernetes component by component.
 *
 * TalosUpgradeStatus is there soon after the Cluster, and done. A new version is done at once without machines, and where
 * Omni skips the machines because their schematic is another one. KubernetesUpgradeStatus comes after the cluster is ready.
 * Source: Omni 1.9.3 as recorded.
 */
import type { ClusterSpec } from "../../omni/proto/specs_pb.ts"
import { label } from "./Labels.ts"
import type { MachineController } from "./MachineController.ts"
import type { Machine } from "./Machines.ts"
import type { Resources } from "./Resources.ts"
import type { Stored } from "./Store.ts"
import { compareVersions, minorSteps, withoutV } from "./Versions.ts"
import type { Wire } from "./Wire.ts"

const upgradePhase = { upgrading: 1, done: 2 } as const

const components = ["kube-apiserver", "kube-controller-manager", "kube-scheduler"] as const

/** The steps of a Kubernetes upgrade: each component on each control plane, then each kubelet, workers first. */
const kubernetesSteps = (
  controlPlanes: ReadonlyArray<Machine>,
  workers: ReadonlyArray<Machine>
): ReadonlyArray<{ readonly machine: Machine; readonly what: string }> => [
  ...components.flatMap((what) => controlPlanes.map((machine) => ({ machine, what }))),
  ...[...workers, ...controlPlanes].map((machine) => ({ machine, what: "kubelet" }))
]

const notReady = (machines: ReadonlyArray<Machine>, from: number): string => {
  const pods = machines.flatMap(({ hostname }) => components.slice(from).map((what) => `"${hostname}/${what}"`))
  return `static pods [${pods.join(" ")}] are not ready`
}

export const makeUpgradeController = (
  wire: Wire,
  resources: Resources,
  machines: Map<string, Machine>,
  controller: MachineController
) => {
  const { specs } = wire
  const { get, list, ofCluster, read, remove, write } = resources
  /** How far the Kubernetes upgrade of each cluster is. */
  const kubernetesProgress = new Map<string, { target: string; step: number; started: boolean }>()
  /** Clusters whose Talos upgrade is announced; the first machine starts a round later. */
  const talosTarget = new Map<string, string>()
  const current = new Map<string, string>()
  /** The version that each cluster began with: it never goes below that minor. */
  const initial = new Map<string, string>()
  /** Clusters whose machines were skipped, with the version that they do not get. */
  const skipped = new Map<string, string>()

  const offered = (kind: "TalosVersions" | "KubernetesVersions") =>
    list(kind).map(({ metadata: { id } }) => id).sort(compareVersions)

  const talosTargets = (cluster: string, version: string): ReadonlyArray<string> =>
    offered("TalosVersions").filter((id) =>
      id !== version && !deprecated(id) && (minorSteps(version, id) ?? 3) <= 2 &&
      (minorSteps(initial.get(cluster) ?? version, id) ?? -1) >= 0
    )

  const deprecated = (id: string): boolean => {
    const stored = get("TalosVersions", id)
    return stored !== undefined && read(specs.TalosVersionSpecSchema, stored).deprecated
  }

  const kubernetesTargets = (spec: ClusterSpec): ReadonlyArray<string> => {
    const talos = get("TalosVersions", spec.talosVersion)
    const compatible = talos === undefined
      ? []
      : read(specs.TalosVersionSpecSchema, talos).compatibleKubernetesVersions
    return compatible.filter((id) => {
      const steps = minorSteps(spec.kubernetesVersion, id)
      return steps !== undefined && steps >= 0 && steps <= 1 && compareVersions(id, spec.kubernetesVersion) > 0
    }).sort(compareVersions)
  }

  const isLocked = (id: string): boolean => {
    const node = get("MachineSetNodes", id)
    return node !== undefined && label.locked in node.metadata.annotations
  }

  const split = (cluster: string) => {
    const statuses = ofCluster("ClusterMachineStatuses", cluster)
    const pick = (role: string) =>
      statuses.filter(({ metadata }) => role in metadata.labels).flatMap(({ metadata: { id } }) =>
        machines.get(id) ?? []
      )
    return { controlPlanes: pick(label.controlPlane), workers: pick(label.worker) }
  }

  // ---------------------------------------------------------------------------
  // Talos
  // ---------------------------------------------------------------------------

  const writeTalos = (
    cluster: Stored,
    version: string,
    changes: Partial<{ phase: number; lastUpgradeVersion: string; status: string; step: string }> = {}
  ) =>
    write("TalosUpgradeStatuses", cluster.metadata.id, specs.TalosUpgradeStatusSpecSchema, {
      phase: upgradePhase.done,
      lastUpgradeVersion: version,
      currentUpgradeVersion: changes.phase === upgradePhase.upgrading ? version : "",
      upgradeVersions: [...talosTargets(cluster.metadata.id, version)],
      ...changes
    })

  /** One round of the Talos upgrade; gives whether one is under way. */
  const talos = (cluster: Stored, spec: ClusterSpec): boolean => {
    const { id } = cluster.metadata
    const target = spec.talosVersion
    const there = get("TalosUpgradeStatuses", id)
    const { controlPlanes, workers } = split(id)
    const all = [...controlPlanes, ...workers]
    // Machines that have just joined are installed with the version of the cluster.
    const behind = all.filter((machine) => machine.installed && withoutV(machine.talosVersion) !== target)
    if (!initial.has(id)) initial.set(id, target)
    const last = there === undefined ? target : read(specs.TalosUpgradeStatusSpecSchema, there).lastUpgradeVersion
    if (there === undefined || (last === target && !talosTarget.has(id))) {
      writeTalos(cluster, target)
      return false
    }
    if (behind.length > 0 && behind.every(({ otherSchematic }) => otherSchematic)) {
      talosTarget.delete(id)
      writeTalos(cluster, target)
      if (skipped.get(id) === target || !behind.every((machine) => controller.isResting(machine.id))) return false
      skipped.set(id, target)
      // One machine of each set restarts with its new configuration; that of the control plane has the version then.
      const restarting = new Set([controlPlanes[0], workers[0]])
      for (const machine of behind) controller.start(machine.id, restarting.has(machine) ? "restarting" : "pending")
      const [first] = controlPlanes
      if (first !== undefined) first.talosVersion = `v${target}`
      return false
    }
    const moving = current.get(id)
    const arrived = moving === undefined || controller.isResting(moving)
    if (behind.length === 0 && arrived) {
      talosTarget.delete(id)
      current.delete(id)
      writeTalos(cluster, target)
      return false
    }
    const step = (status: string, now: string) =>
      writeTalos(cluster, target, { phase: upgradePhase.upgrading, lastUpgradeVersion: last, status, step: now })
    if (talosTarget.get(id) !== target) {
      talosTarget.set(id, target)
      step("updating", "no machines are currently upgrading")
      return true
    }
    const done = all.length - behind.length
    const next = arrived
      ? behind.find((machine) => !isLocked(machine.id) && controller.isConnected(machine))
      : undefined
    if (next !== undefined && controller.start(next.id, "upgrading")) {
      current.set(id, next.id)
      next.talosVersion = `v${target}`
      step(`updating machines ${done + 1}/${all.length}`, `current machine: ${next.id}`)
    } else if (!arrived) {
      step(`updating machines ${Math.max(1, done)}/${all.length}`, "waiting for the cluster to be ready")
    } else step(`updating machines ${done + 1}/${all.length}`, "no machines are currently upgrading")
    return true
  }

  // ---------------------------------------------------------------------------
  // Kubernetes
  // ---------------------------------------------------------------------------

  const writeKubernetes = (
    cluster: Stored,
    spec: ClusterSpec,
    changes: {
      phase: number
      lastUpgradeVersion: string
      currentUpgradeVersion?: string
      status?: string
      step?: string
    }
  ) =>
    write("KubernetesUpgradeStatuses", cluster.metadata.id, specs.KubernetesUpgradeStatusSpecSchema, {
      upgradeVersions: [...kubernetesTargets(spec)],
      ...changes
    }, { [label.cluster]: cluster.metadata.id })

  const writeKubernetesStatus = (cluster: string, version: string) => {
    const { controlPlanes, workers } = split(cluster)
    write("KubernetesStatuses", cluster, specs.KubernetesStatusSpecSchema, {
      nodes: [...controlPlanes, ...workers].map(({ hostname }) => ({
        nodename: hostname,
        kubeletVersion: version,
        ready: true
      })),
      staticPods: controlPlanes.map(({ hostname }) => ({
        nodename: hostname,
        staticPods: components.map((app) => ({ app, version, ready: true }))
      }))
    }, { [label.cluster]: cluster })
  }

  /** One round of the Kubernetes upgrade; gives whether one is under way. */
  const kubernetes = (cluster: Stored, spec: ClusterSpec, ready: boolean): boolean => {
    const { id } = cluster.metadata
    const target = spec.kubernetesVersion
    const there = get("KubernetesUpgradeStatuses", id)
    const { controlPlanes, workers } = split(id)
    if (there === undefined) {
      if (!ready) return false
      writeKubernetes(cluster, spec, {
        phase: upgradePhase.upgrading,
        lastUpgradeVersion: "",
        currentUpgradeVersion: target,
        status: notReady(controlPlanes, 0)
      })
      kubernetesProgress.set(id, { target, step: 0, started: false })
      return true
    }
    const last = read(specs.KubernetesUpgradeStatusSpecSchema, there).lastUpgradeVersion
    const progress = kubernetesProgress.get(id)
    if (last === "") {
      const step = (progress?.step ?? 0) + 1
      if (step < components.length) {
        kubernetesProgress.set(id, { target, step, started: false })
        writeKubernetes(cluster, spec, {
          phase: upgradePhase.upgrading,
          lastUpgradeVersion: "",
          currentUpgradeVersion: target,
          status: notReady(controlPlanes, step)
        })
        return true
      }
      kubernetesProgress.delete(id)
      writeKubernetes(cluster, spec, { phase: upgradePhase.done, lastUpgradeVersion: target })
      writeKubernetesStatus(id, target)
      return false
    }
    if (last === target) {
      kubernetesProgress.delete(id)
      writeKubernetes(cluster, spec, { phase: upgradePhase.done, lastUpgradeVersion: target })
      writeKubernetesStatus(id, target)
      return false
    }
    if (progress === undefined || progress.target !== target) {
      kubernetesProgress.set(id, { target, step: 0, started: false })
      writeKubernetes(cluster, spec, {
        phase: upgradePhase.upgrading,
        lastUpgradeVersion: last,
        currentUpgradeVersion: target
      })
      return true
    }
    const steps = kubernetesSteps(controlPlanes, workers)
    const step = steps[progress.step]
    if (step === undefined) {
      kubernetesProgress.delete(id)
      writeKubernetes(cluster, spec, { phase: upgradePhase.done, lastUpgradeVersion: target })
      writeKubernetesStatus(id, target)
      return false
    }
    const { machine, what } = step
    const show = (status: string) =>
      writeKubernetes(cluster, spec, {
        phase: upgradePhase.upgrading,
        lastUpgradeVersion: last,
        currentUpgradeVersion: target,
        step: `${machine.hostname}: updating ${what} to ${target}`,
        status
      })
    if (!progress.started) {
      progress.started = controller.start(machine.id, "reconfiguring")
      show("waiting for a restart")
    } else if (controller.isResting(machine.id)) {
      progress.step++
      progress.started = false
      show("waiting for the cluster to be ready")
    }
    return true
  }

  return {
    talos,
    kubernetes,
    /** Whether an upgrade of a cluster goes on without anything else happening. */
    busy: () =>
      [...kubernetesProgress.keys()].some((id) => get("Clusters", id)?.metadata.phase === "running") ||
      [...talosTarget].some(([id, target]) => {
        if (get("Clusters", id)?.metadata.phase !== "running") return false
        const moving = current.get(id)
        if (moving !== undefined && !controller.isResting(moving)) return false
        const { controlPlanes, workers } = split(id)
        return [...controlPlanes, ...workers].some((machine) =>
          withoutV(machine.talosVersion) !== target && !isLocked(machine.id) && controller.isConnected(machine) &&
          controller.isResting(machine.id)
        )
      }),
    /** A cluster that is torn down loses its upgrade statuses first. */
    end: (id: string) => {
      kubernetesProgress.delete(id)
      for (const map of [talosTarget, current, initial, skipped]) map.delete(id)
      for (const kind of ["KubernetesUpgradeStatuses", "TalosUpgradeStatuses", "KubernetesStatuses"]) remove(kind, id)
    }
  }
}

export type UpgradeController = ReturnType<typeof makeUpgradeController>
