// runs on: memory
/**
 * Plans a create, prints what is in its way, the quota that is left, and the orphans of exited processes.
 *
 * Nothing here writes. It runs on the fake Hetzner Cloud of `kubelayer/testing`.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Hetzner from "kubelayer/layers/Hetzner"
import { runScript } from "kubelayer/Script"
import { HetznerFake } from "kubelayer/testing"

const program = Effect.gen(function*() {
  const hetzner = yield* Hetzner.Hetzner
  const fake = yield* HetznerFake.HetznerFake

  // An unrelated network has the name of the cluster's network.
  yield* fake.seed.network({ name: "shop-network", labels: { team: "other" } })

  const plan = yield* hetzner.plan({
    cluster: "shop",
    controlPlanes: 1,
    workers: 1,
    nodes: { image: "debian-13", serverTypes: ["cx23"], locations: ["fsn1"] }
  })
  console.log(plan.toString())

  const orphans = yield* hetzner.sweep({ olderThan: "1 hour" })
  console.log(`${orphans.length} orphans`)

  const quota = Option.getOrThrow(yield* hetzner.quota)
  console.log(`${quota.limit - quota.remaining} of ${quota.limit} requests are spent`)
})

const onFake = Layer.unwrap(Effect.map(
  HetznerFake.HetznerFake,
  ({ endpoint, token }) => Hetzner.layer({ endpoint, token })
)).pipe(Layer.provideMerge(HetznerFake.layer()))

runScript(program.pipe(Effect.provide(onFake)))
