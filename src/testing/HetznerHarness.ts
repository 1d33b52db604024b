/**
 * The harness of the fake Hetzner Cloud: it acts on the world behind the fake's API, beside the provider under test.
 *
 * Its seeds carry the labels of `kubelayer`, written down separately. Every law gets its own fake, so seeds are removed
 * with it. It has no load balancers and helpers, because a cluster at Hetzner has none.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { HttpClient } from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import type { ServerSpec } from "../hetzner/Spec.ts"
import { load } from "../internal/Loading.ts"
import { byRoleThenName } from "../internal/Operation.ts"
import { BoundToProcess, SessionSource } from "../internal/Session.ts"
import * as Hetzner from "../layers/Hetzner.ts"
import type { NodeState } from "../Model.ts"
import { type Call, Harness, HarnessError, type HarnessService, make as makeHarness, type TrueNode } from "./Harness.ts"
import {
  type Arrival,
  HetznerFake,
  type HetznerFakeService,
  type ResourceView,
  type ServerView
} from "./HetznerFake.ts"
import type { Capability } from "./Law.ts"

/**
 * The capabilities of the fake.
 *
 * @category constants
 * @since 0.1.0
 */
export const capabilities: ReadonlyArray<Capability> = [
  "calls",
  "change",
  "vanish",
  "fail-start",
  "fail-stop",
  "fail-delete",
  "rate-limit",
  "exit-at-once",
  "outage",
  "cut-watches",
  "bystanders",
  "strict-names",
  "name-held",
  "leftovers",
  "create",
  "node-by-node",
  "plan",
  "scale",
  "replace",
  "restart",
  "select",
  "control-planes",
  "detach",
  "second",
  "orphans",
  "secrets"
]

/**
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** The defaults of nodes, as the layer under test has them; the second client and orphans need them. */
  readonly nodes?: ServerSpec
  /** Raise it where the layer polls more slowly than every some milliseconds; 1 second where nothing is said. */
  readonly patience?: Duration.Input
}

const clusterLabel = "kubelayer.cluster"
const roleLabel = "kubelayer.role"

const states: Readonly<Partial<Record<ServerView["status"], NodeState>>> = {
  initializing: "creating",
  starting: "starting",
  running: "running",
  stopping: "stopping",
  off: "stopped",
  deleting: "deleting"
}

const trueNode = ({ id, labels, name, status }: ServerView): TrueNode => ({
  cluster: labels[clusterLabel] ?? "",
  name,
  id: String(id),
  role: labels[roleLabel] === "control-plane" ? "control-plane" : "worker",
  state: states[status] ?? "unknown"
})

const verbs: Readonly<Record<string, Call["call"]>> = {
  "POST /servers/{id}/actions/poweron": "start",
  "POST /servers/{id}/actions/shutdown": "stop",
  "POST /servers/{id}/actions/poweroff": "stop",
  "DELETE /servers/{id}": "delete"
}

/** The call on a server that a request is. */
const callOf = ({ method, path, template }: Arrival) => {
  const call = verbs[`${method} ${template}`]
  return call === undefined ? undefined : { call, id: Number(path.split("/")[2]) }
}

/** Sends a request as something else that uses the Project. */
const send = (fake: HetznerFakeService, path: string, body: unknown) =>
  Effect.gen(function*() {
    const Request = yield* load(() => import("effect/http/HttpClientRequest"))
    yield* fake.httpClient.execute(
      Request.make("POST")(`${fake.endpoint}${path}`).pipe(
        Request.bearerToken(fake.token),
        Request.bodyText(JSON.stringify(body), "application/json")
      )
    )
  }).pipe(Effect.mapError((error) => new HarnessError({ action: `POST ${path}`, detail: error.message })))

/** A layer of its own on the same Project. */
const anotherClient = (fake: HetznerFakeService, { nodes }: Options) =>
  Layer.build(
    Layer.fresh(Hetzner.layerHttpClient({
      token: fake.token,
      endpoint: fake.endpoint,
      ...(nodes === undefined ? {} : { nodes })
    })).pipe(Layer.provide(Layer.succeed(HttpClient, fake.httpClient)))
  ).pipe(
    Effect.map((context) => Context.get(context, Hetzner.Hetzner)),
    Effect.mapError((error) => new HarnessError({ action: "build another layer", detail: error.message }))
  )

