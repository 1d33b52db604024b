/**
 * How many calls a method sends to the engine, seen from outside: by a proxy between the library and the socket.
 *
 * The connection is set up before: what the first call of all negotiates is not counted.
 */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Docker from "../src/layers/Docker.ts"
import type { ProviderService } from "../src/Provider.ts"
import { atMost, exactly, type Measured, type NotMeasured, type Row, type Target } from "./row.ts"
import { type CountingProxy, countingProxy } from "./socket.ts"
import { makeCluster, Stage, startAll } from "./stage.ts"

const NODES = 5

/** How long an idle watch is listened to. */
const IDLE = "2 seconds"

interface Case {
  readonly id: string
  readonly what: string
  readonly target: Target
  readonly running: boolean
  readonly withResources?: boolean
  readonly work: (
    provider: ProviderService,
    cluster: string,
    proxy: CountingProxy
  ) => Effect.Effect<unknown, NotMeasured, Scope.Scope>
}

/** `3 × GET /containers/json, 1 × GET /networks`; ids are one like another. */
const summary = (calls: ReadonlyArray<string>): string => {
  const counts = new Map<string, number>()
  for (const call of calls) {
    const name = call.replace(/\/v1\.\d+\//, "/").replace(/[0-9a-f]{64}/, "{id}").replace(/bench-\w{6}/, "{name}")
    counts.set(name, (counts.get(name) ?? 0) + 1)
  }
  return [...counts].map(([name, count]) => `${count} × ${name}`).join(", ") || "none"
}

const counted = ({ running, withResources = false, work }: Case): Effect.Effect<Measured, NotMeasured, Stage> =>
  Effect.scoped(Effect.gen(function*() {
    const { socketPath } = yield* Stage
    const proxy = yield* countingProxy(socketPath)
    const { provider } = yield* Docker.make({ host: proxy.dockerHost })
    const cluster = yield* makeCluster({ nodes: NODES, init: "obedient", withResources })
    if (running) yield* startAll(cluster)
    yield* provider.checkAvailable
    proxy.forget()
    yield* work(provider, cluster.name, proxy)
    const calls = proxy.calls()
    return { value: calls.length, detail: summary(calls) }
  }))

/** Listens to a watch without changes. */
const watchIdle: Case["work"] = Effect.fnUntraced(function*(provider, cluster, proxy) {
  const seen = yield* Queue.unbounded<unknown>()
  const watching = yield* provider.watchCluster(cluster).pipe(
    Stream.runForEach((status) => Queue.offer(seen, status)),
    Effect.andThen(Effect.fail<NotMeasured>({ message: "the watch ended" })),
    Effect.forkScoped
  )
  yield* Effect.raceFirst(Queue.take(seen), Fiber.join(watching))
  proxy.forget()
  yield* Effect.raceFirst(Effect.sleep(IDLE), Fiber.join(watching))
})

const cases: ReadonlyArray<Case> = [
  {
    id: "docker.calls.list",
    what: "listNodes",
    target: exactly(1),
    running: false,
    work: (provider, cluster) => provider.listNodes(cluster)
  },
  {
    id: "docker.calls.status",
    what: "getClusterStatus",
    target: exactly(1),
    running: false,
    work: (provider, cluster) => provider.getClusterStatus(cluster)
  },
  {
    id: "docker.calls.exists",
    what: "nodesExist",
    target: exactly(1),
    running: false,
    work: (provider, cluster) => provider.nodesExist(cluster)
  },
  {
    id: "docker.calls.clusters",
    what: "listAllClusters",
    target: exactly(1),
    running: false,
    work: (provider) => provider.listAllClusters
  },
  {
    id: "docker.calls.start.running",
    what: `startNodes of ${NODES} nodes that run`,
    target: exactly(1),
    running: true,
    work: (provider, cluster) => provider.startNodes(cluster)
  },
  {
    id: "docker.calls.start",
    what: `startNodes of N = ${NODES} nodes: N + 2`,
    target: exactly(NODES + 2),
    running: false,
    work: (provider, cluster) => provider.startNodes(cluster)
  },
  {
    id: "docker.calls.stop",
    what: `stopNodes of N = ${NODES} nodes that kubelayer created: N + 1`,
    target: exactly(NODES + 1),
    running: true,
    work: (provider, cluster) => provider.stopNodes(cluster)
  },
  {
    id: "docker.calls.delete",
    what: `deleteNodes of N = ${NODES} nodes, one network and one volume: N + 6`,
    target: atMost(NODES + 6),
    running: true,
    withResources: true,
    work: (provider, cluster) => provider.deleteNodes(cluster)
  },
  {
    id: "docker.calls.watch",
    what: `watchCluster while nothing happens, ${IDLE}`,
    target: exactly(0),
    running: false,
    work: watchIdle
  }
]

export const callRows: ReadonlyArray<Row<Stage>> = cases.map((each) => ({
  id: each.id,
  what: `calls of ${each.what}`,
  target: each.target,
  measure: counted(each)
}))
