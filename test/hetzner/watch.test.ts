/** Watching: one list a tick for all who watch, at a pace that the quota can bear. */
import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import type { ClusterStatus } from "kubelayer/Model"
import { override } from "kubelayer/Policy"
import { failure, onFake, ours, type Rig } from "./support/rig.ts"

type Fake = Rig["fake"]

const seed = (fake: Fake, cluster: string, count = 2) =>
  Effect.forEach(
    Array.from({ length: count }, (_, index) => `${cluster}-${index + 1}`),
    (name) => fake.seed.server({ name, labels: ours(cluster, "worker") })
  )

/** Watches in the background; gives what came so far, and the fiber. */
const watching = (hetzner: Rig["hetzner"], cluster: string) =>
  Effect.gen(function*() {
    const seen: Array<ClusterStatus> = []
    const fiber = yield* Effect.forkChild(
      Stream.runForEach(hetzner.provider.watchCluster(cluster), (status) => Effect.sync(() => void seen.push(status)))
    )
    return { seen, fiber }
  })

const lists = (fake: Fake, during: Duration.Input) =>
  Effect.gen(function*() {
    yield* fake.clearCalls
    yield* Effect.sleep(during)
    return (yield* fake.calls).length
  })

describe("watchCluster", () => {
  it.live("emits the current status, then each change, and ends when the cluster is deleted", () =>
    onFake({}, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        const ids = yield* seed(fake, "dev")
        const { fiber, seen } = yield* watching(hetzner, "dev")
        yield* Effect.sleep("20 seconds")
        yield* fake.change(ids[0] ?? 0, { status: "off" })
        yield* Effect.sleep("20 seconds")
        yield* fake.vanish(ids[0] ?? 0)
        yield* Effect.sleep("20 seconds")
        yield* fake.vanish(ids[1] ?? 0)
        yield* Fiber.join(fiber)
        assert.deepStrictEqual(
          seen.map(({ nodesReady, nodesTotal, phase }) => `${phase} ${nodesReady}/${nodesTotal}`),
          ["running 2/2", "degraded 1/2", "running 1/1"]
        )
      })))

  it.live("fails for a missing cluster and sends no more requests", () =>
    onFake({}, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        const error = yield* failure(Stream.runDrain(hetzner.provider.watchCluster("dev")))
        assert.strictEqual(error._tag, "ClusterNotFound")
        assert.strictEqual(yield* lists(fake, "1 minute"), 0)
      })))

  it.live("of several clusters, by several watchers and layers, costs what one costs", () =>
    onFake({}, ({ another, fake, hetzner }) =>
      Effect.gen(function*() {
        for (const cluster of ["a", "b", "c"]) yield* seed(fake, cluster)
        const first = yield* watching(hetzner, "a")
        yield* Effect.sleep("1 minute")
        const alone = yield* lists(fake, "3 minutes")
        const others = yield* Effect.all([
          watching(hetzner, "a"),
          watching(hetzner, "b"),
          watching(another, "c"),
          watching(another, "a")
        ])
        yield* Effect.sleep("1 minute")
        assert.isAtMost(yield* lists(fake, "3 minutes"), alone * 1.05)
        yield* Effect.forEach([first, ...others], ({ fiber }) => Fiber.interrupt(fiber))
        assert.strictEqual(yield* lists(fake, "3 minutes"), 0)
      })))

  it.live("polls less often as the quota empties, and leaves requests to other operations", () =>
    onFake({}, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        yield* seed(fake, "dev")
        const { fiber } = yield* watching(hetzner, "dev")
        yield* Effect.sleep("1 minute")
        const usual = yield* lists(fake, "3 minutes")
        // Enough for every poll, but not for the share of other operations.
        yield* fake.quota.set({ remaining: 900, refillPerSecond: 0.1 })
        yield* Effect.sleep("1 minute")
        const scarce = yield* lists(fake, "3 minutes")
        assert.isBelow(scarce, usual / 2)
        yield* Fiber.interrupt(fiber)
      })))

  it.live("survives cuts, proxy pages and an outage, and then emits the change", () =>
    onFake({}, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        const [first = 0] = yield* seed(fake, "dev")
        const { fiber, seen } = yield* watching(hetzner, "dev")
        yield* Effect.sleep("10 seconds")
        yield* fake.fault({ fault: { _tag: "CutAfter" }, times: 2 })
        yield* fake.fault({ fault: { _tag: "Page", status: 503 }, times: 2 })
        yield* Effect.scoped(Effect.andThen(fake.outage, Effect.sleep("1 minute")))
        yield* fake.change(first, { status: "off" })
        yield* Effect.sleep("1 minute")
        assert.deepStrictEqual(seen.map(({ phase }) => phase), ["running", "degraded"])
        yield* Fiber.interrupt(fiber)
      })))

  it.live("fails when reads fail for longer than the idle deadline, or fail permanently", () =>
    onFake({}, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        yield* seed(fake, "dev")
        const patient = hetzner.provider.watchCluster("dev").pipe(
          Stream.runDrain,
          override({ idleTimeout: "2 minutes" })
        )
        const fiber = yield* Effect.forkChild(failure(patient))
        yield* Effect.sleep("10 seconds")
        const lift = yield* fake.fault({ fault: { _tag: "Page", status: 503 }, times: 10_000 })
        const error = yield* Fiber.join(fiber)
        assert.strictEqual(error._tag === "BackendError" && error.reason._tag, "ServerFault")
        yield* lift
        const refused = yield* Effect.forkChild(failure(patient))
        yield* Effect.sleep("10 seconds")
        yield* fake.fault({ fault: { _tag: "Refuse", code: "unauthorized" }, times: 10_000 })
        const last = yield* Fiber.join(refused)
        assert.strictEqual(last._tag === "BackendError" && last.reason._tag, "Unauthorized")
      })))
})
