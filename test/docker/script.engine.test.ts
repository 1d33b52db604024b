/** A script of a user on a real engine: Ctrl-C in the middle of a create. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { runScriptCase } from "../core/support/process.ts"
import { containers, engineHost, everythingOf, image, nameOf, newCluster } from "./support/engine.ts"

describe("runScript", () => {
  for (const [signal, code] of [["SIGINT", 130], ["SIGTERM", 143]] as const) {
    it.live(`leaves nothing of a create on an engine that ${signal} interrupts (U1)`, () =>
      Effect.gen(function*() {
        const cluster = yield* newCluster()
        const isCreating = containers.pipe(
          Effect.map((all) => all.some((each) => nameOf(each).startsWith(cluster))),
          Effect.orDie
        )
        const ended = yield* runScriptCase(["createOnDocker", cluster, image()], {
          env: { DOCKER_HOST: engineHost },
          signalWhen: () => isCreating,
          signals: [signal]
        })
        assert.strictEqual(ended.code, code, ended.stderr)
        assert.match(ended.stderr, /^Interrupted by [^\n]*\n$/)
        assert.deepStrictEqual(yield* everythingOf(cluster), [])
      }))
  }
})
