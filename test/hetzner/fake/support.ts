/** Helpers for tests of the fake: a fake whose calls are validated after the test, and plain requests to it. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { HetznerFake } from "kubelayer/testing"
import { contract } from "./contract.ts"

/** JSON of which a test knows what is in it. */
// oxlint-disable-next-line typescript/no-explicit-any
export type Loose = any

interface Reply {
  readonly status: number
  readonly json: Loose
  readonly headers: Headers
  readonly text: string
}

export interface Fake extends HetznerFake.HetznerFakeService {
  readonly call: (method: string, path: string, body?: unknown, token?: string) => Effect.Effect<Reply>
  /** As `call`, but the promise may be rejected: the connection was cut. */
  readonly attempt: (method: string, path: string, body?: unknown) => Effect.Effect<Reply | "cut">
}

/** Validates every call of a fake against the document, if HCLOUD_OPENAPI is set. */
export const judged = (fake: HetznerFake.HetznerFakeService): Effect.Effect<void> =>
  Effect.flatMap(fake.calls, (calls) => {
    const judge = contract()
    if (judge === undefined) return Effect.void
    const faults = calls.flatMap((call) =>
      judge(call).map((fault) => `${call.method} ${call.path}${call.query === "" ? "" : "?"}${call.query}: ${fault}`)
    )
    return faults.length === 0 ? Effect.void : Effect.die(new Error(`against the document:\n${faults.join("\n")}`))
  })

/** A fake for one test. Its clock only moves with `advance`. */
export const startFake = (
  options: HetznerFake.Options = {}
): Effect.Effect<Fake, never, Scope.Scope> =>
  Effect.gen(function*() {
    const fake = yield* HetznerFake.make({ time: "manual", ...options })
    yield* Effect.addFinalizer(() => judged(fake))
    const send = async (method: string, path: string, body: unknown, token: string): Promise<Reply> => {
      const response = await fetch(`${fake.endpoint}${path}`, {
        method,
        headers: {
          authorization: `Bearer ${token}`,
          ...(body === undefined ? {} : { "content-type": "application/json" })
        },
        ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) })
      })
      const text = await response.text()
      const isJson = response.headers.get("content-type") === "application/json"
      let json: unknown
      try {
        json = isJson ? JSON.parse(text) : undefined
      } catch {
        json = undefined
      }
      return { status: response.status, json, headers: response.headers, text }
    }
    return {
      ...fake,
      call: (method, path, body, token = fake.token) => Effect.promise(() => send(method, path, body, token)),
      attempt: (method, path, body) =>
        Effect.promise(() => send(method, path, body, fake.token).catch(() => "cut" as const))
    }
  })

/** The smallest body that makes a server. */
export const aServer = (name: string, more: Readonly<Record<string, unknown>> = {}) => ({
  name,
  server_type: "cx23",
  image: "debian-12",
  location: "fsn1",
  ...more
})
