/**
 * A runner of a fleet on effect/cluster: one entity a cluster, and one scheduler in the whole fleet.
 *
 * Messages to entities are not stored. The scheduler hands a cluster over under a lease, and hands it over again where the
 * lease ran out. The runner renews the leases of everything that it was handed, in one statement.
 */
import * as Clock from "effect/Clock"
import * as ClusterSchema from "effect/cluster/ClusterSchema"
import * as Entity from "effect/cluster/Entity"
import * as Singleton from "effect/cluster/Singleton"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as Queue from "effect/Queue"
import * as Rpc from "effect/rpc/Rpc"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import * as Stream from "effect/Stream"
import * as Metrics from "../Metrics.ts"
import { type BackendAddress, backendKey, type Backends } from "./Backends.ts"
import { makeDriftFilter } from "./Drift.ts"
import { type FleetPhase, FleetPhase as Phases } from "./Model.ts"
import { addressOf, reconcile, type ReconcileOptions } from "./Reconcile.ts"
import type { AtRest, Claimed, Settled, Store } from "./Store.ts"

export interface RunnerOptions extends ReconcileOptions {
  readonly store: Store
  readonly backends: Backends
  /** The runner's name in rows and events. */
  readonly name: string
  /** How many clusters one runner works on at once. */
  readonly concurrency: number
  readonly leaseMillis: number
  /** The pace of the scheduler. */
  readonly tickMillis: number
  /** The pace of the search for drift on a backend without events. */
  readonly resyncMillis: number
  readonly retentionMillis: number
  /** The work of a reconcile. Measurements replace it. */
  readonly reconcile?: (claimed: Claimed) => Effect.Effect<Settled>
}

const ClusterEntity = Entity.make("kubelayer/FleetCluster", [
  Rpc.make("Reconcile", {}).annotate(ClusterSchema.Persisted, false)
])

/** Backends whose watches are lists at a pace: one list a minute serves them better. */
const withoutEvents = new Set(["hetzner"])

/** How many clusters one tick hands over for each place. */
const handedPerTick = 500

/** Logs a failure and goes on. */
const kept = (what: string) => <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A | undefined, never, R> =>
  Effect.catchCause(effect, (cause) => Effect.as(Effect.logWarning(`fleet: ${what} failed`, cause), undefined))

/** Everything that one runner process shares. */
export interface Runner {
  readonly options: RunnerOptions
  /** Wakes the scheduler, if it is in this process. */
  readonly wake: Effect.Effect<void>
  readonly woken: Effect.Effect<void>
  /** Handles the message to the entity of a cluster. */
  readonly handle: (name: string) => Effect.Effect<void>
}

/** Records how long a change waited until its cluster was as requested. */
const recordLag = (claimed: Claimed, settled: Settled) =>
  settled.phase === "converged" || settled.isRemoved
    ? Effect.flatMap(
      Clock.currentTimeMillis,
      (now) => Metric.update(Metrics.fleetLag, Math.max(0, now - claimed.requestedAt) / 1000)
    )
    : Effect.void

export const makeRunner = (options: RunnerOptions): Effect.Effect<Runner, never, Scope.Scope> =>
  Effect.gen(function*() {
    const { leaseMillis, name: runner, store } = options
    const permits = Semaphore.makeUnsafe(options.concurrency)
    const handed = new Map<string, number>()
    const bell = yield* Queue.sliding<void>(1)
    const work = options.reconcile ?? ((claimed: Claimed) => reconcile(options, claimed))

    yield* Effect.forkScoped(Effect.forever(
      Effect.andThen(
        Effect.sleep(leaseMillis / 3),
        Effect.suspend(() =>
          handed.size === 0 ? Effect.void : kept("the renewal of leases")(store.renew([...handed.keys()], leaseMillis))
        )
      )
    ))

    const one = (name: string) =>
      Effect.uninterruptibleMask((restore) =>
        Effect.gen(function*() {
          const claimed = yield* store.begin(name, runner)
          if (claimed === undefined) return
          const settled = yield* restore(work(claimed)).pipe(
            // A shard that moves, or a shutdown: the next runner goes on at once.
            Effect.onInterrupt(() => Effect.ignore(Effect.timeoutOption(store.giveBack(claimed), "2 seconds")))
          )
          yield* store.settle(claimed, runner, settled)
          yield* Metric.update(
            Metric.withAttributes(Metrics.fleetReconciles, { backend: claimed.backend, phase: settled.phase }),
            1
          )
          yield* recordLag(claimed, settled)
        })
      ).pipe(
        Effect.withSpan("kubelayer.fleet.reconcile", { attributes: { "kubelayer.cluster": name } })
      )

    return {
      options,
      wake: Effect.asVoid(Queue.offer(bell, undefined)),
      woken: Queue.take(bell),
      handle: (name) =>
        Effect.acquireUseRelease(
          Effect.sync(() => void handed.set(name, (handed.get(name) ?? 0) + 1)),
          () => kept(`the reconcile of ${name}`)(permits.withPermits(1)(one(name))),
          () =>
            Effect.sync(() => {
              const left = (handed.get(name) ?? 1) - 1
              if (left === 0) handed.delete(name)
              else handed.set(name, left)
            })
        ).pipe(Effect.asVoid)
    }
  })

