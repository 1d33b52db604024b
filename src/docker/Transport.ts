/**
 * Bytes to and from a Docker engine: requests, whole answers, lines, and the connection they go over.
 *
 * dockerode's modem carries the requests. It is loaded with the first connection and reads no environment. Every answer
 * is read here as a stream, because dockerode never settles where an engine dies in the middle of a body. Interruption
 * aborts a request at once; what the engine has begun by then, it completes. `Client.ts` checks statuses;
 * `Connection.ts` finds the engine.
 */
import type Dockerode from "dockerode"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { IncomingMessage } from "node:http"
import { loadPackage } from "../internal/LoadPackage.ts"
import { failWith, sendCall } from "../internal/Method.ts"
import { ProviderUnavailable } from "../ProviderError.ts"
import { type BackendError, InvalidResponse, RequestTimeout, Transport as TransportCut } from "../Reason.ts"
import { type ConnectionOptions, type Endpoint, type Environment, resolve } from "./Connection.ts"
import { connectionFailure, isPage, messageIn, oneLine, pageSentence, parseJson } from "./Errors.ts"
import * as Wire from "./Wire.ts"

export type CallFailure = ProviderUnavailable | BackendError

/** Podman answers the same API, with other defaults and texts. */
export type EngineKind = "docker" | "podman"

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
  /** The header `X-Registry-Auth`: a login for a registry. */
  readonly registryAuth?: Redacted.Redacted<string>
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
  readonly engine: EngineKind
  readonly dockerode: Dockerode
  readonly modem: Modem
}

type DockerodeClass = typeof import("dockerode")

/**
 * dockerode on an endpoint. Its modem would merge the variables of the process under any options, and fail for a
 * DOCKER_HOST that is not a URL. So the modem is built here, with every field, and reads no environment.
 */
const openDockerode = (endpoint: Endpoint): Effect.Effect<Dockerode, ProviderUnavailable> =>
  Effect.tryPromise({
    try: async () => {
      const [{ default: Dockerode }, { default: Modem }, http, https] = await Promise.all([
        loadPackage<{ readonly default: DockerodeClass }>("dockerode"),
        loadPackage<{ readonly default: typeof import("docker-modem") }>("docker-modem"),
        import("node:http"),
        import("node:https")
      ])
      // A socket that is kept and then closed by the engine would fail the next call, which may not be repeatable.
      const agent = endpoint.ssh !== undefined
        ? await (await import("./Ssh.ts")).sshAgent(endpoint.ssh)
        : endpoint.options.protocol === "https"
        ? new https.Agent({ keepAlive: false, rejectUnauthorized: !endpoint.skipVerify })
        : new http.Agent({ keepAlive: false })
      const modem = Object.assign(Object.create(Modem.prototype) as Modem, modemFields(endpoint, agent))
      withoutRedirects(modem)
      return new Dockerode({ modem } as Dockerode.DockerOptions)
    },
    catch: (error) =>
      new ProviderUnavailable({
        provider: "docker",
        address: endpoint.address,
        detail: `dockerode could not be set up: ${oneLine(String(error))}`,
        advice: "Check the TLS material and the address of the engine."
      })
  })

/** Every field that the constructor of docker-modem sets. Exported for the test that compares them. */
export const modemFields = ({ options, prefix }: Endpoint, agent: unknown) => ({
  host: options.host,
  socketPath: options.socketPath,
  port: options.port,
  pathPrefix: undefined,
  username: undefined,
  password: undefined,
  version: prefix,
  key: options.key,
  cert: options.cert,
  ca: options.ca,
  timeout: undefined,
  connectionTimeout: undefined,
  checkServerIdentity: undefined,
  agent,
  headers: {},
  sshOptions: {},
  protocol: options.protocol ?? "http"
})

