import { assert, describe, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Cluster from "kubelayer/Cluster"
import { type ClusterPhase, ClusterStatus, NodeInfo, NodeRole, NodeState } from "kubelayer/Model"
import { NoNodes, ProviderUnavailable } from "kubelayer/ProviderError"
import { BackendError } from "kubelayer/Reason"
import { byName, byRoleThenName } from "../../src/internal/Operation.ts"
import { listing, node, refused } from "./fixtures.ts"

const states = NodeState.literals
const inStates = (...each: ReadonlyArray<NodeState>) => each.map((state, index) => node(`n${index}`, { state }))

/** The rule of phases in other words: what the counted states are, as a set, decides. */
const expectedPhase = (counted: ReadonlyArray<NodeState>, readyState: NodeState): ClusterPhase => {
  const kinds = new Set(counted)
  const only = (state: NodeState) => kinds.size === 1 && kinds.has(state)
  if (kinds.size === 0) return "unknown"
  if (only(readyState)) return "running"
  if (kinds.has(readyState)) return "degraded"
  if (only("stopped")) return "stopped"
  if (kinds.has("creating") || kinds.has("starting")) return "provisioning"
  if (only("deleting")) return "deleting"
  if ([...kinds].every((state) => state === "stopping" || state === "stopped")) return "stopping"
  if (kinds.has("failed")) return "degraded"
  return "unknown"
}

describe("buildClusterStatus", () => {
  it.each<readonly [phase: ClusterPhase, states: ReadonlyArray<NodeState>]>([
    ["running", ["running"]],
    ["running", ["running", "running", "running"]],
    ["degraded", ["running", "stopped"]],
    ["degraded", ["running", "failed"]],
    ["degraded", ["running", "creating"]],
    ["degraded", ["running", "unknown"]],
    ["stopped", ["stopped", "stopped"]],
    ["stopping", ["stopped", "stopping"]],
    ["provisioning", ["creating"]],
    ["provisioning", ["starting", "stopped"]],
    ["provisioning", ["creating", "failed"]],
    ["deleting", ["deleting", "deleting"]],
    ["unknown", ["deleting", "stopped"]],
    ["degraded", ["deleting", "failed"]],
    ["degraded", ["failed"]],
    ["degraded", ["failed", "stopped"]],
    ["stopping", ["stopping"]],
    ["unknown", ["unknown"]],
    ["unknown", []]
  ])("has the phase %s for the states %j (U9)", (phase, each) => {
    assert.strictEqual(Cluster.buildClusterStatus("dev", inStates(...each)).phase, phase)
  })

  // All sets of up to three nodes: every pair of states meets, in both orders, beside every third.
  const upToThree = [
    [],
    ...states.map((a) => [a]),
    ...states.flatMap((a) => states.map((b) => [a, b])),
    ...states.flatMap((a) => states.flatMap((b) => states.map((c) => [a, b, c])))
  ]

  it.each(states)("agrees with the rule over all combinations, with %s as the ready state", (readyState) => {
    for (const each of upToThree) {
      const status = Cluster.buildClusterStatus("dev", inStates(...each), readyState)
      assert.strictEqual(status.phase, expectedPhase(each, readyState), each.join(", "))
      assert.strictEqual(status.ready, status.phase === "running", each.join(", "))
    }
  })

  it.prop("agrees with the rule over generated nodes", {
    nodes: Schema.Array(Schema.Struct({ role: NodeRole, state: NodeState })),
    readyState: NodeState
  }, ({ nodes, readyState }) => {
    const infos = nodes.map(({ role, state }, index) => node(`n${index}`, { role, state }))
    const counted = infos.filter((info) => ["control-plane", "worker", "load-balancer"].includes(info.role))
    const ready = counted.filter((info) => info.state === readyState)
    const status = Cluster.buildClusterStatus("dev", infos, readyState)
    assert.strictEqual(status.phase, expectedPhase(counted.map((info) => info.state), readyState))
    assert.strictEqual(status.nodesTotal, counted.length)
    assert.strictEqual(status.nodesReady, ready.length)
    assert.strictEqual(status.ready, counted.length > 0 && ready.length === counted.length)
    assert.deepStrictEqual(status.nodes, infos)
  }, { arbitrary: { runs: 300 } })

  it("counts a load balancer and no helper, and shows both", () => {
    const nodes = [
      node("cp", { role: "control-plane" }),
      node("lb", { role: "load-balancer", state: "stopped" }),
      node("tools", { role: "helper", state: "failed" })
    ]
    const { nodes: shown, nodesReady, nodesTotal, phase, ready } = Cluster.buildClusterStatus("dev", nodes)
    assert.deepStrictEqual({ nodesReady, nodesTotal, phase, ready }, {
      nodesReady: 1,
      nodesTotal: 2,
      phase: "degraded",
      ready: false
    })
    assert.deepStrictEqual(shown, nodes)
  })

  it("has the creation time of the oldest node, and none where no node has one (U8)", () => {
    const at = (time: string) => ({ createdAt: DateTime.makeUnsafe(time) })
    const nodes = [node("a", at("2026-03-01")), node("b", at("2026-01-01")), node("c", at("2026-02-01")), node("d")]
    assert.deepStrictEqual(Cluster.buildClusterStatus("dev", nodes).createdAt, DateTime.makeUnsafe("2026-01-01"))
    assert.notProperty(Cluster.buildClusterStatus("dev", [node("d")]), "createdAt")
  })

  it("of helpers alone is not ready", () => {
    const status = Cluster.buildClusterStatus("dev", [node("tools", { role: "helper" })])
    assert.isFalse(status.ready)
    assert.strictEqual(status.phase, "unknown")
    assert.strictEqual(status.nodesTotal, 0)
  })

  it("carries the endpoint and the raw phase where they are known", () => {
    const known = Cluster.buildClusterStatus("dev", [node("a")], "running", {
      endpoint: "https://api",
      rawPhase: "RUNNING"
    })
    assert.strictEqual(known.endpoint, "https://api")
    assert.strictEqual(known.rawPhase, "RUNNING")
    assert.notProperty(Cluster.buildClusterStatus("dev", [node("a")]), "endpoint")
  })
})

describe("the order of nodes", () => {
  const named = (role: NodeRole, name: string) => ({ role, name })

  it("is by role, then by name with numbers as numbers", () => {
    const sorted = [
      named("control-plane", "dev-control-plane"),
      named("control-plane", "dev-control-plane2"),
      named("control-plane", "dev-control-plane10"),
      named("worker", "dev-agent-0"),
      named("worker", "dev-agent-2"),
      named("worker", "dev-agent-11"),
      named("load-balancer", "a-load-balancer"),
      named("helper", "a-helper")
    ]
    assert.deepStrictEqual(sorted.toReversed().sort(byRoleThenName), sorted)
  })

  it("of names is the same on every machine, whatever its locale", () => {
    assert.deepStrictEqual(["b", "a10", "ä", "a9", "B", "a-1", "a1"].sort(byName), [
      "ä",
      "a-1",
      "a1",
      "a9",
      "a10",
      "b",
      "B"
    ])
  })

  it.prop("is total: no two that differ are equal, and three agree", {
    names: Schema.Tuple([Schema.String, Schema.String, Schema.String])
  }, ({ names: [a, b, c] }) => {
    assert.strictEqual(byName(a, b) === 0, a === b)
    assert.strictEqual(Math.sign(byName(a, b)), -Math.sign(byName(b, a)) + 0)
    if (byName(a, b) < 0 && byName(b, c) < 0) assert.isBelow(byName(a, c), 0)
  }, { arbitrary: { runs: 300 } })

  it.prop("does not depend on the order before", { nodes: Schema.Array(NodeInfo) }, ({ nodes }) => {
    const names = (each: ReadonlyArray<NodeInfo>) => each.map((info) => `${info.role} ${info.name}`)
    assert.deepStrictEqual(
      names([...nodes].sort(byRoleThenName)),
      names(nodes.toReversed().sort(byRoleThenName))
    )
  })
})

// -----------------------------------------------------------------------------
// Helpers over a lister
// -----------------------------------------------------------------------------

const failingLister = { backend: "test", listNodes: () => Effect.fail(refused) }

describe("checkNodesExist", () => {
  it.effect("succeeds where there is a node, helper or not", () =>
    Effect.gen(function*() {
      yield* Cluster.checkNodesExist(listing([node("a")]), "dev")
      yield* Cluster.checkNodesExist(listing([node("a", { role: "helper" })]), "dev")
    }))

  it.effect("fails with NoNodes, which names the backend and the cluster", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(Cluster.checkNodesExist(listing([]), "dev"))
      assert.instanceOf(error, NoNodes)
      assert.strictEqual(
        error.message,
        "test: cluster \"dev\" has no nodes. Check the name: listAllClusters lists all clusters."
      )
    }))

  it.effect("takes a lister without a name", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(Cluster.checkNodesExist({ listNodes: () => Effect.succeed([]) }, "dev"))
      assert.notInclude(error.message, "undefined")
    }))

  it.effect("could not ask is that error, not NoNodes", () =>
    Effect.map(
      Effect.flip(Cluster.checkNodesExist(failingLister, "dev")),
      (error) => assert.strictEqual(error, refused)
    ))
})

