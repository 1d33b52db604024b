/** The layers of Omni: what each gives, scopes, connections from outside, clusters for as long as a scope lives. */
import { assert, describe, it } from "@effect/vitest"
import * as grpc from "@grpc/grpc-js"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import * as Omni from "kubelayer/layers/Omni"
import { layerFrom, NodeCreator, Provider } from "kubelayer/Provider"
import { layer as fakeLayer, OmniFake } from "../../src/testing/OmniFake.ts"
import { tagOf, world } from "./support/world.ts"

const onFake = <A, E>(f: (options: Omni.Options) => Layer.Layer<A, E>) =>
  Layer.unwrap(Effect.map(OmniFake, ({ endpoint, serviceAccountKey }) => f({ endpoint, serviceAccountKey })))

describe("the layers", () => {
  it.live("give Provider, NodeCreator and Omni from one instance, or Omni alone to choose from", () =>
    Effect.gen(function*() {
      const clusters = Effect.gen(function*() {
        const { addCluster } = yield* OmniFake
        yield* addCluster("dev", { controlPlanes: 1, workers: 0 })
        const provider = yield* Provider
        yield* NodeCreator
        return yield* provider.listAllClusters
      })
      const all = yield* Effect.scoped(Effect.gen(function*() {
        const fake = yield* Layer.build(fakeLayer())
        const one = yield* clusters.pipe(
          Effect.provide(onFake((options) => Omni.layer(options)), { local: true }),
          Effect.provide(fake)
        )
        const other = yield* clusters.pipe(
          Effect.provide(layerFrom(Omni.Omni)),
          Effect.provide(onFake((options) => Omni.layerService(options)), { local: true }),
          Effect.provide(fake)
        )
        return [one, other]
      }))
      assert.deepStrictEqual(all, [["dev"], ["dev"]] as never)
    }))

  it.live("work from the environment alone", () =>
    Effect.gen(function*() {
      const { fake } = yield* world()
      yield* fake.addCluster("dev", { controlPlanes: 1, workers: 0 })
      const environment = { OMNI_ENDPOINT: fake.endpoint, OMNI_SERVICE_ACCOUNT_KEY: fake.serviceAccountKey }
      const nodes = yield* Provider.use((provider) => provider.listNodes("dev")).pipe(
        Effect.provide(Omni.layerConfig()),
        Effect.provide(ConfigProvider.layer(ConfigProvider.fromUnknown(environment)))
      )
      assert.strictEqual(nodes.length, 1)
    }))

  it.live("take a connection from outside, and leave it open", () =>
    Effect.gen(function*() {
      const { fake } = yield* world()
      const channel = new grpc.Channel(fake.endpoint.slice("http://".length), grpc.credentials.createInsecure(), {})
      const options = { endpoint: "https://omni.example", serviceAccountKey: fake.serviceAccountKey }
      const asked = Provider.use((provider) => provider.listAllClusters).pipe(
        Effect.provide(Omni.layerTransport(options), { local: true }),
        Effect.provideService(Omni.Transport, { channel })
      )
      yield* asked
      assert.deepStrictEqual(yield* asked, [])
      channel.close()
    }))

  it.live("end their calls and streams with their scope; a call afterwards fails, and dies of nothing", () =>
    Effect.gen(function*() {
      const { fake } = yield* world()
      yield* fake.addCluster("dev", { controlPlanes: 1, workers: 0 })
      const scope = yield* Scope.make()
      const omni = yield* Scope.provide(
        Omni.make({ endpoint: fake.endpoint, serviceAccountKey: fake.serviceAccountKey }),
        scope
      )
      yield* omni.provider.listNodes("dev")
      yield* Scope.close(scope, Exit.void)
      const error = yield* Effect.flip(omni.provider.listNodes("dev"))
      assert.strictEqual(tagOf(error), "ProviderUnavailable")
      assert.isFalse(yield* omni.provider.isAvailable)
    }))
})

describe("createNodesScoped", () => {
  it.live("deletes the cluster when its scope closes, and sweep finds one that an exited process left", () =>
    Effect.gen(function*() {
      const { fake, ids, omni } = yield* world({ fake: { machines: 2 } })
      const within = yield* Effect.scoped(
        Effect.andThen(
          omni.createNodesScoped({ cluster: "dev", controlPlanes: 1, workers: 1 }),
          fake.resources("Clusters")
        )
      )
      const [made] = within
      assert.strictEqual(made?.annotations["kubelayer.owned"], "dev")
      assert.strictEqual(made?.annotations["kubelayer.bound"], "true")
      assert.deepStrictEqual(yield* ids("Clusters"), [])

      const [place, , ...rest] = (made?.annotations["kubelayer.session"] ?? "").split("/")
      const annotations = { ...made?.annotations, "kubelayer.session": [place, 999_999_999, ...rest].join("/") }
      yield* fake.addCluster("dev", { controlPlanes: 1, workers: 0 })
      yield* fake.put("Clusters", { id: "dev", annotations })
      yield* fake.addCluster("other", { controlPlanes: 1, workers: 0 })
      const found = yield* omni.sweep({ olderThan: 0 })
      assert.deepStrictEqual(found.map(({ kind, name }) => `${kind} ${name}`), ["cluster dev"])
      const removed = yield* omni.sweep({ olderThan: 0, remove: true })
      assert.deepStrictEqual(removed.map(({ removed: gone }) => gone), [true])
      assert.deepStrictEqual(yield* ids("Clusters"), ["other"])
    }))
})
