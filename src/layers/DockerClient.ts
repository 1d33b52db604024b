/**
 * dockerode on the engine of a `Docker` layer, for calls that kubelayer has no method for.
 *
 * The types of this module are those of `@types/dockerode`, which has to be installed to compile it. `layers/Docker` needs
 * no types but its own.
 *
 * @since 0.2.0
 */
import type Dockerode from "dockerode"
import type * as Effect from "effect/Effect"
import type { ProviderUnavailable } from "../ProviderError.ts"
import type { BackendError } from "../Reason.ts"
import type { DockerService } from "./Docker.ts"

/**
 * Calls dockerode on the layer's engine. A rejection becomes a typed error. Pass the signal on as `abortSignal`, and an
 * interruption ends the call.
 *
 * **Example** (The version of the engine)
 *
 * ```ts
 * import * as Effect from "effect/Effect"
 * import * as Docker from "kubelayer/layers/Docker"
 * import * as DockerClient from "kubelayer/layers/DockerClient"
 *
 * export const program = Docker.Docker.pipe(
 *   Effect.flatMap((docker) => DockerClient.use(docker, (dockerode) => dockerode.version())),
 *   Effect.provide(Docker.layer())
 * )
 * ```
 *
 * @category combinators
 * @since 0.2.0
 */
export const use = <A>(
  docker: Pick<DockerService, "client">,
  f: (dockerode: Dockerode, signal: AbortSignal) => Promise<A>
): Effect.Effect<A, ProviderUnavailable | BackendError> =>
  docker.client((dockerode, signal) => f(dockerode as Dockerode, signal))
