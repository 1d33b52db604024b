/**
 * The models of the simulated backend: everything that exists, its calls, and the changes that a test can request.
 *
 * These are the records of `Engine.ts`, in the backend's own shape. `layers/Memory.ts` exports them.
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import type { NodeRole, NodeState } from "../Model.ts"
import type { Reason } from "../Reason.ts"
import type { Mark } from "../Resource.ts"

/**
 * The calls that the simulated backend answers. `create` and `delete` are for nodes, networks and volumes, `list` is for
 * one of these kinds. `decideFate` and `forgetFate` are for what an operation has created.
 *
 * @category models
 * @since 0.1.0
 */
export type CallName =
  | "ping"
  | "listAll"
  | "list"
  | "watch"
  | "create"
  | "connect"
  | "update"
  | "start"
  | "stop"
  | "delete"
  | "decideFate"
  | "forgetFate"

/**
 * @category models
 * @since 0.1.0
 */
export interface Call {
  readonly operation: CallName
  /** The name of the node, network, volume, cluster or operation; empty for calls on everything. */
  readonly target: string
  /** Empty for calls on all clusters. */
  readonly cluster: string
}

/**
 * How a node exited on its own.
 *
 * @category models
 * @since 0.1.0
 */
export interface Crash {
  readonly exitCode: number
  readonly cause?: string
}

/**
 * @category models
 * @since 0.1.0
 */
export interface MemoryNode {
  readonly kind: "node"
  readonly id: string
  readonly name: string
  readonly cluster: string
  readonly role: NodeRole
  readonly state: NodeState
  readonly labels: Readonly<Record<string, string>>
  readonly address: string
  readonly createdAt: string
  /** The node pool of the node, where it was created in one. */
  readonly pool?: string
  /** Whether it is connected to the network of its cluster. */
  readonly isConnected: boolean
  /** The marks of the operation that created it; absent where something else did. */
  readonly mark?: Partial<Mark>
  /** It was created and not started yet. */
  readonly neverStarted?: true
  /** How it ended, where it crashed. */
  readonly crash?: Crash
}

/**
 * @category models
 * @since 0.1.0
 */
export interface MemoryResource {
  readonly kind: "network" | "volume"
  readonly id: string
  readonly name: string
  readonly cluster: string
  readonly createdAt: string
  /** The marks of the operation that created it; absent where something else did. */
  readonly mark?: Partial<Mark>
}

/**
 * An unlabelled thing. Its name is taken, and the resources that it `uses` cannot be deleted.
 *
 * @category models
 * @since 0.1.0
 */
export interface Unlabelled {
  readonly kind: "node" | "network" | "volume"
  readonly name: string
  /** Names of networks and volumes. */
  readonly uses?: ReadonlyArray<string>
}

/**
 * Everything that exists, in the order of creation.
 *
 * @category models
 * @since 0.1.0
 */
export interface World {
  readonly nodes: ReadonlyArray<MemoryNode>
  readonly resources: ReadonlyArray<MemoryResource>
  readonly unlabelled: ReadonlyArray<Unlabelled>
}

/**
 * @category models
 * @since 0.1.0
 */
export interface FailNext {
  readonly operation: CallName
  /** Only the call for this node, network or volume. */
  readonly node?: string
  /** Only calls for this cluster. */
  readonly cluster?: string
  /** How many calls fail; 1 where it is left out. */
  readonly times?: number
  readonly reason: Reason
  /** The backend does the work all the same, and only its answer is lost. */
  readonly takesEffect?: boolean
}

/**
 * How long calls take. `Infinity` never answers.
 *
 * @category models
 * @since 0.1.0
 */
export interface SetLatency {
  /** Only this call; every one where it is left out. */
  readonly operation?: CallName
  /** Only calls for this node, network or volume. */
  readonly node?: string
  readonly latency: Duration.Input
}
