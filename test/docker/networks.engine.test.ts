/** Nodes whose network is gone, and containers that are being removed, on a real engine. */
import { assert, describe } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Docker from "kubelayer/layers/Docker"
import { it } from "../support/it.ts"
import { docker } from "./support/docker.ts"
import { ask, newCluster } from "./support/engine.ts"
import { told } from "./support/told.ts"

const runs = (container: string) =>
  Effect.map(
    ask<{
      readonly State: { readonly Running: boolean }
      readonly NetworkSettings: { readonly Networks: Readonly<Record<string, { readonly IPAddress: string }>> }
    }>("GET", `/containers/${container}/json`),
    ({ NetworkSettings: { Networks }, State: { Running } }) =>
      Running && Object.values(Networks).every(({ IPAddress }) => IPAddress !== "")
        ? Object.keys(Networks).sort()
        : undefined
  )

describe("nodes whose networks were removed while they were stopped", () => {
  it.live("createNodes connects them to new ones and starts them (D2)", () =>
    Effect.gen(function*() {
      const service = yield* Docker.Docker
      const cluster = yield* newCluster()
      const spec = {
        cluster,
        controlPlanes: 1,
        workers: 1,
        networks: [{ name: "data" }],
        nodes: { networks: ["data"] }
      }
      const networks = [`${cluster}-data`, `kubelayer-${cluster}`]
      yield* service.createNodes(spec)
      yield* service.provider.stopNodes(cluster)
      for (const network of networks) yield* ask("DELETE", `/networks/${network}`)
      const report = yield* service.createNodes(spec)
      assert.deepStrictEqual(new Set(Object.values(told(report))), new Set(["Done"]))
      for (const node of [`${cluster}-control-plane`, `${cluster}-worker`]) {
        assert.deepStrictEqual(yield* runs(node), networks)
      }
      assert.isTrue((yield* service.plan(spec)).isEmpty)
    }).pipe(Effect.scoped, Effect.provide(docker())))

  it.live("createNodes connects a running node that was disconnected (D2)", () =>
    Effect.gen(function*() {
      const service = yield* Docker.Docker
      const cluster = yield* newCluster()
      const spec = { cluster, controlPlanes: 1, workers: 1 }
      yield* service.createNodes(spec)
      const network = `kubelayer-${cluster}`
      yield* ask("POST", `/networks/${network}/disconnect`, { Container: `${cluster}-worker` })
      assert.strictEqual(told(yield* service.createNodes(spec))[`${cluster}-worker`], "Done")
      assert.deepStrictEqual(yield* runs(`${cluster}-worker`), [network])
    }).pipe(Effect.scoped, Effect.provide(docker())))
})

describe("a create beside a delete of the same cluster", () => {
  for (const millis of [0, 100, 250, 500]) {
    it.live(`creates all nodes again that it finds being removed, ${millis} ms after the delete began (D6)`, () =>
      Effect.gen(function*() {
        const service = yield* Docker.Docker
        const cluster = yield* newCluster()
        const spec = { cluster, controlPlanes: 1, workers: 5 }
        yield* service.createNodes(spec)
        const deleting = service.provider.deleteNodes(cluster)
        const creating = Effect.sleep(millis).pipe(
          Effect.andThen(service.createNodes(spec)),
          Effect.provide(docker()),
          Effect.exit
        )
        const [, created] = yield* Effect.all([deleting, creating], { concurrency: 2 })
        const left = yield* service.provider.listNodes(cluster)
        if (created._tag === "Failure") return assert.deepStrictEqual(left, [])
        // The engine lists a node as running until its process has ended, so a create may have found all of them running.
        const outcomes = new Set(
          created.value.outcomes.flatMap(({ kind, outcome }) => kind === "node" ? [outcome._tag] : [])
        )
        const expected = outcomes.has("Done") ? Array.from({ length: 6 }, () => "running") : []
        assert.deepStrictEqual(left.map(({ state }) => state), expected)
      }).pipe(Effect.scoped, Effect.provide(docker())))
  }
})
