// runs on: memory
/**
 * Every failure is in the type: one node fails to start, the others run, and the report says which and why.
 */
import * as Effect from "effect/Effect"
import * as Memory from "kubelayer/layers/Memory"
import * as Policy from "kubelayer/Policy"
import { Provider } from "kubelayer/Provider"
import { catchNodeReason } from "kubelayer/ProviderError"
import { Locked } from "kubelayer/Reason"
import { runScript } from "kubelayer/Script"

const start = Effect.gen(function*() {
  const provider = yield* Provider
  return yield* provider.startNodes("dev")
}).pipe(
  Effect.map((report) => `${report.done.length} started`),
  // A reason of a node, or of the call as a whole.
  catchNodeReason("RateLimited", (reason) => Effect.succeed(`wait for ${reason.retryAfterMillis ?? 0} ms`)),
  Effect.catchTags({
    NoNodes: (error) => Effect.succeed(`nothing to start: ${error.message}`),
    NodesFailed: ({ report }) =>
      Effect.succeed(
        [`${report.done.length} started`, ...report.failed.map((node) => `${node.name}: ${node.problem}`)].join("\n")
      ),
    ProviderUnavailable: (error) => Effect.succeed(error.message)
  })
)

const program = Effect.gen(function*() {
  const memory = yield* Memory.Memory
  yield* memory.failNext({
    operation: "start",
    node: "dev-worker2",
    times: 99,
    reason: new Locked({ detail: "another operation uses it" })
  })
  console.log(yield* start.pipe(Policy.override({ nodeTimeout: { start: "1 second" } })))
})

runScript(program.pipe(
  Effect.provide(Memory.layer({ clusters: { dev: { controlPlanes: 1, workers: 2, state: "stopped" } } }))
))
