/** Resources that exist and are not connected as the spec says, and things of others: what a create and a delete do. */
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { transform } from "effect/http/HttpClient"
import type * as Hetzner from "kubelayer/layers/Hetzner"
import { over } from "./support/over.ts"
import {
  expectNothing,
  failure,
  inventory,
  nodes,
  onFake,
  ours,
  type Rig,
  rules,
  spec,
  told,
  writes
} from "./support/rig.ts"

const one: Hetzner.HetznerClusterSpec = { ...spec, workers: 0 }
const attached: Hetzner.HetznerClusterSpec = {
  ...one,
  floatingIp: { keep: true },
  volumes: [{ name: "etcd", each: "control-plane", keep: true, sizeGb: 10 }]
}

const actions = (
  plan: { readonly steps: ReadonlyArray<{ readonly action: string; readonly kind: string; readonly name: string }> }
) =>
  plan.steps.filter(({ action }) => action !== "unchanged").map(({ action, kind, name }) => `${action} ${kind} ${name}`)

const appliedTo = ({ fake }: Pick<Rig, "fake">) =>
  Effect.map(fake.state, ({ servers }) => servers.map(({ firewalls }) => firewalls.length))

describe("a firewall", () => {
  it.live("is applied to the servers that exist, by one request (H1)", () =>
    onFake({ fake: { duration: "2 seconds" } }, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        yield* hetzner.createNodes(spec)
        yield* fake.clearCalls
        const report = yield* hetzner.createNodes({ ...spec, firewall: { rules } })
        assert.include(told(report), "firewall dev-firewall Done")
        assert.deepStrictEqual(yield* appliedTo({ fake }), [1, 1, 1])
        assert.lengthOf((yield* writes(fake)).filter((call) => call.startsWith("POST")), 1)
        assert.isTrue((yield* hetzner.plan({ ...spec, firewall: { rules } })).isEmpty)
      })))

  it.live("of the cluster that is applied to nothing is a repair of a plan, and is applied again (H1)", () =>
    onFake({}, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        yield* hetzner.createNodes(spec)
        yield* fake.seed.firewall({
          name: "dev-firewall",
          labels: ours(),
          rules: [
            {
              direction: "in",
              protocol: "tcp",
              port: "22",
              source_ips: ["0.0.0.0/0", "::/0"],
              destination_ips: [],
              description: null
            }
          ]
        })
        const guarded = { ...spec, firewall: { rules } }
        assert.deepStrictEqual(actions(yield* hetzner.plan(guarded)), ["repair firewall dev-firewall"])
        yield* hetzner.createNodes(guarded)
        assert.deepStrictEqual(yield* appliedTo({ fake }), [1, 1, 1])
        assert.isTrue((yield* hetzner.plan(guarded)).isEmpty)
      })))

  it.live("with other rules is refused by createNodes, and changed by apply (H1)", () =>
    onFake({}, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        yield* hetzner.createNodes({ ...spec, firewall: { rules } })
        const other = { ...spec, firewall: { rules: rules.map((rule) => ({ ...rule, port: "6443" })) } }
        const error = yield* failure(hetzner.createNodes(other))
        assert.strictEqual(error._tag === "BackendError" && error.reason._tag, "Differs")
        const plan = yield* hetzner.plan(other)
        assert.deepStrictEqual(actions(plan), ["update firewall dev-firewall"])
        yield* hetzner.apply(plan)
        assert.include(JSON.stringify((yield* fake.state).firewalls[0]?.json), "6443")
        assert.isTrue((yield* hetzner.plan(other)).isEmpty)
      })))
})

