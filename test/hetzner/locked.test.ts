/** Servers that another action locks: one list a tick shows which of them are free. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { OperationReport } from "kubelayer/Report"
import { failure, onFake, ours, type Rig } from "./support/rig.ts"

const seeded = (fake: Rig["fake"], count: number, status: "off" | "running", locked: number) =>
  Effect.forEach(Array.from({ length: count }, (_, index) => index), (index) =>
    Effect.gen(function*() {
      const id = yield* fake.seed.server({
        name: `${index < 3 ? "cp" : "w"}-${index}`,
        status,
        labels: ours("dev", index < 3 ? "control-plane" : "worker")
      })
      if (locked > 0) yield* fake.change(id, { locked })
      return id
    }))

const refused = (fake: Rig["fake"]) =>
  Effect.map(fake.calls, (calls) => calls.filter(({ status }) => status === 423).length)

describe("26 servers that are locked for 60 s", () => {
  for (
    const [method, status] of [["startNodes", "off"], ["stopNodes", "running"], ["deleteNodes", "running"]] as const
  ) {
    it.live(`${method} waits for them with one list a tick, in at most ${method === "stopNodes" ? 70 : 60} requests (H11)`, () =>
      onFake({ fake: { duration: "2 seconds" } }, ({ fake, hetzner }) =>
        Effect.gen(function*() {
          yield* seeded(fake, 26, status, 60_000)
          const report = yield* hetzner.provider[method]("dev")
          assert.lengthOf(report.done.filter(({ kind }) => kind === "node"), 26)
          assert.strictEqual(yield* refused(fake), 0)
          const { length } = yield* fake.calls
          assert.isAtMost(length, method === "startNodes" ? 60 : 70)
        })))
  }

  it.live("10 servers locked for 25 s cost at most 30 requests (H11)", () =>
    onFake({}, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        yield* seeded(fake, 10, "off", 25_000)
        yield* hetzner.provider.startNodes("dev")
        assert.isAtMost((yield* fake.calls).length, 30)
      })))
})

describe("a server that is locked", () => {
  it.live("after the list was read is sent again once the list shows it as free (H11)", () =>
    onFake({}, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        const [first = 0] = yield* seeded(fake, 5, "off", 0)
        const lock = yield* fake.fault({
          on: new RegExp(`/servers/${first}/actions/poweron`),
          fault: { _tag: "Refuse", code: "locked" }
        })
        const report = yield* hetzner.provider.startNodes("dev")
        yield* lock
        assert.lengthOf(report.done, 5)
        assert.strictEqual(yield* refused(fake), 1)
      })))

  it.live("delays none of the others, which are in a later order", () =>
    onFake({ fake: { duration: "1 second" } }, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        const [first = 0, ...rest] = yield* seeded(fake, 6, "off", 0)
        yield* fake.change(first, { locked: "60 seconds" })
        yield* hetzner.provider.startNodes("dev")
        const sent = (yield* fake.calls).filter(({ method }) => method === "POST")
        assert.sameMembers(sent.slice(0, 5).map(({ path }) => Number(path.split("/")[2])), rest)
        assert.isAtMost((sent[4]?.at ?? 0) - (sent[0]?.at ?? 0), 2000)
      })))
})

describe("an action that ends with `unknown_error: server is locked`", () => {
  it.live("is Locked, and the request is sent again (H15)", () =>
    onFake({ fake: { duration: "1 second" } }, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        yield* seeded(fake, 2, "off", 0)
        yield* fake.failAction({ command: "start_server", code: "unknown_error", message: "server is locked" })
        assert.lengthOf((yield* hetzner.provider.startNodes("dev")).done, 2)
      })))

  it.live("is retryable and advised to be retried where it stays so (H15)", () =>
    onFake({ policy: { nodeTimeout: { delete: "20 seconds" } } }, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        yield* seeded(fake, 1, "running", 0)
        yield* fake.failAction({
          command: "delete_server",
          code: "unknown_error",
          message: "server is locked",
          times: 1000
        })
        const error = yield* failure(hetzner.provider.deleteNodes("dev"))
        const [outcome] = "report" in error ? (error.report as OperationReport).failed : []
        const reason = outcome?.outcome._tag === "Failed" ? outcome.outcome.error.reason : undefined
        assert.include(["Locked", "RequestTimeout"], reason?._tag)
        assert.isTrue(reason?.isRetryable)
      })))
})
