/**
 * The types of `kubelayer/promise` for each backend. `tsc` is the test; nothing here is run.
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Docker from "kubelayer/layers/Docker"
import type * as Hetzner from "kubelayer/layers/Hetzner"
import * as Memory from "kubelayer/layers/Memory"
import type * as Mock from "kubelayer/layers/Mock"
import type * as Omni from "kubelayer/layers/Omni"
import type { ClusterName, ClusterStatus, NodeInfo } from "kubelayer/Model"
import type { AbortError, CallOptions, Connection, ErrorsOf, Held } from "kubelayer/promise"
import { connect } from "kubelayer/promise"
import type { NodeCreatorService, ProviderService } from "kubelayer/Provider"
import type { NodesFailed, NoNodes, OperationTimeout } from "kubelayer/ProviderError"
import type { BackendFailure } from "kubelayer/ProviderError"
import type { OperationReport } from "kubelayer/Report"
import { expectTypeOf } from "vitest"

declare const docker: Connection<Docker.DockerService>
declare const hetzner: Connection<Hetzner.HetznerService>
declare const omni: Connection<Omni.OmniService>
declare const memory: Connection<Memory.MemoryService>
declare const mock: Connection<Mock.MockService>

// -----------------------------------------------------------------------------
// Every backend
// -----------------------------------------------------------------------------

expectTypeOf(connect.docker).returns.resolves.toEqualTypeOf<typeof docker>()
expectTypeOf(connect.hetzner).returns.resolves.toEqualTypeOf<typeof hetzner>()
expectTypeOf(connect.omni).returns.resolves.toEqualTypeOf<typeof omni>()
expectTypeOf(connect.memory).returns.resolves.toEqualTypeOf<typeof memory>()
expectTypeOf(connect.mock).returns.resolves.toEqualTypeOf<typeof mock>()

for (const backend of [docker, hetzner, omni, memory, mock]) {
  expectTypeOf(backend).toExtend<AsyncDisposable>()
  expectTypeOf(backend.backend).toEqualTypeOf<string>()
  expectTypeOf(backend.listNodes("dev")).resolves.toEqualTypeOf<ReadonlyArray<NodeInfo>>()
  expectTypeOf(backend.listAllClusters()).resolves.toEqualTypeOf<ReadonlyArray<ClusterName>>()
  expectTypeOf(backend.isAvailable()).resolves.toEqualTypeOf<boolean>()
  expectTypeOf(backend.getClusterStatus("dev")).resolves.toEqualTypeOf<ClusterStatus | undefined>()
  expectTypeOf(backend.watchCluster("dev")).toEqualTypeOf<AsyncIterable<ClusterStatus>>()
  expectTypeOf(backend.startNodes("dev", { signal: AbortSignal.timeout(1) })).resolves.toEqualTypeOf<OperationReport>()
  expectTypeOf(backend.startNodes("dev", { pool: "a" }, { onEvent: () => {} })).resolves
    .toEqualTypeOf<OperationReport>()
  expectTypeOf<ErrorsOf<typeof backend.startNodes>>().toEqualTypeOf<
    NoNodes | NodesFailed | OperationTimeout | BackendFailure | AbortError
  >()
}

// The scoped create is held.
const spec = { cluster: "dev", controlPlanes: 1, workers: 1 }
expectTypeOf(docker.createNodesScoped(spec)).resolves.toEqualTypeOf<Held<OperationReport>>()
expectTypeOf(memory.failWhile).returns.resolves.toEqualTypeOf<Held<void>>()
expectTypeOf(memory.creator.createNodesScoped(spec)).resolves.toEqualTypeOf<Held<OperationReport>>()

// A gate may give a promise.
expectTypeOf(docker.replaceNodes("dev", { pool: "a", gate: async () => {} })).resolves.toEqualTypeOf<OperationReport>()

// The methods that only one backend has.
expectTypeOf(docker.logs("dev", "dev-worker")).toEqualTypeOf<AsyncIterable<Docker.LogLine>>()
expectTypeOf(docker.createNodes({ ...spec, volumes: [{ name: "data" }] })).resolves.toEqualTypeOf<OperationReport>()
expectTypeOf(hetzner.quota()).resolves.toEqualTypeOf<Hetzner.Quota | undefined>()
expectTypeOf(omni.kubeconfig("dev", { ttl: "1 hour" })).resolves.toEqualTypeOf<Omni.Kubeconfig>()
expectTypeOf(memory.world()).resolves.toEqualTypeOf<Memory.World>()

// -----------------------------------------------------------------------------
// What the compiler refuses
// -----------------------------------------------------------------------------

// @ts-expect-error a method takes no option that it does not know
void docker.listNodes("dev", { timeout: 1 })

// @ts-expect-error the scoped methods are named
void connect(Memory.Memory, Memory.layer(), { createNodesScoped: true })

/** The last argument is known by its keys, so no argument of a method may consist of these keys alone. */
type Arguments<S> = {
  [K in keyof S]: S[K] extends (...args: infer Args) => unknown ? Args[number] : never
}[keyof S]
type OnlyCallOptions<A> = A extends string | number | boolean | undefined | ReadonlyArray<unknown> ? never
  : A extends (...args: never) => unknown ? never
  : A extends object ? Exclude<keyof A, keyof CallOptions> extends never ? A : never
  : never
type Confused = OnlyCallOptions<
  Arguments<
    & ProviderService
    & NodeCreatorService
    & Docker.DockerService
    & Hetzner.HetznerService
    & Omni.OmniService
    & Memory.MemoryService
    & Mock.MockService
  >
>
expectTypeOf<Confused>().toBeNever()

/** A service of someone else. */
interface Custom {
  readonly provider: ProviderService
  readonly creator: NodeCreatorService
  readonly answer: Effect.Effect<42>
}
const Custom = Context.Service<Custom>("Custom")
declare const custom: Layer.Layer<Custom>
expectTypeOf(connect(Custom, Layer.fresh(custom), { createNodesScoped: true })).resolves.toEqualTypeOf<
  Connection<Custom>
>()
