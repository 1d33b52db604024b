/** The options of the Docker layer, and the methods of its service. */
import type * as Effect from "effect/Effect"
import type * as Stream from "effect/Stream"
import type * as Policy from "../Policy.ts"
import type { Subject } from "../Progress.ts"
import type { NodeCreatorService, ProviderService } from "../Provider.ts"
import type { BackendFailure, ProviderUnavailable } from "../ProviderError.ts"
import type { BackendError } from "../Reason.ts"
import type { AddNodes } from "./Backend.ts"
import type { ConnectionOptions } from "./Connection.ts"
import type { ExecEvent, ExecOptions } from "./Exec.ts"
import type { LogLine, LogOptions } from "./Logs.ts"
import type { RegistryOptions } from "./Registry.ts"
import type { SchemeChoice } from "./Scheme.ts"
import type { DockerClusterSpec, NodeDefaults } from "./Spec.ts"
import type { PublishedPort } from "./Translate.ts"

/**
 * @category models
 * @since 0.1.0
 */
export interface Options extends ConnectionOptions, RegistryOptions, NodeDefaults {
  /**
   * The label scheme of nodes; `kubelayer` by default. `auto` finds the clusters of every scheme in one call, and creates
   * nodes in the scheme `kubelayer`.
   */
  readonly scheme?: SchemeChoice
  /** The name of this instance, as errors, spans and metrics show it; `docker` by default. */
  readonly name?: string
  /** Overrides of the policy for this layer. */
  readonly policy?: Policy.Overrides
}

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
