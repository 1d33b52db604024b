/**
 * Waits for servers that another action locks, with one list a tick for all servers of an operation.
 *
 * The API refuses every request about a locked server (423). The list shows `locked` for each server, so a request is
 * sent only when its server is free, and again only when the list shows it as free.
 */
import * as Effect from "effect/Effect"
import { isReason } from "../internal/CallFailures.ts"
import type { CallFailure, Task } from "../Resource.ts"
import { delaysOf } from "./Actions.ts"
import { makePoller, type Poller } from "./Poller.ts"
import type { Server } from "./ServerList.ts"

/** The lists that an operation waits by. */
export interface Ticks extends Poller<number, Server, CallFailure> {
  /** The newest list; undefined before the first. */
  readonly latest: () => ReadonlyArray<Server> | undefined
}

const makeTicks = (list: Effect.Effect<ReadonlyArray<Server>, CallFailure>): Ticks => {
  let latest: ReadonlyArray<Server> | undefined
  const poller = makePoller<number, Server, CallFailure>({
    answersAll: true,
    ask: () =>
      Effect.map(list, (found) => {
        latest = found
        return new Map(found.map((server) => [server.id, server]))
      })
  })
  return { next: poller.next, latest: () => latest }
}

/** The ticks of an operation. */
export const ticksOf = (
  task: Task,
  list: Effect.Effect<ReadonlyArray<Server>, CallFailure>
): Effect.Effect<Ticks> => task.once("ticks", Effect.sync(() => makeTicks(list)))

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

/** Runs `attempt` when the server is free, and again each time it fails as `Locked`. */
export const whenUnlocked = ({ server, task, ticks }: {
  readonly ticks: Ticks
  readonly task: Task
  readonly server: { readonly id: number; readonly locked?: boolean | null | undefined }
}) =>
<A>(attempt: Effect.Effect<A, CallFailure>): Effect.Effect<A, CallFailure> =>
  Effect.gen(function*() {
    const delay = yield* delaysOf(task.policy)
    let isLocked = server.locked === true
    while (true) {
      if (isLocked) yield* task.waiting("another action locks the server", unlocked(ticks, server.id, delay))
      const result = yield* Effect.result(attempt)
      if (result._tag === "Success") return result.success
      if (!isReason(result.failure, "Locked")) return yield* Effect.fail(result.failure)
      isLocked = true
    }
  })
