/**
 * Talos machines under Sidero Omni: clusters that are watched, and not polled.
 *
 * `layer` gives `Provider`, `NodeCreator` and `Omni` from one instance. It signs every call with a service account's
 * key, and opens its connection with the first call: without a server the layer builds, and every method fails with
 * `ProviderUnavailable`. Omni installs Talos and bootstraps Kubernetes; kubelayer requests that, and waits for it.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Backend from "../Backend.ts"
import { checkUnicodeClusterName } from "../internal/ClusterNames.ts"
import { everything, makeLayers } from "../internal/Layers.ts"
import { method } from "../internal/Method.ts"
import { scopedCreate } from "../internal/ScopedCreate.ts"
import type { ClusterName } from "../Model.ts"
import type { PowerOff } from "../omni/Access.ts"
import { makeBackend } from "../omni/Backend.ts"
import { type Blocker, blockersOf } from "../omni/Blockers.ts"
import type { Calls } from "../omni/Calls.ts"
import * as Client from "../omni/Client.ts"
import { type Kubeconfig, kubeconfig, type KubeconfigOptions, talosconfig } from "../omni/Configs.ts"
import type { ConnectionOptions, GrpcChannel } from "../omni/ConnectionOptions.ts"
import { makeLiveStatuses } from "../omni/LiveStatuses.ts"
import { type AvailableMachine, availableMachines, makeChoices } from "../omni/Machines.ts"
import * as Management from "../omni/Management.ts"
import { ping } from "../omni/Ping.ts"
import { makeServerVersion } from "../omni/ServerVersion.ts"
import { makeSharedStatuses } from "../omni/SharedWatch.ts"
import type { Credential } from "../omni/Signing.ts"
import type { ClusterDefaults } from "../omni/Spec.ts"
import * as State from "../omni/State.ts"
import { type GivenTemplate, isOfTemplate, makeTemplates } from "../omni/template/Apply.ts"
import type { Template } from "../omni/template/Model.ts"
import type { SyncOptions } from "../omni/template/Plan.ts"
import { talosVersions } from "../omni/template/Preflight.ts"
import type { KnownTalos } from "../omni/template/Versions.ts"
import { cancelUpgrade, planUpgrade, upgrade, type UpgradePath } from "../omni/Upgrade.ts"
import { awaitReady, awaitRunning, awaitUpgrade, type UpgradeOptions, type WaitOptions } from "../omni/Waits.ts"
import { loadProtos } from "../omni/Wire.ts"
import type { Plan } from "../Plan.ts"
import * as Policy from "../Policy.ts"
import {
  type ApplyFailure,
  type ClusterSpec,
  type CreateFailure,
  NodeCreator,
  type NodeCreatorService,
  Provider,
  type ProviderService
} from "../Provider.ts"
import type {
  BackendFailure,
  ClusterNotFound,
  InvalidSpec,
  NodesFailed,
  OperationTimeout,
  ProviderUnavailable
} from "../ProviderError.ts"
import type { BackendError } from "../Reason.ts"
import type { OperationReport } from "../Report.ts"

export type { PowerOff } from "../omni/Access.ts"
export type { Blocker } from "../omni/Blockers.ts"
export type { Kubeconfig, KubeconfigOptions } from "../omni/Configs.ts"
export type { ConnectionOptions, GrpcChannel } from "../omni/ConnectionOptions.ts"
export type { AvailableMachine, MachineSelection } from "../omni/Machines.ts"
export type { Credential } from "../omni/Signing.ts"
export type { ClusterDefaults } from "../omni/Spec.ts"
export type { GivenTemplate } from "../omni/template/Apply.ts"
export type {
  Patch,
  Strategy,
  Template,
  TemplateCluster,
  TemplateControlPlane,
  TemplateHealthCheck,
  TemplateMachine,
  TemplateManifests,
  TemplateWorkers
} from "../omni/template/Model.ts"
export type { SyncOptions } from "../omni/template/Plan.ts"
export type { KnownTalos } from "../omni/template/Versions.ts"
export type { UpgradePath } from "../omni/Upgrade.ts"
export type { UpgradeOptions, WaitOptions } from "../omni/Waits.ts"

// -----------------------------------------------------------------------------
// Options
// -----------------------------------------------------------------------------

/**
 * @category models
 * @since 0.1.0
 */
