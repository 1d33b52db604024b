/** The Talos version of a new cluster, and the error when no machine has a matching version. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { OmniFakeService } from "../../src/testing/OmniFake.ts"
import { tagOf, world } from "./support/world.ts"

const talosVersions = [
  { version: "1.11.5", kubernetes: ["1.34.1"] },
  { version: "1.12.1", kubernetes: ["1.34.1", "1.35.0"] },
  { version: "1.13.2", kubernetes: ["1.35.0"] }
]

const selections = {
  machines: { machineClass: undefined, machines: { matchLabels: ["omni.sidero.dev/arch = amd64"] } },
  machineClass: { machineClass: "small" }
} as const

const talosOf = (fake: OmniFakeService) =>
  Effect.map(
    fake.resources("Clusters"),
    (all) => all.map(({ spec }) => (spec as { talosVersion: string }).talosVersion)
  )

describe.each(Object.entries(selections))("createNodes with %s", (_, omni) => {
  it.live("takes the newest Talos that enough free machines fit (O6, O7)", () =>
    Effect.gen(function*() {
      const machines = ["v1.11.5", "v1.11.5", "v1.12.1"].map((talosVersion) => ({ talosVersion }))
      const { fake, omni: service } = yield* world({ fake: { talosVersions, machines }, omni: omni as object })
      yield* service.createNodes({ cluster: "two", controlPlanes: 1, workers: 1 })
      assert.deepStrictEqual(yield* talosOf(fake), ["1.11.5"])
      yield* service.createNodes({ cluster: "one", controlPlanes: 1, workers: 0 })
      assert.deepStrictEqual((yield* talosOf(fake)).sort(), ["1.11.5", "1.12.1"])
    }))

  it.live("fails before any write where too few machines fit, with their versions (O6, O7)", () =>
    Effect.gen(function*() {
      const machines = ["v1.11.5", "v1.11.5", "v1.12.1"].map((talosVersion) => ({ talosVersion }))
      const { fake, omni: service } = yield* world({
        fake: { talosVersions, machines },
        omni: { ...omni, talosVersion: "1.13.2" } as object
      })
      const error = yield* Effect.flip(service.createNodes({ cluster: "a", controlPlanes: 1, workers: 0 }))
      assert.strictEqual(tagOf(error), "CapacityUnavailable")
      assert.match(error.message, /2 Talos 1\.11\.5, the cluster needs 1\.13/)
      assert.match(error.message, /1 Talos 1\.12\.1, the cluster needs 1\.13/)
      assert.isFalse((yield* fake.calls).some(({ method }) => method === "Create"))
    }))
})
