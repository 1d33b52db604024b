/** Reading, creating and deleting clusters over a fake Omni. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import { awaitGone } from "kubelayer/Cluster"
import { type ClusterStatus, type NodeInfo } from "kubelayer/Model"
import type { OperationEvent } from "kubelayer/Progress"
import { onEvent } from "kubelayer/Provider"
import { outcomes, tagOf, world } from "./support/world.ts"

const spec = { cluster: "dev", controlPlanes: 1, workers: 2 }

const summary = (nodes: ReadonlyArray<NodeInfo>) => nodes.map(({ name, role, state }) => `${name} ${role} ${state}`)

describe("reads", () => {
  it.live("nodes, clusters and status of a cluster that runs", () =>
    Effect.gen(function*() {
      const { fake, newCalls, omni, provider } = yield* world()
      yield* fake.addCluster("dev", { controlPlanes: 1, workers: 2 })
      yield* fake.addCluster("clüster", { controlPlanes: 1, workers: 0 })
      assert.deepStrictEqual(summary(yield* provider.listNodes("dev")), [
        "dev-control-plane-1 control-plane running",
        "dev-worker-1 worker running",
        "dev-worker-2 worker running"
      ])
      assert.deepStrictEqual(yield* provider.listAllClusters, ["clüster", "dev"] as never)
      yield* newCalls
      const status = Option.getOrThrow(yield* provider.getClusterStatus("dev"))
      assert.deepStrictEqual([...yield* newCalls].sort(), ["Get ClusterStatuses", "List ClusterMachineStatuses"])
      assert.deepStrictEqual(
        [status.phase, status.ready, status.nodesTotal, status.nodesReady, status.rawPhase, status.endpoint],
        ["running", true, 3, 3, "RUNNING", fake.endpoint]
      )
      assert.isTrue(yield* provider.nodesExist("clüster"))
      assert.isFalse(yield* provider.nodesExist("other"))
      assert.isTrue(Option.isNone(yield* provider.getClusterStatus("other")))
      assert.isTrue(yield* provider.isAvailable)
      assert.deepStrictEqual(yield* omni.whyBlocked("dev"), [])
      assert.deepStrictEqual(yield* fake.violations, [])
    }))

  it.live("five hundred machines in one list", () =>
    Effect.gen(function*() {
      const { fake, provider } = yield* world()
      yield* fake.addCluster("dev", { controlPlanes: 3, workers: 497 })
      const nodes = yield* provider.listNodes("dev")
      assert.strictEqual(nodes.length, 500)
      assert.deepStrictEqual(nodes.slice(11, 14).map(({ name }) => name), [
        "dev-worker-9",
        "dev-worker-10",
        "dev-worker-11"
      ])
    }), 30_000)

  it.live("free machines and Talos versions", () =>
    Effect.gen(function*() {
      const { fake, omni } = yield* world({ fake: { machines: 2 } })
      yield* fake.addMachine({ connected: false })
      yield* fake.addCluster("dev", { controlPlanes: 1, workers: 0 })
      yield* fake.settled
      const machines = yield* omni.availableMachines
      assert.deepStrictEqual(machines.map(({ hostname }) => hostname), ["machine-1", "machine-2"])
      assert.include((yield* omni.talosVersions).map(({ version }) => version), "1.11.2")
    }))
})

describe("createNodes", () => {
  it.live("creates a cluster of a class in the latest release, and ends when it is ready", () =>
    Effect.gen(function*() {
      const { fake, omni, provider } = yield* world({ fake: { machines: 3 } })
      const report = yield* omni.createNodes(spec)
      assert.deepStrictEqual(outcomes(report).sort(), [
        "MachineSet dev-control-planes: Done",
        "MachineSet dev-workers: Done",
        "dev: Done",
        "machine-1: Done",
        "machine-2: Done",
        "machine-3: Done"
      ])
      assert.isTrue(Option.getOrThrow(yield* provider.getClusterStatus("dev")).ready)
      const [cluster] = yield* fake.resources("Clusters")
      const { kubernetesVersion, talosVersion } = (cluster?.spec ?? {}) as Record<string, string>
      assert.deepStrictEqual([talosVersion, kubernetesVersion], ["1.11.2", "1.34.1"])
      assert.deepStrictEqual(yield* fake.violations, [])
    }))

  it.live("creates nothing on a second run, adds requested nodes, and refuses a different spec with its differences", () =>
    Effect.gen(function*() {
      const { fake, omni, provider } = yield* world({
        fake: { machines: 4 },
        omni: { machineClass: undefined, machines: { matchLabels: ["omni.sidero.dev/arch=amd64"] } } as never
      })
      yield* omni.createNodes(spec)
      const before = yield* fake.calls
      const again = yield* omni.createNodes(spec)
      assert.isTrue(again.outcomes.every(({ outcome }) => outcome._tag === "AlreadyDone"))
      const writes = (yield* fake.calls).slice(before.length).filter(({ method }) =>
        !/^(?:Get|List|Watch)$/.test(method)
      )
      assert.deepStrictEqual(writes, [])
      const more = yield* omni.createNodes({ ...spec, workers: 3 })
      assert.deepStrictEqual(more.done.map(({ name }) => name), ["machine-4"])
      assert.strictEqual((yield* provider.listNodes("dev")).length, 4)
      const fewer = yield* Effect.flip(omni.createNodes(spec))
      assert.strictEqual(tagOf(fewer), "Differs")
      assert.match(fewer.message, /node "machine-4": the spec does not request it/)
    }))

  it.live("of a cluster that it did not create fails with NameTaken and writes nothing", () =>
    Effect.gen(function*() {
      const { fake, newCalls, omni } = yield* world({ fake: { machines: 3 } })
      yield* fake.addCluster("dev", { controlPlanes: 1, workers: 2 })
      yield* newCalls
      const error = yield* Effect.flip(omni.createNodes(spec))
      assert.strictEqual(tagOf(error), "NameTaken")
      assert.match(error.message, /kubelayer did not create/)
      assert.isTrue((yield* newCalls).every((call) => /^(?:Get|List) /.test(call)))
    }))

  it.live("with too few machines reports how many are free, and why the others are not", () =>
    Effect.gen(function*() {
      const selection = { machineClass: undefined, machines: { matchLabels: ["omni.sidero.dev/arch=amd64"] } } as never
      for (const options of [{}, selection]) {
        const { fake, ids, omni } = yield* world({ omni: options })
        yield* fake.addMachine()
        yield* fake.addMachine({ connected: false })
        yield* fake.addMachine({ arch: "arm64" })
        yield* fake.addCluster("prod", { controlPlanes: 1, workers: 0 })
        yield* fake.settled
        const error = yield* Effect.flip(omni.createNodes(spec))
        assert.strictEqual(tagOf(error), "CapacityUnavailable")
        assert.match(error.message, /1 of 4 machines is free; the others: 1 disconnected, 1 in cluster prod, 1 not /)
        assert.deepStrictEqual(yield* ids("Clusters"), ["prod"])
      }
    }))

  it.live("refuses an invalid spec with all its issues before the first write", () =>
    Effect.gen(function*() {
      const { newCalls, omni } = yield* world({ omni: { machineClass: undefined } as never })
      const error = yield* Effect.flip(
        omni.createNodes({ cluster: "dev", controlPlanes: 0, workers: -1, labels: { "omni.sidero.dev/cluster": "x" } })
      )
      assert.strictEqual(error._tag, "InvalidSpec")
      assert.match(error.message, /controlPlanes[^]*workers[^]*labels\.omni[^]*machineClass/)
      for (const cluster of ["Dev", "dev.x", "a b", "clüster", ""]) {
        assert.strictEqual((yield* Effect.flip(omni.createNodes({ ...spec, cluster })))._tag, "InvalidClusterName")
      }
      assert.deepStrictEqual(yield* newCalls, [])
    }))

  it.live("with versions that the server does not know fails with the layer's option name", () =>
    Effect.gen(function*() {
      const { ids, omni } = yield* world({ fake: { machines: 3 }, omni: { talosVersion: "v1.11.9" } })
      const error = yield* Effect.flip(omni.createNodes(spec))
      assert.strictEqual(error._tag, "InvalidSpec")
      assert.match(error.message, /talosVersion/)
      assert.deepStrictEqual(yield* ids("Clusters"), [])
    }))

  it.live("removes its resources after a failure half-way, and reports the cause", () =>
    Effect.gen(function*() {
      const { fake, ids, omni } = yield* world({ fake: { machines: 3 } })
      yield* fake.failNext({
        method: "Create",
        type: "MachineSets",
        after: 1,
        code: 3,
        message: "failed to validate: no",
        times: 9
      })
      const error = yield* Effect.flip(omni.createNodes(spec))
      assert.strictEqual(error._tag, "NodesNotCreated")
      assert.match(error.message, /InvalidInput/)
      yield* fake.settled
      for (const kind of ["Clusters", "MachineSets", "MachineSetNodes"]) {
        assert.deepStrictEqual(yield* ids(kind), [], kind)
      }
    }))

  it.live("removes its resources when it is interrupted at any point", () =>
    Effect.forEach([0, 5, 15, 30, 60], (millis) =>
      Effect.gen(function*() {
        const { fake, ids, omni } = yield* world({ fake: { machines: 3, latency: "2 millis", pace: "5 millis" } })
        const fiber = yield* Effect.forkChild(omni.createNodes(spec))
        yield* Effect.sleep(millis)
        yield* Fiber.interrupt(fiber)
        yield* fake.settled
        for (const kind of ["Clusters", "MachineSets", "MachineSetNodes"]) {
          assert.deepStrictEqual(yield* ids(kind), [], `${kind} after ${millis}`)
        }
      })))

  it.live("removes its resources when a machine is not ready by the deadline, and names that machine", () =>
    Effect.gen(function*() {
      const { fake, ids, omni } = yield* world({ omni: { policy: { nodeTimeout: { create: "300 millis" } } } })
      const [, held] = [yield* fake.addMachine(), yield* fake.addMachine()]
      yield* fake.changeMachine(held ?? "", { held: true })
      const error = yield* Effect.flip(omni.createNodes({ ...spec, workers: 1 }))
      assert.strictEqual(error._tag, "NodesNotCreated")
      assert.match(error.message, /within its deadline of 300ms.*machine-2: it is /)
      assert.deepStrictEqual(yield* ids("Clusters"), [])
    }))

  it.live("with onFailure keep leaves it, and names it", () =>
    Effect.gen(function*() {
      const { fake, ids, omni } = yield* world({ omni: { policy: { nodeTimeout: { create: "200 millis" } } } })
      const machine = yield* fake.addMachine()
      yield* fake.changeMachine(machine, { held: true })
      const error = yield* Effect.flip(omni.createNodes({ ...spec, workers: 0, onFailure: "keep" }))
      assert.match(error.message, /left behind: .*cluster dev: kept, as `onFailure` requests/)
      assert.deepStrictEqual(yield* ids("Clusters"), ["dev"])
    }))

  it.live("in parallel for two clusters allocates no machine twice", () =>
    Effect.gen(function*() {
      const { omni, provider } = yield* world({
        fake: { machines: 4, latency: "1 millis" },
        omni: { machineClass: undefined, machines: { matchLabels: ["omni.sidero.dev/arch"] } } as never
      })
      const clusters = ["one", "two"]
      yield* Effect.forEach(clusters, (cluster) => omni.createNodes({ cluster, controlPlanes: 1, workers: 1 }), {
        concurrency: 2
      })
      const nodes = yield* Effect.forEach(clusters, provider.listNodes)
      assert.strictEqual(new Set(nodes.flat().map(({ id }) => id)).size, 4)
    }))
})

describe("deleteNodes", () => {
  it.live("releases the machines, emits progress, and succeeds on a second run", () =>
    Effect.gen(function*() {
      const { fake, ids, omni, provider } = yield* world()
      yield* fake.addCluster("dev", { controlPlanes: 1, workers: 2 })
      yield* fake.addCluster("prod", { controlPlanes: 1, workers: 0 })
      const events: Array<OperationEvent> = []
      const report = yield* provider.deleteNodes("dev").pipe(onEvent((event) => Effect.sync(() => events.push(event))))
      assert.deepStrictEqual(outcomes(report).sort(), [
        "dev-control-plane-1: Done",
        "dev-worker-1: Done",
        "dev-worker-2: Done",
        "dev: Done"
      ])
      assert.isTrue(events.some((event) => event._tag === "Waiting" && event.reason.startsWith("Destroying: ")))
      assert.deepStrictEqual(yield* ids("Clusters"), ["prod"])
      yield* fake.settled
      assert.strictEqual((yield* omni.availableMachines).length, 3)
      assert.deepStrictEqual((yield* provider.deleteNodes("dev")).outcomes, [])
    }))

  it.live("twice at once succeeds twice", () =>
    Effect.gen(function*() {
      const { fake, provider } = yield* world({ fake: { latency: "1 millis" } })
      yield* fake.addCluster("dev", { controlPlanes: 1, workers: 1 })
      yield* Effect.all([provider.deleteNodes("dev"), provider.deleteNodes("dev"), provider.deleteNodes("dev")], {
        concurrency: 3
      })
      assert.deepStrictEqual(yield* provider.listAllClusters, [])
    }))

  it.live("of a locked cluster is refused, and says where the lock is", () =>
    Effect.gen(function*() {
      const { fake, ids, omni, provider } = yield* world()
      yield* fake.addCluster("dev", { controlPlanes: 1, workers: 0 })
      yield* fake.put("Clusters", { id: "dev", annotations: { "omni.sidero.dev/cluster-locked": "" } })
      const error = yield* Effect.flip(provider.deleteNodes("dev"))
      assert.strictEqual(error._tag, "NodesFailed")
      assert.match(
        error.message,
        /Protected: the cluster is locked; remove its annotation omni\.sidero\.dev\/cluster-locked/
      )
      assert.deepStrictEqual(yield* ids("Clusters"), ["dev"])
      assert.include((yield* omni.whyBlocked("dev")).map(({ kind }) => kind), "locked")
    }))

  it.live("of what a controller owns is refused before it is touched", () =>
    Effect.gen(function*() {
      const { fake, newCalls, provider } = yield* world()
      yield* fake.addCluster("dev", { controlPlanes: 1, workers: 0 })
      yield* fake.put("Clusters", { id: "dev", owner: "SomeController" })
      yield* newCalls
      const error = yield* Effect.flip(provider.deleteNodes("dev"))
      assert.match(error.message, /owned by SomeController/)
      assert.isTrue((yield* newCalls).every((call) => /^(?:Get|List|Watch) /.test(call)))
    }))

  it.live("times out with the cause that blocks the deletion", () =>
    Effect.gen(function*() {
      const { fake, omni, provider } = yield* world({ omni: { policy: { nodeTimeout: { delete: "300 millis" } } } })
      yield* fake.addCluster("dev", { controlPlanes: 1, workers: 0 })
      yield* fake.hold("dev", true)
      const error = yield* Effect.flip(provider.deleteNodes("dev"))
      assert.strictEqual(error._tag, "NodesFailed")
      assert.match(error.message, /cluster dev: RequestTimeout: .*finalizer dev: /)
      assert.isNotEmpty(yield* omni.whyBlocked("dev"))
      yield* fake.hold("dev", false)
      yield* awaitGone(provider, "dev", { timeout: "10 seconds" })
    }))

  it.live("waits for lost machines, and forces their removal when that is requested", () =>
    Effect.gen(function*() {
      const { fake, provider } = yield* world({ omni: { policy: { nodeTimeout: { delete: "300 millis" } } } })
      const [, lost] = yield* fake.addCluster("dev", { controlPlanes: 1, workers: 1 })
      yield* fake.changeMachine(lost ?? "", { connected: false })
      yield* fake.settled
      const events: Array<OperationEvent> = []
      const error = yield* Effect.flip(
        provider.deleteNodes("dev").pipe(onEvent((event) => Effect.sync(() => events.push(event))))
      )
      assert.match(error.message, /disconnected .*has no connection to Omni/)
      assert.isTrue(
        events.some((event) => event._tag === "Waiting" && /destroyDisconnectedMachines/.test(event.reason))
      )

      const ready = yield* world({ omni: { destroyDisconnectedMachines: true } })
      const [, gone] = yield* ready.fake.addCluster("dev", { controlPlanes: 1, workers: 1 })
      yield* ready.fake.put("ConfigPatches", {
        id: "of-the-machine",
        labels: { "omni.sidero.dev/machine": gone ?? "" },
        spec: { data: "" }
      })
      yield* ready.fake.changeMachine(gone ?? "", { connected: false })
      yield* ready.fake.settled
      yield* ready.provider.deleteNodes("dev")
      assert.deepStrictEqual(yield* ready.ids("Clusters"), [])
      assert.notInclude(yield* ready.ids("Links"), gone)
      assert.deepStrictEqual(yield* ready.ids("ConfigPatches"), [])
    }))

  it.live("deletes the labelled resources of a missing cluster, and nothing else", () =>
    Effect.gen(function*() {
      const { fake, ids, provider } = yield* world()
      const patch = (id: string, cluster: string, owner = "") =>
        fake.put("ConfigPatches", { id, owner, labels: { "omni.sidero.dev/cluster": cluster }, spec: { data: "" } })
      yield* patch("a", "dev")
      yield* patch("b", "dev-2")
      yield* patch("c", "dev", "SomeController")
      const report = yield* provider.deleteNodes("dev")
      assert.deepStrictEqual(outcomes(report), ["ConfigPatch a: Done"])
      assert.deepStrictEqual((yield* ids("ConfigPatches")).toSorted(), ["b", "c"])
    }))

  it.live("that is interrupted sends nothing more, and run again finishes", () =>
    Effect.gen(function*() {
      const { fake, newCalls, provider } = yield* world({ fake: { pace: "10 millis" } })
      yield* fake.addCluster("dev", { controlPlanes: 1, workers: 2 })
      yield* fake.hold("dev", true)
      const fiber = yield* Effect.forkChild(provider.deleteNodes("dev"))
      // However slow the machine is, the interruption comes after the call that begins the delete.
      yield* Effect.repeat(newCalls, {
        schedule: Schedule.spaced("10 millis"),
        until: (calls) => calls.includes("Teardown Clusters")
      })
      yield* Effect.repeat(fake.openWatches, { schedule: Schedule.spaced("10 millis"), until: (count) => count > 0 })
      yield* Fiber.interrupt(fiber)
      yield* newCalls
      yield* Effect.sleep("100 millis")
      assert.deepStrictEqual(yield* newCalls, [])
      assert.strictEqual(yield* fake.openWatches, 0)
      yield* fake.hold("dev", false)
      yield* provider.deleteNodes("dev")
      assert.deepStrictEqual(yield* provider.listAllClusters, [])
    }))
})

describe("a cluster whose name no new cluster can have", () => {
  for (const name of ["-t19-", "a".repeat(70), "a_"]) {
    it.live(`is listed, read and deleted under its name, ${name.slice(0, 8)} (O30)`, () =>
      Effect.gen(function*() {
        const { fake, provider } = yield* world({ fake: { pace: "5 millis" } })
        yield* fake.addCluster(name, { controlPlanes: 1, workers: 0 })
        assert.deepStrictEqual<ReadonlyArray<string>>(yield* provider.listAllClusters, [name])
        assert.lengthOf(yield* provider.listNodes(name), 1)
        assert.isTrue(Option.isSome(yield* provider.getClusterStatus(name)))
        yield* provider.deleteNodes(name)
        assert.deepStrictEqual(yield* provider.listAllClusters, [])
      }))
  }
})

describe("watchCluster", () => {
  it.live(
    "sees a cluster come and go, over cuts, forgotten bookmarks and a server that was away",
    () =>
      Effect.gen(function*() {
        const { fake, provider } = yield* world({ fake: { pace: "5 millis" } })
        yield* fake.addCluster("dev", { controlPlanes: 1, workers: 1 })
        const seen: Array<ClusterStatus> = []
        const fiber = yield* Effect.forkChild(
          Stream.runForEach(provider.watchCluster("dev"), (status) => Effect.sync(() => seen.push(status)))
        )
        const until = (what: string, wanted: (status: ClusterStatus) => boolean) =>
          Effect.gen(function*() {
            while (!seen.some(wanted)) yield* Effect.sleep("5 millis")
            seen.length = 0
          }).pipe(Effect.timeout("10 seconds"), Effect.mapError((error) => new Error(`${what}: ${error.message}`)))
        yield* until("the first", ({ ready }) => ready)
        const another = yield* fake.addMachine()
        yield* fake.put("MachineSetNodes", {
          id: another,
          labels: {
            "omni.sidero.dev/cluster": "dev",
            "omni.sidero.dev/machine-set": "dev-workers",
            "omni.sidero.dev/role-worker": ""
          },
          spec: {}
        })
        yield* until("three nodes", ({ nodesTotal, ready }) => ready && nodesTotal === 3)
        yield* fake.cutWatches
        yield* fake.changeMachine(another, { connected: false })
        yield* until("not ready over a cut", ({ ready }) => !ready)
        yield* fake.expireBookmarks
        yield* fake.cutWatches
        yield* fake.changeMachine(another, { connected: true })
        yield* until("ready over a forgotten bookmark", ({ ready }) => ready)
        yield* fake.setAvailable(false)
        yield* fake.changeMachine(another, { connected: false })
        yield* Effect.sleep("50 millis")
        yield* fake.setAvailable(true)
        yield* until("not ready over an outage", ({ ready }) => !ready)
        yield* fake.changeMachine(another, { connected: true })
        yield* provider.deleteNodes("dev")
        yield* Fiber.join(fiber).pipe(Effect.timeout("10 seconds"))
      }),
    30_000
  )

  it.live("loses no change over a thousand cuts", () =>
    Effect.gen(function*() {
      const { fake, provider } = yield* world({
        omni: { policy: { poll: Schedule.spaced("1 millis") } }
      })
      yield* fake.addCluster("dev", { controlPlanes: 1, workers: 3 })
      yield* fake.cutEvery(2, 1000)
      const seen: Array<ClusterStatus> = []
      const fiber = yield* Effect.forkChild(
        Stream.runForEach(provider.watchCluster("dev"), (status) => Effect.sync(() => seen.push(status)))
      )
      const machines = (yield* fake.machines).map(({ id }) => id)
      for (let round = 0; round < 60; round++) {
        yield* fake.changeMachine(machines[round % 4] ?? "", { connected: round % 8 >= 4 })
        yield* fake.settled
        yield* Effect.sleep("2 millis")
      }
      for (const id of machines) yield* fake.changeMachine(id, { connected: true })
      yield* fake.settled
      const wanted = Option.getOrThrow(yield* provider.getClusterStatus("dev"))
      assert.isTrue(wanted.ready)
      yield* Effect.gen(function*() {
        while (JSON.stringify(seen.at(-1)) !== JSON.stringify(wanted)) yield* Effect.sleep("5 millis")
      }).pipe(Effect.timeout("20 seconds"))
      yield* Fiber.interrupt(fiber)
    }), 60_000)
})
