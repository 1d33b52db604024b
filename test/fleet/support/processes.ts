/** Runner processes on one store and one fake of Hetzner's API. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type * as Fleet from "kubelayer/fleet"
import type { HetznerFakeService } from "kubelayer/testing/HetznerFake"
import { type ChildProcess, spawn } from "node:child_process"
import { fileURLToPath } from "node:url"
import { freePort } from "./postgres.ts"

export interface RunnerInput {
  readonly store: Fleet.StoreOptions
  readonly endpoint: string
  readonly token: string
  readonly settings: Fleet.RunnerSettings
}

const script = fileURLToPath(new URL("./runner.ts", import.meta.url))
const node = fileURLToPath(new URL("../../../node_modules/.bin/node", import.meta.url))

/** Starts a runner, and waits until it is ready. It is killed with the scope. */
export const startRunner = (
  fake: HetznerFakeService,
  store: Fleet.StoreOptions,
  settings: Fleet.RunnerSettings
): Effect.Effect<ChildProcess, never, Scope.Scope> =>
  Effect.gen(function*() {
    const listen = { host: "127.0.0.1", port: yield* freePort }
    const input: RunnerInput = { store, endpoint: fake.endpoint, token: fake.token, settings: { ...settings, listen } }
    return yield* Effect.acquireRelease(
      Effect.callback<ChildProcess>((resume) => {
        const child = spawn(node, [script, JSON.stringify(input)], { stdio: ["ignore", "pipe", "pipe"] })
        let errors = ""
        child.stderr.on("data", (text) => (errors += String(text)))
        child.stdout.on("data", (text) => {
          if (String(text).includes("ready")) resume(Effect.succeed(child))
        })
        child.once("exit", (code) => resume(Effect.die(new Error(`the runner ended with ${code}: ${errors}`))))
      }),
      (child) => Effect.sync(() => void child.kill("SIGKILL"))
    )
  })
