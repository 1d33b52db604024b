/**
 * One run of an operation over the nodes of a cluster: outcomes, waves, deadlines, progress, the report.
 *
 * Every backend acts on nodes through `settle` and `wave`, so that partial failure is the same everywhere. The failure
 * of a node becomes its outcome and never stops other nodes. A node past its deadline is Failed. Later waves always
 * run.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { type ClusterName, NodeRole } from "../Model.ts"
import type { Policy } from "../Policy.ts"
import { type OperationEvent, Progress, type Subject } from "../Progress.ts"
import { NodesFailed, OperationTimeout, ProviderUnavailable } from "../ProviderError.ts"
import { BackendError, type Reason, RequestTimeout, Transport } from "../Reason.ts"
import { Failed, type OperationName, OperationReport, type Outcome, ResourceOutcome } from "../Report.ts"
import { CurrentMethod } from "./Method.ts"
import { within } from "./Retry.ts"

/** The state of a subject so far. Without an outcome it is only scheduled. */
interface Entry {
  readonly subject: Subject
  readonly scheduledAt: number
  readonly startedAt?: number
  readonly outcome?: Outcome
  readonly settledAt?: number
  readonly notes?: ReadonlyArray<string>
}

type EventBody = OperationEvent extends infer E ?
  E extends OperationEvent ? Omit<E, "operation" | "clusterName"> : never
  : never

export interface Operation {
  readonly provider: string
  readonly name: OperationName
  readonly clusterName: ClusterName
  readonly policy: Policy
  readonly emit: (event: EventBody) => Effect.Effect<void>
  /** Fixes the place of these subjects in the report, and emits that they are scheduled. */
  readonly schedule: (subjects: ReadonlyArray<Subject>) => Effect.Effect<void>
  /** Sets or replaces the outcome of a subject. */
  readonly record: (subject: Subject, outcome: Outcome) => Effect.Effect<void>
  readonly outcomeOf: (subject: Subject) => Outcome | undefined
  /** Removes a subject that turned out to be no part of the operation. */
  readonly forget: (subject: Subject) => Effect.Effect<void>
  /** Says which id a subject turned out to have, and which name where it is another one. */
  readonly identify: (subject: Subject, id: string, name?: string) => Effect.Effect<void>
  /** Adds a failure that concerns no single subject. */
  readonly fail: (error: BackendError | ProviderUnavailable) => Effect.Effect<void>
  /** Adds a note about a decision for a subject. The report has it beside the outcome. */
  readonly note: (subject: Subject, text: string) => Effect.Effect<void>
  /** Makes an error of this operation, about a subject where one is named. */
  readonly error: (reason: Reason, subject?: Subject) => BackendError
  /**
   * Runs the work of one subject to its outcome, within its deadline. Never fails. If the work returns no outcome, a
   * later step continues with the subject.
   */
  readonly settle: <R>(
    subject: Subject,
    timeout: Duration.Duration,
    work: Effect.Effect<Outcome | undefined, BackendError | ProviderUnavailable, R>
  ) => Effect.Effect<Outcome | undefined, never, R>
  /** Settles many at once, at most `width` at a time, and ends when all are settled. */
  readonly wave: <A, R>(
    items: ReadonlyArray<A>,
    options: { readonly subject: (item: A) => Subject; readonly timeout: Duration.Duration; readonly width: number },
    work: (item: A) => Effect.Effect<Outcome | undefined, BackendError | ProviderUnavailable, R>
  ) => Effect.Effect<void, never, R>
  readonly report: Effect.Effect<OperationReport>
}

const detailOf = ({ address, detail }: ProviderUnavailable): string =>
  address === undefined ? detail : `${detail} (${address})`

/** A node whose backend went away in mid-operation failed; in a report that is a cut, and the address is kept. */
export const settledError = (
  operation: Pick<Operation, "error">,
  subject: Subject,
  error: BackendError | ProviderUnavailable
) =>
  error instanceof ProviderUnavailable
    ? operation.error(new Transport({ detail: detailOf(error) }), subject)
    : error.subject === undefined
    ? operation.error(error.reason, subject)
    : error

// A jittered wait is no whole number of milliseconds, and the clock of a test is then between two of them.
const wholeMillis = Effect.map(Clock.currentTimeMillis, Math.round)

