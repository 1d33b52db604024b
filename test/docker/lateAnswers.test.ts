/** Requests that an engine completes after their timeout, and responses that are not from an engine. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Logger from "effect/Logger"
import * as Schedule from "effect/Schedule"
import type { DockerClusterSpec } from "kubelayer/layers/Docker"
import * as FaultProxy from "kubelayer/testing/FaultProxy"
import { type Heard, json, type Reply, silence } from "./support/Conversation.ts"
import { type FakeEngine, pretend } from "./support/pretend.ts"
import { failureOf, kindNode, serviceAt } from "./support/service.ts"

/** Its one create gets no response; the container appears at the `listing`th list request after that. */
const engineThatIsLate = Effect.fnUntraced(function*(listing: number) {
  let late: Heard | undefined
  let listings = 0
  const make = (at: FakeEngine, { body, query }: Heard) =>
    at.add({
      containers: [{
        id: "l".repeat(64),
        name: query["name"] ?? "",
        labels: (body as { readonly Labels: Record<string, string> }).Labels,
        state: "created",
        image: "node",
        networks: []
      }]
    })
  const engine: FakeEngine = yield* pretend({
    script: (heard): Reply | undefined => {
      if (heard.path === "/containers/create") {
        late = heard
        return silence
      }
      if (heard.path === "/containers/json" && late !== undefined && ++listings === listing) make(engine, late)
      return undefined
    }
  })
  return engine
})

const spec: DockerClusterSpec = { cluster: "dev", controlPlanes: 1, workers: 0, nodes: { image: "node" } }
/** Only the create takes this long. */
const policy = { requestTimeout: "1 second" } as const

const leftoversOf = (error: object) =>
  "leftovers" in error ? (error.leftovers as ReadonlyArray<{ kind: string; name: string }>) : []

describe("a create that the engine carries out late", () => {
  it.live("is listed again for a while, and its container is removed", () =>
    Effect.gen(function*() {
      const engine = yield* engineThatIsLate(3)
      const docker = yield* serviceAt(engine, { policy })
      const error = yield* failureOf(docker.createNodes(spec))
      assert.strictEqual(error._tag, "NodesNotCreated")
      assert.deepStrictEqual(engine.containers, [])
      assert.deepStrictEqual(leftoversOf(error), [])
    }))

  it.live("is named as a leftover when its container has not appeared by then", () =>
    Effect.gen(function*() {
      const engine = yield* engineThatIsLate(1000)
      const docker = yield* serviceAt(engine, { policy })
      const error = yield* failureOf(docker.createNodes(spec))
      assert.deepStrictEqual(leftoversOf(error).map(({ kind, name }) => `${kind} ${name}`), ["node dev-control-plane"])
    }))

  it.live("is named in a warning when the create was interrupted", () =>
    Effect.gen(function*() {
      const engine = yield* engineThatIsLate(1000)
      const docker = yield* serviceAt(engine, { policy })
      const warnings: Array<string> = []
      const logger = Logger.make<unknown, void>(({ message }) => void warnings.push(String(message)))
      const fiber = yield* Effect.forkChild(Effect.provide(docker.createNodes(spec), Logger.layer([logger])))
      while (!engine.told().includes("POST /containers/create")) yield* Effect.sleep("1 millis")
      yield* Fiber.interrupt(fiber)
      assert.match(warnings.join("\n"), /node dev-control-plane/)
    }))

  it.live("is named as a leftover with onFailure keep, with everything else that was created", () =>
    Effect.gen(function*() {
      const engine = yield* engineThatIsLate(1000)
      const docker = yield* serviceAt(engine, { policy })
      const error = yield* failureOf(docker.createNodes({ ...spec, onFailure: "keep" }))
      assert.deepStrictEqual(leftoversOf(error).map(({ kind, name }) => `${kind} ${name}`), [
        "network kubelayer-dev",
        "node dev-control-plane"
      ])
    }))
})

