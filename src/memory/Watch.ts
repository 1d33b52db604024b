/**
 * `watchCluster` of the simulated backend: its stream only says that something changed, and each status is read anew.
 *
 * However slow the reader is, at most one change waits for it; the states in between are never read.
 */
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"
import { statusOf } from "../internal/ProviderBuilder.ts"
import type { ClusterName, ClusterStatus } from "../Model.ts"
import type { Policy } from "../Policy.ts"
import { ClusterNotFound, type ProviderUnavailable } from "../ProviderError.ts"
import type { BackendError } from "../Reason.ts"
import { clusterNames, listing, nodeInfos, reading } from "./Calls.ts"
import { backend, type Engine, type Ticks } from "./Engine.ts"

export const makeWatch =
  (engine: Engine, policy: Effect.Effect<Policy>) =>
  (cluster: ClusterName): Stream.Stream<ClusterStatus, ClusterNotFound | BackendError | ProviderUnavailable> =>
    Stream.unwrap(Effect.gen(function*() {
      const current = yield* policy
      let ticks: Ticks | undefined
      yield* Effect.addFinalizer(() =>
        Effect.sync(() => {
          if (ticks !== undefined) engine.unwatch(ticks)
        })
      )
      const open = reading(current)(engine.watch(cluster, (opened) => {
        if (ticks !== undefined) engine.unwatch(ticks)
        ticks = opened
      }))
      const changed = Effect.suspend(() =>
        // A stream that was cut has lost what happened meanwhile: it is opened again, and then read.
        ticks === undefined ? open : Effect.catch(Queue.take(ticks), () => open)
      )
      const status = Effect.map(
        listing(engine, current, cluster),
        (world) => statusOf(nodeInfos(cluster, world), undefined)
      )
      type Last = Option.Option<ClusterStatus>
      const step = (last: Last): Effect.Effect<
        readonly [ReadonlyArray<ClusterStatus>, Option.Option<Last>],
        ClusterNotFound | BackendError | ProviderUnavailable
      > =>
        Effect.gen(function*() {
          // It is opened before the first read, so that nothing between the two is missed.
          yield* Option.isNone(last) ? open : changed
          const fresh = yield* status
          if (Option.isSome(fresh)) {
            return Equal.equals(fresh, last)
              ? yield* step(last)
              : [[fresh.value], Option.some(fresh)] as const
          }
          if (Option.isNone(last)) {
            return yield* new ClusterNotFound({ provider: backend, clusterName: cluster, known: clusterNames(engine) })
          }
          return [[], Option.none()] as const
        })
      return Stream.paginate<Last, ClusterStatus, ClusterNotFound | BackendError | ProviderUnavailable>(
        Option.none(),
        step
      )
    }))
