/**
 * The harness of the simulator `Memory`: it acts through the service `Memory`, beside the provider under test.
 *
 * Every law gets its own simulator, so seeds are removed with it. It can arrange everything except credentials, which a
 * simulator does not use; a wrapper of `Memory` with credentials can name them.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { byRoleThenName } from "../internal/Operation.ts"
import { BoundToProcess, SessionSource } from "../internal/Session.ts"
import { Memory, type MemoryNode, type MemoryService } from "../layers/Memory.ts"
import { InvalidInput, RateLimited } from "../Reason.ts"
import { type Call, Harness, HarnessError, type HarnessService, make as makeHarness, type TrueNode } from "./Harness.ts"
import type { Capability } from "./Law.ts"

/**
 * The capabilities of `Memory`.
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
  "helpers",
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
  "orphans"
]

/**
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** Credentials that the layer under test was given; claim `secrets` too. */
  readonly secrets?: ReadonlyArray<string>
  /** Raise it where calls are given a latency of that order. */
  readonly patience?: Duration.Input
}

const trueNode = ({ cluster, id, name, role, state }: MemoryNode): TrueNode => ({ cluster, id, name, role, state })

const failed = (action: string) => (error: { readonly message: string }) =>
  new HarnessError({ action, detail: error.message })

/**
 * Makes the harness of a simulator.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (memory: MemoryService, options: Options = {}): HarnessService => {
  let names = 0
  // Calls of the harness's own, which no law wants to see.
  const own = new Set<unknown>()
  const aside = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.gen(function*() {
      const before = (yield* memory.calls).length
      const result = yield* self
      for (const call of (yield* memory.calls).slice(before)) own.add(call)
      return result
    })
  const nodes = (cluster: string) =>
    Effect.map(
      memory.world,
      (world) => world.nodes.filter((node) => node.cluster === cluster).map(trueNode).sort(byRoleThenName)
    )
  const setState = (node: TrueNode, state: TrueNode["state"]) =>
    Effect.mapError(memory.setState(node.name, state), failed(`put ${node.name} into state ${state}`))
  const vanish = (node: TrueNode) => Effect.mapError(memory.removeNode(node.name), failed(`remove ${node.name}`))
  const create = (cluster: string, controlPlanes: number, workers: number, loadBalancers = 0) =>
    aside(memory.createNodes({ cluster, controlPlanes, workers, loadBalancers })).pipe(
      Effect.mapError(failed(`make cluster ${cluster}`))
    )
  const beside = (cluster: string) =>
    Effect.map(
      memory.world,
      ({ resources }) =>
        resources.filter((one) => one.cluster === cluster).map(({ kind, name }) => `${kind} ${name}`).sort()
    )
  const unlabelled = Effect.map(
    memory.world,
    (world) => world.unlabelled.map(({ kind, name }) => `${kind} ${name}`).sort()
  )
  const alphabet = "abcdefghijklmnopqrstuvwxyz"

  return makeHarness({
    patience: Duration.fromInputUnsafe(options.patience ?? "200 millis"),
    uniqueName: Effect.sync(() => `law-${alphabet[Math.trunc(names / 26) % 26]}${alphabet[names++ % 26]}`),
    nodes,
    seed: (cluster, { controlPlanes, helpers = 0, loadBalancers = 0, state, workers }) =>
      Effect.gen(function*() {
        yield* create(cluster, controlPlanes, workers, loadBalancers)
        for (let n = 0; n < helpers; n++) {
          yield* Effect.mapError(memory.addNode({ cluster, role: "helper", state }), failed("add a helper"))
        }
        for (const node of yield* nodes(cluster)) {
          yield* setState(node, state)
        }
        return yield* nodes(cluster)
      })
  }, {
    calls: Effect.map(memory.calls, (calls) =>
      calls.flatMap((call): ReadonlyArray<Call> => {
        const { cluster, operation, target } = call
        const known = operation === "start" || operation === "stop" || operation === "delete"
        return known && !own.has(call) ? [{ call: operation, cluster, node: target }] : []
      })),
    setState,
    vanish,
    failing: (call, node) =>
      memory.failNext({
        operation: call,
        node: node.name,
        reason: new InvalidInput({ detail: `the harness refuses to ${call} it` })
      }),
    rateLimited: (call, node) => {
      const wait = Duration.seconds(1)
      const reason = new RateLimited({ detail: "too many calls", retryAfterMillis: Duration.toMillis(wait) })
      return Effect.as(memory.failNext({ operation: call, node: node.name, reason }), wait)
    },
    exitAtOnce: (node) => memory.crash(node.name, { exitCode: 1, cause: "the harness let it exit" }),
    outage: Effect.acquireRelease(memory.setAvailable(false), () => memory.setAvailable(true)),
    cutWatches: memory.cutWatches,
    addBystanders: (cluster) =>
      Effect.gen(function*() {
        for (const [kind, name] of [["node", `${cluster}-worker9`], ["network", `${cluster}-network2`]] as const) {
          yield* Effect.acquireRelease(memory.addUnlabelled({ kind, name }), () => memory.removeUnlabelled(name))
        }
      }),
    bystanders: unlabelled,
    holdName: (cluster) => {
      const name = `${cluster}-worker`
      return Effect.acquireRelease(memory.addUnlabelled({ kind: "node", name }), () => memory.removeUnlabelled(name))
    },
    // A cluster's network and volume come with its nodes, and stay when the nodes are removed one by one.
    addLeftovers: (cluster) =>
      Effect.gen(function*() {
        if ((yield* beside(cluster)).length > 0) return
        yield* create(cluster, 1, 0)
        for (const node of yield* nodes(cluster)) yield* vanish(node)
      }),
    leftovers: beside,
    detach: (node) => Effect.mapError(memory.disconnect(node.name), failed(`disconnect ${node.name}`)),
    attachments: (cluster) =>
      Effect.map(
        memory.world,
        ({ nodes }) =>
          nodes.filter((node) => node.cluster === cluster && node.isConnected).map(({ name }) => `${name} network`)
            .sort()
      ),
    second: memory.secondClient,
    addOrphans: (cluster) =>
      aside(memory.createNodes({ cluster, controlPlanes: 1, workers: 1 })).pipe(
        // No process can have this id.
        Effect.updateService(SessionSource, (source) => ({
          ...source,
          session: Effect.map(source.session, (session) => session.replace(/\/\d+\//, "/4194999/"))
        })),
        Effect.provideService(BoundToProcess, true),
        Effect.mapError(failed(`make cluster ${cluster}`)),
        Effect.map((report) => report.outcomes.map(({ name }) => name))
      ),
    secrets: Effect.succeed(options.secrets ?? [])
  })
}

/**
 * The harness of the `Memory` of the layer under test.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options = {}): Layer.Layer<Harness, never, Memory> =>
  Layer.effect(Harness, Effect.map(Memory, (memory) => make(memory, options)))
