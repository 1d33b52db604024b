/** Networks and addresses of a cluster, where something else uses, fills or removes them, on fakes of four engines. */
import { assert, describe } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { onEvent } from "kubelayer/Progress"
import { reasonsOf } from "kubelayer/ProviderError"
import { dockers, onEach } from "./support/fakes.ts"
import { failing, told } from "./support/told.ts"

const network = "kubelayer-dev"
const spec = { cluster: "dev", controlPlanes: 1, workers: 1 }
const helper = { HostConfig: { NetworkMode: network } }

describe("addresses that the cluster does not own", () => {
  onEach("addNodes passes over the address of a container that is not a node (D1)", (world) =>
    Effect.gen(function*() {
      const { docker, networksOf, run } = world
      yield* docker.createNodes({ ...spec, workers: 0 })
      yield* run("helper-tool", helper)
      assert.deepStrictEqual(yield* networksOf("helper-tool"), { [network]: "10.89.0.3" })
      assert.strictEqual(told(yield* docker.addNodes("dev", { workers: 1 }))["dev-worker"], "Done")
      assert.deepStrictEqual(yield* networksOf("dev-worker"), { [network]: "10.89.0.4" })
    }))

  onEach("addNodes passes over the address of a second interface (D1)", (world) =>
    Effect.gen(function*() {
      const { docker, networksOf, run, send } = world
      yield* docker.createNodes({ ...spec, workers: 0 })
      yield* run("registry")
      assert.strictEqual(yield* send("POST", `/networks/${network}/connect`, { Container: "registry" }), 200)
      const taken = (yield* networksOf("registry"))?.[network]
      assert.strictEqual(told(yield* docker.addNodes("dev", { workers: 1 }))["dev-worker"], "Done")
      assert.strictEqual(taken, "10.89.0.3")
      assert.deepStrictEqual(yield* networksOf("dev-worker"), { [network]: "10.89.0.4" })
    }))

  onEach(
    "an address that is taken after the list is named, with its network and its container (D1)",
    (world) =>
      Effect.gen(function*() {
        const { docker, run, states } = world
        yield* docker.createNodes({ ...spec, workers: 0 })
        let isTaken = false
        const error = yield* failing(
          "NodesNotCreated",
          docker.addNodes("dev", { workers: 1 }).pipe(onEvent((event) =>
            Effect.suspend(() => {
              if (event._tag !== "Sent" || event.subject.name !== "dev-worker" || isTaken) return Effect.void
              isTaken = true
              return run("helper-tool", helper)
            })
          ))
        )
        assert.deepStrictEqual(reasonsOf(error).map(({ _tag }) => _tag), ["InUse"])
        assert.include(
          error.message,
          "address 10.89.0.3 of network \"kubelayer-dev\" is used by container \"helper-tool\""
        )
        assert.include(error.message, "nodes were not added to cluster \"dev\"")
        assert.deepStrictEqual(yield* states, ["dev-control-plane running", "helper-tool running"])
      })
  )

  onEach(
    "startNodes names the container that has the address of a stopped node (D1)",
    (world) =>
      Effect.gen(function*() {
        const { docker, run } = world
        yield* docker.createNodes(spec)
        yield* docker.provider.stopNodes("dev")
        yield* run("first", helper)
        yield* run("second", helper)
        const error = yield* failing("NodesFailed", docker.provider.startNodes("dev"))
        assert.deepStrictEqual(told(error.report), { "dev-control-plane": "Failed", "dev-worker": "Failed" })
        const reasons = reasonsOf(error)
        assert.deepStrictEqual(reasons.map(({ _tag }) => _tag), ["InUse", "InUse"])
        assert.deepStrictEqual(reasons.map(({ detail }) => detail), [
          "address 10.89.0.2 of network \"kubelayer-dev\" is used by container \"first\"",
          "address 10.89.0.3 of network \"kubelayer-dev\" is used by container \"second\""
        ])
      }),
    { engines: dockers }
  )
})