describe("a volume and a floating IP", () => {
  it.live("are attached and assigned by the next create after a delete kept them (H2)", () =>
    onFake({}, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        yield* hetzner.createNodes(attached)
        yield* hetzner.provider.deleteNodes("dev")
        assert.deepStrictEqual(yield* inventory(fake), ["floating IP dev-ip", "volume dev-control-plane-1-etcd"])
        const report = yield* hetzner.createNodes(attached)
        assert.include(told(report), "volume dev-control-plane-1-etcd Done")
        assert.include(told(report), "floating-ip dev-ip Done")
        const { floatingIps, servers, volumes } = yield* fake.state
        assert.strictEqual(volumes[0]?.json["server"], servers[0]?.id)
        assert.strictEqual(floatingIps[0]?.json["server"], servers[0]?.id)
        assert.isTrue((yield* hetzner.plan(attached)).isEmpty)
      })))

  it.live("of a node that was removed are attached to the node that takes its name (H2)", () =>
    onFake({}, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        const three = { ...attached, controlPlanes: 3 }
        yield* hetzner.createNodes(three)
        yield* hetzner.removeNodes("dev", ["dev-control-plane-1"])
        yield* hetzner.createNodes(three)
        const { floatingIps, servers, volumes } = yield* fake.state
        const ids = new Map(servers.map(({ id, name }) => [name, id]))
        for (const { json, name } of volumes) assert.strictEqual(json["server"], ids.get(name.replace("-etcd", "")))
        assert.include([...ids.values()], floatingIps[0]?.json["server"])
      })))

  it.live("that another server uses is refused, with the server's name (H2)", () =>
    onFake({}, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        yield* hetzner.createNodes(one)
        const server = yield* fake.seed.server({ name: "other" })
        yield* fake.seed.volume({
          name: "dev-control-plane-1-etcd",
          labels: { ...ours(), "kubelayer.keep": "true" },
          server,
          size: 10
        })
        yield* fake.clearCalls
        const error = yield* failure(hetzner.createNodes({ ...one, volumes: attached.volumes ?? [] }))
        assert.include(error.message, "server: \"other\" (requested \"dev-control-plane-1\")")
        assert.deepStrictEqual(yield* writes(fake), [])
      })))

  it.live("that is too small is grown by apply (H2)", () =>
    onFake({}, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        const volumes = (sizeGb: number) => ({ ...one, volumes: [{ name: "data", sizeGb }] })
        yield* hetzner.createNodes(volumes(10))
        const plan = yield* hetzner.plan(volumes(20))
        assert.deepStrictEqual(actions(plan), ["update volume dev-data"])
        yield* hetzner.apply(plan)
        assert.strictEqual((yield* fake.state).volumes[0]?.json["size"], 20)
        assert.deepStrictEqual(actions(yield* hetzner.plan(volumes(10))), ["refuse volume dev-data"])
      })))
})

describe("a load balancer of the cloud controller", () => {
  const service = { "hcloud-ccm/service-uid": "u" }

  it.live("that serves a server of another cluster stays, and is named (H3)", () =>
    onFake({}, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        yield* hetzner.createNodes(one)
        const [network] = (yield* fake.state).networks
        const networks = [network?.id ?? 0]
        const server = yield* fake.seed.server({ name: "unrelated", labels: { app: "other" }, networks })
        yield* fake.seed.loadBalancer({ name: "lb-of-other", labels: service, networks, targets: [server] })
        const report = yield* hetzner.provider.deleteNodes("dev")
        assert.include(told(report), "load-balancer lb-of-other Skipped")
        assert.include(told(report), "network dev-network Skipped")
        assert.include(yield* inventory(fake), "load balancer lb-of-other")
      })))

  for (const network of [undefined, false] as const) {
    it.live(
      `is deleted when its targets are the cluster's servers, also ${
        network === false ? "without a network" : "outside of the network"
      } (H8)`,
      () =>
        onFake({}, ({ fake, hetzner }) =>
          Effect.gen(function*() {
            yield* hetzner.createNodes({ ...spec, ...(network === false ? { network } : {}) })
            const servers = (yield* fake.state).servers.map(({ id }) => id)
            yield* fake.seed.loadBalancer({ name: "ingress", labels: service, targets: servers })
            const plan = yield* hetzner.provider.planDelete("dev")
            assert.include(actions(plan), "delete load-balancer ingress")
            const report = yield* hetzner.provider.deleteNodes("dev")
            assert.include(told(report), "load-balancer ingress Done")
            yield* expectNothing(fake)
          }))
    )
  }

  it.live("without its label that has the cluster's servers as targets stays, and is named with its cost (H8)", () =>
    onFake({}, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        yield* hetzner.createNodes({ ...one, network: false })
        const servers = (yield* fake.state).servers.map(({ id }) => id)
        yield* fake.seed.loadBalancer({ name: "mine", targets: servers })
        const report = yield* hetzner.provider.deleteNodes("dev")
        assert.match(report.skipped[0]?.problem ?? "", /servers of the cluster as targets.*billed: \d+\.\d\d EUR/)
      })))
})

