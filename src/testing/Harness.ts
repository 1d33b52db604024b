/**
 * How the laws arrange and observe a backend without the provider under test.
 *
 * A layer needs a `Harness` for its backend before the laws can check it. The harness speaks to the backend directly
 * and never through the `Provider`, because a wrong provider would agree with itself. Everything arranged under a scope
 * is undone when the scope closes, also if a law fails. An ability that the backend lacks is left out of `make` and not
 * claimed as a capability.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { NodeRole, NodeState } from "../Model.ts"
import type { NodeCreatorService, ProviderService } from "../Provider.ts"

/**
 * The harness could not do what a law asked of it. The law is then reported as failed, with the harness named.
 *
 * @category errors
 * @since 0.1.0
 */
export class HarnessError extends Data.TaggedError("HarnessError")<{
  /** The requested action, such as `seed`. */
  readonly action: string
  readonly detail: string
}> {
  override get message(): string {
    return `the harness could not ${this.action}: ${this.detail}`
  }
}

/**
 * A node as the backend itself has it.
 *
 * @category models
 * @since 0.1.0
 */
export interface TrueNode {
  readonly cluster: string
  readonly name: string
  readonly id: string
  readonly role: NodeRole
  readonly state: NodeState
}

/**
 * The nodes of a cluster to begin with. Their names are the backend's custom.
 *
 * @category models
 * @since 0.1.0
 */
export interface Seed {
  readonly state: "running" | "stopped"
  readonly controlPlanes: number
  readonly workers: number
  /** Used only if `helpers` is claimed. */
  readonly loadBalancers?: number
  /** Used only if `helpers` is claimed. */
  readonly helpers?: number
}

/**
 * The calls on a node that can fail, or that the backend sees.
 *
 * @category models
 * @since 0.1.0
 */
export type NodeCall = "start" | "stop" | "delete"

/**
 * A call on a node that reached the backend.
 *
 * @category models
 * @since 0.1.0
 */
export interface Call {
  readonly call: NodeCall
  readonly cluster: string
  readonly node: string
}

/**
 * The abilities of every harness.
 *
 * @category models
 * @since 0.1.0
 */
export interface HarnessBase {
  /**
   * The longest time after which a change in the backend is seen by everyone, and an interruption is over: what has not
   * come by then does not come. Tens of milliseconds in memory, some seconds on an engine.
   */
  readonly patience: Duration.Duration
  /**
   * A name that no cluster has. It can be created, and is so short that ten characters can be appended. When the scope
   * closes, everything of clusters with this name, or with a name that begins with it, is removed.
   */
  readonly uniqueName: Effect.Effect<string, HarnessError, Scope.Scope>
  /**
   * Creates the nodes of a cluster in this state, and returns them as `nodes` would. Its name begins with a unique one,
   * so it is removed with that.
   */
  readonly seed: (
    cluster: string,
    seed: Seed
  ) => Effect.Effect<ReadonlyArray<TrueNode>, HarnessError, Scope.Scope>
  /** The nodes of exactly this cluster as they are now, by role, then by name with numbers compared as numbers. */
  readonly nodes: (cluster: string) => Effect.Effect<ReadonlyArray<TrueNode>, HarnessError>
}

/**
 * The optional abilities of a harness, each with the capability that claims it.
 *
 * @category models
 * @since 0.1.0
 */
