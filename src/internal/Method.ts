/**
 * What every method of every backend has around it: a span, debug logs, and the method's name at hand for whatever
 * error the client below has to make.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { BackendError, type Reason } from "../Reason.ts"
import { OperationReport } from "../Report.ts"

/** The method that runs in this fiber. */
export interface CurrentMethod {
  readonly backend: string
  readonly operation: string
  readonly clusterName: string | undefined
  /** How many calls it has sent to the backend. */
  sent: number
}

export const CurrentMethod = Context.Reference<CurrentMethod>("kubelayer/internal/CurrentMethod", {
  defaultValue: () => ({ backend: "provider", operation: "client", clusterName: undefined, sent: 0 })
})

/** Counts a call that is about to be sent. */
export const countCall: Effect.Effect<void> = Effect.map(CurrentMethod, (current) => {
  current.sent++
})

/** Fails with a reason, as an error of the method that runs. */
export const failWith = (reason: Reason): Effect.Effect<never, BackendError> =>
  Effect.flatMap(CurrentMethod, ({ backend, clusterName, operation }) =>
    Effect.fail(
      new BackendError({
        provider: backend,
        operation,
        ...(clusterName === undefined ? {} : { clusterName }),
        reason
      })
    ))

const attributesOf = (value: unknown): Record<string, unknown> => {
  if (value instanceof OperationReport) {
    return {
      "kubelayer.nodes": value.outcomes.filter((entry) => entry.kind === "node").length,
      "kubelayer.done": value.done.length,
      "kubelayer.failed": value.failed.length
    }
  }
  if (Array.isArray(value)) return { "kubelayer.count": value.length }
  return typeof value === "object" && value !== null && "report" in value ? attributesOf(value.report) : {}
}

/** Runs a method in the span `kubelayer.<backend>.<operation>`. */
export const method = (backend: string, operation: string, clusterName?: string) => {
  const attributes = clusterName === undefined ? {} : { "kubelayer.cluster": clusterName }
  return <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.suspend(() => {
      const current: CurrentMethod = { backend, operation, clusterName, sent: 0 }
      return self.pipe(
        Effect.tap((result) => Effect.annotateCurrentSpan(attributesOf(result))),
        Effect.tapError((error) =>
          Effect.andThen(
            Effect.annotateCurrentSpan(attributesOf(error)),
            Effect.logDebug(`${operation} failed`, error)
          )
        ),
        Effect.onExit(() =>
          Effect.suspend(() =>
            Effect.andThen(
              Effect.annotateCurrentSpan("kubelayer.calls", current.sent),
              Effect.logDebug(`${operation}: ${current.sent} calls`)
            )
          )
        ),
        Effect.provideService(CurrentMethod, current),
        Effect.withSpan(`kubelayer.${backend}.${operation}`, { attributes }),
        Effect.annotateLogs({ "kubelayer.backend": backend, ...attributes })
      )
    })
}

/** The same around a method that gives a stream: the span lasts as long as somebody listens. */
export const streamMethod =
  (backend: string, operation: string, clusterName?: string) =>
  <A, E, R>(self: Stream.Stream<A, E, R>): Stream.Stream<A, E, R> =>
    Stream.unwrap(Effect.map(Effect.context<never>(), (context) => {
      const current: CurrentMethod = { backend, operation, clusterName, sent: 0 }
      return self.pipe(
        Stream.tapError((error) => Effect.logDebug(`${operation} failed`, error)),
        // Where the reader leaves, it is the reader's fiber that runs this, and that is not in the span.
        Stream.onExit(() =>
          Effect.suspend(() =>
            Effect.andThen(
              Effect.annotateCurrentSpan("kubelayer.calls", current.sent),
              Effect.logDebug(`${operation}: ${current.sent} calls`)
            )
          ).pipe(Effect.provideContext(context))
        ),
        Stream.provideService(CurrentMethod, current)
      )
    })).pipe(
      Stream.withSpan(`kubelayer.${backend}.${operation}`, {
        attributes: clusterName === undefined ? {} : { "kubelayer.cluster": clusterName }
      })
    )
