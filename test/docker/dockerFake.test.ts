/** The fake engine beyond its API: its controls, its faults and the calls that count as violations. */
import { assert, describe } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Docker from "kubelayer/layers/Docker"
import { DockerFake } from "kubelayer/testing"
import * as http from "node:http"
import { SessionSource } from "../../src/internal/Session.ts"
import { it } from "../support/it.ts"
import { failureOf } from "./support/service.ts"

const image = "node:1"
const spec = { cluster: "dev", controlPlanes: 1, workers: 1 }

const onFake = Effect.fnUntraced(function*(options: DockerFake.Options = {}) {
  const fake = yield* DockerFake.make({ listen: "none", images: { [image]: {} }, ...options })
  const docker = yield* Effect.provide(Docker.make({ nodes: { image, pull: "never" } }), fake.transport)
  return { fake, docker }
})

interface Received {
  readonly status: number
  readonly body: unknown
}

/** One request beside the client of the library. */
const ask = (fake: DockerFake.DockerFakeService, method: string, target: string, body?: unknown) =>
  Effect.map(
    fake.answer({
      method,
      target,
      contentType: body === undefined ? undefined : "application/json",
      body: body === undefined ? "" : JSON.stringify(body)
    }),
    (answer): Received => {
      if (answer._tag !== "Reply") return { status: 0, body: undefined }
      const text = typeof answer.body === "string" ? answer.body : ""
      return { status: answer.status, body: text === "" ? undefined : JSON.parse(text) as unknown }
    }
  )

const node = (name: string, more: object = {}) => ({ Image: image, Hostname: name, ...more })

describe("networks and volumes", () => {
  it.simulated("a name that two networks have is ambiguous", () =>
    Effect.gen(function*() {
      const { fake } = yield* onFake()
      const ids = [yield* fake.seed.network({ name: "twice" }), yield* fake.seed.network({ name: "twice" })]
      const { body, status } = yield* ask(fake, "GET", "/networks/twice")
      assert.strictEqual(status, 400)
      assert.deepStrictEqual(body, { message: "network twice is ambiguous (2 matches found on name)" })
      assert.deepStrictEqual((yield* ask(fake, "GET", `/networks/${ids[1]}`)).status, 200)
    }))

  it.simulated("a full network refuses the next start, and a free address is given again", () =>
    Effect.gen(function*() {
      const { fake } = yield* onFake()
      yield* ask(fake, "POST", "/networks/create", { Name: "tiny", IPAM: { Config: [{ Subnet: "10.99.0.0/30" }] } })
      for (const name of ["one", "two"]) {
        yield* ask(fake, "POST", `/containers/create?name=${name}`, node(name, { HostConfig: { NetworkMode: "tiny" } }))
      }
      assert.strictEqual((yield* ask(fake, "POST", "/containers/one/start")).status, 204)
      const full = yield* ask(fake, "POST", "/containers/two/start")
      assert.strictEqual(full.status, 500)
      assert.deepStrictEqual(full.body, { message: "no available IPv4 addresses on this network's address pools" })
      yield* ask(fake, "POST", "/containers/one/stop")
      assert.strictEqual((yield* ask(fake, "POST", "/containers/two/start")).status, 204)
    }))

  it.simulated("networks without a subnet use the pools until none is free", () =>
    Effect.gen(function*() {
      const { fake } = yield* onFake({ addressPools: [{ base: "10.98.0.0/23", size: 24 }] })
      const statuses = yield* Effect.forEach(
        ["a", "b", "c"],
        (name) => Effect.map(ask(fake, "POST", "/networks/create", { Name: name }), ({ status }) => status)
      )
      assert.deepStrictEqual(statuses, [201, 201, 404])
    }))
})

describe("the same program, run twice with the same words", () => {
  const run = Effect.gen(function*() {
    const { docker, fake } = yield* onFake({ durations: { start: "270 millis", remove: "80 millis" } })
    yield* docker.createNodes(spec)
    yield* docker.provider.stopNodes("dev")
    yield* docker.addNodes("dev", { workers: 2 })
    yield* docker.provider.deleteNodes("dev")
    return (yield* fake.calls).map((call) => JSON.stringify(call))
  })
  let words = 0
  const seeded = SessionSource.of({
    randomWord: (length) => String(++words).padEnd(length, "x"),
    session: Effect.succeed("somewhere/1/0/simulated"),
    hasExited: () => Effect.succeed(false)
  })

  it.simulated("sends the same calls, in the same order", () =>
    Effect.gen(function*() {
      const once = Effect.suspend(() => {
        words = 0
        return Effect.provideService(run, SessionSource, seeded)
      })
      const first = yield* once
      assert.isAbove(first.length, 20)
      assert.deepStrictEqual(yield* once, first)
    }))
})

