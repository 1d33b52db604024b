/**
 * Runs a private Docker or Podman engine until Ctrl-C, for work on the engine tests:
 *
 *   node scripts/engine/serve.ts [--podman] [--socket <path>] [--images]
 *
 * Prints its DOCKER_HOST on the first line of its output. `--socket` makes a
 * link to the engine's socket at a fixed place; `--images` imports the node
 * images that the tests use.
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import { lstatSync, mkdirSync, rmSync, symlinkSync } from "node:fs"
import { dirname, resolve } from "node:path"
import { parseArgs } from "node:util"
import { main } from "../lib/main.ts"
import { importNodeImages, INITS } from "./image.ts"
import { privateEngine } from "./private.ts"

class ServeFailed extends Data.TaggedError("ServeFailed")<{ readonly message: string }> {}

/** Replaces an older link, as one from a killed run, but never a socket or a file. */
const link = (path: string, target: string) =>
  Effect.acquireRelease(
    Effect.try({
      try: () => {
        mkdirSync(dirname(path), { recursive: true })
        if (lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink()) rmSync(path)
        symlinkSync(target, path)
      },
      catch: (error) => new ServeFailed({ message: `${path}: ${(error as Error).message}` })
    }),
    () => Effect.sync(() => rmSync(path, { force: true }))
  )

const serve = Effect.gen(function*() {
  const { values } = yield* Effect.try({
    try: () =>
      parseArgs({
        options: {
          podman: { type: "boolean", default: false },
          socket: { type: "string" },
          images: { type: "boolean", default: false }
        }
      }),
    catch: (error) => new ServeFailed({ message: (error as Error).message })
  })
  const engine = yield* privateEngine({
    kind: values.podman ? "podman" : "docker",
    say: (line) => process.stderr.write(`${line}\n`)
  })
  const socketPath = values.socket === undefined ? engine.socketPath : resolve(values.socket)
  if (socketPath !== engine.socketPath) yield* link(socketPath, engine.socketPath)
  if (values.images) yield* importNodeImages(engine.socketPath)

  process.stdout.write(`DOCKER_HOST=unix://${socketPath}\n`)
  if (values.images) process.stderr.write(`Images: ${INITS.map((init) => `kubelayer-node:${init}`).join(", ")}\n`)
  process.stderr.write("Ctrl-C stops it and removes all that is in it.\n")
  const how = yield* Effect.promise(() => engine.ended)
  return yield* new ServeFailed({ message: `The engine ${how}.` })
})

main(Effect.scoped(serve))
