/** The processes of a simulated run, and what the steps and the checks of the run share. */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import type { Client, Line } from "./Line.ts"
import type { Process, Runtime } from "./Runtime.ts"
import type { Script, Step } from "./Script.ts"
import type { Services, SimulatedWorld, Thing } from "./SimulatedWorld.ts"

/** A step that was taken. */
export interface Record {
  readonly actor: number
  readonly step: Step
  readonly from: number
  to: number | undefined
  readonly firstCall: number
  lastCall: number
  /** Undefined where the process was killed. */
  exit: Exit.Exit<unknown, unknown> | undefined
  readonly before: ReadonlyArray<Thing>
}

/** A process with its services. */
export interface Connected {
  readonly client: Client
  readonly services: Services
  readonly scope: Scope.Closeable
}

export interface Context {
  readonly runtime: Runtime
  readonly script: Script
  readonly line: Line
  readonly world: SimulatedWorld
  readonly records: Array<Record>
  /** Simulated times at which something else changed a cluster. */
  readonly changes: Array<{ readonly cluster: string | undefined; readonly at: number }>
  /** The things that must stay as they are, by kind and id. */
  readonly unowned: Map<string, string>
  readonly violate: (sentence: string) => void
}

/** Starts a process, and builds its services. */
export const connect = (
  context: Pick<Context, "runtime" | "world">,
  actor: number,
  isQuiet = false
): Effect.Effect<Connected> =>
  Effect.gen(function*() {
    const process = context.runtime.makeProcess()
    const client: Client = { actor, process, calls: 0, writes: 0, onCall: undefined, isIdle: true, strays: [], isQuiet }
    const scope = yield* Scope.make()
    const services = yield* runIn(
      process,
      Effect.provideService(context.world.connect(client), Scope.Scope, scope)
    )
    return { client, services, scope }
  })

/** Runs an effect in a process; nothing comes back if the process is killed. */
export const runIn = <A, E>(process: Process, effect: Effect.Effect<A, E>): Effect.Effect<A, E> =>
  Effect.callback<A, E>((resume) => {
    const fiber = Effect.runForkWith(process.context)(effect)
    fiber.addObserver((exit) => resume(exit))
    return Fiber.interrupt(fiber)
  })

/** Ends a process in order: its scope is closed. */
export const disconnect = ({ client, scope }: Connected): Effect.Effect<void> =>
  Effect.andThen(
    runIn(client.process, Scope.close(scope, Exit.void)),
    Effect.sync(() => {
      client.process.isKilled = true
    })
  )
