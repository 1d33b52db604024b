/**
 * The requirements and errors of Hetzner's layers and service. `tsc` is the test.
 */
import * as Effect from "effect/Effect"
import type { HttpClient } from "effect/http/HttpClient"
import type * as Layer from "effect/Layer"
import type * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Hetzner from "kubelayer/layers/Hetzner"
import type { Plan } from "kubelayer/Plan"
import { type CreateFailure, type NodeCreator, Provider } from "kubelayer/Provider"
import type {
  BackendFailure,
  ClusterNotFound,
  InvalidSpec,
  NodesFailed,
  OperationTimeout
} from "kubelayer/ProviderError"
import type { OperationReport } from "kubelayer/Report"
import { expectTypeOf } from "vitest"

declare const hetzner: Hetzner.HetznerService

type Services = Provider | NodeCreator | Hetzner.Hetzner

expectTypeOf(Hetzner.layer).returns.toEqualTypeOf<Layer.Layer<Services, InvalidSpec>>()
expectTypeOf(Hetzner.layerService).returns.toEqualTypeOf<Layer.Layer<Hetzner.Hetzner, InvalidSpec>>()
expectTypeOf(Hetzner.layerConfig).returns.toEqualTypeOf<Layer.Layer<Services, InvalidSpec>>()
expectTypeOf(Hetzner.layerHttpClient).returns.toEqualTypeOf<Layer.Layer<Services, InvalidSpec, HttpClient>>()
expectTypeOf(Hetzner.make).returns.toEqualTypeOf<Effect.Effect<Hetzner.HetznerService, InvalidSpec, Scope.Scope>>()

// Nothing is left to be provided.
expectTypeOf(
  Provider.use((provider) => provider.listAllClusters).pipe(Effect.provide(Hetzner.layerConfig()))
).toExtend<Effect.Effect<ReadonlyArray<string>, unknown>>()

expectTypeOf(hetzner.createNodes).returns.toEqualTypeOf<Effect.Effect<OperationReport, CreateFailure>>()
expectTypeOf(hetzner.createNodesScoped).returns.toEqualTypeOf<
  Effect.Effect<OperationReport, CreateFailure, Scope.Scope>
>()
expectTypeOf(hetzner.plan).returns.toEqualTypeOf<Effect.Effect<Plan, InvalidSpec | BackendFailure>>()
expectTypeOf(hetzner.addNodes).returns.toEqualTypeOf<Effect.Effect<OperationReport, CreateFailure | ClusterNotFound>>()
expectTypeOf(hetzner.removeNodes).returns.toEqualTypeOf<
  Effect.Effect<OperationReport, NodesFailed | OperationTimeout | ClusterNotFound | BackendFailure>
>()
expectTypeOf(hetzner.quota).toEqualTypeOf<Effect.Effect<Option.Option<Hetzner.Quota>>>()
