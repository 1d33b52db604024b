/** Upgrades as operations over a fake Omni: paths, refusals before the write, a true end, and taking one back. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type { OperationEvent } from "kubelayer/Progress"
import { onEvent } from "kubelayer/Provider"
import { outcomes, tagOf, world } from "./support/world.ts"

const releases = ["1.10.7", "1.11.2", "1.12.1", "1.13.0"].map((version) => ({
  version,
  kubernetes: ["1.32.0", "1.33.0", "1.34.1"]
}))

/** A cluster of three machines with Talos 1.10.7 and Kubernetes 1.32.0. */
const upgradable = (options: { readonly pace?: string } = {}) =>
  Effect.gen(function*() {
    const seen = yield* world({
      fake: {
        machines: Array.from({ length: 3 }, () => ({ talosVersion: "v1.10.7" })),
        talosVersions: releases,
        ...options
      } as never
    })
    yield* seen.fake.settled
    yield* seen.omni.sync({
      cluster: { name: "dev", kubernetes: { version: "v1.32.0" }, talos: { version: "v1.10.7" } },
      controlPlane: { machineClass: { name: "small", size: 1 } },
      workers: [{ machineClass: { name: "small", size: 2 } }]
    })
    yield* seen.omni.awaitReady("dev", { timeout: "10 seconds" })
    yield* seen.fake.settled
    yield* seen.newCalls
    return seen
  })

const isRead = (call: string) => /^(?:Get|List|Watch)\b/.test(call)

describe("upgrade", () => {
  it.live("ends when every machine has the version, and reports each machine", () =>
    Effect.gen(function*() {
      const { fake, omni } = yield* upgradable()
      const events: Array<OperationEvent> = []
      const report = yield* omni.upgrade("dev", { talos: "v1.12.1", timeout: "10 seconds" }).pipe(
        onEvent((event) => Effect.sync(() => events.push(event)))
      )
      assert.deepStrictEqual(outcomes(report), ["dev: Done", "machine-1: Done", "machine-2: Done", "machine-3: Done"])
      assert.isTrue((yield* fake.machines).every(({ talosVersion }) => talosVersion.endsWith("1.12.1")))
      // The cluster settles last.
      const settled = events.flatMap((event) => event._tag === "Settled" ? [event.subject.kind] : [])
      assert.deepStrictEqual(settled, ["node", "node", "node", "cluster"])
      const again = yield* omni.upgrade("dev", { talos: "1.12.1", timeout: "10 seconds" })
      assert.isTrue(again.outcomes.every(({ outcome }) => outcome._tag === "AlreadyDone"))
    }), 20_000)

  it.live("of Kubernetes ends when the server has upgraded it", () =>
    Effect.gen(function*() {
      const { fake, omni } = yield* upgradable()
      const report = yield* omni.upgrade("dev", { kubernetes: "1.33.0", timeout: "10 seconds" })
      assert.strictEqual(report.done.length, 4)
      const [status] = yield* fake.resources("KubernetesUpgradeStatuses")
      assert.deepInclude(status?.spec as object, { lastUpgradeVersion: "1.33.0" })
    }), 20_000)

  it.live("is refused before any write when the server could not apply it", () =>
    Effect.gen(function*() {
      const { newCalls, omni } = yield* upgradable()
      for (
        const [versions, message] of [
          [{ talos: "1.13.0" }, /talos: Talos cannot go from 1\.10\.7 to 1\.13\.0 at once; upgrade to 1\.12\.1 first/],
          [{ talos: "1.9.5" }, /the server does not know Talos 1\.9\.5; its latest release is 1\.13\.0/],
          [
            { kubernetes: "1.34.1" },
            /Kubernetes cannot go from 1\.32\.0 to 1\.34\.1 at once; upgrade to 1\.33\.0 first/
          ],
          [{ kubernetes: "1.36.0" }, /the server does not know Kubernetes 1\.36\.0/],
          [{}, /neither `talos` nor `kubernetes` is given/]
        ] as const
      ) {
        const error = yield* Effect.flip(omni.upgrade("dev", versions))
        assert.strictEqual(error._tag, "InvalidSpec")
        assert.match(error.message, message)
      }
      assert.strictEqual((yield* Effect.flip(omni.upgrade("other", { talos: "1.11.2" })))._tag, "ClusterNotFound")
      assert.isTrue((yield* newCalls).every(isRead))
      assert.deepStrictEqual(yield* omni.planUpgrade("dev", { talos: "v1.13.0", kubernetes: "1.34.1" }), [
        { product: "talos", from: "1.10.7", steps: ["1.12.1", "1.13.0"] },
        { product: "kubernetes", from: "1.32.0", steps: ["1.33.0", "1.34.1"] }
      ])
      yield* omni.upgrade("dev", { talos: "1.11.2", timeout: "10 seconds" })
      assert.match(
        (yield* Effect.flip(omni.upgrade("dev", { talos: "1.10.7" }))).message,
        /Talos cannot go back from 1\.11\.2 to 1\.10\.7/
      )
    }), 20_000)

  it.live(
    "is refused on a locked cluster and while another one runs, which can be taken back",
    () =>
      Effect.gen(function*() {
        const { fake, newCalls, omni } = yield* upgradable({ pace: "60 millis" })
        const first = yield* Effect.forkChild(
          Effect.exit(omni.upgrade("dev", { talos: "1.11.2", timeout: "20 seconds" }))
        )
        const phase = Effect.map(
          fake.resources("TalosUpgradeStatuses"),
          ([status]) => String((status?.spec as { readonly phase?: unknown } | undefined)?.phase)
        )
        while ((yield* phase) !== "1") yield* Effect.sleep("2 millis")
        yield* newCalls
        const busy = yield* Effect.flip(omni.upgrade("dev", { talos: "1.12.1" }))
        assert.strictEqual(tagOf(busy), "Locked")
        assert.match(busy.message, /an upgrade of Talos to 1\.11\.2 runs/)
        assert.isTrue((yield* newCalls).every(isRead))
        yield* Fiber.interrupt(first)
        yield* omni.cancelUpgrade("dev")
        yield* omni.awaitUpgrade("dev", { talos: "1.10.7", timeout: "10 seconds" })
        assert.isTrue((yield* fake.machines).every(({ talosVersion }) => talosVersion.endsWith("1.10.7")))
        yield* fake.put("Clusters", { id: "dev", annotations: { "omni.sidero.dev/cluster-locked": "" } })
        assert.strictEqual(tagOf(yield* Effect.flip(omni.upgrade("dev", { talos: "1.11.2" }))), "Protected")
      }),
    30_000
  )
})
