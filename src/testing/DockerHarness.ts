/**
 * Arranges and observes a real Docker engine for the laws, without kubelayer's own client.
 *
 * The layer under test speaks to the engine through a `TestedEngine`, which records the calls, cuts watches and
 * disconnects the engine. It also answers for the engine where a healthy engine never refuses: to start, stop or remove
 * a node. Nodes are created without kubelayer, with the labels of the scheme's tool, from an image that has a
 * `/bin/sh`. A layer on a unix socket has no credentials except those for its nodes; name them to claim `secrets` too.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { byRoleThenName } from "../internal/Operation.ts"
import { BoundToProcess, randomWord, SessionSource } from "../internal/Session.ts"
import type { NodeSpec } from "../layers/Docker.ts"
import type { NodeRole } from "../Model.ts"
import { type HarnessEngine, ofFake, ofTestedEngine } from "./docker/HarnessEngine.ts"
import { type Marks, marks } from "./docker/Marks.ts"
import { type Container, type Json, type Resource, states } from "./docker/RawEngine.ts"
import { DockerFake, type DockerFakeService } from "./DockerFake.ts"
import { type Call, Harness, HarnessError, type HarnessService, make as makeHarness, type TrueNode } from "./Harness.ts"
import type { Capability } from "./Law.ts"
import { TestedEngine, type TestedEngineService } from "./TestedEngine.ts"

/**
 * The schemes in which the harness makes nodes.
 *
 * @category models
 * @since 0.1.0
 */
export type Scheme = "kubelayer" | "kind" | "k3d" | "talos"

/**
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** The scheme of the layer under test. */
  readonly scheme: Scheme
  /** The image of nodes; it must be on the engine and have a `/bin/sh`. */
  readonly image: string
  /** The defaults of nodes, as the layer under test has them; the second client and orphans need them. */
  readonly nodes?: NodeSpec
  /** Raise it for an engine that is slow, or far. */
  readonly patience?: Duration.Input
  /** Credentials that the layer under test was given; claim `secrets` too. */
  readonly secrets?: ReadonlyArray<string>
}

/**
 * The capabilities of an engine. Talos has neither load balancers nor helpers.
 *
 * @category getters
 * @since 0.1.0
 */
export const capabilities = (scheme: Scheme): ReadonlyArray<Capability> => [
  "calls",
  "change",
  "vanish",
  "fail-start",
  "fail-stop",
  "fail-delete",
  "exit-at-once",
  "outage",
  "cut-watches",
  "rate-limit",
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
  ...scheme === "talos" ? [] : ["helpers"] as const,
  // Several control planes of kind need a load balancer, and so its image.
  ...scheme === "kind" ? [] : ["control-planes"] as const
]

// -----------------------------------------------------------------------------
// The harness
// -----------------------------------------------------------------------------

const nodeScript = ({ script }: HarnessEngine) =>
  `${script}
trap 'exit 0' TERM
while :; do sleep 3600 & wait $!; done`

/** The call on a container that a request is. */
const callOf = (
  { method, path }: { readonly method: string; readonly path: string }
): { readonly call: Call["call"]; readonly id: string } | undefined => {
  const [, id, verb] = /^(?:\/v[\d.]+)?\/containers\/([^/?]+)(?:\/(start|unpause|stop|kill))?(?:\?|$)/.exec(path) ?? []
  if (id === undefined) return undefined
  if (verb === undefined) return method === "DELETE" ? { call: "delete", id } : undefined
  return { call: verb === "start" || verb === "unpause" ? "start" : "stop", id }
}

