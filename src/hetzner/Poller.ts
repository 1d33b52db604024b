/**
 * One poll for all who wait for the same kind of thing.
 *
 * Each waiter registers the time of its next poll. The first one that is due polls for all that are nearly due, and
 * each gets the answer for its key. Without waiters there is no poll: an interrupted waiter leaves, and a poll in
 * flight without a waiter is interrupted, too.
 */
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"

interface Batch {
  waiting: number
  fiber: Fiber.Fiber<unknown, unknown> | undefined
}

interface Entry<K, V, E> {
  readonly key: K
  readonly due: number
  readonly delay: number
  readonly answer: Deferred.Deferred<V | undefined, E>
  batch: Batch | undefined
}

export interface Poller<K, V, E> {
  /** The next answer about a key, no sooner than after `delay`; undefined where the answer says nothing of it. */
  readonly next: (key: K, delay: number) => Effect.Effect<V | undefined, E>
}

export const makePoller = <K, V, E>(options: {
  readonly ask: (keys: ReadonlyArray<K>) => Effect.Effect<ReadonlyMap<K, V>, E>
  /** Whether one answer is about all keys, so that no other poll is needed soon after. */
  readonly answersAll?: boolean
}): Poller<K, V, E> => {
  const entries = new Set<Entry<K, V, E>>()

  const askFor = (leader: Entry<K, V, E>): Effect.Effect<void> =>
    Effect.flatMap(Clock.currentTimeMillis, (now) => {
      if (leader.batch !== undefined) return Effect.void
      const batch: Batch = { waiting: 0, fiber: undefined }
      const asked = [...entries].filter((entry) =>
        // A waiter that is due soon gets its answer now.
        entry.batch === undefined && (options.answersAll === true || entry.due - entry.delay / 2 <= now)
      )
      for (const entry of asked) entry.batch = batch
      batch.waiting = asked.length
      return options.ask([...new Set(asked.map(({ key }) => key))]).pipe(
        Effect.matchCauseEffect({
          onFailure: (cause) =>
            Effect.forEach(asked, ({ answer }) => Deferred.failCause(answer, cause), { discard: true }),
          onSuccess: (answers) =>
            Effect.forEach(asked, ({ answer, key }) => Deferred.succeed(answer, answers.get(key)), { discard: true })
        }),
        Effect.forkDetach,
        Effect.map((fiber) => {
          batch.fiber = fiber
        })
      )
    })

  const leave = (entry: Entry<K, V, E>): Effect.Effect<void> =>
    Effect.suspend(() => {
      entries.delete(entry)
      const { batch } = entry
      if (batch === undefined) return Effect.void
      batch.waiting--
      return batch.waiting > 0 || batch.fiber === undefined ? Effect.void : Fiber.interrupt(batch.fiber)
    })

  return {
    next: (key, delay) =>
      Effect.flatMap(Clock.currentTimeMillis, (now) => {
        const entry: Entry<K, V, E> = {
          key,
          due: now + delay,
          delay,
          answer: Deferred.makeUnsafe(),
          batch: undefined
        }
        entries.add(entry)
        const leading = Effect.sleep(delay).pipe(
          Effect.andThen(Effect.uninterruptible(askFor(entry))),
          Effect.andThen(Effect.never)
        )
        return Effect.raceFirst(Deferred.await(entry.answer), leading).pipe(Effect.ensuring(leave(entry)))
      })
  }
}
