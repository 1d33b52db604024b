/** Two creators of one cluster on one engine: what one of them adopts, the failure of the other does not remove. */
import { assert, describe } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { it } from "../support/it.ts"
import { flavors, onFake } from "./support/fakes.ts"

const spec = { cluster: "dev", controlPlanes: 1, workers: 2 }
const whole = ["dev-control-plane running", "dev-worker running", "dev-worker2 running"]
const durations = { create: "40 millis", start: "200 millis", remove: "60 millis", network: "20 millis" } as const

describe("two creators", () => {
  for (const engine of flavors) {
    it.simulated(`one ends whole while the other fails, 40 of 40: ${engine.flavor} ${engine.version}`, () =>
      Effect.forEach(
        Array.from({ length: 40 }, (_, index) => index * 25),
        (delay) =>
          Effect.scoped(Effect.gen(function*() {
            const { another, docker, fake, states } = yield* onFake({ ...engine, durations, latency: "2 millis" })
            const second = yield* another
            // The first creator fails at the start of its last node, and removes what nobody has adopted.
            yield* fake.fault({
              on: /^POST \/containers\/[^/]+\/start/,
              after: 2,
              fault: { _tag: "Refuse", status: 400, message: "the test refuses it" }
            })
            const first = yield* Effect.forkChild(Effect.exit(docker.createNodes(spec)))
            yield* Effect.sleep(delay)
            const exit = yield* Effect.exit(second.createNodes(spec))
            yield* Fiber.join(first)
            const left = yield* states
            // The refused call may be one of either creator; a success is a whole cluster, also after the other has ended.
            if (exit._tag === "Success") assert.deepStrictEqual(left, whole, `${delay} ms`)
            assert.include([0, 3], left.length, `${delay} ms`)
            assert.deepStrictEqual(yield* fake.violations, [])
          })),
        { discard: true }
      ))

    it.simulated(`one that was frozen removes nothing that the other adopted: ${engine.flavor} ${engine.version}`, () =>
      Effect.gen(function*() {
        const { another, docker, fake, networkNames, states } = yield* onFake(engine)
        // Its second create is answered after 20 s, in which the other creator finishes.
        yield* fake.fault({ on: /^POST \/containers\/create/, after: 1, fault: { _tag: "HangBefore" }, times: 2 })
        const frozen = yield* Effect.forkChild(docker.createNodes(spec))
        yield* Effect.sleep("1 second")
        const second = yield* another
        yield* second.createNodes(spec)
        assert.deepStrictEqual(yield* states, whole)
        // The requests of the first one end without a reply, and it fails or finds the nodes of the other.
        yield* Fiber.await(frozen)
        yield* Effect.sleep("10 minutes")
        assert.deepStrictEqual(yield* states, whole)
        assert.deepStrictEqual(yield* networkNames, ["kubelayer-dev"])
      }))
  }
})
