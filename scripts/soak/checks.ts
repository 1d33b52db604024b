/**
 * Whether what an operation says of itself is true of the engine: pure comparisons of its exit with what was there before
 * it and after it. Each gives sentences about what is wrong.
 */
import * as Cause from "effect/Cause"
import * as Exit from "effect/Exit"
import type { Leftover } from "../../src/ProviderError.ts"
import type { OperationReport, ResourceOutcome } from "../../src/Report.ts"
import type { Census, Thing } from "./raw.ts"
import type { Action } from "./scenario.ts"

export interface Settled {
  readonly action: Action
  readonly exit: Exit.Exit<unknown, unknown>
  /** The log of the operation. An operation without an error logs its leftovers. */
  readonly logs: ReadonlyArray<string>
}

const known = new Set([
  "InvalidClusterName",
  "ProviderUnavailable",
  "BackendError",
  "NoNodes",
  "ClusterNotFound",
  "NodesFailed",
  "NodesNotCreated",
  "OperationTimeout"
])

interface Tagged {
  readonly _tag: string
  readonly message: string
  readonly report?: OperationReport
  readonly leftovers?: ReadonlyArray<Leftover>
}

/** The typed error of an exit, where that is all it ended with. */
export const errorOf = (exit: Exit.Exit<unknown, unknown>): Tagged | undefined => {
  if (Exit.isSuccess(exit)) return undefined
  const error = exit.cause.reasons.find(Cause.isFailReason)?.error
  return error as Tagged | undefined
}

/** An exit in one line. */
export const describeExit = (exit: Exit.Exit<unknown, unknown>): string =>
  Exit.isSuccess(exit)
    ? "succeeded"
    : Cause.hasInterruptsOnly(exit.cause)
    ? "interrupted"
    : `failed ${errorOf(exit)?._tag ?? Cause.pretty(exit.cause)}: ${errorOf(exit)?.message ?? ""}`.replace(/\s+/g, " ")

const nodes = (census: Census) => census.filter(({ kind }) => kind === "node")
const has = (census: Census, thing: Thing) => census.some(({ id, kind }) => kind === thing.kind && id === thing.id)
const tell = (things: Census) => things.map(({ kind, name, state }) => `${kind} ${name} ${state}`.trim()).join(", ")

/** A defect is wrong whatever else holds, and so is an error that no signature names. */
export const typed = ({ action, exit }: Settled): ReadonlyArray<string> => {
  if (Exit.isSuccess(exit) || Cause.hasInterruptsOnly(exit.cause)) return []
  if (Cause.hasDies(exit.cause)) return [`${action} died: ${Cause.pretty(exit.cause)}`]
  const error = errorOf(exit)
  return error !== undefined && known.has(error._tag) ? [] : [`${action} failed with ${error?._tag}: ${error?.message}`]
}

const settledNodes = (report: OperationReport | undefined): ReadonlyArray<ResourceOutcome> =>
  (report?.outcomes ?? []).filter(({ kind, outcome }) =>
    kind === "node" && (outcome._tag === "Done" || outcome._tag === "AlreadyDone")
  )

const reportOf = ({ exit }: Settled): OperationReport | undefined =>
  Exit.isSuccess(exit) ? exit.value as OperationReport : errorOf(exit)?.report