export const make = Effect.fnUntraced(function*(options: {
  readonly provider: string
  readonly name: OperationName
  readonly clusterName: ClusterName
  readonly policy: Policy
  /** The text that is added to the error of a subject past its deadline. */
  readonly explain?: Effect.Effect<string> | undefined
}): Effect.fn.Return<Operation> {
  const { clusterName, explain = Effect.succeed(""), name, policy, provider } = options
  const sink = yield* Progress
  const { instance } = yield* CurrentMethod
  const startedAt = yield* wholeMillis
  const entries = new Map<string, Entry>()
  const errors: Array<BackendError> = []
  // A thing that is being created has a name before it has an id. A lister of a caller may leave the id empty.
  const key = ({ id, kind, name }: Subject): string => {
    const named = `${kind}/${name}`
    return entries.has(named) || id === undefined || id === "" ? named : `${kind}/${id}`
  }

  const emit: Operation["emit"] = (event) =>
    sink === undefined
      ? Effect.void
      : Effect.suspend(() => sink({ ...event, operation: name, clusterName } as OperationEvent)).pipe(
        Effect.catchCause((cause) => Effect.logDebug("a progress sink failed", cause))
      )

  const schedule: Operation["schedule"] = (subjects) =>
    Effect.gen(function*() {
      const now = yield* wholeMillis
      for (const subject of subjects) {
        if (entries.has(key(subject))) continue
        entries.set(key(subject), { subject, scheduledAt: now })
        yield* emit({ _tag: "Scheduled", subject })
      }
    })

  const record: Operation["record"] = (subject, outcome) =>
    Effect.gen(function*() {
      const now = yield* wholeMillis
      const entry = entries.get(key(subject)) ?? { subject, scheduledAt: now }
      entries.set(key(subject), { ...entry, subject: { ...entry.subject, ...subject }, outcome, settledAt: now })
      yield* emit({ _tag: "Settled", subject, outcome, durationMillis: now - (entry.startedAt ?? entry.scheduledAt) })
    })

  const error: Operation["error"] = (reason, subject) =>
    new BackendError({
      provider,
      ...(instance === undefined ? {} : { instance }),
      operation: name,
      clusterName,
      ...(subject === undefined ? {} : { subject: { kind: subject.kind, name: subject.name } }),
      reason
    })

  const settle: Operation["settle"] = (subject, timeout, work) =>
    Effect.gen(function*() {
      const now = yield* wholeMillis
      const entry = entries.get(key(subject)) ?? { subject, scheduledAt: now }
      entries.set(key(subject), { startedAt: now, ...entry })
      const outcome = yield* work.pipe(
        within(timeout),
        Effect.timeoutOrElse({
          duration: timeout,
          orElse: () =>
            Effect.flatMap(explain, (why) =>
              Effect.fail(
                error(
                  new RequestTimeout({
                    detail: `not settled within its deadline of ${Duration.format(timeout)}${
                      why === "" ? "" : `: ${why}`
                    }`,
                    durationMillis: Math.round(Duration.toMillis(timeout))
                  }),
                  subject
                )
              ))
        }),
        Effect.catch((failure) => Effect.succeed(new Failed({ error: settledError({ error }, subject, failure) })))
      )
      if (outcome !== undefined) {
        yield* Effect.annotateCurrentSpan("kubelayer.outcome", outcome._tag)
        yield* record(subject, outcome)
      }
      return outcome
    }).pipe(
      Effect.withSpan(subject.kind === "node" ? "kubelayer.node" : "kubelayer.resource", {
        attributes: subject.kind === "node"
          ? { "kubelayer.node": subject.name }
          : { "kubelayer.kind": subject.kind, "kubelayer.resource": subject.name }
      })
    )

  const wave: Operation["wave"] = (items, { subject, timeout, width }, work) =>
    Effect.andThen(
      schedule(items.map(subject)),
      Effect.forEach(items, (item) => settle(subject(item), timeout, work(item)), { concurrency: width, discard: true })
    )

  const report = Effect.map(wholeMillis, (now) =>
    new OperationReport({
      operation: name,
      clusterName,
      durationMillis: now - startedAt,
      ...(errors.length === 0 ? {} : { errors: [...errors] }),
      outcomes: [...entries.values()].flatMap(({ notes, outcome, scheduledAt, settledAt, startedAt: began, subject }) =>
        outcome === undefined
          ? []
          : [
            new ResourceOutcome({
              ...subject,
              outcome,
              durationMillis: (settledAt ?? scheduledAt) - (began ?? scheduledAt),
              ...(notes === undefined ? {} : { notes })
            })
          ]
      )
    }))

  return {
    provider,
    name,
    clusterName,
    policy,
    emit,
    schedule,
    record,
    outcomeOf: (subject) => entries.get(key(subject))?.outcome,
    forget: (subject) => Effect.sync(() => void entries.delete(key(subject))),
    identify: (subject, id, name = subject.name) =>
      Effect.sync(() => {
        const entry = entries.get(key(subject))
        if (entry !== undefined) entries.set(key(subject), { ...entry, subject: { ...entry.subject, id, name } })
      }),
    fail: (failure) =>
      Effect.sync(() => {
        errors.push(
          failure instanceof ProviderUnavailable ? error(new Transport({ detail: detailOf(failure) })) : failure
        )
      }),
    note: (subject, text) =>
      Effect.map(wholeMillis, (now) => {
        const entry = entries.get(key(subject)) ?? { subject, scheduledAt: now }
        entries.set(key(subject), { ...entry, notes: [...entry.notes ?? [], text] })
      }),
    error,
    settle,
    wave,
    report
  }
})

