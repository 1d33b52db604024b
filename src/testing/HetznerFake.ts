/**
 * A fake of the Hetzner Cloud API: an HTTP server on the loopback interface with one Project.
 *
 * It is for tests of programs that use the API, in any language, and shares no code with this library's client. Servers,
 * networks, firewalls, load balancers and the other resources have their relations. An action takes time and locks its
 * resources. The fake refuses requests that the API does not know, and records them as violations. Networks are stored in
 * the spelling of the API. Time is the Clock's, or moves by hand. With `listen: false` there is no socket.
 *
 * Not simulated: metrics, DNS zones, storage boxes, creating certificates, Primary IPs of load balancers.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { HttpClient } from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { countCalls } from "./faults/Rules.ts"
import { type CallRecord, makeApi, type Violation } from "./hetzner/Api.ts"
import { stock } from "./hetzner/Catalogue.ts"
import { type ActionFault, type FaultRule, makeFaults } from "./hetzner/Faults.ts"
import { clientOf, listen, silent } from "./hetzner/Listener.ts"
import { makeBucket, type Quota } from "./hetzner/Quota.ts"
import { routes } from "./hetzner/Routes.ts"
import * as Seeds from "./hetzner/Seeds.ts"
import { removeServer } from "./hetzner/Servers.ts"
import { type Snapshot, snapshotOf } from "./hetzner/Snapshot.ts"
import { makeTimeline } from "./hetzner/Timeline.ts"
import { type Guest, makeWorld, type Server, type ServerStatus, type Settings } from "./hetzner/World.ts"

export type { CallRecord, Violation } from "./hetzner/Api.ts"
export type { ActionFault, Arrival, Fault, FaultRule } from "./hetzner/Faults.ts"
export type { Quota } from "./hetzner/Quota.ts"
export { type ErrorCode, statusOfCode } from "./hetzner/Refusal.ts"
export type {
  FirewallSeed,
  FloatingIpSeed,
  IsoSeed,
  LoadBalancerSeed,
  NetworkSeed,
  PrimaryIpSeed,
  SeedBase,
  ServerSeed,
  SnapshotSeed,
  VolumeSeed
} from "./hetzner/Seeds.ts"
export type { ActionView, ResourceView, ServerView, Snapshot } from "./hetzner/Snapshot.ts"
export type { Guest } from "./hetzner/World.ts"

/**
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** The token that may do everything. */
  readonly token?: string
  /** The token that may only read. */
  readonly readOnlyToken?: string
  /** The code that refuses a write with it: `token_readonly` (401) or `forbidden` (403, where nothing is said). */
  readonly readOnlyCode?: "token_readonly" | "forbidden"
  /** `clock` (the default): the Clock of Effect. `manual`: only `advance` moves it. */
  readonly time?: "clock" | "manual"
  /** How long every action takes that `durations` does not name; 10 milliseconds where nothing is said. */
  readonly duration?: Duration.Input
  /** By command, such as `start_server`. `follow_labels` is how long a firewall takes to see what its selector means. */
  readonly durations?: Readonly<Record<string, Duration.Input>>
  /** How long every reply takes; none where nothing is said. */
  readonly latency?: Duration.Input
  readonly quota?: Partial<Quota>
  /** The behaviour of new machines; by default they shut down at once. */
  readonly guest?: Partial<Guest>
  /** The effect of deleting a network with members; `detach` by default. */
  readonly networkDelete?: "detach" | "refuse"
  /** How long after the end of a server its firewalls, networks and addresses still count it. */
  readonly detach?: Duration.Input
  /** How many servers a placement group takes; 10 where nothing is said. */
  readonly groupSize?: number
  /** Such as `server_limit`, `primary_ip_limit`, `network_limit`; without bounds where nothing is said. */
  readonly limits?: Readonly<Record<string, number>>
  /** How many servers can be created, by `type@location`; unlimited by default. */
  readonly capacity?: Readonly<Record<string, number>>
  /** Whether the log keeps the bodies of replies; it does where nothing is said. */
  readonly keepReplies?: boolean
  /** Whether the API listens on a port; true by default. Without, it is reached through `httpClient` alone. */
  readonly listen?: boolean
  /** The behaviour of a server after `change_type`: `starts`, as the reference says, by default. */
  readonly changeType?: "starts" | "stays-off"
}

/**
 * A change of a server from outside, as a person at the console would do it.
 *
 * @category models
 * @since 0.1.0
 */