describe("createNodes", () => {
  it.live("refuses other public addresses than the servers have (H4)", () =>
    onFake({}, ({ hetzner }) =>
      Effect.gen(function*() {
        yield* hetzner.createNodes(one)
        const error = yield* failure(hetzner.createNodes({ ...one, publicNet: { ipv4: false } }))
        assert.strictEqual(error._tag === "BackendError" && error.reason._tag, "Differs")
        assert.include(error.message, "publicNet.ipv4: true (requested false)")
      })))

  it.live("ignores nodes of addNodes with another type; a plan shows them (H6)", () =>
    onFake({}, ({ hetzner }) =>
      Effect.gen(function*() {
        yield* hetzner.createNodes(one)
        yield* hetzner.addNodes("dev", { workers: 1, nodes: { ...nodes, serverTypes: ["cx33"] } })
        assert.deepStrictEqual((yield* hetzner.createNodes(one)).done, [])
        yield* hetzner.createNodes({ ...one, workers: 1 })
        assert.deepStrictEqual(actions(yield* hetzner.plan(one)), ["delete node dev-worker-1"])
      })))

  it.live("treats an image by id as the same image by name (H6)", () =>
    onFake({}, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        yield* hetzner.createNodes(one)
        const [server] = (yield* fake.state).servers
        const image = (server?.json["image"] as { readonly id: number } | undefined)?.id ?? 0
        assert.isTrue((yield* hetzner.plan({ ...one, nodes: { ...nodes, image } })).isEmpty)
      })))

  it.live("reports a rescaled server as different, and never as a name that is used (H6)", () =>
    onFake({}, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        yield* fake.seed.server({
          name: "dev-control-plane-1",
          labels: ours("dev", "control-plane"),
          serverType: "cx33"
        })
        const error = yield* failure(hetzner.createNodes({ ...one, network: false, placementGroups: false }))
        assert.strictEqual(error._tag === "BackendError" && error.reason._tag, "Differs")
        assert.include(error.message, "serverType: \"cx33\" (requested \"cx23\")")
      })))
})

it.live("two addNodes of one node each, at the same time, add two nodes (H5)", () =>
  onFake({ fake: { duration: "1 second" } }, ({ another, fake, hetzner }) =>
    Effect.gen(function*() {
      yield* hetzner.createNodes({ ...spec, workers: 1 })
      const add = { workers: 1, nodes }
      const reports = yield* Effect.all([hetzner.addNodes("dev", add), another.addNodes("dev", add)], {
        concurrency: 2
      })
      assert.lengthOf((yield* fake.state).servers, 4)
      assert.deepStrictEqual(
        reports.flatMap(({ done }) => done).filter(({ kind }) => kind === "node").map(({ name }) => name).sort(),
        ["dev-worker-2", "dev-worker-3"]
      )
    })))

