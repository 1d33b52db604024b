import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Memory from "kubelayer/layers/Memory"
import { Provider } from "kubelayer/Provider"

describe("Memory", () => {
  it.effect("starts, stops and deletes", () =>
    Effect.gen(function*() {
      const provider = yield* Provider
      const memory = yield* Memory.Memory
      const a = yield* provider.startNodes("dev")
      assert.deepStrictEqual(a.outcomes.map((o) => [o.name, o.outcome._tag]), [])
      console.log((yield* provider.stopNodes("dev")).outcomes.map((o) => [o.name, o.outcome._tag]))
      console.log((yield* provider.deleteNodes("dev")).outcomes.map((o) => [o.name, o.outcome._tag]))
      console.log(yield* memory.calls)
    }).pipe(Effect.provide(Memory.layer({ clusters: { dev: { controlPlanes: 1, workers: 2 } } }))))
})
