/**
 * An HTTP server that answers by a test's script, on a unix socket in a folder of its own or on a port of this host.
 *
 * It records its requests. A script can also stop in the middle of a response, close the connection, or send nothing.
 * A malformed request, or one that the script has no reply for, fails the test when its scope closes. The server knows
 * only HTTP; `pretend.ts` answers as an engine.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as fs from "node:fs"
import * as http from "node:http"
import * as https from "node:https"
import type { AddressInfo, Socket } from "node:net"
import * as os from "node:os"
import * as path from "node:path"

export interface Heard {
  readonly method: string
  /** `1.41` of `/v1.41/networks`; undefined where the path has none. */
  readonly version: string | undefined
  /** Below the version. */
  readonly path: string
  readonly query: Readonly<Record<string, string>>
  /** The JSON that was sent; undefined where nothing was. */
  readonly body: unknown
  /** The header `X-Registry-Auth`, decoded, where there was one. */
  readonly registryAuth?: unknown
}

/** Handles a request. A reply that never ends its response leaves the request open. */
export type Reply = (response: http.ServerResponse) => void

/** Returns the reply to a request; undefined if the test expects no such request. */
export type Script = (heard: Heard) => Reply | undefined

export interface Conversation {
  /** As a DOCKER_HOST. */
  readonly host: string
  readonly heard: ReadonlyArray<Heard>
  /** The requests so far, as `METHOD /path`. */
  readonly told: () => ReadonlyArray<string>
  /** Requests that the other side closed before they were answered to their end. */
  readonly abandoned: ReadonlyArray<Heard>
  /** How many connections are open. */
  readonly connections: () => number
}

// -----------------------------------------------------------------------------
// Replies
// -----------------------------------------------------------------------------

export const text = (status: number, body: string, headers: http.OutgoingHttpHeaders = {}): Reply => (response) =>
  void response.writeHead(status, headers).end(body)

export const json = (body: unknown, status = 200): Reply =>
  text(status, JSON.stringify(body), { "Content-Type": "application/json" })

/** An error in the engine's form. */
export const refusal = (status: number, message: string): Reply => json({ message }, status)

export const empty = (status: number): Reply => (response) => void response.writeHead(status).end()

/** Nothing comes, and the connection stays. */
export const silence: Reply = () => {}

/** Responses that this side cut. */
const cutHere = new WeakSet<http.ServerResponse>()

/** The connection is closed without an answer, or without more of it. */
export const hangUp: Reply = (response) => {
  cutHere.add(response)
  response.socket?.destroy()
}

/** Headers and a part of a body. Without a length the body is chunked. */
const begun = (body: string, length: number | undefined) => (response: http.ServerResponse) => {
  response.writeHead(200, {
    "Content-Type": "application/json",
    ...(length === undefined ? {} : { "Content-Length": length })
  })
  response.flushHeaders()
  if (body !== "") response.write(body)
}

/** The connection is closed in the middle of the body. */
export const cutAfter = (body: string, length?: number): Reply => (response) => {
  begun(body, length)(response)
  // The bytes are to arrive before the end of the connection does.
  setTimeout(hangUp, 10, response)
}

/** Nothing comes after a part of the body, and the connection stays. */
export const stallAfter = (body: string, length?: number): Reply => begun(body, length)

/** A body in pieces, one after the other, each in a packet of its own. */
export const pieces = (parts: ReadonlyArray<string | Uint8Array>): Reply => (response) => {
  response.writeHead(200, { "Content-Type": "application/json" })
  response.flushHeaders()
  const next = ([first, ...rest]: ReadonlyArray<string | Uint8Array>): void => {
    if (first === undefined) return void response.end()
    response.write(first, () => setImmediate(next, rest))
  }
  next(parts)
}

/** An answer that goes on for as long as the test says, such as `GET /events`. */
export class Feed {
  readonly responses: Array<http.ServerResponse> = []

  readonly reply: Reply = (response) => {
    begun("", undefined)(response)
    this.responses.push(response)
  }

  /** How many have been opened so far. */
  get opened(): number {
    return this.responses.length
  }

  write(line: string): void {
    this.responses.at(-1)?.write(line)
  }

  end(): void {
    this.responses.at(-1)?.end()
  }

  cut(): void {
    const last = this.responses.at(-1)
    if (last !== undefined) hangUp(last)
  }
}

