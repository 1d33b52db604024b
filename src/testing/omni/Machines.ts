/**
 * The machines behind a fake Omni, as they are: whether they are connected, on, and what they are made of.
 *
 * What Omni says of a machine is made of this by the controller. A machine outlives the clusters that it is in.
 */

export interface Machine {
  readonly id: string
  readonly hostname: string
  connected: boolean
  /** `unsupported`: Omni does not manage its power. */
  power: "unsupported" | "on" | "off"
  /** It stays in the stage in which it is, as long as this holds. */
  held: boolean
  readonly arch: "amd64" | "arm64"
  /** With `v`; changes with the cluster that the machine is in. */
  talosVersion: string
  readonly addresses: ReadonlyArray<string>
  readonly labels: Readonly<Record<string, string>>
}

/** How a machine may be added. */
export interface MachineOptions {
  readonly id?: string
  readonly hostname?: string
  readonly connected?: boolean
  readonly power?: Machine["power"]
  readonly arch?: Machine["arch"]
  readonly talosVersion?: string
  readonly addresses?: ReadonlyArray<string>
  /** Labels of a user's, by which machine classes choose. */
  readonly labels?: Readonly<Record<string, string>>
}

/** A UUID that says which one it is. */
const machineId = (index: number): string => `00000000-0000-4000-8000-${String(index).padStart(12, "0")}`

export const makeMachine = (index: number, options: MachineOptions): Machine => ({
  id: options.id ?? machineId(index),
  hostname: options.hostname ?? `machine-${index}`,
  connected: options.connected ?? true,
  power: options.power ?? "unsupported",
  held: false,
  arch: options.arch ?? "amd64",
  talosVersion: options.talosVersion ?? "v1.11.2",
  addresses: options.addresses ?? [`10.5.${Math.floor(index / 250)}.${(index % 250) + 2}/24`],
  labels: options.labels ?? {}
})
