/**
 * The checks of `doctor` on Omni: the service account's key and its expiry, the connection, and the free machines.
 */
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import type { Connection } from "../Backends.ts"
import { shortDuration } from "../Time.ts"
import { type Check, failed, ok, unavailable, warning } from "./Check.ts"

const soonMillis = 7 * 24 * 3_600_000

const keyCheck = (
  identity: string,
  expiresAt: DateTime.Utc | undefined,
  now: number
): Check => {
  const left = expiresAt === undefined ? undefined : DateTime.toEpochMillis(expiresAt) - now
  const renew = "Renew it: omnictl serviceaccount renew."
  if (left === undefined) return ok("key", `service account ${identity}, without expiry`)
  if (left <= 0) return failed("key", `service account ${identity}, expired ${shortDuration(-left)} ago`, renew)
  const text = `service account ${identity}, expires in ${shortDuration(left)}`
  return left < soonMillis ? warning("key", text, renew) : ok("key", text)
}

export const omniChecks = Effect.fnUntraced(function*(connection: Connection) {
  const { omni, provider } = connection
  if (omni === undefined) return []
  const { expiresAt, identity } = omni.credential
  const key = keyCheck(identity, expiresAt, yield* Clock.currentTimeMillis)
  const available = yield* Effect.result(provider.checkAvailable)
  if (available._tag === "Failure") return [key, ...unavailable(available.failure)]
  const read = yield* Effect.result(Effect.all([omni.availableMachines, omni.talosVersions]))
  if (read._tag === "Failure") {
    return [
      key,
      failed("permission", read.failure.message.split("\n")[0] ?? "", "Give the service account the role Operator.")
    ]
  }
  const [machines, versions] = read.success
  return [
    key,
    ok("connection", `${versions.length} Talos versions, the newest ${versions.at(-1)?.version ?? "unknown"}`),
    machines.length === 0
      ? warning("machines", "none is free", "Register machines, or use a machine class of an infrastructure provider.")
      : ok("machines", `${machines.length} free`)
  ]
})
