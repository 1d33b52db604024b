/** The quickstart on Docker where an engine answers or can be started, else on Memory. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Docker from "../../src/layers/Docker.ts"
import * as Memory from "../../src/layers/Memory.ts"
import { engineMode, withEngine } from "../engine/engine.ts"
import type { Backend } from "./backend.ts"
import { nodeImage } from "./node-image.ts"

/** A node that exits at SIGTERM, in any image with a shell. */
const waiting = ["/bin/sh", "-c", "trap 'exit 0' TERM; while :; do sleep 3600 & wait $!; done"]

const onEngine = (dockerHost: string, image: string): Backend["layer"] =>
  Docker.layer({
    host: dockerHost,
    nodes: { image, entrypoint: waiting, volumes: [{ name: "data", target: "/data" }] },
    controlPlane: { ports: [{ container: 6443, address: "127.0.0.1" }] },
    volumes: [{ name: "data" }]
  })

export const inMemory: Backend["layer"] = Memory.layer({
  latency: { create: "400 millis", start: "300 millis", stop: "500 millis", delete: "200 millis" }
})

export const docker = (
  args: ReadonlyArray<string>
): Effect.Effect<Backend, { readonly message: string }, Scope.Scope> =>
  Effect.gen(function*() {
    const engine = yield* withEngine({ mode: yield* engineMode(args) })
    if (engine.kind === "none") {
      return { layer: inMemory, why: `${engine.why} This runs on Memory: the nodes are simulated.` }
    }
    const { image, why } = yield* nodeImage(engine)
    return { layer: onEngine(engine.dockerHost, image), why: `${engine.why} Nodes use the image ${image}, ${why}.` }
  })