export interface HarnessAbilities {
  /** `calls`: the calls on nodes that reached the backend since the law began, in their order. */
  readonly calls: Effect.Effect<ReadonlyArray<Call>, HarnessError>
  /** `change`: somebody else starts or stops the node, and it is so when this returns. */
  readonly setState: (node: TrueNode, state: "running" | "stopped") => Effect.Effect<void, HarnessError>
  /** `vanish`: somebody else removes the node, and it is gone when this returns. */
  readonly vanish: (node: TrueNode) => Effect.Effect<void, HarnessError>
  /**
   * `fail-start`, `fail-stop`, `fail-delete`: as long as the scope is open, the backend refuses this call on the node
   * for a reason that stays, whatever the number of attempts. The node keeps its state. Reads go on.
   */
  readonly failing: (call: NodeCall, node: TrueNode) => Effect.Effect<void, HarnessError, Scope.Scope>
  /**
   * `rate-limit`: the backend refuses the next such call on the node once, because there were too many, and reports
   * when it may come again. Returns the shortest wait.
   */
  readonly rateLimited: (call: NodeCall, node: TrueNode) => Effect.Effect<Duration.Duration, HarnessError, Scope.Scope>
  /** `exit-at-once`: the backend takes the next start of the node, and the node exits before it has run. */
  readonly exitAtOnce: (node: TrueNode) => Effect.Effect<void, HarnessError, Scope.Scope>
  /**
   * `outage`: as long as the scope is open, no connection to the backend can be opened. The harness still has its own.
   */
  readonly outage: Effect.Effect<void, HarnessError, Scope.Scope>
  /** `cut-watches`: cuts, once, every connection on which a watch listens. New ones can be opened. */
  readonly cutWatches: Effect.Effect<void, HarnessError>
  /**
   * `bystanders`: adds things without the owner labels of the cluster that are named like its nodes or its network.
   * They are removed with the scope.
   */
  readonly addBystanders: (cluster: string) => Effect.Effect<void, HarnessError, Scope.Scope>
  /** `bystanders`: all that `addBystanders` added and that is still there, with its state, one line each, sorted. */
  readonly bystanders: Effect.Effect<ReadonlyArray<string>, HarnessError>
  /**
   * `name-held`: adds a bystander with the name of a worker that `createNodes` creates for this cluster. `bystanders`
   * lists it too, and it is removed with the scope.
   */
  readonly holdName: (cluster: string) => Effect.Effect<void, HarnessError, Scope.Scope>
  /** `leftovers`: adds what a cluster leaves behind beside its nodes, such as a network or a volume of its own. */
  readonly addLeftovers: (cluster: string) => Effect.Effect<void, HarnessError, Scope.Scope>
  /** `leftovers`: what there is of a cluster beside its nodes, one line each that ends with its name, sorted. */
  readonly leftovers: (cluster: string) => Effect.Effect<ReadonlyArray<string>, HarnessError>
  /** `detach`: takes something from the node that belongs to its spec, such as its connection to the cluster's network. */
  readonly detach: (node: TrueNode) => Effect.Effect<void, HarnessError>
  /** `detach`: what the nodes of a cluster are attached to, one line each, sorted. */
  readonly attachments: (cluster: string) => Effect.Effect<ReadonlyArray<string>, HarnessError>
  /** `second`: the services of another client of the same backend, which shares nothing with the layer under test. */
  readonly second: Effect.Effect<
    { readonly provider: ProviderService; readonly creator: NodeCreatorService },
    HarnessError,
    Scope.Scope
  >
  /**
   * `orphans`: adds nodes or resources of a cluster that a process created for a scope and that has exited since. Gives
   * their names. They are removed with the cluster's name.
   */
  readonly addOrphans: (cluster: string) => Effect.Effect<ReadonlyArray<string>, HarnessError, Scope.Scope>
  /** `secrets`: the credentials that the layer under test was given, in the clear. */
  readonly secrets: Effect.Effect<ReadonlyArray<string>, HarnessError>
}

/** @category models @since 0.1.0 */
export interface HarnessService extends HarnessBase, HarnessAbilities {}

/**
 * Arranges and observes the backend of the layer under test.
 *
 * @category services
 * @since 0.1.0
 */
export class Harness extends Context.Service<Harness, HarnessService>()("kubelayer/testing/Harness") {}

const missing = (ability: keyof HarnessAbilities): Effect.Effect<never, HarnessError> =>
  Effect.fail(
    new HarnessError({ action: ability, detail: "its capability is claimed, but the harness does not have it" })
  )

