/**
 * How a failure is shown: one readable text on stderr, one object on stdout with `-o json`, and an exit code.
 */
import * as Result from "effect/Result"
import { toJson } from "../Cluster.ts"
import { toJson as planToJson } from "../Plan.ts"
import { type Leftover, reasonsOf } from "../ProviderError.ts"
import type { OperationReport } from "../Report.ts"
import { exitCodeOf, exitCodes } from "../Script.ts"

const codes: { readonly [tag in string]?: number } = {
  UsageError: exitCodes.invalid,
  Declined: exitCodes.failed,
  CommandTimeout: exitCodes.deadline,
  InvalidPlan: exitCodes.invalid,
  StalePlan: exitCodes.stalePlan
}

type Failure = { readonly _tag?: string; readonly message?: string } & Readonly<Record<string, unknown>>

const asFailure = (error: unknown): Failure =>
  typeof error === "object" && error !== null ? error as Failure : { message: String(error) }

/** A missing credential is exit code 5, as a wrong one is. */
const isCredentialIssue = (failure: Failure): boolean => {
  if (failure._tag !== "InvalidSpec") return false
  const issues = failure["issues"] as ReadonlyArray<{ readonly path: string }>
  return issues.length > 0 &&
    issues.every(({ path }) => /^(?:token|serviceAccountKey|[A-Z_]*(?:TOKEN|KEY)\w*)$/.test(path))
}

export const exitCodeFor = (error: unknown): number => {
  const failure = asFailure(error)
  if (isCredentialIssue(failure)) return exitCodes.credentials
  return codes[failure._tag ?? ""] ?? exitCodeOf(error)
}

/** The text of a failure, for a person. */
export const failureText = (error: unknown): string => {
  const { message } = asFailure(error)
  return typeof message === "string" && message !== "" ? message : String(error)
}

const isReport = (value: unknown): value is OperationReport =>
  typeof value === "object" && value !== null && "outcomes" in value && "operation" in value

/** The object that `-o json` prints for a failure. */
export const failureJson = (error: unknown): Readonly<Record<string, unknown>> => {
  const failure = asFailure(error)
  const reasons = Result.getOrElse(Result.try(() => reasonsOf(error)), () => [])
  const [reason] = reasons
  const isOneReason = new Set(reasons.map(({ _tag }) => _tag)).size === 1
  const advice = failure["advice"] ?? (isOneReason ? reason?.advice : undefined)
  return {
    error: {
      tag: failure._tag ?? "Error",
      ...(isOneReason && reason !== undefined ? { reason: reason._tag, retryable: reason.isRetryable } : {}),
      message: failureText(error),
      ...(typeof advice === "string" ? { advice } : {}),
      ...(Array.isArray(failure["issues"]) ? { issues: failure["issues"] } : {}),
      exitCode: exitCodeFor(error)
    },
    ...(isReport(failure["report"]) ? { report: toJson(failure["report"]) } : {}),
    ...(Array.isArray(failure["leftovers"]) ? { leftovers: failure["leftovers"] as ReadonlyArray<Leftover> } : {}),
    ...(failure._tag === "StalePlan" ? { plan: planToJson(failure["now"] as Parameters<typeof planToJson>[0]) } : {})
  }
}
