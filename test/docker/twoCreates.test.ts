/** Two creates of one cluster at once, each through a service of its own, and what one of them sees of the other. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type { DockerClusterSpec } from "kubelayer/layers/Docker"
import { type Heard, json, type Reply } from "./support/Conversation.ts"
import { type FakeEngine, pretend } from "./support/pretend.ts"
import { failureOf, serviceAt } from "./support/service.ts"
import { told } from "./support/told.ts"

const spec: DockerClusterSpec = {
  cluster: "dev",
  controlPlanes: 1,
  workers: 2,
  volumes: [{ name: "data" }],
  nodes: { image: "node", volumes: [{ name: "data", target: "/data" }] }
}
const policy = { poll: Schedule.spaced("1 millis") } as const

describe("the same create twice at once, through two services", () => {
  it.live("makes each node, network and volume once", () =>
    Effect.gen(function*() {
      const engine = yield* pretend()
      const services = [yield* serviceAt(engine, { policy }), yield* serviceAt(engine, { policy })]
      const reports = yield* Effect.forEach(services, (docker) => docker.createNodes(spec), { concurrency: 2 })
      assert.deepStrictEqual(engine.containers.map(({ name, state }) => `${name} ${state}`).sort(), [
        "dev-control-plane running",
        "dev-worker running",
        "dev-worker2 running"
      ])
      assert.deepStrictEqual(engine.networks.map(({ name }) => name), ["kubelayer-dev"])
      const volumes = engine.volumes.map(({ name }) => name).filter((name) => !name.startsWith("kubelayer-fate-"))
      assert.deepStrictEqual(volumes, ["dev-data"])
      for (const report of reports) {
        assert.isFalse(report.isFailure)
        assert.lengthOf(report.outcomes, 5)
      }
      // The volume that records the decision about the operation is removed too.
      yield* services[0]?.provider.deleteNodes("dev") ?? Effect.void
      assert.deepStrictEqual([...engine.containers, ...engine.networks, ...engine.volumes], [])
    }))
})

describe("a network name in use by a network that the engine does not list yet", () => {
  const withHolder = Effect.fnUntraced(function*(owner: "ours" | "foreign" | "nobody") {
    let refusals = 0
    const engine: FakeEngine = yield* pretend({
      script: (heard): Reply | undefined => {
        if (heard.path !== "/networks/create" || ++refusals > 3) return undefined
        if (refusals === 3 && owner !== "nobody") {
          const { Labels, Name } = heard.body as { readonly Labels: Record<string, string>; readonly Name: string }
          const labels = owner === "ours" ? { ...Labels, "kubelayer.operation": "of-somebody-else" } : {}
          engine.add({ networks: [{ id: "held", name: Name, labels, subnet: "10.89.7.0/24" }] })
        }
        return json({ message: "network with name kubelayer-dev already exists" }, 409)
      }
    })
    return { engine, docker: yield* serviceAt(engine, { policy }) }
  })

  it.live("is adopted when the network is the same, created by another create", () =>
    Effect.gen(function*() {
      const { docker, engine } = yield* withHolder("ours")
      const report = yield* docker.createNodes(spec)
      assert.strictEqual(told(report)["kubelayer-dev"], "AlreadyDone")
      assert.deepStrictEqual(engine.networks.map(({ id }) => id), ["held"])
      // Addresses are those of the network that is there.
      const addresses = engine.containers.map(({ labels }) => labels["kubelayer.address"]).sort()
      assert.deepStrictEqual(addresses, ["10.89.7.2", "10.89.7.3", "10.89.7.4"])
    }))

  it.live("fails with NameTaken when the network is not owned by the cluster, and keeps it", () =>
    Effect.gen(function*() {
      const { docker, engine } = yield* withHolder("foreign")
      const error = yield* failureOf(docker.createNodes(spec))
      assert.strictEqual(error._tag, "NodesNotCreated")
      if (error._tag === "NodesNotCreated") assert.deepStrictEqual(error.reasons.map(({ _tag }) => _tag), ["NameTaken"])
      assert.deepStrictEqual(engine.networks.map(({ id }) => id), ["held"])
    }))

  it.live("is retried until it is free, and the network is created", () =>
    Effect.gen(function*() {
      const { docker, engine } = yield* withHolder("nobody")
      yield* docker.createNodes(spec)
      assert.deepStrictEqual(engine.networks.map(({ name }) => name), ["kubelayer-dev"])
    }))
})

describe("a network name that is ambiguous until another create removes its duplicate", () => {
  const ambiguous = json({ message: "network kubelayer-dev is ambiguous (2 matches found on name)" }, 400)
  const withTwo = Effect.fnUntraced(function*(refusals: number) {
    let left = refusals
    const engine: FakeEngine = yield* pretend({
      script: ({ path }) => path === "/containers/create" && left-- > 0 ? ambiguous : undefined
    })
    const times = Schedule.upTo(Schedule.spaced("1 millis"), { times: 20 })
    return { engine, docker: yield* serviceAt(engine, { policy: { poll: times } }) }
  })

  it.live("is retried, and all nodes are created", () =>
    Effect.gen(function*() {
      const { docker, engine } = yield* withTwo(5)
      yield* docker.createNodes(spec)
      assert.strictEqual(engine.containers.filter(({ state }) => state === "running").length, 3)
    }))

  it.live("is reported with the engine's message when it stays ambiguous", () =>
    Effect.gen(function*() {
      const { docker, engine } = yield* withTwo(1000)
      const error = yield* failureOf(docker.createNodes(spec))
      assert.include(error.message, "is ambiguous")
      assert.deepStrictEqual([engine.containers, engine.networks, engine.volumes], [[], [], []])
    }))
})

describe("a node that another create created at the same time", () => {
  /** The other create adds the node when ours requests it, and removes it from the second list request on. */
  const madeByTheOther = Effect.fnUntraced(function*(state: "created" | "running", gone: "before" | "during") {
    let held: Heard | undefined
    let listings = 0
    const engine: FakeEngine = yield* pretend({
      script: (heard): Reply | undefined => {
        if (heard.path === "/containers/create" && heard.query["name"] === "dev-worker" && held === undefined) {
          held = heard
          const { Labels } = heard.body as { readonly Labels: Record<string, string> }
          engine.add({
            containers: [{
              id: "h".repeat(64),
              name: "dev-worker",
              labels: { ...Labels, "kubelayer.operation": "of-somebody-else" },
              state,
              image: "node",
              networks: ["kubelayer-dev"],
              body: heard.body
            }]
          })
        }
        // The first list after that finds who has the name, the second one decides what runs.
        const isLast = heard.path === "/containers/json" && held !== undefined && ++listings === 2
        const isStart = held !== undefined && heard.path.endsWith("/start") && !heard.path.includes("h".repeat(64))
        if (gone === "before" ? isLast : isStart) engine.vanish("container", "dev-worker")
        return undefined
      }
    })
    return { engine, docker: yield* serviceAt(engine, { policy }) }
  })

  for (const state of ["created", "running"] as const) {
    for (const gone of ["before", "during"] as const) {
      it.live(`fails the create, which leaves nothing, when it disappears ${gone} the start: ${state}`, () =>
        Effect.gen(function*() {
          const { docker, engine } = yield* madeByTheOther(state, gone)
          const error = yield* failureOf(docker.createNodes(spec))
          assert.strictEqual(error._tag, "NodesNotCreated")
          if (error._tag !== "NodesNotCreated") return
          assert.strictEqual(told(error.report)["dev-worker"], "Failed")
          assert.deepStrictEqual(error.reasons.map(({ _tag }) => _tag), ["NotFoundError"])
          assert.deepStrictEqual(error.leftovers, [])
          assert.deepStrictEqual([...engine.containers, ...engine.networks, ...engine.volumes], [])
        }))
    }
  }

  it.live("stays when this create fails", () =>
    Effect.gen(function*() {
      let held = false
      const engine: FakeEngine = yield* pretend({
        script: (heard): Reply | undefined => {
          if (heard.path !== "/containers/create") return undefined
          if (heard.query["name"] === "dev-worker2") return json({ message: "no such thing as a node" }, 501)
          if (heard.query["name"] === "dev-worker" && !held) {
            held = true
            const { Labels } = heard.body as { readonly Labels: Record<string, string> }
            const labels = { ...Labels, "kubelayer.operation": "of-somebody-else" }
            engine.add({ containers: [{ id: "held", name: "dev-worker", labels, state: "running", image: "node" }] })
          }
          return undefined
        }
      })
      const docker = yield* serviceAt(engine, { policy })
      const error = yield* failureOf(docker.createNodes(spec))
      assert.strictEqual(error._tag, "NodesNotCreated")
      assert.deepStrictEqual(engine.containers.map(({ id, state }) => `${id} ${state}`), ["held running"])
    }))
})
