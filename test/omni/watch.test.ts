/** Watching a cluster: one status out of three streams, its end, and what is said where there is none. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import type { ClusterName, ClusterStatus } from "kubelayer/Model"
import { getStatus, listNodes } from "../../src/omni/ClusterNodes.ts"
import { picture } from "../../src/omni/SharedWatch.ts"
import { Kinds } from "../../src/omni/State.ts"
import { endpoint, servicesOf } from "./support/backend.ts"
import { makeStore } from "./support/store.ts"

const dev = "dev" as ClusterName
const o = "omni.sidero.dev/"

const status = (given: object = {}) => ({
  spec: {
    phase: 3,
    ready: true,
    available: true,
    kubernetesAPIReady: true,
    machines: { requested: 1, total: 1, healthy: 1 },
    ...given
  }
})
const machine = (stage: number, cluster = "dev") => ({
  labels: { [`${o}cluster`]: cluster, [`${o}role-controlplane`]: "" },
  spec: { stage, managementAddress: "" }
})

const world = Effect.gen(function*() {
  const store = yield* makeStore
  const { provider } = yield* servicesOf(store.state)
  return { ...store, provider, watch: provider.watchCluster("dev") }
})

describe("watchCluster", () => {
  it.effect("emits the current status, then each change once, and ends when the cluster is deleted", () =>
    Effect.gen(function*() {
      const { put, remove, state, watch } = yield* world
      yield* put(Kinds.Cluster, "dev")
      yield* put(Kinds.ClusterStatus, "dev", status({ phase: 1, ready: false }))
      yield* put(Kinds.ClusterMachineStatus, "m1", machine(2))
      const seen: Array<ClusterStatus> = []
      const fiber = yield* Effect.forkChild(Stream.runForEach(watch, (each) => Effect.sync(() => seen.push(each))))
      // As many turns as it takes to pass from fiber to fiber; no time is waited for.
      const rest = Effect.repeat(TestClock.adjust("1 milli"), { times: 20 })
      const last = () => `${seen.length} ${seen.at(-1)?.phase} ${seen.at(-1)?.nodesReady}`
      yield* rest
      assert.strictEqual(last(), "1 provisioning 0")
      yield* put(Kinds.ClusterMachineStatus, "m1", machine(4))
      yield* rest
      yield* put(Kinds.ClusterStatus, "dev", status())
      yield* rest
      assert.strictEqual(last(), "3 running 1")
      assert.deepStrictEqual(seen.at(-1), Option.getOrThrow(yield* getStatus(state, endpoint)(dev)))
      // Nothing that a status shows.
      yield* put(Kinds.ClusterStatus, "dev", status())
      yield* put(Kinds.Cluster, "dev", { annotations: { a: "b" } })
      yield* put(Kinds.ClusterMachineStatus, "other", machine(1, "other"))
      yield* rest
      assert.strictEqual(seen.length, 3)
      yield* remove(Kinds.ClusterMachineStatus, "m1")
      yield* remove(Kinds.ClusterStatus, "dev")
      yield* rest
      assert.strictEqual(seen.at(-1)?.nodesTotal, 0)
      yield* remove(Kinds.Cluster, "dev")
      yield* Fiber.join(fiber)
    }))

  it.effect("opens one stream a kind for any number of watches, and lists nothing", () =>
    Effect.gen(function*() {
      const { opened, provider, put, reads } = yield* world
      for (const name of ["dev", "prod"]) {
        yield* put(Kinds.Cluster, name)
        yield* put(Kinds.ClusterStatus, name, status())
      }
      const seen: Array<string> = []
      const watch = (name: string) =>
        Effect.forkChild(
          Stream.runForEach(provider.watchCluster(name), ({ clusterName }) => Effect.sync(() => seen.push(clusterName)))
        )
      const all = yield* Effect.forkChild(
        Stream.runForEach(provider.watchAllClusters, (some) => Effect.sync(() => seen.push(`${some.length} clusters`)))
      )
      const fibers = yield* Effect.forEach(["dev", "dev", "prod"], watch)
      const rest = Effect.repeat(TestClock.adjust("1 milli"), { times: 20 })
      yield* rest
      assert.deepStrictEqual(seen.toSorted(), ["2 clusters", "dev", "dev", "prod"])
      yield* put(Kinds.ClusterStatus, "prod", status({ phase: 1 }))
      yield* rest
      assert.deepStrictEqual(seen.slice(4).toSorted(), ["2 clusters", "prod"])
      assert.deepStrictEqual(
        opened.toSorted(),
        [
          "Clusters.omni.sidero.dev",
          "ClusterMachineStatuses.omni.sidero.dev",
          "ClusterStatuses.omni.sidero.dev"
        ].toSorted()
      )
      assert.deepStrictEqual(reads, [])
      yield* Fiber.interruptAll([all, ...fibers])
    }))

  it.effect("fails when the cluster is missing", () =>
    Effect.gen(function*() {
      const { put, watch } = yield* world
      yield* put(Kinds.ClusterMachineStatus, "m1", machine(4))
      assert.strictEqual((yield* Effect.flip(Stream.runDrain(watch)))._tag, "ClusterNotFound")
    }))
})

describe("a read", () => {
  it.effect("of all statuses is two calls", () =>
    Effect.gen(function*() {
      const { provider, put, reads } = yield* world
      for (const name of ["b", "a"]) {
        yield* put(Kinds.Cluster, name)
        yield* put(Kinds.ClusterStatus, name, status())
        yield* put(Kinds.ClusterMachineStatus, `${name}1`, machine(4, name))
      }
      const statuses = yield* provider.listAllStatuses
      assert.deepStrictEqual(statuses.map(({ clusterName, ready }) => [clusterName, ready]), [["a", true], ["b", true]])
      assert.strictEqual(reads.length, 2)
      assert.deepStrictEqual(yield* provider.listAllClusters, ["a", "b"] as never)
    }))

  it.effect("of a status sends two calls, and a third when Omni has no status of the cluster yet", () =>
    Effect.gen(function*() {
      const { put, reads, state } = yield* world
      const read = getStatus(state, endpoint)(dev)
      assert.isTrue(Option.isNone(yield* read))
      assert.strictEqual(reads.splice(0).length, 3)
      yield* put(Kinds.Cluster, "dev")
      assert.strictEqual(Option.getOrThrow(yield* read).phase, "unknown")
      yield* put(Kinds.ClusterStatus, "dev", status())
      yield* put(Kinds.ClusterMachineStatus, "m1", machine(4))
      reads.length = 0
      assert.isTrue(Option.getOrThrow(yield* read).ready)
      assert.strictEqual(reads.length, 2)
    }))

  it.effect("of nodes has those of this cluster, control planes first, numbers as numbers", () =>
    Effect.gen(function*() {
      const { put, state } = yield* world
      const worker = (name: string) => ({
        labels: { [`${o}cluster`]: "dev", [`${o}role-worker`]: "", [`${o}hostname`]: name },
        spec: { stage: 4, managementAddress: "" }
      })
      yield* put(Kinds.ClusterMachineStatus, "a", worker("talos-10"))
      yield* put(Kinds.ClusterMachineStatus, "b", worker("talos-2"))
      yield* put(Kinds.ClusterMachineStatus, "c", machine(4))
      yield* put(Kinds.ClusterMachineStatus, "d", machine(4, "dev-2"))
      assert.deepStrictEqual((yield* listNodes(state)(dev)).map(({ name }) => name), ["c", "talos-2", "talos-10"])
    }))
})

describe("picture", () => {
  it.effect("contains all matching resources, and drops them when a watch starts again", () =>
    Effect.gen(function*() {
      const resource = (id: string) => ({ metadata: { id, labels: {} } })
      const state = {
        watch: () =>
          Stream.fromIterable([
            { _tag: "Created", resource: resource("a") },
            { _tag: "Created", resource: resource("b") },
            { _tag: "Bootstrapped" },
            { _tag: "Restarted" },
            { _tag: "Created", resource: resource("b") },
            { _tag: "Bootstrapped" },
            { _tag: "Destroyed", id: "b" }
          ]).pipe(Stream.rechunk(1))
      }
      const seen = yield* Stream.runCollect(picture(state as never, Kinds.MachineStatus, {}))
      assert.deepStrictEqual(seen.map((all) => [...all.keys()].join()), ["a,b", "b", ""])
    }))
})
