/**
 * Values and fakes that the tests of the core share: nodes, reports, a lister that counts, a tracer and a logger that
 * keep what they are given. None of them waits or does I/O.
 */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as References from "effect/References"
import * as Schema from "effect/Schema"
import { TestClock } from "effect/testing"
import * as Tracer from "effect/Tracer"
import { ClusterName, NodeInfo } from "kubelayer/Model"
import type { OperationEvent, Sink, Subject } from "kubelayer/Progress"
import * as Reason from "kubelayer/Reason"
import { OperationReport, type Outcome, ResourceOutcome } from "kubelayer/Report"

const clusterName = Schema.decodeUnknownSync(ClusterName)

export const dev = clusterName("dev")

export const node = (name: string, overrides: Partial<ConstructorParameters<typeof NodeInfo>[0]> = {}): NodeInfo =>
  new NodeInfo({
    name,
    clusterName: dev,
    role: "worker",
    state: "running",
    id: `id-of-${name}`,
    rawRole: "worker",
    rawState: "running",
    addresses: { private: [], public: [] },
    ...overrides
  })

export const subjectOf = (name: string): Subject => ({ kind: "node", name, id: `id-of-${name}` })

export const backendError = (
  reason: Reason.Reason,
  more: Partial<ConstructorParameters<typeof Reason.BackendError>[0]> = {}
) => new Reason.BackendError({ provider: "test", operation: "startNodes", clusterName: "dev", ...more, reason })

export const detail = "the words of the backend"

/** One of each reason. */
export const samples: { readonly [K in Reason.ReasonTag]: Reason.Reason } = {
  Unauthorized: new Reason.Unauthorized({ detail }),
  ReadOnlyCredential: new Reason.ReadOnlyCredential({ detail }),
  RateLimited: new Reason.RateLimited({ detail, retryAfterMillis: 1500 }),
  CapacityUnavailable: new Reason.CapacityUnavailable({ detail }),
  PlacementFailed: new Reason.PlacementFailed({ detail }),
  QuotaExceeded: new Reason.QuotaExceeded({ detail }),
  NameTaken: new Reason.NameTaken({ detail, by: "a container of nobody's" }),
  Differs: new Reason.Differs({ detail, differences: [] }),
  AmbiguousCluster: new Reason.AmbiguousCluster({ detail, candidates: ["kind/dev", "k3d/dev"] }),
  Locked: new Reason.Locked({ detail }),
  Conflict: new Reason.Conflict({ detail }),
  InUse: new Reason.InUse({ detail }),
  InvalidInput: new Reason.InvalidInput({ detail }),
  NotFoundError: new Reason.NotFoundError({ detail }),
  Protected: new Reason.Protected({ detail }),
  UnsupportedError: new Reason.UnsupportedError({ detail }),
  Transport: new Reason.Transport({ detail }),
  RequestTimeout: new Reason.RequestTimeout({ detail, durationMillis: 30_000 }),
  ServerFault: new Reason.ServerFault({ detail, retryAfterMillis: 2000 }),
  InvalidResponse: new Reason.InvalidResponse({ detail }),
  UnknownError: new Reason.UnknownError({ detail })
}

/** One that may be tried again, and one that may not. */
export const locked = backendError(new Reason.Locked({ detail: "held by another" }))
export const refused = backendError(new Reason.Protected({ detail: "protected" }))

export const reportOf = (
  outcomes: Readonly<Record<string, Outcome>>,
  more: Partial<ConstructorParameters<typeof OperationReport>[0]> = {}
): OperationReport =>
  new OperationReport({
    operation: "startNodes",
    clusterName: dev,
    durationMillis: 0,
    ...more,
    outcomes: Object.entries(outcomes).map(([name, outcome]) =>
      new ResourceOutcome({ kind: "node", name, outcome, durationMillis: 0 })
    )
  })

/** The content of a report in a short form: `name: tag`. */
export const told = (report: OperationReport): ReadonlyArray<string> =>
  report.outcomes.map((entry) => `${entry.name}: ${entry.outcome._tag}`)

/** A lister over fixed nodes that counts how often it was asked. */
export const listing = (nodes: ReadonlyArray<NodeInfo>) => {
  const lister = {
    backend: "test",
    asked: 0,
    listNodes: (_cluster: string): Effect.Effect<ReadonlyArray<NodeInfo>> =>
      Effect.sync(() => {
        lister.asked++
        return nodes
      })
  }
  return lister
}

/** A sink that keeps every event. */
export const recorder = () => {
  const events: Array<OperationEvent> = []
  const sink: Sink = (event) => Effect.sync(() => void events.push(event))
  return {
    events,
    sink,
    get told(): ReadonlyArray<string> {
      return events.map((event) => {
        const detail = event._tag === "Settled"
          ? ` ${event.outcome._tag}`
          : event._tag === "Sent"
          ? ` ${event.call}`
          : ""
        return `${event._tag} ${event.subject.name}${detail}`
      })
    }
  }
}

/** Runs an effect while the clock goes on by `duration`, and gives its exit, or undefined where it still runs. */
export const during = (duration: Parameters<typeof TestClock.adjust>[0]) => <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const fiber = yield* Effect.forkChild(effect)
    yield* TestClock.adjust(duration)
    const exit = fiber.pollUnsafe()
    if (exit === undefined) yield* Fiber.interrupt(fiber)
    return exit
  })

/** A tracer that keeps every span. */
export const tracing = () => {
  const spans: Array<Tracer.Span> = []
  const tracer = Tracer.make({
    span: (options) => {
      const span = new Tracer.NativeSpan(options)
      spans.push(span)
      return span
    }
  })
  return { spans, layer: Layer.succeed(Tracer.Tracer, tracer) }
}

/** A logger that keeps every line with its level and annotations, debug lines too. */
export const logging = () => {
  const lines: Array<{ readonly level: string; readonly text: string; readonly annotations: unknown }> = []
  const logger = Logger.make(({ fiber, logLevel, message }) => {
    const parts = Array.isArray(message) ? message : [message]
    lines.push({
      level: logLevel,
      text: parts.map(String).join(" "),
      annotations: fiber.getRef(References.CurrentLogAnnotations)
    })
  })
  return {
    lines,
    layer: Layer.merge(Logger.layer([logger]), Layer.succeed(References.MinimumLogLevel, "Debug"))
  }
}
