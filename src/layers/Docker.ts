/**
 * Nodes in Docker containers: kind, k3d, Talos, and kubelayer's own scheme.
 *
 * `layer` gives `Provider`, `NodeCreator` and `Docker` from one instance. Which containers are a cluster's is said by
 * the scheme's labels; the engine is found as the docker CLI finds it. The layer builds without an engine: every method
 * then fails with `ProviderUnavailable`, and works as soon as there is one. It bootstraps no Kubernetes: what runs in a
 * node is a matter of its image.
 *
 * @since 0.1.0
 */
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Client from "../docker/Client.ts"
import { type ConnectionOptions, environment } from "../docker/Connection.ts"
import { createCluster } from "../docker/Create.ts"
import { deleteCluster, ownResources } from "../docker/Delete.ts"
import { clusters, members } from "../docker/Members.ts"
import * as Power from "../docker/Power.ts"
import { chosenSchemes, type SchemeChoice, schemeChoices } from "../docker/Schemes.ts"
import type { DockerClusterSpec, NodeDefaults } from "../docker/Spec.ts"
import { type Orphan, sweep } from "../docker/Sweep.ts"
import { portMappingsOf, type PublishedPort } from "../docker/Translate.ts"
import { watchCluster } from "../docker/Watch.ts"
import { method } from "../internal/Method.ts"
import { makeProvider, statusOf } from "../internal/ProviderBuilder.ts"
import { checkClusterName, type OperationReport } from "../Model.ts"
import * as Policy from "../Policy.ts"
import type { Subject } from "../Progress.ts"
import {
  type CreateFailure,
  makeNodeCreator,
  NodeCreator,
  type NodeCreatorService,
  Provider,
  type ProviderService,
  scopedCreate
} from "../Provider.ts"
import {
  type BackendError,
  type BackendFailure,
  type ProviderUnavailable,
  UnknownLabelScheme
} from "../ProviderError.ts"

export type { PortMapping, SchemeChoice, SchemeName } from "../docker/Schemes.ts"
export type { DockerClusterSpec, NodeDefaults, NodeSpec } from "../docker/Spec.ts"
export type { Orphan } from "../docker/Sweep.ts"
export type { PublishedPort } from "../docker/Translate.ts"

// -----------------------------------------------------------------------------
// Options
// -----------------------------------------------------------------------------

/**
 * @category models
 * @since 0.1.0
 */
export interface Options extends ConnectionOptions, NodeDefaults {
  /**
   * How nodes are marked; `kubelayer`, our own, by default. `auto` finds the clusters of every scheme in one call, and
   * makes nodes in our own.
   */
  readonly scheme?: SchemeChoice
  /** Overrides of the policy for this layer. */
  readonly policy?: Policy.Overrides
}

// -----------------------------------------------------------------------------
// Service
// -----------------------------------------------------------------------------

/**
 * What only Docker can do.
 *
 * @category models
 * @since 0.1.0
 */
export interface DockerService {
  readonly provider: ProviderService
  readonly creator: NodeCreatorService
  readonly scheme: SchemeChoice
  /** Makes nodes from the full description; see `DockerClusterSpec`. Otherwise as `NodeCreator.createNodes`. */
  readonly createNodes: (spec: DockerClusterSpec) => Effect.Effect<OperationReport, CreateFailure>
  /** `createNodes`, and `deleteNodes` when the scope closes. */
  readonly createNodesScoped: (
    spec: DockerClusterSpec
  ) => Effect.Effect<OperationReport, CreateFailure, Scope.Scope>
  /** The ports of a cluster that are published, as they are reachable now; a stopped node has none. */
  readonly portMappings: (cluster: string) => Effect.Effect<ReadonlyArray<PublishedPort>, BackendFailure>
  /** The networks and named volumes that are the cluster's own, which `deleteNodes` would remove. */
  readonly resources: (cluster: string) => Effect.Effect<ReadonlyArray<Subject>, BackendFailure>
  /**
   * What kubelayer made, in any scheme, and is provably nobody's: the process that made it ran here and is dead, and it
   * was bound to a scope of that process, or was left half-made. Lists it; with `remove`, removes it too.
   */
  readonly sweep: (options: {
    readonly olderThan: Duration.Input
    readonly remove?: boolean
  }) => Effect.Effect<ReadonlyArray<Orphan>, ProviderUnavailable | BackendError>
}

/**
 * @category services
 * @since 0.1.0
 */
export class Docker extends Context.Service<Docker, DockerService>()("kubelayer/Docker") {}

// -----------------------------------------------------------------------------
// Constructors
// -----------------------------------------------------------------------------

/** What holds for Docker where nobody says otherwise, beside the general defaults. */
const backendPolicy: Policy.Overrides = {}

