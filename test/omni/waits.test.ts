/** Waits for a cluster: the states that count as running, ready and upgraded, and similar states that do not. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { TestClock } from "effect/testing"
import type { ClusterName } from "kubelayer/Model"
import { blockersOf } from "../../src/omni/Blockers.ts"
import { makeSharedStatuses } from "../../src/omni/SharedWatch.ts"
import { Kinds } from "../../src/omni/State.ts"
import { awaitReady, awaitRunning, awaitUpgrade } from "../../src/omni/Waits.ts"
import { makeStore } from "./support/store.ts"

const dev = "dev" as ClusterName
const o = "omni.sidero.dev/"
const ofCluster = { [`${o}cluster`]: "dev" }

const machines = (requested: number, total = requested, healthy = total) => ({
  requested,
  total,
  healthy,
  connected: total
})
const status = (given: object = {}) => ({
  spec: { phase: 3, ready: true, available: true, kubernetesAPIReady: true, machines: machines(2), ...given }
})

/** A cluster that requests two machines, one in each set. */
const world = Effect.gen(function*() {
  const store = yield* makeStore
  const statuses = yield* makeSharedStatuses(store.state)
  yield* store.put(Kinds.Cluster, "dev", { spec: { talosVersion: "1.11.5", kubernetesVersion: "1.34.2" } })
  for (const set of ["dev-control-planes", "dev-workers"]) {
    yield* store.put(Kinds.MachineSet, set, { labels: ofCluster })
    yield* store.put(Kinds.MachineSetNode, `machine-${set}`, { labels: { ...ofCluster, [`${o}machine-set`]: set } })
  }
  const context = { state: store.state, statuses, blockers: blockersOf(store.state) }
  return { ...store, context, say: (given?: object) => store.put(Kinds.ClusterStatus, "dev", status(given)) }
})

/** Whether a wait has ended after a moment. */
const hasEnded = <A, E>(fiber: Fiber.Fiber<A, E>) =>
  Effect.map(TestClock.adjust("1 second"), () => fiber.pollUnsafe() !== undefined)

describe("awaitReady", () => {
  it.effect("does not end at RUNNING and ready before the cluster grows, without the API, or with unhealthy machines (O4)", () =>
    Effect.gen(function*() {
      const { context, say } = yield* world
      const fiber = yield* Effect.forkChild(awaitReady(context)(dev))
      const pretences = [
        { machines: machines(0) },
        { machines: undefined },
        { machines: machines(1) },
        { phase: 1 },
        { ready: false },
        { available: false },
        { kubernetesAPIReady: false },
        { machines: machines(2, 1, 1) },
        { machines: machines(2, 2, 1) },
        { machines: machines(3) }
      ]
      for (const pretence of pretences) {
        yield* say(pretence)
        assert.isFalse(yield* hasEnded(fiber), JSON.stringify(pretence))
      }
      yield* say()
      assert.isTrue(yield* hasEnded(fiber))
      yield* Fiber.join(fiber)
    }))

  it.effect("counts what the sets ask for: listed machines, and those of a class", () =>
    Effect.gen(function*() {
      const { context, put, say } = yield* world
      yield* put(Kinds.MachineSet, "dev-more", {
        labels: ofCluster,
        spec: { machineAllocation: { name: "small", machineCount: 3, allocationType: 0 } }
      })
      yield* say()
      const fiber = yield* Effect.forkChild(awaitReady(context)(dev))
      assert.isFalse(yield* hasEnded(fiber))
      yield* say({ machines: machines(5) })
      assert.isTrue(yield* hasEnded(fiber))
    }))

  it.effect("shares one stream between all callers, closes it with the last, and sends no request while nothing changes", () =>
    Effect.gen(function*() {
      const { context, opened, reads, say } = yield* world
      yield* say({ phase: 1 })
      const fibers = yield* Effect.forEach([1, 2, 3], () => Effect.forkChild(awaitReady(context)(dev)))
      yield* TestClock.adjust("5 minutes")
      assert.deepStrictEqual(opened, ["ClusterStatuses.omni.sidero.dev/dev"])
      assert.deepStrictEqual(reads, Array.from({ length: 3 }, () => "Clusters.omni.sidero.dev/dev"))
      yield* say()
      yield* Effect.forEach(fibers, Fiber.join)
      assert.strictEqual(opened.length, 1)
      yield* awaitReady(context)(dev)
      assert.strictEqual(opened.length, 2)
    }))

  it.effect("starts before Omni has a status of the cluster", () =>
    Effect.gen(function*() {
      const { context, say } = yield* world
      const fiber = yield* Effect.forkChild(awaitReady(context)(dev))
      assert.isFalse(yield* hasEnded(fiber))
      yield* say()
      assert.isTrue(yield* hasEnded(fiber))
    }))

  it.effect("fails with ClusterNotFound when the cluster is missing or deleted, as does awaitRunning", () =>
    Effect.gen(function*() {
      for (const wait of [awaitReady, awaitRunning]) {
        const { context, put, remove, say } = yield* world
        const absent = yield* Effect.flip(wait(context)("other" as ClusterName))
        assert.strictEqual(absent._tag, "ClusterNotFound")
        yield* say({ phase: 4 })
        const fiber = yield* Effect.forkChild(Effect.flip(wait(context)(dev)))
        assert.isFalse(yield* hasEnded(fiber))
        yield* put(Kinds.Cluster, "dev", { phase: "tearingDown", spec: {} })
        yield* remove(Kinds.ClusterStatus, "dev")
        assert.isTrue(yield* hasEnded(fiber))
        assert.strictEqual((yield* Fiber.join(fiber))._tag, "ClusterNotFound")
      }
    }))

  it.effect("that times out names the missing condition of the cluster", () =>
    Effect.gen(function*() {
      const { context, put, say } = yield* world
      yield* say({ ready: false, machines: machines(2, 2, 1) })
      yield* put(Kinds.ClusterMachineStatus, "m1", {
        labels: { ...ofCluster, [`${o}hostname`]: "talos-1" },
        spec: { stage: 2, ready: false, lastConfigError: "" }
      })
      yield* put(Kinds.MachineStatus, "m2", { labels: { ...ofCluster, [`${o}disconnected`]: "" } })
      const fiber = yield* Effect.forkChild(Effect.flip(awaitReady(context)(dev, { timeout: "10 minutes" })))
      yield* TestClock.adjust("10 minutes")
      const error = yield* Fiber.join(fiber)
      assert.strictEqual(error._tag === "BackendError" ? error.reason._tag : error._tag, "RequestTimeout")
      assert.match(
        error.message,
        /was not ready within 10m: .*m2 has no connection to Omni.*machine talos-1: it is INSTALLING/
      )
    }))
})

