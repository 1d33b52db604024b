/** Docker's methods beyond start and stop, on the fake engine: addNodes, deleteNodes, logs, exec, sweep. */
import { assert, describe } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Docker from "kubelayer/layers/Docker"
import { DockerFake } from "kubelayer/testing"
import { SessionSource } from "../../src/internal/Session.ts"
import { it } from "../support/it.ts"
import { told } from "./support/told.ts"

const image = "node:1"

/** The layer on a fake engine of its own. */
const onFake = Effect.fnUntraced(function*(options: DockerFake.Options = {}, layer: Docker.Options = {}) {
  const fake = yield* DockerFake.make({ listen: "none", images: { [image]: {} }, ...options })
  const docker = yield* Effect.provide(
    Docker.make({ nodes: { image, pull: "never" }, ...layer }),
    fake.transport
  )
  return { fake, docker }
})

const engines = [
  { flavor: "docker", version: "20.10.24" },
  { flavor: "docker", version: "29.0.0" },
  { flavor: "podman", version: "4.3.1" },
  { flavor: "podman", version: "5.8.2" }
] as const

const spec = { cluster: "dev", controlPlanes: 1, workers: 2 }

for (const engine of engines) {
  describe(`nodes on ${engine.flavor} ${engine.version}`, () => {
    it.simulated("addNodes takes the first free names and addresses", () =>
      Effect.gen(function*() {
        const { docker, fake } = yield* onFake(engine)
        yield* docker.createNodes(spec)
        yield* docker.removeNodes("dev", ["dev-worker"])
        assert.deepStrictEqual(told(yield* docker.addNodes("dev", { workers: 2 })), {
          "kubelayer-dev": "AlreadyDone",
          "dev-worker": "Done",
          "dev-worker3": "Done"
        })
        const { containers } = yield* fake.state
        assert.deepStrictEqual(
          containers.map(({ name, networks, state }) => `${name} ${state} ${networks["kubelayer-dev"]}`).sort(),
          [
            "dev-control-plane running 10.89.0.2",
            "dev-worker running 10.89.0.3",
            "dev-worker2 running 10.89.0.4",
            "dev-worker3 running 10.89.0.5"
          ]
        )
        assert.deepStrictEqual(yield* fake.violations, [])
      }))

    it.simulated("deleteNodes removes the nodes with their network and volumes", () =>
      Effect.gen(function*() {
        const { docker, fake } = yield* onFake(engine)
        const volumes = [{ name: "data" }]
        yield* docker.createNodes({ ...spec, volumes, nodes: { volumes: [{ name: "data", target: "/data" }] } })
        yield* docker.provider.deleteNodes("dev")
        const { containers, networks, volumes: left } = yield* fake.state
        assert.deepStrictEqual([containers, networks.filter(({ isPredefined }) => !isPredefined), left], [[], [], []])
        assert.deepStrictEqual(yield* fake.violations, [])
      }))

    it.simulated("logs follow a node over a restart, without losing or doubling a line", () =>
      Effect.gen(function*() {
        const { docker } = yield* onFake({ ...engine, images: { [image]: { logs: ["one", "two"] } } })
        yield* docker.createNodes({ ...spec, workers: 0 })
        const follower = yield* docker.logs("dev", "dev-control-plane", { follow: true }).pipe(
          Stream.take(4),
          Stream.runCollect,
          Effect.forkChild
        )
        yield* Effect.sleep("2 seconds")
        yield* docker.provider.stopNodes("dev")
        yield* docker.provider.startNodes("dev")
        const lines = yield* Fiber.join(follower)
        assert.deepStrictEqual(lines.map(({ text }) => text), ["one", "two", "one", "two"])
      }))

    it.simulated("exec gives both outputs and, last, the exit code", () =>
      Effect.gen(function*() {
        const { docker, fake } = yield* onFake({
          ...engine,
          exec: ({ command }) => ({
            output: [{ text: "out\n" }, { stream: "stderr", text: `${command.join(" ")}\n`, afterMillis: 300 }],
            exitCode: 7
          })
        })
        yield* docker.createNodes({ ...spec, workers: 0 })
        const events = yield* Stream.runCollect(
          docker.exec("dev", "dev-control-plane", { command: ["kubeadm", "token"] })
        )
        const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes)
        assert.deepStrictEqual(
          events.map((event) =>
            event.source === "exit" ? `exit ${event.code}` : `${event.source} ${text(event.bytes)}`
          ),
          ["stdout out\n", "stderr kubeadm token\n", "exit 7"]
        )
        assert.deepStrictEqual(yield* fake.violations, [])
      }))
  })
}

describe("sweep on the fake engine", () => {
  /** A simulated process. It has exited if `exited` has its nonce. */
  const processes = (exited: ReadonlySet<string>) => (nonce: string) => {
    let words = 0
    return SessionSource.of({
      randomWord: (length) => `${nonce}${++words}`.padEnd(length, "x"),
      session: Effect.succeed(`somewhere/1/0/${nonce}`),
      hasExited: (session) => Effect.sync(() => exited.has(session.nonce))
    })
  }

  it.simulated("removes what an exited process created, and nothing of one that runs", () =>
    Effect.gen(function*() {
      const { docker, fake } = yield* onFake()
      const exited = new Set<string>()
      const as = processes(exited)
      const forever = yield* Scope.make()
      const create = (cluster: string, nonce: string) =>
        docker.createNodesScoped({ cluster, controlPlanes: 1, workers: 1 }).pipe(
          Effect.provideService(SessionSource, as(nonce)),
          Effect.provideService(Scope.Scope, forever)
        )
      yield* create("alive", "alive")
      yield* create("gone", "gone")
      const sweep = (remove: boolean) =>
        Effect.map(
          Effect.provideService(docker.sweep({ olderThan: 0, remove }), SessionSource, as("sweeper")),
          (orphans) => orphans.map(({ name }) => name).sort()
        )
      yield* Effect.sleep("1 minute")
      assert.deepStrictEqual(yield* sweep(false), [])
      exited.add("gone")
      const orphans = ["gone-control-plane", "gone-worker", "kubelayer-gone"]
      assert.deepStrictEqual(yield* sweep(false), orphans)
      assert.deepStrictEqual(yield* sweep(true), orphans)
      const { containers, networks } = yield* fake.state
      assert.deepStrictEqual(containers.map(({ name }) => name).sort(), ["alive-control-plane", "alive-worker"])
      assert.deepStrictEqual(networks.filter(({ isPredefined }) => !isPredefined).map(({ name }) => name), [
        "kubelayer-alive"
      ])
      assert.deepStrictEqual(
        containers.map(({ labels }) => labels["kubelayer.session"]),
        ["somewhere/1/0/alive", "somewhere/1/0/alive"]
      )
    }))
})