/**
 * Makes the service. Opens no connection; the first call does.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function*(
  options: Options = {}
): Effect.fn.Return<DockerService, UnknownLabelScheme> {
  const scheme = options.scheme ?? "kubelayer"
  const schemes = chosenSchemes(scheme)
  if (schemes === undefined) return yield* new UnknownLabelScheme({ scheme: String(scheme), known: schemeChoices })
  const policy = Effect.map(Policy.Current, (context) => Policy.make(backendPolicy, options.policy, context))
  const client = yield* Client.make({ connection: options, environment: yield* environment, policy })

  const listNodes = (cluster: Parameters<typeof members>[2]) =>
    Effect.map(members(client, schemes, cluster), (found) => found.map((member) => member.node))
  const status = (cluster: Parameters<typeof members>[2]) =>
    Effect.flatMap(listNodes(cluster), (nodes) => Effect.map(client.address, (endpoint) => statusOf(nodes, endpoint)))

  const provider = makeProvider({
    name: "docker",
    policy,
    endpoint: client.address,
    ping: client.ping,
    listNodes,
    listAllClusters: clusters(client, schemes),
    start: Power.start(client, schemes),
    stop: Power.stop(client, schemes),
    delete: deleteCluster(client, schemes),
    watch: watchCluster({ client, schemes, policy, status })
  })

  const create = createCluster({ client, schemes, policy, defaults: options })
  const createNodes = (spec: DockerClusterSpec) => create(spec).pipe(method("docker", "createNodes", spec.cluster))

  const read = <A, E>(
    operation: string,
    cluster: string,
    f: (cluster: Parameters<typeof members>[2]) => Effect.Effect<A, E>
  ) => Effect.flatMap(checkClusterName(cluster), f).pipe(method("docker", operation, cluster))

  return {
    provider,
    creator: makeNodeCreator(createNodes, provider.deleteNodes, policy),
    scheme,
    createNodes,
    createNodesScoped: scopedCreate(createNodes, provider.deleteNodes, policy),
    portMappings: (cluster) =>
      read(
        "portMappings",
        cluster,
        (clusterName) =>
          Effect.map(
            members(client, schemes, clusterName),
            (found) => found.flatMap((member) => portMappingsOf(member.name, member.container))
          )
      ),
    resources: (cluster) =>
      read("resources", cluster, (clusterName) =>
        members(client, schemes, clusterName).pipe(
          Effect.flatMap((found) => ownResources(client, schemes, clusterName, found)),
          Effect.map((resources) => resources.map((resource) => resource.subject))
        )),
    sweep: (sweeping) => sweep(client, sweeping).pipe(method("docker", "sweep"))
  }
})

// -----------------------------------------------------------------------------
// Layers
// -----------------------------------------------------------------------------

/**
 * `Docker` alone, for programs with several backends; `Provider.layerFrom(Docker)` chooses it.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerService = (options: Options = {}): Layer.Layer<Docker, UnknownLabelScheme> =>
  Layer.effect(Docker, make(options))

const everything = (service: DockerService) =>
  Context.make(Docker, service).pipe(
    Context.add(Provider, service.provider),
    Context.add(NodeCreator, service.creator)
  )

/**
 * `Provider`, `NodeCreator` and `Docker` from one instance.
 *
 * **Example** (Starting the nodes of a kind cluster)
 *
 * ```ts
 * import * as Effect from "effect/Effect"
 * import * as Docker from "kubelayer/layers/Docker"
 * import { Provider } from "kubelayer/Provider"
 *
 * export const program = Provider.use((provider) => provider.startNodes("dev")).pipe(
 *   Effect.provide(Docker.layer({ scheme: "kind" }))
 * )
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (
  options: Options = {}
): Layer.Layer<Provider | NodeCreator | Docker, UnknownLabelScheme> =>
  Layer.effectContext(Effect.map(make(options), everything))

/**
 * The options that the environment gives: KUBELAYER_SCHEME (`auto` where it is not set) and KUBELAYER_IMAGE. DOCKER_HOST, DOCKER_CONTEXT and the
 * other variables of the docker CLI hold for every layer.
 *
 * @category config
 * @since 0.1.0
 */
export const config: Config.Config<Options> = Config.all({
  scheme: Config.option(Config.NonEmptyString("KUBELAYER_SCHEME")),
  image: Config.option(Config.NonEmptyString("KUBELAYER_IMAGE"))
}).pipe(
  Config.map(({ image, scheme }) => ({
    // Whether the scheme is known is told by `make`, with the list of those that are.
    scheme: Option.getOrElse(scheme, () => "auto") as SchemeChoice,
    ...(Option.isSome(image) ? { nodes: { image: image.value } } : {})
  }))
)

/**
 * `layer` with what `overrides` leave open taken from the environment.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerConfig = (
  overrides: Options = {}
): Layer.Layer<Provider | NodeCreator | Docker, UnknownLabelScheme | Config.ConfigError> =>
  Layer.effectContext(
    Effect.flatMap(config, (found) => Effect.map(make({ ...found, ...overrides }), everything))
  )
