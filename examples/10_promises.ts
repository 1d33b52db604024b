// runs on: memory
/**
 * The same services with promises: create a cluster for the length of a block, handle an error, set a deadline.
 *
 * `connect.docker({ nodes: { image: "..." } })` runs the same program on containers.
 */
import { connect } from "kubelayer/promise"
import { NodesFailed, reasonsOf } from "kubelayer/ProviderError"
import { Protected } from "kubelayer/Reason"

await using backend = await connect.memory({ clusters: { dev: { controlPlanes: 1, workers: 1, state: "stopped" } } })

// One node refuses to start; the error has the report of all nodes.
await backend.failNext({ operation: "start", node: "dev-worker", reason: new Protected({ detail: "locked by hand" }) })
try {
  await backend.startNodes("dev", {
    signal: AbortSignal.timeout(60_000),
    onEvent: (event) => {
      if (event._tag === "Settled") console.log(event.subject.name, event.outcome._tag)
    }
  })
} catch (error) {
  if (!(error instanceof NodesFailed)) throw error
  console.log(`${error.report.done.length} started, failed for: ${reasonsOf(error).map((reason) => reason._tag)}`)
}

// The cluster is deleted at the end of the block.
{
  await using created = await backend.createNodesScoped({ cluster: "test", controlPlanes: 1, workers: 2 })
  console.log(`${created.value.clusterName}: ${(await backend.getClusterStatus("test"))?.phase}`)
}
console.log(await backend.listAllClusters())