describe("nodes whose network is gone", () => {
  onEach(
    "createNodes connects stopped nodes to the new network and starts them (D2)",
    (world) =>
      Effect.gen(function*() {
        const { docker, networksOf, send, states } = world
        yield* docker.createNodes(spec)
        yield* docker.provider.stopNodes("dev")
        assert.strictEqual(yield* send("DELETE", `/networks/${network}`), 204)
        const report = yield* docker.createNodes(spec)
        assert.deepStrictEqual(told(report), { [network]: "Done", "dev-control-plane": "Done", "dev-worker": "Done" })
        assert.deepStrictEqual(yield* states, ["dev-control-plane running", "dev-worker running"])
        assert.deepStrictEqual(yield* networksOf("dev-control-plane"), { [network]: "10.89.0.2" })
        assert.deepStrictEqual(yield* networksOf("dev-worker"), { [network]: "10.89.0.3" })
        assert.isTrue((yield* docker.plan(spec)).isEmpty)
      }),
    { engines: dockers }
  )

  const withData = { ...spec, networks: [{ name: "data" }], nodes: { networks: ["data"] } }

  onEach(
    "createNodes connects stopped nodes to an extra network that was removed (D2)",
    (world) =>
      Effect.gen(function*() {
        const { docker, networksOf, send, states } = world
        yield* docker.createNodes(withData)
        yield* docker.provider.stopNodes("dev")
        assert.strictEqual(yield* send("DELETE", "/networks/dev-data"), 204)
        const report = yield* docker.createNodes(withData)
        assert.strictEqual(told(report)["dev-data"], "Done")
        assert.deepStrictEqual(yield* states, ["dev-control-plane running", "dev-worker running"])
        for (const node of ["dev-control-plane", "dev-worker"]) {
          assert.hasAllKeys(yield* networksOf(node), [network, "dev-data"])
        }
        assert.isTrue((yield* docker.plan(withData)).isEmpty)
      }),
    { engines: dockers }
  )

  onEach(
    "createNodes connects stopped nodes to an external network that was created again (D2)",
    (world) =>
      Effect.gen(function*() {
        const { docker, networksOf, send, states } = world
        const external = { ...spec, networks: [{ name: "out", external: true }], nodes: { networks: ["out"] } }
        assert.strictEqual(yield* send("POST", "/networks/create", { Name: "out" }), 201)
        yield* docker.createNodes(external)
        yield* docker.provider.stopNodes("dev")
        assert.strictEqual(yield* send("DELETE", "/networks/out"), 204)
        assert.strictEqual(yield* send("POST", "/networks/create", { Name: "out" }), 201)
        yield* docker.createNodes(external)
        assert.deepStrictEqual(yield* states, ["dev-control-plane running", "dev-worker running"])
        assert.isTrue((yield* docker.plan(external)).isEmpty)
        assert.hasAllKeys(yield* networksOf("dev-worker"), [network, "out"])
      }),
    { engines: dockers }
  )

  onEach(
    "createNodes connects a running node that was disconnected, on its own address (D2)",
    (world) =>
      Effect.gen(function*() {
        const { docker, networksOf, send } = world
        yield* docker.createNodes(spec)
        assert.strictEqual(yield* send("POST", `/networks/${network}/disconnect`, { Container: "dev-worker" }), 200)
        const plan = yield* docker.plan(spec)
        assert.deepStrictEqual(
          plan.changes.map(({ action, differences, name }) => [name, action, differences.map(({ field }) => field)]),
          [["dev-worker", "repair", [`networks.${network}`]]]
        )
        assert.deepStrictEqual(told(yield* docker.createNodes(spec)), {
          [network]: "AlreadyDone",
          "dev-control-plane": "AlreadyDone",
          "dev-worker": "Done"
        })
        assert.deepStrictEqual(yield* networksOf("dev-worker"), { [network]: "10.89.0.3" })
      })
  )
})

