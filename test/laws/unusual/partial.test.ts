/** Of N nodes any k fail, for all k ≤ N ≤ 20: which they are, why, and how long each call takes, a seed decides. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Reason from "kubelayer/Reason"
import type { OperationReport } from "kubelayer/Report"
import { between, oneOf, type Random, random } from "kubelayer/testing/faults/Random"
import { during } from "../../core/fixtures.ts"
import {
  leaving,
  nodes,
  type Operation,
  remove,
  settled,
  simulator,
  start,
  stop,
  succeeded,
  surroundings
} from "./stepping.ts"

const most = 20

/** Some that are tried again until the retries are used up, and some that are not. */
const reasonFor = (next: Random, node: string): Reason.Reason => {
  const detail = `${node} is refused, says the seed`
  return oneOf<Reason.Reason>(next, [
    new Reason.InvalidInput({ detail }),
    new Reason.Protected({ detail }),
    new Reason.QuotaExceeded({ detail }),
    new Reason.Locked({ detail }),
    new Reason.ServerFault({ detail })
  ])
}

const chosen = (next: Random, from: ReadonlyArray<string>, count: number): Array<string> => {
  const left = [...from]
  return Array.from({ length: count }, () => left.splice(between(next, 0, left.length - 1), 1)).flat()
}

const outcomes = (report: OperationReport) => {
  const own = report.outcomes.filter((entry) => entry.kind === "node")
  const names = (tag: string) => own.flatMap(({ name, outcome }) => outcome._tag === tag ? [name] : []).sort()
  return { count: own.length, failed: names("Failed"), done: names("Done"), already: names("AlreadyDone") }
}

const isControlPlane = (name: string) => name.includes("control-plane")

interface Case {
  readonly operation: Operation
  readonly call: "start" | "stop" | "delete"
  readonly before: "running" | "stopped"
  /** Whether the control planes' wave comes first or last; there is one wave only where neither. */
  readonly controlPlanes?: "first" | "last"
}

const check = ({ before, call, controlPlanes, operation }: Case, count: number, k: number) =>
  Effect.gen(function*() {
    const what = `${k} of ${count} fail`
    const next = random(1, call, count, k)
    const size = { controlPlanes: count < 3 ? 1 : oneOf(next, [1, 2, 3]), workers: 0 }
    const memory = yield* simulator({ ...size, workers: count - size.controlPlanes, state: before })
    const all = [...nodes(yield* memory.world).keys()]
    const around = surroundings(yield* memory.world)
    for (const node of all) yield* memory.setLatency({ node, latency: between(next, 0, 50) })
    const failing = chosen(next, all, k).sort()
    const others = all.filter((node) => !failing.includes(node))
    const reasons = new Map(failing.map((node) => [node, reasonFor(next, node)]))

    // The first run: the k fail, the others do not.
    const exit = yield* Effect.scoped(Effect.gen(function*() {
      for (const [node, reason] of reasons) yield* memory.failWhile({ operation: call, node, reason })
      return yield* during("5 minutes")(operation.run(memory, size))
    }))
    const result = settled(exit, what)
    const report = "report" in result ? result.report : result
    if (!("outcomes" in report)) return assert.fail(`${what}: ${String(result)}`)
    assert.strictEqual("report" in result ? result._tag : "success", k === 0 ? "success" : "NodesFailed", what)
    assert.deepStrictEqual(outcomes(report), { count, failed: failing, done: others, already: [] }, what)
    for (const { name, outcome } of report.failed) {
      if (outcome._tag !== "Failed") continue
      assert.strictEqual(outcome.error.subject?.name, name, what)
      assert.strictEqual(outcome.error.reason, reasons.get(name), what)
    }
    const left = nodes(yield* memory.world)
    for (const node of failing) assert.strictEqual(left.get(node), before, `${what}: ${node}`)
    for (const node of others) assert.strictEqual(left.get(node), operation.leaves, `${what}: ${node}`)

    // Each node was acted on, and each wave after the one before it.
    const sent = (yield* memory.calls).filter((one) => one.operation === call && all.includes(one.target))
    assert.sameMembers([...new Set(sent.map((one) => one.target))], all, what)
    if (controlPlanes !== undefined) {
      const first = controlPlanes === "first"
      const second = sent.findIndex((one) => isControlPlane(one.target) !== first)
      const late = second === -1 ? [] : sent.slice(second).filter((one) => isControlPlane(one.target) === first)
      assert.deepStrictEqual(late, [], `${what}: calls of the first wave after the second has begun`)
    }

    // Nothing is in the way of the second run.
    const again = succeeded(yield* during("5 minutes")(operation.run(memory, size)), `${what}, again`)
    const rest = operation.leaves === undefined ? [] : others
    assert.deepStrictEqual(
      outcomes(again),
      { count: k + rest.length, failed: [], done: failing, already: rest },
      `${what}, again`
    )
    const world = yield* memory.world
    assert.deepStrictEqual(nodes(world), leaving(operation, all), `${what}, again`)
    assert.deepStrictEqual(surroundings(world), around, what)
  })

const cases: ReadonlyArray<Case> = [
  { operation: start, call: "start", before: "stopped", controlPlanes: "first" },
  { operation: stop, call: "stop", before: "running", controlPlanes: "last" },
  { operation: remove, call: "delete", before: "running" }
]

for (const each of cases) {
  describe(`${each.operation.name} where k of N nodes fail`, () => {
    it.effect(
      `fails exactly these, does the others in every wave, and then the rest, for all k ≤ N ≤ ${most}`,
      () =>
        Effect.gen(function*() {
          for (let count = 1; count <= most; count++) {
            for (let k = 0; k <= count; k++) yield* Effect.scoped(check(each, count, k))
          }
        }),
      120_000
    )
  })
}
