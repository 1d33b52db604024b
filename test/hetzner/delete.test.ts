/** Deleting a cluster: what goes, what stays and is said to, and in which order. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { HetznerFakeService } from "kubelayer/testing/HetznerFake"
import { failure, inventory, nodes, onFake, ours, rules, spec, told } from "./support/rig.ts"

const everything = {
  ...spec,
  firewall: { rules },
  volumes: [{ name: "data", sizeGb: 10, each: "worker" }],
  floatingIp: {}
} as const

/** A control plane and so many workers, with a network, a firewall, a group and an address. */
const seedCluster = Effect.fnUntraced(function*(fake: HetznerFakeService, workers = 1) {
  const network = yield* fake.seed.network({ name: "dev-network", labels: ours() })
  const placementGroup = yield* fake.seed.placementGroup({ name: "dev-placement-1", labels: ours() })
  const servers: Array<number> = []
  for (
    const name of [
      "dev-control-plane-1",
      ...Array.from({ length: workers }, (_, index) => `dev-worker-${index + 1}`)
    ]
  ) {
    const labels = ours("dev", name.includes("worker") ? "worker" : "control-plane")
    servers.push(yield* fake.seed.server({ name, labels, networks: [network], placementGroup }))
  }
  const firewall = yield* fake.seed.firewall({ name: "dev-firewall", labels: ours(), servers })
  const floatingIp = yield* fake.seed.floatingIp({ name: "dev-ip", labels: ours(), server: servers[0] ?? 0 })
  return { network, placementGroup, servers, firewall, floatingIp }
})

