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
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Client from "../docker/Client.ts"
import { type ConnectionOptions, environment } from "../docker/Connection.ts"
import type { ExecEvent, ExecOptions } from "../docker/Exec.ts"
import type { LogLine, LogOptions } from "../docker/Logs.ts"
import { clusters, members } from "../docker/Members.ts"
import type { RegistryOptions } from "../docker/Registry.ts"
import type { AddNodes } from "../docker/Scale.ts"
import type { SchemeChoice } from "../docker/Scheme.ts"
import { chosenSchemes, schemeChoices } from "../docker/Schemes.ts"
import type { DockerClusterSpec, NodeDefaults } from "../docker/Spec.ts"
import type { Orphan } from "../docker/Sweep.ts"
import { portMappingsOf, type PublishedPort } from "../docker/Translate.ts"
import { checkClusterName } from "../internal/ClusterNames.ts"
import { makeGate } from "../internal/Gate.ts"
import { makeLayers } from "../internal/Layers.ts"
import { failWith, method, streamMethod } from "../internal/Method.ts"
import { restOfCreator } from "../internal/NotPorted.ts"
import { makeProvider, statusOf } from "../internal/ProviderBuilder.ts"
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
import {
  type BackendFailure,
  type ClusterNotFound,
  type InvalidSpec,
  type NodesFailed,
  type OperationTimeout,
  type ProviderUnavailable,
  UnknownLabelScheme
} from "../ProviderError.ts"
import { type BackendError, NotFoundError } from "../Reason.ts"
import type { OperationReport } from "../Report.ts"

export type { ExecEvent, ExecOptions } from "../docker/Exec.ts"
export type { Piece } from "../docker/Frames.ts"
export type { LogLine, LogOptions } from "../docker/Logs.ts"
export type { RegistryLogin, RegistryOptions } from "../docker/Registry.ts"
export type { AddNodes } from "../docker/Scale.ts"
export type { PortMapping, SchemeChoice, SchemeName } from "../docker/Scheme.ts"
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
export interface Options extends ConnectionOptions, RegistryOptions, NodeDefaults {
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
  /** The methods of every backend, such as `docker.provider.listNodes("dev")`. */
  readonly provider: ProviderService
  readonly creator: NodeCreatorService
  readonly scheme: SchemeChoice
  /** Makes nodes from the full description; see `DockerClusterSpec`. Otherwise as `NodeCreator.createNodes`. */
  readonly createNodes: (spec: DockerClusterSpec) => Effect.Effect<OperationReport, CreateFailure>
  /** `createNodes`, and `deleteNodes` when the scope closes. */
  readonly createNodesScoped: (
    spec: DockerClusterSpec
  ) => Effect.Effect<OperationReport, CreateFailure, Scope.Scope>
  /**
   * Adds nodes to a cluster that is there, also one that its own tool made. Their names are the first that are free. A
   * second control plane of a kind cluster needs a load balancer, and so its image.
   */
  readonly addNodes: (
    cluster: string,
    nodes: AddNodes
  ) => Effect.Effect<OperationReport, CreateFailure | ClusterNotFound>
  /** Deletes some nodes of a cluster, by name; one that is not there is `AlreadyDone`. Volumes stay with the cluster. */
  readonly removeNodes: (
    cluster: string,
    names: ReadonlyArray<string>
  ) => Effect.Effect<OperationReport, NodesFailed | OperationTimeout | ClusterNotFound | BackendFailure>
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

// A program loads the parts of the layer that it uses.
const loadPower = Effect.promise(() => import("../docker/Power.ts"))
const loadWatch = Effect.promise(() => import("../docker/Watch.ts"))
const loadCreate = Effect.promise(() => import("../docker/Create.ts"))
const loadDelete = Effect.promise(() => import("../docker/Delete.ts"))
const loadScale = Effect.promise(() => import("../docker/Scale.ts"))
const loadSweep = Effect.promise(() => import("../docker/Sweep.ts"))
const loadLogs = Effect.promise(() => import("../docker/Logs.ts"))
const loadExec = Effect.promise(() => import("../docker/Exec.ts"))

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
  const client = yield* Client.make({ connection: options, registry: options, environment: yield* environment, policy })

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
    start: (operation) => Effect.flatMap(loadPower, ({ start }) => start(client, schemes)(operation)),
    stop: (operation) => Effect.flatMap(loadPower, ({ stop }) => stop(client, schemes)(operation)),
    delete: (operation) => Effect.flatMap(loadDelete, ({ deleteCluster }) => deleteCluster(client, schemes)(operation)),
    watch: (cluster) =>
      Stream.unwrap(
        Effect.map(loadWatch, ({ watchCluster }) => watchCluster({ client, schemes, policy, status })(cluster))
      )
  })

  const context = { client, schemes, policy, defaults: options, gate: makeGate() }
  const createNodes = (spec: DockerClusterSpec) =>
    Effect.flatMap(loadCreate, ({ createCluster }) => createCluster(context)(spec)).pipe(
      method("docker", "createNodes", spec.cluster)
    )

  const read = <A, E>(
    operation: string,
    cluster: string,
    f: (cluster: Parameters<typeof members>[2]) => Effect.Effect<A, E>
  ) => Effect.flatMap(checkClusterName(cluster), f).pipe(method("docker", operation, cluster))

  const inNode = <A, E>(
    operation: string,
    cluster: string,
    node: string,
    f: (id: string) => Stream.Stream<A, E>
  ): Stream.Stream<A, E | BackendFailure> =>
    Stream.unwrap(Effect.gen(function*() {
      const found = yield* members(client, schemes, yield* checkClusterName(cluster))
      const member = found.find((each) => each.name === node || each.container.Id === node)
      return member === undefined
        ? yield* failWith(new NotFoundError({ detail: `cluster ${cluster} has no node ${node}` }))
        : f(member.container.Id)
    })).pipe(streamMethod("docker", operation, cluster))

  const addNodes: DockerService["addNodes"] = (cluster, nodes) =>
    Effect.flatMap(loadScale, ({ addNodes }) => addNodes(context)(cluster, nodes)).pipe(
      method("docker", "addNodes", cluster)
    )
  const removeNodes: DockerService["removeNodes"] = (cluster, names) =>
    Effect.flatMap(loadScale, ({ removeNodes }) => removeNodes(context)(cluster, names)).pipe(
      method("docker", "removeNodes", cluster)
    )
  const sweep: DockerService["sweep"] = (sweeping) =>
    Effect.flatMap(loadSweep, ({ sweep }) => sweep(client, sweeping)).pipe(method("docker", "sweep"))

  return {
    provider,
    creator: {
      ...makeNodeCreator(createNodes, provider.deleteNodes, policy),
      ...restOfCreator("docker", {
        addNodes,
        removeNodes,
        sweep: (sweeping) =>
          Effect.map(
            sweep(sweeping),
            (found) => found.map(({ owner, ...orphan }) => ({ ...orphan, clusterName: owner.split("/").at(-1) ?? "" }))
          )
      })
    },
    scheme,
    createNodes,
    createNodesScoped: scopedCreate(createNodes, provider.deleteNodes, policy),
    addNodes,
    removeNodes,
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
          Effect.flatMap((found) =>
            Effect.flatMap(loadDelete, ({ ownResources }) => ownResources(client, schemes, clusterName, found))
          ),
          Effect.map((resources) => resources.map((resource) => resource.subject))
        )),
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
    client: (f) => client.use(f).pipe(method("docker", "client")),
    sweep
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