describe("a volume whose first request the engine completes late, and whose second it completes at once", () => {
  it.live("is removed again when the create fails, or named as a leftover when it has not appeared by then", () =>
    Effect.gen(function*() {
      let late: Heard | undefined
      let removals = 0
      const engine: FakeEngine = yield* pretend({
        script: (heard): Reply | undefined => {
          if (heard.path === "/volumes/create" && late === undefined) {
            late = heard
            return silence
          }
          if (heard.path === "/containers/create") return json({ message: "no such thing as a node" }, 501)
          if (heard.method === "DELETE" && heard.path.startsWith("/volumes/")) removals++
          // It appears after the volume of the second request was removed, when volumes are no longer listed.
          if (late !== undefined && removals === 1 && engine.volumes.length === 0 && heard.method === "GET") {
            const { Labels, Name } = late.body as { readonly Labels: Record<string, string>; readonly Name: string }
            engine.add({ volumes: [{ name: Name, labels: Labels }] })
            removals++
          }
          return undefined
        }
      })
      const docker = yield* serviceAt(engine, { policy })
      const error = yield* failureOf(docker.createNodes({ ...spec, volumes: [{ name: "data" }] }))
      assert.strictEqual(error._tag, "NodesNotCreated")
      const told = leftoversOf(error).map(({ kind, name }) => `${kind} ${name}`)
      assert.isTrue(engine.volumes.length === 0 || told.includes("volume dev-data"), told.join())
      // Until then it may appear once more.
      assert.deepStrictEqual(told, ["volume dev-data"])
    }))
})

describe("a container name in use by a container that the engine does not list yet", () => {
  const taken = json({
    message: `Conflict. The container name "/dev-control-plane" is already in use by container "123".`
  }, 409)
  const withHolder = Effect.fnUntraced(function*(owner: "ours" | "foreign" | "nobody") {
    let refusals = 0
    const engine: FakeEngine = yield* pretend({
      script: (heard): Reply | undefined => {
        if (heard.path !== "/containers/create" || ++refusals > 3) return undefined
        if (refusals === 3 && owner !== "nobody") {
          const { Labels } = heard.body as { readonly Labels: Record<string, string> }
          const labels = owner === "ours" ? { ...Labels, "kubelayer.operation": "of-somebody-else" } : {}
          engine.add({
            containers: [{
              id: "h".repeat(64),
              name: heard.query["name"] ?? "",
              labels,
              state: "created",
              image: "node",
              networks: []
            }]
          })
        }
        return taken
      }
    })
    return { engine, docker: yield* serviceAt(engine, { policy: { poll: Schedule.spaced("1 millis") } }) }
  })

  it.live("is adopted when the container is the same node, created by another create", () =>
    Effect.gen(function*() {
      const { docker, engine } = yield* withHolder("ours")
      const report = yield* docker.createNodes(spec)
      assert.isFalse(report.isFailure)
      assert.deepStrictEqual(engine.containers.map(({ id, state }) => [id, state]), [["h".repeat(64), "running"]])
    }))

  it.live("fails with NameTaken when the container is not owned by the cluster, and keeps it", () =>
    Effect.gen(function*() {
      const { docker, engine } = yield* withHolder("foreign")
      const error = yield* failureOf(docker.createNodes(spec))
      assert.strictEqual(error._tag, "NodesNotCreated")
      if (error._tag === "NodesNotCreated") assert.deepStrictEqual(error.reasons.map(({ _tag }) => _tag), ["NameTaken"])
      assert.deepStrictEqual(engine.containers.map(({ state }) => state), ["created"])
    }))

  it.live("is retried until it is free, and the node is created", () =>
    Effect.gen(function*() {
      const { docker, engine } = yield* withHolder("nobody")
      yield* docker.createNodes(spec)
      assert.deepStrictEqual(engine.containers.map(({ state }) => state), ["running"])
    }))
})

