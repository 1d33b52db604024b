/** Creates that are refused, collide, fail, are interrupted, or whose process is killed: what is there afterwards. */
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import * as Docker from "kubelayer/layers/Docker"
import type { OperationEvent } from "kubelayer/Progress"
import { FaultProxy } from "kubelayer/testing"
import { spawn } from "node:child_process"
import { fileURLToPath } from "node:url"
import { docker, listening, nodes } from "./support/docker.ts"
import {
  container,
  engineHost,
  everythingOf,
  inspect,
  network,
  newCluster,
  remove,
  states,
  volume
} from "./support/engine.ts"
import { failing, problems, told } from "./support/told.ts"

const specOf = (cluster: string, workers = 1): Docker.DockerClusterSpec => ({
  cluster,
  controlPlanes: 1,
  workers,
  nodes,
  volumes: [{ name: "data" }]
})

const running = (c: string, workers = 1) =>
  [`${c}-control-plane`, ...Array.from({ length: workers }, (_, index) => `${c}-worker${index === 0 ? "" : index + 1}`)]
    .map((name) => `${name} running`)

const complete = (c: string, workers = 1) => [
  ...running(c, workers).map((line) => `container ${line.replace(" running", "")}`),
  `network kubelayer-${c}`,
  `volume ${c}-data`
]

const ids = (c: string) =>
  Effect.forEach([`${c}-control-plane`, `${c}-worker`], (name) => Effect.map(inspect(name), ({ Id }) => Id))

describe.concurrent("a name that is used by something else", () => {
  const held: ReadonlyArray<{
    readonly what: string
    readonly by: string
    readonly hold: (c: string) => Effect.Effect<unknown, unknown, Scope.Scope>
  }> = [
    { what: "container", by: "something without an owner label", hold: (c) => container(`${c}-worker`) },
    {
      what: "container",
      by: "kind cluster other",
      hold: (c) => container(`${c}-worker`, { labels: { "io.x-k8s.kind.cluster": "other" } })
    },
    {
      what: "network",
      by: "compose project p",
      hold: (c) => network(`kubelayer-${c}`, { "com.docker.compose.project": "p" })
    },
    { what: "volume", by: "something without an owner label", hold: (c) => volume(`${c}-data`) }
  ]
  for (const { by, hold, what } of held) {
    it.live(`fails with NameTaken and leaves the ${what} of ${by} as it is`, () =>
      Effect.gen(function*() {
        const service = yield* Docker.Docker
        const c = yield* newCluster()
        yield* hold(c)
        const before = yield* everythingOf(c)
        const error = yield* failing("BackendError", service.createNodes(specOf(c)))
        assert.strictEqual(error.reason._tag, "NameTaken")
        assert.include(error.message, by)
        assert.include(error.message, before[0]?.replace(/^\w+ /, "") ?? "")
        assert.deepStrictEqual(yield* everythingOf(c), before)
      }).pipe(Effect.scoped, Effect.provide(docker())))
  }
})

describe.concurrent("an image that does not exist", () => {
  it.live("fails before anything is created, both when a pull is not allowed and when it fails", () =>
    Effect.gen(function*() {
      const service = yield* Docker.Docker
      const c = yield* newCluster()
      const absent = "localhost:1/kubelayer/absent:1"
      const make = (pull: "never" | "missing" | "always") =>
        failing("BackendError", service.createNodes({ ...specOf(c), nodes: { image: absent, pull } }))
      const never = yield* make("never")
      assert.strictEqual(never.reason._tag, "NotFoundError")
      assert.include(never.message, absent)
      for (const pull of ["missing", "always"] as const) assert.include((yield* make(pull)).message, absent)
      assert.deepStrictEqual(yield* everythingOf(c), [])
    }).pipe(Effect.scoped, Effect.provide(docker())))
})

describe.concurrent("the same create twice at once", () => {
  const twice = (layers: readonly [Docker.DockerService, Docker.DockerService]) =>
    Effect.gen(function*() {
      const c = yield* newCluster()
      const reports = yield* Effect.forEach(layers, (layer) => layer.createNodes(specOf(c, 2)), { concurrency: 2 })
      assert.deepStrictEqual(yield* states("kubelayer.cluster", c), running(c, 2))
      assert.deepStrictEqual(yield* everythingOf(c), complete(c, 2))
      for (const name of complete(c, 2).map((line) => line.replace(/^\w+ /, ""))) {
        assert.include(reports.map((report) => told(report)[name]), "Done", name)
      }
    })

  it.live("makes one cluster, through one layer", () =>
    Effect.gen(function*() {
      const service = yield* Docker.Docker
      yield* twice([service, service])
    }).pipe(Effect.scoped, Effect.provide(docker())))

  it.live("makes one cluster, through two", () =>
    Effect.gen(function*() {
      yield* twice([yield* Docker.make({ host: engineHost }), yield* Docker.make({ host: engineHost })])
    }).pipe(Effect.scoped))
})

