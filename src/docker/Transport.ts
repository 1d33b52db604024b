/**
 * Bytes to and from a Docker engine: requests, whole answers, lines, and the connection they go over.
 *
 * dockerode's modem carries the requests; it is loaded when the first connection is made, and it sees no environment.
 * Every answer is read here as a stream, because dockerode never settles where an engine dies in the middle of a body.
 * Interruption aborts a request at once; what the engine has begun by then, it completes. Statuses are judged in
 * `Client.ts`; where the engine is, `Connection.ts` says.
 */
import type Dockerode from "dockerode"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { IncomingMessage } from "node:http"
import { countCall, failWith } from "../internal/Method.ts"
import { ProviderUnavailable } from "../ProviderError.ts"
import { type BackendError, InvalidResponse, RequestTimeout, Transport as TransportCut } from "../Reason.ts"
import { type ConnectionOptions, type Endpoint, type Environment, resolve } from "./Connection.ts"
import { connectionFailure, messageIn, oneLine, parseJson } from "./Errors.ts"
import * as Wire from "./Wire.ts"

export type CallFailure = ProviderUnavailable | BackendError

/** The newest API whose shapes we know, and the oldest that we can work with (cgroup namespaces). */
const newestApi = [1, 47] as const
const oldestApi = [1, 41] as const

// -----------------------------------------------------------------------------
// Transport
// -----------------------------------------------------------------------------

export interface Request {
  readonly method: "GET" | "POST" | "DELETE" | "HEAD" | "PUT"
  /** Path below the API version, its parts already encoded. */
  readonly path: string
  readonly query?: Readonly<Record<string, string>>
  readonly body?: unknown
}

/** The part of dockerode that carries a request: its modem. */
interface Modem {
  version?: string
  dial(
    options: Record<string, unknown>,
    callback: (error: unknown, response: IncomingMessage | null) => void
  ): void
  buildRequest(options: object, ...rest: ReadonlyArray<unknown>): void
}

/** docker-modem would follow a redirect to wherever it leads, where a failure ends the process. */
const withoutRedirects = (modem: Modem): void => {
  const build = modem.buildRequest
  modem.buildRequest = function(this: Modem, options, ...rest) {
    build.call(this, { ...options, maxRedirects: 0 }, ...rest)
  }
}

/** An engine that answered, and the API version that was agreed on with it. */
interface Connected {
  readonly address: string
  readonly dockerode: Dockerode
  readonly modem: Modem
}

const dockerVariables = [
  "DOCKER_HOST",
  "DOCKER_TLS_VERIFY",
  "DOCKER_CERT_PATH",
  "DOCKER_PATH_PREFIX",
  "DOCKER_CLIENT_TIMEOUT"
]

/** Runs `f`, which must not wait, with no variable that dockerode would merge under the options it is given. */
const withoutDockerVariables = <A>(f: () => A): A => {
  const saved = dockerVariables.map((name) => [name, process.env[name]] as const)
  for (const name of dockerVariables) delete process.env[name]
  try {
    return f()
  } finally {
    for (const [name, value] of saved) if (value !== undefined) process.env[name] = value
  }
}

const openDockerode = (endpoint: Endpoint): Effect.Effect<Dockerode, ProviderUnavailable> =>
  Effect.tryPromise({
    try: async () => {
      const [{ default: Dockerode }, http, https] = await Promise.all([
        import("dockerode"),
        import("node:http"),
        import("node:https")
      ])
      // A socket that is kept and then closed by the engine would fail the next call, which may not be repeatable.
      const agent = endpoint.options.protocol === "https"
        ? new https.Agent({ keepAlive: false, rejectUnauthorized: !endpoint.skipVerify })
        : new http.Agent({ keepAlive: false })
      const settings = { ...endpoint.options, agent }
      const dockerode = withoutDockerVariables(() => new Dockerode(settings))
      withoutRedirects(dockerode.modem as unknown as Modem)
      return dockerode
    },
    catch: (error) =>
      new ProviderUnavailable({
        provider: "docker",
        address: endpoint.address,
        detail: `dockerode could not be set up: ${oneLine(String(error))}`,
        advice: "Check the TLS material and the address of the engine."
      })
  })

/** The error of a connection that was not made, or was cut, or led elsewhere. */
export const failure = (address: string, error: unknown): Effect.Effect<never, CallFailure> => {
  if (error instanceof Error && error.message.startsWith("Max redirects exceeded")) {
    return failWith(new InvalidResponse({ detail: "it answered with a redirect, which no engine does" }))
  }
  const meaning = connectionFailure(error)
  return meaning._tag === "Cut"
    ? failWith(meaning.reason)
    : Effect.fail(
      new ProviderUnavailable({ provider: "docker", address, detail: meaning.detail, advice: meaning.advice })
    )
}