describe("deleteNodes", () => {
  it.live("removes all that is the cluster's, and a second one finds nothing", () =>
    onFake({}, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        yield* hetzner.createNodes(everything)
        yield* fake.seed.server({ name: "stranger" })
        const report = yield* hetzner.provider.deleteNodes("dev")
        assert.isTrue(report.outcomes.every(({ outcome }) => outcome._tag === "Done"))
        assert.deepStrictEqual(yield* inventory(fake), ["server stranger"])
        const again = yield* hetzner.provider.deleteNodes("dev")
        assert.deepStrictEqual(again.outcomes, [])
      })))

  it.live("sends the control planes first and waits for all servers in parallel", () =>
    onFake(
      { fake: { durations: { delete_server: "30 seconds" }, latency: "100 millis" } },
      ({ fake, hetzner }) =>
        Effect.gen(function*() {
          const { servers } = yield* seedCluster(fake, 9)
          const report = yield* hetzner.provider.deleteNodes("dev")
          const sent = (yield* fake.calls).filter(({ method, path }) =>
            method === "DELETE" && path.startsWith("/servers/")
          )
          assert.strictEqual(sent[0]?.path, `/servers/${servers[0]}`)
          assert.isTrue(sent.slice(1).every(({ at }) => at > (sent[0]?.at ?? 0)))
          assert.isBelow(report.durationMillis, 45_000)
          assert.deepStrictEqual(yield* inventory(fake), [])
        })
    ))

  it.live("removes what is left where no server is", () =>
    onFake({}, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        yield* fake.seed.network({ name: "dev-network", labels: ours() })
        yield* fake.seed.placementGroup({ name: "dev-placement-1", labels: ours() })
        yield* fake.seed.volume({ name: "dev-data", labels: ours() })
        yield* fake.seed.sshKey({ name: "me", labels: ours() })
        assert.strictEqual((yield* hetzner.provider.deleteNodes("dev")).done.length, 4)
        assert.deepStrictEqual(yield* inventory(fake), [])
      })))

  it.live("also deletes a server that is added during the delete", () =>
    onFake({ fake: { durations: { delete_server: "20 seconds" } } }, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        yield* seedCluster(fake)
        yield* Effect.forkChild(
          Effect.delay(fake.seed.server({ name: "dev-worker-99", labels: ours("dev", "worker") }), "10 seconds")
        )
        const report = yield* hetzner.provider.deleteNodes("dev")
        assert.include(told(report), "node dev-worker-99 Done")
        assert.deepStrictEqual(yield* inventory(fake), [])
      })))

  it.live("twice at once: both succeed", () =>
    onFake(
      { fake: { durations: { delete_server: "20 seconds" } } },
      ({ another, fake, hetzner }) =>
        Effect.gen(function*() {
          yield* seedCluster(fake, 4)
          const [one, two] = yield* Effect.all([
            hetzner.provider.deleteNodes("dev"),
            Effect.delay(another.provider.deleteNodes("dev"), "5 seconds")
          ], { concurrency: 2 })
          assert.deepStrictEqual([...one.failed, ...two.failed], [])
          assert.deepStrictEqual(yield* inventory(fake), [])
        })
    ))

  it.live("removes what the autoscaler added, which is the cluster's by its network alone", () =>
    onFake({}, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        const { network } = yield* seedCluster(fake)
        const labels = { "hcloud/node-group": "pool" }
        yield* fake.seed.server({ name: "pool-1", labels, networks: [network] })
        yield* fake.seed.server({ name: "pool-2", labels })
        yield* hetzner.provider.deleteNodes("dev")
        assert.deepStrictEqual(yield* inventory(fake), ["server pool-2"])
      })))

  it.live("adopts a KSail cluster, and creates, adds and deletes nodes with the KSail labels", () =>
    onFake({ ownership: "ksail" }, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        const labels = { "ksail.owned": "true", "ksail.cluster.name": "dev" }
        const network = yield* fake.seed.network({ name: "dev-network", labels })
        yield* fake.seed.firewall({ name: "dev-firewall", labels })
        yield* fake.seed.placementGroup({ name: "dev-placement", labels })
        const server = { ...labels, "ksail.node.type": "controlplane" }
        yield* fake.seed.server({ name: "dev-controlplane-1", labels: server, networks: [network] })
        yield* fake.seed.network({ name: "ours-network", labels: ours("ours") })
        yield* hetzner.addNodes("dev", { workers: 1, nodes })
        const [, added] = (yield* fake.state).servers
        assert.include(added?.labels, { ...labels, "ksail.node.type": "worker" })
        assert.deepStrictEqual(added?.networks, [network])
        assert.deepStrictEqual(added?.firewalls, (yield* fake.state).firewalls.map(({ id }) => id))
        yield* hetzner.provider.deleteNodes("dev")
        assert.deepStrictEqual(yield* inventory(fake), ["network ours-network"])
      })))

  it.live("releases the servers that a firewall of its own selects by label", () =>
    onFake({}, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        yield* fake.seed.server({ name: "dev-worker-1", labels: { ...ours("dev", "worker"), app: "web" } })
        yield* fake.seed.firewall({ name: "dev-firewall", labels: ours(), selector: "app=web" })
        yield* hetzner.provider.deleteNodes("dev")
        assert.deepStrictEqual(yield* inventory(fake), [])
      })))
})

