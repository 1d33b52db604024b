/**
 * Builds the services of a backend from what it can do (`kubelayer/Resource`). Docker, Hetzner, Omni and Memory are built
 * with it, and so is any backend outside of this package.
 *
 * The engine does everything that is the same for all backends: order, ownership, adoption after a lost reply, repair,
 * undo, reports, plans, scaling, sweeps, watches and reconnects. `docs/adding-a-backend.md` walks through a whole
 * backend.
 *
 * The module is experimental: a minor version may change it.
 *
 * @since 0.2.0
 */
import * as Effect from "effect/Effect"
import { makeEngine, PolicyInForce } from "./internal/engine/Engine.ts"
import { makeCreator, makeProvider } from "./internal/engine/Services.ts"
import { failWith } from "./internal/Method.ts"
import { retrying as retryingWith } from "./internal/Retry.ts"
import type { Policy } from "./Policy.ts"
import type { AddedNodes, ClusterSpec, NodeCreatorService, ProviderService } from "./Provider.ts"
import type { BackendError, Reason } from "./Reason.ts"
import type { Backend, Resource, Want } from "./Resource.ts"

export { ownerProcessExited, parseSession, type Session } from "./internal/Session.ts"
export { CurrentUrgency, type Urgency } from "./internal/Urgency.ts"
export type * from "./Resource.ts"

/**
 * The services of one instance of a backend.
 *
 * @category models
 * @since 0.2.0
 */
export interface Services<Spec extends ClusterSpec, Added extends AddedNodes = AddedNodes> {
  readonly provider: ProviderService
  /** With the backend's own spec; it is a `NodeCreator` too. */
  readonly creator: NodeCreatorService<Spec, Added>
}

/**
 * Builds the services of a backend.
 *
 * @category constructors
 * @since 0.2.0
 */
export const make = <
  Spec extends ClusterSpec,
  Node,
  Read,
  Write extends Read,
  Added extends AddedNodes = AddedNodes
>(
  backend: Backend<Spec, Node, Read, Write, Added>
): Services<Spec, Added> => {
  const engine = makeEngine<Read, Write>(backend)
  const provider = makeProvider(engine)
  return { provider, creator: makeCreator<Spec, Added, Read, Write>(engine, provider) }
}

/**
 * One thing that a spec requests, for `Backend.desired`.
 *
 * @category constructors
 * @since 0.2.0
 */
export const want = <Wanted, Actual, Read, Write extends Read>(
  resource: Resource<Wanted, Actual, Read, Write>,
  wanted: Wanted
): Want<Read, Write> => ({ resource, wanted })

/**
 * The policy of the method that runs.
 *
 * @category references
 * @since 0.2.0
 */
export const policy: Effect.Effect<Policy> = Effect.map(PolicyInForce, (inForce) => inForce)

/**
 * Sends a read, or a write that is safe to repeat, again as the policy says: where the reason is retryable and the wait
 * fits before the deadline. A create is not safe to repeat; the engine resolves it by its name.
 *
 * @category combinators
 * @since 0.2.0
 */
export const retrying = <A, E, R>(call: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.flatMap(PolicyInForce, (inForce) => retryingWith(inForce)(call))

/**
 * Fails with a reason, as an error of the method that runs.
 *
 * @category constructors
 * @since 0.2.0
 */
export const fail: (reason: Reason) => Effect.Effect<never, BackendError> = failWith
