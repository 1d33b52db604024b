/**
 * The fake engine as a transport of the Docker layer: no socket and no HTTP, so that simulated time reaches it.
 *
 * A connection is an entry in a set with a function that cuts it. The modules that the
 * layer loads on demand are imported here, so that no call waits for an import while simulated time jumps.
 */
import "../../docker/Exec.ts"
import "../../docker/Logs.ts"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import {
  type CallFailure,
  type Connection,
  failure,
  type Opened,
  type Request,
  type TransportService
} from "../../docker/Transport.ts"
import { countCall } from "../../internal/Method.ts"
import { ProviderUnavailable } from "../../ProviderError.ts"
import type { Api } from "./Api.ts"
import type { Reply } from "./Call.ts"

const address = "in-process"

const broken = (code: string, message: string): Effect.Effect<never, CallFailure> =>
  failure(address, Object.assign(new Error(message), { code }))

const decoder = new TextDecoder()
const encoder = new TextEncoder()

const textOf = (body: string | Uint8Array): string => typeof body === "string" ? body : decoder.decode(body)
const bytesOf = (body: string | Uint8Array): Uint8Array => typeof body === "string" ? encoder.encode(body) : body

/** The part of the fake that the transport needs. @internal */
export interface Line {
  readonly api: Api
  readonly apiVersion: string
  readonly engine: Connection["engine"]
  readonly isDown: () => boolean
  /** The functions that cut open connections, each with its `METHOD /path?query`. */
  readonly connections: Set<{ readonly line: string; readonly cut: () => void }>
  /** The socket of the same fake, for dockerode. */
  readonly dockerode: Connection["dockerode"]
}

const targetOf = (version: string, { path, query }: Request): string => {
  const search = new URLSearchParams(query).toString()
  return `/v${version}${path}${search === "" ? "" : `?${search}`}`
}

/** Fails when the connections of this request are cut. */
const untilCut = (line: Line, request: string): Effect.Effect<never, CallFailure> =>
  Effect.callback((resume) => {
    const connection = { line: request, cut: () => resume(broken("ECONNRESET", "read ECONNRESET")) }
    line.connections.add(connection)
    return Effect.sync(() => line.connections.delete(connection))
  })

/** @internal */
export const makeTransport = (line: Line): TransportService => {
  const open = (version: string, request: Request): Effect.Effect<Reply, CallFailure> =>
    Effect.suspend(() => {
      if (line.isDown()) return broken("ECONNREFUSED", "connect ECONNREFUSED")
      const target = targetOf(version, request)
      const answer = line.api.answer({
        method: request.method,
        target,
        contentType: request.body === undefined ? undefined : "application/json",
        body: request.body === undefined ? "" : JSON.stringify(request.body)
      })
      return Effect.andThen(
        countCall,
        Effect.raceFirst(
          untilCut(line, `${request.method} ${target}`),
          Effect.flatMap(answer, (given): Effect.Effect<Reply, CallFailure> => {
            switch (given._tag) {
              case "Cut":
                return broken("ECONNRESET", "read ECONNRESET")
              case "Hang":
                return Effect.never
              case "Reply":
                return Effect.succeed(given)
            }
          })
        )
      )
    })

  /** Subscribes at once, so that nothing is lost before the stream is read. */
  const subscribe = (target: string, reply: Reply): Effect.Effect<Opened, CallFailure, Scope.Scope> =>
    Effect.gen(function*() {
      const queue = yield* Queue.unbounded<Uint8Array, CallFailure | Cause.Done>()
      const error = yield* Effect.flip(broken("ECONNRESET", "read ECONNRESET"))
      yield* Effect.acquireRelease(
        Effect.sync(() => {
          if (reply.body.length > 0) Queue.offerUnsafe(queue, bytesOf(reply.body))
          const connection = { line: target, cut: () => void Queue.failCauseUnsafe(queue, Cause.fail(error)) }
          line.connections.add(connection)
          const close = reply.stream?.({
            write: (chunk) => void Queue.offerUnsafe(queue, bytesOf(chunk)),
            end: () => void Queue.endUnsafe(queue)
          })
          if (close === undefined) Queue.endUnsafe(queue)
          return { connection, close }
        }),
        ({ close, connection }) =>
          Effect.sync(() => {
            line.connections.delete(connection)
            close?.()
          })
      )
      return { status: reply.status, text: Effect.sync(() => textOf(reply.body)), bytes: Stream.fromQueue(queue) }
    })

  const connection: Connection = {
    address,
    engine: line.engine,
    exchange: (request) =>
      Effect.map(open(line.apiVersion, request), (reply) => {
        const after = Number(reply.headers["Retry-After"])
        return {
          status: reply.status,
          text: textOf(reply.body),
          ...(Number.isFinite(after) ? { retryAfterMillis: after * 1000 } : {})
        }
      }),
    openStream: (request) =>
      Effect.flatMap(
        open(line.apiVersion, request),
        (reply) => subscribe(`${request.method} ${targetOf(line.apiVersion, request)}`, reply)
      ),
    dockerode: line.dockerode
  }

  return {
    connect: (_options, _environment, timeout) =>
      connection.exchange({ method: "GET", path: "/_ping" }).pipe(
        Effect.timeout(timeout),
        Effect.as(connection),
        Effect.mapError((error) =>
          error instanceof ProviderUnavailable ? error : new ProviderUnavailable({
            provider: "docker",
            address,
            detail: `GET /_ping: ${error.message}`,
            advice: "Check the faults of the fake engine."
          })
        )
      )
  }
}
