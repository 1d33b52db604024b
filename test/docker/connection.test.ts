/** How an engine is found, in the docker CLI's order: options, variables, contexts, sockets; and its address. */
import { assert, describe, it } from "@effect/vitest"
import Modem from "docker-modem"
import * as Effect from "effect/Effect"
import * as DockerClient from "kubelayer/layers/DockerClient"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { inspect } from "node:util"
import { resolve } from "../../src/docker/Connection.ts"
import { modemFields } from "../../src/docker/Transport.ts"
import { asked, checked, type Env, serviceIn, systemSocket, twoEngines, unavailable } from "./support/connecting.ts"
import { converse, json, temporaryFolder, text } from "./support/Conversation.ts"
import { type Home, makeHome } from "./support/home.ts"
import { pretend } from "./support/pretend.ts"

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

  // An engine at the first of the usual sockets hides the others, so this test needs a system without one.
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

  it.live.skipIf(systemSocket)(
    "Podman's sockets are tried last, and named where none answers (P16)",
    () =>
      Effect.gen(function*() {
        const home = yield* makeHome
        const runtime = yield* temporaryFolder
        const env = { HOME: home.path, XDG_RUNTIME_DIR: runtime }
        const { candidates = [] } = yield* unavailable(env)
        assert.deepStrictEqual(candidates.slice(-2).map(({ address }) => address), [
          "unix:///run/podman/podman.sock",
          `unix://${path.join(runtime, "podman/podman.sock")}`
        ])
        fs.mkdirSync(path.join(runtime, "podman"))
        const podman = yield* pretend({ socket: path.join(runtime, "podman/podman.sock") })
        yield* checked(env)
        assert.isAbove(podman.heard.length, 0)
        const before = podman.heard.length
        const docker = yield* pretend({ socket: path.join(runtime, "docker.sock") })
        yield* checked(env)
        assert.isAbove(docker.heard.length, 0)
        assert.strictEqual(podman.heard.length, before)
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
      assert.deepStrictEqual([unix.told(), tcp.told()], [["GET /_ping", "GET /_ping"], [
        "GET /_ping",
        "GET /_ping"
      ]])
      // dockerode itself reads none of them either.
      const docker = yield* serviceIn({}, { host: unix.host })
      yield* DockerClient.use(docker, (dockerode) => dockerode.ping())
      assert.deepStrictEqual(unix.told().slice(2), ["GET /_ping", "GET /_ping"])
      assert.strictEqual(process.env["DOCKER_HOST"], rubbish["DOCKER_HOST"])
    }))
})

describe("dockerode's modem", () => {
  it("is given every field that its constructor sets", () => {
    const endpoint = { address: "unix:///x.sock", skipVerify: false, options: { socketPath: "/x.sock" } }
    const constructed = new Modem({ socketPath: "/x.sock" }) as object
    assert.sameMembers(Object.keys(modemFields(endpoint, {})), Object.keys(constructed))
  })
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

  it.live("spaces around an address do not count, nor do those around a variable (D8)", () =>
    Effect.gen(function*() {
      const unix = yield* pretend()
      const tcp = yield* pretend({ address: "127.0.0.1" })
      for (const host of [` ${unix.host}`, `${unix.host} `, `\t${tcp.host}\n`]) {
        yield* checked({ DOCKER_HOST: host })
        yield* checked({}, { host })
      }
      assert.deepStrictEqual([unix.heard.length, tcp.heard.length], [8, 4])
    }))

  it.live("a path after the port is in front of every request (D8)", () =>
    Effect.gen(function*() {
      const heard: Array<string> = []
      const engine = yield* converse(({ path }) => {
        heard.push(path)
        return path.endsWith("/_ping") ? text(200, "OK", { "Api-Version": "1.41" }) : json([])
      }, { address: "127.0.0.1" })
      const docker = yield* serviceIn({ DOCKER_HOST: `${engine.host}/some/prefix/` })
      yield* docker.provider.listNodes("dev")
      yield* DockerClient.use(docker, (dockerode) => dockerode.listContainers())
      assert.deepStrictEqual(heard, [
        "/some/prefix/_ping",
        "/some/prefix/v1.41/containers/json",
        "/some/prefix/v1.41/containers/json"
      ])
    }))

  it.live("an address without a host means this machine, one without a path the default socket (D8)", () =>
    Effect.gen(function*() {
      const engine = yield* pretend({ address: "127.0.0.1" })
      const port = engine.host.split(":").at(-1)
      yield* checked({ DOCKER_HOST: `tcp://:${port}` })
      assert.isAbove(engine.heard.length, 0)
      const endpoint = (host: string) =>
        Effect.map(resolve({}, { host }), ({ endpoints }) => endpoints.map(({ address }) => address))
      assert.deepStrictEqual(yield* endpoint("tcp://"), ["tcp://localhost:2375"])
      assert.deepStrictEqual(yield* endpoint("unix://"), ["unix:///var/run/docker.sock"])
    }))

  const loopback6 = Object.values(os.networkInterfaces()).flat().some((each) => each?.address === "::1")
  it.live.skipIf(!loopback6)("an IPv6 address is reached", () =>
    Effect.gen(function*() {
      const engine = yield* pretend({ address: "::1" })
      yield* checked({ DOCKER_HOST: engine.host })
      assert.isAbove(engine.heard.length, 0)
    }))

  const rubbish: Readonly<Record<string, string>> = {
    "tcp://host:99999": "it is not an address of an engine",
    "ftp://host": "it is not an address of an engine",
    "fd://": "it is not an address of an engine",
    "not an address": "it is not an address of an engine",
    "tcp://[rubbish": "it is not an address of an engine",
    "tcp://host:0": "it is not an address of an engine",
    "TCP://host:2375": "it is not an address of an engine",
    "/run/docker.sock": "it is a path, not an address of an engine",
    "unix:/run/docker.sock": "it is a path, not an address of an engine",
    "ssh://": "it has no host name",
    "ssh://me:word@host": "a password in an ssh address is not supported",
    "ssh://host?x=1": "an ssh address has nothing after the host and the socket",
    "ssh://-oProxyCommand=x": "it has no valid host name"
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
    it.live(`an error never shows the credentials in ${host}`, () =>
      Effect.gen(function*() {
        const error = yield* unavailable({ DOCKER_HOST: host })
        for (const shown of [error.message, JSON.stringify(error), inspect(error, { depth: 9 }), String(error.stack)]) {
          assert.notInclude(shown, "hunter2")
        }
      }))
  }
})