it.live("deleteNodes names an unlabelled server and volume that have names of the cluster (H13)", () =>
  onFake({}, ({ fake, hetzner }) =>
    Effect.gen(function*() {
      yield* fake.seed.server({ name: "dev-worker-1" })
      yield* fake.seed.volume({ name: "dev-data" })
      const before = yield* inventory(fake)
      const report = yield* hetzner.provider.deleteNodes("dev")
      assert.deepStrictEqual(told(report).toSorted(), ["node dev-worker-1 Skipped", "volume dev-data Skipped"])
      assert.match(report.skipped[0]?.problem ?? "", /not owned by this cluster \(without labels\)/)
      assert.deepStrictEqual(yield* inventory(fake), before)
    })))

/** A create whose second server is requested only when it is thawed. */
const frozenCreate = (fake: Rig["fake"]) =>
  Effect.gen(function*() {
    const thaw = yield* Deferred.make<void>()
    let posts = 0
    const http = transform(fake.httpClient, (send, request) => {
      if (request.method === "POST" && request.url.endsWith("/servers")) posts++
      return posts < 2 ? send : Effect.andThen(Deferred.await(thaw), send)
    })
    const hetzner = yield* over(http, {
      token: fake.token,
      endpoint: fake.endpoint.replace("127.0.0.1", "localhost"),
      policy: { requestTimeout: "2 hours", nodeTimeout: { create: "1 hour" }, concurrency: { create: 1 } }
    })
    const fiber = yield* Effect.forkChild(Effect.exit(hetzner.createNodes(spec)))
    yield* Effect.sleep("1 minute")
    assert.lengthOf((yield* fake.state).servers, 1)
    const failing = Effect.gen(function*() {
      yield* fake.fault({ on: /POST \/servers$/, fault: { _tag: "Refuse", code: "invalid_input" }, times: 99 })
      yield* Deferred.succeed(thaw, undefined)
      assert.strictEqual((yield* Fiber.join(fiber))._tag, "Failure")
      yield* fake.clearFaults
    })
    return { failing }
  })

describe("an operation that is frozen and fails when it goes on", () => {
  it.live("does not delete the servers that another create uses, which has not ended either", () =>
    onFake({ fake: { duration: "1 second" } }, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        const { failing } = yield* frozenCreate(fake)
        const [adopted] = (yield* fake.state).servers
        yield* fake.takes("create_server", "2 minutes")
        const other = yield* Effect.forkChild(hetzner.createNodes(spec))
        yield* Effect.sleep("30 seconds")
        yield* failing
        yield* Fiber.join(other)
        const { servers } = yield* fake.state
        assert.lengthOf(servers, 3)
        assert.strictEqual(servers.find(({ name }) => name === adopted?.name)?.id, adopted?.id)
        assert.isTrue((yield* hetzner.plan(spec)).isEmpty)
        yield* hetzner.provider.deleteNodes("dev")
        yield* expectNothing(fake)
      })))

  it.live("does not delete the servers of a cluster that another create has finished", () =>
    onFake({ fake: { duration: "1 second" } }, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        const { failing } = yield* frozenCreate(fake)
        yield* hetzner.createNodes(spec)
        const before = (yield* fake.state).servers.map(({ id, name }) => `${id} ${name}`)
        assert.lengthOf(before, 3)
        yield* failing
        assert.deepStrictEqual((yield* fake.state).servers.map(({ id, name }) => `${id} ${name}`), before)
        assert.isTrue((yield* hetzner.plan(spec)).isEmpty)
        yield* hetzner.provider.deleteNodes("dev")
        yield* expectNothing(fake)
      })))
})