/**
 * Makes a harness from what the backend can arrange.
 *
 * **Example** (The laws over a backend of one's own)
 *
 * ```ts
 * import * as Context from "effect/Context"
 * import * as Duration from "effect/Duration"
 * import * as Effect from "effect/Effect"
 * import * as Layer from "effect/Layer"
 * import type { Provider } from "kubelayer/Provider"
 * import { formatReport, Harness, makeHarness, runLaws, type TrueNode } from "kubelayer/testing"
 *
 * // The backend itself; the layer under test works on the same one.
 * class Fleet extends Context.Service<Fleet, {
 *   readonly nodes: (cluster: string) => Effect.Effect<ReadonlyArray<TrueNode>>
 *   readonly add: (node: Omit<TrueNode, "id" | "name">) => Effect.Effect<void>
 *   readonly remove: (id: string) => Effect.Effect<void>
 *   readonly removeAllThatBeginWith: (cluster: string) => Effect.Effect<void>
 * }>()("example/Fleet") {}
 *
 * let names = 0
 *
 * const harness = Layer.effect(
 *   Harness,
 *   Effect.map(Fleet, (fleet) =>
 *     makeHarness({
 *       patience: Duration.seconds(1),
 *       uniqueName: Effect.acquireRelease(Effect.sync(() => `law-${++names}`), fleet.removeAllThatBeginWith),
 *       nodes: fleet.nodes,
 *       seed: (cluster, { controlPlanes, state, workers }) =>
 *         Effect.gen(function*() {
 *           for (let n = 0; n < controlPlanes; n++) yield* fleet.add({ cluster, role: "control-plane", state })
 *           for (let n = 0; n < workers; n++) yield* fleet.add({ cluster, role: "worker", state })
 *           return yield* fleet.nodes(cluster)
 *         })
 *     }, {
 *       vanish: (node) => fleet.remove(node.id)
 *     }))
 * )
 *
 * // Laws that need more than `vanish` are skipped, and the report says which.
 * export const judge = (layer: Layer.Layer<Provider | Fleet>) =>
 *   runLaws({ name: "fleet", layer, harness, capabilities: ["vanish"] }).pipe(Effect.map(formatReport))
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (base: HarnessBase, abilities: Partial<HarnessAbilities> = {}): HarnessService => ({
  calls: missing("calls"),
  setState: () => missing("setState"),
  vanish: () => missing("vanish"),
  failing: () => missing("failing"),
  rateLimited: () => missing("rateLimited"),
  exitAtOnce: () => missing("exitAtOnce"),
  outage: missing("outage"),
  cutWatches: missing("cutWatches"),
  addBystanders: () => missing("addBystanders"),
  bystanders: missing("bystanders"),
  holdName: () => missing("holdName"),
  addLeftovers: () => missing("addLeftovers"),
  leftovers: () => missing("leftovers"),
  detach: () => missing("detach"),
  attachments: () => missing("attachments"),
  second: missing("second"),
  addOrphans: () => missing("addOrphans"),
  secrets: missing("secrets"),
  ...abilities,
  ...base
})

/**
 * Lets the harness's patience pass: what has not happened afterwards does not happen.
 *
 * @category combinators
 * @since 0.1.0
 */
export const rest: Effect.Effect<void, never, Harness> = Harness.use(({ patience }) => Effect.sleep(patience))

/**
 * Reads again until a value is as expected. Returns the last value, also if it is not as expected when the patience of
 * the harness is over.
 *
 * @category combinators
 * @since 0.1.0
 */
export const eventually = <A, E, R>(
  look: Effect.Effect<A, E, R>,
  wanted: (value: A) => boolean
): Effect.Effect<A, E, R | Harness> =>
  Effect.gen(function*() {
    const { patience } = yield* Harness
    const step = Duration.divideUnsafe(patience, 20)
    let value = yield* look
    for (let looks = 0; looks < 20 && !wanted(value); looks++) {
      yield* Effect.sleep(step)
      value = yield* look
    }
    return value
  })
