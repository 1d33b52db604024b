/** Docker in a simulated run: the layer over the transport of the fake engine. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import {
  type Answer,
  type CallFailure,
  type Connection,
  failure,
  type Opened,
  type Request,
  Transport,
  type TransportService
} from "../../docker/Transport.ts"
import * as Docker from "../../layers/Docker.ts"
import { ProviderUnavailable } from "../../ProviderError.ts"
import type { ContainerView, Snapshot } from "../docker/Snapshot.ts"
import * as DockerFake from "../DockerFake.ts"
import { between } from "../faults/Random.ts"
import type { Client, Line } from "./Line.ts"
import type { MakeWorld, Thing } from "./SimulatedWorld.ts"

const image = "node:1"

const broken = failure("in-process", Object.assign(new Error("read ECONNRESET"), { code: "ECONNRESET" }))

const answerOf = (fault: "limited" | "broken" | "page" | "garbled"): Answer => {
  switch (fault) {
    case "limited":
      return { status: 429, text: "{\"message\":\"too many requests\"}\n", retryAfterMillis: 1_000 }
    case "broken":
      return { status: 500, text: "{\"message\":\"a fault of the engine\"}\n" }
    case "page":
      return { status: 502, text: "<!doctype html>\n<html><body><h1>Bad gateway</h1></body></html>\n" }
    case "garbled":
      return { status: 200, text: "{\"Id\":\"4f" }
  }
}

const lineOf = ({ method, path, query }: Request): string =>
  `${method} ${path}${query === undefined ? "" : `?${new URLSearchParams(query)}`}`

const lists = /^GET \/(?:containers\/json|networks|volumes)(?:\?|$)/

/** Events that come twice, or are lost before a cut. */
const throughFaults = (
  line: Line,
  bytes: Stream.Stream<Uint8Array, CallFailure>
): Stream.Stream<Uint8Array, CallFailure> =>
  Stream.flatMap(bytes, (chunk) => {
    switch (line.eventFault()) {
      case "duplicate":
        return Stream.make(chunk, chunk)
      case "lose":
        return Stream.fromEffect(broken)
      case undefined:
        return Stream.succeed(chunk)
    }
  })

/** The connection of one process. */
const connectionOf = (
  connection: Connection,
  line: Line,
  client: Client,
  inWorld: <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
): Connection => ({
  ...connection,
  exchange: (request) => {
    const text = lineOf(request)
    return line.send<Answer, CallFailure>(client, {
      line: text,
      isWrite: request.method !== "GET" && request.method !== "HEAD",
      send: inWorld(connection.exchange(request)),
      failure: (fault) => fault === "lost" ? broken : Effect.succeed(answerOf(fault)),
      ...(lists.test(text) ? { list: text } : {})
    })
  },
  openStream: (request) =>
    Effect.map(
      line.send<Opened, CallFailure, Scope.Scope>(client, {
        line: lineOf(request),
        isWrite: false,
        isStream: true,
        send: inWorld(connection.openStream(request)),
        failure: (fault) => {
          if (fault === "lost") return broken
          const { status, text } = answerOf(fault)
          return Effect.succeed({ status, text: Effect.succeed(text), bytes: Stream.empty })
        }
      }),
      (opened) => request.path === "/events" ? { ...opened, bytes: throughFaults(line, opened.bytes) } : opened
    )
})

const clusterOf = (labels: Readonly<Record<string, string>>): string | undefined =>
  labels["kubelayer.owned"]?.split("/")[1]

const textOf = ({ body, exitCode, id, networks, state, volumes }: ContainerView): string =>
  JSON.stringify({ id, state, exitCode, networks, volumes, body })

