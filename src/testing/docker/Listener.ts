/**
 * The fake engine on a unix socket, or on a port of the loopback interface.
 *
 * It only carries bytes: `Api.ts` answers. An outage closes the listener and opens it again at the same address.
 */
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import type * as Scope from "effect/Scope"
import type { IncomingMessage, Server, ServerResponse } from "node:http"
import type { AddressInfo, Socket } from "node:net"
import { load } from "../../internal/Loading.ts"
import type { Api } from "./Api.ts"
import type { Answer } from "./Call.ts"

/** @internal */
export interface Listener {
  /** As a DOCKER_HOST. */
  readonly host: string
  /** Cuts the open connections whose request line matches. */
  readonly cut: (line: RegExp) => void
  /** Stops listening and cuts every connection. */
  readonly close: Effect.Effect<void>
  /** Listens again at the same address. */
  readonly open: Effect.Effect<void>
}

const bodyOf = (request: IncomingMessage): Promise<string | Uint8Array> =>
  new Promise((resolve, reject) => {
    const chunks: Array<Buffer> = []
    request.on("data", (chunk: Buffer) => chunks.push(chunk))
    request.on("end", () => {
      const whole = Buffer.concat(chunks)
      resolve(request.headers["content-type"] === "application/x-tar" ? whole : whole.toString("utf8"))
    })
    request.on("error", reject)
  })

/** Writes an answer of the fake to a response. @internal */
export const send = (response: ServerResponse, answer: Answer): void => {
  if (answer._tag === "Cut") return void response.destroy()
  if (answer._tag === "Hang" || response.destroyed) return
  const { body, headers, status, stream } = answer
  if (stream === undefined) {
    const length = status === 204 || status === 304 ? {} : { "Content-Length": Buffer.byteLength(body) }
    return void response.writeHead(status, { ...headers, ...length }).end(body)
  }
  response.writeHead(status, headers)
  response.flushHeaders()
  const close = stream({ write: (chunk) => void response.write(chunk), end: () => void response.end() })
  response.on("close", close)
}

/** Listens as long as the scope is open. @internal */
export const listen = Effect.fnUntraced(function*(
  api: Api,
  at: "unix" | "tcp"
): Effect.fn.Return<Listener, never, Scope.Scope> {
  const [http, fs, os, path] = yield* load(() =>
    Promise.all([import("node:http"), import("node:fs"), import("node:os"), import("node:path")])
  )
  const run = yield* FiberSet.makeRuntime<never>()
  const sockets = new Map<Socket, string>()
  const server: Server = http.createServer((request, response) => {
    const { method = "", socket, url = "" } = request
    sockets.set(socket, `${method} ${url}`)
    response.on("error", () => {})
    bodyOf(request).then((body) => {
      const fiber = run(
        Effect.map(
          api.answer({ method, target: url, contentType: request.headers["content-type"], body }),
          (answer) => send(response, answer)
        )
      )
      response.on("close", () => fiber.interruptUnsafe())
    }, () => response.destroy())
  })
  server.on("connection", (socket: Socket) => {
    sockets.set(socket, "")
    socket.on("close", () => sockets.delete(socket))
  })
  const folder = at === "tcp" ? undefined : yield* Effect.acquireRelease(
    Effect.sync(() => fs.mkdtempSync(path.join(os.tmpdir(), "docker-fake-"))),
    (created) => Effect.sync(() => fs.rmSync(created, { recursive: true, force: true }))
  )
  const socketPath = folder === undefined ? "" : path.join(folder, "engine.sock")
  let port = 0
  const open = Effect.callback<void>((resume) => {
    const listening = () => {
      if (at === "tcp") port = (server.address() as AddressInfo).port
      resume(Effect.void)
    }
    if (at === "tcp") server.listen(port, "127.0.0.1", listening)
    else server.listen(socketPath, listening)
  })
  const cut = (line: RegExp) => {
    for (const [socket, first] of sockets) if (line.test(first)) socket.destroy()
  }
  const close = Effect.callback<void>((resume) => {
    server.close(() => resume(Effect.void))
    cut(/(?:)/)
  })
  yield* Effect.acquireRelease(open, () => Effect.suspend(() => server.listening ? close : Effect.void))
  return { host: at === "tcp" ? `tcp://127.0.0.1:${port}` : `unix://${socketPath}`, cut, close, open }
})
