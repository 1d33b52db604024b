/**
 * The quickstart: makes a cluster of one control plane and three workers, lists it, shows its status, stops it, starts
 * it, watches a change and deletes it.
 *
 *   npm run quickstart -- [--engine found|private|podman|none] [--plain]
 *   npm run quickstart -- --backend omni|hetzner [--yes-this-costs-money] [--plain]
 *
 * On Docker where an engine answers (or a private one is started), else on Memory; on another backend against its fake
 * where no credential is set. Whatever ends it, nothing is left.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { parseArgs } from "node:util"
import { randomWord } from "../src/internal/Session.ts"
import { main } from "./lib/main.ts"
import type { Backend } from "./quickstart/backend.ts"
import { docker } from "./quickstart/docker.ts"
import { hetzner } from "./quickstart/hetzner.ts"
import { omni } from "./quickstart/omni.ts"
import { steps } from "./quickstart/program.ts"
import { plainScreen, seconds, terminalScreen } from "./quickstart/screen.ts"
import { table } from "./quickstart/table.ts"

type Choice = Effect.Effect<Backend, { readonly message: string }, Scope.Scope>

const backends: Readonly<Record<string, (args: ReadonlyArray<string>) => Choice>> = {
  docker,
  hetzner,
  omni: () => omni
}

const options = {
  backend: { type: "string", default: "docker" },
  engine: { type: "string" },
  "yes-this-costs-money": { type: "boolean", default: false },
  plain: { type: "boolean", default: false }
} as const

const readArguments = Effect.try({
  try: () => parseArgs({ options, args: process.argv.slice(2) }).values,
  catch: (error) => ({
    message: `${(error as Error).message}\nKnown: --backend ${Object.keys(backends).join("|")}, ` +
      "--engine found|private|podman|none, --yes-this-costs-money, --plain."
  })
})

const quickstart = Effect.gen(function*() {
  const { backend, plain, "yes-this-costs-money": agreed } = yield* readArguments
  const choose = Object.hasOwn(backends, backend) ? backends[backend] : undefined
  if (choose === undefined) {
    return yield* Effect.fail({
      message: `There is no backend ${backend}. Known: ${Object.keys(backends).join(", ")}.`
    })
  }
  if (agreed && backend !== "hetzner") {
    return yield* Effect.fail({ message: "--yes-this-costs-money is for --backend hetzner." })
  }
  const screen = plain || !process.stdout.isTTY ? plainScreen : terminalScreen()
  const [elapsed, rows] = yield* Effect.timed(
    Effect.gen(function*() {
      const { layer, why } = yield* choose(process.argv.slice(2))
      yield* Effect.sync(() => process.stdout.write(`${why}\n\n`))
      return yield* Effect.scoped(steps(`quickstart-${randomWord(4)}`, screen)).pipe(Effect.provide(layer))
    })
  )
  process.stdout.write(`\n${table(rows)}\n\nDone in ${seconds(Duration.toMillis(elapsed))}. Nothing is left behind.\n`)
  return 0
})

main(Effect.scoped(quickstart))