export interface Options extends ConnectionOptions, ClusterDefaults {
  /**
   * The machines that `stopNodes` powers off. `reversible` (the default): machines with the label of a static infra
   * provider, which Omni can power on again; the others are `Unsupported`. `always`: all machines; some need a person
   * to power on.
   */
  readonly powerOff?: PowerOff
  /**
   * `deleteNodes` takes machines that have no connection out of Omni, instead of waiting for them. They have to be
   * registered again before they can be used.
   */
  readonly destroyDisconnectedMachines?: boolean
  /** Overrides of the policy for this layer. */
  readonly policy?: Policy.Overrides
  /** The name of this instance in errors and spans; `omni` where it is left out. */
  readonly name?: string
}

// -----------------------------------------------------------------------------
// Service
// -----------------------------------------------------------------------------

/**
 * The methods that only Omni has.
 *
 * @category models
 * @since 0.1.0
 */
export interface OmniService {
  readonly provider: ProviderService
  readonly creator: NodeCreatorService
  /** The service account whose key signs the calls, and the expiry of the key. */
  readonly credential: Credential
  /** The plan of `createNodes`. It contains the machines that a create would choose. */
  readonly plan: NodeCreatorService["plan"]
  /** As `NodeCreator.createNodes`: it ends when all machines run and Omni reports the cluster as ready. */
  readonly createNodes: (spec: ClusterSpec) => Effect.Effect<OperationReport, CreateFailure>
  /** `createNodes`, and `deleteNodes` when the scope closes. */
  readonly createNodesScoped: (spec: ClusterSpec) => Effect.Effect<OperationReport, CreateFailure, Scope.Scope>
  /**
   * Carries out a plan of `plan`, `planTemplate` or `planDelete`. A saved plan of a template with patches, manifests or
   * health checks has digests of them only: give the template again. `NodeCreator.apply` takes plans of templates, too.
   */
  readonly apply: (
    plan: Plan,
    options?: { readonly spec?: ClusterSpec } | GivenTemplate
  ) => Effect.Effect<OperationReport, ApplyFailure>
  /**
   * Changes a cluster to what a template says, as `omnictl cluster template sync` does: a text of YAML documents, or a
   * value. Resources that the template does not have any more are destroyed; `planTemplate` shows them first. It undoes
   * nothing; run it again after a failure or interruption. It waits for nothing to run: see `awaitReady`. Errors before
   * the first write are the failure itself; later ones are in the report of `NodesFailed`.
   */
  readonly sync: (
    template: string | Template,
    options?: SyncOptions
  ) => Effect.Effect<
    OperationReport,
    InvalidSpec | NodesFailed | OperationTimeout | ProviderUnavailable | BackendError
  >
  /** The plan of `sync`. It writes nothing; `apply` carries it out. */
  readonly planTemplate: (
    template: string | Template,
    options?: SyncOptions
  ) => Effect.Effect<Plan, InvalidSpec | ProviderUnavailable | BackendError>
  /** A kubeconfig of a Kubernetes user of its own, with a token that ends. */
  readonly kubeconfig: (
    cluster: string,
    options?: KubeconfigOptions
  ) => Effect.Effect<Kubeconfig, InvalidSpec | ClusterNotFound | BackendFailure>
  /** A talosconfig for the cluster. It holds no secret: talosctl signs with a key of its user's. */
  readonly talosconfig: (cluster: string) => Effect.Effect<string, ClusterNotFound | BackendFailure>
  /** The Talos versions that the server knows, with the Kubernetes versions that each takes. */
  readonly talosVersions: Effect.Effect<ReadonlyArray<KnownTalos>, ProviderUnavailable | BackendError>
  /** The machines that are in no cluster and are connected. */
  readonly availableMachines: Effect.Effect<ReadonlyArray<AvailableMachine>, ProviderUnavailable | BackendError>
  /**
   * Waits until the cluster has all machines that it requests and each of them runs. A timeout is a `RequestTimeout` that
   * names what the cluster lacks. All waits for a cluster share one watch.
   */
  readonly awaitRunning: (
    cluster: string,
    options?: WaitOptions
  ) => Effect.Effect<void, ClusterNotFound | BackendFailure>
  /** The same, until all machines are healthy and the Kubernetes API answers, too. */
  readonly awaitReady: (
    cluster: string,
    options?: WaitOptions
  ) => Effect.Effect<void, ClusterNotFound | BackendFailure>
  /**
   * Waits until every machine has the Talos and Kubernetes versions of the cluster, or the given ones, and the cluster is
   * ready. A timeout names machines with another version.
   */
  readonly awaitUpgrade: (
    cluster: string,
    options?: UpgradeOptions
  ) => Effect.Effect<void, ClusterNotFound | BackendFailure>
  /**
   * How a cluster gets to versions of Talos and Kubernetes: the upgrades in order. Unknown and older versions, and a
   * Kubernetes that the Talos does not take, are an `InvalidSpec`. Writes nothing.
   */
  readonly planUpgrade: (
    cluster: string,
    versions: UpgradeOptions
  ) => Effect.Effect<ReadonlyArray<UpgradePath>, InvalidSpec | ClusterNotFound | BackendFailure>
  /**
   * Upgrades a cluster, and waits until every machine has the versions and the cluster is ready. Machines are in the
   * report as they get the Talos version. An upgrade that the server would refuse fails before the write: a version
   * that skips a minor, a locked cluster, an upgrade while another one runs. A timeout is in the report of
   * `NodesFailed`.
   */
  readonly upgrade: (
    cluster: string,
    versions: UpgradeOptions
  ) => Effect.Effect<
    OperationReport,
    InvalidSpec | ClusterNotFound | NodesFailed | OperationTimeout | BackendFailure
  >
  /** Takes an upgrade back that runs: the cluster requests its last versions again. Nothing where none runs. */
  readonly cancelUpgrade: (cluster: string) => Effect.Effect<void, ClusterNotFound | BackendFailure>
  /**
   * The causes that keep a cluster from becoming ready, or from being deleted. Empty if there are none, or if the
   * cluster does not exist.
   */
  readonly whyBlocked: (cluster: string) => Effect.Effect<ReadonlyArray<Blocker>, BackendFailure>
  /** As `NodeCreator.sweep`. */
  readonly sweep: NodeCreatorService["sweep"]
}

