/**
 * Twenty known problems of scripts that create and delete servers. Each test shows that the problem does not occur here.
 * The numbers order them; the details are in the tests of each topic.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { HetznerFakeService } from "kubelayer/testing/HetznerFake"
import { expectNothing, failure, inventory, nodes, onFake, ours, spec, told } from "./support/rig.ts"

/** A cluster of so many servers, in its network. */
const seed = Effect.fnUntraced(
  function*(fake: HetznerFakeService, count: number, status: "running" | "off" = "running") {
    const network = yield* fake.seed.network({ name: "dev-network", labels: ours() })
    const servers: Array<number> = []
    for (let index = 0; index < count; index++) {
      servers.push(
        yield* fake.seed.server({
          name: index === 0 ? "dev-control-plane-1" : `dev-worker-${index}`,
          labels: ours("dev", index === 0 ? "control-plane" : "worker"),
          networks: [network],
          status
        })
      )
    }
    return { network, servers }
  }
)

const one = { ...spec, workers: 0 }

describe("known problems of scripts", () => {
  for (const networkDelete of ["detach", "refuse"] as const) {
    it.live(`1. deleteNodes deletes a load balancer of the cluster's services (network_delete ${networkDelete})`, () =>
      onFake({ fake: { networkDelete } }, ({ fake, hetzner }) =>
        Effect.gen(function*() {
          const { network } = yield* seed(fake, 2)
          yield* fake.seed.loadBalancer({
            name: "ingress",
            labels: { "hcloud-ccm/service-uid": "u" },
            networks: [network]
          })
          yield* hetzner.provider.deleteNodes("dev")
          yield* expectNothing(fake)
        })))
  }

  it.live("2. deleteNodes deletes a placement group with another name", () =>
    onFake({}, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        yield* fake.seed.placementGroup({ name: "c-spread", labels: ours() })
        yield* hetzner.provider.deleteNodes("dev")
        yield* expectNothing(fake)
      })))

  it.live("3. deleteNodes reports a claim's volume and a kept address as skipped, with their prices", () =>
    onFake({}, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        const server = yield* fake.seed.server({
          name: "dev-worker-1",
          labels: ours("dev", "worker"),
          publicNet: { ipv4: false, ipv6: true }
        })
        yield* fake.seed.volume({ name: "pvc-1", labels: { "pvc-name": "db" }, server })
        yield* fake.seed.primaryIp({ name: "kept", server, autoDelete: false })
        const report = yield* hetzner.provider.deleteNodes("dev")
        assert.deepStrictEqual(report.skipped.map(({ name }) => name).toSorted(), ["kept", "pvc-1"])
        assert.isTrue(report.skipped.every(({ problem }) => /billed: \d+\.\d\d EUR/.test(problem)))
      })))

  it.live("4. deleteNodes skips an unlabelled network that has the default name", () =>
    onFake({}, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        const network = yield* fake.seed.network({ name: "dev-network" })
        yield* fake.seed.server({ name: "stranger", networks: [network] })
        const report = yield* hetzner.provider.deleteNodes("dev")
        assert.deepStrictEqual(told(report), ["network dev-network Skipped"])
        assert.deepStrictEqual((yield* fake.state).servers[0]?.networks, [network])
      })))

  it.live("5. deleteNodes keeps an unlabelled firewall and placement group that have the default names", () =>
    onFake({}, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        yield* fake.seed.firewall({ name: "dev-firewall" })
        yield* fake.seed.placementGroup({ name: "dev-placement-1" })
        yield* hetzner.provider.deleteNodes("dev")
        assert.deepStrictEqual(yield* inventory(fake), ["firewall dev-firewall", "group dev-placement-1"])
      })))

  it.live("6. createNodes refuses a network with the default name that is not owned by this cluster", () =>
    onFake({}, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        yield* fake.seed.network({ name: "dev-network", labels: { team: "other" }, ipRange: "10.0.0.0/8", subnets: [] })
        const error = yield* failure(hetzner.createNodes(one))
        assert.match(
          error.message,
          /NameTaken: .*network "dev-network": the name is used by a network labelled team=other/
        )
        assert.deepStrictEqual((yield* fake.state).networks.map(({ json }) => json["subnets"]), [[]])
      })))

  it.live("7. createNodes finds the server of a create whose reply was lost and creates no second server", () =>
    onFake({}, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        yield* fake.fault({ on: /POST \/servers$/, fault: { _tag: "CutAfter" } })
        yield* hetzner.createNodes(one)
        assert.deepStrictEqual((yield* fake.state).servers.map(({ location }) => location), ["fsn1"])
        assert.strictEqual((yield* fake.counts)["POST /servers"], 1)
      })))

  it.live("8. createNodes deletes the server of a failed create action and retries in the next location", () =>
    onFake({}, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        yield* fake.failAction({ command: "create_server" })
        yield* hetzner.createNodes(one)
        assert.deepStrictEqual((yield* fake.state).servers.map(({ location }) => location), ["nbg1"])
      })))

  it.live("9. createNodes sends a refused token to one location only", () =>
    onFake({}, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        yield* fake.fault({ on: /POST \/servers$/, fault: { _tag: "Refuse", code: "unauthorized" }, times: 9 })
        const error = yield* failure(hetzner.createNodes(one))
        assert.strictEqual((yield* fake.counts)["POST /servers"], 1)
        assert.match(error.message, /dev-control-plane-1: Unauthorized/)
      })))

  it.live("10. addNodes creates a second placement group for the eleventh server", () =>
    onFake({}, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        yield* hetzner.createNodes({ ...spec, workers: 9 })
        yield* hetzner.addNodes("dev", { workers: 1, nodes })
        const { placementGroups, servers } = yield* fake.state
        assert.strictEqual(servers.length, 11)
        assert.strictEqual(placementGroups.length, 2)
      })))

  it.live("11. startNodes starts the other servers when one action fails, and names the failed node", () =>
    onFake({}, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        const { servers } = yield* seed(fake, 5, "off")
        yield* fake.failAction({ command: "start_server", resource: servers[1] ?? 0 })
        const error = yield* failure(hetzner.provider.startNodes("dev"))
        assert.include(error.message, "dev-worker-1")
        const on = (yield* fake.state).servers.filter(({ status }) => status === "running")
        assert.strictEqual(on.length, 4)
      })))

  for (const operation of ["startNodes", "deleteNodes"] as const) {
    it.live(`12. ${operation} retries a server that is locked once`, () =>
      onFake({}, ({ fake, hetzner }) =>
        Effect.gen(function*() {
          yield* seed(fake, 3, "off")
          const on = operation === "startNodes" ? /POST .*poweron/ : /DELETE \/servers/
          yield* fake.fault({ on, fault: { _tag: "Refuse", code: "locked" } })
          const report = yield* hetzner.provider[operation]("dev")
          assert.strictEqual(report.done.filter(({ kind }) => kind === "node").length, 3)
        })))
  }

  it.live("13. deleteNodes reports AlreadyDone for a server that no longer exists", () =>
    onFake({}, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        yield* seed(fake, 3)
        yield* fake.fault({ on: /DELETE \/servers/, fault: { _tag: "Refuse", code: "not_found" } })
        const report = yield* hetzner.provider.deleteNodes("dev")
        assert.include(told(report), "node dev-control-plane-1 AlreadyDone")
      })))

  const outages = [
    { _tag: "Page", status: 503 },
    { _tag: "Refuse", code: "unavailable" },
    { _tag: "CutBefore" }
  ] as const
  for (const fault of outages) {
    it.live(`14. listNodes retries a list that fails once (${fault._tag})`, () =>
      onFake({}, ({ fake, hetzner }) =>
        Effect.gen(function*() {
          yield* seed(fake, 2)
          yield* fake.fault({ on: /GET \/servers/, fault })
          assert.strictEqual((yield* hetzner.provider.listNodes("dev")).length, 2)
        })))
  }

  it.live("15. startNodes succeeds when one poll fails", () =>
    onFake({ fake: { duration: "2 seconds" } }, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        yield* seed(fake, 2, "off")
        yield* fake.fault({ on: /GET \/actions/, fault: { _tag: "Page", status: 503 } })
        assert.strictEqual((yield* hetzner.provider.startNodes("dev")).done.length, 2)
      })))

  for (const code of ["unavailable", "unauthorized"] as const) {
    it.live(`16. deleteNodes fails when it cannot list firewalls, and keeps them (${code})`, () =>
      onFake({}, ({ fake, hetzner }) =>
        Effect.gen(function*() {
          yield* seed(fake, 1)
          yield* fake.seed.firewall({ name: "dev-firewall", labels: ours() })
          yield* fake.fault({ on: /GET \/firewalls/, fault: { _tag: "Refuse", code }, times: 99 })
          const error = yield* failure(hetzner.provider.deleteNodes("dev"))
          assert.match(error.message, /firewalls/)
          assert.deepStrictEqual(yield* inventory(fake), ["firewall dev-firewall"])
        })))
  }

  it.live("17. deleteNodes waits for slow servers and then deletes the firewall and the network", () =>
    onFake({ fake: { durations: { delete_server: "20 seconds" } } }, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        const { servers } = yield* seed(fake, 3)
        yield* fake.seed.firewall({ name: "dev-firewall", labels: ours(), servers })
        yield* hetzner.provider.deleteNodes("dev")
        yield* expectNothing(fake)
      })))

  it.live("18. deleteNodes deletes a floating IP that is still assigned, and the network", () =>
    onFake(
      { fake: { durations: { delete_server: "8 seconds" }, detach: "4 seconds" } },
      ({ fake, hetzner }) =>
        Effect.gen(function*() {
          const { servers } = yield* seed(fake, 1)
          yield* fake.seed.floatingIp({ name: "dev-ip", labels: ours(), server: servers[0] ?? 0 })
          yield* hetzner.provider.deleteNodes("dev")
          yield* expectNothing(fake)
        })
    ))

  it.live("19. stopNodes powers off a guest that ignores ACPI", () =>
    onFake({ fake: { guest: { shutdown: "ignores" } } }, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        yield* seed(fake, 2)
        const report = yield* hetzner.provider.stopNodes("dev")
        assert.deepStrictEqual(report.done.map(({ outcome }) => "forced" in outcome && outcome.forced), [true, true])
        assert.isTrue((yield* fake.state).servers.every(({ status }) => status === "off"))
      })))

  it.live("20. listNodes refuses a cluster name with the syntax of a selector", () =>
    onFake({}, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        yield* seed(fake, 1)
        for (const name of ["dev,kubelayer.cluster", "dev)", "dev in (dev)", "!dev", "dev&x=1"]) {
          assert.strictEqual((yield* failure(hetzner.provider.listNodes(name)))._tag, "InvalidClusterName")
        }
        assert.deepStrictEqual(yield* fake.calls, [])
      })))
})
