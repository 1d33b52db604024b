/**
 * Nodes in servers of the Hetzner Cloud.
 *
 * `layer` gives `Provider`, `NodeCreator` and `Hetzner` from one instance. Labels decide which servers belong to a
 * cluster: those of kubelayer, those of KSail, or a user's own. The layer builds without the network: an invalid token
 * or endpoint is refused at once, every other failure is that of a method. It bootstraps no Kubernetes: image and user
 * data decide what runs on a server.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { HttpClient } from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Backend from "../Backend.ts"
import { makeBackend } from "../hetzner/Backend.ts"
import * as Client from "../hetzner/Client.ts"
import { credentialState } from "../hetzner/CredentialState.ts"
import type { Kinds } from "../hetzner/Kinds.ts"
import { isMarked, type Labelled, type Ownership, type OwnershipChoice, ownershipOf } from "../hetzner/Labels.ts"
import type { Quota } from "../hetzner/Quota.ts"
import type { AddNodes, HetznerClusterSpec, NodeDefaults } from "../hetzner/Spec.ts"
import { type ConnectionOptions, credential } from "../hetzner/Token.ts"
import * as Wire from "../hetzner/Wire.ts"
import { checkClusterName } from "../internal/ClusterNames.ts"
import { everything, makeLayers } from "../internal/Layers.ts"
import { load } from "../internal/Loading.ts"
import { method } from "../internal/Method.ts"
import type { ClusterName } from "../Model.ts"
import * as Policy from "../Policy.ts"
import type { Subject } from "../Progress.ts"
import { NodeCreator, type NodeCreatorService, Provider, type ProviderService } from "../Provider.ts"
import type { BackendFailure, InvalidSpec } from "../ProviderError.ts"

export type { CustomOwnership, OwnershipChoice } from "../hetzner/Labels.ts"
export type { Quota } from "../hetzner/Quota.ts"
export type {
  AddNodes,
  FirewallRule,
  HetznerClusterSpec,
  ImageReference,
  LoadBalancerSpec,
  NetworkSpec,
  NodeDefaults,
  PoolSpec,
  ServerSpec,
  VolumeSpec
} from "../hetzner/Spec.ts"

// -----------------------------------------------------------------------------
// Options
// -----------------------------------------------------------------------------

/**
 * @category models
 * @since 0.1.0
 */
export interface Options extends ConnectionOptions, NodeDefaults {
  /**
   * The labels that say which cluster owns a thing. `kubelayer` by default; `ksail` for the labels of KSail's clusters; or
   * a scheme of your own, given as functions.
   */
  readonly ownership?: OwnershipChoice
  /** How long a server may take to shut down before it is powered off; 90 seconds by default. */
  readonly grace?: Duration.Input
  /** Overrides of the policy for this layer. */
  readonly policy?: Policy.Overrides
  /** The name of this instance in errors and spans; `hetzner` where it is left out. */
  readonly name?: string
}

// -----------------------------------------------------------------------------
// Service
// -----------------------------------------------------------------------------

type Creator = NodeCreatorService<HetznerClusterSpec, AddNodes>

/**
 * The methods of `Hetzner`. Those of `NodeCreator` take the whole spec of Hetzner.
 *
 * @category models
 * @since 0.1.0
 */
export interface HetznerService {
  readonly provider: ProviderService
  readonly creator: Creator
  /** The steps from what the Project has to what the spec requests, with prices and deprecations. It writes nothing. */
  readonly plan: Creator["plan"]
  /** Creates servers from the whole spec; otherwise as `NodeCreator.createNodes`. */
  readonly createNodes: Creator["createNodes"]
  /** `createNodes`, and `deleteNodes` when the scope closes. */
  readonly createNodesScoped: Creator["createNodesScoped"]
  /** Carries a plan out, changes and deletions included. */
  readonly apply: Creator["apply"]
  /**
   * Adds servers to a cluster that exists, under the first free names. They join its network, its firewall and its
   * placement groups.
   */
  readonly addNodes: Creator["addNodes"]
  /** Deletes servers of a cluster by name. Volumes stay until the cluster is deleted. */
  readonly removeNodes: Creator["removeNodes"]
  /**
   * Deletes servers and creates them again under their names, one wave at a time. The API does not give user data and SSH
   * keys back, so they come from the options of the layer; it fails with `InvalidSpec` where those are other ones.
   */
  readonly replaceNodes: Creator["replaceNodes"]
  /** Shuts servers down and starts them again, one wave at a time. */
  readonly restartNodes: Creator["restartNodes"]
  /** Lists what exited processes have left behind, and removes it with `remove`. */
  readonly sweep: Creator["sweep"]
  /** The resources that the cluster owns beside its servers. */
  readonly resources: (cluster: string) => Effect.Effect<ReadonlyArray<Subject>, BackendFailure>
  /** The quota of requests that is left, as far as this process knows; none before the first reply. */
  readonly quota: Effect.Effect<Option.Option<Quota>>
}

