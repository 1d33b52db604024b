/**
 * Checks a backend before anything else is tried.
 *
 * A missing credential is a finding too, not only a failure.
 */
import * as Effect from "effect/Effect"
import { exitCodes } from "../../Script.ts"
import type { Connection } from "../Backends.ts"
import { type Check, clusterCheck, failed, leftoverCheck, ok, unavailable } from "../doctor/Check.ts"
import { hint, renderList } from "../Render.ts"
import { connect, withDeadline } from "../Session.ts"
import { Settings, type SettingsShape } from "../Settings.ts"
import type { Color, Column } from "../Table.ts"

const colors: { readonly [S in Check["state"]]: Color } = {
  ok: "green",
  warning: "yellow",
  failed: "red",
  skipped: "dim"
}

const columns: ReadonlyArray<Column<Check>> = [
  { title: "CHECK", value: ({ name }) => name },
  { title: "STATE", value: ({ state }) => state, color: ({ state }) => colors[state] },
  { title: "DETAIL", value: ({ detail }) => detail }
]

const backendChecks = Effect.fnUntraced(function*(connection: Connection, settings: SettingsShape) {
  switch (settings.backend) {
    case "docker": {
      const { dockerChecks } = yield* Effect.promise(() => import("../doctor/Docker.ts"))
      return yield* dockerChecks(connection, settings.host)
    }
    case "hetzner": {
      const { hetznerChecks } = yield* Effect.promise(() => import("../doctor/Hetzner.ts"))
      return yield* hetznerChecks(connection)
    }
    case "omni": {
      const { omniChecks } = yield* Effect.promise(() => import("../doctor/Omni.ts"))
      return yield* omniChecks(connection)
    }
    case "memory": {
      const available = yield* Effect.result(connection.provider.checkAvailable)
      return available._tag === "Failure"
        ? unavailable(available.failure)
        : [ok("connection", "a simulation in memory")]
    }
  }
})

const allChecks = Effect.fnUntraced(function*(connection: Connection, settings: SettingsShape) {
  const first = yield* backendChecks(connection, settings)
  if (first.some(({ state }) => state === "failed")) return first
  const rest = yield* Effect.all([clusterCheck(connection.provider), leftoverCheck(connection)])
  return [...first, ...rest.flat()]
})

const credentialChecks: ReadonlySet<string> = new Set(["credentials", "token", "key"])

export const doctor = Effect.gen(function*() {
  const settings = yield* Settings
  const checks: ReadonlyArray<Check> = yield* withDeadline(
    connect.pipe(
      Effect.flatMap((connection) => allChecks(connection, settings)),
      // A variable that is missing or malformed is a finding, too.
      Effect.catchTag("InvalidSpec", ({ issues }) =>
        Effect.succeed(
          issues.map(({ message, path }) =>
            failed("credentials", `${path} ${message}`, `Set ${path} in the environment.`)
          )
        ))
    )
  )
  yield* renderList({
    columns,
    rows: checks,
    name: ({ name, state }) => `${name} ${state}`,
    json: (check) => check,
    none: ""
  })
  for (const { advice, name } of checks) {
    if (advice !== undefined && settings.format === "table") yield* hint(`${name}: ${advice}`)
  }
  if (checks.some(({ name, state }) => state === "failed" && credentialChecks.has(name))) {
    return exitCodes.credentials
  }
  return checks.some(({ state }) => state === "failed") ? exitCodes.unreachable : 0
})
