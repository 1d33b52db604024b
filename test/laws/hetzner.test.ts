/**
 * The laws over `Hetzner` on the fake.
 *
 * All laws run in simulated time, without a socket, where servers take as long as real ones. The laws that do not wait
 * for deadlines of ten seconds also run through a real socket on the live clock.
 */
import * as Effect from "effect/Effect"
import { HttpClient } from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Hetzner from "kubelayer/layers/Hetzner"
import { HetznerFake, HetznerHarness, laws } from "kubelayer/testing"
import { describeLaws } from "kubelayer/testing/vitest"
import { describe, it } from "vitest"

const nodes = { serverTypes: ["cx23"], image: "debian-12", locations: ["fsn1"] }

const waiting = [
  "partial.node-deadline",
  "partial.operation-deadline",
  "create.failed",
  "create.failed-own",
  "create.keep"
]

const connection = ({ endpoint, token }: HetznerFake.HetznerFakeService) => ({ endpoint, token, nodes })

describeLaws({ describe, it }, {
  name: "Hetzner, through a socket",
  layer: Layer.unwrap(
    Effect.map(
      HetznerFake.HetznerFake,
      (fake) => Hetzner.layer({ ...connection(fake), policy: { poll: Schedule.spaced("5 millis") } })
    )
  ).pipe(
    Layer.provideMerge(HetznerFake.layer({ duration: "3 millis" }))
  ),
  harness: HetznerHarness.layer({ patience: "300 millis", nodes }),
  capabilities: HetznerHarness.capabilities,
  laws: laws.filter(({ id }) => !waiting.includes(id))
})

describeLaws({ describe, it }, {
  name: "Hetzner, in simulated time",
  layer: Layer.unwrap(Effect.map(HetznerFake.HetznerFake, (fake) =>
    Hetzner.layerHttpClient(connection(fake)).pipe(
      Layer.provide(Layer.succeed(HttpClient, fake.httpClient))
    ))).pipe(
      Layer.provideMerge(
        HetznerFake.layer({ duration: "2 seconds", guest: { shutdown: 5000 }, latency: "50 millis" })
      )
    ),
  harness: HetznerHarness.layer({ patience: "1 minute", nodes }),
  capabilities: HetznerHarness.capabilities,
  time: "simulated",
  deadline: "1 hour"
})
