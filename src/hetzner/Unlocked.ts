/**
 * Waits for servers that another action locks, with one list a tick for all servers of an operation.
 *
 * The API refuses every request about a locked server (423). The list shows `locked` for each server, so a request is
 * sent only when its server is free, and again only when the list shows it as free.
 */
import * as Effect from "effect/Effect"
import type { Policy } from "../Policy.ts"
import { delaysOf } from "./Actions.ts"
import type { CallFailure } from "./Client.ts"
import { isReason } from "./Errors.ts"
import type { Member } from "./Members.ts"
import { makePoller, type Poller } from "./Poller.ts"
import type * as Wire from "./Wire.ts"

/** The lists that an operation waits by. */
export interface Ticks extends Poller<number, Wire.Server, CallFailure> {
  /** The newest list; undefined before the first. */
  readonly latest: () => ReadonlyArray<Member> | undefined
}

export const makeTicks = (list: Effect.Effect<ReadonlyArray<Member>, CallFailure>): Ticks => {
  let latest: ReadonlyArray<Member> | undefined
  const poller = makePoller<number, Wire.Server, CallFailure>({
    answersAll: true,
    ask: () =>
      Effect.map(list, (found) => {
        latest = found
        return new Map(found.map(({ server }) => [server.id, server]))
      })
  })
  return { next: poller.next, latest: () => latest }
}

/** Waits until the list no longer shows the server as locked, or no longer shows it. A list that fails only delays. */
const unlocked = Effect.fnUntraced(function*(
  ticks: Ticks,
  server: number,
  delay: Effect.Effect<number>
): Effect.fn.Return<void> {
  while (true) {
    const seen = yield* Effect.result(ticks.next(server, yield* delay))
    if (seen._tag === "Success" && seen.success?.locked !== true) return
  }
})

/**
 * Runs `attempt` when the server is free, and again each time it fails as `Locked`. `onWaiting` runs before each wait.
 */
export const whenUnlocked = (options: {
  readonly ticks: Ticks
  readonly policy: Policy
  readonly server: { readonly id: number; readonly locked?: boolean | null | undefined }
  readonly onWaiting: Effect.Effect<void>
}) =>
<A>(attempt: Effect.Effect<A, CallFailure>): Effect.Effect<A, CallFailure> =>
  Effect.gen(function*() {
    const { onWaiting, policy, server, ticks } = options
    const delay = yield* delaysOf(policy)
    let isLocked = server.locked === true
    while (true) {
      if (isLocked) {
        yield* onWaiting
        yield* unlocked(ticks, server.id, delay)
      }
      const result = yield* Effect.result(attempt)
      if (result._tag === "Success") return result.success
      if (!isReason(result.failure, "Locked")) return yield* Effect.fail(result.failure)
      isLocked = true
    }
  })
