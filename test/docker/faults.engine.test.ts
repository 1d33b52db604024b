/** Starts, stops and deletes in which something goes wrong, as it does on a real engine. */
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Docker from "kubelayer/layers/Docker"
import { docker, listening } from "./support/docker.ts"
import {
  ask,
  container,
  containers,
  everythingOf,
  inspect,
  nameOf,
  newCluster,
  pause,
  remove,
  start,
  states
} from "./support/engine.ts"
import { freePort } from "./support/port.ts"
import { failing, problems, told } from "./support/told.ts"

const label = "kubelayer.cluster"
const labels = (cluster: string, role: "control-plane" | "worker") => ({ [label]: cluster, "kubelayer.role": role })

type Made = Parameters<typeof container>[1]

/** Creates a control plane and workers without kubelayer, each with the given options. Nothing is started. */
const cluster = Effect.fnUntraced(function*(controlPlane: Made = {}, ...workers: ReadonlyArray<Made>) {
  const c = yield* newCluster()
  yield* container(`${c}-control-plane`, { ...controlPlane, labels: labels(c, "control-plane") })
  for (const [index, worker] of workers.entries()) {
    yield* container(`${c}-worker${index + 1}`, { ...worker, labels: labels(c, "worker") })
  }
  return c
})

const startAll = (c: string) =>
  Effect.flatMap(
    containers,
    (all) =>
      Effect.forEach(all.filter((each) => each.Labels[label] === c), (each) => start(each.Id), { concurrency: 4 })
  )

const publishing = (port: number) => ({
  network: "bridge",
  ports: { "80/tcp": [{ HostIp: "127.0.0.1", HostPort: String(port) }] }
})

describe.concurrent("startNodes", () => {
  it.live("wakes a node that is paused, and stopNodes stops one", () =>
    Effect.gen(function*() {
      const service = yield* Docker.Docker
      const c = yield* cluster({}, {})
      yield* startAll(c)
      yield* pause(`${c}-worker1`)
      assert.strictEqual((yield* service.provider.listNodes(c))[1]?.state, "stopped")
      assert.deepStrictEqual(told(yield* service.provider.startNodes(c)), {
        [`${c}-control-plane`]: "AlreadyDone",
        [`${c}-worker1`]: "Done"
      })
      assert.strictEqual((yield* inspect(`${c}-worker1`)).State.Status, "running")
      yield* pause(`${c}-worker1`)
      assert.strictEqual(told(yield* service.provider.stopNodes(c))[`${c}-worker1`], "Done")
      assert.strictEqual((yield* inspect(`${c}-worker1`)).State.Status, "exited")
    }).pipe(Effect.scoped, Effect.provide(docker())))

  it.live("starts the others where a port is taken, says which port, and does the rest when it is free", () =>
    Effect.gen(function*() {
      const service = yield* Docker.Docker
      const port = yield* freePort
      const c = yield* cluster({}, publishing(port), {})
      yield* container(`${c}.foreign`, publishing(port))
      yield* start(`${c}.foreign`)

      const { reasons, report } = yield* failing("NodesFailed", service.provider.startNodes(c))
      assert.deepStrictEqual(told(report), {
        [`${c}-control-plane`]: "Done",
        [`${c}-worker1`]: "Failed",
        [`${c}-worker2`]: "Done"
      })
      assert.deepStrictEqual(reasons.map((reason) => reason._tag), ["InUse"])
      assert.include(problems(report)[`${c}-worker1`], String(port))

      yield* remove(`${c}.foreign`)
      assert.deepStrictEqual(told(yield* service.provider.startNodes(c)), {
        [`${c}-control-plane`]: "AlreadyDone",
        [`${c}-worker1`]: "Done",
        [`${c}-worker2`]: "AlreadyDone"
      })
    }).pipe(Effect.scoped, Effect.provide(docker())))

  it.live("reports a node that somebody removes when it has been started", () =>
    Effect.gen(function*() {
      const service = yield* Docker.Docker
      const c = yield* cluster({}, {})
      const { listen } = listening((event) =>
        event._tag === "Settled" && event.subject.name === `${c}-control-plane` && event.outcome._tag === "Done"
          ? Effect.orDie(Effect.asVoid(remove(`${c}-control-plane`)))
          : Effect.void
      )
      const { reasons, report } = yield* failing("NodesFailed", listen(service.provider.startNodes(c)))
      assert.deepStrictEqual(told(report), { [`${c}-control-plane`]: "Failed", [`${c}-worker1`]: "Done" })
      assert.deepStrictEqual(reasons.map((reason) => reason._tag), ["NotFoundError"])
    }).pipe(Effect.scoped, Effect.provide(docker())))
})

