/** Validation of a layer's token, endpoint and environment variables before the first request. */
import { assert, describe, it } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Hetzner from "kubelayer/layers/Hetzner"
import { Provider } from "kubelayer/Provider"
import type { BackendFailure, InvalidSpec } from "kubelayer/ProviderError"
import { HetznerFake } from "kubelayer/testing"
import { failure, nodes } from "./support/rig.ts"

const good = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ01"

const refused = (options: Hetzner.Options): Effect.Effect<InvalidSpec["issues"]> =>
  Effect.map(failure(Effect.scoped(Hetzner.make(options))), ({ issues }) => issues)

describe("a token", () => {
  for (
    const [what, token] of [
      ["that is empty", ""],
      ["of spaces", "  \n"],
      ["with a line break inside", "abc\ndef"],
      ["with a space inside", "Bearer abc"],
      ["with letters that no header has", "abc\u00e9"],
      ["with a control character", "abc\u0000"]
    ] as const
  ) {
    it.effect(`${what} is refused before any call, and not shown`, () =>
      Effect.gen(function*() {
        const issues = yield* refused({ token })
        assert.deepStrictEqual(issues.map(({ path }) => path), ["token"])
        if (token.trim() !== "") assert.notInclude(JSON.stringify(issues), token)
      }))
  }

  it.effect("is reported together with other issues", () =>
    Effect.gen(function*() {
      const issues = yield* refused({ token: Redacted.make(""), endpoint: "ftp://example.com" })
      assert.deepStrictEqual(issues.map(({ path }) => path), ["token", "endpoint"])
    }))

  it.live("is trimmed", () =>
    Effect.scoped(Effect.gen(function*() {
      const fake = yield* HetznerFake.make()
      const { provider } = yield* Hetzner.make({ token: ` ${fake.token}\n`, endpoint: `${fake.endpoint}/` })
      assert.deepStrictEqual(yield* provider.listNodes("dev"), [])
    })))

  it.live("that is unknown to the Project fails with Unauthorized, also in checkAvailable", () =>
    Effect.scoped(Effect.gen(function*() {
      const fake = yield* HetznerFake.make()
      const { provider } = yield* Hetzner.make({ token: good, endpoint: fake.endpoint })
      const error = yield* failure(provider.listNodes("dev"))
      assert.strictEqual(error._tag === "BackendError" && error.reason._tag, "Unauthorized")
      assert.isFalse(yield* provider.isAvailable)
      assert.include((yield* failure(provider.checkAvailable)).message, "unable to authenticate")
      assert.lengthOf((yield* fake.calls).filter(({ path }) => path === "/servers"), 3)
    })))

  for (const readOnlyCode of ["token_readonly", "forbidden"] as const) {
    it.live(`lists nodes when it is read-only, and writes fail with ReadOnlyCredential (${readOnlyCode})`, () =>
      Effect.scoped(Effect.gen(function*() {
        const fake = yield* HetznerFake.make({ readOnlyCode })
        yield* fake.seed.server({ name: "dev-1", status: "off", labels: { "kubelayer.cluster": "dev" } })
        const { createNodes, provider } = yield* Hetzner.make({ token: fake.readOnlyToken, endpoint: fake.endpoint })
        assert.lengthOf(yield* provider.listNodes("dev"), 1)
        const error = yield* failure(provider.startNodes("dev"))
        assert.deepStrictEqual(
          error._tag === "NodesFailed" &&
            error.report.failed.map(({ outcome }) => outcome._tag === "Failed" && outcome.error.reason._tag),
          ["ReadOnlyCredential"]
        )
        const notMade = yield* failure(createNodes({ cluster: "new", controlPlanes: 1, workers: 0, nodes }))
        assert.include(JSON.stringify(notMade), "ReadOnlyCredential")
      })))
  }
})

