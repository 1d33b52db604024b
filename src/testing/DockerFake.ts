/**
 * A fake of the Docker Engine API, as Docker 20.10 and 29 and Podman 4.3 and 5.8 have it. It listens on a unix socket
 * or a loopback port, or is a transport of the Docker layer without a socket.
 *
 * It is written from the API reference and from recordings of the engines, and shares no code with the client of this
 * library. Containers, networks, volumes, images, execs, logs and events are there with their relations. It checks each
 * request and keeps what the engine would ignore as a violation. Processes, delays and restarts run on the Clock, so
 * simulated time reaches them. `src/testing/docker/README.md` says what it leaves out.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { Transport } from "../docker/Transport.ts"
import { load } from "../internal/Loading.ts"
import { ProviderUnavailable } from "../ProviderError.ts"
import { makeApi, type Violation } from "./docker/Api.ts"
import type { Answer, EngineRequest } from "./docker/Call.ts"
import {
  type Behavior,
  containerOf,
  type Durations,
  type Engine,
  type ExecCommand,
  type ExecResult,
  type ImageSeed,
  lookUp,
  networkOf,
  removeFrom
} from "./docker/Engine.ts"
import { makeEventLog } from "./docker/EventLog.ts"
import type { CallRecord, Fault, FaultRule } from "./docker/Faults.ts"
import { type Flavor, flavors, refusalsOf } from "./docker/Flavor.ts"
import { makeTransport } from "./docker/InProcess.ts"
import { exit, remove, writeLog } from "./docker/Lifecycle.ts"
import { listen } from "./docker/Listener.ts"
import * as Seeds from "./docker/Seeds.ts"
import { type Snapshot, snapshotOf } from "./docker/Snapshot.ts"
import { addImage } from "./docker/SystemRoutes.ts"
import { countCalls, makeRules } from "./faults/Rules.ts"

export type { Violation } from "./docker/Api.ts"
export type { Answer, EngineRequest } from "./docker/Call.ts"
export type { Behavior, ExecCommand, ExecResult, ImageSeed } from "./docker/Engine.ts"
export type { CallRecord, Fault, FaultRule } from "./docker/Faults.ts"
export type { ContainerSeed, NetworkSeed, VolumeSeed } from "./docker/Seeds.ts"
export type { ContainerView, NetworkView, Snapshot, VolumeView } from "./docker/Snapshot.ts"

/**
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** The engine that the fake is; `docker` by default. */
  readonly flavor?: "docker" | "podman"
  /** Of Docker `20.10.24` (the default) or `29.0.0`; of Podman `5.8.2` (the default) or `4.3.1`. */
  readonly version?: "20.10.24" | "29.0.0" | "4.3.1" | "5.8.2"
  /** The newest API version that the engine speaks, such as `1.41`. By default that of its version. */
  readonly apiVersion?: string
  /** The oldest API version that the engine speaks. By default that of its version. */
  readonly minApiVersion?: string
  /** The kind of listener: a `unix` socket (the default), a `tcp` port of 127.0.0.1, or none. */
  readonly listen?: "unix" | "tcp" | "none"
  /** Images by reference, such as `node:1`. */
  readonly images?: Readonly<Record<string, ImageSeed>>
  /** How long the engine takes for each kind of call; no time by default. */
  readonly durations?: Readonly<Partial<Record<keyof Durations, Duration.Input>>>
  /** How long every reply takes; no time by default. */
  readonly latency?: Duration.Input
  /** The results of commands in containers. By default they write nothing and exit with 0. */
  readonly exec?: (command: ExecCommand) => ExecResult
  /** The address pools of the engine; Docker's defaults if this is left out. */
  readonly addressPools?: ReadonlyArray<{ readonly base: string; readonly size: number }>
  /** Host ports that another process uses, such as `127.0.0.1:80/tcp`. */
  readonly portsInUse?: ReadonlyArray<string>
  /** Folders of the host, for bind mounts of type `Mounts`; none by default. */
  readonly hostFolders?: ReadonlyArray<string>
  /** Registries that do not answer, such as `127.0.0.1:9`. All others have every image. */
  readonly unreachableRegistries?: ReadonlyArray<string>
}

