/** The requirements of a simulated run on a backend: its clients, its true state, and changes by others. */
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { NodeCreatorService, ProviderService } from "../../Provider.ts"
import type { Client, Line } from "./Line.ts"
import type { Process, Runtime } from "./Runtime.ts"
import type { Change, Script } from "./Script.ts"

/** Something that the backend has, with nothing of the library in between. */
export interface Thing {
  readonly kind: string
  readonly name: string
  readonly id: string
  /** The cluster that owns it; undefined for what no cluster owns. */
  readonly cluster: string | undefined
  /** Only of nodes. */
  readonly isRunning?: boolean
  readonly isStopped?: boolean
  /** Whether a node is in the network of its cluster. */
  readonly isConnected?: boolean
  /** Everything that nobody but its owner may change, as text. */
  readonly text: string
}

export interface Services {
  readonly provider: ProviderService
  readonly creator: NodeCreatorService
}

export interface SimulatedWorld {
  /** The services of a new process. */
  readonly connect: (client: Client) => Effect.Effect<Services, never, Scope.Scope>
  readonly truth: Effect.Effect<ReadonlyArray<Thing>>
  readonly putUnowned: (name: string) => Effect.Effect<void>
  /** A change by another process, at once. It returns whether there was something to change. */
  readonly change: (change: Change) => void
  /** Waits until the backend has ended what it was doing. */
  readonly rest: Effect.Effect<void>
  /** Credentials that must not be shown. */
  readonly secrets: ReadonlyArray<string>
  /** The requests and fields that the backend does not have. */
  readonly violations: Effect.Effect<ReadonlyArray<string>>
}

/** Builds the backend of a run. It gets a line before there is one, since changes by others come from there. */
export type MakeWorld = (options: {
  readonly runtime: Runtime
  readonly script: Script
  readonly line: () => Line
  readonly world: Process
}) => Effect.Effect<SimulatedWorld, never, Scope.Scope>