/**
 * Omni's own service, beside the `Provider` that it gives.
 *
 * **Example** (A cluster from a template, and its kubeconfig)
 *
 * ```ts
 * import * as Effect from "effect/Effect"
 * import * as Omni from "kubelayer/layers/Omni"
 *
 * const program = Effect.gen(function*() {
 *   const omni = yield* Omni.Omni
 *   yield* omni.sync({
 *     cluster: { name: "dev", kubernetes: { version: "v1.34.2" }, talos: { version: "v1.11.5" } },
 *     controlPlane: { machineClass: { name: "small", size: 1 } },
 *     workers: [{ machineClass: { name: "large", size: 2 } }]
 *   })
 *   yield* omni.awaitReady("dev", { timeout: "20 minutes" })
 *   return yield* omni.kubeconfig("dev", { ttl: "8 hours" })
 * })
 *
 * export const main = program.pipe(Effect.provide(Omni.layerConfig()))
 * ```
 *
 * @category services
 * @since 0.1.0
 */
export class Omni extends Context.Service<Omni, OmniService>()("kubelayer/Omni") {}

/**
 * A way to the server from outside, for `layerTransport`: a channel of `@grpc/grpc-js`, through a tunnel or proxy, or
 * the calls of an `OmniFake` inside the process. The caller closes it.
 *
 * @category services
 * @since 0.1.0
 */
