/**
 * A script of a user, run as a process: `script.ts CASE`. It writes `ready` when a signal may come.
 */
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Docker from "../../../src/layers/Docker.ts"
import * as Hetzner from "../../../src/layers/Hetzner.ts"
import * as Memory from "../../../src/layers/Memory.ts"
import { Provider } from "../../../src/Provider.ts"
import { runScript } from "../../../src/Script.ts"

const say = (line: string) => Effect.sync(() => console.log(line))
const ready = say("ready")

const memory = Memory.layer({ clusters: { dev: { controlPlanes: 1, workers: 1 } } })

const cases: Readonly<Record<string, Effect.Effect<unknown, unknown>>> = {
  success: say("done"),
  codeOfItsOwn: Effect.sync(() => {
    process.exitCode = 8
  }),
  noCluster: Provider.use((provider) => provider.startNodes("prod")).pipe(Effect.provide(memory)),
  defect: Effect.die(new Error("a bug")),
  fails: Effect.fail("a plain text"),
  waits: Effect.andThen(ready, Effect.never).pipe(Effect.onInterrupt(() => say("cleaned up"))),
  cleansForever: Effect.andThen(ready, Effect.never).pipe(
    Effect.onInterrupt(() => Effect.andThen(say("cleaning"), Effect.never))
  ),
  manyLines: Effect.andThen(say("x".repeat(99).concat("\n").repeat(10_000)), Effect.fail("the end")),
  createOnHetzner: Effect.gen(function*() {
    const hetzner = yield* Hetzner.Hetzner
    yield* hetzner.createNodes({
      cluster: "dev",
      controlPlanes: 1,
      workers: 1,
      nodes: { image: "debian-13", serverTypes: ["cx23"], locations: ["fsn1"] }
    })
  }).pipe(Effect.provide(Hetzner.layerConfig({ policy: { poll: Schedule.spaced("20 millis") } }))),
  createOnDocker: Effect.gen(function*() {
    const docker = yield* Docker.Docker
    yield* docker.createNodes({
      cluster: process.argv[3] ?? "",
      controlPlanes: 1,
      workers: 2,
      nodes: { image: process.argv[4] ?? "", pull: "never" }
    })
  }).pipe(Effect.provide(Docker.layer()))
}

runScript(cases[process.argv[2] ?? ""] ?? Effect.fail("no such case"))
