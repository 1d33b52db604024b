/**
 * A process that lists a cluster once, and prints the number of nodes and the additional memory in bytes. Arguments:
 * endpoint, token, cluster.
 */
import * as Effect from "effect/Effect"
import * as Hetzner from "../src/layers/Hetzner.ts"

const [, , endpoint = "", token = "", cluster = ""] = process.argv

const program = Effect.scoped(Effect.gen(function*() {
  const { provider } = yield* Hetzner.make({ endpoint, token })
  yield* provider.checkAvailable
  const idle = process.memoryUsage().rss
  const nodes = yield* provider.listNodes(cluster)
  return { nodes: nodes.length, above: process.resourceUsage().maxRSS * 1024 - idle }
}))

process.stdout.write(JSON.stringify(await Effect.runPromise(program)))
