/**
 * A fleet over two backends in one process: documents in, clusters out, and a change by hand is repaired.
 *
 * Both backends are simulated here; `Docker.layerConfig()` and `Hetzner.layerConfig()` take their places as they are.
 */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { ClusterDocument } from "kubelayer/Document"
import * as Fleet from "kubelayer/fleet"
import * as Memory from "kubelayer/layers/Memory"
import { runScript } from "kubelayer/Script"

const document = (name: string, instance: string, workers: number): ClusterDocument => ({
  apiVersion: "kubelayer/v1",
  kind: "Cluster",
  backend: "memory",
  instance,
  name,
  controlPlanes: 1,
  workers
})

const program = Effect.gen(function*() {
  const fleet = yield* Fleet.Fleet
  const converged = fleet.watch.pipe(
    Stream.takeUntil((clusters) => clusters.every(({ isConverged }) => isConverged)),
    Stream.runDrain
  )
  yield* fleet.apply(document("blue", "eu", 2))
  yield* fleet.apply(document("green", "us", 1))
  yield* converged
  yield* fleet.apply(document("blue", "eu", 1))
  yield* converged
  for (const { instance, name, nodes, phase } of yield* fleet.list()) {
    console.log(`${name} on ${instance}: ${phase}, ${nodes} nodes`)
  }
  for (const { changes, cluster, kind } of yield* fleet.events({ cluster: "blue" })) {
    console.log(`${cluster} ${kind} ${changes.filter((change) => change.includes("node")).join(", ")}`.trimEnd())
  }
})

runScript(program.pipe(Effect.provide(Fleet.layer({
  store: { sqlite: ":memory:" },
  backends: { "memory/eu": Memory.layer({ name: "eu" }), "memory/us": Memory.layer({ name: "us" }) }
}))))
