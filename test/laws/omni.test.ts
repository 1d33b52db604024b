/** All laws over `Omni` on a fake Omni, over the real wire. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Omni from "kubelayer/layers/Omni"
import { OmniFake, OmniHarness } from "kubelayer/testing"
import { describeLaws } from "kubelayer/testing/vitest"
import { describe, it } from "vitest"

const omni = Layer.unwrap(
  Effect.map(
    OmniFake.OmniFake,
    ({ endpoint, serviceAccountKey }) =>
      Omni.layer({ endpoint, serviceAccountKey, machines: { matchLabels: ["omni.sidero.dev/available"] } })
  )
)

describeLaws({ describe, it }, {
  name: "Omni",
  layer: omni.pipe(
    Layer.provideMerge(OmniFake.layer({
      machines: Array.from({ length: 12 }, () => ({ power: "on" as const }))
    }))
  ),
  harness: OmniHarness.layer(),
  capabilities: OmniHarness.capabilities
})