describe("pools", () => {
  const pools: Hetzner.HetznerClusterSpec = {
    ...one,
    pools: [
      {
        name: "gpu",
        role: "worker",
        count: 2,
        serverTypes: ["cx33"],
        labels: { gpu: "yes" },
        volumes: [{ name: "data", sizeGb: 10 }]
      },
      { name: "db", role: "worker", count: 1, locations: ["nbg1"] }
    ]
  }

  it.live("have servers of their own type, location, labels and volumes; nodes speak of them", () =>
    onFake({}, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        yield* hetzner.createNodes(pools)
        const { servers, volumes } = yield* fake.state
        assert.deepStrictEqual(servers.map(({ location, name, serverType }) => `${name} ${serverType} ${location}`), [
          "dev-control-plane-1 cx23 fsn1",
          "dev-gpu-1 cx33 fsn1",
          "dev-gpu-2 cx33 fsn1",
          "dev-db-1 cx23 nbg1"
        ])
        assert.strictEqual(servers[1]?.labels["gpu"], "yes")
        assert.deepStrictEqual(volumes.map(({ name }) => name), ["dev-gpu-1-data", "dev-gpu-2-data"])
        const found = yield* hetzner.provider.listNodes("dev")
        assert.deepStrictEqual(found.map(({ pool }) => pool), [undefined, "db", "gpu", "gpu"])
        assert.isTrue((yield* hetzner.plan(pools)).isEmpty)
        const report = yield* hetzner.provider.stopNodes("dev", { pool: "gpu" })
        assert.deepStrictEqual(report.done.map(({ name }) => name), ["dev-gpu-1", "dev-gpu-2"])
      })))

  it.live("that left the spec are surplus, the highest number first; apply deletes them", () =>
    onFake({}, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        yield* hetzner.createNodes(pools)
        const plan = yield* hetzner.plan(one)
        assert.deepStrictEqual(actions(plan), [
          "delete node dev-gpu-2",
          "delete node dev-gpu-1",
          "delete node dev-db-1"
        ])
        yield* hetzner.apply(plan)
        assert.deepStrictEqual((yield* fake.state).servers.map(({ name }) => name), ["dev-control-plane-1"])
      })))

  it.live("get added nodes under their names", () =>
    onFake({}, ({ hetzner }) =>
      Effect.gen(function*() {
        yield* hetzner.createNodes(pools)
        const report = yield* hetzner.addNodes("dev", { workers: 1, pool: "gpu", nodes })
        assert.deepStrictEqual(report.done.map(({ name }) => name), ["dev-gpu-3"])
      })))

  it.live("have all their validation errors at once, with their paths", () =>
    onFake({}, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        const pool = { name: "a", role: "worker", count: 1 } as const
        const error = yield* failure(hetzner.createNodes({
          ...one,
          pools: [pool, pool, { ...pool, name: "b", image: "" }, { ...pool, name: "x".repeat(32), count: 1 }],
          cluster: "c".repeat(40)
        }))
        for (const path of ["pools[1].name", "pools[2].image", "cluster"]) assert.include(error.message, path)
        assert.deepStrictEqual(yield* fake.calls, [])
      })))
})

describe("replaceNodes", () => {
  const withData = { ...spec, volumes: [{ name: "data", each: "worker", sizeGb: 10 }] } as const

  it.live("creates servers again as they were, with their volumes", () =>
    onFake({ nodes }, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        yield* hetzner.createNodes(withData)
        const before = (yield* fake.state).servers
        yield* hetzner.replaceNodes("dev", { nodes: ["dev-worker-1", "dev-worker-2"] })
        const { servers, volumes } = yield* fake.state
        const ids = new Map(servers.map(({ id, name }) => [name, id]))
        assert.deepStrictEqual([...ids.keys()].sort(), before.map(({ name }) => name).sort())
        assert.isTrue(
          servers.every(({ id, name }) => name === "dev-control-plane-1" || before.every((each) => each.id !== id))
        )
        for (const { json, name } of volumes) assert.strictEqual(json["server"], ids.get(name.replace("-data", "")))
        assert.isTrue((yield* hetzner.plan(withData)).isEmpty)
      })))

  it.live("fails before the first delete when the user data of a node is unknown", () =>
    onFake({}, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        yield* hetzner.createNodes({ ...spec, nodes: { ...nodes, userData: "#cloud-config" } })
        yield* fake.clearCalls
        const error = yield* failure(hetzner.replaceNodes("dev", { nodes: ["dev-worker-1"] }))
        assert.strictEqual(error._tag, "InvalidSpec")
        assert.match(error.message, /nodes.userData: node dev-worker-1 was created with other user data/)
        assert.deepStrictEqual(yield* writes(fake), [])
      })))
})

