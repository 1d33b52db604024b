/**
 * Clusters in memory: a stateful simulator of a backend on the Clock, with latency and failures per node and call.
 *
 * It is for tests of programs that use `Provider`, and for a first try where there is no engine. It satisfies every law
 * of `Provider`. The service `Memory` adds the methods that a test needs: nodes that another process adds or removes,
 * crashes, failures, cuts, and the list of all calls. Nothing leaves the process and nothing outlives the layer.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Backend from "../Backend.ts"
import { checkNewClusterName } from "../internal/ClusterNames.ts"
import { makeLayers } from "../internal/Layers.ts"
import { makeBackend } from "../memory/Backend.ts"
import * as Engine from "../memory/Engine.ts"
import { issuesOf, type MemorySpec, nodeName, nodesOf, resourceName } from "../memory/Spec.ts"
import type {
  Call,
  CallName,
  Crash,
  FailNext,
  MemoryNode,
  MemoryResource,
  SetLatency,
  Unlabelled,
  World
} from "../memory/World.ts"
import type { NodeRole, NodeState } from "../Model.ts"
import * as Policy from "../Policy.ts"
import { NodeCreator, type NodeCreatorService, type NodePool, Provider, type ProviderService } from "../Provider.ts"
import { InvalidSpec, type Leftover } from "../ProviderError.ts"
import { BackendError, NameTaken, NotFoundError, type Reason } from "../Reason.ts"

export type { MemorySpec } from "../memory/Spec.ts"
export type {
  Call,
  CallName,
  Crash,
  FailNext,
  MemoryNode,
  MemoryResource,
  SetLatency,
  Unlabelled,
  World
} from "../memory/World.ts"

// -----------------------------------------------------------------------------
// Options
// -----------------------------------------------------------------------------

/**
 * A cluster that is there from the start, with a network and a volume.
 *
 * @category models
 * @since 0.1.0
 */
export interface ClusterSeed {
  readonly controlPlanes: number
  readonly workers: number
  readonly loadBalancers?: number
  readonly pools?: ReadonlyArray<NodePool>
  /** `running` where it is left out. */
  readonly state?: NodeState
  readonly labels?: Readonly<Record<string, string>>
}

/**
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** The clusters that are there from the start, by name. */
  readonly clusters?: Readonly<Record<string, ClusterSeed>>
  /** How long calls take: all of them, or each by its own; none where it is left out. See `setLatency` too. */
  readonly latency?: Duration.Input | { readonly [K in CallName]?: Duration.Input }
  readonly policy?: Policy.Overrides
  /** The name of this instance in errors and spans; `memory` where it is left out. */
  readonly name?: string
}

const callNames: ReadonlyArray<CallName> = [
  "ping",
  "listAll",
  "list",
  "watch",
  "create",
  "connect",
  "update",
  "start",
  "stop",
  "delete",
  "decideFate",
  "forgetFate"
]

const latencies = (latency: Options["latency"]): ReadonlyArray<SetLatency> => {
  if (latency === undefined) return []
  if (typeof latency !== "object" || !callNames.some((name) => name in latency)) {
    return [{ latency: latency as Duration.Input }]
  }
  const each = latency as { readonly [K in CallName]?: Duration.Input }
  return callNames.flatMap((operation) => {
    const value = each[operation]
    return value === undefined ? [] : [{ operation, latency: value }]
  })
}

// -----------------------------------------------------------------------------
// Service
// -----------------------------------------------------------------------------

/**
 * The methods of the simulator. They change the simulated backend at once, take no time, and are not recorded as calls.
 *
 * @category models
 * @since 0.1.0
 */
export interface MemoryService {
  readonly provider: ProviderService
  readonly creator: NodeCreatorService<MemorySpec>
  readonly plan: NodeCreatorService<MemorySpec>["plan"]
  readonly createNodes: NodeCreatorService<MemorySpec>["createNodes"]
  readonly createNodesScoped: NodeCreatorService<MemorySpec>["createNodesScoped"]
  readonly apply: NodeCreatorService<MemorySpec>["apply"]
  /** The services of another client of the same simulator, as a second process has them. */
  readonly secondClient: Effect.Effect<Backend.Services<MemorySpec>>

