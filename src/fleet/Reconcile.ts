/**
 * Reconciles one cluster: creates it, repairs it, changes it, or deletes it.
 *
 * Creates run with `onFailure: "keep"`, because another runner may have taken the cluster over and adopted what this one
 * created. A cluster that differs from its document is planned and the plan is applied.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import { toJson } from "../Cluster.ts"
import type { ClusterDocument } from "../Document.ts"
import type { Plan } from "../Plan.ts"
import type { ApplyFailure, ClusterSpec } from "../Provider.ts"
import { InvalidSpec, type NodesFailed, type OperationTimeout, reasonsOf } from "../ProviderError.ts"
import { BackendError, type Reason } from "../Reason.ts"
import type { OperationReport } from "../Report.ts"
import type { BackendAddress, Backends, NoBackend, OpenedBackend } from "./Backends.ts"
import { Condition, type ConditionType } from "./Model.ts"
import { resolveSecrets } from "./Secrets.ts"
import type { Claimed, Settled } from "./Store.ts"

export interface ReconcileOptions {
  readonly backends: Backends
  readonly secrets: string | undefined
  readonly backOff: { readonly firstMillis: number; readonly mostMillis: number }
  /** When a cluster at rest is planned again without an event. */
  readonly revisitMillis: number
}

/** The result of one attempt. */
type Attempt =
  | { readonly _tag: "Converged"; readonly changes: ReadonlyArray<string>; readonly plan?: Plan }
  | { readonly _tag: "Removed"; readonly changes: ReadonlyArray<string> }
  | {
    readonly _tag: "Failed" | "Refused"
    readonly condition: ConditionType
    readonly reason: string
    readonly message: string
    readonly retryAfterMillis?: number
    readonly changes?: ReadonlyArray<string>
    readonly plan?: Plan
  }

const verbs: Readonly<Record<string, string>> = {
  createNodes: "created",
  deleteNodes: "deleted",
  create: "created",
  repair: "repaired",
  start: "started",
  update: "changed",
  delete: "deleted"
}

/** The things that a report has as done. An applied plan has the actions. */
const changesOf = (report: OperationReport, plan?: Plan): ReadonlyArray<string> => {
  const actions = new Map<string, string>(
    (plan?.steps ?? []).map(({ action, kind, name }) => [`${kind} ${name}`, action])
  )
  return report.outcomes.flatMap(({ kind, name, outcome }) => {
    const what = `${kind} ${name}`
    return outcome._tag === "Done" ? [`${verbs[actions.get(what) ?? report.operation] ?? "changed"} ${what}`] : []
  })
}

const reportOf = (error: unknown): ReadonlyArray<string> =>
  typeof error === "object" && error !== null && "report" in error
    ? changesOf((error as { readonly report: OperationReport }).report)
    : []

const oneLine = (text: string): string =>
  text.split("\n").map((line) => line.trim()).filter(Boolean).join(" ").slice(0, 500)

const isRefusal = (reason: Reason): boolean => ["Differs", "NameTaken", "AmbiguousCluster"].includes(reason._tag)

const retryAfterOf = (reasons: ReadonlyArray<Reason>): { readonly retryAfterMillis?: number } => {
  const waits = reasons.flatMap(({ retryAfter }) => retryAfter === undefined ? [] : [Duration.toMillis(retryAfter)])
  return waits.length === 0 ? {} : { retryAfterMillis: Math.max(...waits) }
}

type Failure = ApplyFailure | NodesFailed | OperationTimeout | InvalidSpec | NoBackend

const failed = (error: Failure): Attempt => {
  switch (error._tag) {
    case "NoBackend":
      return { _tag: "Failed", condition: "BackendReachable", reason: error.reason, message: oneLine(error.message) }
    case "ProviderUnavailable":
      return { _tag: "Failed", condition: "BackendReachable", reason: error._tag, message: oneLine(error.message) }
    case "InvalidClusterName":
    case "InvalidSpec":
    case "InvalidPlan":
      return { _tag: "Refused", condition: "SpecAccepted", reason: error._tag, message: oneLine(error.message) }
    default: {
      const reasons = reasonsOf(error)
      const [first] = reasons
      return {
        _tag: error._tag === "BackendError" && isRefusal(error.reason) ? "Refused" : "Failed",
        condition: "Converged",
        reason: first?._tag ?? error._tag,
        message: oneLine(error.message),
        changes: reportOf(error),
        ...retryAfterOf(reasons)
      }
    }
  }
}

