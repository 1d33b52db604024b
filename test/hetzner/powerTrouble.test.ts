/** Starting and stopping when something goes wrong or is in the way: order, deadlines, graces and interruption. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { transform } from "effect/http/HttpClient"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import type { OperationReport } from "kubelayer/Report"
import type { HetznerFake } from "kubelayer/testing"
import { over } from "./support/over.ts"
import { failure, onFake, ours, type Rig, told } from "./support/rig.ts"

type Fake = Rig["fake"]

/** Control planes first, each with an id of the fake's. */
const servers = (
  fake: Fake,
  controlPlanes: number,
  workers: number,
  more: Partial<HetznerFake.ServerSeed> = {}
): Effect.Effect<ReadonlyArray<number>> =>
  Effect.forEach(Array.from({ length: controlPlanes + workers }, (_, index) => index), (index) =>
    fake.seed.server({
      name: index < controlPlanes ? `cp-${index + 1}` : `w-${index - controlPlanes + 1}`,
      labels: ours("dev", index < controlPlanes ? "control-plane" : "worker"),
      ...more
    }))

const sent = (fake: Fake, what: string) =>
  Effect.map(
    fake.calls,
    (calls) =>
      calls.filter(({ template }) => template.endsWith(`/${what}`)).map(({ path }) => Number(path.split("/")[2]))
  )

const calls = (fake: Fake) => Effect.map(fake.calls, ({ length }) => length)

const failures = (report: OperationReport) =>
  report.failed.map(({ name, outcome }) => [name, outcome._tag === "Failed" ? outcome.error.reason._tag : undefined])

const failedReport = <E extends { readonly _tag: string }, A>(self: Effect.Effect<A, E>) =>
  Effect.map(
    failure(self),
    (error) => "report" in error ? error.report as OperationReport : assert.fail(`it failed with ${error._tag}`)
  )

describe("startNodes", () => {
  it.live("sends the workers' requests when the control planes' are accepted, not when they are done", () =>
    onFake({ fake: { duration: "20 seconds", latency: "50 millis" } }, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        const ids = yield* servers(fake, 2, 3, { status: "off" })
        yield* hetzner.provider.startNodes("dev")
        const order = yield* sent(fake, "poweron")
        assert.sameMembers(order.slice(0, 2), ids.slice(0, 2))
        const [first, ...rest] = (yield* fake.calls).filter(({ method }) => method === "POST").map(({ at }) => at)
        assert.isAtMost(Math.max(...rest) - (first ?? 0), 1000)
      })))

  it.live("of a control plane that is refused goes on with the rest, and names it", () =>
    onFake({ fake: { duration: "2 seconds" } }, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        yield* servers(fake, 1, 2, { status: "off" })
        yield* fake.fault({ on: /poweron/, fault: { _tag: "Refuse", code: "resource_limit_exceeded" } })
        const report = yield* failedReport(hetzner.provider.startNodes("dev"))
        assert.deepStrictEqual(failures(report), [["cp-1", "QuotaExceeded"]])
        assert.lengthOf(report.done, 2)
      })))

  it.live("fails for a server that stays locked past its deadline, as Locked or as late, not for the others", () =>
    onFake({ policy: { nodeTimeout: { start: "30 seconds" } } }, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        const [first = 0] = yield* servers(fake, 0, 2, { status: "off" })
        yield* fake.fault({
          on: new RegExp(`/servers/${first}/actions/poweron`),
          fault: { _tag: "Refuse", code: "locked" },
          times: 10_000
        })
        const report = yield* failedReport(hetzner.provider.startNodes("dev"))
        assert.deepStrictEqual(report.failed.map(({ name }) => name), ["w-1"])
        assert.deepStrictEqual(report.done.map(({ name }) => name), ["w-2"])
      })))

  it.live("reports Failed for a server that is deleted during the start, and starts the other", () =>
    onFake({ fake: { duration: "10 seconds" } }, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        const [first = 0] = yield* servers(fake, 0, 2, { status: "off" })
        const fiber = yield* Effect.forkChild(failedReport(hetzner.provider.startNodes("dev")))
        yield* Effect.sleep("3 seconds")
        yield* fake.vanish(first)
        const report = yield* Fiber.join(fiber)
        assert.deepStrictEqual(told(report).toSorted(), ["node w-1 Failed", "node w-2 Done"])
      })))

  it.live("of a server that vanishes with its action is Failed soon, not at its deadline", () =>
    onFake({ fake: { duration: "20 seconds" } }, ({ fake }) =>
      Effect.gen(function*() {
        const [id = 0] = yield* servers(fake, 0, 1, { status: "off" })
        const forgetful = transform(fake.httpClient, (send, request) =>
          request.url.includes("/actions?")
            ? Effect.as(send, HttpClientResponse.fromWeb(request, Response.json({ actions: [] })))
            : send)
        const hetzner = yield* over(forgetful, { token: fake.token, endpoint: fake.endpoint })
        yield* Effect.forkChild(Effect.andThen(Effect.sleep("2 seconds"), fake.vanish(id)))
        const report = yield* failedReport(hetzner.provider.startNodes("dev"))
        assert.deepStrictEqual(failures(report), [["w-1", "NotFoundError"]])
        assert.isAtMost(report.durationMillis, 10_000)
      })))

  it.live("sends a request whose reply was lost again, without harm", () =>
    onFake({ fake: { duration: "2 seconds" } }, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        yield* servers(fake, 1, 0, { status: "off" })
        yield* fake.fault({ on: /poweron/, fault: { _tag: "CutAfter" } })
        assert.lengthOf((yield* hetzner.provider.startNodes("dev")).done, 1)
      })))
})