describe("a create that ended between the create of a node and its connection", () => {
  const two = { ...spec, networks: [{ name: "data" }], nodes: { networks: ["data"] } }

  onEach("the next create adopts the nodes and connects them (D3)", (world) =>
    Effect.gen(function*() {
      const { another, docker, fake, networksOf, states } = world
      // The first process never gets further than its first connect calls, as if it were killed there.
      yield* fake.fault({ on: /^POST \/networks\/[^/]+\/connect/, times: 2, fault: { _tag: "HangBefore" } })
      yield* Effect.forkScoped(docker.createNodes(two))
      yield* Effect.sleep("1 second")
      assert.deepStrictEqual(yield* states, ["dev-control-plane created", "dev-worker created"])
      const second = yield* another
      yield* second.createNodes(two)
      assert.deepStrictEqual(yield* states, ["dev-control-plane running", "dev-worker running"])
      for (const node of ["dev-control-plane", "dev-worker"]) {
        assert.hasAllKeys(yield* networksOf(node), [network, "dev-data"])
      }
      assert.isTrue((yield* second.plan(two)).isEmpty)
    }))

  onEach("a create that fails at its connections leaves nothing (D3)", (world) =>
    Effect.gen(function*() {
      const { docker, fake, networkNames, states } = world
      yield* fake.fault({
        on: /^POST \/networks\/[^/]+\/connect/,
        times: Infinity,
        fault: { _tag: "Refuse", status: 400, message: "the test refuses it" }
      })
      const error = yield* failing("NodesNotCreated", docker.createNodes(two))
      assert.deepStrictEqual(error.leftovers, [])
      assert.deepStrictEqual([yield* states, yield* networkNames], [[], []])
    }))
})

describe("clusters in another network than that of their scheme", () => {
  const node = (role: string) => ({
    Labels: { "io.x-k8s.kind.cluster": "own", "io.x-k8s.kind.role": role },
    HostConfig: { NetworkMode: "mynet" }
  })

  onEach(
    "addNodes puts new nodes into the network of the others, and creates no network (D4)",
    (world) =>
      Effect.gen(function*() {
        const { docker, networkNames, networksOf, run, send } = world
        assert.strictEqual(yield* send("POST", "/networks/create", { Name: "mynet" }), 201)
        yield* run("own-control-plane", node("control-plane"))
        yield* run("own-worker", node("worker"))
        yield* docker.addNodes("own", { workers: 2 })
        for (const name of ["own-worker2", "own-worker3"]) assert.hasAllKeys(yield* networksOf(name), ["mynet"])
        assert.notInclude(yield* networkNames, "kind")
      }),
    { layer: { scheme: "kind" } }
  )

  onEach("replaceNodes keeps nodes in the network of the others (D4)", (world) =>
    Effect.gen(function*() {
      const { docker, networkNames, networksOf, run, send } = world
      assert.strictEqual(yield* send("POST", "/networks/create", { Name: "mynet" }), 201)
      yield* run("own-control-plane", node("control-plane"))
      yield* run("own-worker", node("worker"))
      yield* docker.creator.replaceNodes("own", { nodes: ["own-worker"] })
      assert.hasAllKeys(yield* networksOf("own-worker"), ["mynet"])
      assert.notInclude(yield* networkNames, "kind")
    }), { layer: { scheme: "kind" } })
})