  /**
   * Adds a node, as another process would. The default name is the next free one of its role, such as `dev-worker2`;
   * the default state is `running`. The name of the cluster is not checked, because some backends have names that
   * cannot be referred to.
   */
  readonly addNode: (node: {
    readonly cluster: string
    readonly role: NodeRole
    readonly name?: string
    readonly state?: NodeState
    readonly labels?: Readonly<Record<string, string>>
  }) => Effect.Effect<MemoryNode, BackendError>
  /** Removes a node, as another process would. */
  readonly removeNode: (name: string) => Effect.Effect<void, BackendError>
  /** Adds a network or volume to a cluster, which need not have nodes. */
  readonly addResource: (resource: {
    readonly cluster: string
    readonly kind: "network" | "volume"
    readonly name: string
  }) => Effect.Effect<MemoryResource, BackendError>
  /** Puts a node into a state. */
  readonly setState: (name: string, state: NodeState) => Effect.Effect<void, BackendError>
  /** Takes a node out of the network of its cluster, as something else may do. */
  readonly disconnect: (name: string) => Effect.Effect<void, BackendError>
  /** The next start of the node is accepted, and the node then ends with this exit code. It need not exist yet. */
  readonly crash: (name: string, how: Crash) => Effect.Effect<void>
  /** The next calls that match fail. Rules are used up in the order in which they were added. */
  readonly failNext: (failure: FailNext) => Effect.Effect<void>
  /** Every call that matches fails, as long as the scope is open. */
  readonly failWhile: (failure: Omit<FailNext, "times">) => Effect.Effect<void, never, Scope.Scope>
  /** Changes how long calls take from now on; the latest rule that matches a call holds. */
  readonly setLatency: (latency: SetLatency) => Effect.Effect<void>
  /** While it is not available, every call fails with `ProviderUnavailable`; open watches are cut. */
  readonly setAvailable: (available: boolean) => Effect.Effect<void>
  /** Cuts the stream under every `watchCluster`. They have to read again. */
  readonly cutWatches: Effect.Effect<void>
  /** Adds an unlabelled thing. Its name is taken, and the resources that it uses cannot be deleted. */
  readonly addUnlabelled: (unlabelled: Unlabelled) => Effect.Effect<void>
  readonly removeUnlabelled: (name: string) => Effect.Effect<void>

  /** Every call so far, in the order of sending. */
  readonly calls: Effect.Effect<ReadonlyArray<Call>>
  readonly clearCalls: Effect.Effect<void>
  /** All that exists. */
  readonly world: Effect.Effect<World>
  /** The networks and volumes of a cluster that has no nodes any more. */
  readonly leftovers: (cluster: string) => Effect.Effect<ReadonlyArray<Leftover>>
}

/**
 * The simulator.
 *
 * **Example** (A start that fails twice, and then works)
 *
 * ```ts run
 * import * as Effect from "effect/Effect"
 * import * as Memory from "kubelayer/layers/Memory"
 * import { Provider } from "kubelayer/Provider"
 * import { Locked } from "kubelayer/Reason"
 *
 * const program = Effect.gen(function*() {
 *   const memory = yield* Memory.Memory
 *   const provider = yield* Provider
 *   const reason = new Locked({ detail: "somebody works on it" })
 *   yield* memory.failNext({ operation: "start", node: "dev-worker", times: 2, reason })
 *   yield* provider.startNodes("dev")
 *   return yield* memory.calls
 * })
 *
 * const calls = await Effect.runPromise(program.pipe(
 *   Effect.provide(Memory.layer({ clusters: { dev: { controlPlanes: 1, workers: 1, state: "stopped" } } }))
 * ))
 * console.log(calls.filter((call) => call.operation === "start" && call.target === "dev-worker").length)
 * // => 3
 * ```
 *
 * @category services
 * @since 0.1.0
 */
export class Memory extends Context.Service<Memory, MemoryService>()("kubelayer/layers/Memory") {}

// -----------------------------------------------------------------------------
// Constructors
// -----------------------------------------------------------------------------

const seed = Effect.fnUntraced(function*(engine: Engine.Engine, clusters: NonNullable<Options["clusters"]>) {
  const issues = yield* Effect.forEach(Object.entries(clusters), ([name, spec]) =>
    checkNewClusterName(name).pipe(
      Effect.match({
        onFailure: ({ issue }) => [{ path: `clusters.${name}`, message: issue }],
        onSuccess: () => []
      }),
      Effect.map((issues) => {
        const { state: _, ...rest } = spec
        return [...issues, ...issuesOf(rest, `clusters.${name}.`)]
      })
    ))
  if (issues.flat().length > 0) return yield* new InvalidSpec({ issues: issues.flat() })
  for (const [cluster, { state = "running", ...spec }] of Object.entries(clusters)) {
    for (const kind of ["network", "volume"] as const) {
      yield* engine.putResource({ kind, cluster, name: resourceName(cluster, kind) })
    }
    for (const node of nodesOf({ ...spec, cluster })) {
      yield* engine.putNode({ kind: "node", cluster, ...node, state, isConnected: true })
    }
  }
})

