/**
 * The machines of an account that no cluster has, and the Talos versions that they could run.
 *
 * `template/Machines.ts` decides which machines are free. This module has their public form, and the choice among them:
 * the longest known first, so that two runs choose the same.
 */
import * as Effect from "effect/Effect"
import * as Semaphore from "effect/Semaphore"
import { failWith } from "../internal/Method.ts"
import { byName } from "../internal/Operation.ts"
import { type BackendError, CapacityUnavailable } from "../Reason.ts"
import * as Labels from "./Labels.ts"
import type { MachineStatusSpec } from "./proto/specs_pb.ts"
import { type CallFailure, Kinds, type Resource, type StateReader as State } from "./State.ts"
import { freeInWords, type KnownMachine, knownMachine, whyNotFree } from "./template/Machines.ts"
import { fitsOneOf } from "./template/Selector.ts"
import type { KnownTalos } from "./template/Versions.ts"

/**
 * A machine that is in no cluster and is connected.
 *
 * @category models
 * @since 0.1.0
 */
export interface AvailableMachine {
  readonly id: string
  /** Its host name, if it reported one. */
  readonly hostname?: string
  /** Without `v`, where it is known. */
  readonly talosVersion?: string
  readonly cores: number
  readonly memoryMegabytes: number
  readonly addresses: ReadonlyArray<string>
  /** Omni's own labels, and those that users gave it. */
  readonly labels: Readonly<Record<string, string>>
}

type Machine = Resource<MachineStatusSpec>

const sum = <A>(all: ReadonlyArray<A>, of: (one: A) => number) => all.reduce((total, one) => total + of(one), 0)

const describe = ({ metadata, spec }: Machine): AvailableMachine => {
  const hostname = spec.network?.hostname || metadata.labels[Labels.hostname] || ""
  const talosVersion = spec.talosVersion.replace(/^v/, "")
  return {
    id: metadata.id,
    ...(hostname === "" ? {} : { hostname }),
    ...(talosVersion === "" ? {} : { talosVersion }),
    cores: sum(spec.hardware?.processors ?? [], ({ coreCount }) => coreCount),
    memoryMegabytes: sum(spec.hardware?.memoryModules ?? [], ({ sizeMb }) => sizeMb),
    addresses: spec.network?.addresses ?? [],
    labels: metadata.labels
  }
}

/** The machines that a new cluster could have, by id. */
export const availableMachines = (state: State): Effect.Effect<ReadonlyArray<AvailableMachine>, CallFailure> =>
  Effect.map(
    state.list(Kinds.MachineStatus, { [Labels.available]: true }),
    (machines) =>
      machines
        .filter((machine) => whyNotFree(knownMachine(machine)) === undefined)
        .map(describe)
        .sort((a, b) => byName(a.id, b.id))
  )

/**
 * The machines that `createNodes` may take: those of these ids, or those whose labels fit one of the selectors, such as
 * `omni.sidero.dev/region=fsn1, team`.
 *
 * @category models
 * @since 0.1.0
 */
export type MachineSelection =
  | { readonly ids: ReadonlyArray<string> }
  | { readonly matchLabels: ReadonlyArray<string> }

export const selects = (selection: MachineSelection) => ({ id, labels }: KnownMachine): boolean =>
  "ids" in selection ? selection.ids.includes(id) : fitsOneOf(selection.matchLabels, labels)

/** Chooses free machines that fit a Talos version, or reports how many are free, and why the others are not. */
export const choose = (
  machines: ReadonlyArray<KnownMachine>,
  count: number,
  selection: MachineSelection,
  talosVersion: string
): Effect.Effect<ReadonlyArray<string>, BackendError> => {
  if (count === 0) return Effect.succeed([])
  const { free, words } = freeInWords(machines, {
    fits: selects(selection),
    unfit: "not selected by the layer's `machines`",
    talosVersion
  })
  if (free.length < count) {
    return failWith(
      new CapacityUnavailable({
        detail: `${count} more ${count === 1 ? "machine is" : "machines are"} needed; ${words}`
      })
    )
  }
  const rank = (id: string) => "ids" in selection ? selection.ids.indexOf(id) : 0
  return Effect.succeed(free.map(({ id }) => id).sort((a, b) => rank(a) - rank(b) || byName(a, b)).slice(0, count))
}

/** The newest release that enough of the machines fit; the newest of all if none is. */
export const newestFitting = (
  releases: ReadonlyArray<KnownTalos>,
  machines: ReadonlyArray<KnownMachine>,
  count: number
): KnownTalos | undefined =>
  releases.find(({ version }) =>
    machines.filter((machine) => whyNotFree(machine, version) === undefined).length >= count
  ) ?? releases[0]

/** The machines that running creates of a layer have chosen, so that no two choose the same. */
export interface Choices {
  /** The choices of creates of other clusters. */
  readonly ofOthers: (cluster: string) => ReadonlySet<string>
  readonly take: (cluster: string, ids: ReadonlyArray<string>) => void
  /** Keeps the choices of a cluster while an operation runs. */
  readonly during: (cluster: string) => <A, E, R>(operation: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /** Runs one choice at a time. */
  readonly oneAtATime: <A, E, R>(choice: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
}

export const makeChoices = (): Choices => {
  const gate = Semaphore.makeUnsafe(1)
  const running = new Map<string, { operations: number; readonly ids: Set<string> }>()
  return {
    ofOthers: (cluster) => new Set([...running].flatMap(([name, { ids }]) => name === cluster ? [] : [...ids])),
    take: (cluster, ids) => {
      for (const id of ids) running.get(cluster)?.ids.add(id)
    },
    during: (cluster) => (operation) =>
      Effect.acquireUseRelease(
        Effect.sync(() => {
          const mine = running.get(cluster) ?? { operations: 0, ids: new Set<string>() }
          mine.operations++
          running.set(cluster, mine)
          return mine
        }),
        () => operation,
        (mine) =>
          Effect.sync(() => {
            mine.operations--
            if (mine.operations === 0) running.delete(cluster)
          })
      ),
    oneAtATime: gate.withPermits(1)
  }
}