// Not concurrent: on a busy processor, the engine reports the exit of a process late.
describe("a node that exits right after its start", () => {
  it.live("is reported with its exit code, also where nothing comes after it", () =>
    Effect.gen(function*() {
      const service = yield* Docker.Docker
      const c = yield* cluster({}, { init: "exits" }, {})
      const { report } = yield* failing("NodesFailed", service.provider.startNodes(c))
      assert.deepStrictEqual(told(report), {
        [`${c}-control-plane`]: "Done",
        [`${c}-worker1`]: "Failed",
        [`${c}-worker2`]: "Done"
      })
      assert.include(problems(report)[`${c}-worker1`], "exit code 3")
      const alone = yield* cluster({ init: "exits" })
      const last = yield* failing("NodesFailed", service.provider.startNodes(alone))
      assert.include(problems(last.report)[`${alone}-control-plane`], "exit code 3")
    }).pipe(Effect.scoped, Effect.provide(docker())))
})

describe.concurrent("stopNodes", () => {
  it.live("waits for nodes that ignore SIGTERM once a wave, not once a node", () =>
    Effect.gen(function*() {
      const service = yield* Docker.Docker
      const c = yield* newCluster()
      const grace = 3
      const deaf = (name: string, role: "control-plane" | "worker") =>
        ask("POST", `/containers/create?name=${c}-${name}`, {
          Image: "kubelayer-node:deaf",
          Labels: labels(c, role),
          StopTimeout: grace,
          HostConfig: { NetworkMode: "none" }
        })
      yield* deaf("control-plane", "control-plane")
      for (let index = 1; index <= 7; index++) yield* deaf(`worker${index}`, "worker")
      yield* startAll(c)
      const began = yield* Clock.currentTimeMillis
      const report = yield* service.provider.stopNodes(c)
      const seconds = ((yield* Clock.currentTimeMillis) - began) / 1000
      assert.lengthOf(report.done, 8)
      assert.isTrue((yield* states(label, c)).every((line) => line.endsWith(" exited")))
      // Two waves; one after the other they would take eight times their grace.
      assert.isAtLeast(seconds, 2 * grace)
      assert.isBelow(seconds, 4 * grace)
    }).pipe(Effect.scoped, Effect.provide(docker())))
})

