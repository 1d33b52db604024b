/**
 * Undoing one create call, and nothing else: what carries the call's own annotation is torn down.
 *
 * Where the call made the cluster, that alone is torn down, for Omni takes the rest with it; else the machines and sets
 * that it added. A request whose answer was lost may still be carried out, so it is looked for a while longer.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Pull from "effect/Pull"
import * as Schedule from "effect/Schedule"
import * as Operation from "../internal/Operation.ts"
import type { Subject } from "../Progress.ts"
import type { CreateFailure } from "../Provider.ts"
import { type Leftover, NodesNotCreated, OperationTimeout } from "../ProviderError.ts"
import { Failed, type OperationReport, RolledBack } from "../Report.ts"
import * as Labels from "./Labels.ts"
import { type CallFailure, isReason, Kinds, type State } from "./State.ts"

/** What one create call carries through its steps. */
export interface Call {
  readonly operation: Operation.Operation
  /** The state, whose creates are not aborted when the caller is interrupted. */
  readonly state: State
  /** The annotations of what the call makes. */
  readonly marks: Labels.Labels
  /** Runs the steps, and undoes what they made unless they succeed. */
  readonly undoing: (
    onFailure: "remove" | "keep",
    steps: Effect.Effect<OperationReport, CreateFailure>
  ) => Effect.Effect<OperationReport, CreateFailure>
}

interface Made {
  readonly subject: Subject
  readonly remove: Effect.Effect<void, CallFailure>
}

/** What of the cluster carries the mark of the call, in the order in which it is to go. */
const madeBy = (state: State, cluster: string, call: string): Effect.Effect<ReadonlyArray<Made>, CallFailure> =>
  Effect.gen(function*() {
    const ours = ({ metadata }: { readonly metadata: { readonly annotations: Labels.Labels } }) =>
      metadata.annotations[Labels.operation] === call
    const found = yield* state.get(Kinds.Cluster, cluster)
    if (found !== undefined && ours(found)) {
      return [{
        subject: { kind: "cluster", name: cluster },
        remove: state.teardownAndDestroy(Kinds.Cluster, cluster)
      }]
    }
    const ofCluster = { [Labels.cluster]: cluster }
    const [nodes, sets] = yield* Effect.all(
      [state.list(Kinds.MachineSetNode, ofCluster), state.list(Kinds.MachineSet, ofCluster)],
      { concurrency: 2 }
    )
    return [
      ...nodes.filter(ours).map(({ metadata: { id } }): Made => ({
        subject: { kind: "node", name: id, id },
        remove: state.teardownAndDestroy(Kinds.MachineSetNode, id)
      })),
      ...sets.filter(ours).map(({ metadata: { id } }): Made => ({
        subject: { kind: "resource", name: `MachineSet ${id}` },
        remove: state.teardownAndDestroy(Kinds.MachineSet, id)
      }))
    ]
  })

/** How often it is looked again where a create got no answer. */
const lateRounds = 6

/** For a create that has no error to carry them: it was interrupted, or ran out of its time. */
const tell = (cluster: string, leftovers: ReadonlyArray<Leftover>): Effect.Effect<void> =>
  leftovers.length === 0
    ? Effect.void
    : Effect.logWarning(
      `a create of cluster ${cluster} did not end and left behind:`,
      ...leftovers.map((left) => `${left.kind} ${left.name}: ${left.why}`)
    )

