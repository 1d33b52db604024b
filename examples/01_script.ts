// runs on: memory
/**
 * A script: the nodes of every cluster, through `Effect.runPromise`. `effect` and `kubelayer` are all it needs.
 *
 * With KUBELAYER_BACKEND=docker it asks the Docker engine that the docker CLI would use.
 */
import * as Effect from "effect/Effect"
import * as Docker from "kubelayer/layers/Docker"
import * as Memory from "kubelayer/layers/Memory"
import { Provider } from "kubelayer/Provider"
import { runScript } from "kubelayer/Script"

const program = Effect.gen(function*() {
  const provider = yield* Provider
  for (const cluster of yield* provider.listAllClusters) {
    const nodes = yield* provider.listNodes(cluster)
    console.log(cluster, nodes.map((node) => `${node.name} ${node.role} ${node.state}`))
  }
})

const inMemory = Memory.layer({ clusters: { dev: { controlPlanes: 1, workers: 2 } } })

runScript(
  process.env["KUBELAYER_BACKEND"] === "docker"
    ? program.pipe(Effect.provide(Docker.layerConfig()))
    : program.pipe(Effect.provide(inMemory))
)
