/** That calls are held to Hetzner's OpenAPI document where HCLOUD_OPENAPI names it, and that this would find something. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { contract } from "./contract.ts"
import { aServer, startFake } from "./support.ts"

const judge = contract()

describe("Hetzner's OpenAPI document", () => {
  it.live.skipIf(judge === undefined)(
    "finds what is wrong in a query, a body, a reply and a status",
    () =>
      Effect.gen(function*() {
        const fake = yield* startFake({ duration: 0 })
        yield* fake.call("POST", "/servers", aServer("a"))
        yield* fake.call("GET", "/servers?name=a")
        yield* fake.call("GET", "/servers/1")
        const [made, list, missing] = yield* fake.calls
        if (judge === undefined || made === undefined || list === undefined || missing === undefined) return
        assert.deepStrictEqual([made, list, missing].map(judge), [[], [], []])
        const wrong = [
          { ...made, body: { ...aServer("a"), server_type: true } },
          { ...made, body: { ...aServer("a"), colour: "red" } },
          { ...made, status: 202 },
          { ...made, template: "/racks" },
          { ...list, query: "colour=red" },
          { ...list, reply: { servers: [] } },
          { ...list, reply: { servers: [{ id: 1 }], meta: {} } },
          { ...missing, reply: { error: { code: "not_found" } } }
        ]
        for (const call of wrong) assert.isNotEmpty(judge(call), JSON.stringify(call).slice(0, 200))
      })
  )
})
