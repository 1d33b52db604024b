/**
 * The checks after the last actor and the last fault: every cluster can be brought to its spec, and reads and watches
 * are true. A delete of each cluster and one sweep leave only unowned things.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import { toJson } from "../../Cluster.ts"
import type { ClusterStatus } from "../../Model.ts"
import type { Plan } from "../../Plan.ts"
import { connect, type Connected, type Context, disconnect, runIn } from "./Context.ts"
import { checkUnowned, namesOf, nodesOfCluster, readDifference } from "./Invariants.ts"
import type { ClusterSize } from "./Script.ts"
import type { Services } from "./SimulatedWorld.ts"
import { allTextOf, clusterOf, describeExit } from "./Work.ts"

/** The clusters of a script, each with the size that it gets at the end. */
const clustersOf = ({ script }: Context): ReadonlyArray<ClusterSize> => {
  const sizes = new Map<string, ClusterSize>(script.clusters.map((size) => [size.name, size]))
  for (const step of script.actors.flat()) {
    const name = clusterOf(step)
    if (name === undefined || sizes.has(name)) continue
    sizes.set(name, { name, controlPlanes: 1, workers: 1 })
  }
  return [...sizes.values()]
}

/** Runs something that has to succeed. */
const must = <A, E>(
  context: Context,
  { client, services }: Connected,
  what: string,
  use: (services: Services) => Effect.Effect<A, E>
): Effect.Effect<Option.Option<A>> =>
  Effect.gen(function*() {
    client.isIdle = false
    const began = context.runtime.now()
    const exit = yield* Effect.exit(runIn(client.process, use(services)))
    client.isIdle = true
    context.line.log.push(`at the end: ${what} ${describeExit(exit)}`)
    context.runtime.digest.text(describeExit(exit))
    if (context.runtime.now() - began > 3 * 3_600_000) context.violate(`at the end: ${what} took too long`)
    for (const secret of context.world.secrets) {
      if (allTextOf(exit).includes(secret)) context.violate(`at the end: ${what} shows a credential`)
    }
    if (Exit.isSuccess(exit)) return Option.some(exit.value)
    context.violate(`at the end: ${what} ${describeExit(exit)}`)
    return Option.none()
  })

/** Whether the plan says what was done: what is new was to be created, and what is gone was to be deleted. */
const comparePlan = (plan: Plan, before: ReadonlySet<string>, after: ReadonlySet<string>): string | undefined => {
  const planned = (action: string) =>
    new Set(plan.steps.filter((step) => step.action === action).map(({ kind, name }) => `${kind} ${name}`))
  const [created, deleted] = [planned("create"), planned("delete")]
  for (const key of after) {
    if (!before.has(key) && !created.has(key)) return `${key} was created, and the plan did not say so`
  }
  for (const key of before) {
    if (!after.has(key) && !deleted.has(key)) return `${key} was deleted, and the plan did not say so`
  }
  for (const key of created) if (!after.has(key)) return `${key} was not created, and the plan said so`
  for (const key of deleted) if (after.has(key)) return `${key} was not deleted, and the plan said so`
  return undefined
}

const namesIn = (context: Context, cluster: string) =>
  Effect.map(
    context.world.truth,
    (things) => new Set(things.filter((thing) => thing.cluster === cluster).map(({ kind, name }) => `${kind} ${name}`))
  )

/**
 * A node that was added while a delete removed its placement group has none, and only another server could have one. Such
 * a node is refused.
 */
const mayBeIncomplete = ({ script }: Context, cluster: string): boolean => {
  const steps = script.actors.flat().filter((step) => clusterOf(step) === cluster)
  return script.backend === "hetzner" && steps.some((step) => step.do === "delete") &&
    steps.some((step) => step.do === "add" || step.do === "replace")
}

