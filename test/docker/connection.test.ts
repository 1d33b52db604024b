/** How an engine is found, in the docker CLI's order; what is told where none is; which API version is spoken. */
import { assert, describe, it } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Docker from "kubelayer/layers/Docker"
import { Provider } from "kubelayer/Provider"
import { ProviderUnavailable } from "kubelayer/ProviderError"
import * as fs from "node:fs"
import * as net from "node:net"
import * as os from "node:os"
import * as path from "node:path"
import { inspect } from "node:util"
import { connectionFailure } from "../../src/docker/Errors.ts"
import {
  type Conversation,
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
} from "./fake/Conversation.ts"
import { pretend } from "./fake/Engine.ts"
import { type Home, makeHome } from "./fake/home.ts"
import { clusterless, failureOf, impatient, methods, serviceAt } from "./fake/service.ts"

type Env = Readonly<Record<string, string>>

/** The service as a program has it whose environment is `env` and nothing else. */
const serviceIn = (env: Env, options: Docker.Options = {}): Effect.Effect<Docker.DockerService> =>
  Docker.make({ ...options, policy: { ...impatient, ...options.policy } }).pipe(
    Effect.orDie,
    Effect.provide(ConfigProvider.layer(ConfigProvider.fromEnvRecord(env)))
  )

const checked = (env: Env, options: Docker.Options = {}) =>
  Effect.flatMap(serviceIn(env, options), ({ provider }) => provider.checkAvailable)

const unavailable = (env: Env, options: Docker.Options = {}): Effect.Effect<ProviderUnavailable> =>
  failureOf(checked(env, options))

/** Two engines, and a home whose contexts `one` and `two` lead to them. */
const twoEngines: Effect.Effect<
  { readonly one: Conversation; readonly two: Conversation; readonly home: Home },
  never,
  Scope.Scope
> = Effect.gen(function*() {
  const one = yield* pretend()
  const two = yield* pretend()
  const home = yield* makeHome
  home.addContext("one", one.host)
  home.addContext("two", two.host)
  return { one, two, home }
})

/** Which of the two was asked. */
const asked = ({ one, two }: { readonly one: Conversation; readonly two: Conversation }): string =>
  [one.heard.length > 0 ? "one" : "", two.heard.length > 0 ? "two" : ""].join("")

const systemSocket = fs.existsSync("/var/run/docker.sock")

/** As long as the scope is open, a process of root is nobody's: root may use every socket. */
const asNobody = Effect.acquireRelease(
  Effect.sync(() => {
    const user = process.geteuid?.()
    if (user === 0) process.seteuid?.(65_534)
    return user
  }),
  (user) => Effect.sync(() => void (user === 0 && process.seteuid?.(0)))
)

