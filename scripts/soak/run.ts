/**
 * One seed, on an engine: its world, its operations under faults, and what has to hold all the same.
 *
 * Unowned things stay as they were. Reports are true. Every operation settles by its deadline. Everything that was
 * created is found again. Over a healthy engine the same cluster is created and deleted without leftovers.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Docker from "../../src/layers/Docker.ts"
import type { ClusterStatus } from "../../src/Model.ts"
import * as Policy from "../../src/Policy.ts"
import * as FaultProxy from "../../src/testing/FaultProxy.ts"
import { endpointOf } from "../engine/api.ts"
import { describeExit, errorOf, type Settled, truthful, typed } from "./checks.ts"
import { type Census, makeRaw, type Raw } from "./raw.ts"
import { type Action, describeStep, type Move, type Scenario, scenarioOf, type Step } from "./scenario.ts"

export interface SoakOptions {
  /** The engine, a DOCKER_HOST value that plain HTTP reaches. */
  readonly dockerHost: string
  readonly image: string
  /** Distinguishes the clusters of this run from those of others on the same engine. */
  readonly run: string
}

export interface SeedResult {
  readonly seed: number
  readonly problems: ReadonlyArray<string>
  /** The events, line by line. */
  readonly story: ReadonlyArray<string>
  readonly calls: number
  readonly faults: number
  readonly millis: number
}

const requestTimeoutMillis = 2000

/** Short, so that a run meets its deadlines. */
const hasty: Policy.Overrides = {
  retry: Schedule.exponential("40 millis").pipe(Schedule.jittered, Schedule.upTo({ times: 4 })),
  poll: Schedule.min([Schedule.exponential("30 millis"), Schedule.spaced("400 millis")]),
  requestTimeout: requestTimeoutMillis,
  readTimeout: "5 seconds",
  nodeTimeout: { create: "6 seconds", start: "6 seconds", stop: "6 seconds", delete: "6 seconds" },
  operationTimeout: "12 seconds",
  cleanupTimeout: "8 seconds",
  idleTimeout: "3 seconds"
}

/** How long an operation may take by that policy, connecting included; a stop's request has the engine's grace on top. */
const boundMillis: { readonly [A in Action]: number } = {
  create: 20_000,
  start: 12_000,
  stop: 12_000,
  delete: 12_000,
  list: 9000,
  status: 9000,
  watch: 1000
}
/** For what the machine itself is slow at. */
const slackMillis = 8000
const watchMillis = 700

const healthy = Policy.override({
  ...Policy.defaults,
  operationTimeout: "2 minutes"
})

interface World {
  readonly scenario: Scenario
  readonly cluster: string
  readonly raw: Raw
  readonly proxy: FaultProxy.FaultProxy
  readonly first: Docker.DockerService
  readonly second: Docker.DockerService
  readonly logs: Array<string>
  readonly problem: (text: string) => void
  readonly tell: (text: string) => void
}

const specOf = ({ cluster, scenario }: World): Docker.DockerClusterSpec => ({
  cluster,
  controlPlanes: scenario.controlPlanes,
  workers: scenario.workers,
  ...(scenario.keep ? { onFailure: "keep" as const } : {}),
  ...(scenario.volume
    ? { volumes: [{ name: "data" }], nodes: { volumes: [{ name: "data", target: "/data" }] } }
    : {})
})

const effectOf = (world: World, docker: Docker.DockerService, action: Action): Effect.Effect<unknown, unknown> => {
  const { cluster } = world
  const { provider } = docker
  switch (action) {
    case "create":
      return docker.createNodes(specOf(world))
    case "start":
      return provider.startNodes(cluster)
    case "stop":
      return provider.stopNodes(cluster)
    case "delete":
      return provider.deleteNodes(cluster)
    case "list":
      return provider.listNodes(cluster)
    case "status":
      return provider.getClusterStatus(cluster)
    case "watch":
      return Stream.runDrain(provider.watchCluster(cluster)).pipe(Effect.timeoutOption(Duration.millis(watchMillis)))
  }
}

const settle = Effect.fnUntraced(function*(
  world: World,
  docker: Docker.DockerService,
  move: Move,
  others: number
): Effect.fn.Return<Settled> {
  const { action, interruptAfterMillis } = move
  const before = world.logs.length
  const began = yield* Clock.currentTimeMillis
  const fiber = yield* Effect.forkChild(effectOf(world, docker, action))
  if (interruptAfterMillis !== undefined) {
    yield* Effect.forkChild(Effect.delay(Fiber.interrupt(fiber), Duration.millis(interruptAfterMillis)))
  }
  // Creates of one cluster by one instance come one after the other.
  const bound = boundMillis[action] * (1 + others) + slackMillis
  const settled = yield* Fiber.await(fiber).pipe(Effect.timeoutOption(Duration.millis(bound)))
  if (Option.isNone(settled)) world.problem(`${action} did not settle within ${bound} ms`)
  const exit = yield* Fiber.await(fiber)
  const took = (yield* Clock.currentTimeMillis) - began
  world.tell(`  ${action} ${describeExit(exit)} after ${took} ms`)
  return { action, exit, logs: world.logs.slice(before) }
})

