/**
 * Many clusters on many backends, kept as their documents say by any number of processes.
 *
 * A store has the documents: an SQLite file for one host, or PostgreSQL. Runners reconcile the clusters: `layer` is a
 * runner and the service `Fleet`, `layerClient` is the service alone. `docs/fleet.md` describes the design, its limits,
 * and operation. It needs Node 22.13 or later; PostgreSQL needs the package `@effect/sql-pg`, and several runners on one
 * store need `@effect/platform-node`.
 *
 * **Example** (A fleet in one process)
 *
 * ```ts run
 * import * as Effect from "effect/Effect"
 * import * as Stream from "effect/Stream"
 * import * as Fleet from "kubelayer/fleet"
 * import * as Memory from "kubelayer/layers/Memory"
 *
 * const program = Effect.gen(function*() {
 *   const fleet = yield* Fleet.Fleet
 *   yield* fleet.apply({
 *     apiVersion: "kubelayer/v1",
 *     kind: "Cluster",
 *     backend: "memory",
 *     name: "dev",
 *     controlPlanes: 1,
 *     workers: 2
 *   })
 *   yield* fleet.watch.pipe(
 *     Stream.takeUntil((clusters) => clusters.every((cluster) => cluster.isConverged)),
 *     Stream.runDrain
 *   )
 *   const { nodes, phase } = yield* fleet.status("dev")
 *   return `dev: ${phase}, ${nodes} nodes`
 * })
 *
 * const layer = Fleet.layer({ store: { sqlite: ":memory:" }, backends: { memory: Memory.layer() } })
 * console.log(await Effect.runPromise(program.pipe(Effect.provide(layer))))
 * // => dev: converged, 3 nodes
 * ```
 *
 * @since 0.2.0
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import { makeBackends, type Open, openLayers } from "./fleet/Backends.ts"
import { StoreError } from "./fleet/Errors.ts"
import { openStore, type StoreOptions } from "./fleet/Layers.ts"
import { type FleetService, makeService } from "./fleet/Service.ts"
import type { Claimed, Settled, Store } from "./fleet/Store.ts"
import { randomWord } from "./internal/Session.ts"
import type { NodeCreator, Provider } from "./Provider.ts"
import type { InvalidSpec } from "./ProviderError.ts"

export { StoreError, type StoreProblem } from "./fleet/Errors.ts"
export { parseStore, storeAddress, type StoreOptions } from "./fleet/Layers.ts"
export { Condition, ConditionType, EventKind, FleetCluster, FleetEvent, FleetPhase } from "./fleet/Model.ts"
export type { FleetService } from "./fleet/Service.ts"
export type { EventOptions, ListOptions } from "./fleet/Store.ts"

/**
 * The documents of a fleet and what has become of them.
 *
 * @category services
 * @since 0.2.0
 */
export class Fleet extends Context.Service<Fleet, FleetService>()("kubelayer/Fleet") {}

/**
 * The pace and limits of a runner.
 *
 * @category models
 * @since 0.2.0
 */
export interface RunnerSettings {
  /** The runner's name in events; host and process by default. */
  readonly name?: string
  /**
   * The address that other runners reach this one at. There is no authentication, so only runners may reach it. Without
   * it the runner works alone on its store.
   */
  readonly listen?: { readonly host: string; readonly port: number }
  /** The folder of files that documents may refer to. Without it references to files are not resolved. */
  readonly secrets?: string
  /** How many clusters are worked on at once; 16 by default. */
  readonly concurrency?: number
  /** After this a cluster of a runner that is gone is handed to another one; 15 s by default. */
  readonly lease?: Duration.Input
  /** After this a runner that does not answer loses its share; 15 s by default. It is the same on all runners. */
  readonly lockExpiration?: Duration.Input
  /** How often the backends are read for drift; 1 minute by default. Backends with events are watched, too. */
  readonly resync?: Duration.Input
  /** When a cluster at rest is compared with its document in full; 1 day by default. */
  readonly revisit?: Duration.Input
  /** The first and the longest pause after a failure; 1 s and 5 minutes by default. */
  readonly backOff?: { readonly first?: Duration.Input; readonly most?: Duration.Input }
  /** How long events are kept; 7 days by default. */
  readonly retention?: Duration.Input
}

/**
 * The options of a runner.
 *
 * @category models
 * @since 0.2.0
 */
export interface Options extends RunnerSettings {
  readonly store: StoreOptions
  /** The layers of backends by name: `docker`, `hetzner`, or `hetzner/eu` for the instance `eu` of documents. */
  readonly backends: Readonly<Record<string, Layer.Layer<Provider | NodeCreator, unknown>>>
}

const millis = (given: Duration.Input | undefined, otherwise: Duration.Input): number =>
  Duration.toMillis(Duration.fromInputUnsafe(given ?? otherwise))

/** Runners of this process have different names. */
const ownName = (): Effect.Effect<string> =>
  Effect.promise(async () => `${(await import("node:os")).hostname()}-${process.pid}-${randomWord(4)}`)