// -----------------------------------------------------------------------------
// The server
// -----------------------------------------------------------------------------

/** Creates a folder and removes it when the scope closes. */
export const temporaryFolder: Effect.Effect<string, never, Scope.Scope> = Effect.acquireRelease(
  Effect.sync(() => fs.mkdtempSync(path.join(os.tmpdir(), "kl-"))),
  (folder) => Effect.sync(() => fs.rmSync(folder, { recursive: true, force: true }))
)

const readHeard = (request: http.IncomingMessage, body: string): Heard => {
  const url = new URL(request.url ?? "/", "http://engine")
  const auth = request.headers["x-registry-auth"]
  const [, version, below] = /^\/v(\d+\.\d+)(\/.*)$/.exec(url.pathname) ?? []
  const entries = [...url.searchParams]
  if (new Set(entries.map(([key]) => key)).size < entries.length) throw new Error("a query key stands there twice")
  if (body !== "" && request.headers["content-type"] !== "application/json") {
    throw new Error(`a body of the type ${request.headers["content-type"]}`)
  }
  return {
    method: request.method ?? "",
    version,
    path: below ?? url.pathname,
    query: Object.fromEntries(entries),
    body: body === "" ? undefined : JSON.parse(body),
    ...(typeof auth === "string" ? { registryAuth: JSON.parse(Buffer.from(auth, "base64url").toString()) } : {})
  }
}

export interface Settings {
  /** The socket's path; one in a new folder where it is left out. */
  readonly socket?: string
  /** Listens on a free port of this address instead. */
  readonly address?: string
  /** Speaks TLS on that port. */
  readonly tls?: https.ServerOptions
}

/** Listens until the scope closes; then the test fails if something came that was not expected. */
export const converse = Effect.fnUntraced(function*(
  script: Script,
  settings: Settings = {}
): Effect.fn.Return<Conversation, never, Scope.Scope> {
  const heard: Array<Heard> = []
  const abandoned: Array<Heard> = []
  const surprises: Array<string> = []
  const sockets = new Set<Socket>()

  const listener: http.RequestListener = (request, response) => {
    let body = ""
    request.setEncoding("utf8").on("data", (chunk: string) => (body += chunk))
    request.on("end", () => {
      try {
        const said = readHeard(request, body)
        heard.push(said)
        response.on("close", () => {
          if (!response.writableFinished && !cutHere.has(response)) abandoned.push(said)
        })
        const reply = script(said)
        if (reply === undefined) throw new Error("no such request was expected")
        reply(response)
      } catch (error) {
        surprises.push(`${request.method} ${request.url} ${body}: ${error instanceof Error ? error.message : error}`)
        response.writeHead(599).end()
      }
    })
  }
  const server = settings.tls === undefined ? http.createServer(listener) : https.createServer(settings.tls, listener)
  server.on(settings.tls === undefined ? "connection" : "secureConnection", (socket: Socket) => {
    sockets.add(socket)
    socket.on("close", () => sockets.delete(socket))
  })

  const socket = settings.socket ?? path.join(yield* temporaryFolder, "engine.sock")
  yield* Effect.acquireRelease(
    Effect.callback<void>((resume) => {
      const listening = () => resume(Effect.void)
      if (settings.address === undefined) server.listen(socket, listening)
      else server.listen(0, settings.address, listening)
    }),
    () =>
      Effect.callback<void>((resume) => {
        server.closeAllConnections()
        server.close(() => resume(Effect.void))
      })
  )
  yield* Effect.addFinalizer(() =>
    surprises.length === 0 ? Effect.void : Effect.die(new Error(`not expected:\n${surprises.join("\n")}`))
  )
  const { address = "" } = settings
  return {
    host: address === ""
      ? `unix://${socket}`
      : `tcp://${address.includes(":") ? `[${address}]` : address}:${(server.address() as AddressInfo).port}`,
    heard,
    told: () => heard.map(({ method, path }) => `${method} ${path}`),
    abandoned,
    connections: () => sockets.size
  }
})

/** Waits until something holds on the other side of a socket. A bound that is never reached where the code is right. */
export const until = (what: string, holds: () => boolean): Effect.Effect<void> =>
  Effect.gen(function*() {
    for (let waited = 0; !holds(); waited++) {
      if (waited > 600) return yield* Effect.die(new Error(`it never came to be that ${what}`))
      yield* Effect.sleep(5)
    }
  })
