/** Causes that keep a cluster from becoming ready or from being deleted. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { ClusterName } from "kubelayer/Model"
import { blockersOf } from "../../src/omni/Blockers.ts"
import { Kinds } from "../../src/omni/State.ts"
import { makeStore } from "./support/store.ts"
import { world as fakeWorld } from "./support/world.ts"

const dev = "dev" as ClusterName
const labels = { "omni.sidero.dev/cluster": "dev" }

const lines = (store: Effect.Success<typeof makeStore>) =>
  Effect.map(blockersOf(store.state)(dev), (all) => all.map(({ detail, kind, name }) => `${kind} ${name}: ${detail}`))

describe("whyBlocked", () => {
  it.effect("names every part of the cluster that a finalizer keeps, each machine once (O24)", () =>
    Effect.gen(function*() {
      const store = yield* makeStore
      const torn = { labels, phase: "tearingDown" as const, finalizers: ["SetController"] }
      yield* store.put(Kinds.Cluster, "dev", { phase: "tearingDown", finalizers: ["ClusterController"] })
      yield* store.put(Kinds.MachineSet, "dev-workers", torn)
      yield* store.put(Kinds.MachineSet, "dev-gpu", { ...torn, finalizers: [] })
      yield* store.put(Kinds.MachineSet, "dev-control-planes", { ...torn, phase: "running" })
      yield* store.put(Kinds.MachineSetNode, "m1", { ...torn, finalizers: ["A"] })
      yield* store.put(Kinds.ClusterMachine, "m1", { ...torn, finalizers: ["A", "B"] })
      yield* store.put(Kinds.ConfigPatch, "200-cluster-dev-p", torn)
      yield* store.put(Kinds.ConfigPatch, "other", { ...torn, labels: { "omni.sidero.dev/cluster": "other" } })
      assert.deepStrictEqual(yield* lines(store), [
        "finalizer dev: ClusterController",
        "machine-set dev-workers: it is being torn down, held by SetController",
        "machine m1: it is being torn down, held by A, B",
        "config-patch 200-cluster-dev-p: it is being torn down, held by SetController"
      ])
    }))

  it.effect("leaves out a machine only if it runs, is ready and has its configuration (O25)", () =>
    Effect.gen(function*() {
      const store = yield* makeStore
      yield* store.put(Kinds.Cluster, "dev")
      const seen = (spec: object) =>
        Effect.andThen(
          store.put(Kinds.ClusterMachineStatus, "m1", { labels, spec: { lastConfigError: "", ...spec } }),
          lines(store)
        )
      for (const stage of [0, 1, 2, 3, 5, 6, 7, 8, 9, 10, 11]) {
        const [line] = yield* seen({ stage, ready: true, configUpToDate: true })
        assert.match(line ?? "", /^machine m1: it is [A-Z_]+$/, String(stage))
      }
      assert.deepStrictEqual(yield* seen({ stage: 4, ready: false, configUpToDate: true }), [
        "machine m1: it is RUNNING and not ready"
      ])
      assert.deepStrictEqual(yield* seen({ stage: 4, ready: true, configUpToDate: false }), [
        "machine m1: its configuration is not up to date"
      ])
      assert.deepStrictEqual(yield* seen({ stage: 4, ready: true, configUpToDate: true }), [])
    }))
})

describe("deleteNodes", () => {
  it.live("leaves kernel arguments of the machines in place, without the mark of the template (O27)", () =>
    Effect.gen(function*() {
      const { fake, omni, provider } = yield* fakeWorld({ fake: { machines: 2 } })
      const [one, two] = yield* fake.machines
      yield* omni.sync({
        cluster: { name: "dev", kubernetes: { version: "v1.34.1" }, talos: { version: "v1.11.2" } },
        controlPlane: { machines: [one?.id ?? ""], kernelArgs: ["a=b"] }
      })
      const managed = { "omni.sidero.dev/managed-by-cluster-templates": "" }
      yield* fake.put("KernelArgs", { id: two?.id ?? "", annotations: managed, spec: { args: ["c=d"] } })
      yield* omni.awaitReady("dev")
      yield* provider.deleteNodes("dev")
      const left = Object.fromEntries((yield* fake.resources("KernelArgs")).map((each) => [each.id, each]))
      assert.deepStrictEqual(left[one?.id ?? ""]?.annotations, {})
      assert.deepStrictEqual(left[one?.id ?? ""]?.spec, { args: ["a=b"] })
      // Of a machine that was not in the cluster.
      assert.deepStrictEqual(left[two?.id ?? ""]?.annotations, managed)
    }))
})

describe("reports", () => {
  it.live("of every operation name a node alike, with its id beside the name (O29)", () =>
    Effect.gen(function*() {
      const { fake, omni, provider } = yield* fakeWorld({
        fake: { machines: [{ power: "on" }, { power: "on" }] }
      })
      const nodes = (report: { readonly outcomes: ReadonlyArray<{ kind: string; name: string; id?: string }> }) =>
        report.outcomes.filter(({ kind }) => kind === "node").map(({ id, name }) => `${id} ${name}`).sort()
      const created = nodes(yield* omni.createNodes({ cluster: "dev", controlPlanes: 1, workers: 1 }))
      assert.deepStrictEqual(
        created,
        (yield* fake.machines).map(({ hostname, id }) => `${id} ${hostname}`).sort()
      )
      assert.deepStrictEqual(nodes(yield* provider.stopNodes("dev")), created)
      assert.deepStrictEqual(nodes(yield* provider.startNodes("dev")), created)
      assert.deepStrictEqual(nodes(yield* provider.deleteNodes("dev")), created)
    }))
})
