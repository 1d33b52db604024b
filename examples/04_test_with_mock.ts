// runs on: memory
/**
 * A test of a program that uses `Provider`: the mock returns prepared answers, a failure first, and records every call.
 */
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Mock from "kubelayer/layers/Mock"
import { Provider } from "kubelayer/Provider"
import { BackendError, ServerFault } from "kubelayer/Reason"
import { runScript } from "kubelayer/Script"

/** The program under test: starts a cluster, and tries once more where the backend had a fault. */
const patientStart = (cluster: string) =>
  Provider.use((provider) => provider.startNodes(cluster)).pipe(
    Effect.retry({ schedule: Schedule.recurs(1), while: (error) => error._tag === "BackendError" })
  )

const fault = new BackendError({
  provider: "mock",
  operation: "startNodes",
  clusterName: "dev",
  reason: new ServerFault({ detail: "out of order" })
})

const test = Effect.gen(function*() {
  const report = yield* patientStart("dev")
  const { calls } = yield* Mock.Mock
  console.assert(report.done.length === 1, "the node is started")
  console.assert((yield* calls).length === 2, "the program tried twice")
})

runScript(test.pipe(
  Effect.provide(Mock.layer({
    startNodes: Mock.sequence(
      Effect.fail(fault),
      Mock.report("startNodes", "dev", { "dev-control-plane": "Done" })
    )
  }))
))
