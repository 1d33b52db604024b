/** The layers of all backends: what they read from the environment, and how they refuse a variable. */
import { assert, describe, it } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Docker from "kubelayer/layers/Docker"
import * as Hetzner from "kubelayer/layers/Hetzner"
import * as Memory from "kubelayer/layers/Memory"
import * as Mock from "kubelayer/layers/Mock"
import * as Omni from "kubelayer/layers/Omni"
import { ClusterName } from "kubelayer/Model"
import { NodeCreator, Provider } from "kubelayer/Provider"
import { InvalidSpec } from "kubelayer/ProviderError"
import { exitCodeOf } from "kubelayer/Script"
import { HetznerFake } from "kubelayer/testing"

const built = <A, E>(
  layer: Layer.Layer<A, E>,
  environment: Readonly<Record<string, string>> = {}
): Effect.Effect<Context.Context<A>, E, Scope.Scope> =>
  Layer.build(Layer.fresh(layer).pipe(Layer.provide(ConfigProvider.layer(ConfigProvider.fromUnknown(environment)))))

/** The one issue with which a layer is refused. */
const issuesOf = <A>(layer: Layer.Layer<A, unknown>, environment: Readonly<Record<string, string>>) =>
  Effect.map(Effect.flip(built(layer, environment)), (error) => {
    assert.instanceOf(error, InvalidSpec)
    return { issues: error.issues, code: exitCodeOf(error) }
  })

const dev = ClusterName.make("dev")
const secret = "abc def"

describe("layerConfig and layerServiceConfig", () => {
  const cases: ReadonlyArray<{
    readonly variable: string
    readonly option: string
    readonly layers: ReadonlyArray<Layer.Layer<never, unknown>>
    readonly others?: Readonly<Record<string, string>>
    readonly malformed: string
    readonly code: number
  }> = [
    {
      variable: "HCLOUD_TOKEN",
      option: "token",
      layers: [Hetzner.layerConfig(), Hetzner.layerServiceConfig()],
      malformed: secret,
      code: 5
    },
    {
      variable: "OMNI_ENDPOINT",
      option: "endpoint",
      layers: [Omni.layerConfig({ serviceAccountKey: "x" }), Omni.layerServiceConfig({ serviceAccountKey: "x" })],
      malformed: "omni",
      code: 2
    },
    {
      variable: "OMNI_SERVICE_ACCOUNT_KEY",
      option: "serviceAccountKey",
      layers: [
        Omni.layerConfig({ endpoint: "https://omni.example" }),
        Omni.layerServiceConfig({ endpoint: "https://omni.example" })
      ],
      malformed: "?",
      code: 5
    }
  ]

  for (const { code, layers, malformed, option, variable } of cases) {
    it.effect(`name ${variable} and an example where it is not set or empty (U4)`, () =>
      Effect.gen(function*() {
        for (const layer of layers) {
          for (const environment of [{}, { [variable]: "" }, { [variable]: "  " }]) {
            const refused = yield* issuesOf(layer, environment)
            assert.lengthOf(refused.issues, 1)
            const [issue] = refused.issues
            assert.strictEqual(issue?.path, variable)
            assert.match(
              issue?.message ?? "",
              new RegExp(`^is not set\\. Set it, or give the layer the option \`${option}\`\\. Example: ${variable}=`)
            )
            assert.strictEqual(refused.code, code)
          }
        }
      }))

    it.effect(`name ${variable} and an example where it is malformed, and do not repeat it (U4)`, () =>
      Effect.gen(function*() {
        for (const layer of layers) {
          const refused = yield* issuesOf(layer, { [variable]: malformed })
          const issue = refused.issues.find(({ path }) => path === variable)
          assert.match(issue?.message ?? "", new RegExp(` Example: ${variable}=`))
          assert.notInclude(JSON.stringify(refused), secret)
        }
      }))
  }

  it.effect("name every variable that is missing at once", () =>
    Effect.gen(function*() {
      const { code, issues } = yield* issuesOf(Omni.layerConfig(), {})
      assert.deepStrictEqual(issues.map(({ path }) => path), ["OMNI_ENDPOINT", "OMNI_SERVICE_ACCOUNT_KEY"])
      assert.strictEqual(code, 5)
    }))

  it.effect("name KUBELAYER_SCHEME and the schemes where it is none of them (U4)", () =>
    Effect.gen(function*() {
      const { code, issues } = yield* issuesOf(Docker.layerConfig(), { KUBELAYER_SCHEME: "minikube" })
      assert.deepStrictEqual(issues.map(({ path }) => path), ["KUBELAYER_SCHEME"])
      assert.match(issues[0]?.message ?? "", /kind, .*Example: KUBELAYER_SCHEME=kind$/)
      assert.strictEqual(code, 2)
    }))

  it.effect("read what the options leave open, and nothing else (U13)", () =>
    Effect.scoped(Effect.gen(function*() {
      const environment = { KUBELAYER_SCHEME: "k3d" }
      const schemeOf = (layer: Layer.Layer<Docker.Docker, unknown>, variables = environment) =>
        Effect.map(built(layer, variables), (context) => Context.get(context, Docker.Docker).scheme)
      assert.strictEqual(yield* schemeOf(Docker.layerServiceConfig()), "k3d")
      assert.strictEqual(yield* schemeOf(Docker.layerServiceConfig({ scheme: "kind" })), "kind")
      assert.strictEqual(yield* schemeOf(Docker.layerServiceConfig(), {} as never), "auto")
      assert.strictEqual(yield* schemeOf(Docker.layerService()), "kubelayer")
    })))

  it.live("build two backends in one program from the environment (U13)", () =>
    Effect.scoped(Effect.gen(function*() {
      const fake = yield* HetznerFake.make()
      yield* fake.seed.server({ name: "dev-1", labels: { "kubelayer.cluster": "dev" } })
      const context = yield* built(
        Layer.mergeAll(Hetzner.layerServiceConfig(), Docker.layerServiceConfig()),
        { HCLOUD_TOKEN: fake.token, HCLOUD_ENDPOINT: fake.endpoint, KUBELAYER_SCHEME: "kind" }
      )
      assert.strictEqual(Context.get(context, Docker.Docker).scheme, "kind")
      assert.deepStrictEqual(yield* Context.get(context, Hetzner.Hetzner).provider.listAllClusters, [dev])
    })))

  it.effect("are on every layer module, Mock included (U19)", () =>
    Effect.scoped(Effect.gen(function*() {
      const listNodes = { dev: [Mock.node("dev")] }
      const mock = yield* built(Mock.layerConfig({ listNodes }))
      assert.deepStrictEqual(yield* Context.get(mock, Provider).listAllClusters, [dev])
      assert.isDefined(Context.get(mock, NodeCreator))
      const memory = yield* built(Memory.layerServiceConfig({ clusters: { dev: { controlPlanes: 1, workers: 0 } } }))
      assert.deepStrictEqual(yield* Context.get(memory, Memory.Memory).provider.listAllClusters, [dev])
      for (const module of [Docker, Hetzner, Memory, Mock, Omni]) {
        for (const name of ["make", "layer", "layerService", "layerConfig", "layerServiceConfig"]) {
          assert.isFunction((module as Record<string, unknown>)[name], name)
        }
      }
    })))
})
