/** The invariants after each step of a simulated run. */
import * as Cause from "effect/Cause"
import * as Exit from "effect/Exit"
import type { NodeInfo } from "../../Model.ts"
import type { Leftover } from "../../ProviderError.ts"
import type { Context, Record } from "./Context.ts"
import type { Client } from "./Line.ts"
import { type BackendName, nodeName, type Step } from "./Script.ts"
import type { Thing } from "./SimulatedWorld.ts"
import { allTextOf, clusterOf, describeExit, describeStep, failureOf, isRead, reportOf, tagOf } from "./Work.ts"

/** Longer than any deadline of a method. */
const longestMillis = 3 * 3_600_000

/** How long a request may be on its way, and the backend at work, after its sender has gone. */
const settleMillis = 5 * 60_000

const isAbout = (step: Step, cluster: string | undefined): boolean => {
  const other = clusterOf(step)
  return cluster === undefined || other === undefined || other === cluster
}

const changesNothing = (step: Step): boolean => isRead(step)

/** Whether nothing but this step acted on its cluster while it ran. */
const wasAlone = ({ changes, records }: Context, record: Record): boolean => {
  const { from, step, to = from } = record
  const cluster = clusterOf(step)
  if (changes.some((one) => one.at >= from - settleMillis && one.at <= to && (one.cluster ?? cluster) === cluster)) {
    return false
  }
  return records.every((other) => {
    if (other === record || changesNothing(other.step) || !isAbout(other.step, cluster)) return true
    const end = other.to ?? Number.POSITIVE_INFINITY
    const wasCut = other.exit === undefined || !Exit.isSuccess(other.exit)
    return other.from > to || end + (wasCut ? settleMillis : 0) < from
  })
}

const faultsOf = ({ script }: Context, { firstCall, lastCall }: Record): ReadonlyArray<string> =>
  script.faults.filter(({ call }) => call >= firstCall && call <= lastCall).map(({ fault }) => fault)

const nodesOf = (things: ReadonlyArray<Thing>, cluster: string): ReadonlyArray<Thing> =>
  things.filter((thing) => thing.kind === "node" && thing.cluster === cluster)

const byName = (things: ReadonlyArray<{ readonly name: string }>): string =>
  things.map(({ name }) => name).sort().join(", ")

const keyOf = ({ id, kind }: Thing): string => `${kind} ${id}`

/** Failures of a step that nothing disturbed. */
const expected: ReadonlySet<string> = new Set([
  "NoNodes",
  "ClusterNotFound",
  "BackendError Differs",
  "BackendError NameTaken",
  "BackendError UnsupportedError",
  "BackendError Unsupported"
])

const isExpected = ({ before, step }: Record, failure: unknown): boolean =>
  expected.has(tagOf(failure)) ||
  // A node that is to be started and does not exist is Failed.
  (step.do === "startOne" && !before.some(({ cluster, name }) => cluster === step.cluster && name === step.node))

/** Checks a step that has ended, whether well or not. */
export const checkStep = (context: Context, record: Record, client: Client, after: ReadonlyArray<Thing>): void => {
  const { exit, from, step, to = from } = record
  if (exit === undefined) return
  const violate = (sentence: string) =>
    context.violate(`actor ${record.actor}: ${describeStep(step)}: ${sentence} [${describeExit(exit)}]`)

  const failure = failureOf(exit)
  if (Exit.isFailure(exit) && failure === undefined) {
    if (!Cause.hasInterruptsOnly(exit.cause)) violate("it ended with a defect")
    else if (step.ends?.how !== "interrupt") violate("it was interrupted, and nothing interrupted it")
  }
  if (to - from > longestMillis) violate(`it took ${to - from} ms`)
  if (isRead(step) && client.writes > 0) violate(`it reads, and sent ${client.writes} writes`)
  const text = context.world.secrets.length === 0 ? "" : allTextOf(exit)
  for (const secret of context.world.secrets) if (text.includes(secret)) violate("it shows a credential")
  const report = reportOf(Exit.isSuccess(exit) ? exit.value : failure)
  if (report !== undefined) checkNames(report.outcomes, violate)
  if (describeExit(exit).includes("UnknownError")) violate("it failed with an error that the library does not know")
  checkUnowned(context, after, isRead(step), violate)

  if (isRead(step) && !Exit.isSuccess(exit)) return
  if (!wasAlone(context, record)) return
  const faults = faultsOf(context, record)
  if (faults.includes("stale")) return
  const cluster = clusterOf(step)
  if (Exit.isSuccess(exit)) {
    if (cluster !== undefined) checkSuccess(context, record, exit.value, after, violate)
  } else if (failure !== undefined) {
    if (faults.length === 0 && !isExpected(record, failure)) violate("it failed, and nothing was wrong")
    if (cluster !== undefined) checkFailure(record, failure, after, violate)
  }
}

