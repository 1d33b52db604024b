/**
 * One run of an operation: the tasks that members of a backend get, and the waves in which they run.
 */
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Latch from "effect/Latch"
import * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import type { ClusterName } from "../../Model.ts"
import type { Operation as PolicyOperation, Policy } from "../../Policy.ts"
import type { Subject } from "../../Progress.ts"
import type { OperationName, Outcome } from "../../Report.ts"
import type { CallFailure, Mark, Task } from "../../Resource.ts"
import * as Operation from "../Operation.ts"
import { BoundToProcess, SessionSource } from "../Session.ts"
import { withoutDefects } from "./Guard.ts"
import { guarded } from "./Guard.ts"
import type { Look } from "./Look.ts"

/** How the requests of an operation are sent. A create replaces it, so that its requests are not aborted. */
export type Sender = <A>(subject: Subject, request: Effect.Effect<A, CallFailure>) => Effect.Effect<A, CallFailure>

export interface Run {
  readonly operation: Operation.Operation
  readonly cluster: ClusterName
  readonly policy: Policy
  readonly mark: Mark
  /** The latest list. */
  world: Look
  sender: Sender
  /** Whether anything was sent. */
  hasSent: boolean
  /** Everything exists, and is being marked as finished. */
  isFinishing: boolean
  /** Names of nodes that carry the mark of an added node. */
  readonly addedNames: Set<string>
  readonly task: (subject: Subject, slot?: Slot) => Task
  /** Runs the work of each item, so many at once as the policy says, and ends when each has settled. */
  readonly wave: <A>(
    kind: PolicyOperation,
    items: ReadonlyArray<A>,
    subject: (item: A) => Subject,
    work: (item: A, task: Task) => Effect.Effect<Outcome | undefined, CallFailure>,
    options?: WaveOptions<A>
  ) => Effect.Effect<void>
}

interface WaveOptions<A> {
  /** The items of later waves; each runs when those of the one before have settled. */
  readonly later?: ReadonlyArray<ReadonlyArray<A>>
  /** A wave begins when the items of the one before have settled or wait. */
  readonly overlap?: boolean
  /** The deadline of an item, where it is later than that of the policy. */
  readonly timeout?: (item: A) => Duration.Duration
  /** How many items at once, where it is fewer than the policy says. */
  readonly width?: number
}

/** The place of an item among those that are acted on at once. It gives the place up while it waits. */
interface Slot {
  readonly waiting: <A, E, R>(wait: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
}

const inSlot = <A, E, R>(
  permits: Semaphore.Semaphore,
  onWaiting: Effect.Effect<void>,
  body: (slot: Slot) => Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function*() {
      yield* restore(permits.take(1))
      let holds = true
      const slot: Slot = {
        waiting: (wait) =>
          Effect.uninterruptibleMask((restoreWait) =>
            Effect.gen(function*() {
              yield* onWaiting
              if (!holds) return yield* restoreWait(wait)
              holds = false
              yield* permits.release(1)
              const exit = yield* Effect.exit(restoreWait(wait))
              yield* restoreWait(permits.take(1))
              holds = true
              return yield* exit
            })
          )
      }
      return yield* restore(body(slot)).pipe(
        Effect.ensuring(Effect.suspend(() => holds ? permits.release(1) : Effect.void))
      )
    })
  )

/** Counts down what has to happen before something may go on. */
const makeCountdown = (count: number) => {
  const latch = Latch.makeUnsafe(count === 0)
  const left = new Set<unknown>(Array.from({ length: count }, (_, index) => index))
  return {
    await: latch.await,
    done: (index: number) =>
      Effect.suspend(() => left.delete(index) && left.size === 0 ? Effect.asVoid(latch.open) : Effect.void)
  }
}

/** How long an explanation is used again, since nodes of a wave reach their deadlines at the same time. */
const explainedFor = Duration.seconds(1)

/** An explanation that never fails and takes no longer than a request. Nodes that are late at the same time share it. */
const explanation = (
  explain: (cluster: ClusterName) => Effect.Effect<string, CallFailure>,
  cluster: ClusterName,
  { requestTimeout }: Policy
): Effect.Effect<Effect.Effect<string>> =>
  Effect.cachedWithTTL(
    guarded("explain", () => explain(cluster)).pipe(
      Effect.timeoutOrElse({ duration: requestTimeout, orElse: () => Effect.succeed("") }),
      Effect.orElseSucceed(() => "")
    ),
    explainedFor
  )

