/**
 * The Docker Engine API as kubelayer uses it: one function a call, each with its deadline, its schema and its errors.
 *
 * Only calls that are safe to repeat are retried; a create never is. An answer 304 is not an error but says that nothing
 * had to be done. How bytes travel is in `Transport.ts`, what a refusal means in `Errors.ts`.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import * as Stream from "effect/Stream"
import { load } from "../internal/Loading.ts"
import { countCall, failWith } from "../internal/Method.ts"
import { retrying } from "../internal/Retry.ts"
import type { Policy } from "../Policy.ts"
import { ProviderUnavailable } from "../ProviderError.ts"
import { type BackendError, InvalidResponse, type Reason, Transport as TransportCut } from "../Reason.ts"
import type { ConnectionOptions, Environment } from "./Connection.ts"
import {
  isConnectedAlready,
  isPage,
  needsOtherState,
  oneLine,
  pageSentence,
  parseJson,
  pullReasonOf,
  reasonOf,
  type Refusal
} from "./Errors.ts"
import type { RegistryOptions } from "./Registry.ts"
import type { Scheme } from "./Scheme.ts"
import {
  type Answer,
  type CallFailure,
  type Connection,
  deadline,
  type EngineKind,
  failure as connectionError,
  type Request,
  Transport
} from "./Transport.ts"
import * as Wire from "./Wire.ts"

/** `Already`: the engine answered 304, nothing had to be done. */
export type Effected = "Effected" | "Already"

export interface CreateBody {
  readonly Image: string
  readonly HostConfig?: unknown
  readonly [field: string]: unknown
}

/** One function for each call that kubelayer sends. */
export interface Client {
  /** The engine's address once it has answered. */
  readonly address: Effect.Effect<string | undefined>
  /** The kind of engine, once it has answered. */
  readonly engine: Effect.Effect<EngineKind | undefined>
  readonly ping: Effect.Effect<void, ProviderUnavailable>
  /**
   * `GET /containers/json?all=true`; `labels` are ANDed, each `key` or `key=value`. An entry of another form fails the
   * list where it matters to the caller, and is left out with one warning otherwise.
   */
  readonly listContainers: (
    filters?: Readonly<Record<string, ReadonlyArray<string>>>,
    matters?: (facts: { readonly name: string; readonly labels: Readonly<Record<string, string>> }) => boolean
  ) => Effect.Effect<ReadonlyArray<Wire.ContainerSummary>, CallFailure>
  readonly inspectContainer: (id: string) => Effect.Effect<Wire.ContainerInspect, CallFailure>
  readonly createContainer: (name: string, body: CreateBody) => Effect.Effect<string, CallFailure>
  readonly startContainer: (id: string) => Effect.Effect<Effected, CallFailure>
  readonly restartContainer: (id: string, graceSeconds: number) => Effect.Effect<Effected, CallFailure>
  readonly unpauseContainer: (id: string) => Effect.Effect<void, CallFailure>
  /**
   * `graceSeconds` is how long the engine waits between SIGTERM and SIGKILL. It is always sent: Podman 4 takes a missing
   * one as 0.
   */
  readonly stopContainer: (id: string, graceSeconds: number) => Effect.Effect<Effected, CallFailure>
  /** By force, with its anonymous volumes. */
  readonly removeContainer: (id: string) => Effect.Effect<void, CallFailure>
  readonly listNetworks: Effect.Effect<ReadonlyArray<Wire.Network>, CallFailure>
  readonly createNetwork: (body: Readonly<Record<string, unknown>>) => Effect.Effect<string, CallFailure>
  readonly removeNetwork: (id: string) => Effect.Effect<void, CallFailure>
  /** `address` is the fixed IPv4 address of the container in the network. */
  readonly connectNetwork: (id: string, container: string, address?: string) => Effect.Effect<void, CallFailure>
  readonly disconnectNetwork: (id: string, container: string) => Effect.Effect<void, CallFailure>
  readonly listVolumes: Effect.Effect<ReadonlyArray<Wire.Volume>, CallFailure>
  readonly createVolume: (body: Readonly<Record<string, unknown>>) => Effect.Effect<Wire.Volume, CallFailure>
  readonly removeVolume: (name: string) => Effect.Effect<void, CallFailure>
  readonly imageExists: (image: string) => Effect.Effect<boolean, CallFailure>
  /** Pulls an image. Each element is one line of progress. */
  readonly pullImage: (image: string) => Stream.Stream<Wire.PullLine, CallFailure>
  /** `GET /containers/{id}/logs` with timestamps, in the engine's framing; see `Frames.ts`. `since` is inclusive. */
  readonly logs: (
    id: string,
    settings: { readonly follow: boolean; readonly tail?: number; readonly since?: string }
  ) => Stream.Stream<Uint8Array, CallFailure>
  readonly createExec: (id: string, body: Readonly<Record<string, unknown>>) => Effect.Effect<string, CallFailure>
  readonly startExec: (exec: string) => Stream.Stream<Uint8Array, CallFailure>
  readonly inspectExec: (exec: string) => Effect.Effect<{ readonly ExitCode?: number | null }, CallFailure>
  /** dockerode itself, for what has no function here. The signal aborts when the fiber is interrupted. */
  readonly use: <A>(f: (dockerode: unknown, signal: AbortSignal) => Promise<A>) => Effect.Effect<A, CallFailure>
  /**
   * `GET /events`. `"Opened"` comes with the headers, which Podman 5.2 sends with the first event only: all that happens
   * after it is in the stream. `"Undecodable"` is an event of another form: something changed. The stream does not end on
   * its own. It fails with `Transport` where the engine or a proxy closes it, or where nothing has come for
   * `Policy.idleTimeout`.
   */
  readonly events: (
    filters: Readonly<Record<string, ReadonlyArray<string>>>
  ) => Stream.Stream<Wire.Event | "Opened" | "Undecodable", CallFailure>
}

