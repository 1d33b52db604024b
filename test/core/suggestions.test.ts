/** Errors about a cluster that does not exist name the ones that do. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as Hetzner from "kubelayer/layers/Hetzner"
import * as Memory from "kubelayer/layers/Memory"
import { Provider } from "kubelayer/Provider"
import { ClusterNotFound, NoNodes } from "kubelayer/ProviderError"
import { HetznerFake } from "kubelayer/testing"

const small = { controlPlanes: 1, workers: 0 }

const onMemory = (...clusters: ReadonlyArray<string>) =>
  Memory.layer({ clusters: Object.fromEntries(clusters.map((name) => [name, small])) })

describe("the message of NoNodes", () => {
  it.effect("names the clusters that exist, and how to list them (U3)", () =>
    Effect.gen(function*() {
      const provider = yield* Provider
      const error = yield* Effect.flip(provider.startNodes("dve"))
      assert.instanceOf(error, NoNodes)
      assert.strictEqual(
        error.message,
        `memory: cluster "dve" has no nodes; similar: dev. Check the name: listAllClusters lists all clusters.`
      )
    }).pipe(Effect.provide(onMemory("dev", "prod"))))

  it.effect("names all where none is near and they are few", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(Provider.use((provider) => provider.stopNodes("xyz")))
      assert.include(error.message, "; known: dev, prod.")
    }).pipe(Effect.provide(onMemory("dev", "prod"))))

  it("has advice where nothing was listed", () => {
    const error = new NoNodes({ provider: "docker", clusterName: "dev" })
    assert.strictEqual(
      error.message,
      `docker: cluster "dev" has no nodes. Check the name: listAllClusters lists all clusters.`
    )
  })
})

describe("the message of ClusterNotFound", () => {
  it.live("names the clusters of a similar name on a watch (U3)", () =>
    Effect.scoped(Effect.gen(function*() {
      const fake = yield* HetznerFake.make()
      for (const cluster of ["dev", "staging"]) {
        yield* fake.seed.server({ name: `${cluster}-1`, labels: { "kubelayer.cluster": cluster } })
      }
      const watched = Stream.unwrap(Effect.map(Provider, (provider) => provider.watchCluster("dve"))).pipe(
        Stream.runDrain,
        Effect.flip
      )
      const errors = [
        yield* Effect.provide(watched, onMemory("dev", "staging")),
        yield* Effect.provide(watched, Hetzner.layer({ endpoint: fake.endpoint, token: fake.token }))
      ]
      for (const error of errors) {
        assert.instanceOf(error, ClusterNotFound)
        assert.include(error.message, `there is no cluster "dve"; similar: dev.`)
      }
    })))
})