export interface ServerChange {
  readonly status?: ServerStatus
  readonly labels?: Readonly<Record<string, string>>
  readonly guest?: Partial<Guest>
  readonly protected?: boolean
  /** Locks the server for this long, as an action of another client does. */
  readonly locked?: Duration.Input
}

/**
 * Changes what a server type is offered for at a location.
 *
 * @category models
 * @since 0.1.0
 */
export interface OfferChange {
  readonly available?: boolean
  /** Milliseconds since the epoch, as the announcement has them; null for none. */
  readonly deprecation?: { readonly announced: number; readonly unavailableAfter: number } | null
  /** It is not sold there at all. */
  readonly withdrawn?: boolean
}

/**
 * Changes an image from outside.
 *
 * @category models
 * @since 0.2.0
 */
export interface ImageChange {
  readonly status?: "available" | "creating" | "unavailable"
  /** Since when the image is deprecated, in milliseconds since the epoch; null for never. */
  readonly deprecated?: number | null
  readonly labels?: Readonly<Record<string, string>>
}

/**
 * The fake, and its methods beside the API. They are not in its log.
 *
 * @category models
 * @since 0.1.0
 */
export interface HetznerFakeService {
  /** Such as `http://127.0.0.1:39205/v1`; an address that leads nowhere with `listen: false`. */
  readonly endpoint: string
  readonly token: string
  readonly readOnlyToken: string
  /** The same API without a socket: for time that jumps, which a socket would not notice. */
  readonly httpClient: HttpClient

  /** Puts something there, complete and at once, and gives its id. */
  readonly seed: {
    readonly server: (seed: Seeds.ServerSeed) => Effect.Effect<number>
    readonly network: (seed: Seeds.NetworkSeed) => Effect.Effect<number>
    readonly firewall: (seed: Seeds.FirewallSeed) => Effect.Effect<number>
    readonly placementGroup: (seed: Seeds.SeedBase) => Effect.Effect<number>
    readonly floatingIp: (seed: Seeds.FloatingIpSeed) => Effect.Effect<number>
    readonly volume: (seed: Seeds.VolumeSeed) => Effect.Effect<number>
    readonly primaryIp: (seed: Seeds.PrimaryIpSeed) => Effect.Effect<number>
    readonly loadBalancer: (seed: Seeds.LoadBalancerSeed) => Effect.Effect<number>
    readonly sshKey: (seed: Seeds.SeedBase) => Effect.Effect<number>
    readonly snapshot: (seed: Seeds.SnapshotSeed) => Effect.Effect<number>
    readonly iso: (seed: Seeds.IsoSeed) => Effect.Effect<number>
  }
  /** All that is there now. */
  readonly state: Effect.Effect<Snapshot>
  /** A server that is there no more, by its id. */
  readonly gone: (id: number) => Effect.Effect<{ readonly name: string; readonly labels: Server["labels"] } | undefined>
  /** Changes a server, by its id; nothing where it is gone. */
  readonly change: (id: number, change: ServerChange) => Effect.Effect<void>
  /** Changes the images of a name, or the image of an id. */
  readonly image: (nameOrId: string | number, change: ImageChange) => Effect.Effect<void>
  /** Removes whatever has this id, at once and whatever it is in use for. */
  readonly vanish: (id: number) => Effect.Effect<void>
  readonly offer: (serverType: string, location: string, change: OfferChange) => Effect.Effect<void>
  /** How many servers of the type the location still has; undefined for no bounds. */
  readonly capacity: (serverType: string, location: string, left: number | undefined) => Effect.Effect<void>
  readonly limit: (name: string, most: number | undefined) => Effect.Effect<void>
  readonly quota: {
    readonly get: Effect.Effect<Quota>
    readonly set: (quota: Partial<Quota>) => Effect.Effect<void>
  }
  /** How long the actions of a command take from now on. */
  readonly takes: (command: string, duration: Duration.Input) => Effect.Effect<void>
  /** How long replies take from now on. */
  readonly latency: (duration: Duration.Input) => Effect.Effect<void>

