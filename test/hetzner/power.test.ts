/** Starting and stopping: what is sent, in which order, how often, and what the report says. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { HetznerFake } from "kubelayer/testing"
import { failure, onFake, ours, told, writes } from "./support/rig.ts"

type Fake = HetznerFake.HetznerFakeService

const seed = (fake: Fake, count: number, status: "off" | "running", controlPlanes = 1) =>
  Effect.forEach(Array.from({ length: count }, (_, index) => index), (index) => {
    const role = index < controlPlanes ? "control-plane" : "worker"
    const number = index < controlPlanes ? index + 1 : index - controlPlanes + 1
    return fake.seed.server({ name: `dev-${role}-${number}`, status, labels: ours("dev", role) })
  })

const callsOf = (fake: Fake) => Effect.map(fake.calls, (calls) => calls.length)

describe("startNodes", () => {
  it.live("sends one request a server, control planes first, and polls for all at once", () =>
    onFake({ fake: { duration: "2 seconds", latency: "30 millis" } }, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        const ids = yield* seed(fake, 26, "off", 3)
        const report = yield* hetzner.provider.startNodes("dev")
        assert.lengthOf(report.done, 26)
        const sent = (yield* fake.calls).filter(({ method }) => method === "POST").map(({ path }) =>
          Number(path.split("/")[2])
        )
        assert.sameMembers(sent.slice(0, 3), ids.slice(0, 3))
        assert.sameMembers(sent, ids)
        assert.isAtMost(yield* callsOf(fake), 36)
        assert.isAtMost(report.durationMillis, 1.3 * 2060)
      })))

  it.live("sends one call when all servers run, and reports them as AlreadyDone", () =>
    onFake({}, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        yield* seed(fake, 26, "running", 3)
        const report = yield* hetzner.provider.startNodes("dev")
        assert.isTrue(report.outcomes.every(({ outcome }) => outcome._tag === "AlreadyDone"))
        assert.strictEqual(yield* callsOf(fake), 1)
      })))

  it.live("waits for a server that another action holds", () =>
    onFake({ fake: { duration: "2 seconds" } }, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        yield* seed(fake, 2, "off")
        yield* fake.fault({ on: /POST .*poweron/, times: 3, fault: { _tag: "Refuse", code: "locked" } })
        assert.lengthOf((yield* hetzner.provider.startNodes("dev")).done, 2)
      })))

  it.live("starts the workers also where a control plane is held by another action for longer than a node may take", () =>
    onFake({ policy: { nodeTimeout: { start: "30 seconds" } } }, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        const [first] = yield* seed(fake, 4, "off")
        yield* fake.fault({
          on: ({ path }) => path === `/servers/${first}/actions/poweron`,
          times: Infinity,
          fault: { _tag: "Refuse", code: "locked" }
        })
        const error = yield* failure(hetzner.provider.startNodes("dev"))
        assert(error._tag === "NodesFailed")
        assert.deepStrictEqual(error.report.failed.map(({ name }) => name), ["dev-control-plane-1"])
        assert.lengthOf(error.report.done, 3)
      })))

  it.live("starts the other servers when one action fails, and names the failed server", () =>
    onFake({}, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        const [, second] = yield* seed(fake, 5, "off")
        yield* fake.failAction({ command: "start_server", resource: second ?? 0 })
        const error = yield* failure(hetzner.provider.startNodes("dev"))
        assert(error._tag === "NodesFailed")
        assert.deepStrictEqual(error.report.failed.map(({ name }) => name), ["dev-worker-1"])
        assert.lengthOf(error.report.done, 4)
        assert.include(error.message, "start_server of server dev-worker-1")
      })))

  it.live("fails for a server that is off again, whatever its action said", () =>
    onFake({}, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        const [, second] = yield* seed(fake, 3, "off")
        yield* fake.change(second ?? 0, { guest: { exits: true } })
        const error = yield* failure(hetzner.provider.startNodes("dev"))
        assert(error._tag === "NodesFailed")
        assert.deepStrictEqual(error.report.failed.map(({ name }) => name), ["dev-worker-1"])
        assert.include(error.message, "is off")
      })))

  it.live("waits for a server that another client is starting", () =>
    onFake({ fake: { duration: "4 seconds" } }, ({ another, fake, hetzner }) =>
      Effect.gen(function*() {
        yield* seed(fake, 2, "off")
        yield* Effect.forkChild(another.provider.startNodes("dev"))
        yield* Effect.sleep("1 second")
        yield* hetzner.provider.startNodes("dev")
        assert.deepStrictEqual((yield* fake.state).servers.map(({ status }) => status), ["running", "running"])
      })))
})

describe("stopNodes", () => {
  it.live("shuts down every server, control planes last, and polls all with one list per tick", () =>
    onFake(
      { fake: { duration: "2 seconds", latency: "30 millis", guest: { shutdown: 2000 } } },
      ({ fake, hetzner }) =>
        Effect.gen(function*() {
          const ids = yield* seed(fake, 26, "running", 3)
          const report = yield* hetzner.provider.stopNodes("dev")
          assert.lengthOf(report.done, 26)
          assert.isTrue(report.done.every(({ outcome }) => outcome._tag === "Done" && outcome.forced === undefined))
          const sent = (yield* fake.calls).filter(({ method }) => method === "POST").map(({ path }) =>
            Number(path.split("/")[2])
          )
          assert.sameMembers(sent.slice(-3), ids.slice(0, 3))
          assert.isAtMost(yield* callsOf(fake), 45)
          assert.isAtMost(report.durationMillis, 1.3 * 4060)
        })
    ))

  it.live("stays within its number of calls when servers take over 30 s", () =>
    onFake(
      { fake: { duration: "30 seconds", guest: { shutdown: 30_000 } } },
      ({ fake, hetzner }) =>
        Effect.gen(function*() {
          yield* seed(fake, 26, "running", 3)
          yield* hetzner.provider.stopNodes("dev")
          assert.isAtMost(yield* callsOf(fake), 72)
          yield* fake.clearCalls
          yield* hetzner.provider.startNodes("dev")
          assert.isAtMost(yield* callsOf(fake), 60)
        })
    ))

  it.live("powers off only the server that does not shut down within its grace", () =>
    onFake(
      { grace: "20 seconds", fake: { duration: "1 second", guest: { shutdown: 1000 } } },
      ({ fake, hetzner }) =>
        Effect.gen(function*() {
          const [, second] = yield* seed(fake, 3, "running")
          yield* fake.change(second ?? 0, { guest: { shutdown: "ignores" } })
          const report = yield* hetzner.provider.stopNodes("dev")
          const forced = report.done.filter(({ outcome }) => outcome._tag === "Done" && outcome.forced === true)
          assert.deepStrictEqual(forced.map(({ name }) => name), ["dev-worker-1"])
          assert.deepStrictEqual((yield* fake.state).servers.map(({ status }) => status), ["off", "off", "off"])
          assert.strictEqual((yield* fake.counts)["POST /servers/{id}/actions/poweroff"], 1)
        })
    ))

  it.live("has its whole grace when a node's deadline is shorter", () =>
    onFake(
      { grace: "2 minutes", policy: { nodeTimeout: { stop: "10 seconds" } }, fake: { guest: { shutdown: 90_000 } } },
      ({ fake, hetzner }) =>
        Effect.gen(function*() {
          yield* seed(fake, 2, "running")
          assert.lengthOf((yield* hetzner.provider.stopNodes("dev")).done, 2)
        })
    ))

  it.live("continues to poll when a list fails", () =>
    onFake({ fake: { guest: { shutdown: 5000 } } }, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        yield* seed(fake, 2, "running")
        yield* fake.fault({ on: /GET \/servers/, after: 1, times: 12, fault: { _tag: "Page", status: 503 } })
        assert.lengthOf((yield* hetzner.provider.stopNodes("dev")).done, 2)
      })))

  it.live("counts a server as stopped when it is deleted during the stop", () =>
    onFake({ fake: { guest: { shutdown: "ignores" } } }, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        const [first] = yield* seed(fake, 1, "running")
        yield* Effect.forkChild(Effect.delay(fake.vanish(first ?? 0), "5 seconds"))
        assert.lengthOf((yield* hetzner.provider.stopNodes("dev")).outcomes, 1)
        assert.strictEqual((yield* fake.counts)["POST /servers/{id}/actions/poweroff"], undefined)
      })))
})

describe("ownership of servers", () => {
  it.live("KSail's servers are started and stopped with KSail's labels only", () =>
    onFake({ ownership: "ksail" }, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        const labels = { "ksail.owned": "true", "ksail.cluster.name": "dev" }
        yield* fake.seed.server({ name: "a", status: "off", labels: { ...labels, "ksail.node.type": "controlplane" } })
        yield* fake.seed.server({ name: "b", status: "off", labels: { ...labels, "ksail.node.type": "worker" } })
        yield* fake.seed.server({ name: "c", status: "off", labels: ours("dev") })
        yield* fake.seed.server({ name: "d", status: "off", labels: { ...labels, "ksail.owned": "false" } })
        assert.deepStrictEqual(
          (yield* hetzner.provider.listNodes("dev")).map(({ name, role }) => `${name} ${role}`),
          ["a control-plane", "b worker"]
        )
        assert.deepStrictEqual(told(yield* hetzner.provider.startNodes("dev")), ["node a Done", "node b Done"])
      })))

  it.live("a labelling of one's own is given as functions", () =>
    onFake({
      ownership: {
        labelsFor: (cluster) => ({ "example.org/k8s": cluster }),
        classify: (labels) => {
          const cluster = labels["example.org/k8s"]
          return cluster === undefined ? undefined : { cluster, ...(labels["main"] === "1" ? { role: "master" } : {}) }
        }
      }
    }, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        yield* fake.seed.server({ name: "a", labels: { "example.org/k8s": "dev", main: "1" } })
        yield* fake.seed.server({ name: "b", labels: { "example.org/k8s": "dev" } })
        yield* fake.seed.server({ name: "c", labels: { "example.org/k8s": "prod" } })
        assert.deepStrictEqual(
          (yield* hetzner.provider.listNodes("dev")).map(({ name, role }) => `${name} ${role}`),
          ["a control-plane", "b worker"]
        )
        assert.deepStrictEqual<ReadonlyArray<string>>(yield* hetzner.provider.listAllClusters, ["dev", "prod"])
      })))

  it.live("an autoscaler's servers belong to the cluster that owns their network", () =>
    onFake({}, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        const network = yield* fake.seed.network({ name: "dev-network", labels: ours("dev") })
        const other = yield* fake.seed.network({
          name: "x-network",
          ipRange: "10.1.0.0/16",
          subnets: [{ ipRange: "10.1.1.0/24", zone: "eu-central" }]
        })
        yield* fake.seed.server({
          name: "dev-control-plane-1",
          labels: ours("dev", "control-plane"),
          networks: [network]
        })
        yield* fake.seed.server({ name: "pool-a", labels: { "hcloud/node-group": "pool" }, networks: [network] })
        yield* fake.seed.server({ name: "pool-b", labels: { "hcloud/node-group": "pool" }, networks: [other] })
        yield* fake.seed.server({ name: "pool-c", labels: { "hcloud/node-group": "pool" } })
        yield* fake.seed.server({ name: "guest", networks: [network] })
        assert.deepStrictEqual(
          (yield* hetzner.provider.listNodes("dev")).map(({ name }) => name),
          ["dev-control-plane-1", "pool-a"]
        )
      })))

  it.live("a status writes nothing, and costs one call", () =>
    onFake({}, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        yield* seed(fake, 3, "running")
        yield* hetzner.provider.getClusterStatus("dev")
        assert.strictEqual(yield* callsOf(fake), 1)
        assert.deepStrictEqual(yield* writes(fake), [])
      })))
})