/**
 * Hetzner's own service, beside the `Provider` that it gives.
 *
 * **Example** (What a create would do, before it is done)
 *
 * ```ts
 * import * as Effect from "effect/Effect"
 * import * as Hetzner from "kubelayer/layers/Hetzner"
 *
 * const spec: Hetzner.HetznerClusterSpec = {
 *   cluster: "dev",
 *   controlPlanes: 3,
 *   workers: 5,
 *   nodes: { image: "debian-13", serverTypes: ["cx33", "cpx31"], locations: ["fsn1", "nbg1"] },
 *   firewall: { rules: [{ direction: "in", protocol: "tcp", port: "6443", sourceIps: ["203.0.113.0/24"] }] }
 * }
 *
 * const program = Effect.gen(function*() {
 *   const hetzner = yield* Hetzner.Hetzner
 *   const plan = yield* hetzner.plan(spec)
 *   console.log(plan.toString())
 *   return yield* hetzner.apply(plan)
 * })
 *
 * export const main = program.pipe(Effect.provide(Hetzner.layerConfig()))
 * ```
 *
 * @category services
 * @since 0.1.0
 */
export class Hetzner extends Context.Service<Hetzner, HetznerService>()("kubelayer/Hetzner") {}

// -----------------------------------------------------------------------------
// Constructors
// -----------------------------------------------------------------------------

/** The defaults of the policy on Hetzner. Servers take long to change, and requests need little of this machine. */
const backendPolicy: Policy.Overrides = {
  // Long enough that a request without a reply is sent once more.
  retry: Schedule.min([Schedule.exponential("200 millis"), Schedule.spaced("5 seconds")]).pipe(
    Schedule.jittered,
    Schedule.upTo({ times: 5, duration: "1 minute" })
  ),
  poll: Schedule.min([Schedule.exponential("500 millis", 1.5), Schedule.spaced("3 seconds")]),
  nodeTimeout: { create: "10 minutes", start: "5 minutes", stop: "5 minutes", delete: "5 minutes" },
  cleanupTimeout: "5 minutes",
  concurrency: { create: 16, start: 32, stop: 32, delete: 32 }
}

/** The resources of a cluster, by the labels of each kind. */
const resourcesOf = (client: Client.Reading, kinds: Kinds, ownership: Ownership, cluster: ClusterName) =>
  Effect.map(
    Effect.forEach(
      [
        [kinds.networks.kind, Wire.networks],
        [kinds.firewalls.kind, Wire.firewalls],
        [kinds.groups.kind, Wire.placementGroups],
        [kinds.floatingIps.kind, Wire.floatingIps],
        [kinds.volumes.kind, Wire.volumes],
        [kinds.sshKeys.kind, Wire.sshKeys]
      ] as const,
      ([kind, collection]) =>
        Effect.map(
          client.list<Labelled>(collection, { label_selector: ownership.selectorFor(cluster) }),
          (found) =>
            found.filter(({ labels }) => ownership.classify(labels)?.cluster === cluster)
              .map(({ id, name }): Subject => ({ kind, name, id: String(id) }))
        ),
      { concurrency: 6 }
    ),
    (all) => all.flat()
  )

