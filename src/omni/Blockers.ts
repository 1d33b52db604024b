/**
 * Why a cluster is not what it should be, or does not go: read at once, in words that name the resource.
 *
 * It repeats the words of Omni: the text of a destroy, the error of a set, a configuration that a machine refused. It
 * adds locks, finalizers and machines without a connection. It changes nothing and waits for nothing.
 */
import * as Effect from "effect/Effect"
import type { ClusterName } from "../Model.ts"
import * as Labels from "./Labels.ts"
import { type CallFailure, type Kind, Kinds, type StateReader as State } from "./State.ts"
import { isReady, nameOf, phaseOf, runningStage, setPhaseOf, stageOf } from "./Translate.ts"

/**
 * One thing that keeps a cluster from becoming ready, or from going.
 *
 * @category models
 * @since 0.1.0
 */
export interface Blocker {
  readonly kind:
    | "locked"
    | "destroying"
    | "finalizer"
    | "disconnected"
    | "machine"
    | "machine-set"
    | "config-patch"
    | "control-plane"
    | "cluster"
  /** The machine, set or cluster that it is about. */
  readonly name: string
  readonly detail: string
}

/** For the end of a sentence. */
export const describe = (blockers: ReadonlyArray<Blocker>): string =>
  blockers.length === 0
    ? ""
    : `: ${blockers.slice(0, 10).map(({ detail, kind, name }) => `${kind} ${name}: ${detail}`).join("; ")}${
      blockers.length > 10 ? ` and ${blockers.length - 10} more` : ""
    }`

/** Whether a cluster may neither be changed nor deleted. */
export const isLocked = (metadata: { readonly annotations: Labels.Labels }): boolean =>
  Object.hasOwn(metadata.annotations, Labels.clusterLocked)

/** Machines of a cluster that Omni has lost touch with; a delete waits for them. */
export const disconnectedMachines = (state: State, cluster: ClusterName) =>
  state.list(Kinds.MachineStatus, { [Labels.cluster]: cluster, [Labels.disconnected]: true })

const conditionFault = (condition: { readonly type: number; readonly status: number; readonly reason: string }) =>
  condition.status === 2
    ? `${["a condition", "etcd", "its WireGuard connection"][condition.type] ?? "a condition"}: ${condition.reason}`
    : undefined

/** The kinds whose finalizers keep a part of a cluster, and what a blocker calls them. */
const parts = [
  ["machine-set", Kinds.MachineSet],
  ["machine", Kinds.MachineSetNode],
  ["machine", Kinds.ClusterMachine],
  ["config-patch", Kinds.ConfigPatch]
] as const

/** Parts of a cluster that are torn down and that a finalizer keeps; each machine once. */
const tornDown = (state: State, cluster: ClusterName) =>
  Effect.map(
    Effect.forEach(parts, ([kind, type]) =>
      Effect.map(
        state.list(type as unknown as Kind<never>, { [Labels.cluster]: cluster }),
        (all) =>
          all.flatMap(({ metadata: { finalizers, id, phase } }) =>
            phase === "tearingDown" && finalizers.length > 0 ? [{ kind, id, finalizers }] : []
          )
      ), { concurrency: "unbounded" }),
    (all) => {
      const merged = new Map<
        string,
        { readonly kind: Blocker["kind"]; readonly id: string; readonly finalizers: Array<string> }
      >()
      for (const { finalizers, id, kind } of all.flat()) {
        const found = merged.get(`${kind}/${id}`)
        if (found === undefined) merged.set(`${kind}/${id}`, { kind, id, finalizers: [...finalizers] })
        else found.finalizers.push(...finalizers.filter((each) => !found.finalizers.includes(each)))
      }
      return [...merged.values()]
    }
  )

/** All that can be said of a cluster that is not ready, or is being deleted. Empty where nothing keeps it. */
export const blockersOf =
  (state: State) => (cluster: ClusterName): Effect.Effect<ReadonlyArray<Blocker>, CallFailure> =>
    Effect.gen(function*() {
      const ofCluster = { [Labels.cluster]: cluster }
      const [resource, status, destroy, sets, machines, lost, controlPlanes, talos, kubernetes, torn] = yield* Effect
        .all([
          state.get(Kinds.Cluster, cluster),
          state.get(Kinds.ClusterStatus, cluster),
          state.get(Kinds.ClusterDestroyStatus, cluster),
          state.list(Kinds.MachineSetStatus, ofCluster),
          state.list(Kinds.ClusterMachineStatus, ofCluster),
          disconnectedMachines(state, cluster),
          state.list(Kinds.ControlPlaneStatus, ofCluster),
          state.get(Kinds.TalosUpgradeStatus, cluster),
          state.get(Kinds.KubernetesUpgradeStatus, cluster),
          tornDown(state, cluster)
        ], { concurrency: "unbounded" })
      if (resource === undefined) return []

      const found: Array<Blocker> = []
      const say = (kind: Blocker["kind"], name: string, detail: string) => found.push({ kind, name, detail })
      const goes = resource.metadata.phase === "tearingDown"

      if (isLocked(resource.metadata)) say("locked", cluster, `its annotation ${Labels.clusterLocked} locks it`)
      if (goes) {
        if (destroy !== undefined && destroy.spec.phase !== "") say("destroying", cluster, destroy.spec.phase)
        for (const finalizer of resource.metadata.finalizers) say("finalizer", cluster, finalizer)
      }
      for (const { finalizers, id, kind } of torn) {
        say(kind, id, `it is being torn down, held by ${finalizers.join(", ")}`)
      }
      for (const { metadata } of lost) {
        say("disconnected", nameOf(metadata.id, metadata.labels), `machine ${metadata.id} has no connection to Omni`)
      }
      for (const { metadata, spec } of sets) {
        if (spec.error !== "") say("machine-set", metadata.id, spec.error)
        else if (!spec.ready && !goes) say("machine-set", metadata.id, `it is ${setPhaseOf(spec.phase)} and not ready`)
      }
      for (const { metadata, spec } of controlPlanes) {
        const faults = spec.conditions.flatMap((condition) => conditionFault(condition) ?? [])
        if (faults.length > 0) say("control-plane", metadata.id, faults.join(", "))
      }
      for (const [product, upgrade] of [["Talos", talos], ["Kubernetes", kubernetes]] as const) {
        if (upgrade !== undefined && upgrade.spec.error !== "") {
          say("cluster", cluster, `the upgrade of ${product} reports ${upgrade.spec.error}`)
        }
      }
      for (const { metadata, spec } of machines) {
        const name = nameOf(metadata.id, metadata.labels)
        if (spec.lastConfigError !== "") say("machine", name, `its configuration was refused: ${spec.lastConfigError}`)
        // Omni reports a machine as ready while it is being configured.
        else if (goes || spec.stage !== runningStage) say("machine", name, `it is ${stageOf(spec.stage).raw}`)
        else if (!spec.ready) say("machine", name, "it is RUNNING and not ready")
        else if (!spec.configUpToDate) say("machine", name, "its configuration is not up to date")
      }
      if (!goes && found.length === 0 && status !== undefined && !isReady(status.spec)) {
        const { healthy = 0, requested = 0, total = 0 } = status.spec.machines ?? {}
        say(
          "cluster",
          cluster,
          requested === 0
            ? "it requests no machine"
            : `it is ${
              phaseOf(status.spec.phase).raw
            } with ${healthy} of ${total} machines healthy and ${requested} requested`
        )
      }
      return found
    })
