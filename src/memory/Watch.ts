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
import { CurrentMethod } from "../internal/Method.ts"
import { statusOf } from "../internal/ProviderBuilder.ts"
import type { ClusterName, ClusterStatus } from "../Model.ts"
import type { Policy } from "../Policy.ts"
import { type BackendError, ClusterNotFound, type ProviderUnavailable } from "../ProviderError.ts"
import { listing, nodeInfos, reading } from "./Calls.ts"
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
      const next = (last: ClusterStatus): Effect.Effect<
        readonly [ReadonlyArray<ClusterStatus>, Option.Option<ClusterStatus>],
        BackendError | ProviderUnavailable
      > =>
        Effect.flatMap(
          Effect.andThen(changed, status),
          Option.match({
            onNone: () => Effect.succeed([[], Option.none()] as const),
            onSome: (fresh) =>
              Equal.equals(fresh, last) ? next(last) : Effect.succeed([[fresh], Option.some(fresh)] as const)
          })
        )
      // It is opened before the first read, so that nothing between the two is missed.
      const first = Effect.flatMap(
        Effect.andThen(open, status),
        Option.match({
          onNone: () => Effect.fail(new ClusterNotFound({ provider: backend, clusterName: cluster })),
          onSome: (fresh) => Effect.succeed([[fresh], Option.some(Option.some(fresh))] as const)
        })
      )
      return Stream.paginate(
        Option.none<ClusterStatus>(),
        Option.match({
          onNone: () => first,
          onSome: (last) =>
            Effect.map(next(last), ([emitted, state]) => [emitted, Option.map(state, Option.some)] as const)
        })
      )
    })).pipe(Stream.provideService(CurrentMethod, {
      backend: backend,
      operation: "watchCluster",
      clusterName: cluster,
      sent: 0
    }))
