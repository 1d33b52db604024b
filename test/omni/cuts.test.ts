/** A thousand cuts of real streams lose no change, repeat no change and end with the current state. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import * as Policy from "kubelayer/Policy"
import * as Client from "../../src/omni/Client.ts"
import { picture } from "../../src/omni/SharedWatch.ts"
import { Kinds, make as makeState } from "../../src/omni/State.ts"
import { loadProtos } from "../../src/omni/Wire.ts"
import * as OmniFake from "../../src/testing/OmniFake.ts"
import { world } from "./support/world.ts"

const CUTS = 1000
const poll = Schedule.spaced("1 millis")

const stage = Effect.gen(function*() {
  const fake = yield* OmniFake.make({ pace: "1 hour" })
  const client = yield* Client.make(
    { endpoint: fake.endpoint, serviceAccountKey: fake.serviceAccountKey },
    Effect.succeed(Policy.make(Policy.defaults, { poll }))
  )
  return { fake, state: makeState(client, yield* Effect.promise(loadProtos)) }
})

const watches = Effect.fnUntraced(function*(fake: OmniFake.OmniFakeService) {
  return (yield* fake.calls).filter(({ method }) => method === "Watch").length
})

describe("a thousand cuts", () => {
  it.live("lose no change of a watch, and double none", () =>
    Effect.gen(function*() {
      const { fake, state } = yield* stage
      const ids = ["a", "b", "c"]
      const told: Array<string> = []
      const watching = yield* state.watch(Kinds.ConfigPatch, { labels: {} }).pipe(
        Stream.tap((event) =>
          Effect.sync(() =>
            told.push(
              event._tag === "Created" || event._tag === "Updated"
                ? `${event.resource.metadata.id}@${event.resource.metadata.version}`
                : event._tag === "Destroyed"
                ? `${event.id} gone`
                : event._tag
            )
          )
        ),
        Stream.takeUntil((event) => event._tag === "Destroyed" && event.id === "last"),
        Stream.runDrain,
        Effect.forkChild
      )
      while (told.length === 0) yield* Effect.sleep("1 millis")
      yield* fake.cutEvery(2, CUTS)
      const wanted = ["Bootstrapped"]
      for (let round = 0; round * 4 < CUTS * 2; round++) {
        for (const id of ids) {
          // Every tenth round they go, and come again.
          if (round % 10 === 9) {
            yield* fake.remove("ConfigPatches", id)
            wanted.push(`${id} gone`)
          } else {
            yield* fake.put("ConfigPatches", { id, labels: { round: String(round) } })
            wanted.push(`${id}@${(round % 10) + 1}`)
          }
        }
        if (round % 7 === 0) yield* Effect.sleep("1 millis")
      }
      yield* fake.put("ConfigPatches", { id: "last" })
      yield* fake.remove("ConfigPatches", "last")
      yield* Fiber.join(watching)
      assert.deepStrictEqual(told, [...wanted, "last@1", "last gone"])
      assert.isAtLeast(yield* watches(fake), CUTS)
      assert.deepStrictEqual(yield* fake.violations, [])
    }), 60_000)

  it.live("and bookmarks that are forgotten end at the truth", () =>
    Effect.gen(function*() {
      const { fake, state } = yield* stage
      let shown: ReadonlyMap<string, { readonly metadata: { readonly version: string } }> = new Map()
      yield* picture(state, Kinds.ConfigPatch, { on: "" }).pipe(
        Stream.runForEach((all) => Effect.sync(() => void (shown = new Map(all)))),
        Effect.forkScoped
      )
      yield* fake.cutEvery(3, CUTS)
      for (let step = 0; step < 300; step++) {
        const id = `p${step % 7}`
        if (step % 11 === 0) yield* fake.remove("ConfigPatches", id)
        else yield* fake.put("ConfigPatches", { id, labels: step % 5 === 0 ? {} : { on: "" } })
        if (step % 10 === 0) yield* fake.expireBookmarks
        if (step % 13 === 0) yield* fake.cutWatches
        if (step % 3 === 0) yield* Effect.sleep("1 millis")
      }
      yield* fake.cutEvery(0)
      const truth = (yield* fake.resources("ConfigPatches"))
        .filter(({ labels }) => "on" in labels).map(({ id, version }) => `${id}@${version}`)
      const seen = () => [...shown].map(([id, { metadata }]) => `${id}@${metadata.version}`).sort()
      for (let looks = 0; looks < 2000 && seen().join() !== truth.join(); looks++) yield* Effect.sleep("5 millis")
      assert.isAbove(truth.length, 0)
      assert.deepStrictEqual(seen(), truth)
    }), 60_000)

  it.live("leave a cluster's watch with the present status", () =>
    Effect.gen(function*() {
      const { fake, provider } = yield* world({ omni: { policy: { poll } } })
      const machines = yield* fake.addCluster("dev", { controlPlanes: 1, workers: 3, machine: { power: "on" } })
      const seen: Array<unknown> = []
      yield* provider.watchCluster("dev").pipe(
        Stream.runForEach((status) => Effect.sync(() => seen.push(status))),
        Effect.forkScoped
      )
      while (seen.length === 0) yield* Effect.sleep("1 millis")
      yield* fake.cutEvery(2)
      for (let step = 0; step < 60; step++) {
        yield* fake.changeMachine(machines[step % 4] ?? "", { power: step % 8 < 4 ? "off" : "on" })
        yield* fake.settled
      }
      yield* fake.cutEvery(0)
      const present = Option.getOrThrow(yield* provider.getClusterStatus("dev"))
      const shown = (status: unknown) => JSON.stringify(status)
      for (let looks = 0; looks < 2000 && shown(seen.at(-1)) !== shown(present); looks++) {
        yield* Effect.sleep("5 millis")
      }
      assert.strictEqual(shown(seen.at(-1)), shown(present))
      assert.isAbove(seen.length, 10)
    }), 60_000)
})
