/**
 * `createNodes` of the simulated backend: what is asked against what exists, the making in waves, and the way back.
 *
 * A create that fails or is interrupted removes what it made, found by the mark that this call put on it, so that what
 * was still under way is removed too and nothing else is touched.
 */
import * as Effect from "effect/Effect"
import * as Semaphore from "effect/Semaphore"
import { checkNewClusterName } from "../internal/ClusterNames.ts"
import { method } from "../internal/Method.ts"
import * as Operation from "../internal/Operation.ts"
import { retrying, within } from "../internal/Retry.ts"
import type { NodeRole } from "../Model.ts"
import type { Policy } from "../Policy.ts"
import type { Subject } from "../Progress.ts"
import type { ClusterSpec, CreateFailure } from "../Provider.ts"
import {
  InvalidSpec,
  type Leftover,
  NodesNotCreated,
  OperationTimeout,
  type ProviderUnavailable
} from "../ProviderError.ts"
import { type BackendError, NameTaken } from "../Reason.ts"
import { AlreadyDone, Done, RolledBack, Skipped } from "../Report.ts"
import type { OperationReport } from "../Report.ts"
import { listing, subjectOf, verifyRunning } from "./Calls.ts"
import { backend, type Engine, type Inventory } from "./Engine.ts"
import type { MemoryNode, MemoryResource } from "./World.ts"

/**
 * What Memory can make a cluster of: a `ClusterSpec`, and load balancers.
 *
 * @category models
 * @since 0.1.0
 */
export interface MemorySpec extends ClusterSpec {
  readonly loadBalancers?: number
}

type Made = Parameters<Engine["create"]>[0]
type MadeNode = Extract<Made, { readonly kind: "node" }>

// -----------------------------------------------------------------------------
// What is asked
// -----------------------------------------------------------------------------

const suffixes: Readonly<Record<NodeRole, string>> = {
  "control-plane": "control-plane",
  worker: "worker",
  "load-balancer": "external-load-balancer",
  helper: "helper"
}

/** The name of the n-th node of a role, counted from 1: `dev-worker`, `dev-worker2`, ... */
export const nodeName = (cluster: string, role: NodeRole, n: number): string =>
  `${cluster}-${suffixes[role]}${n === 1 ? "" : n}`

/** The node records that a spec asks for. */
export const nodesOf = (spec: MemorySpec): ReadonlyArray<MadeNode> => {
  const of = (role: NodeRole, count: number) =>
    Array.from({ length: count }, (_, index): MadeNode => ({
      kind: "node",
      cluster: spec.cluster,
      name: nodeName(spec.cluster, role, index + 1),
      role,
      state: "creating",
      labels: spec.labels ?? {}
    }))
  return [
    ...of("control-plane", spec.controlPlanes),
    ...of("worker", spec.workers),
    ...of("load-balancer", spec.loadBalancers ?? 0)
  ]
}

/** The resources that every cluster has beside its nodes. */
export const resourcesOf = (cluster: string): ReadonlyArray<Exclude<Made, MadeNode>> =>
  (["network", "volume"] as const).map((kind) => ({ kind, cluster, name: `${cluster}-${kind}` }))

const reserved = "kubelayer."
const maxNodes = 10_000

/** All that is wrong with the numbers and labels of a spec. */
export const faultsOf = (
  spec: Omit<MemorySpec, "cluster">,
  prefix = ""
): ReadonlyArray<{ readonly path: string; readonly message: string }> => {
  const count = (path: keyof MemorySpec, value: unknown, minimum: number) =>
    Number.isInteger(value) && Number(value) >= minimum && Number(value) <= maxNodes
      ? []
      : [{ path: prefix + path, message: `${String(value)} is not a whole number from ${minimum} to ${maxNodes}` }]
  const labels = Object.entries<unknown>(spec.labels ?? {}).flatMap(([key, value]) => {
    const path = `${prefix}labels.${key}`
    if (key === "") return [{ path, message: "a label's key is empty" }]
    if (key.startsWith(reserved)) return [{ path, message: `keys that begin with ${reserved} are kubelayer's own` }]
    return typeof value === "string" ? [] : [{ path, message: "a label's value is a string" }]
  })
  return [
    ...count("controlPlanes", spec.controlPlanes, 1),
    ...count("workers", spec.workers, 0),
    ...count("loadBalancers", spec.loadBalancers ?? 0, 0),
    ...labels,
    ...(spec.onFailure === undefined || spec.onFailure === "remove" || spec.onFailure === "keep"
      ? []
      : [{ path: `${prefix}onFailure`, message: `${String(spec.onFailure)} is neither "remove" nor "keep"` }])
  ]
}

const labelText = (labels: Readonly<Record<string, string>>): string =>
  `{${Object.entries(labels).sort().map(([key, value]) => `${key}=${value}`).join(", ")}}`