const isSent = (event: OperationEvent, kind: string, call: string) =>
  event._tag === "Sent" && event.subject.kind === kind && event.call === call

const cannotRun: Docker.NodeSpec = { entrypoint: ["/no/such/program"] }

describe.concurrent("a create that fails", () => {
  it.live("leaves nothing, and says which node it was and why", () =>
    Effect.gen(function*() {
      const service = yield* Docker.Docker
      const c = yield* newCluster()
      const spec = { ...specOf(c, 2), worker: cannotRun }
      const { leftovers, report } = yield* failing("NodesNotCreated", service.createNodes(spec))
      assert.deepStrictEqual(told(report), {
        [`kubelayer-${c}`]: "RolledBack",
        [`${c}-data`]: "RolledBack",
        [`${c}-control-plane`]: "RolledBack",
        [`${c}-worker`]: "Failed",
        [`${c}-worker2`]: "Failed"
      })
      assert.include(problems(report)[`${c}-worker`], "/no/such/program")
      assert.deepStrictEqual(leftovers, [])
      assert.deepStrictEqual(yield* everythingOf(c), [])
    }).pipe(Effect.scoped, Effect.provide(docker())))

  it.live("keeps and reports what it created with onFailure keep, and deleteNodes removes it", () =>
    Effect.gen(function*() {
      const service = yield* Docker.Docker
      const c = yield* newCluster()
      const spec = { ...specOf(c), worker: cannotRun, onFailure: "keep" as const }
      const { leftovers } = yield* failing("NodesNotCreated", service.createNodes(spec))
      const kept = leftovers.map((left) => `${left.kind === "node" ? "container" : left.kind} ${left.name}`)
      assert.deepStrictEqual(kept.toSorted(), complete(c))
      assert.deepStrictEqual(yield* everythingOf(c), complete(c))
      assert.deepStrictEqual(yield* states("kubelayer.cluster", c), [
        `${c}-control-plane running`,
        `${c}-worker created`
      ])
      yield* service.provider.deleteNodes(c)
      assert.deepStrictEqual(yield* everythingOf(c), [])
    }).pipe(Effect.scoped, Effect.provide(docker())))

  it.live("because somebody removed a node before its start, leaves nothing", () =>
    Effect.gen(function*() {
      const service = yield* Docker.Docker
      const c = yield* newCluster()
      const { listen } = listening((event) =>
        isSent(event, "node", "start") && event.subject.name === `${c}-worker`
          ? Effect.orDie(Effect.asVoid(remove(`${c}-worker`)))
          : Effect.void
      )
      const { report } = yield* failing("NodesNotCreated", listen(service.createNodes(specOf(c))))
      assert.strictEqual(told(report)[`${c}-worker`], "Failed")
      assert.deepStrictEqual(yield* everythingOf(c), [])
    }).pipe(Effect.scoped, Effect.provide(docker())))
})

