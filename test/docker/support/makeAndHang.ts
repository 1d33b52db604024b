/**
 * Creates a part of a cluster and hangs, to be killed: `makeAndHang.ts HOST SPEC CALL COUNT`. It prints a line when the
 * call, such as `create` or `start`, is about to be sent for a node for the COUNTth time.
 */
import * as Effect from "effect/Effect"
import * as Docker from "../../../src/layers/Docker.ts"
import { onEvent } from "../../../src/Progress.ts"

const [host = "", spec = "{}", call = "", count = "1"] = process.argv.slice(2)

// Keeps the process alive, which no fiber does.
setInterval(() => {}, 60_000)

let seen = 0
await Effect.gen(function*() {
  const service = yield* Docker.Docker
  yield* service.createNodes(JSON.parse(spec) as Docker.DockerClusterSpec)
}).pipe(
  onEvent((event) => {
    if (event._tag !== "Sent" || event.subject.kind !== "node" || event.call !== call) return Effect.void
    if (++seen < Number(count)) return Effect.void
    process.stdout.write("here\n")
    return Effect.never
  }),
  // One at a time, so that the test knows what was created by then.
  Effect.provide(Docker.layer({ host, policy: { concurrency: { create: 1, start: 1 } } })),
  Effect.runPromise
)