const harnessOf = (engine: HarnessEngine, options: Options): HarnessService => {
  const { image } = options
  const { ask } = engine
  const scheme: Marks = marks[options.scheme]
  const patience = patienceOf(options)
  const roleOf = new Map(Object.entries(scheme.roles).map(([role, raw]) => [raw, role as NodeRole]))
  /** Nodes by id, also deleted ones, so that calls can be reported. */
  const known = new Map<string, { readonly cluster: string; readonly name: string }>()

  const list = (action: string) =>
    Effect.map(ask(action, "GET", "/containers/json?all=true"), (found) => found as ReadonlyArray<Container>)
  const networks = (action: string) =>
    Effect.map(ask(action, "GET", "/networks"), (found) => found as ReadonlyArray<Resource>)
  const volumes = (action: string) =>
    Effect.map(
      ask(action, "GET", "/volumes"),
      (found) => ((found as Json)["Volumes"] ?? []) as ReadonlyArray<Resource>
    )
  const nameOf = (container: Container) => container.Names[0]?.slice(1) ?? container.Id
  const clusterOf = (container: Container) => container.Labels[scheme.clusterLabel]

  const remove = (action: string, path: string) => ask(action, "DELETE", path, { fine: [404, 409] })
  const removeContainer = (action: string, id: string) => remove(action, `/containers/${id}?force=true&v=true`)

  const nodes = (cluster: string) =>
    Effect.map(
      list(`list the nodes of ${cluster}`),
      (containers) =>
        containers.filter((container) => clusterOf(container) === cluster).map((container): TrueNode => {
          known.set(container.Id, { cluster, name: nameOf(container) })
          return {
            cluster,
            name: nameOf(container),
            id: container.Id,
            role: roleOf.get(container.Labels[scheme.roleLabel] ?? "") ?? "helper",
            state: states[container.State] ?? "unknown"
          }
        }).sort(byRoleThenName)
    )

  const createContainer = (action: string, name: string, labels: Readonly<Record<string, string>>) =>
    Effect.map(
      ask(action, "POST", `/containers/create?name=${encodeURIComponent(name)}`, {
        body: {
          Image: image,
          Entrypoint: ["/bin/sh", "-c", nodeScript(engine)],
          Cmd: [],
          Labels: labels,
          HostConfig: { NetworkMode: "none" }
        }
      }),
      (created) => String((created as Json)["Id"])
    )

  const start = (action: string, id: string) => ask(action, "POST", `/containers/${id}/start`)

  const seed: HarnessService["seed"] = (cluster, { controlPlanes, helpers = 0, loadBalancers = 0, state, workers }) =>
    Effect.gen(function*() {
      const wanted = ([
        ["control-plane", controlPlanes],
        ["worker", workers],
        ["load-balancer", loadBalancers],
        ["helper", helpers]
      ] as const).flatMap(([role, count]) => Array.from({ length: count }, (_, index) => ({ role, index })))
      yield* Effect.forEach(wanted, ({ index, role }) =>
        Effect.gen(function*() {
          const raw = scheme.roles[role]
          if (raw === undefined) {
            return yield* new HarnessError({ action: "seed", detail: `${options.scheme} has no ${role}` })
          }
          const name = scheme.nodeName(cluster, raw, index)
          const action = `seed ${name}`
          const labels = { ...scheme.always, [scheme.clusterLabel]: cluster, [scheme.roleLabel]: raw }
          const id = yield* createContainer(action, name, labels)
          if (state === "running") yield* start(action, id)
        }), { concurrency: 4, discard: true })
      return yield* nodes(cluster)
    })

  const begins = (name: string) => (text: string | undefined) => text?.startsWith(name) === true

  /** Everything of clusters whose names begin so. */
  const removeAll = (name: string) =>
    Effect.gen(function*() {
      const action = `remove what there is of ${name}`
      const ofIt = begins(name)
      const own = (resource: Resource) =>
        ofIt(resource.Labels?.[scheme.clusterLabel]) ||
        ofIt(resource.Labels?.["kubelayer.owned"]?.replace(/^.*\//, "")) ||
        ofIt(resource.Name.replace(/^(?:kubelayer|k3d)-/, ""))
      const containers = (yield* list(action)).filter((container) => ofIt(clusterOf(container)))
      yield* Effect.forEach(containers, ({ Id }) => removeContainer(action, Id), { concurrency: 4, discard: true })
      for (const { Name } of (yield* networks(action)).filter(own)) yield* remove(action, `/networks/${Name}`)
      for (const { Name } of (yield* volumes(action)).filter(own)) yield* remove(action, `/volumes/${Name}`)
    })

  const beside = (cluster: string) =>
    Effect.gen(function*() {
      const action = `list what ${cluster} has beside nodes`
      const wanted = Object.entries(scheme.resource(cluster))
      const own = (resource: Resource) => wanted.every(([key, value]) => resource.Labels?.[key] === value)
      return [
        ...(yield* networks(action)).filter(own).map(({ Name }) => `network ${Name}`),
        ...(yield* volumes(action)).filter(own).map(({ Name }) => `volume ${Name}`)
      ].sort()
    })

  const setState: HarnessService["setState"] = (node, state) => {
    const action = `put ${node.name} into state ${state}`
    return Effect.asVoid(
      state === "running" ? start(action, node.id) : ask(action, "POST", `/containers/${node.id}/stop?t=5`)
    )
  }

  /** The networks of each container. */
  const networksOf = (action: string) =>
    Effect.map(list(action), (containers) =>
      new Map(containers.map((container) => [
        nameOf(container),
        Object.keys(container.NetworkSettings?.Networks ?? {})
      ])))

  /** Another layer on the same engine, as another process has it. */
  const another = engine.connect({ scheme: options.scheme, nodes: options.nodes ?? { image, pull: "never" } })

  const isCallOn =
    (call: Call["call"], node: TrueNode) => (request: { readonly method: string; readonly path: string }) => {
      const found = callOf(request)
      return found?.call === call && found.id === node.id
    }

  const unlabelled = new Map<string, Effect.Effect<string, HarnessError>>()
  const addUnlabelledNode = (action: string, name: string) =>
    Effect.gen(function*() {
      const id = yield* scoped(createContainer(action, name, {}), (made) => removeContainer(action, made))
      yield* start(action, id)
      unlabelled.set(
        id,
        Effect.map(list(action), (all) => {
          const found = all.find((container) => container.Id === id)
          return found === undefined ? "" : `container ${name} ${found.State}`
        })
      )
    })
  const scoped = <A>(make: Effect.Effect<A, HarnessError>, undo: (made: A) => Effect.Effect<unknown, HarnessError>) =>
    Effect.acquireRelease(make, (made) => Effect.orDie(undo(made)))

  return makeHarness({
    patience,
    uniqueName: Effect.acquireRelease(
      Effect.sync(() => `law-${randomWord(6)}`),
      (name) => Effect.orDie(removeAll(name))
    ),
    nodes,
    seed
  }, {
    calls: Effect.gen(function*() {
      const requests = yield* engine.calls
      const containers = yield* list("report the calls")
      for (const container of containers) {
        const cluster = clusterOf(container)
        if (cluster !== undefined) known.set(container.Id, { cluster, name: nameOf(container) })
      }
      return requests.flatMap((request): ReadonlyArray<Call> => {
        const call = callOf(request)
        const node = call === undefined ? undefined : known.get(call.id)
        return call === undefined || node === undefined
          ? []
          : [{ call: call.call, cluster: node.cluster, node: node.name }]
      })
    }),
    setState,
    vanish: (node) => Effect.asVoid(removeContainer(`remove ${node.name}`, node.id)),
    failing: (call, node) =>
      Effect.asVoid(Effect.acquireRelease(
        engine.refuse({
          on: isCallOn(call, node),
          times: Infinity,
          status: 400,
          message: `the harness refuses to ${call} ${node.name}`
        }),
        (undo) => undo
      )),
    rateLimited: (call, node) =>
      Effect.as(
        engine.refuse({
          on: isCallOn(call, node),
          times: 1,
          status: 429,
          message: "too many requests",
          headers: { "Retry-After": "1" }
        }),
        Duration.seconds(1)
      ),
    exitAtOnce: engine.exitAtOnce,
    outage: engine.outage,
    cutWatches: engine.cut(/\/events[? ]/),
    addBystanders: (cluster) =>
      Effect.gen(function*() {
        const action = `add unlabelled things beside ${cluster}`
        const name = scheme.nodeName(cluster, scheme.roles.worker ?? "worker", 8)
        yield* addUnlabelledNode(action, name)
        const network = scheme.network(cluster)
        yield* scoped(
          ask(action, "POST", "/networks/create", { body: { Name: network, CheckDuplicate: true, Internal: true } }),
          () => remove(action, `/networks/${network}`)
        )
        const volume = `${cluster}-data`
        yield* scoped(
          ask(action, "POST", "/volumes/create", { body: { Name: volume } }),
          () => remove(action, `/volumes/${volume}`)
        )
        unlabelled.set(network, Effect.map(networks(action), (all) => listed("network", network, all)))
        unlabelled.set(volume, Effect.map(volumes(action), (all) => listed("volume", volume, all)))
      }),
    bystanders: Effect.map(
      Effect.suspend(() => Effect.all([...unlabelled.values()])),
      (lines) => lines.filter((line) => line !== "").sort()
    ),
    holdName: (cluster) =>
      addUnlabelledNode(`use a name of ${cluster}`, scheme.nodeName(cluster, scheme.roles.worker ?? "worker", 0)),
    addLeftovers: (cluster) =>
      Effect.gen(function*() {
        const action = `add leftovers of ${cluster}`
        const Labels = scheme.resource(cluster)
        const Name = scheme.network(cluster)
        yield* ask(action, "POST", "/networks/create", { body: { Name, CheckDuplicate: true, Internal: true, Labels } })
        yield* ask(action, "POST", "/volumes/create", { body: { Name: `${cluster}-data`, Labels } })
      }),
    leftovers: beside,
    detach: (node) =>
      Effect.gen(function*() {
        const action = `disconnect ${node.name}`
        const [network] = (yield* networksOf(action)).get(node.name) ?? []
        if (network === undefined) return yield* new HarnessError({ action, detail: "it is in no network" })
        yield* ask(action, "POST", `/networks/${network}/disconnect`, { body: { Container: node.id, Force: true } })
      }),
    attachments: (cluster) =>
      Effect.gen(function*() {
        const action = `list the attachments of ${cluster}`
        const all = yield* networksOf(action)
        return (yield* nodes(cluster))
          .flatMap(({ name }) => (all.get(name) ?? []).map((network) => `${name} network ${network}`))
          .sort()
      }),
    second: another,
    addOrphans: (cluster) =>
      Effect.gen(function*() {
        const { creator } = yield* another
        const { outcomes } = yield* creator.createNodes({ cluster, controlPlanes: 1, workers: 1 }).pipe(
          // No process can have this id.
          Effect.updateService(SessionSource, (source) => ({
            ...source,
            session: Effect.map(source.session, (session) => session.replace(/\/\d+\//, "/4194999/"))
          })),
          Effect.provideService(BoundToProcess, true),
          Effect.mapError(({ message }) => new HarnessError({ action: `create ${cluster}`, detail: message }))
        )
        // A network that several clusters share is no orphan.
        const owned = new Set(yield* beside(cluster))
        return outcomes.flatMap(({ kind, name }) => kind === "node" || owned.has(`${kind} ${name}`) ? [name] : [])
      }),
    secrets: Effect.succeed(options.secrets ?? [])
  })
}

const listed = (kind: string, name: string, all: ReadonlyArray<Resource>): string =>
  all.some((resource) => resource.Name === name) ? `${kind} ${name}` : ""

const patienceOf = (options: Options) => Duration.fromInputUnsafe(options.patience ?? "2 seconds")

/**
 * Makes the harness of an engine.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (engine: TestedEngineService, options: Options): HarnessService =>
  harnessOf(ofTestedEngine(engine, patienceOf(options)), options)

/**
 * Makes the harness of a fake engine.
 *
 * @category constructors
 * @since 0.2.0
 */
export const makeFake = (fake: DockerFakeService, options: Options): HarnessService => harnessOf(ofFake(fake), options)

/**
 * The harness of the engine that the layer under test sees.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options): Layer.Layer<Harness, never, TestedEngine> =>
  Layer.effect(Harness, Effect.map(TestedEngine, (engine) => make(engine, options)))

/**
 * The harness of the fake engine that the layer under test sees.
 *
 * @category layers
 * @since 0.2.0
 */
export const layerFake = (options: Options): Layer.Layer<Harness, never, DockerFake> =>
  Layer.effect(Harness, Effect.map(DockerFake, (fake) => makeFake(fake, options)))
