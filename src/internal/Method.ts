/**
 * The span, metrics and debug logs around every method of every backend and around every request that it sends. The
 * method's name is at hand for the errors of the client below.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as Metrics from "../Metrics.ts"
import { ClusterNotFound, NoNodes, ProviderUnavailable } from "../ProviderError.ts"
import { BackendError, type Reason } from "../Reason.ts"
import { count, observe, recordMethod, reportIn } from "./Meter.ts"
import { pathTemplate } from "./PathTemplate.ts"

/** The method that runs in this fiber. */
export interface CurrentMethod {
  readonly backend: string
  /** The name of the layer's instance; undefined where it has none of its own. */
  readonly instance: string | undefined
  readonly operation: string
  readonly clusterName: string | undefined
  /** How many calls it has sent to the backend. */
  sent: number
}

export const CurrentMethod = Context.Reference<CurrentMethod>("kubelayer/internal/CurrentMethod", {
  defaultValue: () => ({
    backend: "provider",
    instance: undefined,
    operation: "client",
    clusterName: undefined,
    sent: 0
  })
})

/** How often the request that is sent in this fiber was sent before. */
export const CurrentAttempt = Context.Reference<number>("kubelayer/internal/CurrentAttempt", {
  defaultValue: () => 0
})

/** Counts a call that is about to be sent. */
export const countCall: Effect.Effect<void> = Effect.flatMap(CurrentMethod, (current) => {
  current.sent++
  return count(Metrics.calls, current, { operation: current.operation })
})

/** A request, for its span. */
export interface Call {
  readonly method: string
  /** Without its query. Names and ids in it are left out of the span. */
  readonly path: string
  /** The address of the server, without credentials. */
  readonly server?: string
}

const statusIn = (value: unknown): number | undefined => {
  if (typeof value !== "object" || value === null) return undefined
  if (value instanceof BackendError) return value.reason.status
  const { code, status, statusCode } = value as Readonly<Record<string, unknown>>
  return [status, statusCode, code].find((one): one is number => typeof one === "number")
}

/**
 * Sends a request: counts it, and runs it in the span `kubelayer.call` with the status of its answer. The answer itself
 * stays out of the span, because it may repeat what was sent.
 */
