/**
 * The quickstart's cluster at Hetzner: on the fake, in this process, where no token is set; with a token only where the
 * user says that it may cost money.
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Hetzner from "../../src/layers/Hetzner.ts"
import * as HetznerFake from "../../src/testing/HetznerFake.ts"
import type { Backend } from "./backend.ts"

const CONSENT = "--yes-this-costs-money"

class NotAgreed extends Data.TaggedError("NotAgreed")<{ readonly message: string }> {}

const nodes = { serverTypes: ["cx23", "cpx22"], image: "debian-13", locations: ["fsn1", "nbg1", "hel1"] }

const fake = Effect.gen(function*() {
  const { endpoint, token } = yield* HetznerFake.make({
    duration: "300 millis",
    durations: { create_server: "800 millis" },
    guest: { shutdown: 500 }
  })
  return {
    layer: Hetzner.layer({ endpoint, token, nodes, policy: { poll: Schedule.spaced("100 millis") } }),
    why: `HCLOUD_TOKEN is not set: this runs on a fake of the Hetzner Cloud at ${endpoint}, and costs nothing.`
  }
})

/** Reads whether there is a token, never the token itself. */
export const hetzner = (args: ReadonlyArray<string>): Effect.Effect<Backend, NotAgreed, Scope.Scope> =>
  Effect.suspend(() => {
    const hasToken = (process.env["HCLOUD_TOKEN"] ?? "") !== ""
    const where = process.env["HCLOUD_ENDPOINT"] ?? "the Hetzner Cloud"
    if (!args.includes(CONSENT)) {
      return hasToken
        ? Effect.fail(
          new NotAgreed({
            message:
              `HCLOUD_TOKEN is set, so this would make 4 servers, a network and a placement group at ${where}, ` +
              `which bills servers by the hour, also if they exist for minutes only. With ${CONSENT} it does; without ` +
              "HCLOUD_TOKEN it runs on a fake."
          })
        )
        : fake
    }
    return hasToken
      ? Effect.succeed({
        layer: Hetzner.layerConfig({ nodes }),
        why: `This makes 4 servers at ${where}, which are billed, and deletes them in the end.`
      })
      : Effect.fail(new NotAgreed({ message: `${CONSENT} needs HCLOUD_TOKEN; without both this runs on a fake.` }))
  })
