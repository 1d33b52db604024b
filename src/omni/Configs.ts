/**
 * The configurations to reach a cluster: a kubeconfig of a Kubernetes user that is created for it, and a talosconfig.
 *
 * The server makes a configuration also of a cluster that is not there, so that is asked first. A kubeconfig holds a
 * token, and so is Redacted; when the token ends is read from the token itself.
 * Source: Omni's management API; JSON Web Token (RFC 7519).
 */
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { failWith } from "../internal/Method.ts"
import type { ClusterName } from "../Model.ts"
import { ClusterNotFound, InvalidSpec } from "../ProviderError.ts"
import { InvalidResponse } from "../Reason.ts"
import type { Management } from "./Management.ts"
import { type CallFailure, Kinds, type State } from "./State.ts"

/**
 * @category models
 * @since 0.1.0
 */
export interface KubeconfigOptions {
  /** How long the token holds: above zero, at most 10 years; 30 days where it is not given. */
  readonly ttl?: Duration.Input
  /** The Kubernetes user of the token; `kubelayer` by default. */
  readonly user?: string
  /** Its groups; `system:masters` where they are not given. */
  readonly groups?: ReadonlyArray<string>
}

/**
 * @category models
 * @since 0.1.0
 */
export interface Kubeconfig {
  /** YAML with one context. */
  readonly kubeconfig: Redacted.Redacted<string>
  /** When its token ends. */
  readonly expiresAt: DateTime.Utc
}

const maxTtl = Duration.hours(87_600)

const faultsOf = (options: KubeconfigOptions, ttl: Duration.Duration | undefined) => [
  ...(ttl === undefined ? [{ path: "ttl", message: "is no duration" }] : []),
  ...(ttl !== undefined && !(Duration.toMillis(ttl) >= 1000)
    ? [{ path: "ttl", message: "must be at least a second" }]
    : []),
  ...(ttl !== undefined && Duration.isGreaterThan(ttl, maxTtl)
    ? [{ path: "ttl", message: "must be at most 10 years" }]
    : []),
  ...(options.user === "" ? [{ path: "user", message: "is empty" }] : [])
]

/** The expiry of the token in a kubeconfig; undefined if there is none. */
const expiryIn = (kubeconfig: string): DateTime.Utc | undefined => {
  const payload = /\btoken:\s*["']?[\w-]+\.([\w-]+)\.[\w-]*/.exec(kubeconfig)?.[1]
  if (payload === undefined) return undefined
  try {
    const { exp } = JSON.parse(Buffer.from(payload, "base64url").toString("utf8")) as { readonly exp?: unknown }
    return typeof exp === "number" && Number.isFinite(exp) ? DateTime.makeUnsafe(exp * 1000) : undefined
  } catch {
    return undefined
  }
}

const existing = (state: State, cluster: ClusterName): Effect.Effect<void, ClusterNotFound | CallFailure> =>
  Effect.flatMap(
    state.get(Kinds.Cluster, cluster),
    (found) =>
      found === undefined ? Effect.fail(new ClusterNotFound({ provider: "omni", clusterName: cluster })) : Effect.void
  )

export const kubeconfig = (state: State, management: Management) =>
  Effect.fnUntraced(function*(
    cluster: ClusterName,
    options: KubeconfigOptions = {}
  ): Effect.fn.Return<Kubeconfig, InvalidSpec | ClusterNotFound | CallFailure> {
    const ttl = options.ttl === undefined ? Duration.days(30) : Option.getOrUndefined(Duration.fromInput(options.ttl))
    const issues = faultsOf(options, ttl)
    if (issues.length > 0 || ttl === undefined) return yield* new InvalidSpec({ issues })
    yield* existing(state, cluster)
    const text = yield* management.kubeconfig(cluster, {
      ttl,
      user: options.user ?? "kubelayer",
      groups: options.groups ?? ["system:masters"]
    })
    const expiresAt = expiryIn(text)
    return expiresAt === undefined
      ? yield* failWith(new InvalidResponse({ detail: "the kubeconfig has no token with an expiry" }))
      : { kubeconfig: Redacted.make(text, { label: "kubeconfig" }), expiresAt }
  })

/** It holds no secret: whoever uses it signs with a key of their own. */
export const talosconfig = (state: State, management: Management) => (cluster: ClusterName) =>
  Effect.andThen(existing(state, cluster), management.talosconfig(cluster))
