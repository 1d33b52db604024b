import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { ClusterName } from "kubelayer/Model"
import * as Plan from "kubelayer/Plan"

const step = (
  name: string,
  action: Plan.PlanAction,
  more: Partial<ConstructorParameters<typeof Plan.PlanStep>[0]> = {}
) => new Plan.PlanStep({ kind: "node", name, action, differences: [], wave: 1, ...more })

const image = new Plan.Difference({ field: "image", actual: "a:1", requested: "a:2", remedy: "replace" })
const labels = new Plan.Difference({ field: "labels.team", actual: null, requested: "x", remedy: "update" })

const fields = {
  backend: "memory",
  target: "memory",
  operation: "createNodes" as const,
  clusterName: ClusterName.make("dev"),
  spec: { cluster: "dev", workers: 1 },
  steps: [
    step("dev-network", "unchanged", { kind: "network", id: "n1", wave: 0 }),
    step("dev-worker", "create", { details: { price: "0.01 EUR/h" } }),
    step("dev-worker2", "update", { id: "2", differences: [labels] }),
    step("dev-worker3", "refuse", { id: "3", differences: [image], why: "it has another image" })
  ]
}
const plan = Plan.makePlan(fields)

describe("a plan", () => {
  it("separates changes from refusals", () => {
    assert.deepStrictEqual(plan.changes.map(({ name }) => name), ["dev-worker", "dev-worker2"])
    assert.deepStrictEqual(plan.refusals.map(({ name }) => name), ["dev-worker3"])
    assert.isFalse(plan.isEmpty)
    assert.isTrue(Plan.makePlan({ ...fields, steps: fields.steps.slice(0, 1) }).isEmpty)
    assert.isFalse(Plan.makePlan({ ...fields, steps: fields.steps.slice(3) }).isEmpty)
  })

  it("prints a line for each step that changes or refuses something, and the totals", () => {
    assert.strictEqual(
      String(plan),
      [
        `Plan of createNodes for cluster "dev" on memory:`,
        "  + create node dev-worker (price 0.01 EUR/h)",
        "  ~ update node dev-worker2",
        `      labels.team: null -> "x"`,
        "  ! refuse node dev-worker3: it has another image",
        `      image: "a:1" -> "a:2"`,
        "1 to create, 1 to update, 1 unchanged, 1 refused"
      ].join("\n")
    )
    assert.match(String(Plan.makePlan({ ...fields, steps: [] })), /nothing to do$/)
  })

  it.effect("survives JSON with its class, its getters and its fingerprint", () =>
    Effect.gen(function*() {
      const read = yield* Plan.fromJson(JSON.parse(JSON.stringify(Plan.toJson(plan))))
      assert.instanceOf(read, Plan.Plan)
      assert.deepStrictEqual(read, plan)
      assert.strictEqual(read.changes.length, 2)
    }))

  it.effect.each(
    [
      ["a changed action", (json: string) => json.replace(`"update"`, `"delete"`)],
      ["a changed spec", (json: string) => json.replace(`"workers":1`, `"workers":9`)],
      ["another target", (json: string) => json.replace(`"target":"memory"`, `"target":"other"`)],
      ["another version", (json: string) => json.replace(`"version":1`, `"version":2`)],
      ["a step without a name", (json: string) => json.replace(`"name":"dev-worker",`, "")],
      ["no plan at all", () => `[1]`]
    ] as const
  )("is refused with InvalidPlan where the file has %s", ([, edit]) =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(Plan.fromJson(JSON.parse(edit(JSON.stringify(Plan.toJson(plan))))))
      assert.strictEqual(error._tag, "InvalidPlan")
      assert.isAbove(error.message.length, 20)
    }))

  it("keeps its fingerprint when reasons and details change, and changes it with ids, actions and differences", () => {
    const withFirst = (more: object) =>
      Plan.makePlan({ ...fields, steps: [step("dev-worker", "create", more), ...fields.steps.slice(2)] }).fingerprint
    const base = withFirst({})
    assert.strictEqual(withFirst({ why: "it is missing", details: { price: "2" } }), base)
    for (const more of [{ id: "9" }, { action: "start" }, { wave: 2 }, { differences: [labels] }, { kind: "volume" }]) {
      assert.notStrictEqual(withFirst(more), base)
    }
  })
})

describe("digests of secrets", () => {
  it("are equal for equal secrets under one salt only, and do not contain the secret", () => {
    const [salt, other] = [Plan.randomSalt(), Plan.randomSalt()]
    assert.strictEqual(Plan.digestSecret("hunter2", salt), Plan.digestSecret("hunter2", salt))
    assert.notStrictEqual(Plan.digestSecret("hunter2", salt), Plan.digestSecret("hunter2", other))
    assert.notStrictEqual(Plan.digestSecret("hunter2", salt), Plan.digestSecret("hunter3", salt))
    assert.notInclude(Plan.digestSecret("hunter2", salt), "hunter2")
  })

  it("show the salt of an encoded spec wherever they are in it", () => {
    const salt = Plan.randomSalt()
    assert.strictEqual(Plan.saltOf({ nodes: [{ env: { PASSWORD: Plan.digestSecret("hunter2", salt) } }] }), salt)
    assert.isUndefined(Plan.saltOf({ nodes: [{ env: { PASSWORD: "sha256:short" } }] }))
  })
})

describe("a stale plan", () => {
  it("names each thing whose step changed", () => {
    const now = Plan.makePlan({
      ...fields,
      steps: [
        ...fields.steps.slice(0, 1),
        step("dev-worker", "unchanged", { id: "7" }),
        ...fields.steps.slice(2),
        step("dev-worker4", "delete", { id: "4" })
      ]
    })
    const differences = Plan.compareSteps(plan, now)
    assert.deepStrictEqual(differences.map(({ name }) => name), ["dev-worker", "dev-worker4"])
    const { message } = new Plan.StalePlan({ plan, now, differences })
    assert.include(message, "node dev-worker: planned create, now unchanged (id 7)")
    assert.include(message, "node dev-worker4: planned no step, now delete (id 4)")
  })
})