describe("a resource that deleteNodes keeps", () => {
  const reasonOf = (
    report: { readonly skipped: ReadonlyArray<{ readonly name: string; readonly problem: string }> },
    name: string
  ) => report.skipped.find((entry) => entry.name === name)?.problem ?? ""

  it.live("is user data or not owned by this cluster, and is reported with its price; its network stays too", () =>
    onFake({}, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        const { network, servers } = yield* seedCluster(fake)
        yield* fake.seed.volume({
          name: "pvc-1",
          labels: { "pvc-name": "data-db-0" },
          server: servers[1] ?? 0,
          size: 50
        })
        yield* fake.seed.primaryIp({ name: "kept", location: "fsn1" })
        yield* fake.seed.loadBalancer({
          name: "ingress",
          labels: { "hcloud-ccm/service-uid": "u" },
          networks: [network]
        })
        yield* fake.seed.loadBalancer({ name: "theirs", networks: [network] })
        yield* fake.seed.server({ name: "stranger", networks: [network], labels: { team: "other" } })
        const report = yield* hetzner.provider.deleteNodes("dev")
        assert.deepStrictEqual(report.failed, [])
        assert.include(told(report), "load-balancer ingress Done")
        assert.match(
          reasonOf(report, "pvc-1"),
          /user data \(of the claim data-db-0\); it goes on being billed: 2\.\d\d EUR/
        )
        assert.match(reasonOf(report, "theirs"), /not owned by this cluster.*billed: \d+\.\d\d EUR net a month/)
        assert.match(reasonOf(report, "stranger"), /labelled team=other.*billed: \d+\.\d\d EUR net a month/)
        assert.match(reasonOf(report, "dev-network"), /used by server stranger; used by load balancer theirs/)
        assert.deepStrictEqual(yield* inventory(fake), [
          "load balancer theirs",
          "network dev-network",
          "server stranger",
          "volume pvc-1"
        ])
        const [stranger] = (yield* fake.state).servers
        assert.deepStrictEqual(stranger?.networks, [network])
      })))

  it.live("is an address that a server had and that is kept", () =>
    onFake({}, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        const server = yield* fake.seed.server({
          name: "dev-worker-1",
          labels: ours("dev", "worker"),
          publicNet: { ipv4: false, ipv6: true }
        })
        yield* fake.seed.primaryIp({ name: "kept", server, autoDelete: false })
        const report = yield* hetzner.provider.deleteNodes("dev")
        assert.include(told(report), "primary-ip kept Skipped")
        assert.match(
          reasonOf(report, "kept"),
          /kept when its server is deleted; it goes on being billed: \d+\.\d\d EUR/
        )
      })))

  it.live("is a volume or floating IP that was created with `keep`", () =>
    onFake({}, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        const kept = { ...everything.volumes[0], keep: true }
        yield* hetzner.createNodes({ ...everything, volumes: [kept], floatingIp: { keep: true } })
        const report = yield* hetzner.provider.deleteNodes("dev")
        assert.match(reasonOf(report, "dev-worker-1-data"), /to keep it.*billed/)
        assert.match(reasonOf(report, "dev-ip"), /to keep it.*billed/)
        assert.deepStrictEqual(yield* inventory(fake), [
          "floating IP dev-ip",
          "volume dev-worker-1-data",
          "volume dev-worker-2-data"
        ])
      })))

  it.live("is reported as billed when the price cannot be read", () =>
    onFake({}, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        const { servers } = yield* seedCluster(fake)
        yield* fake.seed.volume({ name: "pvc-1", server: servers[1] ?? 0 })
        yield* fake.fault({ on: /GET \/pricing/, fault: { _tag: "Refuse", code: "server_error" }, times: 99 })
        assert.match(reasonOf(yield* hetzner.provider.deleteNodes("dev"), "pvc-1"), /goes on being billed every month/)
      })))

  it.live("is reported when it has a name of the cluster but is not owned by it", () =>
    onFake({}, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        const network = yield* fake.seed.network({ name: "dev-network" })
        const server = yield* fake.seed.server({ name: "dev-worker-9", networks: [network] })
        yield* fake.seed.firewall({ name: "dev-firewall", servers: [server] })
        yield* fake.seed.placementGroup({ name: "dev-placement-1" })
        yield* fake.seed.placementGroup({ name: "dev-placement-x" })
        yield* fake.seed.floatingIp({ name: "dev-ip" })
        yield* fake.seed.server({ name: "dev-worker-1", labels: ours("dev", "worker") })
        const before = yield* inventory(fake)
        const report = yield* hetzner.provider.deleteNodes("dev")
        assert.deepStrictEqual(told(report).toSorted(), [
          "firewall dev-firewall Skipped",
          "floating-ip dev-ip Skipped",
          "network dev-network Skipped",
          "node dev-worker-1 Done",
          "node dev-worker-9 Skipped",
          "placement-group dev-placement-1 Skipped"
        ])
        assert.deepStrictEqual(yield* inventory(fake), before.filter((each) => each !== "server dev-worker-1"))
        assert.deepStrictEqual((yield* fake.state).servers[0]?.networks, [network])
      })))

  it.live("is a firewall or placement group that another server uses", () =>
    onFake({}, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        const placementGroup = yield* fake.seed.placementGroup({ name: "dev-placement-1", labels: ours() })
        const server = yield* fake.seed.server({ name: "stranger", placementGroup })
        yield* fake.seed.firewall({ name: "dev-firewall", labels: ours(), servers: [server] })
        const report = yield* hetzner.provider.deleteNodes("dev")
        assert.strictEqual(reasonOf(report, "dev-firewall"), "used by server stranger")
        assert.strictEqual(reasonOf(report, "dev-placement-1"), "used by server stranger")
        assert.strictEqual((yield* fake.state).servers[0]?.placementGroup, placementGroup)
      })))
})

