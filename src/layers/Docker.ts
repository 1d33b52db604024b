/**
 * Nodes in Docker containers: kind, k3d, Talos, and kubelayer's own scheme.
 *
 * `layer` gives `Provider`, `NodeCreator` and `Docker` from one instance. The labels of the scheme decide which
 * containers belong to a cluster. The engine is found as the docker CLI finds it. The layer builds without an engine:
 * every method then fails with `ProviderUnavailable`, and works as soon as the engine runs. It bootstraps no
 * Kubernetes: the image decides what runs in a node.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import type * as Stream from "effect/Stream"
import type { AddNodes } from "../docker/Backend.ts"
import type { ConnectionOptions } from "../docker/Connection.ts"
import type { ExecEvent, ExecOptions } from "../docker/Exec.ts"
import type { LogLine, LogOptions } from "../docker/Logs.ts"
import type { RegistryOptions } from "../docker/Registry.ts"
import { isSchemeChoice, type SchemeChoice, schemeChoices } from "../docker/Scheme.ts"
import type { DockerClusterSpec, NodeDefaults } from "../docker/Spec.ts"
import type { PublishedPort } from "../docker/Translate.ts"
import { makeLayers } from "../internal/Layers.ts"
import type * as Policy from "../Policy.ts"
import type { Subject } from "../Progress.ts"
import type { NodeCreator, NodeCreatorService, Provider, ProviderService } from "../Provider.ts"
import type { BackendFailure, InvalidSpec, ProviderUnavailable, UnknownLabelScheme } from "../ProviderError.ts"
import type { BackendError } from "../Reason.ts"

export type { AddNodes } from "../docker/Backend.ts"
export type { ExecEvent, ExecOptions } from "../docker/Exec.ts"
export type { Piece } from "../docker/Frames.ts"
export type { LogLine, LogOptions } from "../docker/Logs.ts"
export type { RegistryLogin, RegistryOptions } from "../docker/Registry.ts"
export type { PortMapping, SchemeChoice, SchemeName } from "../docker/Scheme.ts"
export type { DockerClusterSpec, DockerNodePool, NodeDefaults, NodeSpec } from "../docker/Spec.ts"
export type { PublishedPort } from "../docker/Translate.ts"

// -----------------------------------------------------------------------------
// Options
// -----------------------------------------------------------------------------

/**
 * @category models
 * @since 0.1.0
 */
export interface Options extends ConnectionOptions, RegistryOptions, NodeDefaults {
  /**
   * How nodes are marked; `kubelayer`, our own, by default. `auto` finds the clusters of every scheme in one call, and
   * makes nodes in our own.
   */
  readonly scheme?: SchemeChoice
  /** The name of this instance, as errors, spans and metrics show it; `docker` by default. */
  readonly name?: string
  /** Overrides of the policy for this layer. */
  readonly policy?: Policy.Overrides
}

// -----------------------------------------------------------------------------
// Service
// -----------------------------------------------------------------------------

/**
 * The methods that only Docker has.
 *
 * @category models
 * @since 0.1.0
 */
export interface DockerService {
  /** The methods of every backend, such as `docker.provider.listNodes("dev")`. */
  readonly provider: ProviderService
  readonly creator: NodeCreatorService<DockerClusterSpec, AddNodes>
  readonly scheme: SchemeChoice
  /** As `NodeCreator.plan`, from the full description; see `DockerClusterSpec`. */
  readonly plan: NodeCreatorService<DockerClusterSpec>["plan"]
  /** As `NodeCreator.createNodes`, from the full description. */
  readonly createNodes: NodeCreatorService<DockerClusterSpec>["createNodes"]
  /** `createNodes`, and `deleteNodes` when the scope closes. */
  readonly createNodesScoped: NodeCreatorService<DockerClusterSpec>["createNodesScoped"]
  readonly apply: NodeCreatorService<DockerClusterSpec>["apply"]
  /**
   * Adds nodes to a cluster that exists, also to one that its own tool created: they join the network of its nodes. Their
   * names are the first free ones. A second control plane of a kind cluster needs a load balancer, and so its image.
   */
  readonly addNodes: NodeCreatorService<DockerClusterSpec, AddNodes>["addNodes"]
  /** Deletes nodes of a cluster by name; a name that the cluster does not have is `AlreadyDone`. Volumes stay. */
  readonly removeNodes: NodeCreatorService["removeNodes"]
  /** The ports of a cluster that are published, as they are reachable now; a stopped node has none. */
  readonly portMappings: (cluster: string) => Effect.Effect<ReadonlyArray<PublishedPort>, BackendFailure>
  /** The networks and named volumes that are the cluster's own, which `deleteNodes` would remove. */
  readonly resources: (cluster: string) => Effect.Effect<ReadonlyArray<Subject>, BackendFailure>
  /** The log of a node, named by its name or id. With `follow` it goes on over restarts, until the node is removed. */
  readonly logs: (
    cluster: string,
    node: string,
    options?: LogOptions
  ) => Stream.Stream<LogLine, BackendFailure>
  /** Runs a command in a node: its output as it comes, and last its exit code. */
  readonly exec: (cluster: string, node: string, options: ExecOptions) => Stream.Stream<ExecEvent, BackendFailure>
  /**
   * dockerode on the same engine, untyped. `kubelayer/layers/DockerClient` gives it its types.
   */
  readonly client: <A>(
    f: (dockerode: unknown, signal: AbortSignal) => Promise<A>
  ) => Effect.Effect<A, ProviderUnavailable | BackendError>
  /** As `NodeCreator.sweep`, for the schemes of the layer. */
  readonly sweep: NodeCreatorService["sweep"]
}

