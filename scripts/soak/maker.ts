/**
 * Creates a cluster for a scope that never closes, prints a line, and waits to be killed: `maker.ts HOST IMAGE
 * CLUSTER`.
 */
import * as Effect from "effect/Effect"
import * as Docker from "../../src/layers/Docker.ts"
import { specOf } from "./killed.ts"

const [host = "", image = "", cluster = ""] = process.argv.slice(2)

// Keeps the process alive, which no fiber does.
setInterval(() => {}, 60_000)

await Effect.gen(function*() {
  const docker = yield* Docker.Docker
  yield* docker.createNodesScoped(specOf(cluster))
  process.stdout.write("made\n")
  return yield* Effect.never
}).pipe(
  Effect.scoped,
  Effect.provide(Docker.layer({ host, nodes: { image, pull: "never" } })),
  Effect.runPromise
)
