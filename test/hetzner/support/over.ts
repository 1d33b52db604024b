/** The layer over a client of the test's own: what a stock fake would never answer, or what is to be seen on the way. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import { HttpClient, make as makeHttpClient } from "effect/http/HttpClient"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Hetzner from "kubelayer/layers/Hetzner"

/** Another layer of the same process, on a client from outside. */
export const over = (
  http: HttpClient,
  options: Partial<Hetzner.Options> = {}
): Effect.Effect<Hetzner.HetznerService, never, Scope.Scope> =>
  Layer.build(
    Layer.fresh(Hetzner.layerHttpClient({ token: "a-token-of-nobody", endpoint: "http://127.0.0.1:9/v1", ...options }))
      .pipe(Layer.provide(Layer.succeed(HttpClient, http)))
  ).pipe(Effect.map((context) => Context.get(context, Hetzner.Hetzner)), Effect.orDie)

export interface Canned {
  readonly status?: number
  readonly json?: unknown
  readonly text?: string
  readonly headers?: Record<string, string>
}

/** Answers each request, seen as `METHOD /path?query`, as the test says; what it says nothing of is a 404. */
export const canned = (answer: (request: string) => Canned | undefined) => {
  const seen: Array<string> = []
  const http = makeHttpClient((request, url) =>
    Effect.sync(() => {
      const line = `${request.method} ${url.pathname.replace(/^\/v1/, "")}${url.search}`
      seen.push(line)
      const { headers = {}, json, status = 200, text } = answer(line) ??
        { status: 404, json: { error: { code: "not_found", message: "nothing", details: null } } }
      const body = status === 204 ? null : text ?? JSON.stringify(json ?? {})
      return HttpClientResponse.fromWeb(request, new Response(body, { status, headers }))
    })
  )
  return { http, seen }
}

/** A server with no more than the API promises. */
export const bareServer = (id: number, more: Readonly<Record<string, unknown>> = {}) => ({
  id,
  name: `dev-${id}`,
  status: "running",
  labels: { "kubelayer.cluster": "dev", "kubelayer.role": "worker" },
  ...more
})
