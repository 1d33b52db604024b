/**
 * Asks an engine that stalls, gives up when its input ends, and has nothing else to do: `interrupting.ts HOST`. No
 * deadline of its own ends it, so that whatever is left open keeps the process alive.
 */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as Docker from "../../../src/layers/Docker.ts"
import * as DockerClient from "../../../src/layers/DockerClient.ts"

const inputEnds = Effect.callback<void>((resume) => {
  process.stdin.on("end", () => resume(Effect.void)).resume()
})

const program = Effect.gen(function*() {
  const docker = yield* Docker.make({
    host: process.argv[2] ?? "",
    scheme: "kind",
    policy: { requestTimeout: "1 hour", idleTimeout: "1 hour", readTimeout: "1 hour" }
  })
  const calls = [
    docker.provider.listNodes("dev"),
    DockerClient.use(docker, (dockerode, abortSignal) => dockerode.listNetworks({ abortSignal })),
    Stream.runDrain(docker.provider.watchCluster("dev"))
  ]
  yield* Effect.raceFirst(Effect.all(calls, { concurrency: "unbounded", discard: true }), inputEnds)
  process.stdout.write("interrupted\n")
})

await Effect.runPromise(program)