describe("time", () => {
  it.simulated("a stop that is aborted is completed by the engine, after the grace", () =>
    Effect.gen(function*() {
      const { docker, fake } = yield* onFake({ images: { [image]: { onTerm: "ignore" } } })
      yield* docker.createNodes({ ...spec, workers: 0 })
      const stop = yield* Effect.forkChild(ask(fake, "POST", "/containers/dev-control-plane/stop?t=20"))
      yield* Effect.sleep("5 seconds")
      yield* Fiber.interrupt(stop)
      const state = Effect.map(fake.state, ({ containers }) => containers[0])
      assert.strictEqual((yield* state)?.state, "running")
      yield* Effect.sleep("16 seconds")
      assert.deepStrictEqual([(yield* state)?.state, (yield* state)?.exitCode], ["exited", 137])
    }))

  it.simulated("durations and latency take the time of the Clock", () =>
    Effect.gen(function*() {
      const { docker } = yield* onFake({ durations: { start: "30 seconds" }, latency: "1 second" })
      const [taken] = yield* Effect.timed(docker.createNodes({ ...spec, workers: 0 }))
      assert.isAtLeast(Duration.toSeconds(taken), 31)
    }))
})

describe("faults", () => {
  it.simulated("a lost reply of a start leaves the node running, and the layer finds it so", () =>
    Effect.gen(function*() {
      const { docker, fake } = yield* onFake()
      yield* docker.createNodes(spec)
      yield* docker.provider.stopNodes("dev")
      yield* fake.fault({ on: /^POST \/containers\/\{id\}\/start$/, fault: { _tag: "CutAfter" } })
      const report = yield* docker.provider.startNodes("dev")
      assert.isFalse(report.isFailure)
      assert.deepStrictEqual((yield* fake.state).containers.map(({ state }) => state), ["running", "running"])
    }))

  it.simulated("an outage cuts what is open, and ends with its scope", () =>
    Effect.gen(function*() {
      const { docker, fake } = yield* onFake()
      yield* docker.createNodes(spec)
      yield* Effect.scoped(Effect.gen(function*() {
        yield* fake.outage
        assert.strictEqual((yield* failureOf(docker.provider.listNodes("dev")))._tag, "ProviderUnavailable")
      }))
      assert.lengthOf(yield* docker.provider.listNodes("dev"), 2)
    }))

  it.simulated("a refusal has the words, the status and the times of its rule", () =>
    Effect.gen(function*() {
      const { docker, fake } = yield* onFake()
      yield* docker.createNodes({ ...spec, workers: 0 })
      const undo = yield* fake.fault({
        on: ({ method }) => method === "GET",
        times: Infinity,
        fault: { _tag: "Refuse", status: 403, message: "the harness says no" }
      })
      assert.include((yield* failureOf(docker.provider.listNodes("dev"))).message, "the harness says no")
      yield* undo
      assert.lengthOf(yield* docker.provider.listNodes("dev"), 1)
    }))
})

describe("invalid requests", () => {
  it.simulated("an unknown call, query parameter or field of a create body is a violation", () =>
    Effect.gen(function*() {
      const { fake } = yield* onFake()
      yield* ask(fake, "GET", "/v1.41/nosuch")
      yield* ask(fake, "GET", "/v1.41/containers/json?al=true")
      const created = yield* ask(fake, "POST", "/v1.41/containers/create?name=dev", node("dev", { Nmae: "dev" }))
      assert.strictEqual(created.status, 201)
      assert.deepStrictEqual((yield* fake.violations).map(({ detail }) => detail), [
        "the API has no such call",
        "the call has no query parameter al",
        "the create body has no field Nmae"
      ])
    }))
})

describe("sockets", () => {
  const overHttp = (host: string): Effect.Effect<string> =>
    Effect.callback((resume) => {
      const at = host.startsWith("unix://")
        ? { socketPath: host.slice("unix://".length) }
        : { host: "127.0.0.1", port: Number(new URL(host).port) }
      http.get({ ...at, path: "/_ping", agent: false }, (response) => {
        response.resume()
        response.on("end", () => resume(Effect.succeed(String(response.headers["api-version"]))))
      })
    })

  for (const listen of ["unix", "tcp"] as const) {
    it.live(`the engine listens on ${listen}, and the layer works through it`, () =>
      Effect.scoped(Effect.gen(function*() {
        const fake = yield* DockerFake.make({ listen, images: { [image]: {} } })
        assert.strictEqual(yield* overHttp(fake.host), "1.41")
        const docker = yield* Docker.make({ host: fake.host, nodes: { image, pull: "never" } })
        yield* docker.createNodes(spec)
        assert.deepStrictEqual((yield* docker.provider.listNodes("dev")).map(({ state }) => state), [
          "running",
          "running"
        ])
        yield* docker.provider.deleteNodes("dev")
        assert.deepStrictEqual((yield* fake.state).containers, [])
        assert.deepStrictEqual(yield* fake.violations, [])
      })))
  }
})