/** Bounds an operation by `Policy.operationTimeout`; past it, the report has what was settled by then. */
export const bounded = (operation: Operation) => <A, E, R>(body: Effect.Effect<A, E, R>) =>
  Duration.isFinite(operation.policy.operationTimeout)
    ? body.pipe(
      within(operation.policy.operationTimeout),
      Effect.timeoutOrElse({
        duration: operation.policy.operationTimeout,
        orElse: () =>
          Effect.flatMap(operation.report, (report) =>
            Effect.fail(
              new OperationTimeout({
                operation: operation.name,
                clusterName: operation.clusterName,
                duration: operation.policy.operationTimeout,
                report
              })
            ))
      })
    )
    : body as Effect.Effect<A, E | OperationTimeout, R>

/** Runs the body of an operation, and gives its report, as a failure where it is one. */
export const run = Effect.fnUntraced(function*<E, R>(
  options: Parameters<typeof make>[0],
  body: (operation: Operation) => Effect.Effect<void, E, R>
): Effect.fn.Return<OperationReport, E | NodesFailed | OperationTimeout, R> {
  const operation = yield* make(options)
  yield* bounded(operation)(body(operation))
  const report = yield* operation.report
  if (report.isFailure) return yield* new NodesFailed({ report })
  return report
})

const roleRank = new Map<string, number>(NodeRole.literals.map((role, index) => [role, index]))
const collator = new Intl.Collator("en", { numeric: true })

const isDigit = (code: number): boolean => code >= 48 && code <= 57

/** Lower-case letters, digits, `-` and `.`: their order is that of their codes, and most names have nothing else. */
const isPlain = (code: number): boolean => isDigit(code) || code >= 97 && code <= 122 || code === 45 || code === 46

/** The end of the number that begins here, and the place of its first digit other than zero. */
const numberAt = (text: string, from: number): { readonly start: number; readonly end: number } => {
  let end = from
  while (isDigit(text.charCodeAt(end))) end++
  let start = from
  while (start < end - 1 && text.charCodeAt(start) === 48) start++
  return { start, end }
}

/** Names with numbers compared as numbers: `worker2` before `worker10`. */
export const byName = (a: string, b: string): number => {
  let i = 0
  let j = 0
  while (i < a.length && j < b.length) {
    const inA = a.charCodeAt(i)
    const inB = b.charCodeAt(j)
    if (isDigit(inA) && isDigit(inB)) {
      const numberA = numberAt(a, i)
      const numberB = numberAt(b, j)
      const longer = numberA.end - numberA.start - (numberB.end - numberB.start)
      if (longer !== 0) return longer
      for (let k = 0; numberA.start + k < numberA.end; k++) {
        const digit = a.charCodeAt(numberA.start + k) - b.charCodeAt(numberB.start + k)
        if (digit !== 0) return digit
      }
      i = numberA.end
      j = numberB.end
    } else if (inA !== inB) {
      return isPlain(inA) && isPlain(inB) ? inA - inB : collator.compare(a, b) || (a < b ? -1 : 1)
    } else {
      i++
      j++
    }
  }
  // Names that differ in leading zeros only still have one order.
  return a.length - i - (b.length - j) || (a < b ? -1 : a > b ? 1 : 0)
}

/** The order of `listNodes`: control planes, workers, load balancers, helpers; by name within. */
export const byRoleThenName = (
  a: { readonly role: NodeRole; readonly name: string },
  b: { readonly role: NodeRole; readonly name: string }
): number =>
  (a.role === b.role ? 0 : (roleRank.get(a.role) ?? 9) - (roleRank.get(b.role) ?? 9)) || byName(a.name, b.name)
