/**
 * Removes what one operation created, found by its mark, and nothing else.
 *
 * The fate of the operation is decided first: things that another create has adopted stay. A request without a reply
 * may still be carried out, so its thing is listed for a while longer. If it does not appear, it is named as a
 * leftover.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Pull from "effect/Pull"
import * as Schedule from "effect/Schedule"
import type { Policy } from "../../Policy.ts"
import type { Subject } from "../../Progress.ts"
import type { Leftover } from "../../ProviderError.ts"
import { RolledBack } from "../../Report.ts"
import type { AnyResource, CallFailure } from "../../Resource.ts"
import { detailOf } from "../CallFailures.ts"
import { CurrentUrgency } from "../Urgency.ts"
import type { Created } from "./Created.ts"
import { guarded } from "./Guard.ts"
import { type AnyBackend, kindsOf, type Look, look, subjectOf } from "./Look.ts"
import { ignoringGone } from "./Remove.ts"
import type { Run } from "./Run.ts"

/** How often the backend is listed for what it carried out late. */
const rounds = 3
/** How often, where a request is known to have had no reply. */
const lateRounds = 6

interface Found<Read, Write extends Read> {
  readonly resource: AnyResource<Read, Write>
  readonly actual: unknown
  /** Another create has adopted and finished it, since this operation has not. */
  readonly isFinished: boolean
}

/** Removal waves: kinds in falling order. */
export const removalWaves = <Read, Write extends Read>(
  backend: Pick<AnyBackend<Read, Write>, "node" | "resources">
): ReadonlyArray<ReadonlyArray<AnyResource<Read, Write>>> => {
  const rank = ({ order, removal }: AnyResource<Read, Write>) => removal ?? order
  const kinds = kindsOf<Read, Write>(backend)
  return [...new Set(kinds.map(rank))].sort((a, b) => b - a).map((order) =>
    kinds.filter((kind) => rank(kind) === order)
  )
}

/** The delays of `Policy.poll`; none when it ends. */
export const pacing = (policy: Policy) =>
  Effect.map(
    Schedule.toStep(policy.poll),
    (step) =>
      Effect.flatMap(Clock.currentTimeMillis, (now) => step(now, undefined)).pipe(
        Effect.map(([, delay]) => Option.some(delay)),
        Pull.catchDone(() => Effect.succeedNone)
      )
  )

const find = <Read, Write extends Read>(
  backend: AnyBackend<Read, Write>,
  run: Run,
  created: Created
): Effect.Effect<ReadonlyArray<Found<Read, Write>>, CallFailure> =>
  Effect.map(look<Read, Write>(backend, run.policy, kindsOf<Read, Write>(backend), undefined), (world) => {
    const found = kindsOf<Read, Write>(backend).flatMap((resource) =>
      world.of<unknown>(resource).filter((actual) => {
        const owner = resource.owner(actual, world)
        return owner?.operation === run.mark.operation && owner.cluster === run.cluster
      }).map((actual) => ({
        resource,
        actual,
        isFinished: !run.isFinishing && resource.owner(actual, world)?.isFinished === true
      }))
    )
    for (const { actual, resource } of found) {
      if (resource.isCreatedAgain !== true) created.seen(subjectOf(resource, actual))
    }
    return found
  })

/** Lists what the operation created, long enough for requests without reply to appear. */
const findAll = Effect.fnUntraced(function*<Read, Write extends Read>(
  backend: AnyBackend<Read, Write>,
  run: Run,
  created: Created,
  isEnough: (found: ReadonlyArray<Found<Read, Write>>) => boolean
): Effect.fn.Return<ReadonlyArray<Found<Read, Write>>, CallFailure> {
  const pace = yield* pacing(run.policy)
  for (let round = 1;; round++) {
    const found = yield* find<Read, Write>(backend, run, created)
    if (created.pending().length === 0 || round === lateRounds || isEnough(found)) return found
    const delay = yield* pace
    if (Option.isNone(delay)) return found
    yield* Effect.sleep(delay.value)
  }
})

const mayStillAppear = "its creation had no reply, and the backend may still carry it out. Run deleteNodes"

const unread = (created: Created, why: string): ReadonlyArray<Leftover> =>
  created.all().map((subject) => ({ ...subject, why }))

/** The things that the operation created and leaves in place. Never fails. */
export const whatRemains = <Read, Write extends Read>(
  backend: AnyBackend<Read, Write>,
  run: Run,
  created: Created,
  why: string
): Effect.Effect<ReadonlyArray<Leftover>> =>
  findAll<Read, Write>(backend, run, created, () => false).pipe(
    Effect.map((found) => [
      ...found.map(({ actual, resource }) => ({ ...subjectOf(resource, actual), why })),
      ...created.pending().map((subject) => ({ ...subject, why: mayStillAppear }))
    ]),
    Effect.catch((error) => Effect.succeed(unread(created, `${why}; could not list what remains: ${detailOf(error)}`)))
  )