export const sendCall = (call: Call) => <A, E, R>(send: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> => {
  const annotate = (result: unknown) => {
    const status = statusIn(result)
    return status === undefined ? Effect.void : Effect.annotateCurrentSpan("kubelayer.status", status)
  }
  return Effect.suspend(() => {
    let answer: A
    return countCall.pipe(
      Effect.andThen(CurrentAttempt),
      Effect.flatMap((attempt) =>
        Effect.matchEffect(send, {
          onSuccess: (value) => {
            answer = value
            return annotate(value)
          },
          onFailure: (error) => Effect.andThen(annotate(error), Effect.fail(error))
        }).pipe(Effect.withSpan("kubelayer.call", {
          kind: "client",
          attributes: {
            "kubelayer.method": call.method,
            "kubelayer.path": pathTemplate(call.path),
            "kubelayer.attempt": attempt + 1,
            ...(call.server === undefined ? {} : { "server.address": call.server })
          }
        }))
      ),
      Effect.map(() => answer)
    )
  })
}

/** Fails with a reason, as an error of the method that runs. */
export const failWith = (reason: Reason): Effect.Effect<never, BackendError> =>
  Effect.flatMap(CurrentMethod, ({ backend, clusterName, instance, operation }) =>
    Effect.fail(
      new BackendError({
        provider: backend,
        ...(instance === undefined ? {} : { instance }),
        operation,
        ...(clusterName === undefined ? {} : { clusterName }),
        reason
      })
    ))

const attributesOf = (value: unknown): Record<string, unknown> => {
  if (Array.isArray(value)) return { "kubelayer.count": value.length }
  const report = reportIn(value)
  return report === undefined ? {} : {
    "kubelayer.nodes": report.outcomes.filter((entry) => entry.kind === "node").length,
    "kubelayer.done": report.done.length,
    "kubelayer.failed": report.failed.length
  }
}

/** Adds the name of the instance to an error that has none. */
const withInstance = (instance: string | undefined) => <E>(error: E): E => {
  const named = (error as { readonly instance?: string } | undefined)?.instance
  if (instance === undefined || named !== undefined) return error
  const stamped = error instanceof BackendError
    ? new BackendError({ ...error, instance })
    : error instanceof ProviderUnavailable
    ? new ProviderUnavailable({ ...error, instance })
    : error instanceof NoNodes
    ? new NoNodes({ ...error, instance })
    : error instanceof ClusterNotFound
    ? new ClusterNotFound({ ...error, instance })
    : error
  return stamped as E
}

const callsWord = (sent: number): string => `${sent} ${sent === 1 ? "call" : "calls"}`

const spanAttributes = (clusterName: string | undefined, instance: string | undefined) => ({
  ...(clusterName === undefined ? {} : { "kubelayer.cluster": clusterName }),
  ...(instance === undefined ? {} : { "kubelayer.instance": instance })
})

/** Runs a method in the span `kubelayer.<backend>.<operation>`. `name` is that of the instance. */
export const method = (backend: string, operation: string, clusterName?: string, name?: string) => {
  const instance = name === backend ? undefined : name
  const attributes = spanAttributes(clusterName, instance)
  return <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.suspend(() => {
      const current: CurrentMethod = { backend, instance, operation, clusterName, sent: 0 }
      return Effect.flatMap(Clock.currentTimeMillis, (began) =>
        self.pipe(
          Effect.mapError(withInstance(instance)),
          Effect.tap((result) => Effect.annotateCurrentSpan(attributesOf(result))),
          Effect.tapError((error) =>
            Effect.andThen(
              Effect.annotateCurrentSpan(attributesOf(error)),
              Effect.logDebug(`${operation} failed`, error)
            )
          ),
          Effect.onExit((exit) =>
            Effect.gen(function*() {
              yield* Effect.annotateCurrentSpan("kubelayer.calls", current.sent)
              yield* recordMethod(current, operation, exit, (yield* Clock.currentTimeMillis) - began)
              yield* Effect.logDebug(`${operation}: ${callsWord(current.sent)}`)
            })
          ),
          Effect.provideService(CurrentMethod, current),
          Effect.withSpan(`kubelayer.${backend}.${operation}`, { attributes }),
          Effect.annotateLogs({ "kubelayer.backend": backend, ...attributes })
        ))
    })
}

/** The same around a method that gives a stream: the span lasts as long as somebody listens. */
export const streamMethod =
  (backend: string, operation: string, clusterName?: string, name?: string) =>
  <A, E, R>(self: Stream.Stream<A, E, R>): Stream.Stream<A, E, R> =>
    Stream.unwrap(Effect.map(Effect.context<never>(), (context) => {
      const instance = name === backend ? undefined : name
      const current: CurrentMethod = { backend, instance, operation, clusterName, sent: 0 }
      return self.pipe(
        Stream.mapError(withInstance(instance)),
        Stream.tapError((error) => Effect.logDebug(`${operation} failed`, error)),
        // If the reader leaves, the fiber of the reader runs this, and that fiber is not in the span.
        Stream.onExit((exit) =>
          Effect.gen(function*() {
            yield* Effect.annotateCurrentSpan("kubelayer.calls", current.sent)
            yield* recordMethod(current, operation, exit)
            yield* Effect.logDebug(`${operation}: ${callsWord(current.sent)}`)
          }).pipe(Effect.provideContext(context))
        ),
        Stream.provideService(CurrentMethod, current)
      )
    })).pipe(
      Stream.withSpan(`kubelayer.${backend}.${operation}`, {
        attributes: spanAttributes(clusterName, name === backend ? undefined : name)
      })
    )

/** Records what the quota still allows. */
export const recordQuota = (remaining: number): Effect.Effect<void> =>
  Effect.flatMap(
    CurrentMethod,
    (current) => observe(Metrics.quotaRemaining, current, Math.max(0, Math.floor(remaining)))
  )

/** Records how long something waits for the quota. */
export const recordQuotaWait = <A, E, R>(wait: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.flatMap(
    Effect.timed(wait),
    ([duration, value]) =>
      Effect.flatMap(CurrentMethod, (current) =>
        Effect.as(observe(Metrics.quotaWaits, current, Duration.toMillis(duration) / 1000), value))
  )