/** Sends a request and gives the response at its headers. Interruption aborts it. */
const open = (connected: Connected, request: Request): Effect.Effect<IncomingMessage, CallFailure> =>
  Effect.andThen(
    countCall,
    Effect.callback<IncomingMessage, CallFailure>((resume) => {
      const controller = new AbortController()
      connected.modem.dial({
        path: `${request.path}?`,
        method: request.method,
        isStream: true,
        abortSignal: controller.signal,
        // Every status is an answer here; `Errors.ts` tells them apart.
        statusCodes: new Proxy({}, { get: () => true }),
        options: { _query: request.query ?? {}, _body: request.body ?? {} },
        ...(request.body === undefined ? {} : { allowEmpty: true })
      }, (error, response) => {
        if (response === null || error !== null && error !== undefined) {
          resume(failure(connected.address, error))
          // What was not read would keep the connection open.
          controller.abort()
        } else {
          // Without a listener an abort after the headers would end the process.
          response.on("error", () => {})
          resume(Effect.succeed(response))
        }
      })
      return Effect.sync(() => controller.abort())
    })
  )

const readBody = (address: string, response: IncomingMessage): Effect.Effect<string, CallFailure> =>
  Effect.callback<string, CallFailure>((resume) => {
    const chunks: Array<Buffer> = []
    let ended = false
    const cut = (error: unknown) => {
      if (!ended) resume(failure(address, error))
    }
    response.on("data", (chunk: Buffer) => chunks.push(chunk))
    response.on("end", () => {
      ended = true
      resume(Effect.succeed(Buffer.concat(chunks).toString("utf8")))
    })
    response.on("error", cut)
    response.on(
      "close",
      () => cut(Object.assign(new Error("the answer was cut in the middle"), { code: "ECONNRESET" }))
    )
    return Effect.sync(() => {
      response.destroy()
    })
  })

export interface Answer {
  readonly status: number
  readonly text: string
  readonly retryAfterMillis?: number
}

/** How long the answer asks to wait, where it does: seconds, or a date. Engines do not, but proxies before them do. */
const retryAfter = (response: IncomingMessage, now: number): { readonly retryAfterMillis?: number } => {
  const header = response.headers["retry-after"] ?? ""
  const millis = /^\d+$/.test(header) ? Number(header) * 1000 : Date.parse(header) - now
  return Number.isFinite(millis) ? { retryAfterMillis: Math.max(0, Math.round(millis)) } : {}
}

/** Sends a request and reads its whole answer. */
const exchange = (connected: Connected, request: Request): Effect.Effect<Answer, CallFailure> =>
  Effect.flatMap(
    open(connected, request),
    (response) =>
      Effect.zipWith(
        readBody(connected.address, response),
        Clock.currentTimeMillis,
        (text, now) => ({ status: response.statusCode ?? 0, text, ...retryAfter(response, now) })
      )
  )

/** Fails with `RequestTimeout` past a deadline; the request is aborted. */
export const deadline = (duration: Duration.Duration, what: string) => <A, E, R>(self: Effect.Effect<A, E, R>) =>
  Effect.timeoutOrElse(self, {
    duration,
    orElse: () =>
      failWith(
        new RequestTimeout({
          detail: `${what} was not answered within ${Duration.format(duration)}`,
          durationMillis: Math.round(Duration.toMillis(duration))
        })
      )
  })

/** An answer that comes bit by bit. */
export interface Opened {
  readonly status: number
  /** All of it, for an answer that is an error. */
  readonly text: Effect.Effect<string, CallFailure>
  /** Ends where the engine ends it, and fails where it is cut. A consumer that is slow slows the engine down. */
  readonly bytes: Stream.Stream<Uint8Array, CallFailure>
}

/** How many pieces are kept for a slow consumer before the engine has to wait, and when it may go on. */
const fullPieces = 256
const lowPieces = 32

const bytesOf = (request: Request, response: IncomingMessage): Stream.Stream<Uint8Array, CallFailure> => {
  const cutMark = new Uint8Array(0)
  let waiting: () => void = () => {}
  return Stream.callback<Uint8Array, CallFailure>((queue) =>
    Effect.sync(() => {
      let ended = false
      const end = (mark?: Uint8Array) => {
        if (ended) return
        ended = true
        if (mark !== undefined) Queue.offerUnsafe(queue, mark)
        Queue.endUnsafe(queue)
      }
      waiting = () => {
        if (response.isPaused() && Queue.sizeUnsafe(queue) < lowPieces) response.resume()
      }
      response.on("data", (chunk: Buffer) => {
        Queue.offerUnsafe(queue, chunk)
        if (Queue.sizeUnsafe(queue) > fullPieces) response.pause()
      })
      response.on("end", () => end())
      response.on("error", () => end(cutMark))
      response.on("close", () => end(cutMark))
      if (response.destroyed) end(cutMark)
    }), { bufferSize: Number.POSITIVE_INFINITY }).pipe(
      Stream.mapEffect((piece) => {
        if (piece === cutMark) {
          return failWith(new TransportCut({ detail: `${request.method} ${request.path} was cut in the middle` }))
        }
        waiting()
        return Effect.succeed(piece)
      })
    )
}

