/**
 * The controllers of a fake Omni: one round after the other, until nothing changes.
 *
 * A round takes each cluster, set and machine at most one step, so that a watch sees the states between.
 */
import { typeOf, userTypes } from "./Access.ts"
import { makeClusterController } from "./ClusterController.ts"
import { makeExtrasController } from "./ExtrasController.ts"
import { makeMachineController } from "./MachineController.ts"
import type { Machine } from "./Machines.ts"
import { makeMachineSetController } from "./MachineSetController.ts"
import { makeResources } from "./Resources.ts"
import type { Store } from "./Store.ts"
import { makeUpgradeController } from "./UpgradeController.ts"
import type { Wire } from "./Wire.ts"

export interface ControllerOptions {
  readonly wire: Wire
  readonly store: Store
  readonly machines: Map<string, Machine>
  readonly now: () => number
  /** Clusters whose last finalizer stays. */
  readonly stuck: ReadonlySet<string>
  /** How long a connection is cut before Omni notices. */
  readonly noticeMillis: number
}

export const makeController = ({ machines, noticeMillis, now, store, stuck, wire }: ControllerOptions) => {
  const resources = makeResources(wire, store, now)
  const machineController = makeMachineController(wire, resources, machines, now, noticeMillis)
  const sets = makeMachineSetController(wire, resources, machines, machineController)
  const upgrades = makeUpgradeController(wire, resources, machines, machineController)
  const extras = makeExtrasController(wire, resources, store, now)
  const clusters = makeClusterController(
    wire,
    resources,
    machines,
    { machines: machineController, sets, upgrades, extras },
    stuck
  )

  /** The server destroys what users have torn down and nothing holds. */
  const destroyTornDown = (): void => {
    for (const type of userTypes) {
      for (const { metadata } of store.list(type, "default")) {
        if (metadata.phase === "tearingDown" && metadata.finalizers.length === 0) {
          if (type === typeOf("Clusters") && resources.get("ClusterStatuses", metadata.id) !== undefined) continue
          store.drop(metadata)
        }
      }
    }
  }

  /** One round. Gives whether another one has something to do even if nobody changes anything. */
  const round = (): boolean => {
    sets.releaseNodes()
    destroyTornDown()
    clusters.sweep()
    sets.sweep()
    for (const cluster of resources.list("Clusters")) {
      if (cluster.metadata.phase === "running") clusters.run(cluster)
      else clusters.destroy(cluster)
    }
    machineController.round()
    extras.round()
    return machineController.busy() || upgrades.busy() || clusters.busy()
  }

  return {
    round,
    forgetMachine: machineController.forget,
    isConnected: machineController.isConnected,
    /** Puts machines at the end of their way into a cluster, and the cluster past its first rounds. */
    arrive: (cluster: string, ids: ReadonlyArray<string>) => {
      clusters.arrive(cluster)
      for (const id of ids) machineController.arrive(id)
    }
  }
}
