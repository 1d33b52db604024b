/** A spec with an unknown field is refused on every backend, before any call. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Docker from "kubelayer/layers/Docker"
import * as Hetzner from "kubelayer/layers/Hetzner"
import * as Memory from "kubelayer/layers/Memory"
import type { ClusterSpec, NodeCreatorService } from "kubelayer/Provider"
import { issuesOf } from "../src/omni/Spec.ts"

const misspelt = { cluster: "dev", controlPlanes: 1, workers: 0, worker_s: 3 } as unknown as ClusterSpec

const refusal = (creator: Pick<NodeCreatorService, "createNodes">, spec: ClusterSpec) =>
  Effect.map(Effect.flip(creator.createNodes(spec)), (error) => {
    assert.strictEqual(error._tag, "InvalidSpec")
    return error.message
  })

describe("createNodes", () => {
  it.effect("on Memory refuses an unknown field and names the nearest one (U7)", () =>
    Effect.gen(function*() {
      const { calls, creator } = yield* Memory.make()
      const message = yield* refusal(creator, misspelt)
      assert.include(message, "worker_s: unknown field")
      assert.include(message, "workers")
      const pools = [{ name: "gpu", role: "worker", count: 1, lables: {} }] as unknown as ClusterSpec["pools"] & {}
      assert.include(
        yield* refusal(creator, { cluster: "dev", controlPlanes: 1, workers: 0, pools }),
        "pools[0].lables"
      )
      assert.deepStrictEqual(yield* calls, [])
    }))

  it.effect("on Docker refuses an unknown field, also of a node (U7)", () =>
    Effect.gen(function*() {
      const { creator } = yield* Docker.make({ host: "unix:///nowhere", nodes: { image: "node:1" } })
      assert.include(yield* refusal(creator, misspelt), "worker_s: unknown field")
      const nodes = { image: "node:1", enviroment: {} }
      assert.include(yield* refusal(creator, { ...misspelt, nodes } as ClusterSpec), "nodes.enviroment: unknown field")
    }))

  it.effect("on Hetzner refuses an unknown field (U7)", () =>
    Effect.gen(function*() {
      const { creator } = yield* Hetzner.make({ token: "x".repeat(64) })
      assert.include(yield* refusal(creator, misspelt), "worker_s: unknown field")
    }))

  it("on Omni refuses an unknown field and names the nearest one (U7)", () => {
    const issues = issuesOf(misspelt, { machineClass: "any" })
    assert.deepStrictEqual(issues.map(({ path }) => path), ["worker_s"])
    assert.include(issues[0]?.message, "workers")
  })

  it("on Omni refuses pools, which a cluster template has as worker sets", () => {
    const pools = [{ name: "gpu", role: "worker", count: 1 }] as const
    const issues = issuesOf({ cluster: "dev", controlPlanes: 1, workers: 0, pools }, { machineClass: "any" })
    assert.deepStrictEqual(issues.map(({ path }) => path), ["pools"])
    assert.include(issues[0]?.message, "cluster template")
  })
})
