/**
 * Two operations on one cluster at the same time, in every ordered pair.
 *
 * A seed decides the cluster before them, how long each call takes, and how much later the second begins.
 *
 * Operations take no lock, so their order may differ for each node: a stop and a start may each win some nodes. The two
 * reports must add up to the actual change of every node and resource.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { TestClock } from "effect/testing"
import * as Memory from "kubelayer/layers/Memory"
import { onEvent } from "kubelayer/Progress"
import type { ProviderError } from "kubelayer/ProviderError"
import type { OperationReport } from "kubelayer/Report"
import { between, oneOf, type Random, random } from "kubelayer/testing/faults/Random"
import {
  create,
  type Operation,
  remove,
  settled,
  simulator,
  type Size,
  start,
  stop,
  surroundings,
  things,
  told
} from "./stepping.ts"

const seeds = 50
const size: Size = { controlPlanes: 2, workers: 3 }
const operations = [start, stop, remove, create]

/** Those of which each can win some nodes: one undoes what the other does. */
const rivals = [[start, stop], [stop, create], [create, remove]]

// -----------------------------------------------------------------------------
// The cluster before the operations
// -----------------------------------------------------------------------------

type Before = "nothing" | "running" | "stopped" | "some running" | "a part"

const arranged = (before: Before, next: Random) =>
  Effect.gen(function*() {
    const memory = yield* simulator(
      before === "nothing"
        ? undefined
        : before === "a part"
        ? { controlPlanes: 1, workers: 2, state: "stopped" }
        : { ...size, state: before === "stopped" ? "stopped" : "running" }
    )
    if (before === "some running") {
      for (const { cluster, name } of (yield* memory.world).nodes) {
        if (cluster === "dev" && next() < 0.5) yield* Effect.orDie(memory.setState(name, "stopped"))
      }
    }
    return memory
  })

/** The resources that nodes need. */
const needed = ["network dev-network", "volume dev-volume"]

type World = ReadonlyMap<string, string>

/** Returns the state of `dev` after these operations run one after the other. */
const inOrder = (before: Before, seed: Random, order: ReadonlyArray<Operation>): Effect.Effect<World> =>
  Effect.scoped(Effect.gen(function*() {
    const memory = yield* arranged(before, seed)
    for (const operation of order) yield* Effect.exit(operation.run(memory, size))
    return things(yield* memory.world)
  }))

// -----------------------------------------------------------------------------
// Two at once
// -----------------------------------------------------------------------------

/** An operation that ran beside another one. */
interface Ran {
  readonly operation: Operation
  readonly result: OperationReport | ProviderError
  /** The calls, such as `create` or `start`, that it sent for each node and resource. */
  readonly sent: ReadonlyMap<string, ReadonlySet<string>>
}

/** Runs an operation some time from now; before each of its calls it waits a little, as the seed says. */
const running = (memory: Memory.MemoryService, operation: Operation, delay: number, next: Random, what: string) =>
  Effect.gen(function*() {
    const sent = new Map<string, Set<string>>()
    const fiber = yield* operation.run(memory, size).pipe(
      onEvent((event) =>
        Effect.suspend(() => {
          if (event._tag !== "Sent") return Effect.void
          const thing = `${event.subject.kind} ${event.subject.name}`
          sent.set(thing, (sent.get(thing) ?? new Set()).add(event.call.split(" ", 1).join()))
          return Effect.sleep(between(next, 0, 30))
        })
      ),
      Effect.delay(delay),
      Effect.forkChild
    )
    return Effect.sync((): Ran => ({
      operation,
      sent,
      result: settled<OperationReport, ProviderError>(fiber.pollUnsafe(), what)
    }))
  })

const reportOf = ({ result }: Ran): OperationReport | undefined =>
  "outcomes" in result ? result : "report" in result ? result.report : undefined

const failed = ({ result }: Ran): boolean => !("outcomes" in result)

/**
 * How often an operation acted on a thing: once, not at all, or either if its report leaves that open. A create starts
 * the stopped nodes that it finds, also with the outcome `Done`: the calls that it sent show which it was.
 */
const acts = (ran: Ran, operation: Operation, thing: string): readonly [least: number, most: number] => {
  const report = reportOf(ran)
  const call = operation === create ? "create" : "start"
  const acted = ran.operation === create && (operation === create || operation === start)
    ? ran.sent.get(thing)?.has(call) === true
    : ran.operation === operation
  if (!acted || report === undefined) return [0, 0]
  switch (told(report).get(thing)) {
    case "Done":
      return [1, 1]
    case "Failed":
    case "RolledBack":
      return [0, 1]
    default:
      return [0, 0]
  }
}

/** Whether the reported outcomes of two operations add up to the actual difference of a thing. */
const addsUp = (pair: ReadonlyArray<Ran>, more: Operation, less: Operation, thing: string, difference: number) => {
  let [least, most] = [0, 0]
  for (const ran of pair) {
    const [added, addedMost] = acts(ran, more, thing)
    const [removed, removedMost] = acts(ran, less, thing)
    least += added - removedMost
    most += addedMost - removed
  }
  return least <= difference && difference <= most
}

