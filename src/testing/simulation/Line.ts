/**
 * The way of a call from a process to the backend and back: latencies, faults, changes by others, and the end of the
 * process that sent it.
 */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import { between } from "../faults/Random.ts"
import type { Process, Runtime } from "./Runtime.ts"
import type { Change, FaultName, Script } from "./Script.ts"

/** A process of an actor, and the step that it is taking. */
export interface Client {
  readonly actor: number
  readonly process: Process
  /** Calls of the present step. */
  calls: number
  writes: number
  /** Runs when a call is about to be sent; it may kill the process. */
  onCall: (() => void) | undefined
  /** No step is being taken: a call now is one too many. */
  isIdle: boolean
  readonly strays: Array<string>
  /** Its calls meet no faults and no changes, and are not counted. */
  readonly isQuiet: boolean
}

/** A call as the line sees it. */
export interface Call<A, E, R = never> {
  /** Such as `POST /containers/create`. */
  readonly line: string
  readonly isWrite: boolean
  /** The work of the backend. It takes no time of its own, or that of the backend. */
  readonly send: Effect.Effect<A, E, R>
  /** The effect of a fault on the client; undefined if the fault cannot happen to this call. */
  readonly failure: (fault: "lost" | "limited" | "broken" | "page" | "garbled") => Effect.Effect<A, E>
  /** A list: its key. A stale one repeats the reply that the key had before. */
  readonly list?: string
  /** Replies are not slow: it opens a stream. */
  readonly isStream?: boolean
}

export interface Line {
  /** How many calls were sent. */
  readonly count: () => number
  readonly log: Array<string>
  readonly send: <A, E, R = never>(client: Client, call: Call<A, E, R>) => Effect.Effect<A, E, R>
  /** Whether the next event is lost, or comes twice. */
  readonly eventFault: () => "lose" | "duplicate" | undefined
  /** No more faults, changes and latencies from now on. */
  readonly calm: () => void
  /** Fibers of the world: requests that are on their way. */
  readonly scope: Scope.Scope
}

export interface LineOptions {
  readonly runtime: Runtime
  readonly script: Script
  readonly scope: Scope.Scope
  /** Runs fibers that outlive a process. */
  readonly world: Process
  readonly change: (change: Change) => void
  readonly log: Array<string>
}

export const makeLine = ({ change, log, runtime, scope, script, world }: LineOptions): Line => {
  const next = runtime.numbers("latency")
  const faults = new Map(script.faults.map(({ call, fault }) => [call, fault]))
  const stale = new Map<string, unknown>()
  const eventFaults: Array<"lose" | "duplicate"> = []
  let count = 0
  let isCalm = false
  const { digest } = runtime

  const latency = (): number => next() < 0.4 ? 0 : between(next, 1, next() < 0.1 ? 3000 : 60)
  const pause = (millis: number): Effect.Effect<void> => millis === 0 ? Effect.void : Effect.sleep(millis)

  const arrive = (client: Client, line: string, isWrite: boolean): FaultName | undefined => {
    if (client.isQuiet) return undefined
    const number = ++count
    client.calls++
    if (isWrite) client.writes++
    if (client.isIdle) client.strays.push(line)
    digest.number(client.process.id)
    digest.text(line)
    if (isCalm) {
      log.push(`${number} process ${client.process.id}: ${line}`)
      return undefined
    }
    client.onCall?.()
    for (const one of script.changes) {
      if (one.call !== number) continue
      log.push(`${number} change: ${one.change}`)
      if (one.change === "duplicate" || one.change === "lose") eventFaults.push(one.change)
      else change(one)
    }
    const fault = faults.get(number)
    log.push(`${number} process ${client.process.id}: ${line}${fault === undefined ? "" : ` [${fault}]`}`)
    return fault
  }

  const carry = <A, E, R>(
    client: Client,
    call: Call<A, E, R>,
    fault: FaultName | undefined
  ): Effect.Effect<A, E, R> => {
    const isPrompt = isCalm || client.isQuiet
    const before = isPrompt ? 0 : latency()
    const after = (isPrompt ? 0 : latency()) + (fault === "slow" && call.isStream !== true ? 4_000 : 0)
    const delivered = Effect.andThen(pause(before), call.send)
    switch (fault) {
      case "lostBefore":
        return Effect.andThen(pause(before), call.failure("lost"))
      case "limited":
      case "broken":
      case "page":
        return Effect.andThen(pause(before), call.failure(fault))
      case "lostAfter":
        return Effect.andThen(Effect.exit(delivered), call.failure("lost"))
      case "garbled":
        return Effect.andThen(Effect.exit(delivered), call.failure("garbled"))
      case "hang":
        return Effect.andThen(Effect.exit(delivered), Effect.never)
      case "stale":
      case "slow":
      case undefined: {
        // No event follows the last list of a watch, so a stale one would never be corrected.
        const isStale = fault === "stale" && client.actor >= 0
        const answered = call.list === undefined ? delivered : Effect.map(delivered, (reply) => {
          const key = call.list ?? ""
          const shown = isStale && stale.has(key) ? stale.get(key) as A : reply
          stale.set(key, reply)
          return shown
        })
        // A reply that comes after the process has ended is not read.
        return Effect.andThen(
          answered,
          (reply) =>
            Effect.andThen(
              pause(after),
              Effect.suspend(() => client.process.isKilled ? Effect.never : Effect.succeed(reply))
            )
        )
      }
    }
  }

  return {
    count: () => count,
    log,
    scope,
    eventFault: () => isCalm ? undefined : eventFaults.shift(),
    calm: () => {
      isCalm = true
    },
    send: (client, call) =>
      Effect.suspend(() => {
        if (client.process.isKilled) return Effect.never
        const fault = arrive(client, call.line, call.isWrite)
        if (client.process.isKilled) {
          // It was killed with the request under way, or just before.
          if (!call.isWrite || next() < 0.5) return Effect.never
          return Effect.andThen(
            Effect.forkIn(Effect.provideContext(call.send, world.context), scope, { startImmediately: true }),
            Effect.never
          )
        }
        const carried = carry(client, call, fault)
        // An interruption may come too late for a request.
        return call.isWrite && !isCalm && next() < 0.5
          ? Effect.flatMap(
            Effect.forkIn(Effect.provideContext(carried, world.context), scope, { startImmediately: true }),
            Fiber.join
          )
          : carried
      })
  }
}
