// runs on: memory
/**
 * A watch as an async iterable: wait until a cluster is ready, without polling. Leaving the loop ends the watch.
 */
import { connect } from "kubelayer/promise"

await using backend = await connect.memory({
  clusters: { dev: { controlPlanes: 1, workers: 2, state: "stopped" } },
  latency: { start: "20 millis" }
})

const starting = backend.startNodes("dev")
for await (const status of backend.watchCluster("dev", { signal: AbortSignal.timeout(60_000) })) {
  console.log(`${status.phase}: ${status.nodesReady} of ${status.nodesTotal}`)
  if (status.ready) break
}
await starting
