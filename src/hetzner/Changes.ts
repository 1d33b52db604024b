/**
 * The changes that watches wait for: the API has no events, so one list a tick serves all watches of a credential.
 *
 * The pace is `Policy.poll`, from its beginning again at each change, and slower the emptier the quota. A list that failed
 * only delays, until none has succeeded for `Policy.idleTimeout`.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { Policy } from "../Policy.ts"
import type { CallFailure } from "../Resource.ts"
import { delaysOf } from "./Actions.ts"
import { perPage, type Reading } from "./Client.ts"
import { makePoller, type Poller } from "./Poller.ts"
import type { Governor } from "./Quota.ts"
import { listAll, type ServerList } from "./ServerList.ts"

/** The next list of the Project, for all watches of a credential. */
export type SharedList = Poller<Reading, ServerList, CallFailure>

export const makeSharedList = (): SharedList =>
  makePoller<Reading, ServerList, CallFailure>({
    answersAll: true,
    // Whichever instance asks, the credential is the same, and so is the answer.
    ask: (clients) =>
      Effect.map(
        Effect.forEach(clients.slice(0, 1), (client) => listAll(client, { urgency: "watch", retry: false })),
        (lists) => new Map(lists.flatMap((list) => clients.map((client) => [client, list] as const)))
      )
  })

export interface Changes {
  readonly stream: (read: Reading) => Stream.Stream<void, CallFailure>
  /** The list that said that something has changed, while it is new. */
  readonly latest: Effect.Effect<ServerList | undefined>
}

/** A list that a watch was woken by counts as new for so long, so that it is not read a second time. */
const newForMillis = 100

const isRetryable = (error: CallFailure): boolean => error._tag === "ProviderUnavailable" || error.isRetryable

/** The part of a list that watches compare, as one text. */
const textOf = ({ networks, servers }: ServerList): string =>
  JSON.stringify([servers, networks.map(({ id, labels }) => [id, labels])])

export const makeChanges = (options: {
  readonly governor: Governor
  readonly policy: Effect.Effect<Policy>
  readonly sharedList: SharedList
}): Changes => {
  const { governor, policy: policyNow, sharedList } = options
  let latest: { readonly at: number; readonly list: ServerList } | undefined

  const next = (read: Reading, policy: Policy) =>
    Effect.gen(function*() {
      let delay = yield* delaysOf(policy)
      let lastSuccess = yield* Clock.currentTimeMillis
      let pages = 1
      let text: string | undefined
      return Effect.gen(function*() {
        while (true) {
          // A list costs as many requests as it has pages, and is worth as much waiting.
          const stretch = (yield* governor.stretch) * pages
          const seen = yield* Effect.result(sharedList.next(read, (yield* delay) * stretch))
          const now = yield* Clock.currentTimeMillis
          if (seen._tag === "Failure") {
            const isOver = now - lastSuccess > Duration.toMillis(policy.idleTimeout)
            if (isOver || !isRetryable(seen.failure)) return yield* Effect.fail(seen.failure)
          } else if (seen.success !== undefined) {
            lastSuccess = now
            const list = seen.success
            pages = Math.max(1, Math.ceil(list.servers.length / perPage))
            const before = text
            text = textOf(list)
            if (text === before) continue
            latest = { at: now, list }
            if (before !== undefined) delay = yield* delaysOf(policy)
            return
          }
        }
      })
    })

  return {
    stream: (read) =>
      Stream.unwrap(Effect.gen(function*() {
        const policy = yield* policyNow
        const wait = yield* next(read, policy)
        return Stream.concat(Stream.succeed<void>(undefined), Stream.fromEffectRepeat(wait))
      })),
    latest: Effect.map(
      Clock.currentTimeMillis,
      (now) => latest !== undefined && now - latest.at < newForMillis ? latest.list : undefined
    )
  }
}
