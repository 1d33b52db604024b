/** Whom the fake Omni lets in: every rule of the signature, and what is noted of those that break one. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { accountOf, at, type Headers, refusal, stage } from "./wire.ts"

const missing = at("ConfigPatches", "a")
const letIn = /^5 /
const turnedAway = /^16 invalid signature$/
const minute = 60_000

describe("the fake's check of a signature", () => {
  it.live("lets in what is signed as it should be, whatever else is sent", () =>
    Effect.gen(function*() {
      const { call } = yield* stage()
      const right: ReadonlyArray<Headers> = [
        {},
        { at: Date.now() - 4 * minute },
        { at: Date.now() + 4 * minute },
        { sent: { context: "dev" } },
        { sent: { "x-anything": "1" }, signed: {} },
        { signed: { cluster: null, nodes: null } }
      ]
      for (const how of right) assert.match(yield* refusal(call("get", missing, how)), letIn, JSON.stringify(how))
    }))

  it.live("turns away what is not", () =>
    Effect.gen(function*() {
      const { call, fake } = yield* stage()
      const wrong: ReadonlyArray<Headers> = [
        { at: Date.now() - 6 * minute },
        { at: Date.now() + 6 * minute },
        { method: "/cosi.resource.State/List" },
        { payload: (payload) => `${payload} ` },
        { payload: () => "{" },
        { sent: { context: "dev" }, signed: {} },
        { sent: { context: "dev" }, signed: { context: ["prod"] } },
        { signed: { cluster: ["dev"] } },
        { fingerprint: (right) => right.toUpperCase() },
        { fingerprint: () => "0".repeat(40) },
        { signed: { nodes: [] } }
      ]
      for (const how of wrong) {
        const said = yield* refusal(call("get", missing, how))
        assert.match(said, turnedAway, `${JSON.stringify(how)} ${String(how.payload ?? how.fingerprint ?? "")}`)
      }
      assert.match((yield* fake.violations).join(), /an empty list for the header nodes/)
    }))

  it.live("goes by the server's clock, and by the accounts that there are", () =>
    Effect.gen(function*() {
      const { account, call, fake } = yield* stage()
      yield* fake.setSkew("6 minutes")
      assert.match(yield* refusal(call("get", missing)), turnedAway)
      assert.match(yield* refusal(call("get", missing, { at: Date.now() + 6 * minute })), letIn)
      yield* fake.setSkew("-4 minutes")
      assert.match(yield* refusal(call("get", missing)), letIn)
      yield* fake.setSkew(0)
      const other = yield* Effect.flatMap(fake.makeAccount("other"), (key) => Effect.promise(() => accountOf(key)))
      assert.match(yield* refusal(call("get", missing, {}, other)), letIn)
      // Another's fingerprint under one's own signature.
      const borrowed = { fingerprint: () => account.key.getFingerprint() }
      assert.match(yield* refusal(call("get", missing, borrowed, other)), turnedAway)
      yield* fake.forgetAccounts
      assert.match(yield* refusal(call("get", missing)), turnedAway)
    }))
})