describe("a delete that meets trouble", () => {
  it.live("deletes everything else when a server is protected, and fails with its name", () =>
    onFake({}, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        const { servers } = yield* seedCluster(fake, 2)
        yield* fake.change(servers[0] ?? 0, { protected: true })
        const error = yield* failure(hetzner.provider.deleteNodes("dev"))
        assert.strictEqual(error._tag, "NodesFailed")
        if (error._tag !== "NodesFailed") return
        assert.deepStrictEqual(error.report.failed.map(({ name }) => name), ["dev-control-plane-1"])
        assert.deepStrictEqual(error.reasons.map(({ _tag }) => _tag), ["Protected"])
        assert.deepStrictEqual((yield* fake.state).servers.map(({ name }) => name), ["dev-control-plane-1"])
        assert.include(told(error.report), "network dev-network Skipped")
        yield* fake.change(servers[0] ?? 0, { protected: false })
        yield* hetzner.provider.deleteNodes("dev")
        assert.deepStrictEqual(yield* inventory(fake), [])
      })))

  it.live("waits for servers that are locked, and for what is in use a little longer than they are there", () =>
    onFake(
      { fake: { detach: "8 seconds", durations: { delete_server: "20 seconds" } } },
      ({ fake, hetzner }) =>
        Effect.gen(function*() {
          yield* seedCluster(fake, 2)
          yield* fake.fault({ on: /DELETE \/servers/, fault: { _tag: "Refuse", code: "locked" }, times: 4 })
          const report = yield* hetzner.provider.deleteNodes("dev")
          assert.deepStrictEqual([...report.failed, ...report.skipped], [])
          assert.deepStrictEqual(yield* inventory(fake), [])
        })
    ))

  const lookUps = [
    "/networks",
    "/firewalls",
    "/placement_groups",
    "/floating_ips",
    "/volumes",
    "/ssh_keys",
    "/load_balancers",
    "/primary_ips"
  ]
  for (const path of lookUps) {
    it.live(`reports that GET ${path} failed and does not count the resource as absent`, () =>
      onFake({}, ({ fake, hetzner }) =>
        Effect.gen(function*() {
          const { network } = yield* seedCluster(fake)
          yield* fake.seed.loadBalancer({
            name: "ingress",
            labels: { "hcloud-ccm/service-uid": "u" },
            networks: [network]
          })
          const repair = yield* fake.fault({
            on: ({ method, path: at }) => method === "GET" && at === path,
            fault: { _tag: "Refuse", code: "unauthorized" },
            times: 99
          })
          const error = yield* failure(hetzner.provider.deleteNodes("dev"))
          assert.strictEqual(error._tag, "NodesFailed")
          if (error._tag !== "NodesFailed") return
          assert.deepStrictEqual(error.reasons.map(({ _tag }) => _tag), ["Unauthorized"])
          assert.deepStrictEqual((yield* fake.state).servers, [])
          yield* repair
          yield* hetzner.provider.deleteNodes("dev")
          assert.deepStrictEqual(yield* inventory(fake), [])
        })))
  }

  for (const path of ["/networks", "/firewalls", "/placement_groups", "/floating_ips", "/servers"]) {
    it.live(`deletes everything else when DELETE ${path} always fails`, () =>
      onFake({}, ({ fake, hetzner }) =>
        Effect.gen(function*() {
          yield* seedCluster(fake, 2)
          yield* fake.fault({ on: new RegExp(`DELETE ${path}`), fault: { _tag: "Refuse", code: "protected" } })
          const error = yield* failure(hetzner.provider.deleteNodes("dev"))
          assert.strictEqual(error._tag, "NodesFailed")
          if (error._tag === "NodesFailed") assert.strictEqual(error.report.failed.length, 1)
          yield* hetzner.provider.deleteNodes("dev")
          assert.deepStrictEqual(yield* inventory(fake), [])
        })))
  }

  for (const fault of ["CutBefore", "CutAfter", "HangAfter"] as const) {
    it.live(`survives a lost reply to each delete (${fault})`, () =>
      onFake({ policy: { requestTimeout: "5 seconds" } }, ({ fake, hetzner }) =>
        Effect.gen(function*() {
          yield* seedCluster(fake)
          for (const path of ["servers", "networks", "firewalls", "placement_groups", "floating_ips"]) {
            yield* fake.fault({ on: new RegExp(`DELETE /${path}`), fault: { _tag: fault } })
          }
          const report = yield* hetzner.provider.deleteNodes("dev")
          assert.deepStrictEqual(report.failed, [])
          assert.deepStrictEqual(yield* inventory(fake), [])
        })))
  }
})

