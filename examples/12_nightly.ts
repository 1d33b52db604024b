// runs on: memory
/**
 * A nightly job: deletes the test clusters that are older than a day, on two backends at once.
 *
 * With `--dry-run` it lists them. Its exit code says why a cluster could not be deleted. With `Hetzner.layerServiceConfig()`
 * and `Docker.layerServiceConfig()` in place of the simulators, both backends come from the environment.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { deleteOlderThan } from "kubelayer/Cluster"
import * as Hetzner from "kubelayer/layers/Hetzner"
import * as Memory from "kubelayer/layers/Memory"
import type { ProviderService } from "kubelayer/Provider"
import { runScript } from "kubelayer/Script"
import { HetznerFake } from "kubelayer/testing"

const dryRun = process.argv.includes("--dry-run")

const clean = (provider: ProviderService) =>
  Effect.map(
    deleteOlderThan(provider, "1 day", { dryRun, where: ({ clusterName }) => clusterName.startsWith("ci-") }),
    (clusters) =>
      clusters.map(({ ageMillis, clusterName }) =>
        `${provider.name}: ${clusterName}, ${Math.floor(ageMillis / 3_600_000)} h old, ${
          dryRun ? "would be deleted" : "deleted"
        }`
      )
  )

const program = Effect.gen(function*() {
  const hetzner = yield* Hetzner.Hetzner
  const memory = yield* Memory.Memory
  const lines = yield* Effect.all([clean(hetzner.provider), clean(memory.provider)], { concurrency: 2 })
  for (const line of lines.flat()) console.log(line)
})

// A fake Project with one cluster of two days and one of today. The age of a server is on the clock of the program.
const hetzner = Layer.unwrap(Effect.gen(function*() {
  const fake = yield* HetznerFake.HetznerFake
  const now = Date.now()
  const labels = (cluster: string) => ({ "kubelayer.cluster": cluster, "kubelayer.role": "worker" })
  yield* fake.seed.server({ name: "ci-1-worker-1", labels: labels("ci-1"), created: now - 48 * 3_600_000 })
  yield* fake.seed.server({ name: "ci-2-worker-1", labels: labels("ci-2"), created: now })
  return Hetzner.layerService({ token: fake.token, endpoint: fake.endpoint })
})).pipe(Layer.provide(HetznerFake.layer()))

const memory = Memory.layerService({ clusters: { "ci-3": { controlPlanes: 1, workers: 1 } } })

runScript(program.pipe(Effect.provide(Layer.mergeAll(hetzner, memory))))