/**
 * Docker's own service, beside the `Provider` that it gives.
 *
 * **Example** (Nodes with published ports and a volume each)
 *
 * ```ts
 * import * as Effect from "effect/Effect"
 * import * as Docker from "kubelayer/layers/Docker"
 *
 * const program = Effect.gen(function*() {
 *   const docker = yield* Docker.Docker
 *   yield* docker.createNodes({
 *     cluster: "dev",
 *     controlPlanes: 1,
 *     workers: 2,
 *     nodes: { image: "alpine:3.22", command: ["sleep", "infinity"] },
 *     // A host port that is not given is chosen now, and stays.
 *     controlPlane: { ports: [{ container: 6443, address: "127.0.0.1" }] },
 *     worker: { volumes: [{ name: "data", target: "/var/lib/data" }] },
 *     volumes: [{ name: "data", perNode: true }]
 *   })
 *   return yield* docker.portMappings("dev")
 * })
 *
 * export const main = program.pipe(Effect.provide(Docker.layer()))
 * ```
 *
 * @category services
 * @since 0.1.0
 */
export class Docker extends Context.Service<Docker, DockerService>()("kubelayer/Docker") {}

// -----------------------------------------------------------------------------
// Constructors
// -----------------------------------------------------------------------------

// A program that imports the layer and does not use it loads nothing of the backend.
const loadService = Effect.promise(() => import("../docker/Service.ts"))

/**
 * Makes the service. Opens no connection; the first call does.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options = {}): Effect.Effect<DockerService, UnknownLabelScheme> =>
  Effect.flatMap(loadService, ({ makeService }) => makeService(options))

// -----------------------------------------------------------------------------
// Layers
// -----------------------------------------------------------------------------

const layers = makeLayers<Docker, DockerService, Options, UnknownLabelScheme>(Docker, make, [
  {
    name: "KUBELAYER_SCHEME",
    option: "scheme",
    example: "kind",
    otherwise: "auto",
    issue: (text) => isSchemeChoice(text) ? undefined : `is not a scheme. The schemes are ${schemeChoices.join(", ")}`
  },
  {
    name: "KUBELAYER_IMAGE",
    option: "nodes",
    example: "kindest/node:v1.34.0",
    isOpen: ({ nodes }) => nodes?.image === undefined,
    value: (image, { nodes }) => ({ ...nodes, image })
  }
])

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
export const layer = (options: Options = {}): Layer.Layer<Provider | NodeCreator | Docker, UnknownLabelScheme> =>
  layers.layer(options)

/**
 * `Docker` alone, for programs with several backends; `layerFrom(Docker)` of `kubelayer/Provider` chooses it.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerService = (options: Options = {}): Layer.Layer<Docker, UnknownLabelScheme> =>
  layers.layerService(options)

/**
 * `layer` with the options that `overrides` leaves open read from the environment: KUBELAYER_SCHEME (`auto` if it is not
 * set) and KUBELAYER_IMAGE. Fails with an `InvalidSpec` that names the variable. DOCKER_HOST, DOCKER_CONTEXT and the
 * other variables of the docker CLI hold for every layer.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerConfig: (
  overrides?: Options
) => Layer.Layer<Provider | NodeCreator | Docker, UnknownLabelScheme | InvalidSpec> = layers.layerConfig

/**
 * `layerService` with the options that `overrides` leaves open read from the environment, as `layerConfig` does.
 *
 * @category layers
 * @since 0.2.0
 */
export const layerServiceConfig: (overrides?: Options) => Layer.Layer<Docker, UnknownLabelScheme | InvalidSpec> =
  layers.layerServiceConfig
