/**
 * Removes one thing by its id, and waits until it is gone.
 *
 * Something that a running action locks is waited for, and so is something that a server in deletion still uses.
 * Source: Hetzner Cloud API reference, `DELETE` of each resource.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import { isReason } from "../internal/CallFailures.ts"
import type { CallFailure, Task } from "../Resource.ts"
import type { Actions } from "./Actions.ts"
import type { Client } from "./Client.ts"
import { asDelete } from "./Quota.ts"

/**
 * Lists lag behind the end of the last delete. If it is in use for longer than that, its user is something that stays.
 */
const inUseFor = Duration.seconds(30)

type Wait = <A>(attempt: Effect.Effect<A, CallFailure>) => Effect.Effect<A, CallFailure>

/** Removes one thing, and waits until it is gone. `whenFree` waits for a lock; by default the request is sent again. */
export const removeById = (
  actions: Actions,
  write: Client,
  path: string,
  task: Task,
  whenFree?: Wait
): Effect.Effect<void, CallFailure> => {
  const { poll } = task.policy
  return task.send("delete", write.remove(path)).pipe(
    Effect.retry({ schedule: poll, while: (error) => isReason(error, "Conflict") }),
    whenFree ?? Effect.retry({ schedule: poll, while: (error: CallFailure) => isReason(error, "Locked") }),
    Effect.retry({
      schedule: Schedule.upTo(poll, { duration: inUseFor }),
      while: (error) => isReason(error, "InUse")
    }),
    Effect.flatMap((running) =>
      running.length === 0
        ? Effect.void
        : task.waiting(
          "it is being deleted",
          actions.await(running, task.subject.kind === "node" ? { server: task.subject.name } : {})
        )
    ),
    asDelete
  )
}