/**
 * The fake, and all that can be done with it beside its API. Nothing of this is in its log.
 *
 * @category models
 * @since 0.1.0
 */
export interface DockerFakeService {
  /** As a DOCKER_HOST, such as `unix:///tmp/docker-fake-x/engine.sock`; empty where the fake does not listen. */
  readonly host: string
  /** Makes the Docker layers that are built on it use the fake without a socket. */
  readonly transport: Layer.Layer<never>
  /** Answers a request without faults and latency. It is not in the log. */
  readonly answer: (request: EngineRequest) => Effect.Effect<Answer>

  /** Puts something there, complete and at once, and returns its id. */
  readonly seed: {
    readonly container: (seed: Seeds.ContainerSeed) => Effect.Effect<string>
    /** Also a second network of a name. */
    readonly network: (seed: Seeds.NetworkSeed) => Effect.Effect<string>
    readonly volume: (seed: Seeds.VolumeSeed) => Effect.Effect<string>
    readonly image: (reference: string, seed?: ImageSeed) => Effect.Effect<string>
  }
  /** All that is there now. */
  readonly state: Effect.Effect<Snapshot>
  /** Changes what the process of a container does from its next start on; nothing where the container is gone. */
  readonly behave: (container: string, behavior: Behavior) => Effect.Effect<void>
  /** Lets the process of a container exit now. */
  readonly exit: (container: string, code: number) => Effect.Effect<void>
  /** Writes a line to the log of a container. */
  readonly log: (container: string, line: string, stream?: "stdout" | "stderr") => Effect.Effect<void>
  /** Removes a container, network or volume by name or id, at once and whatever uses it. */
  readonly vanish: (kind: "container" | "network" | "volume", name: string) => Effect.Effect<void>
  /** Uses host ports, such as `127.0.0.1:80/tcp`, until the scope closes. */
  readonly usePort: (port: string) => Effect.Effect<void, never, Scope.Scope>
  /** How long replies take from now on. */
  readonly latency: (duration: Duration.Input) => Effect.Effect<void>

  /** Lets calls go wrong; returns what takes the rule back. */
  readonly fault: (rule: FaultRule) => Effect.Effect<Effect.Effect<void>>
  /** Takes back all faults. */
  readonly clearFaults: Effect.Effect<void>
  /** As long as the scope is open, nothing answers; open connections are cut. */
  readonly outage: Effect.Effect<void, never, Scope.Scope>
  /** Cuts the open connections whose `METHOD /path?query` matches; all by default. */
  readonly cut: (line?: RegExp) => Effect.Effect<void>

  /** All calls, in the order in which they came. */
  readonly calls: Effect.Effect<ReadonlyArray<CallRecord>>
  /** How often each `METHOD template` was called. */
  readonly counts: Effect.Effect<Readonly<Record<string, number>>>
  /** The requests and fields that the API does not have. */
  readonly violations: Effect.Effect<ReadonlyArray<Violation>>
  /** Forgets the calls and violations so far; the numbers of calls go on. */
  readonly clearCalls: Effect.Effect<void>
}

/**
 * @category services
 * @since 0.1.0
 */
export class DockerFake extends Context.Service<DockerFake, DockerFakeService>()("kubelayer/testing/DockerFake") {}

const flavorOf = ({ apiVersion, flavor = "docker", minApiVersion, version }: Options): Flavor => {
  const base = flavor === "docker"
    ? version === "29.0.0" ? flavors.docker29 : flavors.docker20
    : version === "4.3.1"
    ? flavors.podman4
    : flavors.podman5
  return { ...base, apiVersion: apiVersion ?? base.apiVersion, minApiVersion: minApiVersion ?? base.minApiVersion }
}

const dockerPools = [
  ...Array.from({ length: 14 }, (_, index) => ({ base: `172.${18 + index}.0.0/16`, size: 16 })),
  { base: "192.168.0.0/16", size: 20 }
]

const idOf = (number: number): string => {
  const start = number.toString(16).padStart(12, "0")
  // The last digits differ too, so that no id is the beginning of another text.
  return `${start}${"0".repeat(40)}${start}`
}

/**
 * The Docker layer loads its parts with their first use. A test that adjusts its clock would not wait for that, and pass
 * deadlines, so they are loaded before the fake is used.
 */