/** The error of a connection that was not opened, or was cut, or led to something else. */
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
  sendCall({ ...request, server: connected.address })(
    Effect.callback<IncomingMessage, CallFailure>((resume) => {
      const controller = new AbortController()
      connected.modem.dial({
        path: `${request.path}?`,
        method: request.method,
        isStream: true,
        abortSignal: controller.signal,
        // Every status is an answer here; `Errors.ts` distinguishes them.
        statusCodes: new Proxy({}, { get: () => true }),
        options: { _query: request.query ?? {}, _body: request.body ?? {} },
        ...(request.body === undefined ? {} : { allowEmpty: true }),
        ...(request.registryAuth === undefined
          ? {}
          : { headers: { "X-Registry-Auth": Redacted.value(request.registryAuth) } })
      }, (error, response) => {
        if (response === null || error !== null && error !== undefined) {
          resume(failure(connected.address, error))
          // A body that is not read would keep the connection open.
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
  /** Their names are in lower case. */
  readonly headers?: Readonly<Record<string, string | ReadonlyArray<string> | undefined>>
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
        (text, now) => ({
          status: response.statusCode ?? 0,
          text,
          headers: response.headers,
          ...retryAfter(response, now)
        })
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

/** The headers of `/_ping`: the newest API version, and the engine. */
const pinged = ({ headers = {}, status }: Answer) => {
  const header = (name: string): string => String(headers[name] ?? "")
  const newest = status === 200 ? version(header("api-version")) : undefined
  const podman = header("libpod-api-version") !== "" || /libpod|podman/i.test(header("server"))
  return newest === undefined ? undefined : { newest, engine: podman ? "podman" as const : "docker" as const }
}

/**
 * Reads the API versions of an engine, and fixes the one to speak. `/version` of Podman takes 0.5 to 2 s. It is only
 * requested if the headers of `/_ping` are missing, or if the oldest version of the API may be newer than ours.
 */
const negotiate = Effect.fnUntraced(function*(
  endpoint: Endpoint,
  timeout: Duration.Duration
): Effect.fn.Return<Connected, ProviderUnavailable> {
  const dockerode = yield* openDockerode(endpoint)
  const modem = dockerode.modem as unknown as Modem
  const refuse = (detail: string, advice: string) =>
    new ProviderUnavailable({ provider: "docker", address: endpoint.address, detail, advice })
  const connectedTo = (engine: EngineKind): Connected => ({ address: endpoint.address, engine, dockerode, modem })
  const get = (path: string) =>
    exchange(connectedTo("docker"), { method: "GET", path }).pipe(
      deadline(timeout, `GET ${path}`),
      Effect.catchTag("BackendError", ({ reason }) =>
        Effect.fail(refuse(
          reason.detail,
          reason._tag === "Transport"
            ? cutAdvice(endpoint)
            : "Check the log of the engine: it listens but does not answer."
        )))
    )
  const speak = (engine: EngineKind, version: readonly [number, number]): Connected => {
    modem.version = `${endpoint.prefix === undefined ? "" : `${endpoint.prefix}/`}v${version.join(".")}`
    return connectedTo(engine)
  }
  const tooOld = (newest: readonly [number, number]) =>
    refuse(
      `its API ${newest.join(".")} is older than ${oldestApi.join(".")}`,
      "Update the Docker engine to 20.10 or newer."
    )

  const ping = pinged(yield* get("/_ping"))
  if (ping !== undefined && !less(newestApi, ping.newest)) {
    return less(ping.newest, oldestApi) ? yield* tooOld(ping.newest) : speak(ping.engine, ping.newest)
  }
  const answer = yield* get("/version")
  const body = Option.flatMap(parseJson(answer.text), Schema.decodeUnknownOption(Wire.Version))
  const newest = Option.isNone(body) ? undefined : version(body.value.ApiVersion)
  if (answer.status !== 200 || Option.isNone(body) || newest === undefined) {
    const words = isPage(answer.text) ? pageSentence(answer.text) : oneLine(messageIn(answer.text)).slice(0, 80)
    return yield* refuse(
      `the server at this address is not a Docker engine (status ${answer.status}: ${words})`,
      "Name the engine's address by DOCKER_HOST or the layer's `host` option."
    )
  }
  if (less(newest, oldestApi)) return yield* tooOld(newest)
  const floor = version(body.value.MinAPIVersion ?? undefined) ?? oldestApi
  const ours = less(newest, newestApi) ? newest : newestApi
  const podman = body.value.Components?.some(({ Name }) => /podman/i.test(Name ?? "")) ?? false
  return speak(ping?.engine ?? (podman ? "podman" : "docker"), less(ours, floor) ? floor : ours)
})

/** The advice for an engine that ends a connection before the first byte of an answer. */
const cutAdvice = ({ options: { cert, protocol, socketPath }, ssh }: Endpoint): string =>
  socketPath !== undefined || ssh !== undefined
    ? "Check the log of the engine: it closes connections without an answer."
    : protocol === "https"
    ? `The engine ended the TLS connection. ${
      cert === undefined ? "It may require a client certificate" : "It may not know the client certificate"
    }: check cert.pem and key.pem in DOCKER_CERT_PATH.`
    : "The engine may require TLS. Set DOCKER_TLS_VERIFY=1 and DOCKER_CERT_PATH, or use https://host:port."

/** A connection to one engine, over which requests are sent. */
export interface Connection {
  readonly address: string
  readonly engine: EngineKind
  /** Sends a request and reads its whole answer. */
  readonly exchange: (request: Request) => Effect.Effect<Answer, CallFailure>
  /** Opens an answer that comes bit by bit; it is closed with the scope. */
  readonly openStream: (request: Request) => Effect.Effect<Opened, CallFailure, Scope.Scope>
  /** dockerode on the same engine. */
  readonly dockerode: Effect.Effect<unknown, ProviderUnavailable>
}

const connectionOf = (connected: Connected): Connection => ({
  address: connected.address,
  engine: connected.engine,
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
  // The failure of a socket that exists says most.
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
