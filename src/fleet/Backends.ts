/** The backends of a fleet by name. Each is opened when a cluster needs it, and closed with the runner. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as RcMap from "effect/RcMap"
import * as Scope from "effect/Scope"
import { NodeCreator, type NodeCreatorService, Provider, type ProviderService } from "../Provider.ts"

/** The backend that a document names. */
export interface BackendAddress {
  readonly backend: string
  readonly instance?: string
  /** Docker: how nodes are labelled, where the document names it. */
  readonly scheme?: string
  /** Omni: fields of the document that the layer takes as options. */
  readonly defaults?: Readonly<Record<string, unknown>>
}

export interface OpenedBackend {
  readonly provider: ProviderService
  /** It takes the wide spec of the backend. */
  readonly creator: NodeCreatorService
}

/** Why a backend of a document cannot be used on this runner. */
export interface NoBackend {
  readonly _tag: "NoBackend"
  readonly reason: "NoSuchBackend" | "NotConfigured"
  readonly message: string
}

export const noBackend = (reason: NoBackend["reason"], message: string): NoBackend => ({
  _tag: "NoBackend",
  reason,
  message
})

/** Opens a backend. Its scope is that of the runner. */
export type Open = (address: BackendAddress) => Effect.Effect<OpenedBackend, NoBackend, Scope.Scope>

export interface Backends {
  readonly get: (address: BackendAddress) => Effect.Effect<OpenedBackend, NoBackend>
}

/** `hetzner`, or `hetzner/eu` for an instance. */
export const backendKey = ({ backend, instance }: BackendAddress): string =>
  instance === undefined ? backend : `${backend}/${instance}`

/** Opens layers by the key of the record: `docker`, `hetzner/eu`, or `docker:kind` for a label scheme. */
export const openLayers =
  (layers: Readonly<Record<string, Layer.Layer<Provider | NodeCreator, unknown>>>): Open => (address) => {
    const key = backendKey(address)
    const layer = layers[`${key}:${address.scheme ?? ""}`] ?? layers[key]
    return layer === undefined
      ? Effect.fail(
        noBackend(
          "NoSuchBackend",
          `this fleet has no backend "${key}"; it has ${Object.keys(layers).map((name) => `"${name}"`).join(", ")}`
        )
      )
      : Layer.build(layer).pipe(
        Effect.map((context) => ({
          provider: Context.get(context, Provider),
          creator: Context.get(context, NodeCreator)
        })),
        Effect.catch((error) =>
          Effect.fail(
            noBackend("NotConfigured", error instanceof Error ? error.message : `backend "${key}" cannot be built`)
          )
        )
      )
  }

/** A backend stays open this long after its last use. */
const idle = "10 minutes"

export const makeBackends = (open: Open): Effect.Effect<Backends, never, Scope.Scope> =>
  Effect.gen(function*() {
    const scope = yield* Effect.scope
    const addresses = new Map<string, BackendAddress>()
    const opened = yield* RcMap.make({
      lookup: (key: string) => open(addresses.get(key) ?? { backend: key }),
      idleTimeToLive: idle
    })
    return {
      get: (address) => {
        const key = JSON.stringify([backendKey(address), address.scheme, address.defaults])
        addresses.set(key, address)
        // An opened backend stays open for the runner; one that failed to open is tried again by the next cluster.
        return RcMap.get(opened, key).pipe(
          Scope.provide(scope),
          Effect.tapError(() => RcMap.invalidate(opened, key))
        )
      }
    }
  })
