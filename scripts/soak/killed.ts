/**
 * A process that makes a cluster for a scope, and is killed at the arrival of one of its calls.
 *
 * The call is passed on to the engine all the same, as one is that was sent just before. Afterwards the next create and
 * delete, or a sweep, has to leave nothing.
 */
import * as Effect from "effect/Effect"
import { type ChildProcess, spawn } from "node:child_process"
import { fileURLToPath } from "node:url"
import * as Docker from "../../src/layers/Docker.ts"
import * as FaultProxy from "../../src/testing/FaultProxy.ts"
import { endpointOf } from "../engine/api.ts"
import { makeRaw } from "./raw.ts"
import type { SoakOptions } from "./run.ts"

/** Makes one control plane, one worker and a volume in a scope that stays open, and says `made`. */
const child = fileURLToPath(new URL("maker.ts", import.meta.url))

export interface Killing {
  /** The call at whose arrival it is killed, counted from 1. If there are fewer, it is killed after the create. */
  readonly call: number
  /** The operation that must leave nothing. */
  readonly how: "create and delete" | "sweep"
}

const ended = (process: ChildProcess): Effect.Effect<void> =>
  Effect.callback<void>((resume) => {
    if (process.exitCode !== null || process.signalCode !== null) return resume(Effect.void)
    process.once("exit", () => resume(Effect.void))
  })

/** The leftovers in sentences; empty if there are none. */
export const killedAt = (
  options: SoakOptions,
  killing: Killing
): Effect.Effect<ReadonlyArray<string>, { readonly message: string }> =>
  Effect.scoped(Effect.gen(function*() {
    const cluster = `killed-${options.run}-${killing.call}`
    const endpoint = endpointOf(options.dockerHost)
    if (endpoint === undefined) return [`${options.dockerHost} is not reached by plain HTTP`]
    const raw = yield* makeRaw(endpoint, options.image, cluster, { unowned: "volume-of-like-name", foreignRuns: false })
    const unowned = yield* raw.unowned

    let kill = () => {}
    const proxy = yield* FaultProxy.make({
      target: options.dockerHost,
      plan: (call) => {
        if (call.index !== killing.call) return undefined
        // The process has exited when the engine gets the call, which is complete by then.
        setTimeout(() => kill(), 20)
        return { _tag: "Delay", millis: 60 }
      }
    })
    const maker = yield* Effect.acquireRelease(
      Effect.sync(() => {
        const made = spawn(process.execPath, [child, proxy.host, options.image, cluster], {
          stdio: ["ignore", "pipe", "inherit"]
        })
        kill = () => void made.kill("SIGKILL")
        made.stdout.setEncoding("utf8").on("data", (text: string) => {
          if (text.includes("made")) kill()
        })
        return made
      }),
      (made) => Effect.sync(() => void made.kill("SIGKILL"))
    )
    yield* ended(maker)
    yield* proxy.idle

    const at = `killed at call ${killing.call}`
    const wrong = maker.signalCode === "SIGKILL" ? [] : [`${at}: the process ended on its own, with ${maker.exitCode}`]
    const before = yield* raw.census
    const docker = yield* Docker.make({ host: options.dockerHost, nodes: { image: options.image, pull: "never" } })
    if (killing.how === "sweep") {
      yield* docker.sweep({ olderThan: 0, remove: true })
    } else {
      const report = yield* docker.createNodes(specOf(cluster))
      if (report.failed.length > 0) wrong.push(`${at}: the next create failed`)
      const up = (yield* raw.census).filter(({ state }) => state === "running").length
      if (up !== 2) wrong.push(`${at}: ${up} of 2 nodes run after the next create`)
      yield* docker.provider.deleteNodes(cluster)
    }
    const left = yield* raw.census
    if ((yield* raw.unowned) !== unowned) wrong.push(`${at}: an unowned thing was changed`)
    return [
      ...wrong,
      ...left.map(({ kind, name }) =>
        `${at}: ${kind} ${name} is left after ${killing.how} (there were ${before.length})`
      )
    ]
  }))

/** The things that the killed process creates. */
export const specOf = (cluster: string): Docker.DockerClusterSpec => ({
  cluster,
  controlPlanes: 1,
  workers: 1,
  volumes: [{ name: "data" }],
  nodes: { volumes: [{ name: "data", target: "/data" }] }
})
