/**
 * Removing what one create call made, and nothing else. How that is found is the backend's matter.
 *
 * A request whose answer did not come in time may still be carried out. It is looked for a while longer, and named as a
 * leftover where it has not turned up by then.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Pull from "effect/Pull"
import * as Schedule from "effect/Schedule"
import type { Subject } from "../Progress.ts"
import type { Leftover, ProviderUnavailable } from "../ProviderError.ts"
import type { BackendError } from "../Reason.ts"
import { RolledBack } from "../Report.ts"
import type { AtLarge } from "./AtLarge.ts"
import type { Operation } from "./Operation.ts"

type CallFailure = ProviderUnavailable | BackendError

export interface Made {
  readonly subject: Subject
  readonly remove: Effect.Effect<unknown, CallFailure>
}

/** What a call made, in the waves in which it is removed. */
export type MadeBy = Effect.Effect<ReadonlyArray<ReadonlyArray<Made>>, CallFailure>

interface Undoing {
  readonly operation: Operation
  readonly atLarge: AtLarge
  readonly madeBy: MadeBy
}

const gone = (error: CallFailure): boolean => error._tag === "BackendError" && error.reason._tag === "NotFoundError"

/** How often it is looked again for what a backend carried out late. */
const rounds = 3
/** How often, where a call is known to have got no answer. */
const lateRounds = 6

const mayStillCome = "its creation was not answered in time, and may still be carried out; delete the cluster"

/**
 * Looks for what a create call made, long enough for what was not answered to turn up. `enough` ends it before, where
 * there is something to be done already.
 */
const look = Effect.fnUntraced(function*(
  { atLarge, madeBy, operation }: Undoing,
  enough: (made: ReadonlyArray<Made>) => boolean
): Effect.fn.Return<ReadonlyArray<ReadonlyArray<Made>>, CallFailure> {
  const pace = yield* Schedule.toStep(operation.policy.poll)
  for (let round = 1;; round++) {
    const made = yield* madeBy
    for (const { subject } of made.flat()) atLarge.seen(subject)
    if (atLarge.unanswered().length === 0 || round === lateRounds || enough(made.flat())) return made
    const delay = yield* Effect.flatMap(Clock.currentTimeMillis, (now) => pace(now, undefined)).pipe(
      Effect.map(([, delay]) => Option.some(delay)),
      Pull.catchDone(() => Effect.succeedNone)
    )
    if (Option.isNone(delay)) return made
    yield* Effect.sleep(delay.value)
  }
})

/** What a create call made and was asked to keep. Fails never: what could not be asked is told as it was sent. */
export const whatIsLeft = (undoing: Undoing): Effect.Effect<ReadonlyArray<Leftover>> => {
  const { atLarge, operation } = undoing
  return look(undoing, () => false).pipe(
    Effect.map((made) => [
      ...made.flat().map(({ subject }) => ({ ...subject, why: "kept, as asked" })),
      ...atLarge.unanswered().map((subject) => ({ ...subject, why: mayStillCome }))
    ]),
    Effect.catch((error) =>
      Effect.succeed(
        atLarge.leftovers(operation, `kept, as asked; whether it is there could not be asked (${error.message})`)
      )
    )
  )
}

/** Removes what a create call made. Fails never: what is left, or could not be asked, is given back. */
export const rollBack = Effect.fnUntraced(function*(
  undoing: Undoing
): Effect.fn.Return<ReadonlyArray<Leftover>> {
  const { atLarge, operation } = undoing
  const left = new Map<string, Leftover>()
  for (let round = 0; round < rounds; round++) {
    const made = yield* Effect.result(look(undoing, (found) => found.length > 0))
    if (made._tag === "Failure") {
      return [{
        kind: "node",
        name: operation.clusterName,
        why: `what is left could not be asked (${made.failure.message}); delete the cluster when there is an answer`
      }]
    }
    left.clear()
    if (made.success.every((wave) => wave.length === 0)) break
    for (const wave of made.success) {
      yield* Effect.forEach(wave, ({ remove, subject }) =>
        remove.pipe(
          Effect.catchIf(gone, () => Effect.void),
          // Why a node failed is what the caller needs to know; that it is gone again goes without saying.
          Effect.andThen(
            Effect.suspend(() => {
              atLarge.removed(subject)
              return operation.outcomeOf(subject)?._tag === "Failed"
                ? Effect.void
                : operation.record(subject, new RolledBack({}))
            })
          ),
          Effect.catch((error) =>
            Effect.sync(() => {
              left.set(`${subject.kind}/${subject.name}`, { ...subject, why: error.message })
            })
          )
        ), { concurrency: operation.policy.concurrency.delete, discard: true })
    }
  }
  return [...left.values(), ...atLarge.unanswered().map((subject) => ({ ...subject, why: mayStillCome }))]
})
