/** The quickstart on Sidero Omni: on an account where the environment names one, else on the fake of `kubelayer/testing`. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Omni from "../../src/layers/Omni.ts"
import * as OmniFake from "../../src/testing/OmniFake.ts"
import type { Backend } from "./backend.ts"

const onAccount: Backend = {
  layer: Omni.layerConfig({ machines: { matchLabels: ["omni.sidero.dev/available"] } }),
  why: "The account of OMNI_SERVICE_ACCOUNT_KEY: four machines that are free there are used, and given back."
}

/** A pace at which one can watch it. */
const onFake = Effect.map(
  OmniFake.make({
    machines: Array.from({ length: 5 }, () => ({ power: "on" as const })),
    machineClasses: { any: ["omni.sidero.dev/arch = amd64"] },
    pace: "60 millis"
  }),
  ({ endpoint, serviceAccountKey }): Backend => ({
    layer: Omni.layer({ endpoint, serviceAccountKey, machineClass: "any" }),
    why:
      `OMNI_SERVICE_ACCOUNT_KEY is not set. This runs against a fake Omni at ${endpoint}: the machines are simulated.`
  })
)

export const omni: Effect.Effect<Backend, never, Scope.Scope> = Effect.suspend(() =>
  (process.env["OMNI_SERVICE_ACCOUNT_KEY"] ?? "") === "" ? onFake : Effect.succeed(onAccount)
)
