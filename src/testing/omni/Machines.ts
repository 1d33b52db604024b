/**
 * The machines behind a fake Omni. A machine outlives the clusters that it is in, and keeps the Talos version that it was
 * installed or upgraded to.
 */
import { compareVersions, minorOf, withoutV } from "./Versions.ts"

export interface Machine {
  readonly id: string
  readonly hostname: string
  connected: boolean
  /** When its connection was cut, in milliseconds of the Clock. Omni notices later. */
  cutAt: number | undefined
  /** `on` or `off`: a static infra provider manages it. `unsupported`: only a person can power it on. */
  power: "unsupported" | "on" | "off"
  /** A machine with the power `unsupported` was shut down. */
  shutDown: boolean
  /** Whether it has no Shutdown, as the emulated machines of the recordings. */
  readonly emulated: boolean
  /** Whether it reports another schematic than Omni computes: Omni then skips its upgrades. */
  readonly otherSchematic: boolean
  /** It stays in its stage as long as this is true. */
  held: boolean
  readonly arch: "amd64" | "arm64"
  /** With `v`. */
  talosVersion: string
  readonly initialTalosVersion: string
  /** Whether Talos is on its disk. A machine that is not installed runs from its boot image. */
  installed: boolean
  readonly addresses: ReadonlyArray<string>
  readonly labels: Readonly<Record<string, string>>
  readonly logs: Array<string>
}

/** How a machine may be added. */
export interface MachineOptions {
  readonly id?: string
  readonly hostname?: string
  readonly connected?: boolean
  /**
   * `on` or `off`: a static infra provider manages the machine, so that Omni can power it on. `unsupported` (the default):
   * Omni can shut it down, and only a person can power it on.
   */
  readonly power?: Machine["power"]
  /** The machine cannot shut down: MachinePowerOff is UNIMPLEMENTED. False by default. */
  readonly emulated?: boolean
  /** The machine reports another schematic than Omni computes, and Omni skips its upgrades. False by default. */
  readonly otherSchematic?: boolean
  readonly arch?: Machine["arch"]
  /** With `v`; v1.11.2 by default. */
  readonly talosVersion?: string
  /** Talos is on its disk; false by default: the machine runs from its boot image. */
  readonly installed?: boolean
  readonly addresses?: ReadonlyArray<string>
  /** Labels that machine classes select by. */
  readonly labels?: Readonly<Record<string, string>>
  /** The lines of its log. */
  readonly logs?: ReadonlyArray<string>
}

/** A UUID that ends with a number. */
const machineId = (index: number): string => `00000000-0000-4000-8000-${String(index).padStart(12, "0")}`

export const makeMachine = (index: number, options: MachineOptions): Machine => ({
  id: options.id ?? machineId(index),
  hostname: options.hostname ?? `machine-${index}`,
  connected: options.connected ?? true,
  cutAt: undefined,
  power: options.power ?? "unsupported",
  shutDown: false,
  emulated: options.emulated ?? false,
  otherSchematic: options.otherSchematic ?? false,
  held: false,
  arch: options.arch ?? "amd64",
  talosVersion: options.talosVersion ?? "v1.11.2",
  initialTalosVersion: options.talosVersion ?? "v1.11.2",
  installed: options.installed ?? false,
  addresses: options.addresses ?? [`10.5.${Math.floor(index / 250)}.${(index % 250) + 2}/24`],
  labels: options.labels ?? {},
  logs: [...options.logs ?? []]
})

/** Whether a static infra provider manages the power of a machine. */
export const isManaged = ({ power }: Machine): boolean => power !== "unsupported"

export const isOn = ({ power, shutDown }: Machine): boolean => power === "unsupported" ? !shutDown : power === "on"

/** Why a machine cannot be in a cluster with this Talos version; undefined if it can. */
export const versionFault = (machine: Machine, cluster: string, clusterTalos: string): string | undefined => {
  const own = withoutV(machine.talosVersion)
  if (!machine.installed) {
    return minorOf(own) === minorOf(clusterTalos)
      ? undefined
      : "machines which are running Talos without installation can be added only to Talos clusters with the same major and minor versions"
  }
  return compareVersions(own, clusterTalos) > 0
    ? `cannot add machine set node to the cluster ${cluster} as it will trigger Talos downgrade on the node (${own} -> ${clusterTalos})`
    : undefined
}
