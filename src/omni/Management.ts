/**
 * The calls of Omni's management service: configurations of a cluster, and the power of machines.
 *
 * A signed header has the cluster of a call. Configurations arrive as bytes and are returned as text; `Configs.ts`
 * reads their content. Source: Omni's management API (`management.ManagementService`).
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { failWith } from "../internal/Method.ts"
import type { ClusterName } from "../Model.ts"
import { type BackendError, InvalidResponse, UnsupportedError } from "../Reason.ts"
import type { CallFailure, Client } from "./Client.ts"
import { codes } from "./Errors.ts"
import type { Protos } from "./Wire.ts"

export interface Management {
  /** A kubeconfig with a token of a Kubernetes user of its own. */
  readonly kubeconfig: (
    cluster: ClusterName,
    account: { readonly ttl: Duration.Duration; readonly user: string; readonly groups: ReadonlyArray<string> }
  ) => Effect.Effect<string, CallFailure>
  readonly talosconfig: (cluster: ClusterName) => Effect.Effect<string, CallFailure>
  /** Why the server refuses a config patch, in its own words; undefined if it accepts it or cannot validate it. */
  readonly validateConfig: (config: string) => Effect.Effect<string | undefined, CallFailure>
  readonly powerOff: (machine: string) => Effect.Effect<void, CallFailure>
  readonly powerOn: (machine: string) => Effect.Effect<void, CallFailure>
}

export const make = (client: Client, protos: Protos): Management => {
  const { method } = protos.management.ManagementService

  /** Headers are ASCII, and a cluster's name need not be. */
  const about = (cluster: ClusterName): Effect.Effect<{ readonly context: string }, BackendError> =>
    /^[\x20-\x7e]*$/.test(cluster)
      ? Effect.succeed({ context: cluster })
      : failWith(
        new UnsupportedError({
          detail: `kubeconfig and talosconfig need an ASCII cluster name, got "${cluster}"`
        })
      )

  const text = (what: string, bytes: Uint8Array) =>
    Effect.try({
      try: () => new TextDecoder("utf-8", { fatal: true }).decode(bytes),
      catch: () => undefined
    }).pipe(Effect.catch(() => failWith(new InvalidResponse({ detail: `the ${what} is no text` }))))

  return {
    kubeconfig: (cluster, { groups, ttl, user }) =>
      about(cluster).pipe(
        Effect.flatMap((headers) =>
          client.unary(method.kubeconfig, {
            serviceAccount: true,
            serviceAccountTtl: protos.wkt.durationFromMs(Math.round(Duration.toMillis(ttl))),
            serviceAccountUser: user,
            serviceAccountGroups: [...groups]
          }, { role: "Operator", repeatable: true, headers })
        ),
        Effect.flatMap(({ kubeconfig }) => text("kubeconfig", kubeconfig))
      ),
    talosconfig: (cluster) =>
      about(cluster).pipe(
        Effect.flatMap((headers) =>
          client.unary(method.talosconfig, {}, { role: "Reader", repeatable: true, headers })
        ),
        Effect.flatMap(({ talosconfig }) => text("talosconfig", talosconfig))
      ),
    validateConfig: (config) =>
      client.unary(method.validateConfig, { config }, { role: "Reader", repeatable: true }).pipe(
        Effect.as(undefined),
        Effect.catchTag("BackendError", (error): Effect.Effect<string | undefined, BackendError> => {
          const { _tag, detail, status } = error.reason
          if (_tag === "InvalidInput") return Effect.succeed(detail)
          // A server that is too old to validate.
          return status === codes.UNIMPLEMENTED ? Effect.succeed(undefined) : Effect.fail(error)
        })
      ),
    powerOff: (machineId) =>
      Effect.asVoid(client.unary(method.machinePowerOff, { machineId }, { role: "Operator", repeatable: true })),
    powerOn: (machineId) =>
      Effect.asVoid(client.unary(method.machinePowerOn, { machineId }, { role: "Operator", repeatable: true }))
  }
}
