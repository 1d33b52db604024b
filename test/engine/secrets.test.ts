/** Plans of specs with secrets: the values are in none of their forms, and `apply` compares the spec that it is given. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Backend from "kubelayer/Backend"
import { NodeInfo } from "kubelayer/Model"
import * as Plan from "kubelayer/Plan"
import type { ClusterSpec } from "kubelayer/Provider"
import { Done } from "kubelayer/Report"
import { inspect } from "node:util"

interface Spec extends ClusterSpec {
  readonly password: string
}

interface Machine {
  readonly name: string
  readonly cluster: string
  readonly mark: Backend.Mark
  readonly password: string
}

const node: Backend.NodeResource<{ readonly name: string; readonly password: string }, Machine, Map<string, Machine>> =
  {
    kind: "node",
    order: 0,
    list: (machines) => Effect.sync(() => [...machines.values()]),
    identity: ({ name }) => ({ name }),
    nameOf: ({ name }) => name,
    placeOf: () => ({ role: "worker" }),
    owner: ({ cluster, mark }) => ({ cluster, ...mark }),
    info: ({ name }, clusterName) =>
      new NodeInfo({
        name,
        id: name,
        clusterName,
        role: "worker",
        state: "running",
        rawRole: "worker",
        rawState: "running",
        addresses: { private: [], public: [] }
      }),
    diff: () => [],
    create: (machines, { name, password }, task) =>
      task.send(
        "create",
        Effect.sync(() => {
          const machine = { name, cluster: task.cluster, mark: task.mark, password }
          machines.set(name, machine)
          return machine
        })
      ),
    remove: (machines, { name }, task) => task.send("delete", Effect.sync(() => void machines.delete(name)))
  }

const servicesOf = () => {
  const machines = new Map<string, Machine>()
  const { creator } = Backend.make<Spec, Machine, Map<string, Machine>, Map<string, Machine>>({
    backend: "vault",
    read: machines,
    write: machines,
    target: Effect.succeed("here"),
    ping: Effect.void,
    validate: () => [],
    encode: ({ password, ...spec }, digest) => ({ ...spec as object, password: digest(password) }),
    decode: (encoded) => encoded as unknown as Spec,
    node,
    resources: [],
    desired: (_, { cluster, password }) => Effect.succeed([Backend.want(node, { name: `${cluster}-1`, password })]),
    power: { start: () => Effect.succeed(new Done({})), stop: () => Effect.succeed(new Done({})) }
  })
  return { creator, machines }
}

const password = "hunter2-and-more"
const spec: Spec = { cluster: "dev", controlPlanes: 1, workers: 0, password }

const throughFile = (plan: Plan.Plan) => Plan.fromJson(JSON.parse(JSON.stringify(Plan.toJson(plan))))

describe("a plan of a spec with a secret", () => {
  it.effect("has it in none of its forms, nor has the error of a stale one", () =>
    Effect.gen(function*() {
      const { creator } = servicesOf()
      const plan = yield* creator.plan(spec)
      yield* creator.apply(plan)
      const stale = yield* Effect.flip(creator.apply(plan))
      assert.strictEqual(stale._tag, "StalePlan")
      for (
        const text of [
          String(plan),
          JSON.stringify(Plan.toJson(plan)),
          inspect(plan, { depth: 9 }),
          stale.message,
          inspect(stale, { depth: 9 })
        ]
      ) {
        assert.notInclude(text, password)
      }
    }))

  it.effect("has other digests each time, so that two plans cannot be compared", () =>
    Effect.gen(function*() {
      const { creator } = servicesOf()
      const [one, two] = [yield* creator.plan(spec), yield* creator.plan(spec)]
      assert.notDeepEqual(one.spec, two.spec)
    }))

  it.effect("is applied as it is in the process that planned it", () =>
    Effect.gen(function*() {
      const { creator, machines } = servicesOf()
      yield* creator.apply(yield* creator.plan(spec))
      assert.strictEqual(machines.get("dev-1")?.password, password)
    }))

  it.effect("that was read from a file needs the spec again, and refuses another one", () =>
    Effect.gen(function*() {
      const { creator, machines } = servicesOf()
      const plan = yield* throughFile(yield* creator.plan(spec))
      const without = yield* Effect.flip(creator.apply(plan))
      assert.strictEqual(without._tag, "InvalidPlan")
      assert.include(without.message, "apply(plan, { spec })")
      const other = yield* Effect.flip(creator.apply(plan, { spec: { ...spec, password: "another" } }))
      assert.strictEqual(other._tag, "InvalidPlan")
      assert.strictEqual(machines.size, 0)
      yield* creator.apply(plan, { spec })
      assert.strictEqual(machines.get("dev-1")?.password, password)
    }))
})