/** The calls that only read. */
type ReadingClient = Pick<
  Client,
  | "address"
  | "engine"
  | "ping"
  | "listContainers"
  | "inspectContainer"
  | "listNetworks"
  | "listVolumes"
  | "imageExists"
  | "events"
>

/** The calls of an engine for lists, plans and watches. */
export interface Reading {
  readonly client: ReadingClient
  /** The schemes in force. */
  readonly schemes: ReadonlyArray<Scheme>
}

/** The calls of an engine for operations. */
export interface Writing extends Reading {
  readonly client: Client
}

const decodeWith = <S extends Schema.ConstraintDecoder<unknown>>(schema: S) => {
  const decode = Schema.decodeUnknownEffect(schema)
  return (what: string, text: string): Effect.Effect<S["Type"], BackendError> =>
    Option.match(parseJson(text), {
      onNone: () =>
        failWith(
          new InvalidResponse({
            detail: isPage(text)
              ? `${what}: ${pageSentence(text)}`
              : `${what} gave no JSON: ${oneLine(text).slice(0, 120) || "(nothing)"}`
          })
        ),
      onSome: (json) =>
        Effect.catch(
          decode(json),
          (error) => failWith(new InvalidResponse({ detail: `${what}: ${oneLine(error.message)}` }))
        )
    })
}

/** Go gives an empty list as null where nothing was ever put into it. */
const orEmpty = <A>(list: ReadonlyArray<A> | null | undefined): ReadonlyArray<A> => list ?? []

const containerList = decodeWith(Wire.ContainerList)
const containerInspect = decodeWith(Wire.ContainerInspect)
const created = decodeWith(Wire.Created)
const networkList = decodeWith(Wire.NetworkList)
const volumeList = decodeWith(Wire.VolumeList)
const volume = decodeWith(Wire.Volume)
const pullLine = decodeWith(Wire.PullLine)
const event = decodeWith(Wire.Event)
const execInspect = decodeWith(Wire.ExecInspect)

const decodeSummary = Schema.decodeUnknownOption(Wire.ContainerSummary)