/** Starts a run. Its scope is that of the values that tasks make once. */
export const makeRun = Effect.fnUntraced(function*(options: {
  readonly provider: string
  readonly name: OperationName
  readonly cluster: ClusterName
  readonly policy: Policy
  readonly world: Look
  /** Whether it creates things, which then carry its marks. */
  readonly creates?: boolean
  readonly added?: boolean
  /** The cause that keeps nodes of the cluster from settling, for errors of deadlines. */
  readonly explain?: (cluster: ClusterName) => Effect.Effect<string, CallFailure>
}): Effect.fn.Return<Run, never, Scope.Scope> {
  const { cluster, policy } = options
  const scope = yield* Effect.scope
  const operation = yield* Operation.make({
    ...options,
    clusterName: cluster,
    explain: options.explain === undefined ? undefined : yield* explanation(options.explain, cluster, policy)
  })
  const source = yield* SessionSource
  const mark: Mark = {
    operation: source.randomWord(16),
    session: options.creates === true ? yield* source.session : "",
    bound: yield* BoundToProcess,
    added: options.added === true
  }
  const addedNames = new Set<string>()
  const made = new Map<string, Deferred.Deferred<unknown, unknown>>()

  const once: Task["once"] = <A, E>(key: string, make: Effect.Effect<A, E, Scope.Scope>) =>
    Effect.suspend(() => {
      const present = made.get(key) as Deferred.Deferred<A, E> | undefined
      if (present !== undefined) return Deferred.await(present)
      const deferred = Deferred.makeUnsafe<A, E>()
      made.set(key, deferred as Deferred.Deferred<unknown, unknown>)
      return Scope.provide(make, scope).pipe(
        Effect.onExit((exit: Exit.Exit<A, E>) =>
          Effect.suspend(() => {
            // The next one that asks tries again.
            if (exit._tag === "Failure") made.delete(key)
            return Deferred.done(deferred, exit)
          })
        )
      )
    })

  const task: Run["task"] = (subject, slot) => ({
    operation: operation.name,
    cluster,
    subject,
    policy,
    mark: addedNames.has(subject.name) ? { ...mark, added: true } : mark,
    get world() {
      return run.world
    },
    send: (call, request) =>
      Effect.andThen(
        operation.emit({ _tag: "Sent", subject, call }),
        Effect.suspend(() => {
          run.hasSent = true
          return run.sender(subject, request)
        })
      ),
    waiting: (reason, wait) =>
      Effect.andThen(
        operation.emit({ _tag: "Waiting", subject, reason }),
        slot === undefined ? wait : slot.waiting(wait)
      ),
    transferred: (about, bytes, total) =>
      operation.emit({ _tag: "Transferred", subject: about, bytes, ...(total === undefined ? {} : { total }) }),
    note: (text) => operation.note(subject, text),
    error: (reason, about = subject) => operation.error(reason, about),
    once
  })

  const run: Run = {
    operation,
    cluster,
    policy,
    mark,
    world: options.world,
    sender: (_, request) => request,
    hasSent: false,
    isFinishing: false,
    addedNames,
    task,
    wave: (kind, first, subjectOf, work, { overlap = false, later = [], timeout, width } = {}) =>
      Effect.gen(function*() {
        const waves = [first, ...later]
        const permits = Semaphore.makeUnsafe(Math.min(width ?? Number.POSITIVE_INFINITY, policy.concurrency[kind]))
        const countdowns = waves.map((wave) => makeCountdown(wave.length))
        yield* operation.schedule(waves.flat().map(subjectOf))
        yield* Effect.forEach(
          waves.flatMap((wave, rank) => wave.map((item, index) => ({ item, rank, index }))),
          ({ index, item, rank }) => {
            const subject = subjectOf(item)
            const passed = countdowns[rank]?.done(index) ?? Effect.void
            const before = countdowns[rank - 1]?.await ?? Effect.void
            return Effect.andThen(
              before,
              inSlot(permits, overlap ? passed : Effect.void, (slot) =>
                operation.settle(
                  subject,
                  timeout?.(item) ?? policy.nodeTimeout[kind],
                  withoutDefects(Effect.suspend(() => work(item, task(subject, slot))))
                ))
            ).pipe(Effect.ensuring(passed))
          },
          { concurrency: "unbounded", discard: true }
        )
      })
  }
  return run
})
