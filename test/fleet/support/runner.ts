/** A runner process on a fake of Hetzner's API. It runs until it is ended. */
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Fleet from "../../../src/fleet.ts"
import * as Hetzner from "../../../src/layers/Hetzner.ts"
import type { RunnerInput } from "./processes.ts"

const input = JSON.parse(process.argv[2] ?? "{}") as RunnerInput

const program = Effect.gen(function*() {
  yield* Fleet.make({
    ...input.settings,
    store: input.store,
    backends: {
      hetzner: Hetzner.layer({
        endpoint: input.endpoint,
        token: Redacted.make(input.token),
        policy: { concurrency: { create: 10 } }
      })
    }
  })
  process.stdout.write("ready\n")
  return yield* Effect.never
}).pipe(Effect.scoped)

const fiber = Effect.runFork(program)
process.on("SIGTERM", () => fiber.interruptUnsafe())
fiber.addObserver((exit) => {
  if (exit._tag === "Failure") process.stderr.write(`${String(exit.cause)}\n`, () => process.exit(0))
})