/** The entity of each cluster on this runner. */
export const layerEntity = (runner: Runner) =>
  ClusterEntity.toLayer(
    Effect.gen(function*() {
      const { entityId } = yield* Entity.CurrentAddress
      return ClusterEntity.of({ Reconcile: () => runner.handle(String(entityId)) })
    }),
    { maxIdleTime: "5 seconds", concurrency: 1 }
  )

const recordPhases = (store: Store) =>
  Effect.flatMap(store.phases, (found) => {
    const counts = new Map<FleetPhase, number>(found.map(({ count, phase }) => [phase, count]))
    return Effect.forEach(Phases.literals, (phase) =>
      Metric.update(Metric.withAttributes(Metrics.fleetClusters, { phase }), counts.get(phase) ?? 0), { discard: true })
  })

const groupByBackend = (clusters: ReadonlyArray<AtRest>) => {
  const groups = new Map<string, { readonly address: BackendAddress; readonly clusters: Array<AtRest> }>()
  for (const cluster of clusters) {
    const address = addressOf(JSON.parse(cluster.document))
    const { defaults: _, ...same } = address
    const key = JSON.stringify([backendKey(same), same.scheme])
    const group = groups.get(key) ?? { address, clusters: [] }
    group.clusters.push(cluster)
    groups.set(key, group)
  }
  return groups
}

/** The scheduler: hands due clusters over, and checks for drift. It runs on one runner of the fleet. */
export const makeScheduler = (runner: Runner, send: (name: string) => Effect.Effect<void>) =>
  Effect.gen(function*() {
    const { backends, leaseMillis, resyncMillis, retentionMillis, store, tickMillis } = runner.options
    const filters = new Map<string, ReturnType<typeof makeDriftFilter>>()
    const watching = new Set<string>()

    const handOver: Effect.Effect<void> = Effect.suspend(() =>
      Effect.gen(function*() {
        while (true) {
          const names = yield* store.take(handedPerTick, leaseMillis)
          yield* Effect.forEach(names, send, { discard: true, concurrency: 50 })
          if (names.length < handedPerTick) return
        }
      }).pipe(kept("the scheduler"), Effect.asVoid)
    )

    const compare = (
      key: string,
      clusters: ReadonlyArray<AtRest>,
      statuses: Parameters<ReturnType<typeof makeDriftFilter>>[1]
    ) =>
      Effect.gen(function*() {
        const filter = filters.get(key) ?? makeDriftFilter(5000)
        filters.set(key, filter)
        const drifts = yield* filter(clusters, statuses)
        if (drifts.length === 0) return
        yield* store.markDrifted(drifts)
        yield* runner.wake
      })

    /** Follows a backend with events. Its watch ends with the scheduler, or with an error, and is then opened again. */
    const follow = (key: string, address: BackendAddress) =>
      Effect.gen(function*() {
        const { provider } = yield* backends.get(address)
        const statuses = Stream.buffer(provider.watchAllClusters, { capacity: 1, strategy: "sliding" })
        yield* Stream.runForEach(statuses, (statuses) =>
          Effect.flatMap(
            store.atRest,
            (clusters) => compare(key, groupByBackend(clusters).get(key)?.clusters ?? [], statuses)
          ))
      }).pipe(
        Effect.catch((error) => Effect.logDebug("fleet: a watch ended", error)),
        Effect.ensuring(Effect.sync(() => void watching.delete(key)))
      )

    const resync = Effect.gen(function*() {
      yield* recordPhases(store)
      const groups = groupByBackend(yield* store.atRest)
      yield* Effect.forEach(groups, ([key, { address, clusters }]) =>
        Effect.gen(function*() {
          if (!withoutEvents.has(address.backend) && !watching.has(key)) {
            watching.add(key)
            yield* Effect.forkScoped(follow(key, address))
          }
          const { provider } = yield* backends.get(address)
          yield* compare(key, clusters, yield* provider.listAllStatuses)
        }).pipe(Effect.catch((error) => Effect.logDebug("fleet: a backend could not be read", error))), {
        concurrency: 4,
        discard: true
      })
    })

    yield* Effect.forkScoped(Effect.forever(
      Effect.andThen(kept("the removal of old events")(store.prune(retentionMillis)), Effect.sleep("1 hour"))
    ))
    // The first searches follow each other quickly, because watches begin with them.
    yield* Effect.forkScoped(Effect.gen(function*() {
      for (let pause = 1000;; pause = Math.min(pause * 2, resyncMillis)) {
        yield* kept("the search for drift")(resync)
        yield* Effect.sleep(Math.min(pause, resyncMillis))
      }
    }))
    yield* Effect.forever(Effect.andThen(handOver, Effect.timeoutOption(runner.woken, tickMillis)))
  }).pipe(Effect.scoped)

/** The scheduler as a singleton of the fleet. */
export const layerScheduler = (runner: Runner) =>
  Singleton.make(
    "kubelayer/FleetScheduler",
    Effect.flatMap(ClusterEntity.client, (client) =>
      makeScheduler(runner, (name) =>
        client(name).Reconcile(undefined, { discard: true }).pipe(
          // The lease runs out, and the cluster is handed over again.
          Effect.catchCause((cause) =>
            Effect.logDebug(`fleet: ${name} could not be handed over`, cause)
          ),
          Effect.asVoid
        )))
  )

export const layerRunner = (runner: Runner) => Layer.mergeAll(layerEntity(runner), layerScheduler(runner))