/** Brings a cluster to its size. It returns whether that was possible: a name may be in use by something else. */
const converge = (context: Context, connected: Connected, { controlPlanes, name, workers }: ClusterSize) =>
  Effect.gen(function*() {
    const { violate, world } = context
    const spec = { cluster: name, controlPlanes, workers, allowFewerControlPlanes: true }
    const plan = yield* must(context, connected, `plan of ${name}`, ({ creator }) => creator.plan(spec))
    if (Option.isNone(plan)) return
    if (plan.value.refusals.length > 0) {
      const isInTheWay = plan.value.refusals.every((step) => step.holder !== undefined)
      const isExplained = isInTheWay ? context.script.unowned.length > 1 : mayBeIncomplete(context, name)
      if (!isExplained) {
        violate(`at the end: refused: ${plan.value.refusals.join(", ")}`)
      }
      return
    }
    const before = yield* namesIn(context, name)
    const applied = yield* must(context, connected, `apply of ${name}`, ({ creator }) => creator.apply(plan.value))
    if (Option.isNone(applied)) return
    const things = yield* world.truth
    const difference = comparePlan(plan.value, before, yield* namesIn(context, name))
    if (difference !== undefined) violate(`at the end: apply of ${name}: ${difference}`)
    const again = yield* must(context, connected, `plan of ${name}`, ({ creator }) => creator.plan(spec))
    if (Option.isSome(again) && !again.value.isEmpty) {
      violate(`at the end: the plan of ${name} is not empty: ${again.value}`)
    }
    const nodes = nodesOfCluster(things, name)
    const wanted = namesOf(context.script.backend, name, controlPlanes, workers)
    const have = nodes.map((node) => node.name).sort().join(", ")
    if (have !== [...wanted].sort().join(", ")) {
      violate(`at the end: cluster ${name} has the nodes ${have}`)
    }
    if (nodes.length !== wanted.length) violate(`at the end: cluster ${name} has ${nodes.length} nodes`)
    for (const node of nodes) {
      if (node.isConnected === false) violate(`at the end: node ${node.name} is not in its network`)
    }
    for (const node of nodes) if (node.isRunning !== true) violate(`at the end: node ${node.name} does not run`)
    const listed = yield* must(context, connected, `list of ${name}`, ({ provider }) => provider.listNodes(name))
    const wrong = Option.isSome(listed) ? readDifference(things, name, listed.value) : undefined
    if (wrong !== undefined) violate(`at the end: ${wrong}`)
    const status = yield* must(
      context,
      connected,
      `status of ${name}`,
      ({ provider }) => provider.getClusterStatus(name)
    )
    if (Option.isSome(status) && (Option.isNone(status.value) || !status.value.value.ready)) {
      violate(`at the end: cluster ${name} is not ready`)
    }
  })

const textOf = (statuses: ReadonlyArray<ClusterStatus> | undefined): string =>
  JSON.stringify(statuses?.map((status) => toJson(status)) ?? "none")

const checkWatch = (
  context: Context,
  connected: Connected,
  latest: () => ReadonlyArray<ClusterStatus> | undefined,
  when: string
) =>
  Effect.gen(function*() {
    yield* Effect.sleep("1 minute")
    const now = yield* must(context, connected, "statuses", ({ provider }) => provider.listAllStatuses)
    if (Option.isSome(now) && textOf(now.value) !== textOf(latest())) {
      context.violate(`${when}, the watch of all clusters shows ${textOf(latest())}, and the list ${textOf(now.value)}`)
    }
  })

/** Checks the world after the actors have gone. `latest` is what a watch of all clusters showed last; `endOfWatch` ends it. */
export const finalCheck = (
  context: Context,
  latest: () => ReadonlyArray<ClusterStatus> | undefined,
  endOfWatch: Effect.Effect<void>
): Effect.Effect<void> =>
  Effect.gen(function*() {
    const { violate, world } = context
    let connected = yield* connect(context, 0)
    yield* checkWatch(context, connected, latest, "after the actors have gone")
    const sizes = clustersOf(context)
    for (const size of sizes) yield* converge(context, connected, size)
    yield* checkWatch(context, connected, latest, "after every cluster was brought to its spec")
    for (const [index, { name }] of sizes.entries()) {
      // The sweep removes the rest of a cluster whose nodes are gone.
      if (index === 0 && context.script.seed % 3 === 0) {
        while (nodesOfCluster(yield* world.truth, name).length > 0) {
          world.change({ change: "remove", cluster: name, nth: 0 })
        }
        continue
      }
      yield* must(context, connected, `plan of a delete of ${name}`, ({ provider }) => provider.planDelete(name))
      yield* must(context, connected, `delete of ${name}`, ({ provider }) => provider.deleteNodes(name))
      yield* must(context, connected, `second delete of ${name}`, ({ provider }) => provider.deleteNodes(name))
      const nodes = nodesOfCluster(yield* world.truth, name)
      if (nodes.length > 0) violate(`at the end: cluster ${name} was deleted and has nodes`)
    }
    yield* checkWatch(context, connected, latest, "after every cluster was deleted")
    yield* endOfWatch
    // The process that sweeps has created things itself, and it has not exited.
    yield* disconnect(connected)
    connected = yield* connect(context, 0)
    yield* Effect.sleep("1 day")
    yield* must(context, connected, "sweep", ({ creator }) => creator.sweep({ olderThan: "1 hour", remove: true }))
    yield* world.rest
    const things = yield* world.truth
    const left = things.filter(({ id, kind }) => !context.unowned.has(`${kind} ${id}`))
    if (left.length > 0) {
      violate(`at the end: there is still ${left.map(({ kind, name }) => `${kind} ${name}`).join(", ")}`)
    }
    checkUnowned(context, things, false, violate)
    if (connected.client.strays.length > 0) violate(`at the end: calls without a method that runs`)
    yield* disconnect(connected)
  })
