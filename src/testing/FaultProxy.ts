/**
 * A proxy before a Docker engine that counts the calls and lets some of them go wrong, by a seed or a script.
 *
 * It listens on its own unix socket and passes everything on byte by byte, except the calls with a fault: whole
 * answers, streams, and the connections of attach and exec. It is for tests of any client of the Docker Engine API, in
 * any language. It is independent of kubelayer, and needs Node and a system with unix sockets.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { ClientRequest, IncomingMessage, ServerResponse } from "node:http"
import type { Duplex } from "node:stream"
import { load } from "../internal/Loading.ts"
import { type CallCount, type CallRecord, countsOf, type Draft, makeLog } from "./faults/CallLog.ts"
import { type Fault, none, type Plan } from "./faults/Plan.ts"

export { type Call, type CallKind, kindOf, templateOf } from "./faults/Call.ts"
export { type CallCount, type CallRecord, line } from "./faults/CallLog.ts"
export {
  cutBody,
  cutStream,
  delay,
  describe,
  dropAnswer,
  type Fault,
  type FaultMaker,
  none,
  page,
  type Plan,
  rateLimited,
  refuse,
  replay,
  type Rule,
  seeded,
  serverFault,
  status
} from "./faults/Plan.ts"
export { between, oneOf, type Random, random } from "./faults/Random.ts"

// -----------------------------------------------------------------------------
// Models
// -----------------------------------------------------------------------------

/**
 * The proxy could not be set up.
 *
 * @category errors
 * @since 0.1.0
 */
export class FaultProxyError extends Data.TaggedError("FaultProxyError")<{ readonly detail: string }> {
  override get message(): string {
    return `the fault proxy could not be set up: ${this.detail}`
  }
}

/**
 * @category models
 * @since 0.1.0
 */
export interface FaultProxy {
  /** The value for DOCKER_HOST, or for the option `host` of `Docker.layer`. */
  readonly host: string
  readonly socketPath: string
  /** All calls so far, in the order in which they came. */
  readonly calls: Effect.Effect<ReadonlyArray<CallRecord>>
  /** The calls that met a fault. `replay` makes a plan of them. */
  readonly faults: Effect.Effect<ReadonlyArray<CallRecord & { readonly fault: Fault }>>
  readonly counts: Effect.Effect<ReadonlyArray<CallCount>>
  /** Replaces the plan for the calls to come. */
  readonly follow: (plan: Plan) => Effect.Effect<void>
  /** No faults for the calls to come. Those that are being delayed or cut go on. */
  readonly lift: Effect.Effect<void>
  /**
   * Completes when the engine has carried out every call that was passed on, also those whose clients have gone. Calls
   * whose answer lasts do not count.
   */
  readonly idle: Effect.Effect<void>
}

/**
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** The engine: `unix:///path/to/docker.sock`, or `tcp://host:port` without TLS. */
  readonly target: string
  /** No faults where none is given. */
  readonly plan?: Plan
}

// -----------------------------------------------------------------------------
// Internals
// -----------------------------------------------------------------------------

type Target = { readonly path: string } | { readonly host: string; readonly port: number }

const targetOf = (address: string): Target | undefined => {
  if (address.startsWith("unix://") && address.length > "unix://".length) {
    return { path: address.slice("unix://".length) }
  }
  const tcp = /^(?:tcp|http):\/\/(\[[^\]]+\]|[^:/]+):(\d+)\/?$/.exec(address)
  return tcp?.[1] === undefined ? undefined : { host: tcp[1].replace(/^\[|\]$/g, ""), port: Number(tcp[2]) }
}

/** The headers of one connection, which mean nothing on the next. */
const ofTheHop = new Set(["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"])

const passedOn = (raw: ReadonlyArray<string>, dropped: ReadonlySet<string> = ofTheHop): Array<string> =>
  raw.filter((_, index) => !dropped.has(raw[index - index % 2]?.toLowerCase() ?? ""))

/** Bytes up to which the body of a request is read whole before it is passed on. */
const smallBody = 1 << 20

/** Resolves when a request has come in whole; undefined where its client left before. */
const bodyOf = (request: IncomingMessage): Promise<Buffer | undefined> =>
  new Promise((resolve) => {
    const chunks: Array<Buffer> = []
    request.on("data", (chunk: Buffer) => chunks.push(chunk))
    request.on("end", () => resolve(Buffer.concat(chunks)))
    request.on("close", () => resolve(undefined))
  })

const writtenHead = (first: string, raw: ReadonlyArray<string>): string => {
  let text = `${first}\r\n`
  for (let index = 0; index < raw.length; index += 2) text += `${raw[index]}: ${raw[index + 1]}\r\n`
  return `${text}\r\n`
}

// -----------------------------------------------------------------------------
// Constructors
// -----------------------------------------------------------------------------