export const makeCall = (options: {
  readonly state: State
  readonly operation: Operation.Operation
  readonly id: string
  readonly marks: Labels.Labels
}): Call => {
  const { id, marks, operation, state } = options
  const { clusterName, policy } = operation
  const inFlight = new Set<Fiber.Fiber<unknown, unknown>>()
  let touched = false
  let unanswered = false
  let cleaned = false

  const making = <A>(request: Effect.Effect<A, CallFailure>): Effect.Effect<A, CallFailure> =>
    Effect.uninterruptibleMask((restore) =>
      Effect.gen(function*() {
        touched = true
        const noting = Effect.tapError(request, (error) =>
          Effect.sync(() => {
            if (isReason(error, "RequestTimeout") || isReason(error, "Transport")) unanswered = true
          }))
        const fiber = yield* Effect.forkDetach(Effect.interruptible(noting))
        inFlight.add(fiber)
        fiber.addObserver(() => inFlight.delete(fiber))
        return yield* restore(Fiber.join(fiber))
      })
    )

  const left = (subject: Subject, why: string): Leftover => ({ ...subject, why })

  const undoOne = ({ remove, subject }: Made): Effect.Effect<ReadonlyArray<Leftover>> =>
    remove.pipe(
      // Why a node failed is what the caller needs to know; that it is gone again goes without saying.
      Effect.andThen(Effect.suspend(() =>
        operation.outcomeOf(subject)?._tag === "Failed" ? Effect.void : operation.record(subject, new RolledBack({}))
      )),
      Effect.as([]),
      Effect.catch((error) =>
        Effect.succeed([left(subject, error.message)])
      )
    )

  /** Nodes go with their cluster, and are told of in the report. */
  const nodesToo = Effect.gen(function*() {
    const { outcomes } = yield* operation.report
    for (const { id: nodeId, kind, name, outcome } of outcomes) {
      if (kind !== "node" || outcome._tag !== "Done") continue
      yield* operation.record({ kind, name, ...(nodeId === undefined ? {} : { id: nodeId }) }, new RolledBack({}))
    }
  })

  const undo: Effect.Effect<ReadonlyArray<Leftover>, CallFailure> = Effect.gen(function*() {
    const pace = yield* Schedule.toStep(policy.poll)
    for (let round = 1;; round++) {
      const made = yield* madeBy(state, clusterName, id)
      if (made.length > 0) {
        const failed = yield* Effect.forEach(made, undoOne, { concurrency: policy.concurrency.delete })
        yield* nodesToo
        if (failed.flat().length > 0) return failed.flat()
      }
      if (!unanswered || round === lateRounds) return []
      const delay = yield* Effect.flatMap(Clock.currentTimeMillis, (now) => pace(now, undefined)).pipe(
        Effect.map(([, delay]) => Option.some(delay)),
        Pull.catchDone(() => Effect.succeedNone)
      )
      if (Option.isNone(delay)) return []
      yield* Effect.sleep(delay.value)
    }
  })

  const kept = Effect.map(
    madeBy(state, clusterName, id),
    (made) => made.map(({ subject }) => left(subject, "kept, as asked"))
  )

  const cleanUp = (onFailure: "remove" | "keep"): Effect.Effect<ReadonlyArray<Leftover>> =>
    Effect.gen(function*() {
      yield* Effect.forEach([...inFlight], (fiber) => Fiber.await(fiber), { concurrency: "unbounded", discard: true })
      if (!touched || cleaned) return []
      return yield* onFailure === "keep" ? kept : undo
    }).pipe(
      Effect.catch((error) =>
        Effect.succeed([
          left({ kind: "cluster", name: clusterName }, `what is left could not be asked (${error.message})`)
        ])
      ),
      Effect.timeoutOrElse({
        duration: policy.cleanupTimeout,
        orElse: () =>
          Effect.succeed([left({ kind: "cluster", name: clusterName }, "it was not gone in time; delete the cluster")])
      }),
      Effect.tap(() =>
        Effect.sync(() => {
          cleaned = true
        })
      )
    )

  return {
    operation,
    marks,
    state: { ...state, create: (kind, resource) => making(state.create(kind, resource)) },
    undoing: (onFailure, steps) =>
      Operation.bounded(operation)(steps).pipe(
        Effect.catch((error) =>
          Effect.gen(function*() {
            // Nothing was made, so there is nothing to tell but why.
            if (!touched) return yield* Effect.fail(error)
            if (error._tag === "BackendError" || error._tag === "ProviderUnavailable") {
              const subject: Subject = { kind: "cluster", name: clusterName }
              yield* operation.record(subject, new Failed({ error: Operation.settledError(operation, subject, error) }))
            }
            const leftovers = yield* cleanUp(onFailure)
            const report = yield* operation.report
            if (error._tag === "InvalidSpec") {
              yield* tell(clusterName, leftovers)
              return yield* Effect.fail(error)
            }
            if (error._tag !== "OperationTimeout") return yield* new NodesNotCreated({ report, leftovers })
            yield* tell(clusterName, leftovers)
            // The report of now also says what was removed again.
            return yield* new OperationTimeout({ ...error, report })
          })
        ),
        Effect.onExit((exit) =>
          Exit.isFailure(exit) && !cleaned
            ? Effect.flatMap(cleanUp(onFailure), (leftovers) => tell(clusterName, leftovers))
            : Effect.void
        )
      )
  }
}
