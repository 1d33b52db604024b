/** Memory in a simulated run. */
import type * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as Backend from "../../Backend.ts"
import { failWith } from "../../internal/Method.ts"
import { makeBackend } from "../../memory/Backend.ts"
import * as Engine from "../../memory/Engine.ts"
import type { SetLatency } from "../../memory/World.ts"
import { ProviderUnavailable } from "../../ProviderError.ts"
import { type BackendError, InvalidResponse, RateLimited, ServerFault, Transport } from "../../Reason.ts"
import { between } from "../faults/Random.ts"
import type { Call, Client, Line } from "./Line.ts"
import type { MakeWorld, Thing } from "./SimulatedWorld.ts"

type CallFailure = BackendError | ProviderUnavailable

const failure = (fault: "lost" | "limited" | "broken" | "page" | "garbled"): Effect.Effect<never, CallFailure> => {
  switch (fault) {
    case "lost":
      return failWith(new Transport({ detail: "the connection was cut" }))
    case "limited":
      return failWith(new RateLimited({ detail: "too many requests", retryAfterMillis: 1_000 }))
    case "broken":
      return failWith(new ServerFault({ detail: "a fault of the server" }))
    case "page":
      return failWith(new InvalidResponse({ detail: "a page of a proxy" }))
    case "garbled":
      return failWith(new InvalidResponse({ detail: "not decodable" }))
  }
}

/** The simulator as one process sees it. */
const clientOf = (
  engine: Engine.Engine,
  line: Line,
  client: Client,
  inWorld: <A, E>(self: Effect.Effect<A, E>) => Effect.Effect<A, E>
): Engine.Engine => {
  const send = <A>(
    text: string,
    isWrite: boolean,
    call: Effect.Effect<A, CallFailure>,
    more: Partial<Call<A, CallFailure>> = {}
  ): Effect.Effect<A, CallFailure> => line.send(client, { line: text, isWrite, send: inWorld(call), failure, ...more })
  return {
    ...engine,
    ping: send("ping", false, engine.ping),
    listAll: send("listAll", false, engine.listAll, { list: "listAll" }),
    list: (kind, cluster) =>
      send(`list ${kind} ${cluster ?? ""}`, false, engine.list(kind, cluster), {
        list: `list ${kind} ${cluster ?? ""}`
      }),
    watch: (opened) =>
      send(
        "watch",
        false,
        engine.watch((ticks) => opened(throughFaults(line, ticks))),
        { isStream: true }
      ),
    create: (made) => send(`create ${made.kind} ${made.name}`, true, engine.create(made)),
    start: (node) => send(`start ${node.name}`, true, engine.start(node)),
    stop: (node) => send(`stop ${node.name}`, true, engine.stop(node)),
    delete: (one) => send(`delete ${one.kind} ${one.name}`, true, engine.delete(one)),
    connect: (node) => send(`connect ${node.name}`, true, engine.connect(node)),
    update: (node, labels) => send(`update ${node.name}`, true, engine.update(node, labels)),
    decideFate: (cluster, operation, fate) =>
      send(`decideFate ${fate}`, true, engine.decideFate(cluster, operation, fate)),
    forgetFate: (operation) => send("forgetFate", true, engine.forgetFate(operation))
  }
}

/** A tick says only that something changed, so that one of them cannot be lost; a cut may come in its place. */
const throughFaults = (line: Line, ticks: Queue.Queue<void, Cause.Done>): Engine.Ticks => {
  const fault = line.eventFault()
  if (fault === "duplicate") Queue.offerUnsafe(ticks, undefined)
  return ticks
}

const durations = (next: () => number): ReadonlyArray<SetLatency> =>
  (["create", "start", "stop", "delete", "connect", "update"] as const).map((operation) => ({
    operation,
    latency: next() < 0.3 ? 0 : between(() => next(), 1, 5_000)
  }))

export const makeMemoryWorld: MakeWorld = Effect.fnUntraced(function*({ line, runtime, world }) {
  const next = runtime.numbers("engine")
  const engine = yield* Engine.make(durations(next))
  const inWorld = <A, E>(self: Effect.Effect<A, E>) => Effect.provideContext(self, world.context)
  const truth = Effect.sync((): ReadonlyArray<Thing> => {
    const { nodes, resources, unlabelled } = engine.world()
    return [
      ...nodes.map((node): Thing => ({
        kind: "node",
        name: node.name,
        id: node.id,
        cluster: node.cluster,
        isRunning: node.state === "running",
        isStopped: node.state === "stopped" || node.state === "failed",
        isConnected: node.isConnected,
        text: JSON.stringify(node)
      })),
      ...resources.map(({ cluster, id, kind, name, ...rest }): Thing => ({
        kind,
        name,
        id,
        cluster,
        text: JSON.stringify(rest)
      })),
      ...unlabelled.map((one): Thing => ({
        kind: one.kind,
        name: one.name,
        id: one.name,
        cluster: undefined,
        text: JSON.stringify(one)
      }))
    ]
  })
  return {
    connect: (client) => Effect.sync(() => Backend.make(makeBackend(clientOf(engine, line(), client, inWorld), {}))),
    truth,
    putUnowned: (name) => Effect.sync(() => void engine.addUnlabelled({ kind: "node", name })),
    change: (one) => {
      if (!("cluster" in one)) return engine.cutWatches()
      const nodes = engine.world().nodes.filter(({ cluster }) => cluster === one.cluster)
      const node = nodes[one.nth % Math.max(1, nodes.length)]
      if (node === undefined) return
      switch (one.change) {
        case "remove":
          return engine.remove(node.id)
        case "stop":
          return engine.setState(node, "stopped")
        case "crash":
          return engine.setState(node, "failed")
        case "disconnect":
          return engine.disconnect(node)
      }
    },
    rest: Effect.sleep("10 seconds"),
    secrets: [],
    violations: Effect.succeed([])
  }
})