describe.concurrent("a create that is interrupted", () => {
  const moments: ReadonlyArray<readonly [name: string, isIt: (event: OperationEvent) => boolean]> = [
    ["its network is made", (event) => isSent(event, "network", "create")],
    ["its volume is made", (event) => isSent(event, "volume", "create")],
    ["its first node is made", (event) => isSent(event, "node", "create")],
    ["its first node is started", (event) => isSent(event, "node", "start")],
    ["its workers are started", (event) => isSent(event, "node", "start") && event.subject.name.endsWith("worker2")],
    ["a node has been started", (event) => event._tag === "Settled" && event.subject.kind === "node"]
  ]
  for (const [name, isIt] of moments) {
    it.live(`leaves nothing: when ${name}`, () =>
      Effect.gen(function*() {
        const service = yield* Docker.Docker
        const c = yield* newCluster()
        const there = yield* Deferred.make<void>()
        const { listen } = listening((event) =>
          // Once: an operation waits for who listens, and so does its clean-up.
          isIt(event) && !Deferred.isDoneUnsafe(there)
            ? Effect.andThen(Deferred.succeed(there, undefined), Effect.never)
            : Effect.void
        )
        const fiber = yield* Effect.forkChild(listen(service.createNodes(specOf(c, 2))))
        yield* Effect.raceFirst(Deferred.await(there), Effect.andThen(Fiber.await(fiber), Effect.die("it has ended")))
        yield* Fiber.interrupt(fiber)
        assert.deepStrictEqual(yield* everythingOf(c), [])
      }).pipe(Effect.scoped, Effect.provide(docker())))
  }

  for (const call of ["/networks/create", "/volumes/create", "/containers/create"]) {
    it.live(`leaves nothing that the engine makes only afterwards: POST ${call}`, () =>
      Effect.gen(function*() {
        const proxy = yield* FaultProxy.make({ target: engineHost })
        const service = yield* Docker.make({ host: proxy.host })
        const c = yield* newCluster()
        const there = yield* Deferred.make<void>()
        yield* proxy.follow(({ method, template }) => {
          if (method !== "POST" || template !== call) return undefined
          Deferred.doneUnsafe(there, Effect.void)
          return { _tag: "Delay", millis: 700 }
        })
        const fiber = yield* Effect.forkChild(service.createNodes(specOf(c)))
        yield* Deferred.await(there)
        yield* Fiber.interrupt(fiber)
        yield* proxy.idle
        assert.deepStrictEqual(yield* everythingOf(c), [])
      }).pipe(Effect.scoped))
  }
})

describe.concurrent("a create whose process is killed", () => {
  const maker = fileURLToPath(new URL("./support/makeAndHang.ts", import.meta.url))

  /** Kills a real process that is in the middle of a create, so that nobody cleans up. */
  const killedAt = (spec: Docker.DockerClusterSpec, call: "create" | "start", count: number) =>
    Effect.callback<void, Error>((resume) => {
      const child = spawn(process.execPath, [maker, engineHost, JSON.stringify(spec), call, String(count)], {
        stdio: ["ignore", "pipe", "inherit"]
      })
      child.stdout.on("data", () => child.kill("SIGKILL"))
      child.on(
        "exit",
        (_code, signal) =>
          resume(signal === "SIGKILL" ? Effect.void : Effect.fail(new Error("the process ended by itself")))
      )
      return Effect.sync(() => child.kill("SIGKILL"))
    })

  for (
    const [name, call, count, containers] of [
      ["when its second node is made", "create", 2, 1],
      ["when its second node is started", "start", 2, 2]
    ] as const
  ) {
    it.live(`is finished by the next one: ${name}`, () =>
      Effect.gen(function*() {
        const service = yield* Docker.Docker
        const c = yield* newCluster()
        yield* killedAt(specOf(c), call, count)
        const before = yield* states("kubelayer.cluster", c)
        assert.lengthOf(before, containers)
        const found = yield* inspect(before[0]?.split(" ")[0] ?? "")
        yield* service.createNodes(specOf(c))
        assert.deepStrictEqual(yield* states("kubelayer.cluster", c), running(c))
        assert.deepStrictEqual(yield* everythingOf(c), complete(c))
        assert.include(yield* ids(c), found.Id)
      }).pipe(Effect.scoped, Effect.provide(docker())))

    it.live(`is removed by deleteNodes: ${name}`, () =>
      Effect.gen(function*() {
        const service = yield* Docker.Docker
        const c = yield* newCluster()
        yield* killedAt(specOf(c), call, count)
        assert.lengthOf(yield* everythingOf(c), containers + 2)
        yield* service.provider.deleteNodes(c)
        assert.deepStrictEqual(yield* everythingOf(c), [])
      }).pipe(Effect.scoped, Effect.provide(docker())))
  }
})

describe.concurrent("createNodesScoped", () => {
  it.live("has the cluster as long as its scope is open, whatever ends it", () =>
    Effect.gen(function*() {
      const service = yield* Docker.Docker
      const c = yield* newCluster()
      const inside = Effect.andThen(service.createNodesScoped(specOf(c)), everythingOf(c))
      const failure = yield* Effect.flip(Effect.scoped(Effect.flatMap(inside, (there) => Effect.fail(there))))
      assert.deepStrictEqual(failure, complete(c))
      assert.deepStrictEqual(yield* everythingOf(c), [])
    }).pipe(Effect.scoped, Effect.provide(docker())))
})