const checkNames = (
  outcomes: ReadonlyArray<{ readonly kind: string; readonly name: string; readonly id?: string }>,
  violate: (sentence: string) => void
): void => {
  const seen = new Set<string>()
  for (const { id = "", kind, name } of outcomes) {
    const key = `${kind} ${name} ${id}`
    if (seen.has(key)) violate(`${key} is in the report twice`)
    seen.add(key)
  }
}

/** Things that no cluster owns are as they were. */
export const checkUnowned = (
  { unowned }: Context,
  after: ReadonlyArray<Thing>,
  isUnknown: boolean,
  violate: (sentence: string) => void
): void => {
  if (isUnknown) return
  const now = new Map(after.map((thing) => [keyOf(thing), thing.text]))
  for (const [key, text] of unowned) {
    if (!now.has(key)) violate(`${key}, which is no part of a cluster of an actor, was removed`)
    else if (now.get(key) !== text) violate(`${key}, which is no part of a cluster of an actor, was changed`)
  }
}

const numbered = (backend: BackendName, cluster: string, role: "control-plane" | "worker", count: number) =>
  Array.from({ length: count }, (_, index) => nodeName(backend, cluster, role, index + 1))

/** The names of the nodes of a cluster of a size. */
export const namesOf = (
  backend: BackendName,
  cluster: string,
  controlPlanes: number,
  workers: number
): ReadonlyArray<string> => [
  ...numbered(backend, cluster, "control-plane", controlPlanes),
  ...numbered(backend, cluster, "worker", workers)
]

