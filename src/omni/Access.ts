/**
 * The calls that the parts of the Omni backend share: everything that reads, and everything that writes.
 */
import type { LiveStatuses } from "./LiveStatuses.ts"
import type { Choices } from "./Machines.ts"
import type { Management } from "./Management.ts"
import type { ClusterDefaults } from "./Spec.ts"
import type { State, StateReader } from "./State.ts"
import type { WaitContext } from "./Waits.ts"

/** The machines that `stopNodes` powers off: those that Omni can power on again, or all. */
export type PowerOff = "reversible" | "always"

export interface Reading {
  readonly state: StateReader
  readonly waits: WaitContext
  readonly live: LiveStatuses
  /** The server as people know it, without credentials. */
  readonly endpoint: string
  readonly defaults: ClusterDefaults
  /** Has the server validate a config patch. */
  readonly validate: Management["validateConfig"]
  /** The names of machines that were requested and that Omni has not named yet, by id. */
  readonly names: Map<string, string>
  /** The machines that running creates of this layer have chosen. */
  readonly choices: Choices
}

export interface Writing extends Reading {
  readonly state: State
  readonly management: Management
  readonly powerOff: PowerOff
  /** A delete takes machines without connection out of Omni. */
  readonly destroyDisconnectedMachines: boolean
}