describe("exhausted and overlapping subnets", () => {
  const pools = [{ base: "172.30.0.0/24", size: 24 }]
  const creates = (counts: Readonly<Record<string, number>>, template: string) => counts[`POST ${template}`] ?? 0

  for (const scheme of ["kind", "k3d"] as const) {
    onEach(
      `createNodes says to remove networks where no address pool is left, in scheme ${scheme} (D5)`,
      (world) =>
        Effect.gen(function*() {
          const { docker, fake, send, states } = world
          for (let n = 0, status = 201; n < 300 && status < 300; n++) {
            status = yield* send("POST", "/networks/create", { Name: `pool-${n}` })
          }
          const error = yield* failing("NodesNotCreated", docker.createNodes(spec))
          assert.deepStrictEqual(reasonsOf(error).map(({ _tag }) => _tag), ["QuotaExceeded"])
          assert.include(error.message, "docker network prune")
          assert.strictEqual(creates(yield* fake.counts, "/networks/create"), 1)
          assert.deepStrictEqual(yield* states, [])
        }),
      { engines: dockers, layer: { scheme }, fake: { addressPools: pools } }
    )
  }

  onEach("createNodes names an external network that has no free address (D5)", (world) =>
    Effect.gen(function*() {
      const { docker, fake, send, states } = world
      assert.strictEqual(
        yield* send("POST", "/networks/create", { Name: "tiny", IPAM: { Config: [{ Subnet: "10.99.0.0/30" }] } }),
        201
      )
      const error = yield* failing(
        "NodesNotCreated",
        docker.createNodes({
          cluster: "tin",
          controlPlanes: 1,
          workers: 2,
          networks: [{ name: "tiny", external: true }],
          nodes: { networks: ["tiny"] }
        })
      )
      assert.include(reasonsOf(error).map(({ _tag }) => _tag), "QuotaExceeded")
      assert.include(error.message, "network \"tiny\" has no free address")
      assert.deepStrictEqual(yield* states, [])
      const starts = (yield* fake.calls).filter(({ path }) => path.endsWith("/start")).map(({ path }) => path)
      assert.lengthOf(starts, new Set(starts).size)
    }))

  onEach(
    "createNodes names the network whose subnet overlaps with the requested one (D5)",
    (world) =>
      Effect.gen(function*() {
        const { docker, send } = world
        assert.strictEqual(
          yield* send("POST", "/networks/create", { Name: "other", IPAM: { Config: [{ Subnet: "10.77.0.0/16" }] } }),
          201
        )
        const error = yield* failing(
          "NodesNotCreated",
          docker.createNodes({ ...spec, network: { subnet: "10.77.5.0/24" } })
        )
        assert.deepStrictEqual(reasonsOf(error).map(({ _tag }) => _tag), ["Conflict"])
        assert.include(
          error.message,
          "subnet 10.77.5.0/24 overlaps with subnet 10.77.0.0/16 of network \"other\""
        )
      })
  )
})

describe("a node that is being removed", () => {
  onEach("createNodes waits until it is gone, and creates it again (D6)", (world) =>
    Effect.gen(function*() {
      const { another, docker, states } = world
      const six = { cluster: "dev", controlPlanes: 1, workers: 5 }
      yield* docker.createNodes(six)
      const first = (yield* docker.provider.listNodes("dev")).map(({ id }) => id)
      const second = yield* another
      const deleting = yield* Effect.forkScoped(docker.provider.deleteNodes("dev"))
      yield* Effect.sleep("1 second")
      const report = yield* second.createNodes(six)
      assert.strictEqual(Object.values(told(report)).filter((tag) => tag === "Done").length, 7)
      assert.deepStrictEqual(
        (yield* states).map((line) => line.replace(/.* /, "")),
        Array.from({ length: 6 }, () => "running")
      )
      assert.notIncludeMembers(first, (yield* second.provider.listNodes("dev")).map(({ id }) => id))
      yield* Fiber.await(deleting)
    }), { engines: dockers, fake: { durations: { remove: "8 seconds" } } })

  for (const state of ["removing", "dead"] as const) {
    onEach(`createNodes names the state of a container that stays ${state} (D6)`, (world) =>
      Effect.gen(function*() {
        const { docker, fake } = world
        yield* docker.createNodes(spec)
        const { containers } = yield* fake.state
        const worker = containers.find(({ name }) => name === "dev-worker")
        yield* fake.vanish("container", "dev-worker")
        yield* fake.seed.container({ name: "dev-worker", labels: worker?.labels ?? {}, state, networks: [network] })
        const error = yield* failing("NodesNotCreated", docker.createNodes(spec))
        assert.strictEqual(told(error.report)["dev-worker"], "Failed")
        assert.include(error.message, state)
      }), { engines: dockers })
  }
})
