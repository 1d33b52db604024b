/** Carries out one step of an actor, and says in one line how it ended. */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { toJson } from "../../Cluster.ts"
import { OperationReport } from "../../Report.ts"
import type { Step } from "./Script.ts"
import type { Services } from "./SimulatedWorld.ts"

/** Runs a step. Its failures are typed; the invariants find every other end. */
export const perform = ({ creator, provider }: Services, step: Step): Effect.Effect<unknown, unknown> => {
  switch (step.do) {
    case "create":
      return creator.createNodes({
        cluster: step.cluster,
        controlPlanes: step.controlPlanes,
        workers: step.workers,
        ...(step.onFailure === undefined ? {} : { onFailure: step.onFailure })
      })
    case "plan":
    case "apply": {
      const plan = creator.plan({
        cluster: step.cluster,
        controlPlanes: step.controlPlanes,
        workers: step.workers,
        allowFewerControlPlanes: true
      })
      return step.do === "plan" ? plan : Effect.flatMap(plan, (one) => creator.apply(one))
    }
    case "start":
      return provider.startNodes(step.cluster)
    case "stop":
      return provider.stopNodes(step.cluster)
    case "startOne":
      return provider.startNodes(step.cluster, { nodes: [step.node] })
    case "stopOne":
      return provider.stopNodes(step.cluster, { nodes: [step.node] })
    case "delete":
      return provider.deleteNodes(step.cluster)
    case "planDelete":
      return provider.planDelete(step.cluster)
    case "list":
      return provider.listNodes(step.cluster)
    case "status":
      return provider.getClusterStatus(step.cluster)
    case "exists":
      return provider.nodesExist(step.cluster)
    case "clusters":
      return provider.listAllClusters
    case "statuses":
      return provider.listAllStatuses
    case "add":
      return creator.addNodes(step.cluster, { workers: step.workers })
    case "remove":
      return creator.removeNodes(step.cluster, [step.node])
    case "replace":
      return creator.replaceNodes(step.cluster, { nodes: [step.node] })
    case "restart":
      return creator.restartNodes(step.cluster, { nodes: [step.node] })
    case "watch":
      return watching(provider.watchCluster(step.cluster), step.millis)
    case "watchAll":
      return watching(provider.watchAllClusters, step.millis)
    case "sweep":
      return creator.sweep({ olderThan: 0, remove: step.remove })
    case "wait":
      return Effect.sleep(step.millis)
  }
}

const watching = <A, E>(stream: Stream.Stream<A, E>, millis: number): Effect.Effect<ReadonlyArray<A>, E> =>
  Effect.suspend(() => {
    const seen: Array<A> = []
    return Stream.runForEach(stream, (one) => Effect.sync(() => void seen.push(one))).pipe(
      Effect.timeoutOption(millis),
      Effect.as(seen)
    )
  })

/** Whether a step only reads. */
export const isRead = (step: Step): boolean => reads.has(step.do) || (step.do === "sweep" && !step.remove)

const reads: ReadonlySet<Step["do"]> = new Set(
  ["plan", "planDelete", "list", "status", "exists", "clusters", "statuses", "watch", "watchAll", "wait"] as const
)

/** Whether a step may send calls after it was interrupted: it removes what it has created. */
export const cleansUp = (step: Step): boolean =>
  step.do === "create" || step.do === "apply" || step.do === "add" || step.do === "replace"

/** The clusters that a step is about; all where there is none. */
export const clusterOf = (step: Step): string | undefined => "cluster" in step ? step.cluster : undefined

const stepText = (step: Step): string =>
  [
    step.do,
    "cluster" in step ? step.cluster : "",
    "node" in step ? step.node : "",
    "controlPlanes" in step ? `${step.controlPlanes}+${step.workers}` : "workers" in step ? `+${step.workers}` : "",
    "millis" in step ? `${step.millis} ms` : ""
  ].filter((part) => part !== "").join(" ")

export { stepText as describeStep }

const outcomesOf = (report: OperationReport): string => {
  const outcomes = report.outcomes.map(({ kind, name, outcome }) => {
    const why = outcome._tag === "Failed" ? ` (${outcome.error.reason._tag})` : ""
    return `${kind} ${name}: ${outcome._tag}${why}`
  })
  const errors = (report.errors ?? []).map(({ reason }) => `error ${reason._tag}`)
  return [...outcomes, ...errors].join(", ")
}

const reportOf = (value: unknown): OperationReport | undefined =>
  value instanceof OperationReport
    ? value
    : typeof value === "object" && value !== null && "report" in value
    ? reportOf(value.report)
    : undefined

export { reportOf }

/** The tag of a failure and, where it has one, of its reason. */
export const tagOf = (error: unknown): string => {
  if (typeof error !== "object" || error === null || !("_tag" in error)) return String(error)
  const reason = "reason" in error && typeof error.reason === "object" && error.reason !== null &&
      "_tag" in error.reason
    ? ` ${String(error.reason._tag)}`
    : ""
  return `${String(error._tag)}${reason}`
}

/** How a step ended, in one line that is the same for the same run. */
export const describeExit = (exit: Exit.Exit<unknown, unknown>): string => {
  if (Exit.isSuccess(exit)) {
    const report = reportOf(exit.value)
    return report === undefined ? `done ${textOf(exit.value)}` : `done {${outcomesOf(report)}}`
  }
  const error = failureOf(exit)
  if (error === undefined) {
    return Cause.hasInterruptsOnly(exit.cause)
      ? "interrupted"
      : `defect ${Cause.pretty(exit.cause)}`
  }
  const report = reportOf(error)
  const message = error instanceof Error ? `: ${error.message.split("\n", 1)[0]}` : ""
  return `failed ${tagOf(error)}${report === undefined ? message : ` {${outcomesOf(report)}}`}`
}

/** The typed failure of a step. */
export const failureOf = (exit: Exit.Exit<unknown, unknown>): unknown =>
  Exit.isFailure(exit) ? Option.getOrUndefined(Cause.findErrorOption(exit.cause)) : undefined

const textOf = (value: unknown): string => {
  if (Option.isOption(value)) return Option.isSome(value) ? textOf(value.value) : "none"
  if (Array.isArray(value)) return `[${value.length}]`
  return typeof value === "object" && value !== null ? "" : String(value)
}

/** Everything that an exit shows, for a search for credentials. */
export const allTextOf = (exit: Exit.Exit<unknown, unknown>): string => {
  const value = Exit.isSuccess(exit) ? exit.value : failureOf(exit)
  const plain = Option.isOption(value) ? Option.getOrUndefined(value) : value
  const json = typeof plain === "object" && plain !== null && !Array.isArray(plain)
    ? JSON.stringify(toJson(plain as never))
    : ""
  return `${String(plain)}\n${json}\n${Exit.isFailure(exit) ? Cause.pretty(exit.cause) : ""}`
}
