/**
 * The fake API behind a port of the loopback interface, and as an HttpClient that needs no port at all.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberSet from "effect/FiberSet"
import type { HttpClient } from "effect/http/HttpClient"
import type * as Scope from "effect/Scope"
import type { IncomingMessage, Server, ServerResponse } from "node:http"
import type { AddressInfo, Socket } from "node:net"
import { load } from "../../internal/Loading.ts"
import type { Answer, Api } from "./Api.ts"

/** @internal */
export interface Listener {
  readonly port: number
  /** Cuts every connection. */
  readonly cut: () => void
  /** Shuts the port and cuts every connection. */
  readonly close: Effect.Effect<void>
  /** Listens again, on the same port. */
  readonly open: Effect.Effect<void>
}

const textOf = (request: IncomingMessage): Promise<string> =>
  new Promise((resolve, reject) => {
    const chunks: Array<Buffer> = []
    request.on("data", (chunk: Buffer) => chunks.push(chunk))
    request.on("end", () => resolve(Buffer.concat(chunks).toString("utf8")))
    request.on("error", reject)
  })

const send = (response: ServerResponse, answer: Answer): void => {
  if (answer._tag === "Cut") {
    response.destroy()
    return
  }
  if (answer._tag === "Hang") return
  response.writeHead(answer.status, { ...answer.headers, "Content-Length": Buffer.byteLength(answer.body) })
  response.end(answer.body)
}

/** The listener without a port: nothing is at the endpoint, and there is nothing to cut. @internal */
export const silent: Listener = { port: 0, cut: () => {}, close: Effect.void, open: Effect.void }

/** Listens on a free port of 127.0.0.1, as long as the scope is open. @internal */
export const listen = Effect.fnUntraced(function*(api: Api): Effect.fn.Return<Listener, never, Scope.Scope> {
  const http = yield* load(() => import("node:http"))
  const run = yield* FiberSet.makeRuntime<never>()
  const sockets = new Set<Socket>()
  const server: Server = http.createServer((request, response) => {
    response.on("error", () => {})
    textOf(request).then((body) => {
      const answer = api.answer({
        method: request.method ?? "",
        target: request.url ?? "",
        authorization: request.headers.authorization,
        contentType: request.headers["content-type"],
        body
      })
      if (answer._tag === "Reply" && answer.delay > 0) {
        run(Effect.andThen(Effect.sleep(answer.delay), Effect.sync(() => send(response, answer))))
      } else send(response, answer)
    }, () => response.destroy())
  })
  server.on("connection", (socket) => {
    sockets.add(socket)
    socket.on("close", () => sockets.delete(socket))
    socket.on("error", () => {})
  })
  const cut = () => {
    for (const socket of sockets) socket.destroy()
  }
  const start = (port: number) =>
    Effect.callback<number>((resume) => {
      server.once("error", (error) => resume(Exit.die(error)))
      server.listen(port, "127.0.0.1", () => resume(Effect.succeed((server.address() as AddressInfo).port)))
    })
  const close = Effect.callback<void>((resume) => {
    server.close(() => resume(Effect.void))
    cut()
  })
  const port = yield* Effect.acquireRelease(start(0), () => close)
  return {
    port,
    cut,
    close,
    open: Effect.asVoid(Effect.suspend(() => server.listening ? Effect.succeed(port) : start(port)))
  }
})

/** A client that has no connection to lose: a reply that is cut fails it, one that hangs never comes. @internal */
export const clientOf = Effect.fnUntraced(function*(
  api: Api,
  isDown: () => boolean
): Effect.fn.Return<HttpClient> {
  const [{ make }, { HttpClientError, TransportError }, { fromWeb }] = yield* load(() =>
    Promise.all([
      import("effect/http/HttpClient"),
      import("effect/http/HttpClientError"),
      import("effect/http/HttpClientResponse")
    ])
  )
  return make((request, url) => {
    const lost = (description: string) =>
      Effect.fail(new HttpClientError({ reason: new TransportError({ request, description }) }))
    return Effect.suspend(() => {
      if (isDown()) return lost("connection refused")
      const { body, headers, method } = request
      const text = body._tag === "Uint8Array" ? new TextDecoder().decode(body.body) : ""
      const contentType = headers["content-type"] ?? (body._tag === "Uint8Array" ? body.contentType : undefined)
      const target = `${url.pathname}${url.search}`
      const answer = api.answer({ method, target, authorization: headers["authorization"], contentType, body: text })
      switch (answer._tag) {
        case "Cut":
          return lost("connection cut")
        case "Hang":
          return Effect.never
        case "Reply": {
          const reply = Effect.sync(() =>
            fromWeb(
              request,
              new Response(answer.status === 204 ? null : answer.body, {
                status: answer.status,
                headers: { ...answer.headers }
              })
            )
          )
          return answer.delay > 0 ? Effect.delay(reply, answer.delay) : reply
        }
      }
    })
  })
})