describe("removeNodes and addNodes", () => {
  it.live("remove some nodes, and leave the rest of the cluster", () =>
    onFake({}, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        yield* hetzner.createNodes(spec)
        const report = yield* hetzner.removeNodes("dev", ["dev-worker-1", "dev-worker-7"])
        assert.deepStrictEqual(told(report).toSorted(), ["node dev-worker-1 Done", "node dev-worker-7 AlreadyDone"])
        assert.deepStrictEqual(yield* inventory(fake), [
          "group dev-placement-1",
          "network dev-network",
          "server dev-control-plane-1",
          "server dev-worker-2"
        ])
      })))

  it.live("add nodes with the first free names in the existing network, firewall and groups", () =>
    onFake({}, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        yield* hetzner.createNodes({ ...spec, workers: 8, firewall: { rules } })
        yield* hetzner.removeNodes("dev", ["dev-worker-2"])
        const report = yield* hetzner.addNodes("dev", { workers: 3, nodes })
        assert.deepStrictEqual(
          report.done.filter(({ kind }) => kind === "node").map(({ name }) => name),
          ["dev-worker-2", "dev-worker-9", "dev-worker-10"]
        )
        const { firewalls, networks, placementGroups, servers } = yield* fake.state
        assert.isTrue(servers.every((server) => server.networks[0] === networks[0]?.id))
        assert.isTrue(servers.every((server) => server.firewalls[0] === firewalls[0]?.id))
        const sizes = placementGroups.map(({ id }) =>
          servers.filter(({ placementGroup }) => placementGroup === id).length
        )
        assert.isAtMost(Math.max(...sizes), 10)
        assert.strictEqual(sizes.reduce((a, b) => a + b), 11)
      })))

  it.live("add nothing to a missing cluster, and refuse to add no nodes", () =>
    onFake({}, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        assert.strictEqual((yield* failure(hetzner.addNodes("dev", { workers: 1, nodes })))._tag, "ClusterNotFound")
        assert.strictEqual((yield* failure(hetzner.addNodes("dev", { nodes })))._tag, "InvalidSpec")
        assert.strictEqual((yield* failure(hetzner.removeNodes("dev", ["x"])))._tag, "ClusterNotFound")
        assert.deepStrictEqual(yield* inventory(fake), [])
      })))

  it.live("add nodes without network and groups when the cluster has none", () =>
    onFake({}, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        yield* hetzner.createNodes({ ...spec, network: false, placementGroups: false })
        yield* hetzner.addNodes("dev", { workers: 1, nodes })
        assert.strictEqual((yield* inventory(fake)).filter((each) => !each.startsWith("server")).length, 0)
      })))
})