describe("a create with onFailure keep", () => {
  it.live("names nodes that were created and could not be started", () =>
    Effect.gen(function*() {
      const engine = yield* pretend({
        script: ({ path }) => path.endsWith("/start") ? json({ message: "no such thing as a start" }, 501) : undefined
      })
      const docker = yield* serviceAt(engine)
      const error = yield* failureOf(docker.createNodes({ ...spec, onFailure: "keep" }))
      assert.deepStrictEqual(leftoversOf(error).map(({ kind, name }) => `${kind} ${name}`).sort(), [
        "network kubelayer-dev",
        "node dev-control-plane"
      ])
      assert.strictEqual(engine.containers.length, 1)
    }))
})

describe("a page with status 200 that is not from an engine", () => {
  for (const [method, pattern] of [["deleteNodes", /^DELETE/], ["stopNodes", /stop$/]] as const) {
    it.live(`${method}: fails with InvalidResponse and does not count as done`, () =>
      Effect.gen(function*() {
        const engine = yield* pretend({ world: { containers: [kindNode("dev-worker")] } })
        const proxy = yield* FaultProxy.make({
          target: engine.host,
          plan: FaultProxy.seeded({
            seed: 1,
            rules: [{ calls: pattern, probability: 1, faults: [FaultProxy.page(200)] }]
          })
        })
        const docker = yield* serviceAt(proxy, { scheme: "kind" })
        const error = yield* failureOf(docker.provider[method]("dev"))
        assert.strictEqual(error._tag, "NodesFailed")
        if (error._tag === "NodesFailed") {
          assert.deepStrictEqual(error.reasons.map(({ _tag }) => _tag), ["InvalidResponse"])
        }
        assert.strictEqual(engine.containers[0]?.state, "running")
      }))
  }
})

describe("a node that was created and never started, and whose network was removed", () => {
  it.live("is created again in the new network", () =>
    Effect.gen(function*() {
      const engine = yield* pretend({
        script: ({ path }) => path.endsWith("/start") ? json({ message: "no such thing as a start" }, 501) : undefined
      })
      const docker = yield* serviceAt(engine)
      yield* failureOf(docker.createNodes({ ...spec, onFailure: "keep" }))
      const [old] = engine.containers
      // Another delete removed the network, which no running container used. Another network got its addresses.
      for (const { name } of engine.networks) engine.vanish("network", name)
      engine.add({ networks: [{ id: "other", name: "other", labels: {}, subnet: "10.89.0.0/24" }] })
      yield* failureOf(docker.createNodes({ ...spec, onFailure: "keep" }))
      const [made] = engine.containers
      assert.strictEqual(old?.labels["kubelayer.address"], "10.89.0.2")
      assert.strictEqual(made?.labels["kubelayer.address"], "10.89.1.2")
      assert.strictEqual(engine.containers.length, 1)
    }))
})

describe("a volume that is missing when its node is created", () => {
  it.live("is created by the engine with the owner labels by which deleteNodes finds it", () =>
    Effect.gen(function*() {
      const engine = yield* pretend()
      const docker = yield* serviceAt(engine)
      const volume = { name: "data", target: "/data" }
      yield* docker.createNodes({ ...spec, volumes: [{ name: "data" }], nodes: { image: "node", volumes: [volume] } })
      const body = engine.containers[0]?.body as {
        readonly HostConfig: { readonly Mounts: ReadonlyArray<Record<string, unknown>> }
      }
      assert.deepStrictEqual(body.HostConfig.Mounts.map(({ Source, VolumeOptions }) => ({ Source, VolumeOptions })), [
        { Source: "dev-data", VolumeOptions: { Labels: engine.volumes[0]?.labels } }
      ])
      assert.strictEqual(engine.volumes[0]?.labels["kubelayer.owned"], "kubelayer/dev")
    }))
})