export class Transport
  extends Context.Service<Transport, { readonly channel: GrpcChannel } | { readonly calls: Calls }>()(
    "kubelayer/layers/Omni/Transport"
  )
{}

// -----------------------------------------------------------------------------
// Constructors
// -----------------------------------------------------------------------------

/** The defaults of Omni: machines are installed, wiped and rebooted while an operation waits. */
const backendPolicy: Policy.Overrides = {
  nodeTimeout: { create: "30 minutes", start: "10 minutes", stop: "5 minutes", delete: "15 minutes" },
  cleanupTimeout: "5 minutes"
}

const makeOn = Effect.fnUntraced(function*(
  options: Options,
  transport: Transport["Service"] | undefined
): Effect.fn.Return<OmniService, InvalidSpec, Scope.Scope> {
  const overrides = Policy.merge(backendPolicy, options.policy)
  const policy = Effect.map(Policy.Current, (context) => Policy.make(overrides, context))
  const client = transport !== undefined && "calls" in transport
    ? Client.makeOn(transport.calls, policy)
    : yield* Client.make(options, policy, transport?.channel)
  const protos = yield* Effect.promise(loadProtos)
  const state = State.make(client, protos)
  const management = Management.make(client, protos)
  const statuses = yield* makeSharedStatuses(state)
  const waits = { state, statuses, blockers: blockersOf(state) }
  const endpoint = client.address
  const choices = makeChoices()

  const { creator: engine, provider } = Backend.make(makeBackend({
    state,
    management,
    waits,
    live: makeLiveStatuses(state, endpoint),
    endpoint,
    defaults: options,
    validate: management.validateConfig,
    names: new Map(),
    choices,
    powerOff: options.powerOff ?? "reversible",
    destroyDisconnectedMachines: options.destroyDisconnectedMachines === true
  }, { policy: overrides, ping: ping(client, state), name: options.name }))

  const server = { validate: management.validateConfig, version: makeServerVersion(state) }
  const templates = makeTemplates({ state, policy, endpoint, server })
  const configOf = kubeconfig(state, management)

  const of = <A, E>(operation: string, cluster: string, f: (cluster: ClusterName) => Effect.Effect<A, E>) =>
    Effect.flatMap(checkUnicodeClusterName(cluster), f).pipe(method("omni", operation, cluster))

  const apply: OmniService["apply"] = (plan, applying) =>
    isOfTemplate(plan)
      ? templates.apply(plan, applying !== undefined && "template" in applying ? applying : undefined).pipe(
        method("omni", "apply", plan.clusterName)
      )
      : choices.during(plan.clusterName)(
        engine.apply(plan, applying !== undefined && "spec" in applying ? applying : undefined)
      )
  const createNodes: OmniService["createNodes"] = (spec) => choices.during(spec.cluster)(engine.createNodes(spec))
  const creator: NodeCreatorService = {
    ...engine,
    createNodes,
    createNodesScoped: scopedCreate(createNodes, provider.deleteNodes, policy),
    apply,
    addNodes: (cluster, nodes) => choices.during(cluster)(engine.addNodes(cluster, nodes))
  }

  return {
    provider,
    creator,
    credential: client.credential,
    plan: creator.plan,
    createNodes,
    createNodesScoped: creator.createNodesScoped,
    apply,
    sync: (template, syncing) => templates.sync(template, syncing).pipe(method("omni", "sync")),
    planTemplate: (template, syncing) => templates.plan(template, syncing).pipe(method("omni", "planTemplate")),
    kubeconfig: (cluster, config) => of("kubeconfig", cluster, (name) => configOf(name, config)),
    talosconfig: (cluster) => of("talosconfig", cluster, talosconfig(state, management)),
    talosVersions: talosVersions(state).pipe(method("omni", "talosVersions")),
    availableMachines: availableMachines(state).pipe(method("omni", "availableMachines")),
    awaitRunning: (cluster, waiting) => of("awaitRunning", cluster, (name) => awaitRunning(waits)(name, waiting)),
    awaitReady: (cluster, waiting) => of("awaitReady", cluster, (name) => awaitReady(waits)(name, waiting)),
    awaitUpgrade: (cluster, waiting) => of("awaitUpgrade", cluster, (name) => awaitUpgrade(waits)(name, waiting)),
    planUpgrade: (cluster, versions) => of("planUpgrade", cluster, (name) => planUpgrade({ state })(name, versions)),
    upgrade: (cluster, versions) => of("upgrade", cluster, (name) => upgrade({ state, waits, policy })(name, versions)),
    cancelUpgrade: (cluster) => of("cancelUpgrade", cluster, cancelUpgrade({ state })),
    whyBlocked: (cluster) => of("whyBlocked", cluster, blockersOf(state)),
    sweep: creator.sweep
  }
})

