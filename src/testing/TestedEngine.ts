/**
 * A Docker engine as the layer under test sees it: through a gate that can be shut, and a proxy that records the calls.
 *
 * The gate passes bytes on and reads only the first line of each connection. Behind it is a `FaultProxy`, which records
 * the calls and refuses some on request. The layer uses the address of the gate, a harness that of the engine.
 * `DockerHarness` is built on it; it needs a system with unix sockets.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as fs from "node:fs/promises"
import * as net from "node:net"
import * as os from "node:os"
import * as path from "node:path"
import { type FaultProxy, make as makeProxy } from "./FaultProxy.ts"
import { HarnessError } from "./Harness.ts"

/**
 * @category models
 * @since 0.1.0
 */
export interface TestedEngineService {
  /** For the layer under test, as a DOCKER_HOST. */
  readonly host: string
  /** The engine itself, as a DOCKER_HOST. */
  readonly engine: string
  /** The proxy that records and refuses calls. */
  readonly proxy: FaultProxy
  /** Cuts, once, the open connections whose first line, such as `GET /v1.41/events?... HTTP/1.1`, matches. */
  readonly cut: (line: RegExp) => Effect.Effect<void>
  /** As long as the scope is open, nothing is at `host`; what was connected is cut. */
  readonly outage: Effect.Effect<void, HarnessError, Scope.Scope>
}

/**
 * @category services
 * @since 0.1.0
 */
export class TestedEngine
  extends Context.Service<TestedEngine, TestedEngineService>()("kubelayer/testing/TestedEngine")
{}

const attempt = <A>(action: string, f: () => Promise<A>): Effect.Effect<A, HarnessError> =>
  Effect.tryPromise({
    try: f,
    catch: (error) => new HarnessError({ action, detail: error instanceof Error ? error.message : String(error) })
  })

/**
 * Opens a gate before an engine, at `unix://` or `tcp://`, as long as the scope is open.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function*(
  engine: string
): Effect.fn.Return<TestedEngineService, HarnessError, Scope.Scope> {
  const proxy = yield* makeProxy({ target: engine }).pipe(
    Effect.mapError((error) => new HarnessError({ action: "open the gate before the engine", detail: error.message }))
  )
  const directory = yield* Effect.acquireRelease(
    attempt("make a folder for a socket", () => fs.mkdtemp(path.join(os.tmpdir(), "te-"))),
    (made) => Effect.orDie(attempt("remove the folder of a socket", () => fs.rm(made, { recursive: true })))
  )
  const socketPath = path.join(directory, "d.sock")
  const connections = new Map<net.Socket, string>()

  const server = net.createServer({ allowHalfOpen: true }, (client) => {
    const beyond = net.connect({ path: proxy.socketPath, allowHalfOpen: true })
    connections.set(client, "")
    client.once("data", (chunk: Buffer) => connections.set(client, chunk.toString("latin1").split("\r\n", 1)[0] ?? ""))
    client.on("error", () => {})
    beyond.on("error", () => {})
    client.on("close", () => {
      connections.delete(client)
      beyond.destroy()
    })
    beyond.on("close", () => client.destroy())
    client.pipe(beyond)
    beyond.pipe(client)
  })
  const cut = (line: RegExp) =>
    Effect.sync(() => {
      for (const [client, first] of connections) if (line.test(first)) client.destroy()
    })
  yield* Effect.acquireRelease(
    attempt("listen", () =>
      new Promise<void>((resolve, reject) => {
        server.once("error", reject)
        server.listen(socketPath, resolve)
      })),
    () =>
      Effect.callback<void>((resume) => {
        server.close(() => resume(Effect.void))
        for (const client of connections.keys()) client.destroy()
      })
  )

  const away = `${socketPath}.away`
  return {
    host: `unix://${socketPath}`,
    engine,
    proxy,
    cut,
    // The server goes on listening; nobody finds it.
    outage: Effect.acquireRelease(
      Effect.andThen(attempt("take the engine away", () => fs.rename(socketPath, away)), cut(/(?:)/)),
      () => Effect.orDie(attempt("bring the engine back", () => fs.rename(away, socketPath)))
    )
  }
})

/**
 * @category layers
 * @since 0.1.0
 */
export const layer = (engine: string): Layer.Layer<TestedEngine, HarnessError> =>
  Layer.effect(TestedEngine, make(engine))

/**
 * A layer that is built on `host`, and the engine that it sees.
 *
 * @category layers
 * @since 0.1.0
 */
export const through = <A, E, R>(
  engine: string,
  build: (host: string) => Layer.Layer<A, E, R>
): Layer.Layer<A | TestedEngine, E | HarnessError, R> =>
  Layer.unwrap(Effect.map(TestedEngine, ({ host }) => build(host))).pipe(Layer.provideMerge(layer(engine)))