describe("the order", () => {
  it.live("the option `host` beats DOCKER_HOST", () =>
    Effect.gen(function*() {
      const engines = yield* twoEngines
      yield* checked({ DOCKER_HOST: engines.two.host }, { host: engines.one.host })
      assert.strictEqual(asked(engines), "one")
    }))

  it.live("DOCKER_HOST beats DOCKER_CONTEXT", () =>
    Effect.gen(function*() {
      const engines = yield* twoEngines
      yield* checked({ DOCKER_HOST: engines.one.host, DOCKER_CONTEXT: "two", HOME: engines.home.path })
      assert.strictEqual(asked(engines), "one")
    }))

  it.live("DOCKER_CONTEXT beats the current context", () =>
    Effect.gen(function*() {
      const engines = yield* twoEngines
      engines.home.use("two")
      yield* checked({ DOCKER_CONTEXT: "one", HOME: engines.home.path })
      assert.strictEqual(asked(engines), "one")
    }))

  it.live("the current context beats the usual sockets", () =>
    Effect.gen(function*() {
      const engines = yield* twoEngines
      engines.home.use("one")
      yield* pretend({ socket: runSocket(engines.home), script: () => undefined })
      yield* checked({ HOME: engines.home.path })
      assert.strictEqual(asked(engines), "one")
    }))

  it.live("DOCKER_CONFIG names the folder of contexts instead of HOME", () =>
    Effect.gen(function*() {
      const engines = yield* twoEngines
      engines.home.use("one")
      const other = yield* makeHome
      other.addContext("one", engines.two.host)
      other.use("one")
      yield* checked({ HOME: other.path, DOCKER_CONFIG: engines.home.docker })
      assert.strictEqual(asked(engines), "one")
    }))

  it.live("a variable that is set but empty counts as unset, and only that one", () =>
    Effect.gen(function*() {
      const engines = yield* twoEngines
      yield* checked({ DOCKER_HOST: "", DOCKER_CONTEXT: "one", DOCKER_CONFIG: "", HOME: engines.home.path })
      assert.strictEqual(asked(engines), "one")
    }))

  const runSocket = (home: Home): string => {
    fs.mkdirSync(path.join(home.docker, "run"), { recursive: true })
    return path.join(home.docker, "run", "docker.sock")
  }

  // Where the system has an engine at the first of the usual sockets, the others are never tried.
  it.live.skipIf(systemSocket)(
    "of the usual sockets the first that answers is taken: HOME's, then XDG_RUNTIME_DIR's",
    () =>
      Effect.gen(function*() {
        const home = yield* makeHome
        const runtime = yield* temporaryFolder
        const env = { HOME: home.path, XDG_RUNTIME_DIR: runtime }
        const rootless = yield* pretend({ socket: path.join(runtime, "docker.sock") })
        yield* checked(env)
        assert.isAbove(rootless.heard.length, 0)
        const desktop = yield* pretend({ socket: runSocket(home) })
        const before = rootless.heard.length
        yield* checked(env)
        assert.isAbove(desktop.heard.length, 0)
        assert.strictEqual(rootless.heard.length, before)
      })
  )

  it.live.skipIf(systemSocket)("the context `default` means the usual sockets", () =>
    Effect.gen(function*() {
      const home = yield* makeHome
      home.use("two")
      const desktop = yield* pretend({ socket: runSocket(home) })
      yield* checked({ HOME: home.path, DOCKER_CONTEXT: "default" })
      home.use("default")
      yield* checked({ HOME: home.path })
      assert.isAbove(desktop.heard.length, 2)
    }))

  it.live("the variables of the process change nothing where options and configuration say where the engine is", () =>
    Effect.gen(function*() {
      const rubbish: Env = {
        DOCKER_HOST: "tcp://[rubbish",
        DOCKER_TLS_VERIFY: "1",
        DOCKER_CERT_PATH: "/nowhere",
        DOCKER_PATH_PREFIX: "/elsewhere",
        DOCKER_CLIENT_TIMEOUT: "1"
      }
      yield* Effect.acquireRelease(
        Effect.sync(() => {
          const saved = Object.keys(rubbish).map((name) => [name, process.env[name]] as const)
          Object.assign(process.env, rubbish)
          return saved
        }),
        (saved) =>
          Effect.sync(() => {
            for (const [name, value] of saved) {
              if (value === undefined) delete process.env[name]
              else process.env[name] = value
            }
          })
      )
      const unix = yield* pretend()
      yield* checked({}, { host: unix.host })
      const tcp = yield* pretend({ address: "127.0.0.1" })
      yield* checked({ DOCKER_HOST: tcp.host })
      assert.deepStrictEqual([unix.told(), tcp.told()], [["GET /version", "GET /_ping"], [
        "GET /version",
        "GET /_ping"
      ]])
      assert.strictEqual(process.env["DOCKER_HOST"], rubbish["DOCKER_HOST"])
    }))
})

describe("contexts", () => {
  it.live("one that is unknown is an error, and nothing else is tried", () =>
    Effect.gen(function*() {
      const { home, ...engines } = yield* twoEngines
      home.use("one")
      const error = yield* unavailable({ HOME: home.path, DOCKER_CONTEXT: "three" })
      assert.include(error.message, "DOCKER_CONTEXT: there is no docker context \"three\"")
      assert.include(error.message, home.docker)
      assert.strictEqual(asked(engines), "")
    }))

  it.live("one that is current but gone is an error that names the file", () =>
    Effect.gen(function*() {
      const { home } = yield* twoEngines
      home.use("gone")
      const error = yield* unavailable({ HOME: home.path })
      assert.include(error.message, `currentContext in ${path.join(home.docker, "config.json")}`)
      assert.include(error.message, "docker context use")
    }))

  it.live("one that is named where no folder of contexts is known is an error", () =>
    Effect.gen(function*() {
      assert.include((yield* unavailable({ DOCKER_CONTEXT: "one" })).message, "neither DOCKER_CONFIG nor HOME")
    }))

  it.live("one without a host, or with a file that is no JSON, is an error", () =>
    Effect.gen(function*() {
      const home = yield* makeHome
      home.addContext("hostless", undefined)
      home.addContext("broken", "unix:///x")
      const metas = path.join(home.docker, "contexts", "meta")
      for (const folder of fs.readdirSync(metas)) {
        const file = path.join(metas, folder, "meta.json")
        if (fs.readFileSync(file, "utf8").includes("broken")) fs.writeFileSync(file, "{")
      }
      for (const context of ["hostless", "broken"]) {
        const error = yield* unavailable({ HOME: home.path, DOCKER_CONTEXT: context })
        assert.include(error.message, `the docker context "${context}" names no host`)
      }
    }))

  it.live("one whose host is ssh says that this is not supported yet, and what to do", () =>
    Effect.gen(function*() {
      const home = yield* makeHome
      home.addContext("far", "ssh://me:hunter2@far.example")
      const error = yield* unavailable({ HOME: home.path, DOCKER_CONTEXT: "far" })
      assert.include(error.message, "ssh is not supported yet")
      assert.include(error.message, "ssh -NL")
      assert.notInclude(error.message, "hunter2")
    }))

  it.live.skipIf(systemSocket)(
    "a config.json that is no JSON counts as one without a current context",
    () =>
      Effect.gen(function*() {
        const home = yield* makeHome
        home.writeConfig("{\"currentContext\":")
        const error = yield* unavailable({ HOME: home.path })
        assert.include(error.message, "config.json: no current context")
      })
  )
})

