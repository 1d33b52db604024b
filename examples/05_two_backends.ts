// runs on: memory
/**
 * Two backends in one program: each by its own service, and one of them as the `Provider` of what needs only that.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Docker from "kubelayer/layers/Docker"
import * as Memory from "kubelayer/layers/Memory"
import { layerFrom, Provider } from "kubelayer/Provider"
import { runScript } from "kubelayer/Script"

const stopEverything = Effect.gen(function*() {
  const provider = yield* Provider
  const clusters = yield* provider.listAllClusters
  return yield* Effect.forEach(clusters, (cluster) => provider.stopNodes(cluster), { concurrency: 4 })
})

const program = Effect.gen(function*() {
  const docker = yield* Docker.Docker
  console.log("docker answers:", yield* docker.provider.isAvailable)
  const reports = yield* stopEverything.pipe(Effect.provide(layerFrom(Memory.Memory)))
  console.log(reports.map((report) => `${report.clusterName}: ${report.done.length} stopped`))
})

const backends = Layer.mergeAll(
  Docker.layerService({ scheme: "kind" }),
  Memory.layerService({ clusters: { dev: { controlPlanes: 1, workers: 1 }, prod: { controlPlanes: 3, workers: 2 } } })
)

runScript(program.pipe(Effect.provide(backends)))
