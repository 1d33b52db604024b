/** Reports of operations whose calls an engine, or a proxy in front of it, refuses. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { ProviderError } from "kubelayer/ProviderError"
import { text } from "./support/Conversation.ts"
import { pretend } from "./support/pretend.ts"
import { failureOf, kindNode, reasonTag, serviceAt } from "./support/service.ts"

/** The reasons of the nodes that failed. */
const reasonsOf = (error: ProviderError): ReadonlyArray<string> =>
  error._tag === "NodesFailed"
    ? error.report.outcomes.flatMap(({ outcome }) => outcome._tag === "Failed" ? [reasonTag(outcome.error)] : [])
    : [reasonTag(error)]

describe("refused calls", () => {
  it.live("startNodes behind a proxy that refuses writes fails with ReadOnlyCredential and shows no HTML (D9)", () =>
    Effect.gen(function*() {
      const page = "<html><body><h1>403 Forbidden</h1>\nRequest forbidden by administrative rules.\n</body></html>\n"
      const engine = yield* pretend({
        world: { containers: [{ ...kindNode("dev-control-plane"), state: "exited" }] },
        script: ({ method }) => method === "POST" ? text(403, page, { "Content-Type": "text/html" }) : undefined
      })
      const { provider } = yield* serviceAt(engine, { scheme: "kind" })
      const error = yield* failureOf(provider.startNodes("dev"))
      assert.deepStrictEqual(reasonsOf(error), ["ReadOnlyCredential"])
      assert.notMatch(error.message, /<|credential is set/)
    }))

  it.live("deleteNodes does not take a proxy's 404 page for a container that is gone (D9)", () =>
    Effect.gen(function*() {
      const engine = yield* pretend({
        world: { containers: [kindNode("dev-control-plane")] },
        script: ({ method }) =>
          method === "DELETE" ? text(404, "<html><head><title>Not found</title></head></html>") : undefined
      })
      const { provider } = yield* serviceAt(engine, { scheme: "kind" })
      const error = yield* failureOf(provider.deleteNodes("dev"))
      assert.deepStrictEqual(reasonsOf(error), ["InvalidResponse"])
    }))
})
