/** Creates a cluster in a scope that never closes, prints a line, and waits: `makeAndWait.ts HOST IMAGE CLUSTER`. */
import * as Effect from "effect/Effect"
import * as Docker from "../../../src/layers/Docker.ts"

const [host = "", image = "", cluster = ""] = process.argv.slice(2)

// Keeps the process alive, which no fiber does.
setInterval(() => {}, 60_000)

await Effect.gen(function*() {
  const service = yield* Docker.Docker
  yield* service.createNodesScoped({ cluster, controlPlanes: 1, workers: 1, volumes: [{ name: "data" }] })
  process.stdout.write("made\n")
  return yield* Effect.never
}).pipe(
  Effect.scoped,
  Effect.provide(Docker.layer({ host, nodes: { image, pull: "never" } })),
  Effect.runPromise
)