/** In which way what exists contradicts what is asked, one line each, and what it is that does. */
const differences = (asked: ReadonlyArray<MadeNode>, cluster: string, found: Inventory) => {
  const wanted = new Map(asked.map((node) => [node.name, node]))
  const lines = found.nodes.flatMap((node) => {
    const want = wanted.get(node.name)
    if (want === undefined) return [`it has the ${node.role} ${node.name}, which is not asked for`]
    return [
      ...(want.role === node.role ? [] : [`${node.name} is a ${node.role}, a ${want.role} is asked for`]),
      ...(labelText(want.labels) === labelText(node.labels)
        ? []
        : [`${node.name} has the labels ${labelText(node.labels)}, ${labelText(want.labels)} are asked for`])
    ]
  })
  const holders = [...asked, ...resourcesOf(cluster)].flatMap(({ kind, name }) => found.holderOf(kind, name) ?? [])
  return {
    lines: [...lines, ...holders.map((holder) => `a name that it needs is held by ${holder}`)],
    by: lines.length > 0 ? `cluster ${cluster}` : holders.join(", ")
  }
}

// -----------------------------------------------------------------------------
// The way back
// -----------------------------------------------------------------------------

/** One call of create: the mark that it puts on what it makes, and what it has made, or may have, by kind and name. */
interface Creation {
  readonly mark: string
  readonly made: Map<string, Subject>
}

const keyOf = ({ kind, name }: Subject): string => `${kind}/${name}`

const rollback = (
  engine: Engine,
  operation: Operation.Operation,
  creation: Creation
): Effect.Effect<ReadonlyArray<Leftover>> =>
  Effect.suspend(() => {
    if (creation.made.size === 0) return Effect.succeed([])
    const left = new Map<string, Leftover>()
    let listed = false
    const removeOne = (one: MemoryNode | MemoryResource) => {
      const subject = subjectOf(one)
      return retrying(operation.policy)(engine.delete(one)).pipe(
        Effect.catchReason("BackendError", "NotFoundError", () => Effect.void),
        Effect.matchEffect({
          onFailure: (error) => Effect.sync(() => left.set(one.id, { ...subject, why: whyOf(error) })),
          onSuccess: () => {
            left.delete(one.id)
            return operation.outcomeOf(nameOnly(subject))?._tag === "Failed"
              ? Effect.void
              : operation.record(nameOnly(subject), new RolledBack({}))
          }
        })
      )
    }
    const all = Effect.gen(function*() {
      const { nodes, resources } = yield* listing(engine, operation.policy, operation.clusterName)
      listed = true
      const mine = [...nodes, ...resources].filter((one) => one.creation === creation.mark)
      for (const one of mine) left.set(one.id, { ...subjectOf(one), why: "the time for the clean-up was over" })
      const concurrency = operation.policy.concurrency.delete
      yield* Effect.forEach(mine.filter((one) => one.kind === "node"), removeOne, { concurrency, discard: true })
      yield* Effect.forEach(mine.filter((one) => one.kind !== "node"), removeOne, { concurrency, discard: true })
    })
    return all.pipe(
      within(operation.policy.cleanupTimeout),
      Effect.timeoutOrElse({ duration: operation.policy.cleanupTimeout, orElse: () => Effect.void }),
      Effect.catch((error) => Effect.succeed(whyOf(error))),
      Effect.map((why) =>
        listed
          ? [...left.values()]
          : Array.from(creation.made.values(), (one) => ({ ...one, why: why ?? "the time for the clean-up was over" }))
      )
    )
  })

const whyOf = (error: BackendError | ProviderUnavailable): string =>
  error._tag === "BackendError" ? error.reason.detail : error.detail

/** Whether a create that failed so may have been done all the same. */
const isUncertain = (error: BackendError | ProviderUnavailable): boolean =>
  error._tag === "BackendError" && ["Transport", "RequestTimeout", "ServerFault"].includes(error.reason._tag)

/** What is to be made has no id yet, so in a create's report everything goes by its name. */
const nameOnly = ({ kind, name }: Subject): Subject => ({ kind, name })

// -----------------------------------------------------------------------------
// Create
// -----------------------------------------------------------------------------

