/**
 * The checks of `doctor` on Hetzner: the token and what it may do, the quota of requests, and the clock.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { Connection } from "../Backends.ts"
import { type Check, clockCheck, failed, ok, unavailable, warning } from "./Check.ts"

const codeOf = (body: unknown): string =>
  String((body as { readonly error?: { readonly code?: string } } | undefined)?.error?.code ?? "")

/** A create without a name is refused in any case: as invalid, or because the token may only read. */
const permission = Effect.fnUntraced(function*(request: NonNullable<Connection["request"]>) {
  const { body, status } = yield* request("POST", "/placement_groups")
  return status === 403 || codeOf(body) === "token_readonly"
    ? warning("permission", "the token is read-only", "Create a token with read and write permission.")
    : ok("permission", "the token may read and write")
})

const quotaChecks = (headers: Headers): ReadonlyArray<Check> => {
  const limit = Number(headers.get("ratelimit-limit"))
  const remaining = Number(headers.get("ratelimit-remaining"))
  if (!headers.has("ratelimit-limit") || !Number.isFinite(limit)) return []
  const text = `${remaining} of ${limit} requests left in this hour`
  return [
    remaining < limit / 10
      ? warning("quota", text, "Operations wait for the quota. Other programs may use the same project.")
      : ok("quota", text)
  ]
}

export const hetznerChecks = Effect.fnUntraced(function*(connection: Connection) {
  const { request } = connection
  if (request === undefined) return []
  const first = yield* Effect.result(request("GET", "/locations"))
  if (first._tag === "Failure") return unavailable(first.failure)
  const { body, headers, status } = first.success
  const now = yield* Clock.currentTimeMillis
  const date = headers.get("date")
  const clock = clockCheck(date === null ? undefined : Date.parse(date), now)
  if (status === 401) {
    return [
      failed("token", "it is refused", "Set HCLOUD_TOKEN to a token of the project that is not revoked."),
      ...clock
    ]
  }
  if (status !== 200) {
    return [
      failed("connection", `status ${status} ${codeOf(body)}`.trim(), "Check HCLOUD_ENDPOINT and any proxy."),
      ...clock
    ]
  }
  const writable = yield* Effect.result(permission(request))
  return [
    ok("token", "it is accepted"),
    ...(writable._tag === "Success" ? [writable.success] : unavailable(writable.failure)),
    ...quotaChecks(headers),
    ...clock
  ]
})