/**
 * Makes the harness of a fake.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (fake: HetznerFakeService, options: Options = {}): HarnessService => {
  let names = 0
  const alphabet = "abcdefghijklmnopqrstuvwxyz"
  const labelsOf = (cluster: string) => ({ [clusterLabel]: cluster })
  const foreign = new Set<number>()

  const nodes = (cluster: string) =>
    Effect.map(
      fake.state,
      ({ servers }) =>
        servers.filter(({ labels }) => labels[clusterLabel] === cluster).map(trueNode).sort(byRoleThenName)
    )

  /** All that is there but servers, one line each, with its id. */
  const beside = Effect.map(fake.state, (state) => {
    const { firewalls, floatingIps, loadBalancers, networks, placementGroups, volumes } = state
    const kinds = { firewall: firewalls, network: networks, volume: volumes }
    const more = { "placement group": placementGroups, "floating IP": floatingIps, "load balancer": loadBalancers }
    return Object.entries({ ...kinds, ...more }).flatMap(([kind, items]) =>
      items.map(({ id, labels, name }: ResourceView) => ({ id, labels, line: `${kind} ${name}` }))
    )
  })

  const scoped = <A>(make: Effect.Effect<A>, undo: (made: A) => Effect.Effect<unknown>) =>
    Effect.acquireRelease(make, undo)

  const patience = Duration.fromInputUnsafe(options.patience ?? "1 second")
  const addForeign = (seed: Effect.Effect<number>) =>
    Effect.asVoid(scoped(Effect.tap(seed, (id) => Effect.sync(() => foreign.add(id))), (id) => {
      foreign.delete(id)
      return fake.vanish(id)
    }))
  const isCallOn = (call: Call["call"], node: TrueNode) => (arrival: Arrival) => {
    const found = callOf(arrival)
    return found?.call === call && String(found.id) === node.id
  }

  return makeHarness({
    patience,
    uniqueName: Effect.sync(() => `law-${alphabet[Math.trunc(names / 26) % 26]}${alphabet[names++ % 26]}`),
    nodes,
    seed: (cluster, { controlPlanes, state, workers }) =>
      Effect.gen(function*() {
        for (const [role, count] of [["control-plane", controlPlanes], ["worker", workers]] as const) {
          for (let number = 1; number <= count; number++) {
            yield* fake.seed.server({
              name: `${cluster}-${role}-${number}`,
              labels: { ...labelsOf(cluster), [roleLabel]: role },
              status: state === "running" ? "running" : "off"
            })
          }
        }
        return yield* nodes(cluster)
      })
  }, {
    calls: Effect.gen(function*() {
      const { servers } = yield* fake.state
      const found: Array<Call> = []
      for (const record of yield* fake.calls) {
        const call = callOf(record)
        if (call === undefined) continue
        const server = servers.find(({ id }) => id === call.id) ?? (yield* fake.gone(call.id))
        const cluster = server?.labels[clusterLabel]
        if (server !== undefined && cluster !== undefined) found.push({ call: call.call, cluster, node: server.name })
      }
      return found
    }),
    setState: (node, state) => fake.change(Number(node.id), { status: state === "running" ? "running" : "off" }),
    vanish: (node) => fake.vanish(Number(node.id)),
    failing: (call, node) =>
      Effect.asVoid(scoped(
        fake.fault({
          on: isCallOn(call, node),
          times: Infinity,
          fault: { _tag: "Refuse", code: "invalid_input", message: `the harness refuses to ${call} it` }
        }),
        (undo) => undo
      )),
    rateLimited: (call, node) => {
      // A Project's bucket is full after an hour, so one with a large limit lets the next call come soon.
      const wait = Duration.divideUnsafe(patience, 10)
      const refillPerSecond = 1 / Duration.toSeconds(wait)
      const limit = Math.max(100, Math.round(refillPerSecond * 3600))
      const quota = { limit, remaining: limit, refillPerSecond }
      return fake.quota.set(quota).pipe(
        Effect.andThen(
          fake.fault({ on: isCallOn(call, node), fault: { _tag: "Refuse", code: "rate_limit_exceeded" } })
        ),
        Effect.as(wait)
      )
    },
    exitAtOnce: (node) =>
      Effect.asVoid(scoped(
        fake.change(Number(node.id), { guest: { exits: true } }),
        () => fake.change(Number(node.id), { guest: { exits: false } })
      )),
    outage: fake.outage,
    cutWatches: fake.cut,
    addBystanders: (cluster) =>
      Effect.gen(function*() {
        yield* addForeign(fake.seed.server({ name: `${cluster}-worker-9` }))
        yield* addForeign(fake.seed.server({ name: `${cluster}-worker-8`, labels: { cluster, role: "worker" } }))
        yield* addForeign(fake.seed.network({ name: `${cluster}-network` }))
        yield* addForeign(fake.seed.firewall({ name: `${cluster}-firewall`, labels: { team: "other" } }))
        yield* addForeign(fake.seed.placementGroup({ name: `${cluster}-placement-1` }))
        yield* addForeign(fake.seed.floatingIp({ name: `${cluster}-ip` }))
      }),
    bystanders: Effect.gen(function*() {
      const { servers } = yield* fake.state
      return [
        ...servers.flatMap(({ id, name, status }) => foreign.has(id) ? [`server ${name} ${status}`] : []),
        ...(yield* beside).flatMap(({ id, line }) => foreign.has(id) ? [line] : [])
      ].sort()
    }),
    holdName: (cluster) => addForeign(fake.seed.server({ name: `${cluster}-worker-1`, labels: { team: "other" } })),
    addLeftovers: (cluster) =>
      Effect.gen(function*() {
        const labels = labelsOf(cluster)
        yield* fake.seed.network({ name: `${cluster}-network`, labels })
        yield* fake.seed.firewall({ name: `${cluster}-firewall`, labels })
        yield* fake.seed.placementGroup({ name: `${cluster}-placement-1`, labels })
        yield* fake.seed.floatingIp({ name: `${cluster}-ip`, labels })
      }),
    leftovers: (cluster) =>
      Effect.map(
        beside,
        (found) => found.flatMap(({ labels, line }) => labels[clusterLabel] === cluster ? [line] : []).sort()
      ),
    detach: (node) =>
      Effect.gen(function*() {
        const networks = Effect.map(
          fake.state,
          ({ servers }) => servers.find(({ id }) => String(id) === node.id)?.networks ?? []
        )
        for (const network of yield* networks) {
          yield* send(fake, `/servers/${node.id}/actions/detach_from_network`, { network })
        }
        yield* Effect.repeat(Effect.delay(networks, Duration.divideUnsafe(patience, 50)), {
          until: (left) => left.length === 0
        })
      }),
    attachments: (cluster) =>
      Effect.map(fake.state, ({ networks, servers }) => {
        const names = new Map(networks.map(({ id, name }) => [id, name]))
        return servers.filter(({ labels }) => labels[clusterLabel] === cluster)
          .flatMap((server) => server.networks.map((id) => `${server.name} ${names.get(id)}`)).sort()
      }),
    second: anotherClient(fake, options),
    addOrphans: (cluster) =>
      Effect.flatMap(
        anotherClient(fake, options),
        ({ creator }) => creator.createNodes({ cluster, controlPlanes: 1, workers: 1 })
      )
        .pipe(
          // No process can have this id.
          Effect.updateService(SessionSource, (source) => ({
            ...source,
            session: Effect.map(source.session, (session) => session.replace(/\/\d+\//, "/4194999/"))
          })),
          Effect.provideService(BoundToProcess, true),
          Effect.mapError((error) => new HarnessError({ action: `make cluster ${cluster}`, detail: error.message })),
          Effect.map((report) => report.outcomes.map(({ name }) => name))
        ),
    secrets: Effect.succeed([fake.token])
  })
}

/**
 * The harness of the fake that the layer under test sees.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options = {}): Layer.Layer<Harness, never, HetznerFake> =>
  Layer.effect(Harness, Effect.map(HetznerFake, (fake) => make(fake, options)))
