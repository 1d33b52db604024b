/**
 * Laws on plans: what they say, that they write nothing, and how they are applied.
 *
 * @since 0.2.0
 */
import * as Effect from "effect/Effect"
import { fromJson, Plan, toJson } from "../../Plan.ts"
import type { ClusterSpec } from "../../Provider.ts"
import { creator, expect, expectSame, failsWith, type Law, law, succeeds, type World } from "../Law.ts"
import { lines, pick } from "./nodes.ts"

const specOf = (world: World): ClusterSpec => ({ cluster: world.cluster, controlPlanes: 1, workers: 1 })

const make = (spec: ClusterSpec) =>
  Effect.flatMap(creator, ({ createNodes }) => succeeds("createNodes", createNodes(spec)))
const planOf = (spec: ClusterSpec) => Effect.flatMap(creator, ({ plan }) => succeeds("plan", plan(spec)))
const apply = (plan: Plan) => Effect.flatMap(creator, ({ apply }) => succeeds("apply", apply(plan)))

/** The things of a cluster on the backend, one line each. */
const everything = ({ cluster, harness }: World) =>
  Effect.gen(function*() {
    const nodes = (yield* harness.nodes(cluster)).map(({ id, name, state }) => `${name} ${id} ${state}`)
    return [...nodes, ...yield* harness.leftovers(cluster)]
  })

const changesOf = (plan: Plan) => plan.changes.map(({ action, name }) => `${action} ${name}`)

/**
 * @category laws
 * @since 0.2.0
 */
