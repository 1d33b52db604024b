/**
 * Watching clusters: the API has no events, so one list a tick serves all who watch with the same credential.
 *
 * The pace is `Policy.poll`, begun anew at each change, and slower the emptier the quota. A list that failed only delays,
 * until none has come for `Policy.idleTimeout`.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { statusOf } from "../internal/ProviderBuilder.ts"
import type { ClusterName, ClusterStatus } from "../Model.ts"
import type { Policy } from "../Policy.ts"
import { ClusterNotFound } from "../ProviderError.ts"
import { delaysOf } from "./Actions.ts"
import { type CallFailure, type Client, perPage } from "./Client.ts"
import type { Ownership } from "./Labels.ts"
import { clusterNamesIn, membersIn, type World, worldOf } from "./Members.ts"
import { makePoller, type Poller } from "./Poller.ts"
import type { Governor } from "./Quota.ts"

/** What all watchers of a credential have in common: the next look at the Project. */
export type Looks = Poller<Client, World, CallFailure>

export const makeLooks = (): Looks =>
  makePoller<Client, World, CallFailure>({
    answersAll: true,
    // Whichever client asks, the credential is the same, and so is the answer.
    ask: (clients) =>
      Effect.map(
        Effect.forEach(clients.slice(0, 1), (client) => worldOf(client, { urgency: "watch", retry: false })),
        (worlds) => new Map(worlds.flatMap((world) => clients.map((client) => [client, world] as const)))
      )
  })

export interface Watching {
  readonly client: Client
  readonly ownership: Ownership
  readonly policy: Effect.Effect<Policy>
  readonly governor: Governor
  readonly looks: Looks
}

export const watchCluster =
  (context: Watching) => (cluster: ClusterName): Stream.Stream<ClusterStatus, ClusterNotFound | CallFailure> => {
    const { client, governor, looks, ownership } = context
    const statusIn = (world: World): ClusterStatus | undefined =>
      Option.getOrUndefined(
        statusOf(membersIn(ownership, world, cluster).map(({ node }) => node), client.endpoint)
      )

    return Stream.unwrap(Effect.gen(function*() {
      const policy = yield* context.policy
      let last: ClusterStatus | undefined
      let delay = yield* delaysOf(policy)
      let heardAt = yield* Clock.currentTimeMillis
      let pages = 1

      // A look costs as many requests as it has pages, and is worth as much waiting.
      const judging = (world: World): World => {
        pages = Math.max(1, Math.ceil(world.servers.length / perPage))
        return world
      }
      const first = Effect.gen(function*() {
        const world = judging(yield* worldOf(client))
        last = statusIn(world)
        return last ?? (yield* new ClusterNotFound({
          provider: "hetzner",
          clusterName: cluster,
          known: clusterNamesIn(ownership, world)
        }))
      })
      const change: Effect.Effect<ClusterStatus, CallFailure | Cause.Done> = Effect.gen(function*() {
        const stretch = yield* governor.stretch
        const seen = yield* Effect.result(looks.next(client, (yield* delay) * stretch * pages))
        const now = yield* Clock.currentTimeMillis
        if (seen._tag === "Failure") {
          const error = seen.failure
          const passes = error._tag === "ProviderUnavailable" || error.isRetryable
          if (!passes || now - heardAt > Duration.toMillis(policy.idleTimeout)) return yield* Effect.fail(error)
          return yield* change
        }
        heardAt = now
        const status = seen.success === undefined ? last : statusIn(judging(seen.success))
        if (status === undefined) return yield* Cause.done()
        if (last !== undefined && Equal.equals(status, last)) return yield* change
        last = status
        delay = yield* delaysOf(policy)
        return status
      })
      const next: Effect.Effect<ClusterStatus, ClusterNotFound | CallFailure | Cause.Done> = Effect.suspend(
        (): Effect.Effect<ClusterStatus, ClusterNotFound | CallFailure | Cause.Done> =>
          last === undefined ? first : change
      )
      return Stream.fromPull(Effect.succeed(Effect.map(next, (value) => [value] as const)))
    }))
  }