/** The pace of the scheduler where nothing wakes it. */
const tickMillis = 500

/** Adds the runner to the store's list, and keeps it there. A runner that does not fit to the others is refused. */
const register = (
  store: Store,
  runner: { readonly name: string; readonly settings: string; readonly isExclusive: boolean },
  expiryMillis: number
): Effect.Effect<void, StoreError, Scope.Scope> =>
  Effect.gen(function*() {
    const refused = (other: string) =>
      new StoreError({
        store: store.address,
        problem: "settings",
        detail: `a runner of this store has other settings (${other}; this one: ${runner.settings})`
      })
    const enter = Effect.flatMap(
      store.registerRunner(runner, expiryMillis),
      (other) => other === undefined ? Effect.void : Effect.fail(refused(other))
    )
    // A runner that was killed is in the list until it expires.
    yield* Effect.acquireRelease(
      Effect.retry(enter, {
        while: (error) => error.problem === "settings",
        schedule: Schedule.upTo(Schedule.spaced("500 millis"), { duration: expiryMillis + 1000 })
      }),
      () => Effect.ignore(Effect.timeoutOption(store.unregisterRunner(runner.name), "2 seconds"))
    )
    yield* Effect.forkScoped(Effect.forever(Effect.andThen(
      Effect.sleep(expiryMillis / 3),
      Effect.ignore(store.registerRunner({ ...runner, isExclusive: false }, expiryMillis))
    )))
  })

/** @internal */
export interface OpenOptions extends RunnerSettings {
  readonly store: StoreOptions
  readonly open: Open
  /** Replaces what a reconcile does, for measurements. */
  readonly reconcile?: (claimed: Claimed) => Effect.Effect<Settled>
}

/** @internal */
export const makeWith = (
  options: OpenOptions
): Effect.Effect<
  { readonly fleet: FleetService; readonly health: Effect.Effect<unknown, StoreError> },
  StoreError | InvalidSpec,
  Scope.Scope
> =>
  Effect.gen(function*() {
    const { sql, store } = yield* openStore(options.store)
    const { layerEmbedded, layerSockets, settingsOf } = yield* Effect.promise(() => import("./fleet/Cluster.ts"))
    const { layerRunner, makeRunner } = yield* Effect.promise(() => import("./fleet/Runner.ts"))
    const name = options.name ?? (yield* ownName())
    const settings = { lockExpiration: Duration.fromInputUnsafe(options.lockExpiration ?? "15 seconds") }
    yield* register(
      store,
      { name, settings: settingsOf(settings, options.listen), isExclusive: options.listen === undefined },
      Duration.toMillis(settings.lockExpiration)
    )
    const runner = yield* makeRunner({
      store,
      name,
      backends: yield* makeBackends(options.open),
      secrets: options.secrets,
      concurrency: options.concurrency ?? 16,
      leaseMillis: millis(options.lease, "15 seconds"),
      tickMillis,
      resyncMillis: millis(options.resync, "1 minute"),
      revisitMillis: millis(options.revisit, "1 day"),
      retentionMillis: millis(options.retention, "7 days"),
      backOff: {
        firstMillis: millis(options.backOff?.first, "1 second"),
        mostMillis: millis(options.backOff?.most, "5 minutes")
      },
      ...(options.reconcile === undefined ? {} : { reconcile: options.reconcile })
    })
    const sharding = options.listen === undefined
      ? layerEmbedded(settings)
      : layerSockets(settings, options.listen, sql)
    yield* Layer.build(layerRunner(runner).pipe(Layer.provide(sharding)))
    return { fleet: makeService(store, runner.wake), health: store.now }
  })

/**
 * Starts a runner, and gives the service. The runner ends with the scope; clusters that it works on are finished first,
 * for at most 15 s.
 *
 * @category constructors
 * @since 0.2.0
 */
export const make = (options: Options): Effect.Effect<FleetService, StoreError | InvalidSpec, Scope.Scope> =>
  Effect.map(makeWith({ ...options, open: openLayers(options.backends) }), ({ fleet }) => fleet)

/**
 * A runner, and the service `Fleet`.
 *
 * @category layers
 * @since 0.2.0
 */
export const layer = (options: Options): Layer.Layer<Fleet, StoreError | InvalidSpec> =>
  Layer.effect(Fleet)(make(options))

/**
 * The service without a runner: others reconcile what it requests.
 *
 * @category constructors
 * @since 0.2.0
 */
export const makeClient = (
  options: { readonly store: StoreOptions }
): Effect.Effect<FleetService, StoreError, Scope.Scope> =>
  Effect.map(openStore(options.store), ({ store }) => makeService(store, Effect.void))

/**
 * The service `Fleet` without a runner.
 *
 * @category layers
 * @since 0.2.0
 */
export const layerClient = (options: { readonly store: StoreOptions }): Layer.Layer<Fleet, StoreError> =>
  Layer.effect(Fleet)(makeClient(options))
