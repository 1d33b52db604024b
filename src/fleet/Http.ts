/** `/metrics` in the text format of Prometheus, and `/healthz`. */
import * as Effect from "effect/Effect"
import * as PrometheusMetrics from "effect/observability/PrometheusMetrics"
import type * as Scope from "effect/Scope"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { InvalidSpec } from "../ProviderError.ts"
import type { StoreError } from "./Errors.ts"

/** `HOST:PORT`, or undefined. */
export const parseHostPort = (text: string): { readonly host: string; readonly port: number } | undefined => {
  const match = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text)
  const port = Number(match?.[3])
  const host = match?.[1] ?? match?.[2]
  return host === undefined || !(port <= 65535) ? undefined : { host, port }
}

/** How long the store may take to answer a health check. */
const healthTimeout = "2 seconds"

/**
 * Serves until the scope closes, and returns the port. `check` fails where the runner is not healthy.
 */
export const serveHttp = (
  { host, port }: { readonly host: string; readonly port: number },
  check: Effect.Effect<unknown, StoreError>
): Effect.Effect<number, InvalidSpec, Scope.Scope> =>
  Effect.gen(function*() {
    const context = yield* Effect.context<never>()
    const health = check.pipe(
      Effect.timeoutOption(healthTimeout),
      Effect.map((answer) =>
        answer._tag === "Some" ? { status: 200, text: "ok\n" } : { status: 503, text: "the store does not answer\n" }
      ),
      Effect.catch((error) => Effect.succeed({ status: 503, text: `${error.message}\n` })),
      Effect.provideContext(context)
    )
    const server = createServer((request, response) => {
      const answer = (status: number, text: string, type = "text/plain; charset=utf-8") => {
        response.writeHead(status, { "content-type": type })
        response.end(request.method === "HEAD" ? undefined : text)
      }
      const path = request.url?.split("?")[0]
      if (request.method !== "GET" && request.method !== "HEAD") answer(405, "method not allowed\n")
      else if (path === "/metrics") {
        answer(200, PrometheusMetrics.formatUnsafe(context), "text/plain; version=0.0.4; charset=utf-8")
      } else if (path === "/healthz") {
        void Effect.runPromise(health).then(({ status, text }) => answer(status, text))
      } else answer(404, "not found\n")
    })
    return yield* Effect.acquireRelease(
      Effect.callback<number, InvalidSpec>((resume) => {
        server.once("error", (error) =>
          resume(Effect.fail(
            new InvalidSpec({
              issues: [{ path: "http", message: `cannot listen on ${host}:${port}: ${error.message}` }]
            })
          )))
        server.listen(port, host, () => resume(Effect.succeed((server.address() as AddressInfo).port)))
      }),
      () =>
        Effect.callback<void>((resume) => {
          server.closeAllConnections()
          server.close(() => resume(Effect.void))
        })
    )
  })
