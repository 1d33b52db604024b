/**
 * One create call of a backend: what it made is removed again unless it succeeds.
 *
 * Requests that make something are never aborted, so that it is known what they made; a clean-up waits for those in
 * flight, and has its own deadline. What to remove, and how, is the backend's matter.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type { ClusterName } from "../Model.ts"
import type { Policy } from "../Policy.ts"
import type { Subject } from "../Progress.ts"
import {
  type InvalidSpec,
  type Leftover,
  NodesNotCreated,
  OperationTimeout,
  type ProviderUnavailable
} from "../ProviderError.ts"
import type { BackendError } from "../Reason.ts"
import { Failed, type OperationName, type OperationReport } from "../Report.ts"
import type { AtLarge } from "./AtLarge.ts"
import * as Operation from "./Operation.ts"
import { type MadeBy, rollBack, whatIsLeft } from "./Rollback.ts"
import { BoundToProcess, SessionSource } from "./Session.ts"

type CallFailure = ProviderUnavailable | BackendError

export interface Creation {
  readonly operation: Operation.Operation
  /** Marks what this call makes. */
  readonly id: string
  readonly session: string
  readonly bound: boolean
  readonly atLarge: AtLarge
  /** Sends a request that makes the subject: it is not aborted when the caller is interrupted. */
  readonly making: <A>(subject: Subject, request: Effect.Effect<A, CallFailure>) => Effect.Effect<A, CallFailure>
}

/** For a create that has no error to carry them: it was interrupted, or ran out of its time. */
const tellLeftovers = (cluster: ClusterName, leftovers: ReadonlyArray<Leftover>): Effect.Effect<void> =>
  leftovers.length === 0
    ? Effect.void
    : Effect.logWarning(
      `a create of cluster ${cluster} did not end and left behind:`,
      ...leftovers.map((left) => `${left.kind} ${left.name}: ${left.why}`)
    )

export const create = (options: {
  readonly provider: string
  readonly name: OperationName
  readonly clusterName: ClusterName
  readonly policy: Policy
  readonly onFailure: "remove" | "keep"
  readonly atLarge: AtLarge
  /** Judges, then makes. Where it fails before anything was sent, its error is the call's. */
  readonly body: (creation: Creation) => Effect.Effect<void, InvalidSpec | CallFailure>
  /** Finds what the call made. */
  readonly madeBy: (creation: Creation) => MadeBy
}): Effect.Effect<OperationReport, InvalidSpec | NodesNotCreated | OperationTimeout | CallFailure> =>
  Effect.gen(function*() {
    const { atLarge, clusterName, policy } = options
    const operation = yield* Operation.make(options)
    const inFlight = new Set<Fiber.Fiber<unknown, unknown>>()
    let touched = false
    let cleaned = false

    const source = yield* SessionSource
    const creation: Creation = {
      operation,
      id: source.randomWord(16),
      session: yield* source.session,
      bound: yield* BoundToProcess,
      atLarge,
      making: (subject, request) =>
        Effect.uninterruptibleMask((restore) =>
          Effect.gen(function*() {
            touched = true
            const fiber = yield* Effect.forkDetach(Effect.interruptible(atLarge.sending(subject, request)))
            inFlight.add(fiber)
            fiber.addObserver(() => inFlight.delete(fiber))
            return yield* restore(Fiber.join(fiber))
          })
        )
    }

    const cleanUp = Effect.gen(function*() {
      yield* Effect.forEach([...inFlight], (fiber) => Fiber.await(fiber), { concurrency: "unbounded", discard: true })
      if (!touched || cleaned) return []
      const undoing = { operation, atLarge, madeBy: options.madeBy(creation) }
      const left = yield* options.onFailure === "keep" ? whatIsLeft(undoing) : rollBack(undoing)
      cleaned = true
      return left
    }).pipe(
      Effect.timeoutOrElse({
        duration: policy.cleanupTimeout,
        orElse: () =>
          Effect.sync(() => {
            cleaned = true
            return atLarge.leftovers(operation, "it was not removed in time; delete the cluster")
          })
      })
    )

    const body = Effect.gen(function*() {
      yield* options.body(creation)
      const report = yield* operation.report
      if (report.isFailure) return yield* new NodesNotCreated({ report, leftovers: [] })
      return report
    })

    return yield* Operation.bounded(operation)(body).pipe(
      Effect.catch((error) =>
        Effect.gen(function*() {
          // Nothing was made, so there is nothing to tell but why.
          if (!touched) return yield* Effect.fail(error)
          if (error._tag === "BackendError" || error._tag === "ProviderUnavailable") {
            const subject: Subject = (error._tag === "BackendError" ? error.subject : undefined) ??
              { kind: "node", name: clusterName }
            yield* operation.record(subject, new Failed({ error: Operation.settledError(operation, subject, error) }))
          }
          const leftovers = yield* cleanUp
          const report = yield* operation.report
          if (error._tag !== "OperationTimeout") return yield* new NodesNotCreated({ report, leftovers })
          yield* tellLeftovers(clusterName, leftovers)
          // The report of now also says what was removed again.
          return yield* new OperationTimeout({ ...error, report })
        })
      ),
      Effect.onExit((exit) =>
        Exit.isFailure(exit) && !cleaned
          ? Effect.flatMap(cleanUp, (leftovers) => tellLeftovers(clusterName, leftovers))
          : Effect.void
      )
    )
  })
