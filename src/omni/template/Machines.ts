/**
 * Machines of an account as a template sees them: which are free, which fit a Talos version, and why the others do not.
 *
 * A free machine is one that Omni calls available and that is connected. A machine that is not installed runs from its
 * boot image and fits clusters of the same minor version of Talos only. An installed machine fits the same minor version
 * and newer ones. Machines of a static infra provider boot what their cluster needs.
 * Source: the server's rules for MachineSetNodes, as measured on Omni 1.9.
 */
import * as Labels from "../Labels.ts"
import { visible } from "./Issue.ts"
import { bare, parseVersion } from "./Versions.ts"

/** The known facts about a machine, from its MachineStatus. */
export interface KnownMachine {
  readonly id: string
  readonly labels: Labels.Labels
  readonly isConnected: boolean
  /** Without `v`; empty while it is not known. */
  readonly talosVersion: string
}

/** The facts of a machine in its MachineStatus. */
export const knownMachine = ({ metadata, spec }: {
  readonly metadata: { readonly id: string; readonly labels: Labels.Labels }
  readonly spec: { readonly connected: boolean; readonly talosVersion: string }
}): KnownMachine => ({
  id: metadata.id,
  labels: metadata.labels,
  isConnected: spec.connected,
  talosVersion: bare(spec.talosVersion)
})

/** Why a machine cannot join a cluster of a Talos version; undefined if it can. */
export const whyNotFitting = ({ labels, talosVersion }: KnownMachine, cluster: string): string | undefined => {
  const [own, wanted] = [parseVersion(talosVersion), parseVersion(cluster)]
  if (own === undefined || wanted === undefined || Object.hasOwn(labels, Labels.managedPower)) return undefined
  const minor = `${wanted.major}.${wanted.minor}`
  const isNewer = own.major > wanted.major || (own.major === wanted.major && own.minor > wanted.minor)
  if (Object.hasOwn(labels, Labels.installed)) {
    return isNewer ? `Talos ${talosVersion} installed, the cluster has ${bare(cluster)}` : undefined
  }
  return own.major === wanted.major && own.minor === wanted.minor
    ? undefined
    : `Talos ${talosVersion}, the cluster needs ${minor}`
}

/** Why a machine is not free for a cluster, of a Talos version if one is given; undefined if it is. */
export const whyNotFree = (machine: KnownMachine, talosVersion?: string): string | undefined => {
  const { isConnected, labels } = machine
  const cluster = labels[Labels.cluster]
  if (cluster !== undefined) return `in cluster ${visible(cluster)}`
  if (!Object.hasOwn(labels, Labels.available)) return "not available"
  if (!isConnected || Object.hasOwn(labels, Labels.disconnected)) return "disconnected"
  return talosVersion === undefined ? undefined : whyNotFitting(machine, talosVersion)
}

const plural = (count: number, one: string, more: string): string => `${count} ${count === 1 ? one : more}`

/** The free machines and the state of the others, in words. */
export const freeInWords = (
  machines: ReadonlyArray<KnownMachine>,
  options: {
    /** The machines that may be chosen, and the words for the others. */
    readonly fits?: (machine: KnownMachine) => boolean
    readonly unfit?: string
    readonly talosVersion?: string | undefined
  } = {}
): { readonly free: ReadonlyArray<KnownMachine>; readonly words: string } => {
  const free: Array<KnownMachine> = []
  const others = new Map<string, number>()
  for (const machine of machines) {
    const isChosen = options.fits?.(machine) ?? true
    const why = whyNotFree(machine) ??
      (isChosen ? whyNotFree(machine, options.talosVersion) : options.unfit ?? "not selected")
    if (why === undefined) free.push(machine)
    else others.set(why, (others.get(why) ?? 0) + 1)
  }
  const rest = [...others].sort(([a], [b]) => a < b ? -1 : 1).map(([why, count]) => `${count} ${why}`)
  const total = plural(machines.length, "machine", "machines")
  return {
    free,
    words: machines.length === 0
      ? "the account has no machines"
      : `${free.length} of ${total} ${free.length === 1 ? "is" : "are"} free${
        rest.length === 0 ? "" : `; the others: ${rest.join(", ")}`
      }`
  }
}
