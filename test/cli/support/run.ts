/** Runs one command line in this process, on backends of the test. */
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Memory from "kubelayer/layers/Memory"
import { type Address, backends, type BackendsService } from "../../../src/cli/Backends.ts"
import { run } from "../../../src/cli/run.ts"
import { makeScreen, type TestScreen } from "./screen.ts"

/** One simulator for every command of a test, whatever backend a command names. */
export const onMemory = (memory: Memory.MemoryService, opened: Array<Address> = []): BackendsService => ({
  open: (address) =>
    Effect.sync(() => {
      opened.push(address)
      return { provider: memory.provider, creator: memory.creator }
    })
})

interface RunOptions {
  readonly backends?: BackendsService
  readonly screen?: TestScreen
  readonly env?: Readonly<Record<string, string>>
}

export const command = (args: ReadonlyArray<string>, options: RunOptions = {}) =>
  Effect.suspend(() => {
    const screen = options.screen ?? makeScreen()
    return run({ args, version: "1.2.3", screen, backends: options.backends ?? backends }).pipe(
      Effect.provide(ConfigProvider.layer(ConfigProvider.fromEnvRecord(options.env ?? {}))),
      Effect.map((code) => ({ code, stdout: screen.stdout(), stderr: screen.stderr() }))
    )
  })

/** Two clusters: `dev` runs, `prod` is stopped. */
export const simulator = Memory.make({
  clusters: {
    dev: { controlPlanes: 1, workers: 2 },
    prod: { controlPlanes: 1, workers: 0, state: "stopped" }
  }
})
