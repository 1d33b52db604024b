/** How many calls each method sends to the engine, on the fakes. The first call of all, which negotiates, is left out. */
import { assert, describe } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { dockers, onEach } from "./support/fakes.ts"

const n = 5
const spec = {
  cluster: "dev",
  controlPlanes: 1,
  workers: n - 1,
  volumes: [{ name: "data" }],
  nodes: { volumes: [{ name: "data", target: "/data" }] }
}
const list = "GET /containers/json"
const networks = "GET /networks"
const volumes = "GET /volumes"

describe("calls of a cluster of five nodes, one network and one volume", () => {
  onEach(
    "createNodes lists before and after, and sends one call for each thing",
    ({ docker, fake }) =>
      Effect.gen(function*() {
        yield* docker.provider.checkAvailable
        yield* fake.clearCalls
        yield* docker.createNodes(spec)
        assert.deepStrictEqual(yield* fake.counts, {
          [list]: 2,
          // After its create a network is listed, since engines before API 1.44 may have two of one name.
          [networks]: 3,
          [volumes]: 2,
          "GET /images/{name}/json": 1,
          "POST /networks/create": 1,
          "POST /volumes/create": 1,
          "POST /containers/create": n,
          "POST /containers/{id}/start": n
        })
        yield* fake.clearCalls
        yield* docker.createNodes(spec)
        assert.deepStrictEqual(yield* fake.counts, { [list]: 1, [networks]: 1, [volumes]: 1 })
      }),
    { engines: dockers }
  )

  onEach(
    "stopNodes and startNodes inspect no node that kubelayer created without a restart policy",
    (world) =>
      Effect.gen(function*() {
        const { docker, fake } = world
        yield* docker.createNodes(spec)
        yield* fake.clearCalls
        yield* docker.provider.stopNodes("dev")
        assert.deepStrictEqual(yield* fake.counts, { [list]: 1, "POST /containers/{id}/stop": n })
        yield* fake.clearCalls
        yield* docker.provider.startNodes("dev")
        assert.deepStrictEqual(yield* fake.counts, { [list]: 2, "POST /containers/{id}/start": n })
        yield* fake.clearCalls
        yield* docker.provider.startNodes("dev")
        assert.deepStrictEqual(yield* fake.counts, { [list]: 1 })
      }),
    { engines: dockers }
  )

  onEach(
    "deleteNodes lists the nodes before, and everything once after them",
    ({ docker, fake }) =>
      Effect.gen(function*() {
        yield* docker.createNodes(spec)
        yield* fake.clearCalls
        yield* docker.provider.deleteNodes("dev")
        assert.deepStrictEqual(yield* fake.counts, {
          [list]: 2,
          [networks]: 1,
          [volumes]: 1,
          "DELETE /containers/{id}": n,
          "DELETE /networks/{id}": 1,
          "DELETE /volumes/{id}": 1
        })
      }),
    { engines: dockers }
  )
})
