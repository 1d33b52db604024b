/** Many creates at once on one engine: each gets a subnet of its own. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Docker from "kubelayer/layers/Docker"
import { DockerFake } from "kubelayer/testing"
import { simulated } from "../../src/testing/SimulatedTime.ts"

const engines: ReadonlyArray<DockerFake.Options> = [
  { flavor: "docker", version: "20.10.24" },
  { flavor: "docker", version: "29.0.0" },
  { flavor: "podman", version: "4.3.1" },
  { flavor: "podman", version: "5.8.2" }
]

describe("six creates at once, a layer each", () => {
  for (const options of engines) {
    it.live(`all succeed, each in a network of its own: ${options.flavor} ${options.version} (P1)`, () =>
      simulated(Effect.scoped(Effect.gen(function*() {
        const fake = yield* DockerFake.make({
          ...options,
          listen: "none",
          images: { node: {} },
          durations: { network: "20 millis", create: "50 millis" },
          latency: "2 millis"
        })
        const names = Array.from({ length: 6 }, (_, index) => `rc-${index}`)
        yield* Effect.forEach(names, (cluster) =>
          Effect.gen(function*() {
            const docker = yield* Effect.provide(Docker.make({ nodes: { image: "node" } }), fake.transport)
            yield* docker.createNodes({ cluster, controlPlanes: 1, workers: 1 })
          }), { concurrency: "unbounded" })
        const { containers, networks } = yield* fake.state
        assert.lengthOf(containers.filter(({ state }) => state === "running"), 12)
        const subnets = networks.filter(({ name }) => name.startsWith("kubelayer-rc-")).flatMap(({ subnets }) =>
          subnets
        )
        assert.lengthOf(new Set(subnets), 6)
      }))))
  }
})