describe.concurrent("deleteNodes", () => {
  it.live("succeeds twice at once", () =>
    Effect.gen(function*() {
      const service = yield* Docker.Docker
      const c = yield* newCluster()
      yield* service.createNodes({ cluster: c, controlPlanes: 1, workers: 3, volumes: [{ name: "data" }] })
      const reports = yield* Effect.all([service.provider.deleteNodes(c), service.provider.deleteNodes(c)], {
        concurrency: 2
      })
      for (const name of [`${c}-control-plane`, `${c}-worker`, `${c}-worker2`, `${c}-worker3`]) {
        assert.include(reports.map((report) => told(report)[name]), "Done")
      }
      assert.deepStrictEqual(yield* everythingOf(c), [])
    }).pipe(Effect.scoped, Effect.provide(docker())))

  it.live("removes the network and the volumes of a cluster whose nodes others have removed", () =>
    Effect.gen(function*() {
      const service = yield* Docker.Docker
      const c = yield* newCluster()
      yield* service.createNodes({
        cluster: c,
        controlPlanes: 1,
        workers: 1,
        volumes: [{ name: "data" }, { name: "own", perNode: true }],
        worker: { volumes: [{ name: "own", target: "/own" }] }
      })
      for (const node of ["control-plane", "worker"]) yield* remove(`${c}-${node}`)
      assert.isFalse(yield* service.provider.nodesExist(c))
      const left = [`${c}-data`, `${c}-worker-own`, `kubelayer-${c}`]
      assert.sameMembers((yield* service.resources(c)).map(({ name }) => name), left)
      assert.deepStrictEqual(
        told(yield* service.provider.deleteNodes(c)),
        Object.fromEntries(left.map((name) => [name, "Done"]))
      )
      assert.deepStrictEqual(yield* everythingOf(c), [])
      assert.deepStrictEqual(told(yield* service.provider.deleteNodes(c)), {})
    }).pipe(Effect.scoped, Effect.provide(docker())))

  it.live("skips a network and a volume that other containers use, running or not, and names the containers", () =>
    Effect.gen(function*() {
      const service = yield* Docker.Docker
      const c = yield* newCluster()
      yield* service.createNodes({ cluster: c, controlPlanes: 1, workers: 0, volumes: [{ name: "data" }] })
      const networked = yield* container(`${c}.networked`, { network: `kubelayer-${c}` })
      const mounting = yield* container(`${c}.mounting`, {
        binds: [`${c}-data:/data`],
        labels: { "com.docker.compose.project": "theirs" }
      })
      const report = yield* service.provider.deleteNodes(c)
      assert.deepStrictEqual(told(report), {
        [`${c}-control-plane`]: "Done",
        [`kubelayer-${c}`]: "Skipped",
        [`${c}-data`]: "Skipped"
      })
      assert.include(problems(report)[`kubelayer-${c}`], `${c}.networked`)
      assert.include(problems(report)[`${c}-data`], `${c}.mounting`)
      assert.include(problems(report)[`${c}-data`], "theirs")
      const left = [
        `container ${c}.mounting`,
        `container ${c}.networked`,
        `network kubelayer-${c}`,
        `volume ${c}-data`
      ]
      assert.deepStrictEqual(yield* everythingOf(c), left)
      // The stopped one can still be started, which it could not without its network.
      yield* start(networked)
      assert.strictEqual(told(yield* service.provider.deleteNodes(c))[`kubelayer-${c}`], "Skipped")

      yield* Effect.forEach([networked, mounting], remove)
      yield* service.provider.deleteNodes(c)
      assert.deepStrictEqual(yield* everythingOf(c), [])
    }).pipe(Effect.scoped, Effect.provide(docker())))

  it.live("succeeds when a node is removed in the meantime, and when nodes are paused or only created", () =>
    Effect.gen(function*() {
      const service = yield* Docker.Docker
      const c = yield* cluster({}, {}, {})
      yield* start(`${c}-worker1`)
      yield* pause(`${c}-worker1`)
      const { listen } = listening((event) =>
        event._tag === "Scheduled" && event.subject.name === `${c}-worker2`
          ? Effect.orDie(Effect.asVoid(remove(`${c}-worker2`)))
          : Effect.void
      )
      assert.deepStrictEqual(told(yield* listen(service.provider.deleteNodes(c))), {
        [`${c}-control-plane`]: "Done",
        [`${c}-worker1`]: "Done",
        [`${c}-worker2`]: "AlreadyDone"
      })
      assert.notInclude((yield* containers).map(nameOf).join(), c)
    }).pipe(Effect.scoped, Effect.provide(docker())))
})

describe.concurrent("addresses and host ports", () => {
  it.live("stay the same over stop and start, in whatever order the nodes come up", () =>
    Effect.gen(function*() {
      const service = yield* Docker.Docker
      const c = yield* newCluster()
      yield* service.createNodes({
        cluster: c,
        controlPlanes: 1,
        workers: 2,
        controlPlane: { ports: [{ container: 6443, address: "127.0.0.1" }] },
        worker: { ports: [{ container: 80 }] }
      })
      const seen = Effect.gen(function*() {
        const nodes = yield* service.provider.listNodes(c)
        return {
          addresses: nodes.map((node) => `${node.name} ${node.addresses.private.join(" ")}`),
          ports: (yield* service.portMappings(c)).map((port) => `${port.node} ${port.container} ${port.host}`)
            .toSorted()
        }
      })
      const before = yield* seen
      assert.strictEqual(new Set(before.addresses.map((line) => line.split(" ")[1])).size, 3)
      assert.includeMembers(
        before.ports.map((line) => line.replace(/ \d+$/, "")),
        [`${c}-control-plane 6443`, `${c}-worker 80`, `${c}-worker2 80`]
      )

      yield* service.provider.stopNodes(c)
      assert.deepStrictEqual((yield* seen).ports, [])
      yield* start(`${c}-worker2`)
      yield* start(`${c}-worker`)
      yield* service.provider.startNodes(c)
      assert.deepStrictEqual(yield* seen, before)
    }).pipe(Effect.scoped, Effect.provide(docker())))
})