const afterCreate = (settled: Settled, before: Census, after: Census, cluster: string): ReadonlyArray<string> => {
  const { exit, logs } = settled
  const made = after.filter((thing) => !has(before, thing))
  // One that was never started, and never could be, may have been created again.
  const remade = ({ name, state }: Thing) => state === "created" && nodes(after).some((node) => node.name === name)
  const lost = before.filter((thing) => !has(after, thing) && !remade(thing))
  const problems = lost.length > 0 ? [`create removed what was there before it: ${tell(lost)}`] : []
  if (Exit.isSuccess(exit)) {
    const untrue = settledNodes(reportOf(settled)).filter(({ name, outcome }) => {
      const node = nodes(after).find((each) => each.name === name)
      return node === undefined || outcome._tag === "Done" && node.state !== "running"
    })
    return [...problems, ...untrue.map(({ name }) => `create succeeded, but ${name} does not run: ${tell(after)}`)]
  }
  const error = errorOf(exit)
  const told = error?._tag === "NodesNotCreated"
    ? error.leftovers ?? []
    : error === undefined || error._tag === "OperationTimeout"
    ? undefined
    : []
  const untold = made.filter(({ kind, name }) =>
    told === undefined
      ? !logs.some((log) => log.includes(`${kind} ${name}`) || log.includes(`node ${cluster}: what is left`))
      // If the engine did not answer, the entry of the cluster counts for everything in it.
      : !told.some((left) => left.kind === kind && left.name === name || left.name === cluster)
  )
  return untold.length === 0
    ? problems
    : [...problems, `create (${describeExit(exit)}) left behind without a word: ${tell(untold)}`]
}

const afterPower = (settled: Settled, after: Census, running: boolean): ReadonlyArray<string> => {
  const { action, exit } = settled
  const report = reportOf(settled)
  const untrue = settledNodes(report).filter(({ id, name }) => {
    const node = nodes(after).find((each) => id === undefined ? each.name === name : each.id === id)
    return running ? node?.state !== "running" : node?.state === "running"
  })
  const missing = Exit.isSuccess(exit)
    ? nodes(after).filter((node) => report?.outcomes.some(({ name }) => name === node.name) !== true)
    : []
  return [
    ...untrue.map(({ name, outcome }) => `${action}: ${name} is ${outcome._tag}, but: ${tell(nodes(after))}`),
    ...missing.map(({ name }) => `${action} succeeded without a word about ${name}`)
  ]
}

const afterDelete = (settled: Settled, after: Census): ReadonlyArray<string> => {
  const report = reportOf(settled)
  const stated = (thing: Thing) =>
    report?.outcomes.find(({ id, kind, name }) =>
      kind === thing.kind && (id ?? name) === (id === undefined ? thing.name : thing.id)
    )
  return after.flatMap((thing) => {
    const outcome = stated(thing)?.outcome._tag
    if (outcome === "Done" || outcome === "AlreadyDone") return [`delete: ${thing.name} is ${outcome}, but it is there`]
    return Exit.isSuccess(settled.exit) && outcome !== "Skipped" ? [`delete succeeded, but left: ${tell([thing])}`] : []
  })
}

/** Compares the report of one exclusive operation with the cluster before and after it. */
export const truthful = (
  settled: Settled,
  before: Census,
  after: Census,
  cluster: string
): ReadonlyArray<string> => {
  const { action, exit } = settled
  const interrupted = Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause)
  switch (action) {
    case "create":
      return afterCreate(settled, before, after, cluster)
    case "start":
      return interrupted ? [] : afterPower(settled, after, true)
    case "stop":
      return interrupted ? [] : afterPower(settled, after, false)
    case "delete":
      return interrupted ? [] : afterDelete(settled, after)
    case "list": {
      if (Exit.isFailure(exit)) return []
      const listed = (exit.value as ReadonlyArray<{ readonly id: string }>).map(({ id }) => id).sort().join()
      const there = nodes(after).map(({ id }) => id).sort().join()
      return listed === there ? [] : [`list gave ${listed}, there are ${there}`]
    }
    case "status": {
      if (Exit.isFailure(exit)) return []
      const told =
        (exit.value as { readonly value?: { readonly nodesTotal: number; readonly nodesReady: number } }).value
      const running = nodes(after).filter(({ state }) => state === "running").length
      return (told?.nodesTotal ?? 0) === nodes(after).length && (told?.nodesReady ?? 0) === running
        ? []
        : [`status gave ${told?.nodesReady} of ${told?.nodesTotal}, but: ${tell(nodes(after))}`]
    }
    case "watch":
      return []
  }
}