describe("a plan", () => {
  it.live("has the price, the place and the deprecation of what it creates", () =>
    onFake({}, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        yield* fake.offer("cx23", "fsn1", {
          deprecation: { announced: Date.UTC(2026, 0, 1), unavailableAfter: Date.UTC(2030, 5, 1) }
        })
        const plan = yield* hetzner.plan(one)
        const details = plan.steps.find(({ kind }) => kind === "node")?.details ?? {}
        assert.match(details["price"] ?? "", /^\d+\.\d\d EUR a month net \(\d+\.\d\d with VAT\)/)
        assert.strictEqual(details["location"], "fsn1")
        assert.match(details["deprecation"] ?? "", /cx23: deprecated, not available for new servers after 2030-06-01/)
        assert.deepStrictEqual(yield* writes(fake), [])
      })))

  it.live("that was saved is applied with the spec where it has user data", () =>
    onFake({}, ({ hetzner }) =>
      Effect.gen(function*() {
        const secret = { ...one, nodes: { ...nodes, userData: "s3cret" } }
        const plan = yield* hetzner.plan(secret)
        assert.notInclude(JSON.stringify(plan), "s3cret")
        yield* hetzner.apply(plan, { spec: secret })
        assert.isTrue((yield* hetzner.plan(secret)).isEmpty)
      })))
})

describe("an image by label selector", () => {
  const talos = { ...nodes, image: { selector: "os=talos" }, serverTypes: ["cx23", "cax11"] }
  const labels = { os: "talos" }

  it.live("is the newest available snapshot of the server type's architecture", () =>
    onFake({}, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        yield* fake.seed.snapshot({ description: "old", labels, created: 1 })
        const newest = yield* fake.seed.snapshot({ description: "new", labels, created: 2000 })
        yield* fake.seed.snapshot({ description: "arm", labels, architecture: "arm", created: 3000 })
        yield* fake.seed.snapshot({ description: "unready", labels, status: "creating", created: 4000 })
        const image = { ...one, nodes: talos }
        yield* hetzner.createNodes(image)
        const [server] = (yield* fake.state).servers
        assert.deepInclude(server?.json["image"] as object, { id: newest })
        // A newer snapshot is for new servers only.
        yield* fake.seed.snapshot({ description: "newer", labels, created: 5000 })
        assert.isTrue((yield* hetzner.plan(image)).isEmpty)
      })))

  it.live("that selects nothing, or is no selector, is a validation error", () =>
    onFake({}, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        const none = yield* failure(hetzner.createNodes({ ...one, nodes: talos }))
        assert.include(none.message, "controlPlane.image: the label selector \"os=talos\" selects no snapshot")
        yield* fake.clearCalls
        const wrong = { ...nodes, image: { selector: "os=(" } }
        const error = yield* failure(hetzner.createNodes({ ...one, nodes: wrong }))
        assert.include(error.message, "controlPlane.image.selector")
        assert.deepStrictEqual(yield* fake.calls, [])
      })))
})