const loadLayer = load(() =>
  Promise.all([
    import("../docker/Service.ts"),
    import("../docker/Exec.ts"),
    import("../docker/Logs.ts"),
    import("../docker/Registry.ts")
  ])
)

const millisOf = (input: Duration.Input | undefined): number => Duration.toMillis(input ?? 0)

/** The newest version that this library speaks as well. */
const newestKnown = "1.47"

const spoken = ({ apiVersion }: Flavor): string =>
  Number(apiVersion.split(".")[1]) < Number(newestKnown.split(".")[1]) ? apiVersion : newestKnown

/**
 * Starts a fake, which runs as long as the scope is open.
 *
 * **Example** (A cluster on an engine that is not there)
 *
 * ```ts run
 * import * as Effect from "effect/Effect"
 * import * as Docker from "kubelayer/layers/Docker"
 * import { DockerFake } from "kubelayer/testing"
 *
 * const program = Effect.scoped(Effect.gen(function*() {
 *   const fake = yield* DockerFake.make({ listen: "none", images: { "node:1": {} } })
 *   const docker = yield* Effect.provide(Docker.make({ nodes: { image: "node:1" } }), fake.transport)
 *   yield* docker.createNodes({ cluster: "dev", controlPlanes: 1, workers: 1 })
 *   const { containers } = yield* fake.state
 *   console.log(containers.map(({ name, state }) => `${name} ${state}`))
 * }))
 *
 * await Effect.runPromise(program)
 * // => [ 'dev-worker running', 'dev-control-plane running' ]
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function*(
  options: Options = {}
): Effect.fn.Return<DockerFakeService, never, Scope.Scope> {
  if (options.listen === "none") yield* loadLayer
  const clock = yield* Clock.Clock
  const fork = yield* FiberSet.makeRuntime<never>()
  const now = () => clock.currentTimeMillisUnsafe()
  let lastNanos = 0n
  const nanos = () => {
    const present = BigInt(Math.trunc(now())) * 1_000_000n
    lastNanos = present > lastNanos ? present : lastNanos + 1n
    return lastNanos
  }
  const flavor = flavorOf(options)
  let lastId = 0
  const engine: Engine = {
    flavor,
    refuse: refusalsOf(flavor),
    now,
    nanos,
    newId: () => idOf(++lastId),
    events: makeEventLog(flavor, now, nanos),
    durations: {
      create: millisOf(options.durations?.create),
      start: millisOf(options.durations?.start),
      stop: millisOf(options.durations?.stop),
      remove: millisOf(options.durations?.remove),
      network: millisOf(options.durations?.network),
      volume: millisOf(options.durations?.volume),
      pull: millisOf(options.durations?.pull)
    },
    later: (millis, happen) => void fork(Effect.andThen(Effect.sleep(millis), Effect.sync(happen))),
    containers: [],
    networks: [],
    volumes: [],
    images: [],
    execs: new Map(),
    addressPools: options.addressPools ?? dockerPools,
    portsInUse: new Set(options.portsInUse),
    hostFolders: new Set(options.hostFolders),
    run: options.exec ?? (() => ({})),
    nextPort: 32_768
  }
  Seeds.seedPredefined(engine)
  for (const [reference, image] of Object.entries(options.images ?? {}).reverse()) addImage(engine, reference, image)

  const rules = makeRules<CallRecord, Fault>(({ method, path, query, template }) => {
    const search = new URLSearchParams(query).toString()
    return [`${method} ${path}${search === "" ? "" : `?${search}`}`, `${method} ${template}`]
  })
  let latency = millisOf(options.latency)
  let down = 0
  const api = makeApi({
    engine,
    rules,
    registries: new Set(options.unreachableRegistries),
    latency: () => latency,
    fork
  })
  const listener = options.listen === "none" ? undefined : yield* listen(api, options.listen ?? "unix")
  const connections = new Set<{ readonly line: string; readonly cut: () => void }>()
  const transport = makeTransport({
    api,
    apiVersion: spoken(flavor),
    engine: flavor.isPodman ? "podman" : "docker",
    isDown: () => down > 0,
    connections,
    dockerode: Effect.suspend(() =>
      new ProviderUnavailable({
        provider: "docker",
        address: "in-process",
        detail: "dockerode needs a socket, and the transport of this fake has none",
        advice: "Connect the layer to `host` of the fake instead."
      })
    )
  })
  const cut = (line: RegExp) => {
    listener?.cut(line)
    for (const connection of connections) if (line.test(connection.line)) connection.cut()
  }
  const find = (name: string, act: (container: NonNullable<ReturnType<typeof lookUp>>) => void) =>
    Effect.sync(() => {
      const container = lookUp(engine, name)
      if (container !== undefined) act(container)
    })

  return {
    host: listener?.host ?? "",
    transport: Layer.succeed(Transport)(transport),
    answer: api.answerDirectly,
    seed: {
      container: (seed) => Effect.sync(() => Seeds.seedContainer(engine, seed)),
      network: (seed) => Effect.sync(() => Seeds.seedNetwork(engine, seed)),
      volume: (seed) => Effect.sync(() => Seeds.seedVolume(engine, seed)),
      image: (reference, seed) => Effect.sync(() => addImage(engine, reference, seed).id)
    },
    state: Effect.sync(() => snapshotOf(engine)),
    behave: (container, behavior) =>
      find(container, (found) => {
        found.behavior = behavior
      }),
    exit: (container, code) => find(container, (found) => exit(engine, found, code)),
    log: (container, line, stream) => find(container, (found) => writeLog(engine, found, `${line}\n`, stream)),
    vanish: (kind, name) =>
      Effect.sync(() => {
        if (kind === "container" && lookUp(engine, name) !== undefined) remove(engine, containerOf(engine, name), true)
        const network = kind === "network" ? networkOf(engine, name) : undefined
        if (network !== undefined) removeFrom(engine.networks, network)
        const volume = kind === "volume" ? engine.volumes.find((each) => each.name === name) : undefined
        if (volume !== undefined) removeFrom(engine.volumes, volume)
      }),
    usePort: (port) =>
      Effect.asVoid(Effect.acquireRelease(
        Effect.sync(() => engine.portsInUse.add(port)),
        () => Effect.sync(() => engine.portsInUse.delete(port))
      )),
    latency: (duration) =>
      Effect.sync(() => {
        latency = millisOf(duration)
      }),
    fault: (rule) => Effect.sync(() => Effect.sync(rules.add(rule))),
    clearFaults: Effect.sync(rules.clear),
    outage: Effect.acquireRelease(
      Effect.suspend(() => {
        const isFirst = down++ === 0
        cut(/(?:)/)
        return isFirst && listener !== undefined ? listener.close : Effect.void
      }),
      () => Effect.suspend(() => --down === 0 && listener !== undefined ? listener.open : Effect.void)
    ),
    cut: (line = /(?:)/) => Effect.sync(() => cut(line)),
    calls: Effect.sync(() => [...api.log]),
    counts: Effect.sync(() => countCalls(api.log)),
    violations: Effect.sync(() => [...api.violations]),
    clearCalls: Effect.sync(() => {
      api.log.length = 0
      api.violations.length = 0
    })
  }
})

/**
 * A fake for whoever needs one.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options = {}): Layer.Layer<DockerFake> => Layer.effect(DockerFake, make(options))

/**
 * A layer that uses the fake without a socket, and the fake.
 *
 * **Example** (The laws over Docker, without an engine)
 *
 * ```ts
 * import * as Docker from "kubelayer/layers/Docker"
 * import { DockerFake, DockerHarness, runLaws } from "kubelayer/testing"
 *
 * const images = { "node:1": {} }
 *
 * export const report = runLaws({
 *   name: "docker",
 *   layer: DockerFake.through(Docker.layer({ nodes: { image: "node:1" } }), { images, listen: "none" }),
 *   harness: DockerHarness.layerFake({ scheme: "kubelayer", image: "node:1" }),
 *   capabilities: DockerHarness.capabilities("kubelayer"),
 *   time: "simulated"
 * })
 * ```
 *
 * @category layers
 * @since 0.2.0
 */
export const through = <A, E, R>(
  self: Layer.Layer<A, E, R>,
  options: Options = {}
): Layer.Layer<A | DockerFake, E, R> =>
  Layer.unwrap(Effect.map(DockerFake, ({ transport }) => Layer.provide(self, transport))).pipe(
    Layer.provideMerge(layer(options))
  )