const tell = (pair: ReadonlyArray<Ran>, world: World): string =>
  [
    ...pair.map((ran) => {
      const report = reportOf(ran)
      const outcomes = report === undefined ? "" : `: ${[...told(report)].map((entry) => entry.join(" ")).join(", ")}`
      return `${ran.operation.name} ${"_tag" in ran.result ? ran.result._tag : "succeeded"}${outcomes}`
    }),
    `there is: ${[...world].map((entry) => entry.join(" ")).join(", ") || "nothing"}`
  ].join("\n")

const check = (first: Operation, second: Operation, seed: number) =>
  Effect.gen(function*() {
    const next = random(seed, first.name, second.name)
    const before = oneOf<Before>(next, ["nothing", "running", "stopped", "some running", "a part"])
    const states = () => random(seed, "states")
    const memory = yield* arranged(before, states())
    const initial = yield* memory.world
    for (const operation of ["list", "create", "start", "stop", "delete"] as const) {
      yield* memory.setLatency({ operation, latency: between(next, 0, 100) })
    }
    for (const node of ["dev-control-plane", "dev-worker2", "dev-network", "dev-volume"]) {
      if (next() < 0.5) yield* memory.setLatency({ node, latency: between(next, 0, 200) })
    }

    const what = `seed ${seed}, before: ${before}`
    const one = yield* running(memory, first, 0, next, `${what}, the first`)
    const other = yield* running(memory, second, between(next, 0, 400), next, `${what}, the second`)
    yield* TestClock.adjust("10 minutes")
    const pair = [yield* one, yield* other]
    const after = yield* memory.world
    const calls = (yield* memory.calls).length
    const [was, is] = [things(initial), things(after)]
    const story = `${what}\n${tell(pair, is)}\n`

    // Nothing is under way any more, and nothing unlabelled was touched.
    yield* TestClock.adjust("1 hour")
    assert.strictEqual((yield* memory.calls).length, calls, `${story}calls that come later`)
    assert.deepStrictEqual(things(yield* memory.world), is, `${story}changes that come later`)
    assert.deepStrictEqual(surroundings(after), surroundings(initial), story)
    for (const [thing, state] of is) {
      assert.include(["running", "stopped", "present"], state, `${story}${thing} is in between`)
    }

    // It is a world of one order or the other. A create that failed has created nothing.
    const orders = [[first, second], [second, first]]
    for (const [index, { operation }] of pair.entries()) {
      if (operation === create && pair.some((ran) => ran.operation === create && failed(ran))) {
        orders.push(index === 0 ? [second] : [first])
      }
    }
    const worlds = yield* Effect.forEach(orders, (order) => inOrder(before, states(), order))
    for (const thing of new Set([...was.keys(), ...is.keys()])) {
      const possible = worlds.map((world) => world.get(thing))
      assert.include(possible, is.get(thing), `${story}${thing} is ${is.get(thing)}, which no order makes of it`)
    }
    if ([...is.keys()].some((thing) => thing.startsWith("node "))) {
      assert.includeMembers([...is.keys()], needed, `${story}nodes without what they need`)
    }
    if (!rivals.some((two) => two.includes(first) && two.includes(second) && first !== second)) {
      assert.deepInclude(worlds, is, `${story}no order makes all of it`)
    }

    // The two reports add up.
    for (const ran of pair) {
      const report = reportOf(ran)
      if (report === undefined) continue
      // A node that was deleted and created again within one delete is two nodes of one name.
      const known = new Set(report.outcomes.map(({ id, kind, name }) => `${kind} ${name} ${id}`))
      assert.strictEqual(known.size, report.outcomes.length, `${story}something is told of twice`)
      for (const [thing, outcome] of told(report)) {
        if (outcome === "Done" || outcome === "RolledBack") {
          assert.isTrue(ran.sent.has(thing), `${story}${ran.operation.name} has sent no call for ${thing}`)
        }
      }
    }
    for (const thing of new Set([...was.keys(), ...is.keys()])) {
      const existence = Number(is.has(thing)) - Number(was.has(thing))
      assert.isTrue(addsUp(pair, create, remove, thing, existence), `${story}${thing}: made and removed`)
      if (!was.has(thing) || !is.has(thing) || [first, second].includes(remove)) continue
      const power = Number(is.get(thing) === "running") - Number(was.get(thing) === "running")
      assert.isTrue(addsUp(pair, start, stop, thing, power), `${story}${thing}: started and stopped`)
    }
  })

for (const first of operations) {
  for (const second of operations) {
    describe(`${first.name}, and ${second.name} while it runs`, () => {
      it.effect(
        "both end, report the actual outcomes, and leave the state of one order of the two",
        () =>
          Effect.gen(function*() {
            for (let seed = 1; seed <= seeds; seed++) yield* Effect.scoped(check(first, second, seed))
          }),
        120_000
      )
    })
  }
}
