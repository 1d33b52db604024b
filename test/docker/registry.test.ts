/** Logins for registries: from the option, the docker CLI's config.json, and helper programs. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import * as Redacted from "effect/Redacted"
import * as Docker from "kubelayer/layers/Docker"
import * as fs from "node:fs"
import * as path from "node:path"
import { registryOf } from "../../src/docker/Registry.ts"
import { type Env, serviceIn } from "./support/connecting.ts"
import { refusal, temporaryFolder } from "./support/Conversation.ts"
import { type Home, makeHome } from "./support/home.ts"
import { pretend } from "./support/pretend.ts"
import { failureOf, impatient } from "./support/service.ts"

const base64 = (text: string) => Buffer.from(text).toString("base64")

/** The login that the engine gets when a cluster is created from an image of this name. */
const loginFor = Effect.fnUntraced(function*(image: string, env: Env, options: Docker.Options = {}) {
  const engine = yield* pretend({ world: { images: [] } })
  const docker = yield* serviceIn(env, { host: engine.host, nodes: { image }, ...options })
  yield* docker.createNodes({ cluster: "dev", controlPlanes: 1, workers: 0 })
  const pull = engine.heard.find(({ path }) => path === "/images/create")
  assert.isDefined(pull)
  return pull?.registryAuth
})

/** A helper program that knows these logins, in a folder that comes first in PATH. */
const withHelper = Effect.fnUntraced(function*(name: string, script: string) {
  const folder = yield* temporaryFolder
  fs.writeFileSync(path.join(folder, `docker-credential-${name}`), `#!/bin/sh\n${script}`, { mode: 0o755 })
  const saved = process.env["PATH"]
  yield* Effect.acquireRelease(
    Effect.sync(() => void (process.env["PATH"] = `${folder}${path.delimiter}${saved}`)),
    () => Effect.sync(() => void (process.env["PATH"] = saved))
  )
})

const knows = (server: string, username: string, secret: string) =>
  `read server; [ "$1 $server" = "get ${server}" ] || { echo "credentials not found in native keychain"; exit 1; }
echo '{"ServerURL":"${server}","Username":"${username}","Secret":"${secret}"}'\n`

const configured = (home: Home, config: unknown): Env => {
  home.writeConfig(JSON.stringify(config))
  return { HOME: home.path }
}

describe("registryOf", () => {
  const names: Readonly<Record<string, string>> = {
    "alpine:3.22": "docker.io",
    "library/alpine": "docker.io",
    "docker.io/library/alpine": "docker.io",
    "index.docker.io/me/node": "docker.io",
    "me/node:v1": "docker.io",
    "ghcr.io/me/node:v1": "ghcr.io",
    "localhost/node": "localhost",
    "localhost:5000/node:v1": "localhost:5000",
    "127.0.0.1:5000/a/b@sha256:0": "127.0.0.1:5000"
  }
  for (const [image, registry] of Object.entries(names)) {
    it(`${image} is on ${registry}`, () => assert.strictEqual(registryOf(image), registry))
  }
})

