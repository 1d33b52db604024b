/** The token is in nothing that comes out, also where what answers repeats it, and in whatever way a call fails. */
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { make as makeHttpClient } from "effect/http/HttpClient"
import * as HttpClientError from "effect/http/HttpClientError"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Logger from "effect/Logger"
import * as References from "effect/References"
import * as Schedule from "effect/Schedule"
import * as Tracer from "effect/Tracer"
import { inspect } from "node:util"
import { over } from "./support/over.ts"
import { nodes } from "./support/rig.ts"

const canary = "canary0123456789abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKL"

/** Responses that repeat the credential of the request. */
const echoes: Readonly<Record<string, (authorization: string, url: string) => Response | Error>> = {
  "an error of the API": (authorization) =>
    Response.json({ error: { code: "invalid_input", message: `got ${authorization}`, details: null } }, {
      status: 422
    }),
  "fields of an error": (authorization) =>
    Response.json({
      error: {
        code: "invalid_input",
        message: "no",
        details: { fields: [{ name: "header", messages: [authorization] }] }
      }
    }, { status: 422 }),
  "a code": (authorization) => Response.json({ error: { code: authorization, message: "no" } }, { status: 400 }),
  "a page of a proxy": (authorization) => new Response(`<html><pre>${authorization}</pre></html>`, { status: 503 }),
  "a correlation id": (authorization) =>
    Response.json({ error: { code: "server_error", message: "no" } }, {
      status: 500,
      headers: { "x-correlation-id": authorization }
    }),
  "a redirect": (authorization, url) =>
    new Response(null, { status: 302, headers: { location: `${url}?${authorization}` } }),
  "no JSON": (authorization) => new Response(authorization, { status: 200 }),
  "JSON of another shape": (authorization) => Response.json({ servers: authorization, [authorization]: 1 }),
  "a transport's failure": (authorization) => new Error(`could not send ${authorization}`)
}

describe("the token", () => {
  for (const [what, echo] of Object.entries(echoes)) {
    it.effect(`is not shown by what meets ${what} that repeats it`, () =>
      Effect.scoped(Effect.gen(function*() {
        const texts: Array<string> = []
        const http = makeHttpClient((request, url) => {
          const answer = echo(request.headers["authorization"] ?? "", url.href)
          return answer instanceof Error
            ? Effect.fail(
              new HttpClientError.HttpClientError({
                reason: new HttpClientError.TransportError({ request, cause: answer, description: answer.message })
              })
            )
            : Effect.succeed(HttpClientResponse.fromWeb(request, answer))
        })
        const spans: Array<Tracer.NativeSpan> = []
        const tracer = Tracer.make({
          span: (options) => {
            const span = new Tracer.NativeSpan(options)
            spans.push(span)
            return span
          }
        })
        const logger = Logger.make(({ cause, message }) =>
          void texts.push(inspect(message, { depth: 20 }), Cause.pretty(cause))
        )
        const hetzner = yield* over(http, { token: canary, policy: { retry: Schedule.recurs(0) } })
        const { provider } = hetzner
        const calls = [
          provider.listNodes("dev"),
          provider.checkAvailable,
          provider.startNodes("dev"),
          provider.deleteNodes("dev"),
          hetzner.createNodes({ cluster: "dev", controlPlanes: 1, workers: 0, nodes }),
          hetzner.sweep({ olderThan: 0 })
        ]
        for (const call of calls) {
          const exit = yield* (call as Effect.Effect<unknown, unknown>).pipe(
            Effect.exit,
            Effect.tap((exit) => Exit.isFailure(exit) ? Effect.logError("it failed", exit.cause) : Effect.void),
            Effect.provideService(Tracer.Tracer, tracer),
            Effect.provideService(References.MinimumLogLevel, "All"),
            Effect.provide(Logger.layer([logger]))
          )
          assert.isTrue(Exit.isFailure(exit))
          if (!Exit.isFailure(exit)) return
          assert.isFalse(Cause.hasDies(exit.cause), Cause.pretty(exit.cause))
          const error = Cause.squash(exit.cause)
          texts.push(inspect(exit, { depth: 20, showHidden: true }), JSON.stringify(exit))
          texts.push(Cause.pretty(exit.cause), String(error), JSON.stringify(error))
        }
        assert.isAbove(spans.length, 0)
        texts.push(inspect(spans, { depth: 20 }), inspect(hetzner, { depth: 20 }))
        for (const text of texts) assert.notInclude(text, canary.slice(0, 12))
      })))
  }
})