describe("awaitRunning", () => {
  it.effect("ends when every requested machine runs, healthy or not (O5)", () =>
    Effect.gen(function*() {
      const { context, put, say } = yield* world
      const stage = (id: string, stage: number) =>
        put(Kinds.ClusterMachineStatus, id, { labels: ofCluster, spec: { stage, ready: true } })
      const fiber = yield* Effect.forkChild(awaitRunning(context)(dev))
      yield* say({ machines: machines(0), ready: false })
      assert.isFalse(yield* hasEnded(fiber))
      yield* say({ ready: false, available: false, kubernetesAPIReady: false, machines: machines(2, 2, 0) })
      assert.isFalse(yield* hasEnded(fiber))
      yield* stage("m1", 4)
      assert.isFalse(yield* hasEnded(fiber))
      for (const other of [0, 1, 2, 3, 5, 6, 7, 8, 9, 10, 11]) {
        yield* stage("m2", other)
        assert.isFalse(yield* hasEnded(fiber), String(other))
      }
      yield* stage("m2", 4)
      assert.isTrue(yield* hasEnded(fiber))
    }))
})

describe("awaitUpgrade", () => {
  const upgraded = (version: string, phase = 2) => ({ spec: { phase, lastUpgradeVersion: version, error: "" } })

  const versions = Effect.gen(function*() {
    const all = yield* world
    const machine = (id: string, talosVersion: string) =>
      all.put(Kinds.MachineStatus, id, { labels: ofCluster, spec: { talosVersion } })
    return { ...all, machine }
  })

  it.effect("ends when every machine reports the version, not when the server calls it done (O2)", () =>
    Effect.gen(function*() {
      const { context, machine, put, say } = yield* versions
      yield* say()
      yield* machine("m1", "v1.11.4")
      yield* machine("m2", "v1.11.4")
      const fiber = yield* Effect.forkChild(awaitUpgrade(context)(dev, { talos: "1.11.5" }))
      yield* put(Kinds.TalosUpgradeStatus, "dev", upgraded("1.11.4"))
      assert.isFalse(yield* hasEnded(fiber))
      yield* put(Kinds.TalosUpgradeStatus, "dev", upgraded("1.11.5"))
      assert.isFalse(yield* hasEnded(fiber))
      yield* machine("m1", "v1.11.5")
      assert.isFalse(yield* hasEnded(fiber))
      yield* say({ ready: false })
      yield* machine("m2", "v1.11.5")
      assert.isFalse(yield* hasEnded(fiber))
      yield* say()
      assert.isTrue(yield* hasEnded(fiber))
    }))

  it.effect("that was written while another one runs waits for its own version", () =>
    Effect.gen(function*() {
      const { context, machine, put, say } = yield* versions
      yield* say()
      yield* machine("m1", "v1.11.5")
      yield* machine("m2", "v1.11.5")
      yield* put(Kinds.TalosUpgradeStatus, "dev", upgraded("1.11.4", 1))
      const fiber = yield* Effect.forkChild(awaitUpgrade(context)(dev, { talos: "v1.11.5" }))
      assert.isFalse(yield* hasEnded(fiber))
      yield* put(Kinds.TalosUpgradeStatus, "dev", upgraded("1.11.4"))
      assert.isFalse(yield* hasEnded(fiber))
      yield* put(Kinds.TalosUpgradeStatus, "dev", upgraded("1.11.5", 1))
      assert.isFalse(yield* hasEnded(fiber))
      yield* put(Kinds.TalosUpgradeStatus, "dev", upgraded("1.11.5"))
      assert.isTrue(yield* hasEnded(fiber))
    }))

  it.effect("of one product waits for that one alone", () =>
    Effect.gen(function*() {
      const { context, machine, put, say } = yield* versions
      yield* say()
      yield* machine("m1", "v1.0.0")
      yield* machine("m2", "v1.0.0")
      const fiber = yield* Effect.forkChild(awaitUpgrade(context)(dev, { kubernetes: "v1.35.0" }))
      assert.isFalse(yield* hasEnded(fiber))
      yield* put(Kinds.KubernetesUpgradeStatus, "dev", upgraded("1.35.0"))
      assert.isTrue(yield* hasEnded(fiber))
    }))

  it.effect("times out with the cause for a cluster without machines or with machines that do not exist yet (O3)", () =>
    Effect.gen(function*() {
      const timedOut = (hasSets: boolean) =>
        Effect.gen(function*() {
          const { context, machine, put, remove, say } = yield* versions
          yield* say(hasSets ? {} : { machines: machines(0) })
          yield* put(Kinds.TalosUpgradeStatus, "dev", upgraded("1.11.5"))
          if (hasSets) yield* machine("m1", "v1.11.5")
          else {
            for (const set of ["dev-control-planes", "dev-workers"]) {
              yield* remove(Kinds.MachineSetNode, `machine-${set}`)
            }
          }
          const fiber = yield* Effect.forkChild(
            Effect.flip(awaitUpgrade(context)(dev, { talos: "1.11.5", timeout: "5 seconds" }))
          )
          yield* TestClock.adjust("5 seconds")
          return (yield* Fiber.join(fiber)).message
        })
      assert.match(yield* timedOut(false), /did not end \(the cluster has no machine\) within 5s/)
      assert.match(yield* timedOut(true), /did not end \(1 of 2 machines have Talos 1\.11\.5\) within 5s/)
    }))

  it.effect("that times out names machines with the old version and the option for a longer timeout (O28)", () =>
    Effect.gen(function*() {
      const { context, machine, put, say } = yield* versions
      yield* say()
      yield* put(Kinds.TalosUpgradeStatus, "dev", upgraded("1.11.5"))
      yield* machine("m1", "v1.11.4")
      yield* machine("m2", "v1.11.5")
      const fiber = yield* Effect.forkChild(Effect.flip(awaitUpgrade(context)(dev, { talos: "1.11.5" })))
      yield* TestClock.adjust("15 minutes")
      const { message } = yield* Fiber.join(fiber)
      assert.match(message, /1 of 2 machines have Talos 1\.11\.5; m1 has 1\.11\.4/)
      assert.match(message, /option `timeout`/)
      assert.notMatch(message, /Policy\.requestTimeout/)
    }))

  it.effect("fails with ClusterNotFound when the cluster is deleted", () =>
    Effect.gen(function*() {
      const { context, put, say } = yield* versions
      yield* say()
      const fiber = yield* Effect.forkChild(Effect.flip(awaitUpgrade(context)(dev)))
      assert.isFalse(yield* hasEnded(fiber))
      yield* put(Kinds.Cluster, "dev", { phase: "tearingDown", spec: {} })
      assert.strictEqual((yield* Fiber.join(fiber))._tag, "ClusterNotFound")
    }))
})
