/** Watches on engines whose event streams open late, fail at first, or have events of another form. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import * as Docker from "kubelayer/layers/Docker"
import { DockerFake } from "kubelayer/testing"
import { simulated } from "../../src/testing/SimulatedTime.ts"
import { Feed, json, refusal, until } from "./support/Conversation.ts"
import { pretend } from "./support/pretend.ts"
import { failureOf, kindNode, serviceAt } from "./support/service.ts"

const node = kindNode("dev-control-plane", "dev", "control-plane")
const world = { containers: [node] }

/** The list of an engine whose only node has this state. */
const listed = (state: string) => json([{ Id: "4fe", Names: [`/${node.name}`], State: state, Labels: node.labels }])

describe("watchCluster", () => {
  it.live("gives the present status first where the event stream opens late, and goes on after that (P4)", () =>
    Effect.gen(function*() {
      const feed = new Feed()
      let open: () => void = () => {}
      let state = "running"
      const engine = yield* pretend({
        script: ({ path }) =>
          path === "/events"
            ? (response) => void (open = () => feed.reply(response))
            : path === "/containers/json"
            ? listed(state)
            : undefined
      })
      // Shorter than the time for which the headers are missing.
      const { provider } = yield* serviceAt(engine, { scheme: "kind", policy: { requestTimeout: "500 millis" } })
      const seen: Array<string> = []
      const watch = yield* provider.watchCluster("dev").pipe(
        Stream.runForEach(({ phase }) => Effect.sync(() => seen.push(phase))),
        Effect.forkChild
      )
      yield* until("the present status is there", () => seen.length === 1)
      assert.deepStrictEqual(seen, ["running"])
      state = "exited"
      open()
      yield* until("the change is there", () => seen.length === 2)
      assert.deepStrictEqual(seen, ["running", "stopped"])
      yield* Fiber.interrupt(watch)
    }))

  it.live("takes an event that cannot be decoded for a change, and goes on (D10)", () =>
    Effect.gen(function*() {
      const feed = new Feed()
      let state = "running"
      const engine = yield* pretend({
        script: ({ path }) => path === "/events" ? feed.reply : path === "/containers/json" ? listed(state) : undefined
      })
      const { provider } = yield* serviceAt(engine, { scheme: "kind" })
      const seen: Array<string> = []
      const watch = yield* provider.watchCluster("dev").pipe(
        Stream.runForEach(({ phase }) => Effect.sync(() => seen.push(phase))),
        Effect.forkChild
      )
      yield* until("the present status is there", () => seen.length === 1)
      state = "exited"
      const attributes = { name: "dev-control-plane", "io.x-k8s.kind.cluster": "dev", containerExitCode: 137 }
      feed.write(
        `${JSON.stringify({ Type: "container", Action: "died", Actor: { ID: "x", Attributes: attributes } })}\n`
      )
      yield* until("the change is there", () => seen.length === 2)
      state = "running"
      feed.write("not json\n")
      yield* until("the next change is there", () => seen.length === 3)
      assert.deepStrictEqual(seen, ["running", "stopped", "running"])
      yield* Fiber.interrupt(watch)
    }))

  it.live("opens the event stream again where the first opening fails as a read may (D10)", () =>
    Effect.gen(function*() {
      let openings = 0
      const engine = yield* pretend({
        world,
        script: ({ path }) =>
          path === "/events" && openings++ === 0 ? refusal(500, "failed to get journal cursor") : undefined
      })
      const { provider } = yield* serviceAt(engine, { scheme: "kind" })
      const [first] = yield* Stream.runCollect(Stream.take(provider.watchCluster("dev"), 1))
      assert.strictEqual(first?.phase, "running")
      assert.isAtLeast(openings, 2)
    }))

  for (const version of ["4.3.1", "5.8.2"] as const) {
    it.live(`lists nothing for an exec on Podman ${version} (P13)`, () =>
      simulated(Effect.scoped(Effect.gen(function*() {
        const fake = yield* DockerFake.make({ flavor: "podman", version, listen: "none", images: { node: {} } })
        const docker = yield* Effect.provide(Docker.make({ nodes: { image: "node" } }), fake.transport)
        yield* docker.createNodes({ cluster: "dev", controlPlanes: 1, workers: 0 })
        yield* Effect.forkChild(Stream.runDrain(docker.provider.watchCluster("dev")))
        yield* Effect.sleep("10 seconds")
        const lists = Effect.map(fake.counts, (counts) => counts["GET /containers/json"] ?? 0)
        const before = yield* lists
        // An exec lists the nodes once, to find the container.
        yield* Stream.runDrain(docker.exec("dev", "dev-control-plane", { command: ["true"] }))
        yield* Effect.sleep("10 seconds")
        assert.strictEqual((yield* lists) - before, 1)
      }))))
  }
})

describe("lists with entries of another form", () => {
  const good = { Id: "4fe", Names: ["/dev-worker"], State: "running", Labels: kindNode("dev-worker").labels }
  const strange: ReadonlyArray<unknown> = [
    { Id: "5af", Names: ["/other"], Labels: { a: "b" } },
    { Id: "5af", Names: ["/other"], State: "running", Labels: { a: null } },
    { Id: "5af", Names: null, State: 7, Labels: null },
    null,
    "text"
  ]

  it.live("leave out an entry that belongs to no cluster here (D11)", () =>
    Effect.gen(function*() {
      for (const entry of strange) {
        const engine = yield* pretend({
          script: ({ path }) => path === "/containers/json" ? json([entry, good]) : undefined
        })
        const { provider } = yield* serviceAt(engine, { scheme: "auto" })
        assert.deepStrictEqual((yield* provider.listNodes("dev")).map(({ name }) => name), ["dev-worker"])
        assert.deepStrictEqual([...(yield* provider.listAllClusters)], ["dev"])
      }
    }))

  it.live("fail where the entry belongs to the cluster", () =>
    Effect.gen(function*() {
      const broken = { ...good, Id: "5af", Names: ["/dev-worker2"], State: null }
      const engine = yield* pretend({
        script: ({ path }) => path === "/containers/json" ? json([broken, good]) : undefined
      })
      const { provider } = yield* serviceAt(engine, { scheme: "auto" })
      const error = yield* failureOf(provider.listNodes("dev"))
      assert.include(error.message, "InvalidResponse")
    }))
})

describe("portMappings", () => {
  for (const [flavor, version] of [["docker", "29.0.0"], ["podman", "4.3.1"], ["podman", "5.8.2"]] as const) {
    it.live(`has no ports of a stopped or never-started node: ${flavor} ${version} (P7)`, () =>
      simulated(Effect.scoped(Effect.gen(function*() {
        const fake = yield* DockerFake.make({ flavor, version, listen: "none", images: { node: {} } })
        const docker = yield* Effect.provide(
          Docker.make({ nodes: { image: "node" }, controlPlane: { ports: [{ container: 6443, host: 16443 }] } }),
          fake.transport
        )
        yield* docker.createNodes({ cluster: "dev", controlPlanes: 1, workers: 0 })
        assert.include((yield* docker.portMappings("dev")).map(({ host }) => host), 16443)
        yield* docker.provider.stopNodes("dev")
        assert.deepStrictEqual(yield* docker.portMappings("dev"), [])
      }))))
  }
})