describe("a network that exists", () => {
  for (const by of ["name", "id", "selector"] as const) {
    it.live(`is joined by its ${by}, by added nodes too, and stays when the cluster is deleted`, () =>
      onFake({}, ({ fake, hetzner }) =>
        Effect.gen(function*() {
          const id = yield* fake.seed.network({
            name: "shared",
            labels: { team: "blue" },
            ipRange: "10.1.0.0/16",
            subnets: [{ ipRange: "10.1.1.0/24", zone: "eu-central" }]
          })
          const existing = by === "name" ? "shared" : by === "id" ? id : { selector: "team=blue" }
          const joined = { ...spec, network: { existing } }
          const planned = yield* hetzner.plan(joined)
          assert.strictEqual(planned.steps.find(({ kind }) => kind === "network")?.action, "unchanged")
          yield* hetzner.createNodes(joined)
          yield* hetzner.addNodes("dev", { workers: 1, nodes })
          const { servers } = yield* fake.state
          assert.deepStrictEqual(servers.map(({ networks }) => networks), servers.map(() => [id]))
          assert.isTrue((yield* hetzner.plan({ ...joined, workers: 3 })).isEmpty)
          yield* hetzner.provider.deleteNodes("dev")
          assert.deepStrictEqual(yield* inventory(fake), ["network shared"])
        })))
  }

  it.live("that does not exist is a validation error with similar names", () =>
    onFake({}, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        yield* fake.seed.network({ name: "shared" })
        const error = yield* failure(hetzner.createNodes({ ...spec, network: { existing: "sharde" } }))
        assert.match(error.message, /network.existing: there is no network sharde.*shared/)
        assert.deepStrictEqual(yield* writes(fake), [])
      })))
})

describe("a load balancer of the spec", () => {
  const guarded: Hetzner.HetznerClusterSpec = { ...spec, controlPlanes: 3, workers: 0, loadBalancer: {} }

  it.live("is in front of all control planes; it is priced, repaired and deleted with the cluster", () =>
    onFake({ fake: { duration: "1 second" } }, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        const planned = yield* hetzner.plan(guarded)
        assert.match(
          planned.steps.find(({ kind }) => kind === "load-balancer")?.details?.["price"] ?? "",
          /EUR a month/
        )
        const report = yield* hetzner.createNodes(guarded)
        assert.include(told(report), "load-balancer dev-load-balancer Done")
        yield* hetzner.addNodes("dev", { controlPlanes: 1, nodes })
        const [balancer] = (yield* fake.state).loadBalancers
        const targets = balancer?.json["targets"] as ReadonlyArray<{ readonly targets: ReadonlyArray<unknown> }>
        assert.lengthOf(targets[0]?.targets ?? [], 4)
        assert.isTrue((yield* hetzner.plan({ ...guarded, controlPlanes: 4 })).isEmpty)
        yield* hetzner.provider.deleteNodes("dev")
        yield* expectNothing(fake)
      })))

  it.live("without its targets and its port is repaired by createNodes", () =>
    onFake({}, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        const { loadBalancer: _, ...plain } = guarded
        yield* hetzner.createNodes(plain)
        yield* fake.seed.loadBalancer({ name: "dev-load-balancer", labels: ours() })
        assert.deepStrictEqual(actions(yield* hetzner.plan(guarded)), ["repair load-balancer dev-load-balancer"])
        yield* hetzner.createNodes(guarded)
        assert.isTrue((yield* hetzner.plan(guarded)).isEmpty)
      })))

  it.live("of another type is changed by apply; a name that something else uses is refused", () =>
    onFake({}, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        yield* hetzner.createNodes(guarded)
        const larger = { ...guarded, loadBalancer: { type: "lb21" } }
        const plan = yield* hetzner.plan(larger)
        assert.deepStrictEqual(actions(plan), ["update load-balancer dev-load-balancer"])
        yield* hetzner.apply(plan)
        assert.isTrue((yield* hetzner.plan(larger)).isEmpty)
        yield* fake.seed.loadBalancer({ name: "shop-load-balancer", labels: { team: "other" } })
        const error = yield* failure(hetzner.createNodes({ ...guarded, cluster: "shop" }))
        assert.strictEqual(error._tag === "BackendError" && error.reason._tag, "NameTaken")
      })))

  it.live("that is left after its servers were removed is deleted with the cluster", () =>
    onFake({}, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        yield* hetzner.createNodes({ ...guarded, network: false })
        yield* hetzner.removeNodes("dev", ["dev-control-plane-1", "dev-control-plane-2", "dev-control-plane-3"])
        yield* hetzner.provider.deleteNodes("dev")
        yield* expectNothing(fake)
      })))
})
