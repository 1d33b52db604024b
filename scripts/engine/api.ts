/**
 * The few Engine API calls that the scripts need, over node:http.
 *
 * It is not the library's transport, so that what starts and finds engines for
 * its tests does not depend on what is tested.
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as http from "node:http"

export type Endpoint =
  | { readonly socketPath: string }
  | { readonly host: string; readonly port: number }

export class EngineApiError extends Data.TaggedError("EngineApiError")<{
  readonly call: string
  readonly status?: number
  readonly detail: string
}> {
  override get message(): string {
    return `${this.call}: ${this.status === undefined ? "" : `${this.status} `}${this.detail}`
  }
}

export interface Call {
  readonly method: "GET" | "POST" | "DELETE"
  readonly path: string
  readonly body?: Uint8Array
  readonly contentType?: string
  readonly deadlineMillis?: number
}

/** The endpoint of a DOCKER_HOST value; undefined for what plain HTTP cannot reach (ssh, TLS, pipes). */
export const endpointOf = (dockerHost: string): Endpoint | undefined => {
  if (dockerHost.startsWith("unix://")) return { socketPath: dockerHost.slice("unix://".length) }
  const tcp = /^(?:tcp|http):\/\/(\[[^\]]+\]|[^:/]+)(?::(\d+))?\/?$/.exec(dockerHost)
  if (tcp?.[1] === undefined) return undefined
  return { host: tcp[1].replace(/^\[|\]$/g, ""), port: Number(tcp[2] ?? 2375) }
}

const detailOf = (body: string): string => {
  try {
    const parsed: unknown = JSON.parse(body)
    if (typeof parsed === "object" && parsed !== null && "message" in parsed) return String(parsed.message)
  } catch {
    // Not JSON: shown as it is.
  }
  return body.trim()
}

/** One call; its body as text. Any status from 400 on is an error. */
export const request = (endpoint: Endpoint, call: Call): Effect.Effect<string, EngineApiError> =>
  Effect.callback<string, EngineApiError>((resume, signal) => {
    const name = `${call.method} ${call.path.split("?")[0]}`
    const deadline = call.deadlineMillis ?? 30_000
    const fail = (detail: string, status?: number) =>
      resume(Effect.fail(new EngineApiError({ call: name, detail, ...(status === undefined ? {} : { status }) })))
    const sent = http.request({
      ...endpoint,
      method: call.method,
      path: call.path,
      headers: {
        Host: "docker",
        Connection: "close",
        ...(call.body === undefined
          ? {}
          : { "Content-Type": call.contentType ?? "application/json", "Content-Length": call.body.length })
      },
      signal: AbortSignal.any([signal, AbortSignal.timeout(deadline)])
    }, (response) => {
      let body = ""
      response.setEncoding("utf8")
      response.on("data", (text: string) => (body += text))
      response.on("error", (error) => fail(error.message))
      response.on("end", () => {
        const status = response.statusCode ?? 0
        if (status >= 400) fail(detailOf(body), status)
        else resume(Effect.succeed(body))
      })
    })
    sent.on("error", (error: NodeJS.ErrnoException) => {
      fail(error.name === "AbortError" ? `no answer within ${deadline / 1000} s` : error.code ?? error.message)
    })
    sent.end(call.body)
  })
