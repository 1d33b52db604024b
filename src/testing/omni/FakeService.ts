/** The options of a fake Omni, and what a test can do with it. `OmniFake.ts` exports them. */
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Calls } from "../../omni/Calls.ts"
import type { Role } from "./Access.ts"
import type { OmniCall, OrderedFailure } from "./Calls.ts"
import type { Machine, MachineOptions } from "./Machines.ts"
import type { WriteLimit } from "./Throttle.ts"

/**
 * A version of Talos that the fake offers.
 *
 * @category models
 * @since 0.1.0
 */
export interface TalosVersion {
  readonly version: string
  readonly kubernetes: ReadonlyArray<string>
  readonly deprecated?: boolean
}

/**
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** The free machines at the start, or how many of them; none by default. */
  readonly machines?: number | ReadonlyArray<MachineOptions>
  /** Machine classes by name, with the selectors of their machines. */
  readonly machineClasses?: Readonly<Record<string, ReadonlyArray<string>>>
  readonly talosVersions?: ReadonlyArray<TalosVersion>
  /** System extensions that the image factory offers. */
  readonly extensions?: ReadonlyArray<string>
  /** The release that the server reports; 1.9.3 by default. */
  readonly serverVersion?: string
  /** From one step of the controllers to the next; 2 ms by default. */
  readonly pace?: Duration.Input
  /** How long each call takes; nothing by default. */
  readonly latency?: Duration.Input
  /** How long a connection of a machine is cut before Omni notices; 3 minutes by default. */
  readonly noticeAfter?: Duration.Input
  /** A limit of the bytes that are written; none by default. */
  readonly writeLimit?: WriteLimit
  /** Kinds, in the plural, that the server does not know; `MachineInstallDiskConfigs` by default, as in releases up to 1.10. */
  readonly absentKinds?: ReadonlyArray<string>
  /** With a certificate the server speaks TLS. PEM. */
  readonly tls?: { readonly certificate: string; readonly key: string }
  /** The port; a free one by default. */
  readonly port?: number
}

/**
 * A resource as the fake stores it.
 *
 * @category models
 * @since 0.1.0
 */
export interface FakeResource {
  readonly id: string
  readonly version: number
  readonly owner: string
  readonly phase: "running" | "tearingDown"
  readonly labels: Readonly<Record<string, string>>
  readonly annotations: Readonly<Record<string, string>>
  readonly finalizers: ReadonlyArray<string>
  /** As protobuf writes it in JSON. */
  readonly spec: unknown
}

/**
 * The methods of a fake Omni for tests, beside its API.
 *
 * @category models
 * @since 0.1.0
 */
export interface OmniFakeService {
  /** `http://127.0.0.1:PORT`, or https. */
  readonly endpoint: string
  /** The key of an account with the role Admin. It was created for this fake and opens nothing else. */
  readonly serviceAccountKey: string
  /** Calls inside the process, for `Omni.layerTransport`: without gRPC and signatures, as the account with the role Admin. */
  readonly transport: Calls
  /** The key of one more account, or one more key of an account. */
  readonly makeAccount: (name: string, lifetime?: Duration.Input, role?: Role) => Effect.Effect<string>
  /** Destroys all accounts: the server knows no key. */
  readonly forgetAccounts: Effect.Effect<void>
  /** Adds a free machine; gives its id. */
  readonly addMachine: (options?: MachineOptions) => Effect.Effect<string>
  /** The machine is gone, with everything that Omni knew about it. */
  readonly removeMachine: (id: string) => Effect.Effect<void>
  readonly changeMachine: (
    id: string,
    change: Partial<Pick<Machine, "connected" | "power" | "held">>
  ) => Effect.Effect<void>
  /** Cuts the connection of a machine. Omni notices after `noticeAfter`. */
  readonly cutMachine: (id: string) => Effect.Effect<void>
  /** Adds a line to the log of a machine. */
  readonly log: (id: string, line: string) => Effect.Effect<void>
  readonly machines: Effect.Effect<ReadonlyArray<Readonly<Machine>>>
  /** Adds a cluster that runs, with new machines; gives their ids, control planes first. */
  readonly addCluster: (
    name: string,
    nodes: { readonly controlPlanes: number; readonly workers: number; readonly machine?: MachineOptions }
  ) => Effect.Effect<ReadonlyArray<string>>
  /** The resources of a kind, in the plural, such as `Clusters`. */
  readonly resources: (kind: string) => Effect.Effect<ReadonlyArray<FakeResource>>
  /** Stores a resource without any rule. Its spec is the JSON of protobuf. */
  readonly put: (
    kind: string,
    resource: Partial<Omit<FakeResource, "id" | "version">> & { readonly id: string }
  ) => Effect.Effect<void>
  readonly remove: (kind: string, id: string) => Effect.Effect<void>
  /** All calls so far. */
  readonly calls: Effect.Effect<ReadonlyArray<OmniCall>>
  /** The violations of the protocol by callers. */
  readonly violations: Effect.Effect<ReadonlyArray<string>>
  /** How many watches are open. */
  readonly openWatches: Effect.Effect<number>
  readonly failNext: (failure: OrderedFailure) => Effect.Effect<void>
  /** The same failure for every such call, as long as the scope is open. */
  readonly failWhile: (failure: Omit<OrderedFailure, "times">) => Effect.Effect<void, never, Scope.Scope>
  /** Cuts every watch that is open. */
  readonly cutWatches: Effect.Effect<void>
  /** Cuts a watch in place of every n-th event of all watches, that many times; 0 ends it. */
  readonly cutEvery: (events: number, times?: number) => Effect.Effect<void>
  /** Forgets all changes so far: watches cannot resume from before. */
  readonly expireBookmarks: Effect.Effect<void>
  /** Keeps the last finalizers of a cluster, or lets them go. */
  readonly hold: (cluster: string, held: boolean) => Effect.Effect<void>
  /** No account has a higher role from now on. A suspended server has the role Reader. */
  readonly setRole: (role: Role) => Effect.Effect<void>
  readonly setEula: (accepted: boolean) => Effect.Effect<void>
  /** How far the server's clock is ahead of this machine's. */
  readonly setSkew: (skew: Duration.Input) => Effect.Effect<void>
  /** Stops the server, or starts it again on the same port with its resources. */
  readonly setAvailable: (available: boolean) => Effect.Effect<void>
  /** Limits the bytes that are written; undefined ends it. */
  readonly setWriteLimit: (limit: WriteLimit | undefined) => Effect.Effect<void>
  /** Waits until the controllers have nothing to do. */
  readonly settled: Effect.Effect<void>
}
