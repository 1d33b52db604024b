/**
 * Requests to the fake engine and its replies, without a socket, and the helpers that routes are written with.
 *
 * A route is an Effect that fails with a `Refusal`. Code that needs no time may throw one.
 */
import * as Effect from "effect/Effect"
import type { Engine } from "./Engine.ts"
import { Refusal } from "./Flavor.ts"

/** A request as it arrives. @internal */
export interface EngineRequest {
  readonly method: string
  /** Path and query as sent, such as `/v1.41/containers/json?all=true`. */
  readonly target: string
  readonly contentType?: string | undefined
  readonly body: string | Uint8Array
}

/** The receiver of a streamed body. @internal */
export interface Sink {
  readonly write: (chunk: Uint8Array | string) => void
  readonly end: () => void
}

/** @internal */
export interface Reply {
  readonly _tag: "Reply"
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | Uint8Array
  /** The rest of the body, where it comes bit by bit. It returns what ends it early. */
  readonly stream?: (sink: Sink) => () => void
}

/** @internal */
export type Answer = Reply | { readonly _tag: "Cut" } | { readonly _tag: "Hang" }

/** The input of a route. @internal */
export interface Call {
  readonly method: string
  readonly target: string
  readonly path: string
  readonly query: Readonly<Record<string, string>>
  /** Parsed JSON; undefined where the request has no body. */
  readonly json: unknown
  /** The named part of the path, decoded. */
  readonly part: string
  /** Notes what the engine ignores, and no client should send. */
  readonly violate: (detail: string) => void
}

/** @internal */
export type Handler = (engine: Engine, call: Call) => Effect.Effect<Reply, Refusal>

/** @internal */
export const reply = (
  status: number,
  body: string | Uint8Array = "",
  contentType?: string,
  headers: Readonly<Record<string, string>> = {}
): Reply => ({
  _tag: "Reply",
  status,
  headers: { ...(contentType === undefined ? {} : { "Content-Type": contentType }), ...headers },
  body
})

/** @internal */
export const json = (body: unknown, status = 200): Reply =>
  reply(status, `${JSON.stringify(body)}\n`, "application/json")

/** @internal */
export const empty = (status: number): Reply => reply(status)

/** A handler that needs no time. A refusal that is thrown fails it. @internal */
export const attempt = <A>(f: () => A): Effect.Effect<A, Refusal> =>
  Effect.suspend(() => {
    try {
      return Effect.succeed(f())
    } catch (error) {
      if (error instanceof Refusal) return Effect.fail(error)
      throw error
    }
  })

/** @internal */
export const handler = (f: (engine: Engine, call: Call) => Reply): Handler => (engine, call) =>
  attempt(() => f(engine, call))

/** The reply of a refusal, in the form of the flavor. @internal */
export const refused = (engine: Engine, { message, reason, status }: Refusal): Reply => {
  if (!engine.flavor.isPodman) return json({ message }, status)
  if (message === "") return reply(status, "", "application/json")
  return json({ cause: reason ?? message.split(": ").at(-1), message, response: status }, status)
}

/** `filters` as lists; the older form has objects of flags. @internal */
export const filtersOf = (
  engine: Engine,
  call: Call,
  allowed: ReadonlyArray<string>,
  kind: "containers" | "events" = "containers"
): Readonly<Record<string, ReadonlyArray<string>>> => {
  const given = call.query["filters"] ?? ""
  if (given === "") return {}
  let parsed: unknown
  try {
    parsed = JSON.parse(given)
  } catch {
    throw kind === "events"
      ? engine.refuse.eventFilterJson(given, call.target)
      : engine.refuse.filterJson(given, call.target)
  }
  const filters: Record<string, ReadonlyArray<string>> = {}
  for (const [key, values] of Object.entries(parsed as Record<string, unknown>)) {
    if (!allowed.includes(key)) {
      if (kind === "containers") throw engine.refuse.filter(key)
      if (engine.flavor.id === "podman5") throw engine.refuse.eventFilter(key)
    }
    filters[key] = Array.isArray(values) ? values.map(String) : Object.keys(values as object)
  }
  return filters
}
