// runs on: memory
/**
 * Makes a cluster's servers with a network, a firewall and placement groups, runs the same again, and deletes all of it.
 *
 * It runs on the fake Hetzner Cloud of `kubelayer/testing`. On the real one, `Hetzner.layerConfig({ nodes })` takes the
 * token from HCLOUD_TOKEN, and the servers are billed. Ctrl-C in the middle of the create removes what it created.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Hetzner from "kubelayer/layers/Hetzner"
import { Provider } from "kubelayer/Provider"
import { runScript } from "kubelayer/Script"
import { HetznerFake } from "kubelayer/testing"

const spec: Hetzner.HetznerClusterSpec = {
  cluster: "shop",
  controlPlanes: 3,
  workers: 2,
  // The next type and the next location are tried where the first is sold out.
  nodes: { image: "debian-13", serverTypes: ["cx23", "cpx22"], locations: ["fsn1", "nbg1"] },
  firewall: { rules: [{ direction: "in", protocol: "tcp", port: "6443", sourceIps: ["203.0.113.0/24"] }] }
}

const program = Effect.gen(function*() {
  const hetzner = yield* Hetzner.Hetzner
  const provider = yield* Provider

  const made = yield* hetzner.createNodes(spec)
  for (const { kind, name, outcome } of made.outcomes) console.log(kind, name, outcome._tag)

  const again = yield* hetzner.createNodes(spec)
  console.log(`run again, it makes ${again.done.length} things`)

  const deleted = yield* provider.deleteNodes("shop")
  console.log(`deleted ${deleted.done.length} things, left ${deleted.skipped.length}`)
})

const onFake = Layer.unwrap(Effect.map(
  HetznerFake.HetznerFake,
  ({ endpoint, token }) => Hetzner.layer({ endpoint, token, policy: { poll: Schedule.spaced("20 millis") } })
)).pipe(Layer.provide(HetznerFake.layer()))

runScript(program.pipe(Effect.provide(onFake)))