/** The entries of a list that can be decoded, where the others do not matter. Fails with the error of the list. */
const withoutUndecodable = Effect.fnUntraced(function*(
  warnedOf: Set<string>,
  text: string,
  matters: (facts: { readonly name: string; readonly labels: Readonly<Record<string, string>> }) => boolean,
  error: BackendError
): Effect.fn.Return<ReadonlyArray<Wire.ContainerSummary>, BackendError> {
  const list = Option.getOrUndefined(parseJson(text))
  if (!Array.isArray(list)) return yield* error
  const decoded: Array<Wire.ContainerSummary> = []
  for (const entry of list) {
    const summary = decodeSummary(entry)
    if (Option.isSome(summary)) {
      decoded.push(summary.value)
      continue
    }
    const { Labels, Names } = (typeof entry === "object" && entry !== null ? entry : {}) as Record<string, unknown>
    const labels = Object.fromEntries(
      Object.entries(Labels ?? {}).filter((label): label is [string, string] => typeof label[1] === "string")
    )
    const name = String(Array.isArray(Names) ? Names[0] : "").replace(/^\//, "")
    if (matters({ name, labels })) return yield* error
    if (warnedOf.has(name)) continue
    warnedOf.add(name)
    yield* Effect.logWarning(
      `the engine lists container ${JSON.stringify(name)} in a form that cannot be decoded; it is left out`
    )
  }
  // An engine of which nothing can be decoded is of another kind.
  return decoded.length > 0 ? decoded : yield* error
})

export const make = Effect.fnUntraced(function*(options: {
  readonly connection: ConnectionOptions
  readonly registry: RegistryOptions
  readonly environment: Environment
  readonly policy: Effect.Effect<Policy>
}): Effect.fn.Return<Client> {
  const { connect } = yield* Transport
  const warnedOf = new Set<string>()
  let connected: Connection | undefined
  let failed: { readonly at: number; readonly error: ProviderUnavailable } | undefined
  const gate = yield* Semaphore.make(1)

  const engine: Effect.Effect<Connection, ProviderUnavailable> = Effect.suspend(() => {
    if (connected !== undefined) return Effect.succeed(connected)
    return Effect.flatMap(Clock.currentTimeMillis, (asked) =>
      gate.withPermits(1)(Effect.gen(function*() {
        if (connected !== undefined) return connected
        // A call that waited while another one tried in vain must not wait for the same again.
        if (failed !== undefined && failed.at > asked) return yield* failed.error
        const { requestTimeout } = yield* options.policy
        const result = yield* Effect.result(connect(options.connection, options.environment, requestTimeout))
        if (result._tag === "Failure") {
          failed = { at: yield* Clock.currentTimeMillis, error: result.failure }
          return yield* result.failure
        }
        connected = result.success
        return connected
      })))
  })

  /** An engine that is gone may come back at another address, so the next call searches again. */
  const forgetting = <A, E, R>(self: Effect.Effect<A, E, R>) =>
    Effect.tapError(self, (error) =>
      Effect.sync(() => {
        if (error instanceof ProviderUnavailable) connected = undefined
      }))

  const what = (request: Request) => `${request.method} ${request.path}`

  /** One call: connect, send, wait within the deadline, check the status. Calls that are `repeatable` are retried. */
  const call = (
    request: Request,
    settings: { readonly ok: ReadonlyArray<number>; readonly repeatable: boolean; readonly extra?: Duration.Duration }
  ): Effect.Effect<Answer, CallFailure> =>
    Effect.flatMap(options.policy, (policy) => {
      const limit = Duration.sum(policy.requestTimeout, settings.extra ?? Duration.zero)
      const once = engine.pipe(
        // Connecting has its own deadline, so that the error is about the connection and not about a slow request.
        Effect.flatMap((connection) => deadline(limit, what(request))(connection.exchange(request))),
        Effect.flatMap((answer) =>
          settings.ok.includes(answer.status)
            ? Effect.succeed(answer)
            : failWith(reasonOf({ ...answer, method: request.method }))
        )
      )
      if (!settings.repeatable) return once
      // The state of a container does not change because the same call is sent again.
      return once.pipe(
        Effect.map(Result.succeed<Answer>),
        Effect.catchIf(
          (error): error is BackendError => error._tag === "BackendError" && needsOtherState(error.reason),
          (error) => Effect.succeed(Result.fail(error))
        ),
        retrying(policy),
        Effect.flatMap(Effect.fromResult)
      )
    }).pipe(forgetting)

  const get = (path: string, query?: Readonly<Record<string, string>>) =>
    call({ method: "GET", path, ...(query === undefined ? {} : { query }) }, { ok: [200], repeatable: true })

  const container = (id: string) => `/containers/${encodeURIComponent(id)}`

  const change = (request: Request, extra?: Duration.Duration): Effect.Effect<Effected, CallFailure> =>
    Effect.flatMap(
      call(request, {
        ok: [200, 201, 204, 304],
        repeatable: true,
        ...(extra === undefined ? {} : { extra })
      }),
      ({ status, text }) =>
        // An engine replies with nothing here, or with JSON. The page of a proxy with a success status changed nothing.
        isPage(text)
          ? failWith(new InvalidResponse({ detail: `${what(request)}: ${pageSentence(text)}`, status }))
          : Effect.succeed<Effected>(status === 304 ? "Already" : "Effected")
    )

  /** Opens an answer that may last: the effect ends with its headers, the stream has what comes after. */
  const opening = Effect.fnUntraced(function*(
    request: Request,
    refused: (refusal: Refusal) => Reason = reasonOf,
    headersWithin?: Duration.Duration
  ): Effect.fn.Return<Stream.Stream<Uint8Array, CallFailure>, CallFailure, Scope.Scope> {
    const { requestTimeout } = yield* options.policy
    const connection = yield* engine
    const response = yield* connection.openStream(request).pipe(
      deadline(headersWithin ?? requestTimeout, what(request)),
      forgetting
    )
    if (response.status === 200) return response.bytes
    const text = yield* response.text.pipe(deadline(requestTimeout, what(request)))
    return yield* failWith(refused({ status: response.status, text, method: request.method }))
  })

  /** The lines of such an answer, each within `idleTimeout` of the one before. */
  const openingLines = Effect.fnUntraced(function*(
    request: Request,
    refused?: (refusal: Refusal) => Reason,
    quiet = false
  ): Effect.fn.Return<Stream.Stream<string, CallFailure>, CallFailure, Scope.Scope> {
    const { idleTimeout } = yield* options.policy
    return (yield* opening(request, refused, quiet ? idleTimeout : undefined)).pipe(
      Stream.decodeText(),
      Stream.splitLines,
      Stream.filter((line) => line.trim() !== ""),
      Stream.timeoutOrElse({
        duration: idleTimeout,
        orElse: () =>
          Stream.fromEffect(
            failWith(new TransportCut({ detail: `${what(request)}: nothing came for ${Duration.format(idleTimeout)}` }))
          )
      })
    )
  })

  return {
    address: Effect.sync(() => connected?.address),
    engine: Effect.sync(() => connected?.engine),
    ping: Effect.flatMap(options.policy, (policy) =>
      engine.pipe(
        // Connecting has its own deadline, whose error names the address and the other candidates.
        Effect.tap((connection) =>
          connection.exchange({ method: "GET", path: "/_ping" }).pipe(
            Effect.flatMap((answer) => answer.status === 200 ? Effect.void : failWith(reasonOf(answer))),
            deadline(policy.requestTimeout, "GET /_ping")
          )
        ),
        Effect.catchTag("BackendError", (error) =>
          Effect.fail(
            new ProviderUnavailable({
              provider: "docker",
              ...(connected === undefined ? {} : { address: connected.address }),
              detail: error.reason.detail,
              advice: "Something listens there but does not answer as a Docker engine. Read its log."
            })
          )),
        Effect.asVoid,
        forgetting
      )),
    listContainers: (filters = {}, matters = () => true) =>
      Effect.flatMap(
        get("/containers/json", { all: "true", filters: JSON.stringify(filters) }),
        ({ text }) =>
          Effect.map(containerList("GET /containers/json", text), orEmpty).pipe(
            Effect.catch((error) => withoutUndecodable(warnedOf, text, matters, error))
          )
      ),
    inspectContainer: (id) =>
      Effect.flatMap(get(`${container(id)}/json`), ({ text }) => containerInspect("GET /containers/{id}/json", text)),
    createContainer: (name, body) =>
      Effect.flatMap(
        call({ method: "POST", path: "/containers/create", query: { name }, body }, {
          ok: [200, 201],
          repeatable: false
        }),
        ({ text }) => Effect.map(created("POST /containers/create", text), ({ Id }) => Id)
      ),
    startContainer: (id) => change({ method: "POST", path: `${container(id)}/start` }),
    restartContainer: (id, graceSeconds) =>
      change({
        method: "POST",
        path: `${container(id)}/restart`,
        query: { t: String(graceSeconds) }
      }, Duration.seconds(graceSeconds)),
    unpauseContainer: (id) => Effect.asVoid(change({ method: "POST", path: `${container(id)}/unpause` })),
    stopContainer: (id, graceSeconds) =>
      change({
        method: "POST",
        path: `${container(id)}/stop`,
        query: { t: String(graceSeconds) }
      }, Duration.seconds(graceSeconds)),
    removeContainer: (id) =>
      Effect.asVoid(change({ method: "DELETE", path: container(id), query: { force: "true", v: "true" } })),
    listNetworks: Effect.flatMap(
      get("/networks"),
      ({ text }) => Effect.map(networkList("GET /networks", text), orEmpty)
    ),
    createNetwork: (body) =>
      Effect.flatMap(
        call({ method: "POST", path: "/networks/create", body }, { ok: [200, 201], repeatable: false }),
        ({ text }) => Effect.map(created("POST /networks/create", text), ({ Id }) => Id)
      ),
    removeNetwork: (id) => Effect.asVoid(change({ method: "DELETE", path: `/networks/${encodeURIComponent(id)}` })),
    connectNetwork: (id, containerId, address) =>
      change({
        method: "POST",
        path: `/networks/${encodeURIComponent(id)}/connect`,
        body: {
          Container: containerId,
          ...(address === undefined ? {} : { EndpointConfig: { IPAMConfig: { IPv4Address: address } } })
        }
      }).pipe(
        Effect.asVoid,
        Effect.catchIf(
          (error) => error._tag === "BackendError" && isConnectedAlready(error.reason),
          () => Effect.void
        )
      ),
    disconnectNetwork: (id, containerId) =>
      Effect.asVoid(change({
        method: "POST",
        path: `/networks/${encodeURIComponent(id)}/disconnect`,
        body: { Container: containerId, Force: true }
      })),
    listVolumes: Effect.flatMap(
      get("/volumes"),
      ({ text }) => Effect.map(volumeList("GET /volumes", text), ({ Volumes }) => orEmpty(Volumes))
    ),
    createVolume: (body) =>
      Effect.flatMap(
        call({ method: "POST", path: "/volumes/create", body }, { ok: [200, 201], repeatable: false }),
        ({ text }) => volume("POST /volumes/create", text)
      ),
    removeVolume: (name) => Effect.asVoid(change({ method: "DELETE", path: `/volumes/${encodeURIComponent(name)}` })),
    imageExists: (image) =>
      Effect.map(
        call({ method: "GET", path: `/images/${encodeURIComponent(image)}/json` }, {
          ok: [200, 404],
          repeatable: true
        }),
        ({ status }) => status === 200
      ),
    pullImage: (image) =>
      Stream.unwrap(Effect.flatMap(
        Effect.flatMap(
          load(() => import("./Registry.ts")),
          ({ registryAuth }) => registryAuth(image, options.registry, options.environment)
        ),
        (auth) =>
          openingLines({
            method: "POST",
            path: "/images/create",
            query: reference(image),
            ...(auth === undefined ? {} : { registryAuth: auth })
          }, pullReasonOf)
      )).pipe(
        Stream.mapEffect((line) => pullLine("POST /images/create", line)),
        Stream.mapEffect((line) =>
          typeof line.error === "string" && line.error !== ""
            ? failWith(pullReasonOf({ status: 200, text: line.error }))
            : Effect.succeed(line)
        )
      ),
    events: (filters) =>
      Stream.unwrap(Effect.map(
        openingLines(
          { method: "GET", path: "/events", query: { filters: JSON.stringify(filters) } },
          reasonOf,
          true
        ),
        (lines) =>
          Stream.concat(
            Stream.succeed("Opened" as const),
            Stream.mapEffect(
              lines,
              (line) => Effect.orElseSucceed(event("GET /events", line), () => "Undecodable" as const)
            )
          )
      )).pipe(
        Stream.concat(Stream.fromEffect(failWith(new TransportCut({ detail: "the engine ended the event stream" }))))
      ),
    logs: (id, settings) =>
      Stream.unwrap(opening({
        method: "GET",
        path: `${container(id)}/logs`,
        query: {
          stdout: "true",
          stderr: "true",
          timestamps: "true",
          follow: String(settings.follow),
          tail: settings.tail === undefined ? "all" : String(settings.tail),
          ...(settings.since === undefined ? {} : { since: settings.since })
        }
      })),
    createExec: (id, body) =>
      Effect.flatMap(
        call({ method: "POST", path: `${container(id)}/exec`, body }, { ok: [200, 201], repeatable: false }),
        ({ text }) => Effect.map(created("POST /containers/{id}/exec", text), ({ Id }) => Id)
      ),
    startExec: (exec) =>
      Stream.unwrap(opening({
        method: "POST",
        path: `/exec/${encodeURIComponent(exec)}/start`,
        body: { Detach: false, Tty: false }
      })),
    inspectExec: (exec) =>
      Effect.flatMap(
        get(`/exec/${encodeURIComponent(exec)}/json`),
        ({ text }) => execInspect("GET /exec/{id}/json", text)
      ),
    use: (f) =>
      Effect.gen(function*() {
        const connection = yield* engine
        const dockerode = yield* connection.dockerode
        return yield* Effect.andThen(
          countCall,
          Effect.flatMap(
            Effect.result(Effect.tryPromise({
              try: (signal) => f(dockerode, signal),
              catch: (error) => error
            })),
            (result) =>
              result._tag === "Success" ? Effect.succeed(result.success) : foreignFailure(connection, result.failure)
          )
        )
      }).pipe(forgetting)
  }
})

/** The body of a refusal that dockerode rejected with. It keeps a JSON body parsed and another one as bytes. */
const bodyOf = (error: unknown): string => {
  const body = typeof error === "object" && error !== null && "json" in error ? error.json : undefined
  return body instanceof Uint8Array
    ? new TextDecoder().decode(body)
    : JSON.stringify(body ?? { message: error instanceof Error ? error.message : String(error) })
}

/** The rejection of dockerode itself: an answer with a status, or a failed connection. */
const foreignFailure = (connection: Connection, error: unknown): Effect.Effect<never, CallFailure> => {
  const status = typeof error === "object" && error !== null && "statusCode" in error ? Number(error.statusCode) : 0
  return status > 0
    ? failWith(reasonOf({ status, text: bodyOf(error) }))
    : connectionError(connection.address, error)
}

/** `fromImage` and `tag` of an image reference; a digest stays where it is. A registry's port is not a tag. */
const reference = (image: string): { readonly fromImage: string; readonly tag?: string } => {
  if (image.includes("@")) return { fromImage: image }
  const colon = image.lastIndexOf(":")
  return colon > image.lastIndexOf("/")
    ? { fromImage: image.slice(0, colon), tag: image.slice(colon + 1) }
    : { fromImage: image, tag: "latest" }
}