const makeWith = Effect.fnUntraced(function*(
  http: HttpClient,
  options: Options
): Effect.fn.Return<HetznerService, InvalidSpec, Scope.Scope> {
  const checked = yield* credential(options)
  const ownership = ownershipOf(options.ownership ?? "kubelayer")
  const policy = Effect.map(Policy.Current, (context) => Policy.make(backendPolicy, options.policy, context))
  const { governor, sharedList } = yield* credentialState(checked)
  const isOwned = (labels: Readonly<Record<string, string>>) =>
    ownership.classify(labels) !== undefined || isMarked(labels)
  const client = yield* Client.make({ credential: checked, http, governor, policy, isOwned })
  const { backend, kinds } = yield* makeBackend({
    client,
    governor,
    sharedList,
    ownership,
    defaults: options,
    grace: Duration.fromInputUnsafe(options.grace ?? "90 seconds"),
    policy,
    overrides: Policy.make(backendPolicy, options.policy),
    ...(options.name === undefined ? {} : { name: options.name })
  })
  const { creator, provider } = Backend.make(backend)
  const { addNodes, apply, createNodes, createNodesScoped, plan, removeNodes, replaceNodes, restartNodes, sweep } =
    creator
  return {
    provider,
    creator,
    plan,
    createNodes,
    createNodesScoped,
    apply,
    addNodes,
    removeNodes,
    replaceNodes,
    restartNodes,
    sweep,
    resources: (cluster) =>
      Effect.flatMap(checkClusterName(cluster), (name) => resourcesOf(client, kinds, ownership, name)).pipe(
        method("hetzner", "resources", cluster)
      ),
    quota: Effect.map(governor.quota, Option.fromUndefinedOr)
  }
})

/** Fetch as the platform has it. It follows no redirect: where the API is, the endpoint says. */
const fetchClient: Effect.Effect<HttpClient> = load(() =>
  Promise.all([import("effect/http/FetchHttpClient"), import("effect/http/HttpClient")])
).pipe(
  Effect.flatMap(([Fetch, { HttpClient: Tag, transformResponse }]) =>
    Effect.map(
      Effect.provide(Tag, Fetch.layer),
      transformResponse(Effect.provideService(Fetch.RequestInit, { redirect: "manual" }))
    )
  )
)

/**
 * Makes the service, for programs with two of a kind. Sends nothing; the first call does. Fails with `InvalidSpec` where
 * the token or the endpoint cannot be meant.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options): Effect.Effect<HetznerService, InvalidSpec, Scope.Scope> =>
  Effect.flatMap(fetchClient, (http) => makeWith(http, options))

// -----------------------------------------------------------------------------
// Layers
// -----------------------------------------------------------------------------

const layers = makeLayers(Hetzner, make, [
  {
    name: "HCLOUD_TOKEN",
    option: "token",
    example: "<the 64 letters and digits of an API token with read and write access>",
    isRequired: true,
    isCredential: true
  },
  { name: "HCLOUD_ENDPOINT", option: "endpoint", example: "https://api.hetzner.cloud/v1" }
])

/**
 * `Provider`, `NodeCreator` and `Hetzner` from one instance.
 *
 * **Example** (Starting the servers of a cluster that KSail created)
 *
 * ```ts
 * import * as Effect from "effect/Effect"
 * import * as Hetzner from "kubelayer/layers/Hetzner"
 * import { Provider } from "kubelayer/Provider"
 *
 * export const program = (token: string) =>
 *   Provider.use((provider) => provider.startNodes("dev")).pipe(
 *     Effect.provide(Hetzner.layer({ token, ownership: "ksail" }))
 *   )
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer: (options: Options) => Layer.Layer<Provider | NodeCreator | Hetzner, InvalidSpec> = layers.layer

/**
 * `Hetzner` alone, for programs with several backends; `layerFrom(Hetzner)` of `kubelayer/Provider` chooses it.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerService: (options: Options) => Layer.Layer<Hetzner, InvalidSpec> = layers.layerService

/**
 * `layer` over an `HttpClient` from outside: another transport, a proxy, or a fake.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerHttpClient = (
  options: Options
): Layer.Layer<Provider | NodeCreator | Hetzner, InvalidSpec, HttpClient> =>
  Layer.effectContext(
    load(() => import("effect/http/HttpClient")).pipe(
      Effect.flatMap(({ HttpClient: Tag }) => Tag),
      Effect.flatMap((http) => makeWith(http, options)),
      Effect.map((service) => everything(Hetzner, service))
    )
  )

/**
 * `layer` with the options that `overrides` leaves open read from the environment: HCLOUD_TOKEN, and HCLOUD_ENDPOINT if
 * it is set. Fails with an `InvalidSpec` that names the variable.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerConfig: (
  overrides?: Partial<Options>
) => Layer.Layer<Provider | NodeCreator | Hetzner, InvalidSpec> = layers.layerConfig

/**
 * `layerService` with the options that `overrides` leaves open read from the environment, as `layerConfig` does.
 *
 * @category layers
 * @since 0.2.0
 */
export const layerServiceConfig: (overrides?: Partial<Options>) => Layer.Layer<Hetzner, InvalidSpec> =
  layers.layerServiceConfig