const making = (engine: Engine, operation: Operation.Operation, spec: MemorySpec, creation: Creation) =>
  Effect.gen(function*() {
    const { clusterName, policy } = operation
    const asked = nodesOf(spec)
    const world = yield* listing(engine, policy, clusterName)
    const { by, lines } = differences(asked, clusterName, world)
    if (lines.length > 0) {
      const detail = `cluster ${clusterName} differs from what is asked: ${lines.join("; ")}`
      return yield* operation.error(new NameTaken({ detail, by }))
    }
    const find = (found: Inventory, { kind, name }: Made) =>
      [...found.nodes, ...found.resources].find((one) => one.kind === kind && one.name === name)

    // Never sent again blindly: a first create may have been done though its answer was lost.
    const createOnce = (one: Made, subject: Subject) =>
      Effect.suspend(() => {
        let sent = false
        const attempt = Effect.gen(function*() {
          if (sent) {
            const there = find(yield* listing(engine, policy, clusterName), one)
            if (there?.creation === creation.mark) return there
          }
          sent = true
          creation.made.set(keyOf(subject), subject)
          yield* operation.emit({ _tag: "Sent", subject, call: `create ${one.kind} ${one.name}` })
          return yield* engine.create({ ...one, creation: creation.mark }).pipe(
            Effect.tapError((error) =>
              Effect.sync(() => {
                if (!isUncertain(error)) creation.made.delete(keyOf(subject))
              })
            )
          )
        })
        return retrying(policy)(attempt)
      })

    const make = (one: Made) => {
      const subject = nameOnly(one)
      return Effect.gen(function*() {
        const present = find(world, one)
        // What a create that died has made and never started is started.
        if (present !== undefined && !("neverStarted" in present)) return new AlreadyDone({})
        const made = present ?? (yield* createOnce(one, subject))
        if (made.kind === "node") {
          yield* operation.emit({ _tag: "Sent", subject, call: `start ${made.name}` })
          yield* retrying(policy)(engine.start(made))
        }
        return new Done({})
      })
    }

    const waves: ReadonlyArray<ReadonlyArray<Made>> = [
      resourcesOf(clusterName),
      asked.filter((node) => node.role === "control-plane"),
      asked.filter((node) => node.role !== "control-plane")
    ]
    let failed = false
    for (const wave of waves) {
      if (failed) {
        for (const one of wave) {
          yield* operation.record(nameOnly(one), new Skipped({ reason: "what it needs was not made" }))
        }
        continue
      }
      yield* operation.wave(
        wave,
        { subject: nameOnly, timeout: policy.nodeTimeout.create, width: policy.concurrency.create },
        make
      )
      failed = wave.some((one) => operation.outcomeOf(nameOnly(one))?._tag === "Failed")
    }
    if (!failed) {
      const fresh = asked.filter((node) => operation.outcomeOf(nameOnly(node))?._tag === "Done")
      yield* verifyRunning(engine, operation, fresh.map(nameOnly))
    }
  })

const undone = (creation: Creation, engine: Engine, operation: Operation.Operation, spec: MemorySpec) =>
  spec.onFailure === "keep" ? Effect.succeed([]) : rollback(engine, operation, creation)

/** Where no error can carry the leftovers, the log does. */
const tell = (cluster: string, leftovers: ReadonlyArray<Leftover>) =>
  leftovers.length === 0 ? Effect.void : Effect.logWarning(
    `what was made of cluster ${cluster} is removed, but for:`,
    ...leftovers.map((left) => `${left.kind} ${left.name}: ${left.why}`)
  )

export const makeCreate = (engine: Engine, policy: Effect.Effect<Policy>) => {
  let creations = 0
  // One at a time for each cluster: the second finds what the first has made.
  const gates = new Map<string, Semaphore.Semaphore>()
  const gate = (cluster: string) => {
    const gate = gates.get(cluster) ?? Semaphore.makeUnsafe(1)
    gates.set(cluster, gate)
    return gate.withPermits(1)
  }
  return (spec: MemorySpec): Effect.Effect<OperationReport, CreateFailure> =>
    Effect.gen(function*() {
      const clusterName = yield* checkNewClusterName(spec.cluster)
      const issues = faultsOf(spec)
      if (issues.length > 0) return yield* new InvalidSpec({ issues })
      const operation = yield* Operation.make({
        provider: backend,
        name: "createNodes",
        clusterName,
        policy: yield* policy
      })
      const creation: Creation = { mark: `${clusterName}/${++creations}`, made: new Map() }
      const undo = undone(creation, engine, operation, spec)

      return yield* gate(clusterName)(Effect.uninterruptibleMask((restore) =>
        Effect.gen(function*() {
          yield* restore(Operation.bounded(operation)(making(engine, operation, spec, creation))).pipe(
            Effect.onError(() => Effect.flatMap(undo, (leftovers) => tell(clusterName, leftovers))),
            // Its report is from before the clean-up.
            Effect.catchTag("OperationTimeout", ({ duration }) =>
              Effect.flatMap(
                operation.report,
                (report) =>
                  Effect.fail(new OperationTimeout({ operation: "createNodes", clusterName, duration, report }))
              ))
          )
          const report = yield* operation.report
          if (!report.isFailure) return report
          const leftovers = yield* undo
          return yield* new NodesNotCreated({ report: yield* operation.report, leftovers })
        })
      ))
    }).pipe(method(backend, "createNodes", spec.cluster))
}
