/** A real engine pulls from a registry that requires a login, with the logins that the docker CLI would send. */
import { assert, describe, it } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Docker from "kubelayer/layers/Docker"
import * as fs from "node:fs"
import * as path from "node:path"
import { temporaryFolder } from "./support/Conversation.ts"
import { ask, engineHost, isPodman, newCluster } from "./support/engine.ts"
import { makeHome } from "./support/home.ts"
import { registry } from "./support/registry.ts"

// A private Podman engine has a network of its own, and another engine may be on another machine.
const sameLoopback = process.env["KUBELAYER_ENGINE_KIND"] !== "found" && !(await Effect.runPromise(isPodman))

describe.skipIf(!sameLoopback)("a registry that requires a login", () => {
  /** Creates a cluster from the image; its nodes cannot start, since the image has no program. Gives the error. */
  const errorOf = Effect.fnUntraced(function*(image: string, home: string, options: Docker.Options = {}) {
    const cluster = yield* newCluster()
    const docker = yield* Docker.make({ host: engineHost, nodes: { image }, ...options }).pipe(
      Effect.provide(ConfigProvider.layer(ConfigProvider.fromEnvRecord({ HOME: home })))
    )
    const error = yield* Effect.flip(docker.createNodes({ cluster, controlPlanes: 1, workers: 0 }))
    yield* Effect.ignore(ask("DELETE", `/images/${image}?force=true`))
    return error.message
  })

  it.live("is used with the login in auths, of a helper, and of the option; without one it is Unauthorized (D17)", () =>
    Effect.gen(function*() {
      const { host, users } = yield* registry("me:pass:word")
      const home = yield* makeHome
      const image = `${host}/node:v1`
      assert.match(yield* errorOf(image, home.path), /Unauthorized.*docker login/)
      assert.deepStrictEqual(users, [])

      const pulled = Effect.fnUntraced(function*(options: Docker.Options = {}) {
        users.splice(0)
        const message = yield* errorOf(image, home.path, options)
        assert.notMatch(message, /Unauthorized/)
        assert.match(message, /none/)
        assert.include(users, "me")
      })
      home.writeConfig(JSON.stringify({ auths: { [host]: { auth: Buffer.from("me:pass:word").toString("base64") } } }))
      yield* pulled()

      const bin = yield* temporaryFolder
      const helper = `read server; echo '{"ServerURL":"'$server'","Username":"me","Secret":"pass:word"}'`
      fs.writeFileSync(path.join(bin, "docker-credential-test"), `#!/bin/sh\n${helper}\n`, { mode: 0o755 })
      const saved = process.env["PATH"]
      yield* Effect.acquireRelease(
        Effect.sync(() => void (process.env["PATH"] = `${bin}${path.delimiter}${saved}`)),
        () => Effect.sync(() => void (process.env["PATH"] = saved))
      )
      home.writeConfig(JSON.stringify({ credsStore: "test" }))
      yield* pulled()
      home.writeConfig(JSON.stringify({ credHelpers: { [host]: "test" } }))
      yield* pulled()

      home.writeConfig("{}")
      yield* pulled({ registries: { [host]: { username: "me", password: Redacted.make("pass:word") } } })
      home.writeConfig(JSON.stringify({ auths: { [host]: { auth: Buffer.from("me:wrong").toString("base64") } } }))
      assert.match(yield* errorOf(image, home.path), /Unauthorized/)
    }))
})