/**
 * Starts a proxy. When the scope closes it stops listening, cuts every connection and removes its socket.
 *
 * **Example** (Every third change fails, five times in all)
 *
 * ```ts
 * import * as Effect from "effect/Effect"
 * import * as Docker from "kubelayer/layers/Docker"
 * import { Provider } from "kubelayer/Provider"
 * import { FaultProxy } from "kubelayer/testing"
 *
 * export const program = Effect.gen(function*() {
 *   const proxy = yield* FaultProxy.make({
 *     target: "unix:///var/run/docker.sock",
 *     plan: FaultProxy.seeded({
 *       seed: 7,
 *       most: 5,
 *       rules: [{ calls: "change", probability: 1 / 3, faults: [FaultProxy.serverFault, FaultProxy.dropAnswer] }]
 *     })
 *   })
 *   yield* Provider.use((provider) => provider.startNodes("dev")).pipe(
 *     Effect.provide(Docker.layer({ host: proxy.host }))
 *   )
 *   return yield* proxy.faults
 * })
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function*(
  options: Options
): Effect.fn.Return<FaultProxy, FaultProxyError, Scope.Scope> {
  const target = targetOf(options.target)
  if (target === undefined) {
    return yield* new FaultProxyError({ detail: `${JSON.stringify(options.target)} is neither unix:// nor tcp://` })
  }
  const [http, net, fs, os, path] = yield* load(() =>
    Promise.all([
      import("node:http"),
      import("node:net"),
      import("node:fs/promises"),
      import("node:os"),
      import("node:path")
    ])
  )

  let plan = options.plan ?? none
  const { begin, idle, records, settle } = makeLog()
  const timers = new Set<NodeJS.Timeout>()
  const connections = new Set<{ destroy(): unknown }>()

  const kept = <A extends Duplex>(socket: A): A => {
    connections.add(socket)
    return socket.on("close", () => connections.delete(socket)).on("error", () => {})
  }

  const after = (millis: number, f: () => void) => {
    const timer = setTimeout(() => {
      timers.delete(timer)
      f()
    }, millis)
    timers.add(timer)
  }

  /** Sends a request to the engine; `onAnswer` gets the answer at its head, and nothing where there is none. */
  const send = (
    request: IncomingMessage,
    onAnswer: (answer: IncomingMessage | undefined) => void
  ): ClientRequest => {
    let answered = false
    const once = (answer: IncomingMessage | undefined) => {
      if (answered) return
      answered = true
      onAnswer(answer)
    }
    const chunked = request.headers["transfer-encoding"] !== undefined
    const sent = http.request({
      ...("path" in target ? { socketPath: target.path } : target),
      method: request.method,
      path: request.url,
      headers: [
        ...passedOn(request.rawHeaders),
        ...(chunked ? ["Transfer-Encoding", "chunked"] : []),
        "Connection",
        "close"
      ],
      agent: false
    })
    sent.on("socket", kept)
    sent.on("response", once)
    sent.on("error", () => once(undefined))
    return sent
  }

  const head = (record: Draft, answer: IncomingMessage, response: ServerResponse) => {
    record.status = answer.statusCode ?? 0
    response.writeHead(record.status, answer.statusMessage ?? "", passedOn(answer.rawHeaders))
  }

  /**
   * Passes an answer on as it comes. If the client has gone, an endless answer is dropped and any other one is read to
   * its end.
   */
  const relay = (record: Draft, answer: IncomingMessage | undefined, response: ServerResponse) => {
    if (answer === undefined) {
      response.destroy()
      return settle(record)
    }
    record.engineStatus = answer.statusCode ?? 0
    answer.on("error", () => {})
    answer.on("close", () => {
      if (!answer.complete) response.destroy()
      settle(record)
    })
    if (response.destroyed) return record.kind === "stream" ? answer.destroy() : answer.resume()
    head(record, answer, response)
    response.flushHeaders()
    answer.pipe(response)
    response.on("close", () => {
      if (answer.complete) return
      answer.unpipe(response)
      if (record.kind === "stream") answer.destroy()
      else answer.resume()
    })
    if (record.fault?._tag === "CutStream") after(record.fault.millis, () => response.destroy())
  }

  /** Lets the engine finish, then passes on as much of its answer as the fault leaves; nothing where it has no body. */
  const curtail = async (
    record: Draft,
    answer: IncomingMessage | undefined,
    response: ServerResponse,
    part: number
  ) => {
    const body = answer === undefined ? undefined : await bodyOf(answer)
    if (answer !== undefined) record.engineStatus = answer.statusCode ?? 0
    if (answer === undefined || body === undefined || body.length === 0 || part < 0 || response.destroyed) {
      response.destroy()
    } else {
      head(record, answer, response)
      response.write(body.subarray(0, Math.floor(body.length * part)), () => response.destroy())
    }
    settle(record)
  }

  const answerInstead = (
    record: Draft,
    fault: Extract<Fault, { readonly _tag: "Answer" }>,
    response: ServerResponse
  ) => {
    record.status = fault.status
    response.writeHead(fault.status, { ...fault.headers, "Content-Length": Buffer.byteLength(fault.body) })
    response.end(record.method === "HEAD" ? undefined : fault.body)
    settle(record)
  }

  const handle = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const record = begin(request.method ?? "GET", request.url ?? "/", false, plan)
    const { fault } = record
    request.on("error", () => {})
    response.on("error", () => {})
    if (fault?._tag === "Refuse") {
      response.destroy()
      return settle(record)
    }
    if (fault === undefined || fault._tag === "CutStream") {
      // An engine may answer and close as soon as it has the head. A body in a write of its own would then fail, and
      // the answer with it, so a small one is sent together with the head.
      const small = request.headers["transfer-encoding"] === undefined &&
        Number(request.headers["content-length"] ?? 0) <= smallBody
      const whole = small ? await bodyOf(request) : undefined
      if (small && (whole === undefined || record.kind === "stream" && response.destroyed)) return settle(record)
      const sent = send(request, (answer) => relay(record, answer, response))
      if (small) sent.end(whole)
      else request.pipe(sent)
      // A client that leaves before its request is whole has asked nothing; afterwards the engine is let finish.
      return void response.on("close", () => {
        if (!request.complete || record.kind === "stream") sent.destroy()
      })
    }
    const body = await bodyOf(request)
    if (body === undefined) return settle(record)
    const forward = (onAnswer: (answer: IncomingMessage | undefined) => void) => send(request, onAnswer).end(body)
    switch (fault._tag) {
      case "Answer":
        return answerInstead(record, fault, response)
      case "Delay":
        return after(fault.millis, () => {
          if (record.kind === "stream" && response.destroyed) return settle(record)
          forward((answer) => relay(record, answer, response))
        })
      case "DropAnswer":
        return void forward((answer) => void curtail(record, answer, response, -1))
      case "CutBody":
        return void forward((answer) => void curtail(record, answer, response, fault.part))
    }
  }

  /** Joins a connection that is to be taken over with one to the engine, bytes as they are. */
  const tunnel = (request: IncomingMessage, client: Duplex, first: Buffer) => {
    const record = begin(request.method ?? "GET", request.url ?? "/", true, plan)
    const { fault } = record
    kept(client)
    const join = () => {
      const engine = kept(net.connect({ ...target, allowHalfOpen: true }))
      engine.once("data", (chunk: Buffer) => {
        const code = Number(/^HTTP\/1\.[01] (\d{3})/.exec(chunk.toString("latin1", 0, 12))?.[1])
        record.engineStatus = code
        record.status = code
      })
      engine.write(
        writtenHead(`${request.method} ${request.url} HTTP/1.1`, passedOn(request.rawHeaders, new Set()))
      )
      engine.write(first)
      client.pipe(engine)
      engine.pipe(client)
      client.on("close", () => engine.destroy())
      engine.on("close", () => {
        client.destroy()
        settle(record)
      })
      if (fault?._tag === "CutStream") after(fault.millis, () => engine.destroy())
    }
    switch (fault?._tag) {
      case undefined:
      case "CutStream":
        return join()
      case "Delay":
        return after(fault.millis, join)
      case "Answer": {
        record.status = fault.status
        const headers = { ...fault.headers, "Content-Length": Buffer.byteLength(fault.body), Connection: "close" }
        client.end(
          writtenHead(`HTTP/1.1 ${fault.status} Injected`, Object.entries(headers).flat().map(String)) + fault.body
        )
        return settle(record)
      }
      default:
        client.destroy()
        return settle(record)
    }
  }

  const directory = yield* Effect.acquireRelease(
    Effect.tryPromise({
      // The path of a unix socket may have about a hundred bytes only, so nothing is added that is not needed.
      try: () => fs.mkdtemp(path.join(os.tmpdir(), "fp-")),
      catch: (error) => new FaultProxyError({ detail: String(error) })
    }),
    (made) => Effect.promise(() => fs.rm(made, { recursive: true, force: true }))
  )
  const socketPath = path.join(directory, "d.sock")
  const server = http.createServer({ requestTimeout: 0, headersTimeout: 0 }, (request, response) => {
    void handle(request, response)
  })
  server.on("upgrade", tunnel)
  server.on("connection", kept)
  yield* Effect.acquireRelease(
    Effect.callback<void, FaultProxyError>((resume) => {
      server.once("error", (error) => resume(Effect.fail(new FaultProxyError({ detail: error.message }))))
      server.listen(socketPath, () => resume(Effect.void))
    }),
    () =>
      Effect.callback<void>((resume) => {
        for (const timer of timers) clearTimeout(timer)
        server.close(() => resume(Effect.void))
        for (const connection of connections) connection.destroy()
      })
  )

  return {
    host: `unix://${socketPath}`,
    socketPath,
    calls: Effect.sync(() => records.map((record) => ({ ...record }))),
    faults: Effect.sync(() => records.flatMap(({ fault, ...call }) => fault === undefined ? [] : [{ ...call, fault }])),
    counts: Effect.sync(() => countsOf(records)),
    follow: (next) =>
      Effect.sync(() => {
        plan = next
      }),
    lift: Effect.sync(() => {
      plan = none
    }),
    idle
  }
})