describe("a short token", () => {
  for (const token of ["prod", "test", "readonly", "forbidden", " 15-characters-- "]) {
    it.effect(`${JSON.stringify(token)} is refused before any call, and not shown (H12)`, () =>
      Effect.gen(function*() {
        const [issue, ...more] = yield* refused({ token })
        assert.deepStrictEqual([issue?.path, more], ["token", []])
        assert.include(issue?.message, `has ${token.trim().length} characters, at least 16 are required`)
        assert.notInclude(JSON.stringify(issue), token.trim())
      }))
  }

  it.effect("of 16 characters is accepted", () =>
    Effect.scoped(Effect.asVoid(Hetzner.make({ token: "0123456789abcdef", endpoint: "http://127.0.0.1:1/v1" }))))
})

describe("an endpoint", () => {
  for (const endpoint of ["", "api.hetzner.cloud/v1", "ftp://api.hetzner.cloud/v1", "http://api.example.com/v1"]) {
    it.effect(`${JSON.stringify(endpoint)} is refused before any call`, () =>
      Effect.gen(function*() {
        assert.deepStrictEqual((yield* refused({ token: good, endpoint })).map(({ path }) => path), ["endpoint"])
      }))
  }

  it.effect("with a password in it is refused, and the password not shown", () =>
    Effect.gen(function*() {
      const issues = yield* refused({ token: good, endpoint: "https://me:opensesame@example.com/v1" })
      assert.lengthOf(issues, 1)
      assert.notInclude(JSON.stringify(issues), "opensesame")
    }))

  for (
    const endpoint of [
      "https://api.hetzner.cloud/v1",
      "http://127.0.0.1:1/v1",
      "http://[::1]:1/v1",
      "http://localhost:1"
    ]
  ) {
    it.effect(`${endpoint} is accepted`, () => Effect.scoped(Effect.asVoid(Hetzner.make({ token: good, endpoint }))))
  }

  it.effect("over http is accepted when that is allowed", () =>
    Effect.scoped(
      Effect.asVoid(Hetzner.make({ token: good, endpoint: "http://api.example.com/v1", allowHttp: true }))
    ))

  it.live("at which nothing is any more is ProviderUnavailable with its address, and not tried again", () =>
    Effect.scoped(Effect.gen(function*() {
      const fake = yield* HetznerFake.make()
      const { provider } = yield* Hetzner.make({ token: fake.token, endpoint: fake.endpoint })
      yield* fake.outage
      const error = yield* failure(provider.nodesExist("dev"))
      assert.strictEqual(error._tag, "ProviderUnavailable")
      assert.include(error.message, fake.endpoint)
      assert.isFalse(yield* provider.isAvailable)
    })))

  it.live("with a port that fetch blocks fails with ProviderUnavailable too", () =>
    Effect.scoped(Effect.gen(function*() {
      const { provider } = yield* Hetzner.make({ token: good, endpoint: "http://127.0.0.1:1/v1" })
      assert.strictEqual((yield* failure(provider.nodesExist("dev")))._tag, "ProviderUnavailable")
    })))
})

describe("layerConfig", () => {
  const from = (environment: Record<string, string>) => ConfigProvider.layer(ConfigProvider.fromUnknown(environment))
  const listed = (overrides: Partial<Hetzner.Options>, environment: Record<string, string>) =>
    Provider.use((provider): Effect.Effect<ReadonlyArray<string>, BackendFailure> => provider.listAllClusters).pipe(
      Effect.provide(Layer.provide(Hetzner.layerConfig(overrides), from(environment)))
    )

  it.live("reads the token and the endpoint from the environment, and explicit options win", () =>
    Effect.scoped(Effect.gen(function*() {
      const fake = yield* HetznerFake.make()
      yield* fake.seed.server({ name: "dev-1", labels: { "kubelayer.cluster": "dev" } })
      const both = { HCLOUD_TOKEN: fake.token, HCLOUD_ENDPOINT: fake.endpoint }
      assert.deepStrictEqual(yield* listed({}, both), ["dev"])
      assert.deepStrictEqual(yield* listed({ token: fake.token }, { HCLOUD_ENDPOINT: fake.endpoint }), ["dev"])
      assert.deepStrictEqual(
        yield* listed({ endpoint: fake.endpoint }, { ...both, HCLOUD_ENDPOINT: "http://127.0.0.1:1" }),
        ["dev"]
      )
    })))
})
