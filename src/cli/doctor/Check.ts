/**
 * One check of `doctor`, and the parts that all backends share.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { ProviderService } from "../../Provider.ts"
import type { ProviderUnavailable } from "../../ProviderError.ts"
import type { Connection } from "../Backends.ts"
import { shortDuration } from "../Time.ts"

export interface Check {
  readonly name: string
  /** `failed`: nothing works until it is mended. `warning`: some operations will fail. */
  readonly state: "ok" | "warning" | "failed" | "skipped"
  readonly detail: string
  readonly advice?: string
}

export const ok = (name: string, detail: string): Check => ({ name, state: "ok", detail })

export const warning = (name: string, detail: string, advice: string): Check => ({
  name,
  state: "warning",
  detail,
  advice
})

export const failed = (name: string, detail: string, advice: string): Check => ({
  name,
  state: "failed",
  detail,
  advice
})

/** The details of a failed connection: each address that was tried, and why it was skipped. */
export const unavailable = (error: ProviderUnavailable): ReadonlyArray<Check> => [
  ...(error.candidates ?? []).map(({ address, why }): Check => ({
    name: "passed over",
    state: "skipped",
    detail: `${address}: ${why}`
  })),
  failed("connection", `${error.address ?? error.provider}: ${error.detail}`, error.advice)
]

const skewLimitMillis = 5000

/** Compares the backend's clock with this one. Certificates, signatures and ages depend on it. */
export const clockCheck = (theirs: number | undefined, ours: number): ReadonlyArray<Check> => {
  if (theirs === undefined || Number.isNaN(theirs)) return []
  const skew = Math.abs(theirs - ours)
  return [
    skew <= skewLimitMillis
      ? ok("clock", "agrees with the backend's")
      : warning(
        "clock",
        `differs from the backend's by ${shortDuration(skew)}`,
        "Synchronize the clocks with NTP; signatures and ages depend on them."
      )
  ]
}

/** The orphans of exited processes. */
export const leftoverCheck = (connection: Connection): Effect.Effect<ReadonlyArray<Check>> =>
  connection.creator.sweep({ olderThan: Duration.hours(1) }).pipe(
    Effect.map((orphans): ReadonlyArray<Check> =>
      orphans.length === 0
        ? [ok("leftovers", "none")]
        : [
          warning(
            "leftovers",
            `${orphans.length} of processes that are gone: ${
              orphans.slice(0, 3).map(({ kind, name }) => `${kind} ${name}`).join(", ")
            }${orphans.length > 3 ? ", ..." : ""}`,
            "List them with `kubelayer sweep`, and remove them with `kubelayer sweep --remove`."
          )
        ]
    ),
    Effect.catch((error) =>
      Effect.succeed([
        warning("leftovers", `could not be listed: ${error.message.split("\n")[0]}`, "Run it again later.")
      ])
    )
  )

export const clusterCheck = (provider: ProviderService): Effect.Effect<ReadonlyArray<Check>> =>
  provider.listAllStatuses.pipe(
    Effect.map((statuses): ReadonlyArray<Check> => {
      const ill = statuses.filter(({ ready }) => !ready)
      const count = `${statuses.length} ${statuses.length === 1 ? "cluster" : "clusters"}`
      return ill.length === 0 ? [ok("clusters", count)] : [
        warning(
          "clusters",
          `${count}; not ready: ${ill.map(({ clusterName, phase }) => `${clusterName} (${phase})`).join(", ")}`,
          "Show one with `kubelayer status <cluster>`."
        )
      ]
    }),
    Effect.catch((error) =>
      Effect.succeed([failed("clusters", `could not be listed: ${error.message.split("\n")[0]}`, "See the message.")])
    )
  )
