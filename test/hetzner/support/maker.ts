/**
 * Makes or deletes a cluster, or makes one for a scope that stays open: `maker.ts create|delete|hold SPEC`. The Project is
 * that of HCLOUD_ENDPOINT and HCLOUD_TOKEN.
 */
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Hetzner from "../../../src/layers/Hetzner.ts"

const [what = "", text = "{}"] = process.argv.slice(2)
const spec = JSON.parse(text) as Hetzner.HetznerClusterSpec

// Keeps the process alive, which no fiber does.
setInterval(() => {}, 60_000)

await Effect.gen(function*() {
  const { createNodes, createNodesScoped, provider } = yield* Hetzner.Hetzner
  if (what === "create") yield* createNodes(spec)
  else if (what === "delete") yield* provider.deleteNodes(spec.cluster)
  else yield* Effect.scoped(Effect.andThen(createNodesScoped(spec), Effect.never))
}).pipe(
  Effect.provide(Hetzner.layerConfig({ policy: { poll: Schedule.spaced("5 millis") } })),
  Effect.runPromise
)
process.exit(0)
