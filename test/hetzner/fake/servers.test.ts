import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { HetznerFake } from "kubelayer/testing"

it.live("smoke", () =>
  Effect.gen(function*() {
    const fake = yield* HetznerFake.make({ time: "manual", durations: { start_server: "2 seconds" } })
    const id = yield* fake.seed.server({ name: "dev-worker-1", status: "off" })
    const headers = { authorization: `Bearer ${fake.token}` }
    const r = yield* Effect.promise(() =>
      fetch(`${fake.endpoint}/servers/${id}/actions/poweron`, { method: "POST", headers })
    )
    console.log(yield* Effect.promise(() => r.text()), r.headers)
    console.log((yield* fake.state).servers.map(({ status }) => status))
    yield* fake.advance("2 seconds")
    console.log((yield* fake.state).servers.map(({ status }) => status))
    console.log(yield* fake.counts)
    const l = yield* Effect.promise(() => fetch(`${fake.endpoint}/servers?x=1`, { headers }))
    console.log(yield* Effect.promise(() => l.text()))
    console.log(yield* fake.violations)
  }))
