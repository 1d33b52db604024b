/** Errors when no engine answers or something else does, and the API version that is used. */
import { assert, describe, it } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Docker from "kubelayer/layers/Docker"
import { Provider } from "kubelayer/Provider"
import { ProviderUnavailable } from "kubelayer/ProviderError"
import * as fs from "node:fs"
import * as net from "node:net"
import * as path from "node:path"
import { connectionFailure } from "../../src/docker/Errors.ts"
import { recordings } from "./recordings.ts"
import { serviceIn, systemSocket, unavailable } from "./support/connecting.ts"
import {
  converse,
  empty,
  json,
  refusal,
  type Reply,
  silence,
  stallAfter,
  temporaryFolder,
  text,
  until
} from "./support/Conversation.ts"
import { makeHome } from "./support/home.ts"
import { pretend } from "./support/pretend.ts"
import { clusterless, failureOf, methods, serviceAt } from "./support/service.ts"

/** Runs as an unprivileged user until the scope closes, because root may use every socket. */
const asNobody = Effect.acquireRelease(
  Effect.sync(() => {
    const user = process.geteuid?.()
    if (user === 0) process.seteuid?.(65_534)
    return user
  }),
  (user) => Effect.sync(() => void (user === 0 && process.seteuid?.(0)))
)

describe("no engine", () => {
  it.live("a missing socket is reported with its address and advice", () =>
    Effect.gen(function*() {
      const error = yield* unavailable({}, { host: `unix://${yield* temporaryFolder}/no.sock` })
      assert.strictEqual(error.detail, "there is no such socket")
      assert.match(error.address ?? "", /^unix:\/\/.*no\.sock$/)
      assert.include(error.advice, "DOCKER_HOST")
    }))

  it.live("a socket that nothing listens on, and a port that refuses", () =>
    Effect.gen(function*() {
      const socket = path.join(yield* temporaryFolder, "left.sock")
      // Created and left behind, as by an engine that was killed.
      yield* Effect.callback<void>((resume) => {
        const server = net.createServer().listen(socket, () => {
          fs.renameSync(socket, `${socket}.kept`)
          server.close(() => resume(Effect.void))
        })
      })
      const port = yield* Effect.scoped(
        Effect.map(converse(() => undefined, { address: "127.0.0.1" }), (it) => it.host)
      )
      for (const host of [`unix://${socket}.kept`, port]) {
        const error = yield* unavailable({}, { host })
        assert.strictEqual(error.detail, "nothing listens there (ECONNREFUSED)")
        assert.strictEqual(error.address, host)
      }
    }))

  it.live("a file that is no socket", () =>
    Effect.gen(function*() {
      const file = path.join(yield* temporaryFolder, "file.sock")
      fs.writeFileSync(file, "")
      const error = yield* unavailable({}, { host: `unix://${file}` })
      assert.strictEqual(error.address, `unix://${file}`)
    }))

  it.live("a socket that this user may not use", () =>
    Effect.gen(function*() {
      const socket = path.join(yield* temporaryFolder, "engine.sock")
      const engine = yield* pretend({ socket })
      // A first call loads modules that only root may be able to read.
      yield* unavailable({}, { host: `unix://${socket}.none` })
      fs.chmodSync(socket, 0)
      yield* asNobody
      assert.include((yield* unavailable({}, engine)).detail, "EACCES")
    }))

  it("a refusal of the system says whose it is and whom to ask", () => {
    for (const code of ["EACCES", "EPERM"]) {
      const meaning = connectionFailure(Object.assign(new Error(`connect ${code} /var/run/docker.sock`), { code }))
      assert.strictEqual(meaning._tag, "NoConnection")
      if (meaning._tag === "NoConnection") {
        assert.include(meaning.detail, `this user may not use it (${code})`)
        assert.include(meaning.advice, "group `docker`")
      }
    }
  })

  it.live("a host name that nobody knows", () =>
    Effect.gen(function*() {
      const error = yield* unavailable({}, { host: "tcp://engine.invalid:2375" })
      assert.match(error.detail, /^its host name is not known/)
    }))

  it.live.skipIf(systemSocket)(
    "the error names every candidate before and among the usual sockets, each with its reason",
    () =>
      Effect.gen(function*() {
        const home = yield* makeHome
        const runtime = yield* temporaryFolder
        fs.mkdirSync(path.join(home.docker, "run"))
        yield* converse(() => text(200, "<html>hello</html>"), { socket: path.join(home.docker, "run", "docker.sock") })
        const error = yield* unavailable({ HOME: home.path, XDG_RUNTIME_DIR: runtime })
        assert.deepStrictEqual(error.candidates, [
          { address: "option host", why: "not given" },
          { address: "DOCKER_HOST", why: "not set" },
          { address: "DOCKER_CONTEXT", why: "not set" },
          { address: path.join(home.docker, "config.json"), why: "no current context" },
          { address: "unix:///var/run/docker.sock", why: "there is no such socket" },
          {
            address: `unix://${home.docker}/run/docker.sock`,
            why:
              "the server at this address is not a Docker engine (status 200: a proxy or web server sent an HTML page instead of the engine's reply)"
          },
          { address: `unix://${runtime}/docker.sock`, why: "there is no such socket" },
          { address: "unix:///run/podman/podman.sock", why: "there is no such socket" },
          { address: `unix://${runtime}/podman/podman.sock`, why: "there is no such socket" }
        ])
        for (const { address, why } of error.candidates ?? []) assert.include(error.message, `${address}: ${why}`)
      })
  )

  it.live("the layer is built without an engine, and every method reports the addresses that it tried", () =>
    Effect.gen(function*() {
      const host = `unix://${yield* temporaryFolder}/no.sock`
      const docker = yield* serviceIn({}, { host, nodes: { image: "node" } })
      const calls = [
        ...Object.entries(methods).map(([name, call]) => [name, call(docker, "dev")] as const),
        ...Object.entries(clusterless).map(([name, call]) => [name, call(docker)] as const)
      ]
      for (const [name, call] of calls) {
        const error = yield* failureOf(call)
        assert.strictEqual(error._tag, "ProviderUnavailable", name)
        assert.include(error.message, `${host}: there is no such socket`, name)
      }
      assert.isFalse(yield* docker.provider.isAvailable)
    }))

  it.live("layerConfig builds without an engine, and without an environment", () =>
    Effect.gen(function*() {
      const host = `unix://${yield* temporaryFolder}/no.sock`
      const error = yield* failureOf(
        Provider.use((provider) => provider.checkAvailable).pipe(
          Effect.provide(
            Docker.layerConfig({ host }).pipe(
              Layer.provide(ConfigProvider.layer(ConfigProvider.fromEnvRecord({})))
            )
          )
        )
      )
      assert.strictEqual(error._tag, "ProviderUnavailable")
    }))

  it.live("an engine that appears later is found by the next call, and one that comes back too", () =>
    Effect.gen(function*() {
      const socket = path.join(yield* temporaryFolder, "engine.sock")
      const docker = yield* serviceAt({ host: `unix://${socket}` })
      assert.isFalse(yield* docker.provider.isAvailable)
      const live = Effect.scoped(Effect.gen(function*() {
        yield* pretend({ socket })
        assert.deepStrictEqual(yield* docker.provider.listNodes("dev"), [])
      }))
      yield* live
      assert.strictEqual((yield* failureOf(docker.provider.listNodes("dev")))._tag, "ProviderUnavailable")
      yield* live
    }))
})