const meddle = Effect.fnUntraced(function*(world: World, step: Extract<Step, { readonly _tag: "Meddle" }>) {
  const nodes = (yield* world.raw.census).filter(({ kind }) => kind === "node")
  const node = nodes[step.which % Math.max(1, nodes.length)]
  if (node !== undefined) yield* world.raw.meddle(node.id, step.how)
})

const take = Effect.fnUntraced(function*(world: World, step: Step) {
  const { first, proxy, raw, second } = world
  world.tell(describeStep(step))
  if (step._tag === "Meddle") return yield* meddle(world, step)
  const before = yield* raw.census
  if (step._tag === "Together") {
    const [one, other] = step.moves
    const settled = yield* Effect.all(
      [settle(world, first, one, 1), settle(world, step.apart ? second : first, other, 1)],
      { concurrency: 2 }
    )
    for (const each of settled) typed(each).forEach(world.problem)
    return yield* proxy.idle
  }
  const settled = yield* settle(world, first, step.move, 0)
  yield* proxy.idle
  const after = yield* raw.census
  for (const problem of [...typed(settled), ...truthful(settled, before, after, world.cluster)]) {
    world.problem(`${describeStep(step)}: ${problem}`)
  }
})

/** All that is on the engine with our labels is found by those who would delete it. */
const accounted = Effect.fnUntraced(function*(world: World, direct: Docker.DockerService) {
  const { cluster, problem, raw } = world
  const census = yield* raw.census
  const nodes = (yield* direct.provider.listNodes(cluster)).map(({ id }) => id)
  const resources = (yield* direct.resources(cluster)).map(({ kind, name }) => `${kind}/${name}`)
  for (const thing of census) {
    const found = thing.kind === "node" ? nodes.includes(thing.id) : resources.includes(`${thing.kind}/${thing.name}`)
    if (!found) problem(`nobody would find ${thing.kind} ${thing.name}`)
  }
  const clusters = yield* direct.provider.listAllClusters
  if (clusters.some((name) => name === cluster) !== nodes.length > 0) {
    problem(`listAllClusters is wrong about the cluster, which has ${nodes.length} nodes`)
  }
})

const running = (census: Census) => census.filter(({ kind, state }) => kind === "node" && state === "running").length

/** Over a healthy engine: create, start, all run, delete, nothing is left. */
const converges = Effect.fnUntraced(function*(world: World, direct: Docker.DockerService) {
  const { cluster, problem, raw, scenario } = world
  const created = yield* Effect.exit(direct.createNodes(specOf(world)))
  if (scenario.unowned === "container-of-same-name") {
    const error = errorOf(created)
    if (error === undefined || !error.message.includes("NameTaken")) {
      problem(`a create over a name that is taken ${describeExit(created)}`)
    }
  } else if (Exit.isFailure(created)) {
    problem(`over a healthy engine, create ${describeExit(created)}`)
  } else {
    const started = yield* Effect.exit(direct.provider.startNodes(cluster))
    if (Exit.isFailure(started)) problem(`over a healthy engine, start ${describeExit(started)}`)
    const all = scenario.controlPlanes + scenario.workers
    const up = running(yield* raw.census)
    if (up !== all) problem(`over a healthy engine, ${up} of ${all} nodes run after create and start`)
  }
  const deleted = yield* Effect.exit(direct.provider.deleteNodes(cluster))
  if (Exit.isFailure(deleted)) problem(`over a healthy engine, delete ${describeExit(deleted)}`)
  else {
    for (const { kind, name, problem } of deleted.value.outcomes) {
      if (problem !== "") world.tell(`over a healthy engine, delete of ${kind} ${name}: ${problem}`)
    }
  }
  const left = yield* raw.census
  if (left.length > 0) {
    problem(`after delete there is still ${left.map(({ kind, name }) => `${kind} ${name}`).join(", ")}`)
  }
})