describe("addresses", () => {
  it.live("tcp:// and http:// reach an engine on a port, also without a scheme", () =>
    Effect.gen(function*() {
      const engine = yield* pretend({ address: "127.0.0.1" })
      const address = engine.host.replace("tcp://", "")
      for (const host of [`tcp://${address}`, `http://${address}`, `http://${address}/`, address]) {
        const { provider } = yield* serviceIn({ DOCKER_HOST: host })
        assert.deepStrictEqual(yield* provider.listNodes("dev"), [])
      }
    }))

  const loopback6 = Object.values(os.networkInterfaces()).flat().some((each) => each?.address === "::1")
  it.live.skipIf(!loopback6)("an IPv6 address is reached", () =>
    Effect.gen(function*() {
      const engine = yield* pretend({ address: "::1" })
      yield* checked({ DOCKER_HOST: engine.host })
      assert.isAbove(engine.heard.length, 0)
    }))

  const rubbish: Readonly<Record<string, string>> = {
    "unix://": "it names no path",
    "npipe://": "it names no path",
    "tcp://": "it is not an address of an engine",
    "tcp://host:99999": "it is not an address of an engine",
    "ftp://host": "it is not an address of an engine",
    "fd://": "it is not an address of an engine",
    "not an address": "it is not an address of an engine",
    "tcp://[rubbish": "it is not an address of an engine",
    "ssh://host": "ssh is not supported yet",
    "ssh://": "ssh is not supported yet"
  }
  for (const [host, fault] of Object.entries(rubbish)) {
    it.effect(`${host}: ${fault}`, () =>
      Effect.gen(function*() {
        assert.include((yield* unavailable({ DOCKER_HOST: host })).message, `DOCKER_HOST: ${fault}`)
        assert.include((yield* unavailable({}, { host })).message, `the option \`host\`: ${fault}`)
      }))
  }

  const secretive = [
    "tcp://me:hunter2@127.0.0.1:1",
    "https://me:hunter2@127.0.0.1:1",
    "me:hunter2@127.0.0.1:1",
    "tcp://me:a/hunter2@127.0.0.1:1",
    "tcp://me:p@hunter2@127.0.0.1:1",
    "tcp://me:hunter2@127.0.0.1:99999",
    "ssh://me:hunter2@127.0.0.1",
    "ftp://me:hunter2@127.0.0.1",
    "me:hunter2@",
    "tcp://127.0.0.1:1?token=hunter2"
  ]
  for (const host of secretive) {
    it.live(`what stands before the @ of ${host} is never told`, () =>
      Effect.gen(function*() {
        const error = yield* unavailable({ DOCKER_HOST: host })
        for (const shown of [error.message, JSON.stringify(error), inspect(error, { depth: 9 }), String(error.stack)]) {
          assert.notInclude(shown, "hunter2")
        }
      }))
  }
})

describe("no engine", () => {
  it.live("a socket that is not there is told as such, with its address and what to do", () =>
    Effect.gen(function*() {
      const error = yield* unavailable({}, { host: `unix://${yield* temporaryFolder}/no.sock` })
      assert.strictEqual(error.detail, "there is no such socket")
      assert.match(error.address ?? "", /^unix:\/\/.*no\.sock$/)
      assert.include(error.advice, "DOCKER_HOST")
    }))

  it.live("a socket that nothing listens on, and a port that refuses", () =>
    Effect.gen(function*() {
      const socket = path.join(yield* temporaryFolder, "left.sock")
      // Made and left behind, as by an engine that was killed.
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
      // What is loaded for a first call has to be read by whoever owns it.
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
    "the usual sockets are all told, each with why, and what was passed over before them",
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
            why: "what listens there is not a Docker engine (status 200: <html>hello</html>)"
          },
          { address: `unix://${runtime}/docker.sock`, why: "there is no such socket" }
        ])
        for (const { address, why } of error.candidates ?? []) assert.include(error.message, `${address}: ${why}`)
      })
  )

  it.live("the layer is built all the same, and every method says where it looked", () =>
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
    "a page": [text(200, "<html>hello</html>"), /not a Docker engine \(status 200: <html>hello<\/html>\)/],
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
        assert.deepStrictEqual(engine.told(), ["GET /version"])
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
        assert.deepStrictEqual(engine.told(), ["GET /version"])
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
        assert.deepStrictEqual(engine.heard.map(({ version }) => version), [undefined, spoken, spoken])
      }))
  }

  it.live("what answered once and then refuses its ping is unavailable, with its address", () =>
    Effect.gen(function*() {
      const engine = yield* pretend({
        script: ({ path }) => path === "/_ping" ? refusal(500, "going down") : undefined
      })
      const error = yield* unavailable({}, { host: engine.host })
      assert.instanceOf(error, ProviderUnavailable)
      assert.include(error.message, "going down")
      assert.strictEqual(error.address, engine.host)
    }))
})
