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
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as Backend from "../Backend.ts"
import { type AddNodes, makeBackend } from "../docker/Backend.ts"
import * as Client from "../docker/Client.ts"
import { isNode, listContainers } from "../docker/ClusterNodes.ts"
import { type ConnectionOptions, environment } from "../docker/Connection.ts"
import type { ExecEvent, ExecOptions } from "../docker/Exec.ts"
import type { LogLine, LogOptions } from "../docker/Logs.ts"
import type { RegistryOptions } from "../docker/Registry.ts"
import type { SchemeChoice } from "../docker/Scheme.ts"
import { chosenSchemes, schemeChoices } from "../docker/Schemes.ts"
import type { DockerClusterSpec, NodeDefaults } from "../docker/Spec.ts"
import { portMappingsOf, type PublishedPort } from "../docker/Translate.ts"
import { checkClusterName } from "../internal/ClusterNames.ts"
import { makeLayers } from "../internal/Layers.ts"
import { failWith, method, streamMethod } from "../internal/Method.ts"
import type { ClusterName } from "../Model.ts"
import * as Policy from "../Policy.ts"
import type { Subject } from "../Progress.ts"
import type { NodeCreator, NodeCreatorService, Provider, ProviderService } from "../Provider.ts"
import {
  type BackendFailure,
  type InvalidSpec,
  type ProviderUnavailable,
  UnknownLabelScheme
} from "../ProviderError.ts"
import { AmbiguousCluster, type BackendError, NotFoundError } from "../Reason.ts"

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

// A program that only lists, starts and stops does not load logs and exec.
const loadLogs = Effect.promise(() => import("../docker/Logs.ts"))
const loadExec = Effect.promise(() => import("../docker/Exec.ts"))

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
  const policy = Effect.map(Policy.Current, (context) => Policy.make(options.policy, context))
  const client = yield* Client.make({
    connection: options,
    registry: options,
    environment: yield* environment,
    policy
  })
  const { backend } = makeBackend({
    client,
    schemes,
    defaults: options,
    ...(options.name === undefined ? {} : { name: options.name }),
    ...(options.policy === undefined ? {} : { policy: options.policy })
  })
  const { creator, provider } = Backend.make(backend)

  /** The nodes of a cluster; a name in two schemes is refused. */
  const nodes = (cluster: ClusterName) =>
    Effect.gen(function*() {
      const containers = (yield* listContainers(client, schemes, cluster)).filter(isNode)
        .filter(({ member }) => member.membership.cluster === cluster)
      const candidates = [...new Set(containers.map(({ member }) => `${member.scheme.name}/${cluster}`))]
      if (candidates.length < 2) return containers
      return yield* failWith(
        new AmbiguousCluster({
          detail: `${cluster} is a cluster in several schemes: ${candidates.join(", ")}`,
          candidates
        })
      )
    })

  const inNode = <A, E>(
    operation: string,
    cluster: string,
    node: string,
    f: (id: string) => Stream.Stream<A, E>
  ): Stream.Stream<A, E | BackendFailure> =>
    Stream.unwrap(Effect.gen(function*() {
      const found = yield* nodes(yield* checkClusterName(cluster))
      const member = found.find(({ container, name }) => name === node || container.Id === node)
      return member === undefined
        ? yield* failWith(new NotFoundError({ detail: `cluster ${cluster} has no node ${node}` }))
        : f(member.container.Id)
    })).pipe(streamMethod("docker", operation, cluster))

  return {
    provider,
    creator,
    scheme,
    plan: creator.plan,
    createNodes: creator.createNodes,
    createNodesScoped: creator.createNodesScoped,
    apply: creator.apply,
    addNodes: creator.addNodes,
    removeNodes: creator.removeNodes,
    sweep: creator.sweep,
    portMappings: (cluster) =>
      Effect.flatMap(
        checkClusterName(cluster),
        (name) =>
          Effect.map(nodes(name), (found) => found.flatMap(({ container, name }) => portMappingsOf(name, container)))
      ).pipe(
        method("docker", "portMappings", cluster)
      ),
    resources: (cluster) =>
      Effect.map(
        provider.planDelete(cluster),
        ({ steps }) =>
          steps.flatMap(({ id, kind, name }) =>
            kind === "node" ? [] : [{ kind, name, ...(id === undefined ? {} : { id }) }]
          )
      ),
    logs: (cluster, node, logging = {}) =>
      inNode(
        "logs",
        cluster,
        node,
        (id) => Stream.unwrap(Effect.map(loadLogs, ({ logs }) => logs(client, id, logging)))
      ),
    exec: (cluster, node, execution) =>
      inNode(
        "exec",
        cluster,
        node,
        (id) => Stream.unwrap(Effect.map(loadExec, ({ exec }) => exec(client, id, execution)))
      ),
    client: (f) => client.use(f).pipe(method("docker", "client"))
  }
})

// -----------------------------------------------------------------------------
// Layers
// -----------------------------------------------------------------------------

const layers = makeLayers<Docker, DockerService, Options, UnknownLabelScheme>(Docker, make, [
  {
    name: "KUBELAYER_SCHEME",
    option: "scheme",
    example: "kind",
    otherwise: "auto",
    issue: (text) =>
      chosenSchemes(text as SchemeChoice) === undefined
        ? `is not a scheme. The schemes are ${schemeChoices.join(", ")}`
        : undefined
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