/** A secret that is not there today may be there tomorrow, so it is tried again. */
const unresolved = (error: InvalidSpec): Attempt => ({
  _tag: "Failed",
  condition: "SpecAccepted",
  reason: "SecretNotResolved",
  message: oneLine(error.message)
})

/** How often a stale plan is planned again at once. */
const freshPlans = 3

const converge = (
  { creator }: OpenedBackend,
  spec: ClusterSpec
): Effect.Effect<Attempt, ApplyFailure> =>
  creator.createNodes(spec).pipe(
    Effect.map((report): Attempt => ({ _tag: "Converged", changes: changesOf(report) })),
    Effect.catchIf(
      (error) => error instanceof BackendError && error.reason._tag === "Differs",
      () => applyPlan(creator, spec, freshPlans)
    )
  )

const applyPlan = (
  creator: OpenedBackend["creator"],
  spec: ClusterSpec,
  attempts: number
): Effect.Effect<Attempt, ApplyFailure> =>
  Effect.gen(function*(): Effect.fn.Return<Attempt, ApplyFailure> {
    const plan = yield* creator.plan(spec)
    if (plan.refusals.length > 0) {
      return {
        _tag: "Refused",
        condition: "Converged",
        reason: "Differs",
        message: oneLine(
          plan.refusals.map(({ kind, name, why }) => `${kind} ${name}: ${why ?? "is refused"}`).join("; ")
        ),
        plan
      }
    }
    const report = yield* creator.apply(plan, { spec })
    return { _tag: "Converged", changes: changesOf(report, plan), plan }
  }).pipe(
    Effect.catchIf(
      (error) => error._tag === "StalePlan" && attempts > 1,
      () => applyPlan(creator, spec, attempts - 1)
    )
  )

/** The backend that a document needs. */
export const addressOf = (document: ClusterDocument): BackendAddress => ({
  backend: document.backend,
  ...(document.instance === undefined ? {} : { instance: document.instance }),
  ...(document.backend === "docker" && document.scheme !== undefined ? { scheme: document.scheme } : {}),
  ...(document.backend === "omni" ? { defaults: omniDefaults(document) } : {})
})

const omniDefaults = (
  { kubernetesVersion, machineClass, talosVersion }: Extract<ClusterDocument, { readonly backend: "omni" }>
): Readonly<Record<string, unknown>> => ({
  ...(machineClass === undefined ? {} : { machineClass }),
  ...(talosVersion === undefined ? {} : { talosVersion }),
  ...(kubernetesVersion === undefined ? {} : { kubernetesVersion })
})

const attempt = (options: ReconcileOptions, claimed: Claimed): Effect.Effect<Attempt> =>
  Effect.gen(function*() {
    const document = JSON.parse(claimed.document) as ClusterDocument
    const backend = yield* options.backends.get(addressOf(document))
    if (claimed.isRemoving) {
      const report = yield* backend.provider.deleteNodes(claimed.name)
      return { _tag: "Removed", changes: changesOf(report) } satisfies Attempt
    }
    const spec = yield* Effect.result(resolveSecrets(document, options.secrets))
    if (spec._tag === "Failure") return unresolved(spec.failure)
    return yield* converge(backend, { ...spec.success, onFailure: "keep" })
  }).pipe(
    Effect.catch((error) => Effect.succeed(failed(error))),
    // Nothing that a backend does may stop the runner.
    Effect.catchDefect((defect) =>
      Effect.succeed<Attempt>({
        _tag: "Failed",
        condition: "Converged",
        reason: "Defect",
        message: oneLine(defect instanceof Error ? defect.message : String(defect))
      })
    )
  )