  /** Lets calls go wrong; gives what takes the rule back. */
  readonly fault: (rule: FaultRule) => Effect.Effect<Effect.Effect<void>>
  /** Lets actions end in an error; gives what takes it back. */
  readonly failAction: (fault: ActionFault) => Effect.Effect<Effect.Effect<void>>
  /** Takes back all faults of calls and actions. */
  readonly clearFaults: Effect.Effect<void>
  /** As long as the scope is open, nothing is at the endpoint; what was connected is cut. */
  readonly outage: Effect.Effect<void, never, Scope.Scope>
  /** Cuts, once, every connection. */
  readonly cut: Effect.Effect<void>
  /**
   * Puts the fake's time forward, and no other clock. A program that compares ages with the Clock sees no difference: for
   * an old server seed one with `created`, or run fake and program on the `TestClock` (`time: "clock"`).
   */
  readonly advance: (duration: Duration.Input) => Effect.Effect<void>

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
export class HetznerFake extends Context.Service<HetznerFake, HetznerFakeService>()("kubelayer/testing/HetznerFake") {}

const millis = Duration.toMillis

/** How many fakes without a port were created. */
let portless = 0

const settingsOf = (
  options: Options,
  isSeeding: () => boolean,
  mishap: Settings["mishap"]
): Settings & { readonly takes: Map<string, number> } => {
  const usual = millis(options.duration ?? 10)
  const takes = new Map(Object.entries(options.durations ?? {}).map(([command, each]) => [command, millis(each)]))
  return {
    takes,
    duration: (command) => isSeeding() ? 0 : takes.get(command) ?? usual,
    mishap: (command, resources) => isSeeding() ? undefined : mishap(command, resources),
    limits: new Map(Object.entries(options.limits ?? {})),
    capacity: new Map(Object.entries(options.capacity ?? {})),
    guest: () => ({ shutdown: 0, boot: 0, exits: false, ...options.guest }),
    networkDelete: options.networkDelete ?? "detach",
    changeTypeStarts: options.changeType !== "stays-off",
    groupSize: options.groupSize ?? 10,
    detach: millis(options.detach ?? 0)
  }
}

/**
 * Starts a fake, which runs as long as the scope is open.
 *
 * **Example** (A server that takes two seconds to start)
 *
 * ```ts run
 * import * as Effect from "effect/Effect"
 * import { HetznerFake } from "kubelayer/testing"
 *
 * const program = Effect.scoped(Effect.gen(function*() {
 *   const fake = yield* HetznerFake.make({ time: "manual", durations: { start_server: "2 seconds" } })
 *   const id = yield* fake.seed.server({ name: "dev-worker-1", status: "off" })
 *   const headers = { authorization: `Bearer ${fake.token}` }
 *   yield* Effect.promise(() => fetch(`${fake.endpoint}/servers/${id}/actions/poweron`, { method: "POST", headers }))
 *   console.log((yield* fake.state).servers.map(({ status }) => status))
 *   yield* fake.advance("2 seconds")
 *   console.log((yield* fake.state).servers.map(({ status }) => status))
 *   console.log(yield* fake.counts)
 * }))
 *
 * await Effect.runPromise(program)
 * // => [ 'starting' ]
 * // => [ 'running' ]
 * // => { 'POST /servers/{id}/actions/poweron': 1 }
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function*(
  options: Options = {}
): Effect.fn.Return<HetznerFakeService, never, Scope.Scope> {
  const clock = yield* Clock.Clock
  const began = clock.currentTimeMillisUnsafe()
  const timeline = makeTimeline(options.time === "manual" ? () => began : () => clock.currentTimeMillisUnsafe())
  const faults = makeFaults()
  let seeding = false
  const settings = settingsOf(options, () => seeding, faults.mishap)
  const world = makeWorld(timeline, settings)
  stock(world)
  let latency = millis(options.latency ?? 0)
  const token = options.token ?? "fake-token-that-may-do-everything"
  const readOnlyToken = options.readOnlyToken ?? "fake-token-that-may-only-read"
  const bucket = makeBucket(timeline.now, options.quota)
  const api = makeApi({
    world,
    routes: yield* routes,
    faults,
    bucket,
    token,
    readOnlyToken,
    readOnlyCode: options.readOnlyCode ?? "forbidden",
    keepReplies: options.keepReplies ?? true,
    latency: () => latency
  })
  const listener = options.listen === false ? silent : yield* listen(api)
  // Clients share what they know of an endpoint, so each fake has one of its own.
  const endpoint = options.listen === false
    ? `https://hetzner-${++portless}.fake.invalid/v1`
    : `http://127.0.0.1:${listener.port}/v1`
  let down = 0
  const httpClient = yield* clientOf(api, () => down > 0)

  const now = <A>(look: () => A): Effect.Effect<A> =>
    Effect.sync(() => {
      timeline.settle()
      return look()
    })
  const seeds = <S>(plant: (world_: typeof world, seed: S) => { readonly id: number }) => (seed: S) =>
    now(() => {
      seeding = true
      try {
        return plant(world, seed).id
      } finally {
        seeding = false
      }
    })
  const undoing = (add: () => () => void) => Effect.sync(() => Effect.sync(add()))

  return {
    endpoint,
    token,
    readOnlyToken,
    httpClient,
    seed: {
      server: seeds(Seeds.seedServer),
      network: seeds(Seeds.seedNetwork),
      firewall: seeds(Seeds.seedFirewall),
      placementGroup: seeds(Seeds.seedPlacementGroup),
      floatingIp: seeds(Seeds.seedFloatingIp),
      volume: seeds(Seeds.seedVolume),
      primaryIp: seeds(Seeds.seedPrimaryIp),
      loadBalancer: seeds(Seeds.seedLoadBalancer),
      sshKey: seeds(Seeds.seedSshKey),
      snapshot: seeds(Seeds.seedSnapshot),
      iso: seeds(Seeds.seedIso)
    },
    state: now(() => snapshotOf(world)),
    gone: (id) => now(() => world.gone.get(id)),
    change: (id, { guest, labels, locked, protected: kept, status }) =>
      now(() => {
        const server = world.servers.get(id)
        if (server === undefined) return
        if (status !== undefined) {
          if (status === "running" && server.status !== "running") server.since = timeline.now()
          server.status = status
          server.run++
        }
        server.labels = labels ?? server.labels
        server.guest = { ...server.guest, ...guest }
        if (kept !== undefined) server.protected = { delete: kept, rebuild: kept }
        if (locked !== undefined) {
          world.act({ command: "apply_firewall", resources: [{ id, type: "server" }], takes: millis(locked) })
        }
      }),
    image: (nameOrId, { deprecated, labels, status }) =>
      now(() => {
        for (const image of world.images.values()) {
          if (image.id !== nameOrId && image.name !== nameOrId) continue
          image.status = status ?? image.status
          image.labels = labels ?? image.labels
          if (deprecated !== undefined) image.deprecated = deprecated
        }
      }),
    vanish: (id) =>
      now(() => {
        const server = world.servers.get(id)
        if (server !== undefined) removeServer(world, server)
        for (const items of removable(world)) items.delete(id)
      }),
    offer: (serverType, location, { available, deprecation, withdrawn }) =>
      now(() => {
        for (const type of world.serverTypes.values()) {
          if (type.name !== serverType) continue
          if (withdrawn === true) {
            type.locations.delete(location)
            continue
          }
          const offer = type.locations.get(location) ?? { available: true, deprecation: null }
          type.locations.set(location, {
            available: available ?? offer.available,
            deprecation: deprecation === undefined ? offer.deprecation : deprecation
          })
        }
      }),
    capacity: (serverType, location, left) => now(() => bound(settings.capacity, `${serverType}@${location}`, left)),
    limit: (name, most) => now(() => bound(settings.limits, name, most)),
    quota: { get: now(bucket.get), set: (quota) => now(() => bucket.set(quota)) },
    takes: (command, duration) => now(() => void settings.takes.set(command, millis(duration))),
    latency: (duration) =>
      Effect.sync(() => {
        latency = millis(duration)
      }),
    fault: (rule) => undoing(() => faults.add(rule)),
    failAction: (fault) => undoing(() => faults.addAction(fault)),
    clearFaults: Effect.sync(faults.clear),
    outage: Effect.acquireRelease(
      Effect.suspend(() => down++ === 0 ? listener.close : Effect.void),
      () => Effect.suspend(() => --down === 0 ? listener.open : Effect.void)
    ),
    cut: Effect.sync(listener.cut),
    advance: (duration) => Effect.sync(() => timeline.advance(millis(duration))),
    calls: Effect.sync(() => [...api.log]),
    counts: Effect.sync(() => countCalls(api.log)),
    violations: Effect.sync(() => [...api.violations]),
    clearCalls: Effect.sync(() => {
      api.log.length = 0
      api.violations.length = 0
    })
  }
})

const bound = (bounds: Map<string, number>, key: string, most: number | undefined): void => {
  if (most === undefined) bounds.delete(key)
  else bounds.set(key, most)
}

const removable = (world: ReturnType<typeof makeWorld>): ReadonlyArray<Map<number, unknown>> => [
  world.networks,
  world.firewalls,
  world.placementGroups,
  world.floatingIps,
  world.volumes,
  world.primaryIps,
  world.loadBalancers,
  world.sshKeys,
  world.images
]

/**
 * A fake for whoever needs one.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options = {}): Layer.Layer<HetznerFake> => Layer.effect(HetznerFake, make(options))
