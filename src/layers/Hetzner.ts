/**
 * Nodes in servers of the Hetzner Cloud.
 *
 * `layer` gives `Provider`, `NodeCreator` and `Hetzner` from one instance. Which servers are a cluster's is said by their
 * labels: ours, KSail's, or a user's own scheme. The layer builds without the network: a token or an endpoint that cannot
 * be meant is refused at once, everything else is told by the methods. It bootstraps no Kubernetes: what runs on a server
 * is a matter of its image and its user data.
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
import { makeActions } from "../hetzner/Actions.ts"
import { makeShortages } from "../hetzner/Candidates.ts"
import * as Client from "../hetzner/Client.ts"
import { type Context as CreateContext, createCluster, planCluster } from "../hetzner/Create.ts"
import { deleteCluster } from "../hetzner/Delete.ts"
import type { PlanStep } from "../hetzner/Judge.ts"
import { isMarked, type OwnershipChoice, ownershipOf } from "../hetzner/Labels.ts"
import { clusters, members } from "../hetzner/Members.ts"
import * as Power from "../hetzner/Power.ts"
import { asDelete, type Quota } from "../hetzner/Quota.ts"
import { resources } from "../hetzner/Resources.ts"
import { type AddNodes, addNodes, removeNodes } from "../hetzner/Scale.ts"
import { sharedBy } from "../hetzner/Shared.ts"
import type { HetznerClusterSpec, NodeDefaults } from "../hetzner/Spec.ts"
import { type Orphan, sweep } from "../hetzner/Sweep.ts"
import { type ConnectionOptions, credential } from "../hetzner/Token.ts"
import { watchCluster } from "../hetzner/Watch.ts"
import { checkClusterName } from "../internal/ClusterNames.ts"
import { makeGate } from "../internal/Gate.ts"
import { everything, makeLayers } from "../internal/Layers.ts"
import { method } from "../internal/Method.ts"
import { restOfCreator } from "../internal/NotPorted.ts"
import { makeProvider } from "../internal/ProviderBuilder.ts"
import { makeNodeCreator, scopedCreate } from "../internal/ScopedCreate.ts"
import * as Policy from "../Policy.ts"
import type { Subject } from "../Progress.ts"
import {
  type CreateFailure,
  NodeCreator,
  type NodeCreatorService,
  Provider,
  type ProviderService
} from "../Provider.ts"
import type {
  BackendFailure,
  ClusterNotFound,
  InvalidSpec,
  NodesFailed,
  OperationTimeout,
  ProviderUnavailable
} from "../ProviderError.ts"
import type { BackendError } from "../Reason.ts"
import type { OperationReport } from "../Report.ts"

export type { PlanStep } from "../hetzner/Judge.ts"
export type { CustomOwnership, OwnershipChoice } from "../hetzner/Labels.ts"
export type { Quota } from "../hetzner/Quota.ts"
export type { AddNodes } from "../hetzner/Scale.ts"
export type {
  FirewallRule,
  HetznerClusterSpec,
  NetworkSpec,
  NodeDefaults,
  ServerSpec,
  VolumeSpec
} from "../hetzner/Spec.ts"
export type { Orphan } from "../hetzner/Sweep.ts"

// -----------------------------------------------------------------------------
// Options
// -----------------------------------------------------------------------------

/**
 * @category models
 * @since 0.1.0
 */
export interface Options extends ConnectionOptions, NodeDefaults {
  /**
   * How a cluster's servers are marked; `kubelayer`, our own labels, by default. `ksail`: those of KSail's clusters. Or a
   * scheme of your own, given as functions.
   */
  readonly ownership?: OwnershipChoice
  /** How long a machine may take to obey a stop before its power is taken; 90 seconds by default. */
  readonly grace?: Duration.Input
  /** Overrides of the policy for this layer. */
  readonly policy?: Policy.Overrides
}

// -----------------------------------------------------------------------------
// Service
// -----------------------------------------------------------------------------

/**
 * What only Hetzner can do.
 *
 * @category models
 * @since 0.1.0
 */
