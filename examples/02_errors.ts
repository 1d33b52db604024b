// runs on: memory
/**
 * What can go wrong stands in the type: one node fails to start, the others run, and the report says which and why.
 */
import * as Effect from "effect/Effect"
import * as Memory from "kubelayer/layers/Memory"
import * as Policy from "kubelayer/Policy"
import { Provider } from "kubelayer/Provider"
import { Locked } from "kubelayer/Reason"

const start = Effect.gen(function*() {
  const provider = yield* Provider
  return yield* provider.startNodes("dev")
}).pipe(
  Effect.map((report) => `${report.done.length} started`),
  Effect.catchTags({
    NoNodes: (error) => Effect.succeed(`nothing to start: ${error.message}`),
    NodesFailed: ({ report }) =>
      Effect.succeed(
        [`${report.done.length} started`, ...report.failed.map((node) => `${node.name}: ${node.problem}`)].join("\n")
      ),
    ProviderUnavailable: (error) => Effect.succeed(error.message)
  }),
  Effect.catchReason(
    "BackendError",
    "RateLimited",
    (reason) => Effect.succeed(`asked to wait ${reason.retryAfterMillis ?? 0} ms`)
  )
)

const program = Effect.gen(function*() {
  const memory = yield* Memory.Memory
  yield* memory.failNext({
    operation: "start",
    node: "dev-worker2",
    times: 99,
    reason: new Locked({ detail: "somebody else holds it" })
  })
  console.log(yield* start.pipe(Policy.override({ nodeTimeout: { start: "1 second" } })))
})

await Effect.runPromise(program.pipe(
  Effect.provide(Memory.layer({ clusters: { dev: { controlPlanes: 1, workers: 2, state: "stopped" } } }))
))
