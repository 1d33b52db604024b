/** Plans and their application, over Memory. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Memory from "kubelayer/layers/Memory"
import * as Plan from "kubelayer/Plan"
import { onEvent } from "kubelayer/Provider"
import { InvalidInput } from "kubelayer/Reason"
import { outcomes, sent, states } from "../memory/support/simulator.ts"

const spec = { cluster: "dev", controlPlanes: 1, workers: 2 }

const writes = Effect.map(sent, (calls) => calls.filter((call) => !/^(?:list|ping|watch)/.test(call)))

const stepsOf = (plan: Plan.Plan) => plan.steps.map(({ action, name }) => `${action} ${name}`)

const world = Effect.map(
  Memory.Memory.use((memory) => memory.world),
  ({ nodes }) => nodes.map(({ name, state }) => `${name} ${state}`)
)

describe("plan", () => {
  it.effect("says what a create does, and writes nothing", () =>
    Effect.gen(function*() {
      const { creator } = yield* Memory.Memory
      const plan = yield* creator.plan(spec)
      assert.deepStrictEqual(yield* writes, [])
      assert.deepStrictEqual(stepsOf(plan), [
        "create dev-network",
        "create dev-volume",
        "create dev-control-plane",
        "create dev-worker",
        "create dev-worker2"
      ])
      const report = yield* creator.createNodes(spec)
      assert.deepStrictEqual(report.done.map(({ name }) => name), plan.changes.map(({ name }) => name))
      assert.isTrue((yield* creator.plan(spec)).isEmpty)
    }).pipe(Effect.provide(Memory.layer())))

  it.effect("lists everything that is missing, different, surplus and in the way at once", () =>
    Effect.gen(function*() {
      const memory = yield* Memory.Memory
      yield* memory.createNodes({ ...spec, workers: 12 })
      yield* memory.removeNode("dev-worker")
      yield* memory.addUnlabelled({ kind: "node", name: "dev-worker" })
      yield* memory.disconnect("dev-worker2")
      yield* memory.setState("dev-control-plane", "stopped")
      const plan = yield* memory.creator.plan({ ...spec, workers: 3, labels: { team: "a" } })
      assert.deepStrictEqual(stepsOf(plan), [
        "unchanged dev-network",
        "unchanged dev-volume",
        "update dev-control-plane",
        "refuse dev-worker",
        "update dev-worker2",
        "update dev-worker3",
        "delete dev-worker12",
        "delete dev-worker11",
        "delete dev-worker10",
        "delete dev-worker9",
        "delete dev-worker8",
        "delete dev-worker7",
        "delete dev-worker6",
        "delete dev-worker5",
        "delete dev-worker4"
      ])
      assert.deepStrictEqual(
        plan.steps.find(({ name }) => name === "dev-worker2")?.differences.map(({ field, remedy }) => [field, remedy]),
        [["labels.team", "update"], ["network", "repair"]]
      )
      assert.strictEqual(plan.refusals[0]?.holder, "the unlabelled node dev-worker")
    }).pipe(Effect.provide(Memory.layer())))

  it.effect("refuses fewer control planes, unless the spec allows them", () =>
    Effect.gen(function*() {
      const memory = yield* Memory.Memory
      yield* memory.createNodes({ ...spec, controlPlanes: 3, workers: 0 })
      const one = { ...spec, workers: 0 }
      assert.deepStrictEqual((yield* memory.creator.plan(one)).refusals.map(({ name }) => name), [
        "dev-control-plane3",
        "dev-control-plane2"
      ])
      const allowed = yield* memory.creator.plan({ ...one, allowFewerControlPlanes: true })
      assert.deepStrictEqual(stepsOf(allowed).slice(-2), ["delete dev-control-plane3", "delete dev-control-plane2"])
    }).pipe(Effect.provide(Memory.layer())))

  it.effect("names nodes of pools, and finds those of a pool that left the spec as surplus", () =>
    Effect.gen(function*() {
      const memory = yield* Memory.Memory
      const pools = [
        { name: "gpu", role: "worker", count: 2, labels: { gpu: "yes" } },
        { name: "edge", role: "worker", count: 1 }
      ] as const
      yield* memory.createNodes({ ...spec, workers: 0, pools })
      assert.deepStrictEqual(
        (yield* memory.provider.listNodes("dev")).map(({ name, pool }) => [name, pool]),
        [["dev-control-plane", undefined], ["dev-edge-1", "edge"], ["dev-gpu-1", "gpu"], ["dev-gpu-2", "gpu"]]
      )
      const plan = yield* memory.creator.plan({ ...spec, workers: 0, pools: [{ ...pools[0], count: 1 }] })
      assert.deepStrictEqual(plan.changes.map(({ action, name }) => `${action} ${name}`), [
        "delete dev-gpu-2",
        "delete dev-edge-1"
      ])
    }).pipe(Effect.provide(Memory.layer())))

  it.effect("counts nodes of addNodes, which createNodes passes over", () =>
    Effect.gen(function*() {
      const { creator } = yield* Memory.Memory
      yield* creator.createNodes(spec)
      yield* creator.addNodes("dev", { workers: 1, labels: { team: "a" } })
      assert.deepStrictEqual((yield* creator.plan(spec)).changes.map(({ action, name }) => `${action} ${name}`), [
        "delete dev-worker3"
      ])
      const report = yield* creator.createNodes(spec)
      assert.deepStrictEqual(report.done, [])
      assert.deepStrictEqual((yield* creator.createNodes({ ...spec, workers: 3 })).done, [])
    }).pipe(Effect.provide(Memory.layer())))
})

describe("apply", () => {
  it.effect("carries out updates and deletions too, and the next plan is empty", () =>
    Effect.gen(function*() {
      const memory = yield* Memory.Memory
      const { creator } = memory
      yield* creator.createNodes({ ...spec, workers: 4 })
      yield* memory.disconnect("dev-worker")
      yield* memory.setState("dev-worker2", "stopped")
      const requested = { ...spec, labels: { team: "a" } }
      const plan = yield* creator.plan(requested)
      const report = yield* creator.apply(plan)
      assert.strictEqual(report.operation, "apply")
      assert.deepStrictEqual(outcomes(report), {
        "dev-network": "AlreadyDone",
        "dev-volume": "AlreadyDone",
        "dev-control-plane": "Done",
        "dev-worker": "Done",
        "dev-worker2": "Done",
        "dev-worker4": "Done",
        "dev-worker3": "Done"
      })
      assert.isTrue((yield* creator.plan(requested)).isEmpty)
      assert.deepStrictEqual(yield* world, ["dev-control-plane running", "dev-worker running", "dev-worker2 running"])
      const { nodes } = yield* memory.world
      assert.isTrue(nodes.every(({ isConnected, labels }) => isConnected && labels["team"] === "a"))
    }).pipe(Effect.provide(Memory.layer())))

  it.effect("takes a plan that was read from a file, of a create and of a delete", () =>
    Effect.gen(function*() {
      const { creator, provider } = yield* Memory.Memory
      const throughFile = (plan: Plan.Plan) => Plan.fromJson(JSON.parse(JSON.stringify(Plan.toJson(plan))))
      yield* creator.apply(yield* throughFile(yield* creator.plan(spec)))
      assert.strictEqual((yield* provider.listNodes("dev")).length, 3)
      const plan = yield* provider.planDelete("dev")
      assert.deepStrictEqual(stepsOf(plan), [
        "delete dev-control-plane",
        "delete dev-worker",
        "delete dev-worker2",
        "delete dev-network",
        "delete dev-volume"
      ])
      yield* creator.apply(yield* throughFile(plan))
      assert.isFalse(yield* provider.nodesExist("dev"))
    }).pipe(Effect.provide(Memory.layer())))

  it.effect("fails with StalePlan where the world has moved, names what moved, and writes nothing", () =>
    Effect.gen(function*() {
      const memory = yield* Memory.Memory
      const { creator, provider } = memory
      const plan = yield* creator.plan(spec)
      yield* memory.addNode({ cluster: "dev", role: "worker", name: "dev-worker" })
      yield* memory.clearCalls
      const stale = yield* Effect.flip(creator.apply(plan))
      assert(stale._tag === "StalePlan")
      assert.deepStrictEqual(
        stale.differences.map(({ name, now, planned }) => [name, planned?.action, now?.action]),
        [["dev-worker", "create", "unchanged"]]
      )
      assert.deepStrictEqual(yield* writes, [])
      const deletion = yield* provider.planDelete("dev")
      yield* memory.addNode({ cluster: "dev", role: "worker" })
      assert.strictEqual((yield* Effect.flip(creator.apply(deletion)))._tag, "StalePlan")
      assert.deepStrictEqual(yield* writes, [])
    }).pipe(Effect.provide(Memory.layer())))

  it.effect("a plan that was applied is stale", () =>
    Effect.gen(function*() {
      const { creator } = yield* Memory.Memory
      const plan = yield* creator.plan(spec)
      yield* creator.apply(plan)
      assert.strictEqual((yield* Effect.flip(creator.apply(plan)))._tag, "StalePlan")
    }).pipe(Effect.provide(Memory.layer())))

  it.effect("fails with the reason of createNodes where a step is refused", () =>
    Effect.gen(function*() {
      const memory = yield* Memory.Memory
      yield* memory.addUnlabelled({ kind: "network", name: "dev-network" })
      const plan = yield* memory.creator.plan(spec)
      const error = yield* Effect.flip(memory.creator.apply(plan))
      assert(error._tag === "BackendError" && error.reason._tag === "NameTaken")
      assert.strictEqual(error.reason.by, "the unlabelled network dev-network")
    }).pipe(Effect.provide(Memory.layer())))

  it.effect("fails with InvalidPlan for a plan of another backend, one that was edited, and another spec", () =>
    Effect.gen(function*() {
      const { creator } = yield* Memory.Memory
      const plan = yield* creator.plan(spec)
      const other = Plan.makePlan({ ...plan, backend: "docker" })
      const elsewhere = Plan.makePlan({ ...plan, target: "elsewhere" })
      const noSpec = Plan.makePlan({ ...plan, spec: "nothing" })
      const edited = new Plan.Plan({ ...plan, steps: plan.steps.slice(1) })
      for (const each of [other, elsewhere, noSpec, edited]) {
        assert.strictEqual((yield* Effect.flip(creator.apply(each)))._tag, "InvalidPlan")
      }
      const mismatch = yield* Effect.flip(creator.apply(plan, { spec: { ...spec, workers: 9 } }))
      assert.strictEqual(mismatch._tag, "InvalidPlan")
      assert.deepStrictEqual(yield* writes, [])
    }).pipe(Effect.provide(Memory.layer())))

  it.effect("undoes what it created if something takes a name after its list", () =>
    Effect.gen(function*() {
      const memory = yield* Memory.Memory
      const plan = yield* memory.creator.plan(spec)
      const error = yield* memory.creator.apply(plan).pipe(
        onEvent((event) =>
          event._tag === "Sent" && event.subject.name === "dev-volume"
            ? memory.addUnlabelled({ kind: "node", name: "dev-worker2" })
            : Effect.void
        ),
        Effect.flip
      )
      assert(error._tag === "NodesNotCreated")
      assert.deepStrictEqual(error.reasons.map(({ _tag }) => _tag), ["NameTaken"])
      assert.deepStrictEqual((yield* memory.world).nodes, [])
      assert.deepStrictEqual((yield* memory.world).resources, [])
    }).pipe(Effect.provide(Memory.layer())))

  it.effect("keeps what it created if a deletion of surplus nodes fails, and reports that", () =>
    Effect.gen(function*() {
      const memory = yield* Memory.Memory
      yield* memory.createNodes({ ...spec, workers: 3 })
      yield* memory.removeNode("dev-worker")
      const plan = yield* memory.creator.plan(spec)
      yield* memory.failNext({ operation: "delete", node: "dev-worker3", reason: new InvalidInput({ detail: "no" }) })
      const error = yield* Effect.flip(memory.creator.apply(plan))
      assert(error._tag === "NodesFailed")
      assert.deepStrictEqual(error.report.failed.map(({ name }) => name), ["dev-worker3"])
      assert.strictEqual((yield* states("dev"))["dev-worker"], "running")
    }).pipe(Effect.provide(Memory.layer())))
})

describe("planDelete", () => {
  it.effect("says what a delete leaves and why, and writes nothing", () =>
    Effect.gen(function*() {
      const memory = yield* Memory.Memory
      yield* memory.addUnlabelled({ kind: "node", name: "registry", uses: ["dev-network"] })
      const plan = yield* memory.provider.planDelete("dev")
      assert.deepStrictEqual(stepsOf(plan), ["delete dev-control-plane", "retain dev-network", "delete dev-volume"])
      assert.strictEqual(
        plan.steps.find(({ action }) => action === "retain")?.why,
        "it is used by the unlabelled node registry"
      )
      assert.deepStrictEqual(yield* writes, [])
      const report = yield* memory.provider.deleteNodes("dev")
      assert.deepStrictEqual(report.done.map(({ name }) => name), plan.changes.map(({ name }) => name))
      assert.isTrue((yield* memory.provider.planDelete("other")).isEmpty)
    }).pipe(Effect.provide(Memory.layer({ clusters: { dev: { controlPlanes: 1, workers: 0 } } }))))
})
