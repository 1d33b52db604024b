/**
 * A fake Omni: a real gRPC server on the loopback interface that keeps resources as Omni does, plays its controllers, and
 * verifies signatures.
 *
 * It is for tests of programs that use `kubelayer/layers/Omni`, and for a first try without an account. Its answers are
 * held to recordings of Omni 1.9.3; `omni/README.md` beside this file lists what it leaves out. It shares nothing with the
 * client but the proto files. It runs on the Clock of the layer that creates it, notes what callers send against the
 * protocol (`violations`), and can fail, lag, forget and cut.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Layer from "effect/Layer"
import { makeFake } from "./omni/Fake.ts"
import type { OmniFakeService, Options } from "./omni/FakeService.ts"

export type { Role } from "./omni/Access.ts"
export type { OmniCall, OrderedFailure } from "./omni/Calls.ts"
export type { FakeResource, OmniFakeService, Options, TalosVersion } from "./omni/FakeService.ts"
export type { MachineOptions } from "./omni/Machines.ts"
export type { WriteLimit } from "./omni/Throttle.ts"

/**
 * A fake Omni.
 *
 * **Example** (A program against it)
 *
 * ```ts run
 * import * as Effect from "effect/Effect"
 * import * as Omni from "kubelayer/layers/Omni"
 * import { OmniFake } from "kubelayer/testing"
 *
 * const program = Effect.gen(function*() {
 *   const fake = yield* OmniFake.OmniFake
 *   yield* fake.addCluster("dev", { controlPlanes: 1, workers: 2 })
 *   const omni = yield* Omni.make({ endpoint: fake.endpoint, serviceAccountKey: fake.serviceAccountKey })
 *   return yield* omni.provider.listNodes("dev")
 * })
 *
 * const nodes = await Effect.runPromise(Effect.scoped(program).pipe(Effect.provide(OmniFake.layer())))
 * console.log(nodes.map((node) => `${node.role} ${node.state}`).join(", "))
 * // => control-plane running, worker running, worker running
 * ```
 *
 * @category services
 * @since 0.1.0
 */
export class OmniFake extends Context.Service<OmniFake, OmniFakeService>()("kubelayer/testing/OmniFake") {}

/**
 * Starts a fake Omni for as long as the scope is open.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = makeFake

/**
 * `OmniFake` for as long as the layer is in use.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options = {}): Layer.Layer<OmniFake> => Layer.effect(OmniFake, make(options))
