/**
 * Machines of an account as a template sees them: which are free, and why the others are not.
 *
 * Free is what Omni calls available, and is connected. A machine class takes any free machine whose labels fit.
 */
import * as Labels from "../Labels.ts"
import { visible } from "./Issue.ts"

/** What is known of a machine, from its MachineStatus. */
export interface KnownMachine {
  readonly id: string
  readonly labels: Labels.Labels
  readonly isConnected: boolean
}

/** What its MachineStatus tells of a machine. */
export const knownMachine = ({ metadata, spec }: {
  readonly metadata: { readonly id: string; readonly labels: Labels.Labels }
  readonly spec: { readonly connected: boolean }
}): KnownMachine => ({ id: metadata.id, labels: metadata.labels, isConnected: spec.connected })

/** Why a machine is not free; undefined where it is. */
export const whyNotFree = ({ isConnected, labels }: KnownMachine): string | undefined => {
  const cluster = labels[Labels.cluster]
  if (cluster !== undefined) return `in cluster ${visible(cluster)}`
  if (!Object.hasOwn(labels, Labels.available)) return "not available"
  return isConnected && !Object.hasOwn(labels, Labels.disconnected) ? undefined : "disconnected"
}

const plural = (count: number, one: string, more: string): string => `${count} ${count === 1 ? one : more}`

/** How many are free, and what is with the others, in words. */
export const freeInWords = (
  machines: ReadonlyArray<KnownMachine>,
  fits: (machine: KnownMachine) => boolean,
  unfit: string
): { readonly free: ReadonlyArray<KnownMachine>; readonly words: string } => {
  const free: Array<KnownMachine> = []
  const others = new Map<string, number>()
  for (const machine of machines) {
    const why = whyNotFree(machine) ?? (fits(machine) ? undefined : unfit)
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