/** Removes what the operation created. Never fails: returns what it could not remove, as it goes in `left`. */
export const undo = <Read, Write extends Read>(
  backend: AnyBackend<Read, Write>,
  run: Run,
  created: Created,
  left: Map<string, Leftover>
): Effect.Effect<ReadonlyArray<Leftover>> =>
  Effect.gen(function*() {
    const { operation, policy } = run
    const decided = backend.fates === undefined
      ? "undone"
      : yield* guarded(
        "fates.decide",
        () =>
          backend.fates?.decide(backend.write, run.cluster, run.mark.operation, "undone") ?? Effect.succeed("undone")
      )
    if (decided === "adopted") {
      return yield* whatRemains<Read, Write>(backend, run, created, "another create uses it")
    }
    let kept: ReadonlyArray<Leftover> = []
    for (let round = 0; round < rounds; round++) {
      const all = yield* findAll<Read, Write>(backend, run, created, (some) => some.length > 0)
      kept = all.filter(({ isFinished }) => isFinished).map(({ actual, resource }) => ({
        ...subjectOf(resource, actual),
        why: "another create uses it"
      }))
      const found = all.filter(({ isFinished }) => !isFinished)
      // A removal whose reply was broken was carried out where the list does not show the thing any more.
      const listed = new Set(found.map(({ actual, resource }) => {
        const { kind, name } = subjectOf(resource, actual)
        return `${kind}/${name}`
      }))
      for (const [key, { kind, name }] of left) if (!listed.has(key)) yield* rolledBack(run, { kind, name })
      left.clear()
      if (found.length === 0) break
      for (const { actual, resource } of found) {
        const subject = subjectOf(resource, actual)
        left.set(`${subject.kind}/${subject.name}`, { ...subject, why: "the time for the clean-up was over" })
      }
      for (const kinds of removalWaves<Read, Write>(backend)) {
        yield* Effect.forEach(found.filter(({ resource }) => kinds.includes(resource)), ({ actual, resource }) => {
          const subject = subjectOf(resource, actual)
          const task = run.task(subject)
          return ignoringGone(guarded("remove", () => resource.remove(backend.write, actual, task))).pipe(
            Effect.andThen(
              guarded("gone", () => resource.gone?.(backend.read, actual, task) ?? Effect.void)
            ),
            Effect.matchEffect({
              onFailure: (error) =>
                Effect.sync(() =>
                  void left.set(`${subject.kind}/${subject.name}`, { ...subject, why: detailOf(error) })
                ),
              onSuccess: () => {
                left.delete(`${subject.kind}/${subject.name}`)
                if (resource.isCreatedAgain !== true) created.absent(subject)
                return rolledBack(run, { kind: subject.kind, name: subject.name })
              }
            })
          )
        }, { concurrency: policy.concurrency.delete, discard: true })
      }
    }
    if (left.size === 0 && created.pending().length === 0 && backend.fates !== undefined) {
      yield* Effect.ignore(
        guarded("fates.forget", () => backend.fates?.forget(backend.write, run.mark.operation) ?? Effect.void)
      )
    }
    yield* operation.report
    return [...kept, ...left.values(), ...created.pending().map((subject) => ({ ...subject, why: mayStillAppear }))]
  }).pipe(
    Effect.catch((error) =>
      Effect.succeed(
        unread(
          created,
          `could not list what remains: ${detailOf(error)}. Run deleteNodes again once the backend is reachable`
        )
      )
    ),
    Effect.provideService(CurrentUrgency, "delete")
  )

/** Removes the records of decisions about operations without a listed thing. Never fails. */
export const forgetFates = <Read, Write extends Read>(
  backend: AnyBackend<Read, Write>,
  operations: Iterable<string>,
  world: Look
): Effect.Effect<void> => {
  const { fates } = backend
  const used = new Set(
    kindsOf<Read, Write>(backend).flatMap((resource) =>
      world.of<unknown>(resource).flatMap((actual) => resource.owner(actual, world)?.operation ?? [])
    )
  )
  return Effect.forEach(
    [...operations].filter((operation) => !used.has(operation)),
    (operation) => Effect.ignore(guarded("fates.forget", () => fates?.forget(backend.write, operation) ?? Effect.void)),
    { discard: true }
  )
}

// Why a node failed is what the caller needs to know. It goes without saying that it is gone again.
const rolledBack = (run: Run, subject: Subject): Effect.Effect<void> =>
  Effect.suspend(() =>
    run.operation.outcomeOf(subject)?._tag === "Failed"
      ? Effect.void
      : run.operation.record(subject, new RolledBack({}))
  )