const thingsOf = ({ containers, networks, volumes }: Snapshot): ReadonlyArray<Thing> => [
  ...containers.map((one): Thing => ({
    kind: "node",
    name: one.name,
    id: one.id,
    cluster: clusterOf(one.labels),
    isRunning: one.state === "running",
    isStopped: one.state === "exited" || one.state === "created" || one.state === "dead",
    isConnected: Object.keys(one.networks).some((network) => network === `kubelayer-${clusterOf(one.labels)}`),
    text: textOf(one)
  })),
  ...networks.flatMap(({ id, isPredefined, labels, name, subnets }): ReadonlyArray<Thing> =>
    isPredefined ? [] : [{
      kind: "network",
      name,
      id,
      cluster: clusterOf(labels),
      text: JSON.stringify({ labels, subnets })
    }]
  ),
  ...volumes.map(({ labels, name }): Thing => ({
    kind: "volume",
    name,
    id: name,
    cluster: clusterOf(labels),
    text: JSON.stringify(labels)
  }))
]

export const makeDockerWorld: MakeWorld = Effect.fnUntraced(function*({ line, runtime, world }) {
  const next = runtime.numbers("engine")
  const millis = () => next() < 0.4 ? 0 : between(next, 1, 3_000)
  const fake = yield* DockerFake.make({
    listen: "none",
    images: { [image]: {} },
    flavor: next() < 0.3 ? "podman" : "docker",
    durations: { create: millis(), start: millis(), stop: millis(), remove: millis(), network: millis() }
  })
  const transport = yield* Effect.provide(Transport, fake.transport)
  const inWorld = <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.provideContext(self, world.context)

  const transportOf = (client: Client): TransportService => ({
    connect: (options, environment, timeout) =>
      line().send(client, {
        line: "GET /_ping",
        isWrite: false,
        send: inWorld(transport.connect(options, environment, timeout)),
        failure: (fault) =>
          Effect.fail(
            new ProviderUnavailable({
              provider: "docker",
              address: "in-process",
              detail: `a fault: ${fault}`,
              advice: "Try again."
            })
          )
      }).pipe(
        Effect.timeoutOrElse({
          duration: timeout,
          orElse: () =>
            Effect.fail(
              new ProviderUnavailable({
                provider: "docker",
                address: "in-process",
                detail: "no reply in time",
                advice: "Try again."
              })
            )
        }),
        Effect.map((connection) => connectionOf(connection, line(), client, inWorld))
      )
  })

  return {
    connect: (client) =>
      Docker.make({ nodes: { image } }).pipe(
        Effect.provideService(Transport, transportOf(client)),
        Effect.orDie
      ),
    truth: Effect.map(fake.state, thingsOf),
    putUnowned: (name) =>
      Effect.gen(function*() {
        yield* fake.seed.network({ name: `${name}-net` })
        yield* fake.seed.volume({ name: `${name}-data` })
        yield* fake.seed.container({ name, networks: [`${name}-net`], volumes: [`${name}-data`] })
      }),
    change: (one) => {
      if (!("cluster" in one)) return Effect.runSync(fake.cut(/events/))
      const nodes = thingsOf(Effect.runSync(fake.state)).filter(({ cluster, kind }) =>
        kind === "node" && cluster === one.cluster
      )
      const node = nodes[one.nth % Math.max(1, nodes.length)]
      if (node === undefined) return
      switch (one.change) {
        case "remove":
          return Effect.runSync(fake.vanish("container", node.name))
        case "stop":
          return Effect.runSync(fake.exit(node.name, 0))
        case "crash":
          return Effect.runSync(fake.exit(node.name, 1))
        case "disconnect":
          return Effect.runSync(Effect.ignore(fake.answer({
            method: "POST",
            target: `/v1.41/networks/kubelayer-${one.cluster}/disconnect`,
            contentType: "application/json",
            body: JSON.stringify({ Container: node.name, Force: true })
          })))
      }
    },
    rest: Effect.sleep("20 seconds"),
    secrets: [],
    violations: Effect.map(fake.violations, (all) => all.map((one) => JSON.stringify(one)))
  }
})
