/** Plans over a fake Omni: by counts and of templates, applied, saved, stale; nodes added, removed and replaced; calls. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Omni from "kubelayer/layers/Omni"
import * as Plan from "kubelayer/Plan"
import type { OperationEvent } from "kubelayer/Progress"
import { onEvent } from "kubelayer/Provider"
import { reasonsOf } from "kubelayer/ProviderError"
import { outcomes, tagOf, world } from "./support/world.ts"
import { machine } from "./template/support.ts"

const chosen = { machineClass: undefined, machines: { matchLabels: ["omni.sidero.dev/arch"] } } as never
const spec = { cluster: "dev", controlPlanes: 1, workers: 1 }
const cluster = { name: "dev", kubernetes: { version: "v1.34.1" }, talos: { version: "v1.11.2" } } as const

const listed = (workers: ReadonlyArray<number>, password?: string): Omni.Template => ({
  cluster: {
    ...cluster,
    ...(password === undefined ? {} : {
      patches: [{ name: "env", inline: { machine: { env: { PASSWORD: password } } } }]
    })
  },
  controlPlane: { machines: [machine(1)] },
  workers: [{ machines: workers.map(machine) }]
})

const changes = ({ changes }: Plan.Plan) => changes.map(({ action, kind, name }) => `${action} ${kind} ${name}`)

const isRead = (call: string) => /^(?:Get|List|Watch|ValidateConfig)\b/.test(call)

describe("plan", () => {
  it.live("has the machines that createNodes chooses, and apply takes these", () =>
    Effect.gen(function*() {
      const { fake, newCalls, omni } = yield* world({ fake: { machines: 3 }, omni: chosen })
      yield* fake.settled
      yield* newCalls
      const plan = yield* omni.plan(spec)
      assert.isTrue((yield* newCalls).every(isRead))
      assert.deepStrictEqual(changes(plan), [
        "create cluster dev",
        "create resource MachineSet dev-control-planes",
        "create resource MachineSet dev-workers",
        "create node machine-1",
        "create node machine-2"
      ])
      const report = yield* omni.apply(plan)
      assert.deepStrictEqual(report.done.filter(({ kind }) => kind === "node").map(({ name }) => name), [
        "machine-1",
        "machine-2"
      ])
      assert.isTrue((yield* omni.plan(spec)).isEmpty)
      assert.strictEqual((yield* Effect.flip(omni.apply(plan)))._tag, "StalePlan")
    }))

  it.live("deletes surplus machines, and refuses fewer control planes of a class", () =>
    Effect.gen(function*() {
      const { fake, omni, provider } = yield* world({ fake: { machines: 4 }, omni: chosen })
      yield* omni.createNodes({ ...spec, workers: 3 })
      const plan = yield* omni.plan(spec)
      assert.deepStrictEqual(changes(plan), ["delete node machine-4", "delete node machine-3"])
      yield* omni.apply(plan)
      yield* fake.settled
      assert.deepStrictEqual((yield* provider.listNodes("dev")).map(({ name }) => name), ["machine-1", "machine-2"])

      const classes = yield* world({ fake: { machines: 3 } })
      yield* classes.omni.createNodes({ ...spec, controlPlanes: 3, workers: 0 })
      const fewer = { ...spec, workers: 0 }
      assert.deepStrictEqual((yield* classes.omni.plan(fewer)).refusals.map(({ name }) => name), [
        "MachineSet dev-control-planes"
      ])
      assert.deepStrictEqual(changes(yield* classes.omni.plan({ ...fewer, allowFewerControlPlanes: true })), [
        "update resource MachineSet dev-control-planes"
      ])
    }), 20_000)

  it.live("refuses a cluster that kubelayer did not create", () =>
    Effect.gen(function*() {
      const { fake, omni } = yield* world({ fake: { machines: 3 } })
      yield* fake.addCluster("dev", { controlPlanes: 1, workers: 2 })
      const [refusal] = (yield* omni.plan(spec)).refusals
      assert.match(refusal?.why ?? "", /used by a cluster that kubelayer did not create/)
    }))
})

describe("a plan of a template", () => {
  it.live("is applied unchanged, reports every resource and emits an event for each step", () =>
    Effect.gen(function*() {
      const { fake, omni } = yield* world({ fake: { machines: 3 } })
      yield* fake.settled
      const plan = yield* omni.planTemplate(listed([2]))
      const events: Array<OperationEvent> = []
      const report = yield* omni.apply(plan).pipe(onEvent((event) => Effect.sync(() => events.push(event))))
      assert.strictEqual(report.operation, "apply")
      assert.deepStrictEqual(
        report.done.map(({ kind, name }) => `${kind} ${name}`),
        plan.steps.map(({ kind, name }) => `${kind} ${name}`)
      )
      const count = (tag: OperationEvent["_tag"]) => events.filter(({ _tag }) => _tag === tag).length
      assert.deepStrictEqual([count("Scheduled"), count("Sent"), count("Settled")], [5, 5, 5])
      assert.isTrue((yield* omni.planTemplate(listed([2]))).isEmpty)
    }))

  it.live("is stale once the cluster has changed, and writes nothing then", () =>
    Effect.gen(function*() {
      const { fake, newCalls, omni } = yield* world({ fake: { machines: 4 } })
      yield* omni.sync(listed([2]))
      yield* fake.settled
      const plan = yield* omni.planTemplate(listed([2, 3]))
      yield* omni.sync(listed([2, 4]))
      yield* fake.settled
      yield* newCalls
      const stale = yield* Effect.flip(omni.apply(plan))
      assert.strictEqual(stale._tag, "StalePlan")
      assert.include(stale.message, `node ${machine(4)}: planned no step, now delete`)
      assert.isTrue((yield* newCalls).every(isRead))
    }))

  it.live("from a file needs its template again where it has patches, and has no secret", () =>
    Effect.gen(function*() {
      const { fake, omni } = yield* world({ fake: { machines: 3 } })
      yield* fake.settled
      const template = listed([2], "canary-77")
      const planned = yield* omni.planTemplate(template)
      const text = JSON.stringify(Plan.toJson(planned))
      assert.notInclude(text, "canary")
      assert.notInclude(String(planned), "canary")
      const saved = yield* Plan.fromJson(JSON.parse(text))
      assert.match((yield* Effect.flip(omni.apply(saved))).message, /Give the template again/)
      assert.match(
        (yield* Effect.flip(omni.apply(saved, { template: listed([2], "other") }))).message,
        /is not the one that was planned/
      )
      yield* omni.apply(saved, { template })
      yield* fake.settled
      // Without contents a plan has all that it needs.
      const plain = yield* Plan.fromJson(JSON.parse(JSON.stringify(Plan.toJson(yield* omni.planTemplate(listed([2]))))))
      assert.deepStrictEqual(changes(plain), ["delete resource ConfigPatch 200-cluster-dev-env"])
      yield* omni.apply(plain)
      const edited = new Plan.Plan({ ...plain, steps: [] })
      assert.strictEqual((yield* Effect.flip(omni.apply(edited)))._tag, "InvalidPlan")
    }))

  it.live("shows the machines that leave with their set, and the report has them", () =>
    Effect.gen(function*() {
      const { fake, omni } = yield* world({ fake: { machines: 3 } })
      yield* omni.sync(listed([2, 3]))
      yield* fake.settled
      const plan = yield* omni.planTemplate({ cluster, controlPlane: { machines: [machine(1)] } })
      assert.deepStrictEqual(changes(plan), [
        "delete resource MachineSet dev-workers",
        `delete node ${machine(2)}`,
        `delete node ${machine(3)}`
      ])
      assert.deepStrictEqual((yield* omni.apply(plan)).done.map(({ name }) => name).toSorted(), [
        machine(2),
        machine(3),
        "MachineSet dev-workers"
      ])
    }))

  it.live("that fails after its first write has the rest in its report", () =>
    Effect.gen(function*() {
      const { fake, omni } = yield* world({ fake: { machines: 3 } })
      yield* fake.settled
      yield* fake.failNext({ method: "Create", type: "MachineSetNodes", code: 3, message: "failed to validate: no" })
      const error = yield* Effect.flip(omni.sync(listed([2])))
      assert.strictEqual(error._tag, "NodesFailed")
      assert.deepStrictEqual(reasonsOf(error).map(({ _tag }) => _tag), ["InvalidInput"])
      const report = error._tag === "NodesFailed" ? error.report : undefined
      assert.deepStrictEqual(report?.done.map(({ name }) => name).slice(0, 3), [
        "dev",
        "MachineSet dev-control-planes",
        "MachineSet dev-workers"
      ])
      assert.strictEqual((yield* omni.sync(listed([2]))).failed.length, 0)
    }))
})

describe("nodes of a cluster of chosen machines", () => {
  it.live("are added to a pool of their own, and replaced as the same machines", () =>
    Effect.gen(function*() {
      const { fake, ids, omni, provider } = yield* world({ fake: { machines: 4 }, omni: chosen })
      yield* omni.createNodes(spec)
      const added = yield* omni.creator.addNodes("dev", { workers: 1, pool: "gpu", labels: { team: "a" } })
      assert.deepStrictEqual(outcomes(added).toSorted(), ["MachineSet dev-gpu: Done", "machine-3: Done"])
      assert.include(yield* ids("MachineSets"), "dev-gpu")
      assert.isEmpty((yield* omni.createNodes(spec)).done)
      const before = (yield* provider.listNodes("dev")).map(({ id, name }) => `${id} ${name}`)
      const replaced = yield* omni.creator.replaceNodes("dev", { nodes: ["machine-2"] })
      // One outcome of the machine that left, and one of the machine that came.
      assert.deepStrictEqual(outcomes(replaced), ["machine-2: Done", "machine-2: Done"])
      assert.deepStrictEqual((yield* provider.listNodes("dev")).map(({ id, name }) => `${id} ${name}`), before)
      assert.deepStrictEqual(yield* fake.violations, [])
    }), 20_000)

  it.live("of a class are Omni's: adding and replacing is refused, removing is Unsupported", () =>
    Effect.gen(function*() {
      const { omni } = yield* world({ fake: { machines: 4 } })
      yield* omni.createNodes(spec)
      const { creator } = omni
      assert.match((yield* Effect.flip(creator.addNodes("dev", { workers: 1 }))).message, /`machines`|machines/)
      assert.match(
        (yield* Effect.flip(creator.replaceNodes("dev", { nodes: ["machine-2"] }))).message,
        /machine of a class, which Omni replaces on its own/
      )
      const removed = yield* Effect.flip(creator.removeNodes("dev", ["machine-2"]))
      assert.match(removed.message, /allocates it for a machine class/)
    }))
})

describe("two creators", () => {
  it.live("of one cluster end with one cluster, also where the first is interrupted", () =>
    Effect.gen(function*() {
      const { fake, ids, omni, provider } = yield* world({ fake: { machines: 4, pace: "5 millis" }, omni: chosen })
      const other = yield* Omni.make({
        endpoint: fake.endpoint,
        serviceAccountKey: fake.serviceAccountKey,
        machines: { matchLabels: ["omni.sidero.dev/arch"] }
      })
      const first = yield* Effect.forkChild(Effect.exit(omni.createNodes(spec)))
      while ((yield* ids("MachineSets")).length < 2) yield* Effect.sleep("1 millis")
      const second = yield* Effect.forkChild(other.createNodes(spec))
      yield* Effect.sleep("30 millis")
      yield* Fiber.interrupt(first)
      const report = yield* Fiber.join(second)
      assert.isFalse(report.isFailure)
      yield* fake.settled
      assert.strictEqual((yield* provider.listNodes("dev")).length, 2)
      assert.isTrue((yield* provider.listNodes("dev")).every(({ state }) => state === "running"))
    }), 20_000)
})

describe("calls", () => {
  it.live(
    "of the status of 50 clusters are at most 4, of an unchanged template of 26 machines at most 10 reads",
    () =>
      Effect.gen(function*() {
        const { fake, newCalls, omni, provider } = yield* world({ fake: { machines: 26 } })
        for (let n = 0; n < 49; n++) yield* fake.addCluster(`c${n}`, { controlPlanes: 1, workers: 0 })
        const template = listed(Array.from({ length: 25 }, (_, index) => index + 2), "x")
        yield* omni.sync(template)
        yield* fake.settled
        yield* newCalls
        assert.strictEqual((yield* provider.listAllStatuses).length, 50)
        const status = yield* newCalls
        assert.isAtMost(status.length, 4)
        assert.strictEqual(status.length, 2)
        assert.strictEqual((yield* omni.sync(template)).done.length, 0)
        const sync = yield* newCalls
        assert.isTrue(sync.every(isRead))
        assert.isAtMost(sync.length, 10)
        assert.strictEqual(tagOf(yield* Effect.flip(provider.startNodes("absent"))), "NoNodes")
      }),
    20_000
  )
})
