/**
 * The quickstart: makes a cluster of one control plane and three workers, lists it, shows its status, stops it, starts
 * it, watches a change and deletes it.
 *
 *   npm run quickstart -- [--engine found|private|none] [--plain]
 *   npm run quickstart -- --backend hetzner [--yes-this-costs-money] [--plain]
 *
 * On Docker where an engine answers (or a private one is started), else on Memory; or on a fake Hetzner Cloud, or the
 * real one. Whatever ends it, nothing is left.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { randomWord } from "../src/internal/Session.ts"
import * as Docker from "../src/layers/Docker.ts"
import * as Memory from "../src/layers/Memory.ts"
import type { NodeCreator, Provider } from "../src/Provider.ts"
import { engineMode, withEngine } from "./engine/engine.ts"
import { main } from "./lib/main.ts"
import { CONSENT, hetzner } from "./quickstart/hetzner.ts"
import { nodeImage } from "./quickstart/node-image.ts"
import { steps } from "./quickstart/program.ts"
import { plainScreen, seconds, terminalScreen } from "./quickstart/screen.ts"
import { table } from "./quickstart/table.ts"

interface Backend {
  readonly layer: Layer.Layer<Provider | NodeCreator, { readonly message: string }>
  readonly why: string
}

/** A node that waits for SIGTERM and obeys it, in any image with a shell. */
const waiting = ["/bin/sh", "-c", "trap 'exit 0' TERM; while :; do sleep 3600 & wait $!; done"]

const docker = (dockerHost: string, image: string): Backend["layer"] =>
  Docker.layer({
    host: dockerHost,
    nodes: { image, entrypoint: waiting, volumes: [{ name: "data", target: "/data" }] },
    controlPlane: { ports: [{ container: 6443, address: "127.0.0.1" }] },
    volumes: [{ name: "data" }]
  })

const memory: Backend["layer"] = Memory.layer({
  latency: { create: "400 millis", start: "300 millis", stop: "500 millis", delete: "200 millis" }
})

const backends = ["docker", "hetzner"] as const

const onEngine = (args: ReadonlyArray<string>): Effect.Effect<Backend, { readonly message: string }, Scope.Scope> =>
  Effect.gen(function*() {
    const engine = yield* withEngine({ mode: yield* engineMode(args) })
    if (engine.kind === "none") {
      return { layer: memory, why: `${engine.why} This runs on Memory: the nodes are simulated.` }
    }
    const { image, why } = yield* nodeImage(engine)
    return { layer: docker(engine.dockerHost, image), why: `${engine.why} Nodes are made from ${image}, ${why}.` }
  })

/** The one that is asked for; what is neither is told. */
const backend = (args: ReadonlyArray<string>): Effect.Effect<Backend, { readonly message: string }, Scope.Scope> => {
  const index = args.findIndex((arg) => arg === "--backend" || arg.startsWith("--backend="))
  const asked = index < 0 ? "docker" : args[index]?.split("=")[1] ?? args[index + 1] ?? ""
  switch (backends.find((name) => name === asked)) {
    case "docker":
      return args.includes(CONSENT) ? Effect.fail({ message: `${CONSENT} is for --backend hetzner.` }) : onEngine(args)
    case "hetzner":
      return hetzner(args)
    default:
      return Effect.fail({ message: `--backend takes ${backends.join(" or ")}, not "${asked}".` })
  }
}

const known =
  /^(?:--plain|--engine(?:=.*)?|found|private|none|--backend(?:=.*)?|docker|hetzner|--yes-this-costs-money)$/

const quickstart = Effect.gen(function*() {
  const args = process.argv.slice(2)
  const stranger = args.find((arg) => !known.test(arg))
  if (stranger !== undefined) {
    return yield* Effect.fail({
      message: `There is no option ${stranger}. Known: --engine found|private|none, ` +
        `--backend ${backends.join("|")}, ${CONSENT}, --plain.`
    })
  }
  const screen = args.includes("--plain") || !process.stdout.isTTY ? plainScreen : terminalScreen()
  const [elapsed, rows] = yield* Effect.timed(
    Effect.gen(function*() {
      const { layer, why } = yield* backend(args)
      yield* Effect.sync(() => process.stdout.write(`${why}\n\n`))
      return yield* Effect.scoped(steps(`quickstart-${randomWord(4)}`, screen)).pipe(Effect.provide(layer))
    })
  )
  process.stdout.write(`\n${table(rows)}\n\nDone in ${seconds(Duration.toMillis(elapsed))}. Nothing is left behind.\n`)
  return 0
})

main(Effect.scoped(quickstart))