describe("stopNodes", () => {
  it.live("gives a server its whole grace, also when the shutdown request was refused for a long time", () =>
    onFake(
      { grace: "20 seconds", fake: { duration: "1 second", guest: { shutdown: 10_000 } } },
      ({ fake, hetzner }) =>
        Effect.gen(function*() {
          yield* servers(fake, 0, 1)
          const lift = yield* fake.fault({ on: /shutdown/, fault: { _tag: "Refuse", code: "locked" }, times: 10_000 })
          yield* Effect.forkChild(Effect.andThen(Effect.sleep("40 seconds"), lift))
          const report = yield* hetzner.provider.stopNodes("dev")
          assert.lengthOf(report.done, 1)
          assert.deepStrictEqual(yield* sent(fake, "poweroff"), [])
        })
    ))

  it.live("that is interrupted sends nothing more, and the next one finishes the job", () =>
    onFake(
      { fake: { duration: "5 seconds", guest: { shutdown: 5000 } } },
      ({ fake, hetzner }) =>
        Effect.gen(function*() {
          yield* servers(fake, 1, 4)
          const fiber = yield* Effect.forkChild(hetzner.provider.stopNodes("dev"))
          yield* Effect.sleep("2 seconds")
          yield* Fiber.interrupt(fiber)
          const before = yield* calls(fake)
          yield* Effect.sleep("1 minute")
          assert.strictEqual(yield* calls(fake), before)
          yield* hetzner.provider.stopNodes("dev")
          assert.isTrue((yield* fake.state).servers.every(({ status }) => status === "off"))
        })
    ))

  it.live("of what is off or being deleted does nothing", () =>
    onFake({}, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        yield* servers(fake, 1, 2, { status: "off" })
        const report = yield* hetzner.provider.stopNodes("dev")
        assert.isTrue(report.outcomes.every(({ outcome }) => outcome._tag === "AlreadyDone"))
        assert.strictEqual(yield* calls(fake), 1)
      })))

  it.live("reports AlreadyDone for a server that no longer exists when the shutdown is sent", () =>
    onFake({}, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        const [first = 0] = yield* servers(fake, 0, 2)
        yield* fake.fault({ on: new RegExp(`/servers/${first}/`), fault: { _tag: "Refuse", code: "not_found" } })
        yield* hetzner.provider.stopNodes("dev").pipe(
          Effect.map((report) =>
            assert.deepStrictEqual(told(report).toSorted(), ["node w-1 AlreadyDone", "node w-2 Done"])
          )
        )
      })))
})
