/** Clusters to begin with, and what the simulator is asked in these tests. */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import * as Memory from "kubelayer/layers/Memory"
import type { ClusterStatus } from "kubelayer/Model"
import { Provider } from "kubelayer/Provider"
import type { OperationReport } from "kubelayer/Report"

export const running = { controlPlanes: 1, workers: 2 }
export const stopped = { ...running, state: "stopped" } as const

export const outcomes = (report: OperationReport) =>
  Object.fromEntries(report.outcomes.map(({ name, outcome }) => [name, outcome._tag]))

export const states = (cluster: string) =>
  Effect.gen(function*() {
    const { nodes } = yield* (yield* Memory.Memory).world
    return Object.fromEntries(nodes.filter((node) => node.cluster === cluster).map(({ name, state }) => [name, state]))
  })

export const sent = Effect.gen(function*() {
  const calls = yield* (yield* Memory.Memory).calls
  return calls.map(({ operation, target }) => `${operation} ${target}`.trim())
})

export const dev = (state: "running" | "stopped", options: Memory.Options = {}) =>
  Memory.layer({ clusters: { dev: { ...running, state } }, ...options })

/** Lets the fibers of a watch take their turns. No time passes. */
export const settled = Effect.forEach(Array.from({ length: 10 }), () => TestClock.adjust(0), { discard: true })

/** Collects what a watch gives, as phase and count of ready nodes. */
export const watching = Effect.gen(function*() {
  const seen: Array<ClusterStatus> = []
  const fiber = yield* Provider.use((provider) =>
    Stream.runForEach(provider.watchCluster("dev"), (status) => Effect.sync(() => seen.push(status)))
  ).pipe(Effect.forkChild)
  yield* settled
  return {
    seen,
    fiber,
    phases: () => seen.map(({ nodesReady, nodesTotal, phase }) => `${phase} ${nodesReady}/${nodesTotal}`)
  }
})