const settledWords: { readonly [K in ConditionType]: readonly [reason: string, message: string] } = {
  SpecAccepted: ["Accepted", "the document is valid and its secrets are resolved"],
  BackendReachable: ["Reachable", "the backend answers"],
  Converged: ["AsRequested", "the cluster is as its document says"]
}

const order: ReadonlyArray<ConditionType> = ["SpecAccepted", "BackendReachable", "Converged"]

/** The conditions after an attempt. `since` is kept where the status is the same. */
const conditionsAfter = (before: ReadonlyArray<Condition>, result: Attempt, now: number): ReadonlyArray<Condition> =>
  order.map((type) => {
    const previous = before.find((one) => one.type === type)
    const [reason, message] = settledWords[type]
    const next = result._tag === "Converged" || result._tag === "Removed"
      ? { status: "true", reason, message } as const
      : result.condition === type
      ? { status: "false", reason: result.reason, message: result.message } as const
      : type === "Converged"
      ? { status: "unknown", reason: result.reason, message: "it was not tried" } as const
      : result.condition === "Converged"
      ? { status: "true", reason, message } as const
      : previous ?? ({ status: "unknown", reason: "NotTried", message: "it was not tried yet" } as const)
    return new Condition({
      type,
      status: next.status,
      reason: next.reason,
      message: next.message,
      since: previous?.status === next.status ? previous.since : now
    })
  })

/** When the next attempt is due: doubled each time, with jitter, and never before the backend allows it. */
const delayAfter = (
  { backOff }: ReconcileOptions,
  attempts: number,
  retryAfterMillis: number
): Effect.Effect<number> =>
  Effect.map(Random.next, (jitter) =>
    Math.max(
      retryAfterMillis,
      Math.min(backOff.mostMillis, backOff.firstMillis * 2 ** Math.min(attempts - 1, 30)) * (0.5 + jitter / 2)
    ))

/** Reconciles a row that a runner has begun, and returns what is written of it. */
export const reconcile = (options: ReconcileOptions, claimed: Claimed): Effect.Effect<Settled> =>
  Effect.gen(function*() {
    const began = yield* Clock.currentTimeMillis
    const result = yield* attempt(options, claimed)
    const now = Math.round(yield* Clock.currentTimeMillis)
    const conditions = conditionsAfter(claimed.conditions, result, now)
    const plan = "plan" in result && result.plan !== undefined ? { plan: toJson(result.plan) } : {}
    const durationMillis = now - began
    if (result._tag === "Converged" || result._tag === "Removed") {
      const isRemoved = result._tag === "Removed"
      const count = result.changes.length
      const jitter = yield* Random.next
      return {
        phase: isRemoved ? "removing" : "converged",
        attempts: 0,
        conditions,
        dueInMillis: options.revisitMillis * (0.75 + jitter / 2),
        isRemoved,
        // A visit that found nothing to do is no event.
        ...(count === 0 && !isRemoved && claimed.attempts === 0 && claimed.conditions.length > 0 ? {} : {
          event: {
            kind: isRemoved ? "Removed" : "Reconciled",
            message: isRemoved
              ? "the cluster is deleted"
              : count === 0
              ? "the cluster is as its document says"
              : `${count} ${count === 1 ? "change" : "changes"}`,
            changes: result.changes,
            durationMillis,
            ...plan
          }
        })
      }
    }
    const attempts = claimed.attempts + 1
    const isRefused = result._tag === "Refused"
    return {
      phase: claimed.isRemoving ? "removing" : isRefused ? "refused" : "failed",
      attempts,
      conditions,
      // A refusal waits for another document. It is tried again at the slowest pace, since the world may change too.
      dueInMillis: isRefused
        ? options.backOff.mostMillis
        : yield* delayAfter(options, attempts, result.retryAfterMillis ?? 0),
      isRemoved: false,
      event: {
        kind: isRefused ? "Refused" : "Failed",
        message: `${result.reason}: ${result.message}`,
        changes: result.changes ?? [],
        durationMillis,
        ...plan
      }
    }
  })