describe("what answers", () => {
  const answering = (reply: Reply) =>
    Effect.gen(function*() {
      const engine = yield* converse(() => reply)
      return { engine, error: yield* unavailable({}, { host: engine.host, policy: { requestTimeout: "200 millis" } }) }
    })

  const strangers: Readonly<Record<string, readonly [Reply, RegExp]>> = {
    "a page": [
      text(200, "<html>hello</html>"),
      /not a Docker engine \(status 200: a proxy or web server sent an HTML page/
    ],
    "other JSON": [json({ name: "something", version: 3 }), /not a Docker engine \(status 200/],
    "a version that is none": [json({ ApiVersion: "latest" }), /not a Docker engine/],
    "a refusal": [refusal(404, "page not found"), /not a Docker engine \(status 404: page not found\)/],
    "a redirect": [text(301, "", { Location: "http://127.0.0.1:9/" }), /redirect/],
    nothing: [empty(200), /not a Docker engine \(status 200/],
    "API 1.40": [json({ ApiVersion: "1.40", MinAPIVersion: "1.12" }), /its API 1\.40 is older than 1\.41/],
    "API 1.9, which is older than 1.41": [json({ ApiVersion: "1.9" }), /its API 1\.9 is older than 1\.41/]
  }
  for (const [name, [reply, detail]] of Object.entries(strangers)) {
    it.live(`${name} is not taken for an engine`, () =>
      Effect.gen(function*() {
        const { engine, error } = yield* answering(reply)
        assert.match(error.detail, detail)
        assert.strictEqual(error.address, engine.host)
        // A redirect ends it at once; everything else may be an engine whose ping has no headers.
        assert.deepStrictEqual(
          engine.told(),
          name === "a redirect" ? ["GET /_ping"] : ["GET /_ping", "GET /version"]
        )
      }))
  }

  it.live("one that speaks no HTTP", () =>
    Effect.gen(function*() {
      const socket = path.join(yield* temporaryFolder, "ssh.sock")
      yield* Effect.acquireRelease(
        Effect.callback<net.Server>((resume) => {
          const server = net.createServer((each) => each.on("error", () => {}).end("SSH-2.0-OpenSSH_9.6\r\n"))
          server.listen(socket, () => resume(Effect.succeed(server)))
        }),
        (server) => Effect.sync(() => void server.close())
      )
      const error = yield* unavailable({}, { host: `unix://${socket}` })
      assert.strictEqual(error.address, `unix://${socket}`)
    }))

  for (const [name, reply] of Object.entries({ "never answers": silence, "stalls": stallAfter("{\"Api") })) {
    it.live(`one that ${name} is unavailable by the deadline, for every caller, and is asked no second time`, () =>
      Effect.gen(function*() {
        const engine = yield* converse(() => reply)
        const { provider } = yield* serviceAt(engine, { policy: { requestTimeout: "200 millis" } })
        const errors = yield* Effect.all(
          Array.from({ length: 5 }, () => failureOf(provider.listNodes("dev"))),
          { concurrency: "unbounded" }
        )
        for (const error of errors) {
          assert.strictEqual(error._tag, "ProviderUnavailable")
          assert.include(error.message, engine.host)
        }
        assert.deepStrictEqual(engine.told(), ["GET /_ping"])
        assert.isFalse(yield* provider.isAvailable)
        yield* until("no connection is left", () => engine.connections() === 0)
      }))
  }

  const versions: ReadonlyArray<readonly [name: string, newest: string, oldest: string | undefined, spoken: string]> = [
    ["the oldest that we know", "1.41", "1.12", "1.41"],
    ["one between", "1.44", "1.24", "1.44"],
    ["the newest that we know", "1.47", "1.24", "1.47"],
    ["a newer one is spoken to in our newest", "1.56", "1.40", "1.47"],
    ["one that is too new for that is spoken to in its oldest", "1.99", "1.50", "1.50"],
    ["one that does not tell its oldest", "1.43", undefined, "1.43"]
  ]
  for (const [name, newest, oldest, spoken] of versions) {
    it.live(`${name}: ${newest} (from ${oldest}) is spoken to in ${spoken}`, () =>
      Effect.gen(function*() {
        const engine = yield* pretend({
          apiVersion: newest,
          spoken,
          script: ({ path }) => path === "/version" ? json({ ApiVersion: newest, MinAPIVersion: oldest }) : undefined
        })
        const { provider } = yield* serviceAt(engine)
        yield* provider.listNodes("dev")
        yield* provider.checkAvailable
        // `/version` is slow on Podman, and only needed where the oldest version may matter.
        assert.deepStrictEqual(
          engine.heard.map(({ path, version }) => `${path} ${version}`),
          [
            "/_ping undefined",
            ...(["1.56", "1.99"].includes(newest) ? ["/version undefined"] : []),
            `/containers/json ${spoken}`,
            `/_ping ${spoken}`
          ]
        )
      }))
  }

  it.live("the version comes from /version when the ping has none", () =>
    Effect.gen(function*() {
      for (const bare of [text(200, "OK"), text(403, "Forbidden"), text(200, "OK", { "Api-Version": "soon" })]) {
        const engine = yield* pretend({
          apiVersion: "1.44",
          script: ({ path, version }) => path === "/_ping" && version === undefined ? bare : undefined
        })
        const { provider } = yield* serviceAt(engine)
        yield* provider.listNodes("dev")
        assert.deepStrictEqual(engine.told(), ["GET /_ping", "GET /version", "GET /containers/json"])
        assert.strictEqual(engine.heard[2]?.version, "1.44")
      }
    }))

  for (const recorded of recordings.filter(({ id }) => id === "ping-head")) {
    const spoken = { "1.56": "1.47" }[recorded.headers?.["Api-Version"] ?? ""] ?? recorded.headers?.["Api-Version"]
    it.live(`the first call on ${recorded.engine} costs one ping, unless its API is newer than ours (P12)`, () =>
      Effect.gen(function*() {
        const engine = yield* pretend({
          apiVersion: recorded.headers?.["Api-Version"] ?? "",
          minApiVersion: "1.40",
          ...(spoken === undefined ? {} : { spoken }),
          script: ({ path }) => path === "/_ping" ? text(200, "OK", recorded.headers) : undefined
        })
        const { provider } = yield* serviceAt(engine)
        yield* provider.listNodes("dev")
        assert.deepStrictEqual(engine.told(), [
          "GET /_ping",
          ...(recorded.engine === "docker-29" ? ["GET /version"] : []),
          "GET /containers/json"
        ])
      }))
  }

  it.live("checkAvailable names the address and every candidate where an engine does not answer (D18)", () =>
    Effect.gen(function*() {
      const engine = yield* converse(() => silence)
      const error = yield* unavailable({}, { host: engine.host, policy: { requestTimeout: "100 millis" } })
      assert.strictEqual(error.address, engine.host)
      const home = yield* temporaryFolder
      fs.mkdirSync(path.join(home, ".docker/run"), { recursive: true })
      const silent = yield* converse(() => silence, { socket: path.join(home, ".docker/run/docker.sock") })
      const { candidates = [] } = yield* unavailable({ HOME: home }, { policy: { requestTimeout: "100 millis" } })
      assert.include(candidates.map(({ address }) => address), silent.host)
      assert.include(candidates.map(({ address }) => address), "unix:///run/podman/podman.sock")
    }))

  it.live("an engine that answers once and then refuses a ping is unavailable, with its address", () =>
    Effect.gen(function*() {
      const engine = yield* pretend({
        script: ({ path, version }) =>
          path === "/_ping" && version !== undefined ? refusal(500, "going down") : undefined
      })
      const error = yield* unavailable({}, { host: engine.host })
      assert.instanceOf(error, ProviderUnavailable)
      assert.include(error.message, "going down")
      assert.strictEqual(error.address, engine.host)
    }))
})
