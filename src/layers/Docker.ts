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
import type { DockerService, Options } from "../docker/Options.ts"
import { isSchemeChoice, schemeChoices } from "../docker/Scheme.ts"
import { makeLayers } from "../internal/Layers.ts"
import { load } from "../internal/Loading.ts"
import type { NodeCreator, Provider } from "../Provider.ts"
import type { InvalidSpec, UnknownLabelScheme } from "../ProviderError.ts"

export type { AddNodes } from "../docker/Backend.ts"
export type { ExecEvent, ExecOptions } from "../docker/Exec.ts"
export type { Piece } from "../docker/Frames.ts"
export type { LogLine, LogOptions } from "../docker/Logs.ts"
export type { DockerService, Options } from "../docker/Options.ts"
export type { RegistryLogin, RegistryOptions } from "../docker/Registry.ts"
export type { PortMapping, SchemeChoice, SchemeName } from "../docker/Scheme.ts"
export type { DockerClusterSpec, DockerNodePool, NodeDefaults, NodeSpec } from "../docker/Spec.ts"
export type { PublishedPort } from "../docker/Translate.ts"

// -----------------------------------------------------------------------------
// Service
// -----------------------------------------------------------------------------

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
const loadService = load(() => import("../docker/Service.ts"))

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