/** A watch over all the steps; what it saw last has to be true once the world rests. */
const watched = Effect.fnUntraced(function*(world: World) {
  const { cluster, problem, second } = world
  let last: ClusterStatus | undefined
  const fiber = yield* Effect.forkScoped(
    Stream.runForEach(second.provider.watchCluster(cluster), (status) =>
      Effect.sync(() => {
        last = status
      }))
  )
  return Effect.gen(function*() {
    if (fiber.pollUnsafe() !== undefined) {
      world.tell(`the watch over all ${describeExit(yield* Fiber.await(fiber))}`)
      return
    }
    const rests = Effect.gen(function*() {
      const truth = Option.getOrUndefined(yield* second.provider.getClusterStatus(cluster))
      const told = (status: ClusterStatus | undefined) =>
        status?.nodes.map(({ id, rawState }) => `${id.slice(0, 12)} ${rawState}`).join(", ") ?? "nothing"
      return fiber.pollUnsafe() !== undefined || told(truth) === told(last)
        ? undefined
        : `the watch saw last: ${told(last)}; true is: ${told(truth)}`
    })
    const difference = yield* rests.pipe(
      Effect.repeat({ schedule: Schedule.spaced("200 millis"), times: 40, until: (wrong) => wrong === undefined })
    )
    if (difference !== undefined) problem(difference)
    yield* Fiber.interrupt(fiber)
  })
})

const play = Effect.fnUntraced(
  function*(options: SoakOptions, world: Omit<World, "raw" | "first" | "second" | "proxy">) {
    const { cluster, scenario } = world
    const endpoint = endpointOf(options.dockerHost)
    if (endpoint === undefined) return world.problem(`${options.dockerHost} is not reached by plain HTTP`)
    const raw = yield* makeRaw(endpoint, options.image, cluster, scenario)
    const unowned = yield* raw.unowned
    const proxy = yield* FaultProxy.make({
      target: options.dockerHost,
      plan: FaultProxy.seeded({ seed: scenario.seed, rules: scenario.rules, most: scenario.most })
    })
    // If this is interrupted, pending work of the engine would come after the clean-up.
    yield* Effect.addFinalizer(() => Effect.timeoutOption(proxy.idle, "20 seconds"))
    const docker = (host: string, policy: Policy.Overrides) =>
      Docker.make({ host, policy, nodes: { image: options.image, pull: "never" } })
    const all: World = {
      ...world,
      raw,
      proxy,
      first: yield* docker(proxy.host, hasty),
      second: yield* docker(proxy.host, hasty)
    }
    let restOfWatch: Effect.Effect<void, unknown> = Effect.void
    for (const [index, step] of scenario.steps.entries()) {
      yield* take(all, step)
      if (index === 0 && scenario.watched) restOfWatch = yield* watched(all)
    }
    yield* proxy.lift
    yield* proxy.idle
    yield* restOfWatch.pipe(healthy)
    const direct = yield* docker(options.dockerHost, {})
    yield* accounted(all, direct).pipe(healthy)
    yield* converges(all, direct).pipe(healthy)
    if ((yield* raw.unowned) !== unowned) {
      world.problem(`an unowned thing was changed: ${unowned} became ${yield* raw.unowned}`)
    }
    return { calls: (yield* proxy.calls).length, faults: yield* proxy.faults }
  }
)

/** Runs one seed. Leaves nothing on the engine, however it ends. Fails never: what goes wrong is a problem. */
export const runSeed = Effect.fnUntraced(function*(options: SoakOptions, seed: number): Effect.fn.Return<SeedResult> {
  const scenario = scenarioOf(seed, requestTimeoutMillis)
  const problems: Array<string> = []
  const story: Array<string> = []
  const logs: Array<string> = []
  const began = yield* Clock.currentTimeMillis
  const logger = Logger.make<unknown, void>(({ message }) => {
    logs.push((Array.isArray(message) ? message : [message]).map(String).join(" "))
  })
  const played = yield* Effect.exit(
    play(options, {
      scenario,
      cluster: `soak-${options.run}-${seed}`,
      logs,
      problem: (text) => {
        problems.push(text)
        story.push(`  PROBLEM: ${text}`)
      },
      tell: (text) => void story.push(text)
    }).pipe(
      Effect.scoped as <A, E>(self: Effect.Effect<A, E, Scope.Scope>) => Effect.Effect<A, E>,
      Effect.provide(Logger.layer([logger]))
    )
  )
  const faults = Exit.isSuccess(played) ? played.value?.faults ?? [] : []
  if (Exit.isFailure(played)) problems.push(`the seed could not be played: ${describeExit(played)}`)
  return {
    seed,
    problems,
    story: [
      `${scenario.controlPlanes} control planes, ${scenario.workers} workers${scenario.volume ? ", a volume" : ""}${
        scenario.keep ? ", kept on failure" : ""
      }; beside it a ${scenario.unowned}`,
      ...story,
      ...faults.map((fault) => `fault at call ${fault.index}: ${FaultProxy.line(fault)}`)
    ],
    calls: Exit.isSuccess(played) ? played.value?.calls ?? 0 : 0,
    faults: faults.length,
    millis: (yield* Clock.currentTimeMillis) - began
  }
})