describe("the login that a pull sends", () => {
  it.live("comes from auths, for the registry of the image only (D17)", () =>
    Effect.gen(function*() {
      const env = configured(yield* makeHome, {
        auths: {
          "r.example:5000": { auth: base64("me:pass:word") },
          "https://old.example/v1/": { auth: base64("old:secret") },
          "https://index.docker.io/v1/": { username: "hub", password: "secret" },
          "token.example": { auth: base64("me:x"), identitytoken: "t0ken" }
        }
      })
      assert.deepStrictEqual(yield* loginFor("r.example:5000/node:v1", env), {
        username: "me",
        password: "pass:word",
        serveraddress: "r.example:5000"
      })
      assert.deepInclude(yield* loginFor("old.example/node:v1", env), { username: "old", password: "secret" })
      assert.deepStrictEqual(yield* loginFor("node:v1", env), {
        username: "hub",
        password: "secret",
        serveraddress: "https://index.docker.io/v1/"
      })
      assert.deepStrictEqual(yield* loginFor("token.example/node:v1", env), {
        identitytoken: "t0ken",
        serveraddress: "token.example"
      })
      assert.isUndefined(yield* loginFor("other.example/node:v1", env))
    }))

  it.live("comes from the helper in credHelpers, else from credsStore (D17)", () =>
    Effect.gen(function*() {
      yield* withHelper("one", knows("r.example", "me", "pässword"))
      yield* withHelper("two", knows("token.example", "<token>", "t0ken"))
      const env = configured(yield* makeHome, {
        auths: { "r.example": {}, "plain.example": { auth: base64("me:x") } },
        credHelpers: { "r.example": "one" },
        credsStore: "two"
      })
      assert.deepStrictEqual(yield* loginFor("r.example/node:v1", env), {
        username: "me",
        password: "pässword",
        serveraddress: "r.example"
      })
      assert.deepStrictEqual(yield* loginFor("token.example/node:v1", env), {
        identitytoken: "t0ken",
        serveraddress: "token.example"
      })
      // As for the CLI: with a store, auths are not read.
      assert.isUndefined(yield* loginFor("plain.example/node:v1", env))
    }))

  it.live("comes from the option of the layer before the files (D17)", () =>
    Effect.gen(function*() {
      const env = configured(yield* makeHome, { auths: { "r.example": { auth: base64("me:word") } } })
      const registries = { "r.example": { username: "you", password: Redacted.make("other") } }
      assert.deepInclude(yield* loginFor("r.example/node:v1", env, { registries }), {
        username: "you",
        password: "other"
      })
    }))

  const broken: Readonly<Record<string, readonly [config: unknown, script: string, said: RegExp | undefined]>> = {
    "a helper that is not installed": [{ credsStore: "absent" }, "", /docker-credential-absent did not start/],
    "a helper that fails": [
      { credsStore: "broken" },
      "cat >/dev/null; echo 'no key ring'; exit 2",
      /exit code 2: no key ring/
    ],
    "a helper that answers no JSON": [
      { credsStore: "broken" },
      "cat >/dev/null; echo hunter2",
      /gave no login in JSON/
    ],
    "a helper whose name is a path": [{ credsStore: "../../bin/sh" }, "", /is not a name of a helper/],
    "a config.json of another form": [{ auths: [] }, "", /has no logins that can be read/],
    "an auth that is no base64": [{ auths: { "r.example": { auth: "%%%" } } }, "", undefined]
  }
  for (const [name, [config, script, said]] of Object.entries(broken)) {
    it.live(`is left out for ${name}, with a warning that has no secret`, () =>
      Effect.gen(function*() {
        if (script !== "") yield* withHelper("broken", script)
        const env = configured(yield* makeHome, config)
        const lines: Array<string> = []
        const logger = Logger.make(({ message }) => void lines.push(String(message)))
        const login = yield* loginFor("r.example/node:v1", env).pipe(Effect.provide(Logger.layer([logger])))
        assert.isUndefined(login)
        if (said !== undefined) assert.match(lines.join("\n"), said)
        assert.notInclude(lines.join("\n"), "hunter2")
      }))
  }

  it.live("is in no error of a registry that refuses it (D17)", () =>
    Effect.gen(function*() {
      const engine = yield* pretend({
        world: { images: [] },
        script: ({ path }) =>
          path === "/images/create" ? refusal(500, "unauthorized: authentication required") : undefined
      })
      const env = configured(yield* makeHome, { auths: { "r.example": { auth: base64("me:hunter2") } } })
      const docker = yield* serviceIn(env, { host: engine.host, nodes: { image: "r.example/node" }, policy: impatient })
      const error = yield* failureOf(docker.createNodes({ cluster: "dev", controlPlanes: 1, workers: 0 }))
      const shown = `${error.message}${JSON.stringify(error)}`
      assert.notInclude(shown, "hunter2")
      assert.notInclude(shown, base64("me:hunter2"))
      assert.include(shown, "docker login")
      assert.include(shown, "Unauthorized")
    }))
})