/** Opens an answer that comes bit by bit; it is closed with the scope. */
const openStream = (
  connected: Connected,
  request: Request
): Effect.Effect<Opened, CallFailure, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      open(connected, request),
      (response) => Effect.sync(() => response.destroy()),
      { interruptible: true }
    ),
    (response) => ({
      status: response.statusCode ?? 0,
      text: readBody(connected.address, response),
      bytes: bytesOf(request, response)
    })
  )

// -----------------------------------------------------------------------------
// Connecting
// -----------------------------------------------------------------------------

const version = (text: string | undefined): readonly [number, number] | undefined => {
  const found = /^(\d+)\.(\d+)$/.exec(text ?? "")
  return found === null ? undefined : [Number(found[1]), Number(found[2])]
}

const less = (a: readonly [number, number], b: readonly [number, number]): boolean =>
  a[0] === b[0] ? a[1] < b[1] : a[0] < b[0]

/** Asks an endpoint for its API versions, and fixes the one to speak. */
const negotiate = Effect.fnUntraced(function*(
  endpoint: Endpoint,
  timeout: Duration.Duration
): Effect.fn.Return<Connected, ProviderUnavailable> {
  const dockerode = yield* openDockerode(endpoint)
  const modem = dockerode.modem as unknown as Modem
  const refuse = (detail: string, advice: string) =>
    new ProviderUnavailable({ provider: "docker", address: endpoint.address, detail, advice })
  const connected: Connected = { address: endpoint.address, dockerode, modem }
  const answer = yield* exchange(connected, { method: "GET", path: "/version" }).pipe(
    deadline(timeout, "GET /version"),
    Effect.catchTag(
      "BackendError",
      (error) =>
        Effect.fail(
          refuse(error.reason.detail, "Look at the engine's log; something listens there but does not answer.")
        )
    )
  )
  const notDocker = refuse(
    `what listens there is not a Docker engine (status ${answer.status}: ${
      oneLine(messageIn(answer.text)).slice(0, 80)
    })`,
    "Name the engine's address by DOCKER_HOST or the layer's `host` option."
  )
  const body = Option.flatMap(parseJson(answer.text), Schema.decodeUnknownOption(Wire.Version))
  if (answer.status !== 200 || Option.isNone(body)) return yield* notDocker
  const newest = version(body.value.ApiVersion)
  if (newest === undefined) return yield* notDocker
  if (less(newest, oldestApi)) {
    return yield* refuse(
      `its API ${body.value.ApiVersion} is older than ${oldestApi.join(".")}`,
      "Update the Docker engine to 20.10 or newer."
    )
  }
  const floor = version(body.value.MinAPIVersion ?? undefined) ?? oldestApi
  const ours = less(newest, newestApi) ? newest : newestApi
  modem.version = `v${(less(ours, floor) ? floor : ours).join(".")}`
  return connected
})

/** A connection to one engine, over which requests are sent. */
export interface Connection {
  readonly address: string
  /** Sends a request and reads its whole answer. */
  readonly exchange: (request: Request) => Effect.Effect<Answer, CallFailure>
  /** Opens an answer that comes bit by bit; it is closed with the scope. */
  readonly openStream: (request: Request) => Effect.Effect<Opened, CallFailure, Scope.Scope>
  /** dockerode on the same engine. */
  readonly dockerode: Effect.Effect<Dockerode, ProviderUnavailable>
}

const connectionOf = (connected: Connected): Connection => ({
  address: connected.address,
  exchange: (request) => exchange(connected, request),
  openStream: (request) => openStream(connected, request),
  dockerode: Effect.succeed(connected.dockerode)
})

/** Tries the endpoints in order. The error lists every one, with the reason of each. */
const connect = Effect.fnUntraced(function*(
  options: ConnectionOptions,
  env: Environment,
  timeout: Duration.Duration
): Effect.fn.Return<Connection, ProviderUnavailable> {
  const { endpoints, passedOver } = yield* resolve(options, env)
  const failures: Array<ProviderUnavailable> = []
  for (const endpoint of endpoints) {
    const result = yield* Effect.result(negotiate(endpoint, timeout))
    if (result._tag === "Success") return connectionOf(result.success)
    failures.push(result.failure)
  }
  // The most telling failure is that of a socket that exists.
  const telling = failures.find((error) => error.detail !== "there is no such socket") ?? failures[0]
  const candidates = [
    ...passedOver,
    ...failures.map((error) => ({ address: error.address ?? "", why: error.detail }))
  ]
  return yield* new ProviderUnavailable({
    provider: "docker",
    ...(failures.length === 1 && failures[0]?.address !== undefined ? { address: failures[0].address } : {}),
    detail: failures.length === 1 ? telling?.detail ?? "" : "no engine answers",
    candidates,
    advice: telling?.advice ?? "Start the Docker engine."
  })
})

/** Finds an engine and connects to it. */
export interface TransportService {
  readonly connect: (
    options: ConnectionOptions,
    env: Environment,
    timeout: Duration.Duration
  ) => Effect.Effect<Connection, ProviderUnavailable>
}

/** HTTP over sockets by default. A fake engine in the same process provides one without a socket. */
export const Transport = Context.Reference<TransportService>("kubelayer/docker/Transport", {
  defaultValue: () => ({ connect })
})
