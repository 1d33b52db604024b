/** Reasons inside errors: found wherever they are, and caught by one combinator. */
import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Memory from "kubelayer/layers/Memory"
import * as Policy from "kubelayer/Policy"
import { Provider } from "kubelayer/Provider"
import * as E from "kubelayer/ProviderError"
import { type Locked, Protected, type RateLimited, type Reason } from "kubelayer/Reason"
import { AlreadyDone, Failed } from "kubelayer/Report"
import { backendError, dev, reportOf, samples } from "./fixtures.ts"

const report = reportOf({
  a: new Failed({ error: backendError(samples.Locked, { subject: { kind: "node", name: "a" } }) }),
  b: new AlreadyDone({}),
  c: new Failed({ error: backendError(samples.Protected, { subject: { kind: "node", name: "c" } }) })
})
const carriers = {
  NodesFailed: new E.NodesFailed({ report }),
  NodesNotCreated: new E.NodesNotCreated({ report, leftovers: [] }),
  OperationTimeout: new E.OperationTimeout({
    operation: "startNodes",
    clusterName: dev,
    duration: Duration.seconds(1),
    report
  })
}

describe("reasonsOf", () => {
  it("gives all reasons inside any error, in the report's order (U2)", () => {
    assert.deepStrictEqual(E.reasonsOf(backendError(samples.InUse)), [samples.InUse])
    for (const error of Object.values(carriers)) {
      assert.deepStrictEqual(E.reasonsOf(error), [samples.Locked, samples.Protected])
    }
  })

  it("gives none for an error without a reason, and for any other value", () => {
    const noNodes = new E.NoNodes({ provider: "test", clusterName: "dev" })
    for (const value of [noNodes, new Error("x"), undefined, null, "Locked", { report }]) {
      assert.deepStrictEqual(E.reasonsOf(value), [])
    }
  })
})

describe("catchNodeReason", () => {
  const started = (reason: Locked | Protected | RateLimited, operation: "list" | "start") =>
    Effect.gen(function*() {
      const memory = yield* Memory.Memory
      yield* memory.failNext({
        operation,
        ...(operation === "start" ? { node: "dev-worker" } : {}),
        times: Number.POSITIVE_INFINITY,
        reason
      })
      return yield* Provider.use((provider) => provider.startNodes("dev")).pipe(
        Policy.override({ nodeTimeout: { start: "5 seconds" }, readTimeout: "5 seconds" }),
        Effect.map(() => "started"),
        E.catchNodeReason("Protected", (found, { subject }) => Effect.succeed(`${subject?.name}: ${found.detail}`))
      )
    }).pipe(
      Effect.provide(Memory.layer({ clusters: { dev: { controlPlanes: 1, workers: 1, state: "stopped" } } }))
    )

  it.effect("catches the reason of a node and of the call as a whole (U2)", () =>
    Effect.gen(function*() {
      const reason = new Protected({ detail: "delete protection" })
      assert.strictEqual(yield* started(reason, "start"), "dev-worker: delete protection")
      assert.strictEqual(yield* started(reason, "list"), "undefined: delete protection")
    }))

  it.effect.each(Object.entries(carriers))("reads the report of %s (U2)", ([, error]) =>
    Effect.gen(function*() {
      const caught = yield* Effect.fail(error).pipe(
        E.catchNodeReason(["Protected", "InUse"], (reason, origin) => Effect.succeed({ reason, origin }))
      )
      assert.strictEqual<Reason>(caught.reason, samples.Protected)
      assert.deepStrictEqual(caught.origin, {
        subject: { kind: "node", name: "c" },
        error,
        others: [samples.Locked]
      })
    }))

  it.effect("passes on an error without that reason, and one that it is given again", () =>
    Effect.gen(function*() {
      const other = yield* Effect.flip(
        Effect.fail(carriers.NodesFailed).pipe(E.catchNodeReason("InUse", () => Effect.succeed("caught")))
      )
      assert.strictEqual(other, carriers.NodesFailed)
      const again = yield* Effect.flip(
        Effect.fail(carriers.NodesFailed).pipe(E.catchNodeReason("Locked", (_, { error }) => Effect.fail(error)))
      )
      assert.strictEqual(again, carriers.NodesFailed)
    }))
})