export interface HetznerService {
  readonly provider: ProviderService
  readonly creator: NodeCreatorService
  /** Makes servers from the full description; see `HetznerClusterSpec`. Otherwise as `NodeCreator.createNodes`. */
  readonly createNodes: (spec: HetznerClusterSpec) => Effect.Effect<OperationReport, CreateFailure>
  /** `createNodes`, and `deleteNodes` when the scope closes. */
  readonly createNodesScoped: (
    spec: HetznerClusterSpec
  ) => Effect.Effect<OperationReport, CreateFailure, Scope.Scope>
  /** What `createNodes` would do with the same spec, line by line. It writes nothing. */
  readonly plan: (spec: HetznerClusterSpec) => Effect.Effect<ReadonlyArray<PlanStep>, InvalidSpec | BackendFailure>
  /** Adds nodes to a cluster that is there. Their names are the first that are free. */
  readonly addNodes: (
    cluster: string,
    nodes: AddNodes
  ) => Effect.Effect<OperationReport, CreateFailure | ClusterNotFound>
  /** Deletes some nodes of a cluster, by name; one that is not there is `AlreadyDone`. Volumes stay with the cluster. */
  readonly removeNodes: (
    cluster: string,
    names: ReadonlyArray<string>
  ) => Effect.Effect<OperationReport, NodesFailed | OperationTimeout | ClusterNotFound | BackendFailure>
  /** What is the cluster's own beside its servers, which `deleteNodes` would look at. */
  readonly resources: (cluster: string) => Effect.Effect<ReadonlyArray<Subject>, BackendFailure>
  /** How much of the Project's quota of requests is left, as far as this process knows; none before the first reply. */
  readonly quota: Effect.Effect<Option.Option<Quota>>
  /**
   * What kubelayer made and is provably nobody's: the process that made it ran here and is dead, and it was bound to a
   * scope of that process, was left half-made, or has no server any more. Lists it; with `remove`, removes it too.
   */
  readonly sweep: (options: {
    readonly olderThan: Duration.Input
    readonly remove?: boolean
  }) => Effect.Effect<ReadonlyArray<Orphan>, ProviderUnavailable | BackendError>
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
 *   for (const step of yield* hetzner.plan(spec)) console.log(step.action, step.kind, step.name)
 *   return yield* hetzner.createNodes(spec)
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

/** What holds for Hetzner where nobody says otherwise. A server takes its time, and a request burns none of it. */
const backendPolicy: Policy.Overrides = {
  // Long enough that a request of which nothing was heard is sent once more.
  retry: Schedule.min([Schedule.exponential("200 millis"), Schedule.spaced("5 seconds")]).pipe(
    Schedule.jittered,
    Schedule.upTo({ times: 5, duration: "1 minute" })
  ),
  poll: Schedule.min([Schedule.exponential("500 millis", 1.5), Schedule.spaced("3 seconds")]),
  nodeTimeout: { create: "10 minutes", start: "5 minutes", stop: "5 minutes", delete: "5 minutes" },
  cleanupTimeout: "5 minutes",
  concurrency: { create: 16, start: 32, stop: 32, delete: 32 }
}

const makeWith = Effect.fnUntraced(function*(
  http: HttpClient,
  options: Options
): Effect.fn.Return<HetznerService, InvalidSpec, Scope.Scope> {
  const checked = yield* credential(options)
  const ownership = ownershipOf(options.ownership ?? "kubelayer")
  const policy = Effect.map(Policy.Current, (context) => Policy.make(backendPolicy, options.policy, context))
  const { governor, looks } = yield* sharedBy(checked)
  const isOwned = (labels: Readonly<Record<string, string>>) =>
    ownership.classify(labels) !== undefined || isMarked(labels)
  const client = yield* Client.make({ credential: checked, http, governor, policy, isOwned })
  const actions = makeActions(client, governor, policy)
  const grace = Duration.fromInputUnsafe(options.grace ?? "90 seconds")

  const powering: Power.Powering = { client, actions, ownership, grace }
  const provider = makeProvider({
    name: "hetzner",
    policy,
    endpoint: Effect.succeed(client.endpoint),
    ping: client.ping,
    listNodes: (cluster) => Effect.map(members(client, ownership, cluster), (found) => found.map(({ node }) => node)),
    listAllClusters: clusters(client, ownership),
    start: Power.start(powering),
    stop: Power.stop(powering),
    delete: deleteCluster({ client, actions, ownership }),
    watch: watchCluster({ client, ownership, policy, governor, looks })
  })

  const context: CreateContext = {
    client,
    actions,
    ownership,
    policy,
    defaults: options,
    gate: makeGate(),
    shortages: makeShortages()
  }
  const create = createCluster(context)
  const plan = planCluster(context)
  const add = addNodes(context)
  const remove = removeNodes(context)
  const createNodes = (spec: HetznerClusterSpec) => create(spec).pipe(method("hetzner", "createNodes", spec.cluster))

  const adding: HetznerService["addNodes"] = (cluster, nodes) =>
    add(cluster, nodes).pipe(method("hetzner", "addNodes", cluster))
  const removing: HetznerService["removeNodes"] = (cluster, names) =>
    remove(cluster, names).pipe(asDelete, method("hetzner", "removeNodes", cluster))
  const sweeping: HetznerService["sweep"] = (options) =>
    Effect.flatMap(policy, (current) => sweep({ client, actions, ownership }, current, options)).pipe(
      method("hetzner", "sweep")
    )

  return {
    provider,
    creator: {
      ...makeNodeCreator(createNodes, provider.deleteNodes, policy),
      ...restOfCreator("hetzner", {
        addNodes: adding,
        removeNodes: removing,
        sweep: (options) =>
          Effect.map(
            sweeping(options),
            (found) => found.map(({ cluster, ...orphan }) => ({ ...orphan, clusterName: cluster }))
          )
      })
    },
    createNodes,
    createNodesScoped: scopedCreate(createNodes, provider.deleteNodes, policy),
    plan: (spec) => plan(spec).pipe(method("hetzner", "plan", spec.cluster)),
    addNodes: adding,
    removeNodes: removing,
    resources: (cluster) =>
      Effect.flatMap(checkClusterName(cluster), (name) => resources(client, ownership, name)).pipe(
        method("hetzner", "resources", cluster)
      ),
    quota: Effect.map(governor.quota, Option.fromUndefinedOr),
    sweep: sweeping
  }
})

/** Fetch as the platform has it. It follows no redirect: where the API is, the endpoint says. */
const fetchClient: Effect.Effect<HttpClient> = Effect.promise(() =>
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
    Effect.promise(() => import("effect/http/HttpClient")).pipe(
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