describe("getClusterStatusFromLister", () => {
  it.effect("is none where there is no node", () =>
    Effect.map(
      Cluster.getClusterStatusFromLister(listing([]), "dev"),
      (status) => assert.isTrue(Option.isNone(status))
    ))

  it.effect("is the status of the list, in the requested ready state", () =>
    Effect.gen(function*() {
      const lister = listing([node("a", { state: "stopped" })])
      const status = Option.getOrThrow(yield* Cluster.getClusterStatusFromLister(lister, "dev"))
      assert.instanceOf(status, ClusterStatus)
      assert.isFalse(status.ready)
      assert.isTrue(Option.getOrThrow(yield* Cluster.getClusterStatusFromLister(lister, "dev", "stopped")).ready)
      assert.strictEqual(lister.asked, 2)
    }))

  it.effect("could not ask is that error, never an empty status", () =>
    Effect.map(
      Effect.flip(Cluster.getClusterStatusFromLister(failingLister, "dev")),
      (error) => assert.instanceOf(error, BackendError)
    ))
})

describe("ensureAvailableAndListNodes", () => {
  const unavailable = new ProviderUnavailable({ provider: "test", detail: "refused", advice: "Start it." })

  it.effect("lists where the backend answers", () =>
    Effect.gen(function*() {
      const lister = listing([node("a")])
      const provider = Object.assign(lister, { isAvailable: Effect.succeed(true), checkAvailable: Effect.void })
      const nodes = yield* Cluster.ensureAvailableAndListNodes(provider, "dev")
      assert.deepStrictEqual(nodes.map((info) => info.name), ["a"])
    }))

  it.effect("does not list where it does not, and says why", () =>
    Effect.gen(function*() {
      const lister = listing([node("a")])
      const provider = Object.assign(lister, {
        isAvailable: Effect.succeed(false),
        checkAvailable: Effect.fail(unavailable)
      })
      assert.strictEqual(yield* Effect.flip(Cluster.ensureAvailableAndListNodes(provider, "dev")), unavailable)
      assert.strictEqual(lister.asked, 0)
    }))
})
