/**
 * Shared parts of the tests of outages, interruptions and concurrent operations.
 *
 * - Simulators with a second cluster that no operation may change.
 * - Operations that send their calls one after the other, so that a test can act at each call.
 * - A count of the fibers that an operation started.
 *
 * Calls overlap as on real backends: they are sent `gap` ms apart and take `latency` ms, ten times as long.
 */
import { assert } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import { TestClock } from "effect/testing"
import * as Memory from "kubelayer/layers/Memory"
import { onEvent } from "kubelayer/Progress"
import type { ProviderError } from "kubelayer/ProviderError"
import type { OperationReport } from "kubelayer/Report"

export const latency = 100
export const gap = 10

export interface Size {
  readonly controlPlanes: number
  readonly workers: number
}

export const sizes: ReadonlyArray<Size> = [{ controlPlanes: 1, workers: 3 }, { controlPlanes: 3, workers: 5 }]

export const sizeText = ({ controlPlanes, workers }: Size): string => `${controlPlanes}+${workers}`

/** Creates a simulator with the cluster `dev`, if it is given, a second cluster and unlabelled things. */
export const simulator = (
  dev: Memory.ClusterSeed | undefined,
  latency: Memory.Options["latency"] = 0
): Effect.Effect<Memory.MemoryService, never, Scope.Scope> =>
  Effect.gen(function*() {
    const memory = yield* Memory.make({
      clusters: { ...(dev === undefined ? {} : { dev }), "dev-2": { controlPlanes: 1, workers: 1 } },
      latency
    })
    yield* memory.addUnlabelled({ kind: "node", name: "dev-worker99" })
    yield* memory.addUnlabelled({ kind: "network", name: "dev-network99" })
    return memory
  }).pipe(Effect.orDie)

// -----------------------------------------------------------------------------
// Worlds
// -----------------------------------------------------------------------------

/** Everything of `dev`: the state of each node, and each other resource as `present`, by kind and name. */
export const things = (world: Memory.World): ReadonlyMap<string, string> =>
  new Map(
    [
      ...world.nodes.map((node) => [node.cluster, `node ${node.name}`, node.state] as const),
      ...world.resources.map((one) => [one.cluster, `${one.kind} ${one.name}`, "present"] as const)
    ].flatMap(([cluster, name, state]) => cluster === "dev" ? [[name, state] as const] : []).sort()
  )

export const nodes = (world: Memory.World): ReadonlyMap<string, string> =>
  new Map(world.nodes.flatMap((node) => node.cluster === "dev" ? [[node.name, node.state] as const] : []).sort())

/** All that is not of `dev`. */
export const surroundings = (world: Memory.World): Memory.World => ({
  nodes: world.nodes.filter((node) => node.cluster !== "dev"),
  resources: world.resources.filter((one) => one.cluster !== "dev"),
  unlabelled: world.unlabelled
})

// -----------------------------------------------------------------------------
// Operations
// -----------------------------------------------------------------------------

export interface Operation {
  readonly name: "startNodes" | "stopNodes" | "deleteNodes" | "createNodes"
  /** The nodes of `dev` before the operation. */
  readonly seed: (size: Size) => Memory.ClusterSeed | undefined
  readonly run: (memory: Memory.MemoryService, size: Size) => Effect.Effect<OperationReport, ProviderError>
  /** The state in which it leaves nodes; none where it leaves none. */
  readonly leaves: "running" | "stopped" | undefined
}

export const start: Operation = {
  name: "startNodes",
  seed: (size) => ({ ...size, state: "stopped" }),
  run: ({ provider }) => provider.startNodes("dev"),
  leaves: "running"
}

export const stop: Operation = {
  name: "stopNodes",
  seed: (size) => size,
  run: ({ provider }) => provider.stopNodes("dev"),
  leaves: "stopped"
}

export const remove: Operation = {
  name: "deleteNodes",
  seed: (size) => size,
  run: ({ provider }) => provider.deleteNodes("dev"),
  leaves: undefined
}

export const create: Operation = {
  name: "createNodes",
  seed: () => undefined,
  run: (memory, size) => memory.creator.createNodes({ cluster: "dev", ...size }),
  leaves: "running"
}

/** A create that finds a part of the cluster, as after a process that died. */
export const createRest: Operation = { ...create, seed: () => ({ controlPlanes: 1, workers: 1 }) }

/** The states of these nodes after the operation succeeds. */
export const leaving = ({ leaves }: Operation, names: Iterable<string>): ReadonlyMap<string, string> =>
  new Map(leaves === undefined ? [] : Array.from(names, (name) => [name, leaves] as const))

/** The outcomes of a report, by kind and name. */
export const told = (report: OperationReport): ReadonlyMap<string, string> =>
  new Map(report.outcomes.map((entry) => [`${entry.kind} ${entry.name}`, entry.outcome._tag]))

/** Returns the value or typed error of an operation. Fails for every other exit. */
export const settled = <A, E>(exit: Exit.Exit<A, E> | undefined, what: string): A | E => {
  if (exit === undefined) return assert.fail(`${what}: it goes on`)
  if (exit._tag === "Success") return exit.value
  const error = Cause.findErrorOption(exit.cause)
  if (Cause.hasDies(exit.cause) || Cause.hasInterrupts(exit.cause) || Option.isNone(error)) {
    return assert.fail(`${what}: ${Cause.pretty(exit.cause)}`)
  }
  return error.value
}

/** The report of an operation that has to have succeeded. */
export const succeeded = <E>(exit: Exit.Exit<OperationReport, E> | undefined, what: string): OperationReport => {
  settled(exit, what)
  return exit?._tag === "Success" ? exit.value : assert.fail(`${what}: ${exit && Cause.pretty(exit.cause)}`)
}

// -----------------------------------------------------------------------------
// Calls, one after the other
// -----------------------------------------------------------------------------

/** Lets the calls of an operation's waves leave one after the other. */
export const oneByOne = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.suspend(() => {
    let taken = 0
    return onEvent((event) =>
      event._tag !== "Sent" ? Effect.void : Effect.flatMap(Clock.currentTimeMillis, (now) => {
        taken = Math.max(taken, now) + gap
        return Effect.sleep(taken - now)
      })
    )(self)
  })

/** Lets time pass until so many calls were sent, and gives when each of them was. */
export const untilSent = Effect.fnUntraced(function*(memory: Memory.MemoryService, count: number) {
  const sentAt: Array<number> = []
  for (let steps = 0; sentAt.length < count; steps++) {
    if (steps > 2000) assert.fail(`call ${count} is never sent`)
    yield* TestClock.adjust(gap)
    const now = yield* Clock.currentTimeMillis
    const { length } = yield* memory.calls
    // The kinds of things are listed at the same time.
    while (sentAt.length < length) sentAt.push(now)
  }
  return sentAt
})

/** The calls that an operation sends where nothing unusual happens. */
export const usualCalls = (operation: Operation, size: Size): Effect.Effect<ReadonlyArray<Memory.Call>> =>
  Effect.scoped(Effect.gen(function*() {
    const memory = yield* simulator(operation.seed(size))
    yield* operation.run(memory, size)
    return yield* memory.calls
  })).pipe(Effect.orDie)

// -----------------------------------------------------------------------------
// Fibers
// -----------------------------------------------------------------------------

/** Counts the fibers that run under an effect, those that it leaves behind too. */
export const counting = () => {
  let live = 0
  return {
    live: () => live,
    counted: Effect.provideService(Metric.FiberRuntimeMetrics, {
      recordFiberStart: () => void live++,
      recordFiberEnd: () => void live--
    })
  }
}
