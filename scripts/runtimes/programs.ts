/**
 * The programs that every runtime runs on the packed library, as plain JavaScript. Each prints `ok` at its end and fails
 * if it sees something else than it expects.
 */

const header = `
import assert from "node:assert/strict"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { awaitStatus } from "kubelayer/Cluster"
import { NodeCreator, Provider } from "kubelayer/Provider"
import { runScript } from "kubelayer/Script"
`

/** Creates, watches, stops and deletes a cluster through the common services. */
const lifecycle = `
const lifecycle = (cluster) => Effect.gen(function*() {
  const provider = yield* Provider
  const creator = yield* NodeCreator
  yield* creator.createNodes({ cluster, controlPlanes: 1, workers: 1 })
  const status = yield* awaitStatus(provider, cluster, ({ ready }) => ready, { timeout: "1 minute" })
  assert.equal(status.nodesReady, 2)
  yield* provider.stopNodes(cluster)
  yield* provider.deleteNodes(cluster)
  assert.deepEqual((yield* provider.listAllClusters).filter((name) => name === cluster), [])
})
`

const done = `Effect.tap(() => Effect.sync(() => console.log("ok")))`

export interface RuntimeProgram {
  readonly name: string
  readonly source: string
  /** It needs DOCKER_HOST and IMAGE. */
  readonly needsEngine?: boolean
  /** The signal that it gets when it prints `ready`, and the exit code that it then has. */
  readonly signal?: { readonly name: NodeJS.Signals; readonly code: number }
}

export const programs: ReadonlyArray<RuntimeProgram> = [
  {
    name: "Memory",
    source: `${header}
import * as Memory from "kubelayer/layers/Memory"
${lifecycle}
runScript(lifecycle("dev").pipe(Effect.provide(Memory.layer({ latency: "5 millis" })), ${done}))
`
  },
  {
    name: "Mock",
    source: `${header}
import * as Mock from "kubelayer/layers/Mock"
const program = Provider.use((provider) => provider.getClusterStatus("dev"))
const answers = Mock.layer({ listNodes: { dev: [Mock.node("dev", { role: "worker" })] } })
runScript(program.pipe(
  Effect.map((status) => assert.equal(status.value.phase, "running")),
  Effect.provide(answers),
  ${done}
))
`
  },
  {
    name: "Hetzner (fake)",
    source: `${header}
import * as Hetzner from "kubelayer/layers/Hetzner"
import { HetznerFake } from "kubelayer/testing"
${lifecycle}
const nodes = { image: "debian-13", serverTypes: ["cx23"], locations: ["fsn1"] }
const layer = Layer.unwrap(Effect.map(
  HetznerFake.HetznerFake,
  ({ endpoint, token }) => Hetzner.layer({ endpoint, token, nodes })
)).pipe(Layer.provide(HetznerFake.layer()))
runScript(lifecycle("dev").pipe(Effect.provide(layer), ${done}))
`
  },
  {
    name: "Omni (fake)",
    source: `${header}
import * as Omni from "kubelayer/layers/Omni"
import { OmniFake } from "kubelayer/testing"
const program = Effect.gen(function*() {
  const fake = yield* OmniFake.OmniFake
  const connection = { endpoint: fake.endpoint, serviceAccountKey: fake.serviceAccountKey }
  return yield* Effect.gen(function*() {
    const provider = yield* Provider
    yield* provider.checkAvailable
    assert.deepEqual(yield* provider.listAllClusters, [])
    const first = yield* provider.watchAllClusters.pipe(Stream.take(1), Stream.runCollect)
    assert.deepEqual(first, [[]])
  }).pipe(Effect.provide(Omni.layer(connection)))
})
runScript(program.pipe(Effect.provide(OmniFake.layer()), ${done}))
`
  },
  {
    name: "promises",
    source: `
import assert from "node:assert/strict"
import { AbortError, connect } from "kubelayer/promise"
const memory = await connect.memory({ clusters: { dev: { controlPlanes: 1, workers: 1, state: "stopped" } } })
const held = await memory.createNodesScoped({ cluster: "tmp", controlPlanes: 1, workers: 0 })
await held.close()
assert.deepEqual(await memory.listAllClusters(), ["dev"])
await memory.setLatency({ operation: "start", latency: "1 hour" })
await assert.rejects(memory.startNodes("dev", { signal: AbortSignal.timeout(50) }), AbortError)
for await (const status of memory.watchCluster("dev")) {
  assert.equal(status.nodesTotal, 2)
  break
}
await memory.close()
console.log("ok")
`
  },
  {
    name: "Ctrl-C",
    signal: { name: "SIGINT", code: 130 },
    source: `${header}
runScript(Effect.andThen(Effect.sync(() => console.log("ready")), Effect.never).pipe(
  Effect.onInterrupt(() => Effect.delay(Effect.sync(() => console.log("ok")), "50 millis"))
))
`
  },
  {
    name: "Docker",
    needsEngine: true,
    source: `${header}
import * as Docker from "kubelayer/layers/Docker"
${lifecycle}
const layer = Docker.layer({ nodes: { image: process.env.IMAGE, pull: "never" } })
runScript(lifecycle(process.env.CLUSTER).pipe(Effect.provide(layer), ${done}))
`
  }
]