const checkSuccess = (
  context: Context,
  { before, step }: Record,
  value: unknown,
  after: ReadonlyArray<Thing>,
  violate: (sentence: string) => void
): void => {
  const cluster = clusterOf(step) ?? ""
  const nodes = nodesOf(after, cluster)
  const had = nodesOf(before, cluster)
  const report = reportOf(value)
  const isDone = (name: string) =>
    report?.outcomes.some((one) => one.kind === "node" && one.name === name && one.outcome._tag === "Done") === true
  const running = (names: ReadonlyArray<string>) => {
    for (const name of names) {
      const node = nodes.find((one) => one.name === name)
      if (node === undefined) violate(`there is no node ${name}`)
      else if (node.isRunning !== true) violate(`node ${name} does not run`)
    }
  }
  switch (step.do) {
    case "create":
    case "apply": {
      const names = namesOf(context.script.backend, cluster, step.controlPlanes, step.workers)
      if (nodes.length < step.controlPlanes + step.workers) {
        violate(`there are only ${nodes.length} nodes: ${byName(nodes)}`)
      }
      if (step.do === "apply" && nodes.length > step.controlPlanes + step.workers) {
        violate(`there are ${nodes.length} nodes: ${byName(nodes)}`)
      }
      running(names)
      for (const thing of after) {
        if (thing.cluster !== cluster) continue
        const same = before.find((one) => one.kind === thing.kind && one.id === thing.id && one.text === thing.text)
        const outcome = report?.outcomes.find(({ kind, name }) => kind === thing.kind && name === thing.name)?.outcome
        if (same !== undefined && same.isRunning !== false && outcome?._tag === "Done") {
          violate(`${thing.kind} ${thing.name} is as it was, and the report says that something was done`)
        }
      }
      for (const node of nodes) if (node.isConnected === false) violate(`node ${node.name} is not in its network`)
      for (const { id, name } of nodes) {
        if (isDone(name) || had.some((one) => one.id === id)) continue
        violate(`node ${name} is new, and the report does not say that it was created`)
      }
      return
    }
    case "start":
      return running(nodes.map(({ name }) => name))
    case "startOne":
      return running([step.node])
    case "stop":
    case "stopOne":
      for (const node of nodes) {
        if (step.do === "stopOne" && node.name !== step.node) continue
        if (node.isStopped !== true) violate(`node ${node.name} is not stopped`)
      }
      return
    case "delete": {
      if (nodes.length > 0) violate(`there are still nodes: ${byName(nodes)}`)
      const skipped = new Set(report?.skipped.map(({ name }) => name))
      const left = after.filter((thing) => thing.cluster === cluster && !skipped.has(thing.name))
      if (left.length > 0) violate(`it left ${left.map(({ kind, name }) => `${kind} ${name}`).join(", ")}`)
      return
    }
    case "add": {
      const added = nodes.filter(({ id }) => !had.some((one) => one.id === id))
      if (added.length !== step.workers) violate(`it added ${added.length} nodes: ${byName(added)}`)
      running(added.map(({ name }) => name))
      return
    }
    case "remove": {
      if (nodes.some(({ name }) => name === step.node)) violate(`node ${step.node} is still there`)
      const lost = had.filter(({ name }) => name !== step.node && !nodes.some((one) => one.name === name))
      if (lost.length > 0) violate(`it removed ${byName(lost)} too`)
      return
    }
    case "replace":
    case "restart":
      // A node that does not exist may be one that an earlier call has deleted, and is created.
      if (byName(nodes) !== byName(withNode(had, step))) {
        violate(`there are other nodes: ${byName(nodes)}, and there were ${byName(had)}`)
      }
      return running([step.node].filter((name) => had.some((one) => one.name === name)))
    default:
      return
  }
}

const withNode = (
  nodes: ReadonlyArray<Thing>,
  step: { readonly do: string; readonly node: string }
): ReadonlyArray<{ readonly name: string }> =>
  step.do === "restart" || nodes.some(({ name }) => name === step.node) ? nodes : [...nodes, { name: step.node }]

const checkFailure = (
  { before, step }: Record,
  failure: unknown,
  after: ReadonlyArray<Thing>,
  violate: (sentence: string) => void
): void => {
  if (step.do !== "create" && step.do !== "add") return
  if ("onFailure" in step && step.onFailure === "keep") return
  const cluster = clusterOf(step)
  const known = new Set(before.map(keyOf))
  for (const { kind, name, outcome } of reportOf(failure)?.outcomes ?? []) {
    if (outcome._tag !== "Done" || after.some((thing) => thing.kind === kind && thing.name === name)) continue
    violate(`it reports ${kind} ${name} as created, and there is none`)
  }
  const leftovers = typeof failure === "object" && failure !== null && "leftovers" in failure
    ? failure.leftovers as ReadonlyArray<Leftover>
    : []
  for (const thing of after) {
    if (thing.cluster !== cluster || known.has(keyOf(thing))) continue
    if (leftovers.some(({ kind, name }) => kind === thing.kind && name === thing.name)) continue
    violate(`it failed, left ${thing.kind} ${thing.name}, and did not report it`)
  }
}

/** The result that a read must have if nothing else happens. */
export const readDifference = (
  things: ReadonlyArray<Thing>,
  cluster: string,
  shown: ReadonlyArray<NodeInfo>
): string | undefined => {
  const there = byName(nodesOf(things, cluster))
  const listed = byName(shown)
  return there === listed
    ? undefined
    : `cluster ${cluster} has ${there || "no nodes"}, and the list shows ${listed || "none"}`
}

export const nodesOfCluster = nodesOf
