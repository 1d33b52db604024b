// runs on: memory
/**
 * Creates a cluster's nodes for as long as a scope is open, with progress, and waits for a status without polling.
 * Ctrl-C at any time removes what was created.
 *
 * The same program creates containers with `Docker.layer({ nodes: { image: "..." } })`.
 */
import * as Effect from "effect/Effect"
import { awaitStatus } from "kubelayer/Cluster"
import * as Memory from "kubelayer/layers/Memory"
import { NodeCreator, onEvent, Provider } from "kubelayer/Provider"
import { runScript } from "kubelayer/Script"

const program = Effect.gen(function*() {
  const provider = yield* Provider
  const creator = yield* NodeCreator

  yield* creator.createNodesScoped({ cluster: "test", controlPlanes: 1, workers: 2 }).pipe(
    onEvent((event) =>
      Effect.sync(() => {
        if (event._tag === "Settled") console.log(event.subject.kind, event.subject.name, event.outcome._tag)
      })
    )
  )
  const status = yield* awaitStatus(provider, "test", (status) => status.ready, { timeout: "1 minute" })
  console.log(`${status.phase}: ${status.nodesReady} of ${status.nodesTotal}`)
}).pipe(Effect.scoped)

runScript(program.pipe(Effect.provide(Memory.layer())))