/**
 * Makes the service, which lives as long as the scope. Opens no connection; the first call does. Fails where the options
 * cannot work, with all that is wrong at once.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options): Effect.Effect<OmniService, InvalidSpec, Scope.Scope> =>
  makeOn(options, undefined)

// -----------------------------------------------------------------------------
// Layers
// -----------------------------------------------------------------------------

const layers = makeLayers(Omni, make, [
  { name: "OMNI_ENDPOINT", option: "endpoint", example: "https://account.omni.siderolabs.io", isRequired: true },
  {
    name: "OMNI_SERVICE_ACCOUNT_KEY",
    option: "serviceAccountKey",
    example: "<the base64 text that Omni shows when a service account is created>",
    isRequired: true,
    isCredential: true
  }
])

/**
 * `Provider`, `NodeCreator` and `Omni` from one instance.
 *
 * **Example** (A cluster of machines of a class)
 *
 * ```ts
 * import * as Effect from "effect/Effect"
 * import * as Redacted from "effect/Redacted"
 * import * as Omni from "kubelayer/layers/Omni"
 * import { NodeCreator } from "kubelayer/Provider"
 *
 * export const program = (key: Redacted.Redacted<string>) =>
 *   NodeCreator.use((creator) => creator.createNodes({ cluster: "dev", controlPlanes: 3, workers: 2 })).pipe(
 *     Effect.provide(Omni.layer({
 *       endpoint: "https://account.omni.siderolabs.io",
 *       serviceAccountKey: key,
 *       machineClass: "small"
 *     }))
 *   )
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer: (options: Options) => Layer.Layer<Provider | NodeCreator | Omni, InvalidSpec> = layers.layer

/**
 * `Omni` alone, for programs with several backends; `layerFrom(Omni)` of `kubelayer/Provider` chooses it.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerService: (options: Options) => Layer.Layer<Omni, InvalidSpec> = layers.layerService

/**
 * `layer` on a connection from outside. The endpoint is then only what is shown of it.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerTransport = (
  options: Options
): Layer.Layer<Provider | NodeCreator | Omni, InvalidSpec, Transport> =>
  Layer.effectContext(
    Effect.flatMap(Transport, (transport) =>
      Effect.map(makeOn(options, transport), (service) => everything(Omni, service)))
  )

/**
 * `layer` with the options that `overrides` leaves open read from the environment: OMNI_ENDPOINT and
 * OMNI_SERVICE_ACCOUNT_KEY. Fails with an `InvalidSpec` that names the variable.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerConfig: (
  overrides?: Partial<Options>
) => Layer.Layer<Provider | NodeCreator | Omni, InvalidSpec> = layers.layerConfig

/**
 * `layerService` with the options that `overrides` leaves open read from the environment, as `layerConfig` does.
 *
 * @category layers
 * @since 0.2.0
 */
export const layerServiceConfig: (overrides?: Partial<Options>) => Layer.Layer<Omni, InvalidSpec> =
  layers.layerServiceConfig
