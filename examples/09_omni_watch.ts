// runs on: memory
/**
 * Watching a cluster on Sidero Omni while it grows, is cut off, and goes: a line for each change, without polling.
 *
 * It works on a fake Omni that is started for it, so that it can cut the streams under the watch.
 */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { awaitStatus } from "kubelayer/Cluster"
import * as Omni from "kubelayer/layers/Omni"
import { NodeCreator, Provider } from "kubelayer/Provider"
import { runScript } from "kubelayer/Script"
import { OmniFake } from "kubelayer/testing"

const program = Effect.gen(function*() {
  const fake = yield* OmniFake.OmniFake
  const creator = yield* NodeCreator
  const provider = yield* Provider

  yield* creator.createNodes({ cluster: "example", controlPlanes: 1, workers: 1 })
  const watch = yield* Effect.forkChild(
    provider.watchCluster("example").pipe(
      Stream.runForEach(({ nodesReady, nodesTotal, phase }) =>
        Effect.sync(() => console.log(`${phase}: ${nodesReady} of ${nodesTotal}`))
      )
    )
  )
  yield* fake.cutWatches
  yield* creator.createNodes({ cluster: "example", controlPlanes: 1, workers: 2 })
  yield* awaitStatus(provider, "example", ({ nodesReady }) => nodesReady === 3, { timeout: "1 minute" })
  yield* provider.deleteNodes("example")
  yield* Fiber.join(watch)
})

const onFake = Layer.unwrap(
  Effect.map(
    OmniFake.OmniFake,
    ({ endpoint, serviceAccountKey }) =>
      Omni.layer({ endpoint, serviceAccountKey, machines: { matchLabels: ["omni.sidero.dev/arch = amd64"] } })
  )
).pipe(Layer.provideMerge(OmniFake.layer({ machines: 3 })))

runScript(program.pipe(Effect.provide(onFake)))