/**
 * Makes a simulator. Two of them share nothing.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function*(
  options: Options = {}
): Effect.fn.Return<MemoryService, InvalidSpec, Scope.Scope> {
  const engine = yield* Engine.make(latencies(options.latency))
  yield* seed(engine, options.clusters ?? {})

  const clientOf = (name?: string) =>
    Backend.make(makeBackend(engine, {
      ...(options.policy === undefined ? {} : { policy: options.policy }),
      ...(name === undefined ? {} : { name })
    }))
  const { creator, provider } = clientOf(options.name)

  const refused = (operation: string, reason: Reason) =>
    Effect.fail(new BackendError({ provider: Engine.backend, operation, reason }))

  const nodeNamed = (operation: string, name: string) =>
    Effect.suspend(() => {
      const { nodes } = engine.world()
      const node = nodes.find((one) => one.name === name)
      const others = nodes.map((one) => one.name).join(", ") || "none"
      return node === undefined
        ? refused(operation, new NotFoundError({ detail: `there is no node ${name}; there are: ${others}` }))
        : Effect.succeed(node)
    })

  const free = (operation: string, kind: "node" | "network" | "volume", name: string) =>
    Effect.suspend(() => {
      const by = engine.holderOf(kind, name)
      return by === undefined
        ? Effect.void
        : refused(operation, new NameTaken({ detail: `the name ${name} is held by ${by}`, by }))
    })

  return {
    provider,
    creator,
    plan: creator.plan,
    createNodes: creator.createNodes,
    createNodesScoped: creator.createNodesScoped,
    apply: creator.apply,
    secondClient: Effect.sync(() => clientOf()),
    addNode: ({ cluster, labels = {}, name, role, state = "running" }) =>
      Effect.suspend(() => {
        let n = 1
        while (engine.holderOf("node", nodeName(cluster, role, n)) !== undefined) n++
        const chosen = name ?? nodeName(cluster, role, n)
        return Effect.andThen(
          free("addNode", "node", chosen),
          engine.putNode({ kind: "node", cluster, role, state, labels, name: chosen, isConnected: true })
        )
      }),
    addResource: (resource) =>
      Effect.andThen(free("addResource", resource.kind, resource.name), engine.putResource(resource)),
    removeNode: (name) => Effect.map(nodeNamed("removeNode", name), ({ id }) => engine.remove(id)),
    setState: (name, state) => Effect.map(nodeNamed("setState", name), (node) => engine.setState(node, state)),
    disconnect: (name) => Effect.map(nodeNamed("disconnect", name), engine.disconnect),
    crash: (name, how) => Effect.sync(() => engine.crashNext(name, how)),
    failNext: (failure) => Effect.asVoid(Effect.sync(() => engine.failNext(failure))),
    failWhile: (failure) =>
      Effect.asVoid(
        Effect.acquireRelease(
          Effect.sync(() => engine.failNext({ ...failure, times: Number.POSITIVE_INFINITY })),
          (lift) => Effect.sync(lift)
        )
      ),
    setLatency: (latency) => Effect.sync(() => engine.setLatency(latency)),
    setAvailable: (available) => Effect.sync(() => engine.setAvailable(available)),
    cutWatches: Effect.sync(engine.cutWatches),
    addUnlabelled: (unlabelled) => Effect.sync(() => engine.addUnlabelled(unlabelled)),
    removeUnlabelled: (name) => Effect.sync(() => engine.removeUnlabelled(name)),
    calls: Effect.sync(() => [...engine.calls]),
    clearCalls: Effect.sync(() => {
      engine.calls.length = 0
    }),
    world: Effect.sync(engine.world),
    leftovers: (cluster) =>
      Effect.sync(() => {
        const { nodes, resources } = engine.world()
        return nodes.some((node) => node.cluster === cluster) ? [] : resources
          .filter((one) => one.cluster === cluster)
          .map(({ id, kind, name }) => ({ id, kind, name, why: `cluster ${cluster} has no nodes` }))
      })
  }
})

const layers = makeLayers<Memory, MemoryService, Options, InvalidSpec>(Memory, make, [])

/**
 * `Provider`, `NodeCreator` and `Memory` from one simulator.
 *
 * **Example** (A cluster that costs nothing)
 *
 * ```ts run
 * import * as Effect from "effect/Effect"
 * import * as Memory from "kubelayer/layers/Memory"
 * import { NodeCreator, Provider } from "kubelayer/Provider"
 *
 * const program = Effect.gen(function*() {
 *   const creator = yield* NodeCreator
 *   const provider = yield* Provider
 *   yield* creator.createNodes({ cluster: "dev", controlPlanes: 1, workers: 2 })
 *   return yield* provider.listNodes("dev")
 * })
 *
 * const nodes = await Effect.runPromise(program.pipe(Effect.provide(Memory.layer())))
 * console.log(nodes.map((node) => node.name).join(", "))
 * // => dev-control-plane, dev-worker, dev-worker2
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options = {}): Layer.Layer<Provider | NodeCreator | Memory, InvalidSpec> =>
  layers.layer(options)

/**
 * `Memory` alone, for programs with several backends; `Provider.layerFrom(Memory)` makes it the `Provider`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerService = (options: Options = {}): Layer.Layer<Memory, InvalidSpec> => layers.layerService(options)

/**
 * The same as `layer`, under the name that every backend has: it reads nothing from the environment.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerConfig: (overrides?: Options) => Layer.Layer<Provider | NodeCreator | Memory, InvalidSpec> =
  layers.layerConfig

/**
 * The same as `layerService`, under the name that every backend has: it reads nothing from the environment.
 *
 * @category layers
 * @since 0.2.0
 */
export const layerServiceConfig: (overrides?: Options) => Layer.Layer<Memory, InvalidSpec> = layers.layerServiceConfig