export const plan: ReadonlyArray<Law> = [
  law({
    id: "plan.silent",
    title: "plans of a create and of a delete, statuses and a sweep that only lists write nothing",
    needs: ["plan", "create", "leftovers"],
    check: (world) =>
      Effect.gen(function*() {
        yield* make(specOf(world))
        const before = yield* everything(world)
        yield* planOf({ ...specOf(world), workers: 3 })
        yield* succeeds("planDelete", world.provider.planDelete(world.cluster))
        yield* succeeds("listAllStatuses", world.provider.listAllStatuses)
        const { sweep } = yield* creator
        yield* succeeds("sweep", sweep({ olderThan: 0 }))
        yield* expectSame("the backend has", before, yield* everything(world))
      })
  }),
  law({
    id: "plan.create",
    title: "createNodes does what the plan of the same spec says",
    needs: ["plan", "create"],
    check: (world) =>
      Effect.gen(function*() {
        const planned = yield* planOf({ ...specOf(world), workers: 2 })
        yield* make({ ...specOf(world), workers: 2 })
        const nodes = yield* world.harness.nodes(world.cluster)
        yield* expectSame(
          "the plan creates the nodes",
          nodes.map(({ name }) => name).sort(),
          planned.steps.filter(({ action, kind }) => action === "create" && kind === "node").map(({ name }) => name)
            .sort()
        )
      })
  }),
  law({
    id: "plan.json",
    title: "a plan that was written to a file and read again can be applied",
    needs: ["plan", "create"],
    check: (world) =>
      Effect.gen(function*() {
        const planned = yield* planOf(specOf(world))
        const read = yield* succeeds(
          "reading the plan's JSON",
          Effect.suspend(() => fromJson(JSON.parse(JSON.stringify(toJson(planned)))))
        )
        yield* expectSame("the fingerprint is", planned.fingerprint, read.fingerprint)
        yield* apply(read)
        const nodes = yield* world.harness.nodes(world.cluster)
        yield* expect(nodes.length === 2, "the plan is carried out", lines(nodes))
      })
  }),
  law({
    id: "plan.empty",
    title: "a plan that was applied is empty when it is planned again",
    needs: ["plan", "create"],
    check: (world) =>
      Effect.gen(function*() {
        yield* apply(yield* planOf(specOf(world)))
        const again = yield* planOf(specOf(world))
        yield* expect(again.isEmpty, "the second plan changes nothing", String(again))
      })
  }),
  law({
    id: "plan.stale",
    title: "a plan is not applied, and nothing is written, where the cluster has changed since",
    needs: ["plan", "create", "vanish"],
    check: (world) =>
      Effect.gen(function*() {
        const { cluster, harness } = world
        yield* make(specOf(world))
        const planned = yield* planOf({ ...specOf(world), workers: 2 })
        const worker = yield* pick(yield* harness.nodes(cluster), (node) => node.role === "worker")
        yield* harness.vanish(worker)
        const before = lines(yield* harness.nodes(cluster))
        const { apply } = yield* creator
        const { differences } = yield* failsWith("apply", "StalePlan", apply(planned))
        yield* expect(
          differences.some(({ name }) => name === worker.name),
          `a difference names ${worker.name}`,
          differences.map(({ name }) => name)
        )
        yield* expectSame("the nodes are", before, lines(yield* harness.nodes(cluster)))
      })
  }),
  law({
    id: "plan.refuses",
    title: "a plan lists everything that is in the way at once",
    needs: ["plan", "create", "control-planes", "bystanders", "name-held"],
    check: (world) =>
      Effect.gen(function*() {
        yield* make({ ...specOf(world), controlPlanes: 2, workers: 0 })
        yield* world.harness.holdName(world.cluster)
        const before = yield* world.harness.bystanders
        const planned = yield* planOf(specOf(world))
        yield* expect(
          planned.refusals.length === 2 && planned.refusals.some(({ holder }) => holder !== undefined),
          "a held name and a control plane too many are refused",
          String(planned)
        )
        const { apply } = yield* creator
        yield* failsWith("apply", "BackendError", apply(planned))
        yield* expectSame("the bystanders are", before, yield* world.harness.bystanders)
      })
  }),
  law({
    id: "plan.control-planes",
    title: "a plan refuses a spec with fewer control planes, unless the spec allows it",
    needs: ["plan", "create", "control-planes"],
    check: (world) =>
      Effect.gen(function*() {
        yield* make({ ...specOf(world), controlPlanes: 3 })
        const refused = yield* planOf(specOf(world))
        yield* expect(refused.refusals.length === 2, "two control planes are refused", String(refused))
        const allowed = yield* planOf({ ...specOf(world), allowFewerControlPlanes: true })
        yield* expect(
          allowed.refusals.length === 0 && allowed.changes.length === 2,
          "two control planes are deleted",
          String(allowed)
        )
      })
  }),
  law({
    id: "plan.surplus",
    title: "a plan deletes nodes that the spec does not request, the highest numbers first, and apply deletes these",
    needs: ["plan", "create"],
    check: (world) =>
      Effect.gen(function*() {
        const { cluster, harness } = world
        yield* make({ ...specOf(world), workers: 3 })
        const workers = (yield* harness.nodes(cluster)).filter(({ role }) => role === "worker").map(({ name }) => name)
        const planned = yield* planOf(specOf(world))
        yield* expectSame(
          "the plan is to",
          workers.slice(1).reverse().map((name) => `delete ${name}`),
          changesOf(planned)
        )
        yield* apply(planned)
        const left = (yield* harness.nodes(cluster)).filter(({ role }) => role === "worker")
        yield* expectSame("the workers are", workers.slice(0, 1), left.map(({ name }) => name))
      })
  }),
  law({
    id: "plan.repairs",
    title: "a plan says what createNodes attaches again",
    needs: ["plan", "create", "detach"],
    check: (world) =>
      Effect.gen(function*() {
        const { cluster, harness } = world
        yield* make(specOf(world))
        const worker = yield* pick(yield* harness.nodes(cluster), (node) => node.role === "worker")
        yield* harness.detach(worker)
        const planned = yield* planOf(specOf(world))
        yield* expectSame("the plan is to", [`repair ${worker.name}`], changesOf(planned))
      })
  }),
  law({
    id: "plan.delete",
    title: "planDelete lists every node of the cluster",
    needs: ["plan", "create"],
    check: (world) =>
      Effect.gen(function*() {
        yield* make(specOf(world))
        const planned = yield* succeeds("planDelete", world.provider.planDelete(world.cluster))
        yield* expectSame(
          "the plan deletes the nodes",
          (yield* world.harness.nodes(world.cluster)).map(({ name }) => name).sort(),
          planned.steps.filter(({ action, kind }) => action === "delete" && kind === "node").map(({ name }) => name)
            .sort()
        )
      })
  }),
  law({
    id: "plan.delete-resources",
    title: "planDelete lists every network, volume and other resource of the cluster",
    needs: ["plan", "node-by-node", "create", "leftovers"],
    check: (world) =>
      Effect.gen(function*() {
        yield* make(specOf(world))
        const planned = yield* succeeds("planDelete", world.provider.planDelete(world.cluster))
        // A line of a leftover ends with its name, and a name may begin with the kind that the backend gives it.
        const last = (line: string) => line.split(" ").at(-1) ?? line
        const others = (yield* world.harness.leftovers(world.cluster)).map(last)
        yield* expectSame(
          "the plan deletes",
          others.sort(),
          planned.steps.filter(({ action, kind }) => action === "delete" && kind !== "node").map(({ name }) =>
            last(name)
          ).sort()
        )
      })
  }),
  law({
    id: "plan.invalid",
    title: "a plan that was edited is refused, and nothing is written",
    needs: ["plan", "create"],
    check: (world) =>
      Effect.gen(function*() {
        const planned = yield* planOf(specOf(world))
        const edited = new Plan({ ...planned, steps: planned.steps.slice(1) })
        const { apply } = yield* creator
        yield* failsWith("apply of an edited plan", "InvalidPlan", apply(edited))
        yield* expectSame("the nodes are", [], lines(yield* world.harness.nodes(world.cluster)))
      })
  })
]
