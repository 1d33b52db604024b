/** All laws of `Provider` and `NodeCreator` over `Docker` on a real engine, in our own scheme and in kind's. */
import * as Docker from "kubelayer/layers/Docker"
import * as DockerHarness from "kubelayer/testing/DockerHarness"
import { through } from "kubelayer/testing/TestedEngine"
import { describeLaws } from "kubelayer/testing/vitest"
import { describe, it } from "vitest"
import { engineHost, image } from "./support/engine.ts"

const secret = "a-credential-that-nobody-shows"
const nodes = { image: image(), pull: "never", env: { TOKEN: secret } } as const

// Most of a law is waiting for the engine, so several go on at once; each has clusters of its own.
for (const scheme of ["kubelayer", "kind"] as const) {
  describeLaws({ describe: describe.concurrent, it }, {
    name: `Docker, scheme ${scheme}`,
    layer: through(
      engineHost,
      (host) => Docker.layer({ host, scheme, nodes })
    ),
    harness: DockerHarness.layer({ scheme, image: image(), nodes, secrets: [secret] }),
    capabilities: [...DockerHarness.capabilities(scheme), "secrets"]
  })
}
