/**
 * The quickstart: creates a cluster of one control plane and three workers, lists it, shows its status, stops it, starts
 * it, watches a change and deletes it. `usage.mjs` has its arguments.
 *
 * It runs on Docker if an engine answers (or a private one is started), else on Memory; on another backend against its
 * fake if no credential is set. It leaves nothing behind, however it ends.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { parseArgs } from "node:util"
import { randomWord } from "../src/internal/Session.ts"
import { Provider } from "../src/Provider.ts"
import { main } from "./lib/main.ts"
import type { Backend } from "./quickstart/backend.ts"
import { docker, inMemory } from "./quickstart/docker.ts"
import { hetzner } from "./quickstart/hetzner.ts"
import { omni } from "./quickstart/omni.ts"
import { steps } from "./quickstart/program.ts"
import { plainScreen, seconds, terminalScreen } from "./quickstart/screen.ts"
import { table } from "./quickstart/table.ts"
import { usages } from "./usage.mjs"

type Choice = Effect.Effect<Backend, { readonly message: string }, Scope.Scope>

const backends: Readonly<Record<string, (args: ReadonlyArray<string>) => Choice>> = {
  docker,
  memory: () => Effect.succeed({ layer: inMemory, why: "This runs on Memory: the nodes are simulated." }),
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
    message: `${(error as Error).message}\n\n${usages["quickstart"]}`
  })
})

const write = (text: string) => Effect.sync(() => void process.stdout.write(text))

/** The state of the cluster after its scope is closed. */
const afterInterrupt = (cluster: string) =>
  Provider.use((provider) => provider.nodesExist(cluster)).pipe(
    Effect.timeout("10 seconds"),
    Effect.match({
      onFailure: () => `Interrupted. Could not check whether nodes of ${cluster} are left.`,
      onSuccess: (exist) =>
        exist ? `Interrupted. Nodes of ${cluster} are left; delete them.` : "Interrupted. Nothing is left behind."
    }),
    Effect.flatMap((line) => write(`\n${line}\n`))
  )

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
  const cluster = `quickstart-${randomWord(4)}`
  const { layer, why } = yield* choose(process.argv.slice(2))
  yield* write(`${why}\n\n`)
  const rows = yield* Effect.scoped(steps(cluster, screen)).pipe(
    Effect.onInterrupt(() => afterInterrupt(cluster)),
    Effect.provide(layer)
  )
  const millis = rows.reduce((sum, row) => sum + row.millis, 0)
  yield* write(
    `\n${table(rows, process.stdout.columns)}\n\nDone in ${seconds(millis)}. Nothing is left behind.\n`
  )
  return 0
})

main(Effect.scoped(quickstart))
