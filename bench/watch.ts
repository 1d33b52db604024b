/**
 * How long after an engine's event its status is at the caller of `watchCluster`, the list call in between included.
 *
 * The engine is a canned one, so the moment of the event is known exactly. The state of one node changes, the event is
 * sent, and the next element is awaited.
 */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"
import * as Docker from "../src/layers/Docker.ts"
import { below, type Measured, type NotMeasured, type Row } from "./row.ts"
import { median, now, percentile } from "./samples.ts"
import { cannedContainer, cannedEngine } from "./socket.ts"

const NODES = 20
const EVENTS = 300

const cluster = "watched"

/** The event of one container's start or death, as an engine writes it. */
const eventOf = (container: ReturnType<typeof cannedContainer>) => {
  const running = container.State === "running"
  return {
    Type: "container",
    Action: running ? "start" : "die",
    Actor: {
      ID: container.Id,
      Attributes: {
        ...container.Labels,
        name: container.Names[0]?.slice(1),
        image: container.Image,
        ...(running ? {} : { exitCode: "0" })
      }
    },
    scope: "local",
    time: Math.floor(Date.now() / 1000)
  }
}

const measure: Effect.Effect<Measured, NotMeasured> = Effect.scoped(Effect.gen(function*() {
  const containers = Array.from({ length: NODES }, (_, index) => cannedContainer(cluster, index, "running"))
  const engine = yield* cannedEngine(() => JSON.stringify(containers))
  const { provider } = yield* Docker.make({ host: `unix://${engine.socketPath}` })

  const arrivals = yield* Queue.unbounded<number>()
  const watching = yield* provider.watchCluster(cluster).pipe(
    Stream.runForEach(() => Effect.flatMap(now, (at) => Queue.offer(arrivals, at))),
    Effect.andThen(Effect.fail<NotMeasured>({ message: "the watch ended" })),
    Effect.forkScoped
  )
  const arrival = Effect.raceFirst(Queue.take(arrivals), Fiber.join(watching)).pipe(
    Effect.timeoutOrElse({
      duration: "10 seconds",
      orElse: () => Effect.fail<NotMeasured>({ message: "no element within 10 s of an event" })
    })
  )
  yield* arrival

  const latencies: Array<number> = []
  for (let round = 0; round < EVENTS; round++) {
    const index = round % NODES
    const changed = cannedContainer(cluster, index, containers[index]?.State === "running" ? "exited" : "running")
    containers[index] = changed
    const sentAt = yield* now
    engine.tell(eventOf(changed))
    latencies.push((yield* arrival) - sentAt)
  }
  const [p50, p99, worst] = [median(latencies), percentile(latencies, 0.99), Math.max(...latencies)]
  return {
    value: p99,
    detail: `median ${p50.toFixed(1)} ms, p99 ${p99.toFixed(1)} ms, most ${worst.toFixed(1)} ms; ${EVENTS} events`
  }
}))

export const watchRows: ReadonlyArray<Row> = [{
  id: "docker.watch.latency",
  what: `from an engine's event to the status of ${NODES} nodes at the caller, p99 in ms`,
  target: below(50),
  measure
}]
