/** All laws over `Docker` on the fakes of four engines, in simulated time: both schemes of the laws on a real engine. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Docker from "kubelayer/layers/Docker"
import { DockerFake, DockerHarness } from "kubelayer/testing"
import { describeLaws } from "kubelayer/testing/vitest"
import { describe, it } from "vitest"

const secret = "a-credential-that-nobody-shows"
const image = "node:1"
const nodes = { image, pull: "never", env: { TOKEN: secret } } as const

/** A request that the API does not have fails the law. */
const strict = Layer.effectDiscard(
  Effect.gen(function*() {
    const fake = yield* DockerFake.DockerFake
    yield* Effect.addFinalizer(() =>
      Effect.flatMap(
        fake.violations,
        (found) => found.length === 0 ? Effect.void : Effect.die(new Error(JSON.stringify(found)))
      )
    )
  })
)

const engines = [
  { flavor: "docker", version: "20.10.24" },
  { flavor: "docker", version: "29.0.0" },
  { flavor: "podman", version: "4.3.1" },
  { flavor: "podman", version: "5.8.2" }
] as const

for (const engine of engines) {
  for (const scheme of ["kubelayer", "kind"] as const) {
    describeLaws({ describe, it }, {
      name: `Docker on the fake of ${engine.flavor} ${engine.version}, scheme ${scheme}`,
      layer: DockerFake.through(
        Docker.layer({ scheme, nodes }),
        {
          ...engine,
          listen: "none",
          images: { [image]: {} },
          durations: { create: "50 millis", start: "270 millis", stop: "80 millis", remove: "80 millis" },
          latency: "2 millis"
        }
      ).pipe((layer) => Layer.provideMerge(strict, layer)),
      harness: DockerHarness.layerFake({ scheme, image, nodes, secrets: [secret] }),
      capabilities: [...DockerHarness.capabilities(scheme), "secrets"],
      time: "simulated"
    })
  }
}
