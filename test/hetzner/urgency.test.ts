/** With a short quota, everything that a delete sends goes before what other operations send. */
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import * as Policy from "kubelayer/Policy"
import { makeActions } from "../../src/hetzner/Actions.ts"
import type { Client } from "../../src/hetzner/Client.ts"
import { asDelete, makeGovernor } from "../../src/hetzner/Quota.ts"
import { CurrentUrgency, type Urgency } from "../../src/internal/Urgency.ts"
import { onFake, ours, type Rig } from "./support/rig.ts"

const seeded = (fake: Rig["fake"], cluster: string, count: number, status: "off" | "running") =>
  Effect.forEach(
    Array.from({ length: count }, (_, index) => index),
    (index) => fake.seed.server({ name: `${cluster}-${index}`, status, labels: ours(cluster, "worker") }),
    { discard: true }
  )

/** When an operation ends, in milliseconds. */
const endOf = <A, E>(self: Effect.Effect<A, E>) => Effect.andThen(self, Clock.currentTimeMillis)

describe("a delete", () => {
  for (const remaining of [20, 6]) {
    it.live(`ends before a start that began earlier, with ${remaining} requests left (H10)`, () =>
      onFake({ fake: { duration: "2 seconds" } }, ({ fake, hetzner }) =>
        Effect.gen(function*() {
          yield* seeded(fake, "up", 13, "off")
          yield* seeded(fake, "down", 13, "running")
          yield* fake.quota.set({ remaining })
          const start = yield* Effect.forkChild(endOf(hetzner.provider.startNodes("up")))
          yield* Effect.sleep("300 millis")
          const deleted = yield* endOf(hetzner.provider.deleteNodes("down"))
          const started = yield* Fiber.join(start)
          assert.isBelow(deleted, started)
        })))
  }

  it.live("needs no longer than alone, whatever else waits for the quota (H10)", () =>
    onFake({ fake: { duration: "2 seconds" } }, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        yield* seeded(fake, "up", 30, "off")
        yield* seeded(fake, "one", 5, "running")
        yield* seeded(fake, "two", 5, "running")
        yield* hetzner.provider.listNodes("up")
        const timed = (cluster: string) =>
          Effect.gen(function*() {
            yield* fake.quota.set({ remaining: 1 })
            yield* hetzner.provider.isAvailable
            const before = yield* Clock.currentTimeMillis
            yield* hetzner.provider.deleteNodes(cluster)
            return (yield* Clock.currentTimeMillis) - before
          })
        const alone = yield* timed("one")
        yield* Effect.forkChild(hetzner.provider.startNodes("up"))
        yield* Effect.sleep("2 seconds")
        assert.isAtMost(yield* timed("two"), alone * 1.5)
      })))

  it.effect("does not share the polls of actions that a start waits for (H10)", () =>
    Effect.gen(function*() {
      const polls: Array<readonly [urgency: Urgency, ids: unknown]> = []
      const client = {
        redact: String,
        read: (_path: string, _reply: unknown, { id }: { readonly id: ReadonlyArray<number> }) =>
          Effect.map(CurrentUrgency, (urgency) => {
            polls.push([urgency, id])
            return { actions: id.map((each) => ({ id: each, command: "x", status: "success" })) }
          })
      } as unknown as Client
      const actions = makeActions(client, makeGovernor(), Effect.succeed(Policy.make()))
      const running = (id: number) => actions.await([{ id, command: "x", status: "running" }], {})
      const waits = yield* Effect.forkChild(
        Effect.all([running(1), asDelete(running(2)), running(3)], { concurrency: "unbounded" })
      )
      yield* TestClock.adjust("1 minute")
      yield* Fiber.join(waits)
      assert.sameDeepMembers(polls, [["usual", [1, 3]], ["delete", [2]]])
    }))

  it.live("removeNodes has its urgency too (H10)", () =>
    onFake({ fake: { duration: "2 seconds" } }, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        yield* seeded(fake, "up", 20, "off")
        yield* seeded(fake, "down", 3, "running")
        yield* hetzner.provider.listNodes("up")
        yield* fake.quota.set({ remaining: 2 })
        const start = yield* Effect.forkChild(endOf(hetzner.provider.startNodes("up")))
        yield* Effect.sleep("300 millis")
        const removed = yield* endOf(hetzner.removeNodes("down", ["down-0", "down-1"]))
        assert.isBelow(removed, yield* Fiber.join(start))
      })))
})
