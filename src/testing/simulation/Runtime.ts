/**
 * Runs effects deterministically: a seed chooses which fiber runs next, and time jumps to the next moment for which
 * something waits.
 *
 * A run consists of processes. Each has a scheduler and a clock of its own, so that one can be killed: its fibers stop where they
 * are, without finalizers, as if the program had ended.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Logger from "effect/Logger"
import * as Random from "effect/Random"
import * as References from "effect/References"
import * as Scheduler from "effect/Scheduler"
import { isLoading } from "../../internal/Loading.ts"
import { SessionSource } from "../../internal/Session.ts"
import { between, type Random as Numbers, random } from "../faults/Random.ts"
import { type Digest, makeDigest } from "./Digest.ts"

/** A program of a run, as an operating system runs it. */
export interface Process {
  readonly id: number
  isKilled: boolean
  /** The scheduler, clock, random numbers, session and logger of the process. */
  readonly context: Context.Context<never>
  /** How it marks what it creates. */
  readonly session: string
}

export interface Runtime {
  readonly digest: Digest
  /** Numbers of the seed for one purpose. */
  readonly numbers: (purpose: string) => Numbers
  readonly now: () => number
  readonly makeProcess: () => Process
  /** Everything that the processes have logged. */
  readonly logs: Array<string>
  /** Runs a task as soon as the seed chooses it. */
  readonly later: (task: () => void) => void
  readonly run: <A, E>(effect: Effect.Effect<A, E>) => Promise<Exit.Exit<A, E>>
}

/** A run that does not end: its fibers wait for nothing, or never stop working. */
export class Stuck extends Error {
  override readonly name = "Stuck"
}

interface Task {
  readonly process: Process
  readonly run: () => void
}

interface Sleeper {
  readonly at: number
  readonly order: number
  readonly process: Process
  readonly wake: () => void
}

/** A day in 2026. */
const epoch = Date.UTC(2026, 0, 5)

const mostTasks = 3_000_000
const alphabet = "abcdefghijklmnopqrstuvwxyz0123456789"
const microsPerMilli = 1_000_000n

/** Lets promises settle. */
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/** The waiting tasks by time, earliest first: a binary heap. */
const makeSleepers = () => {
  const heap: Array<Sleeper> = []
  const isBefore = (a: Sleeper, b: Sleeper) => a.at < b.at || (a.at === b.at && a.order < b.order)
  const swap = (i: number, j: number) => {
    const held = heap[i] as Sleeper
    heap[i] = heap[j] as Sleeper
    heap[j] = held
  }
  return {
    add: (sleeper: Sleeper) => {
      let at = heap.push(sleeper) - 1
      while (at > 0) {
        const parent = (at - 1) >> 1
        if (!isBefore(heap[at] as Sleeper, heap[parent] as Sleeper)) break
        swap(at, parent)
        at = parent
      }
    },
    first: (): Sleeper | undefined => heap[0],
    take: (): Sleeper | undefined => {
      const first = heap[0]
      const last = heap.pop()
      if (first === undefined || last === undefined || heap.length === 0) return first
      heap[0] = last
      let at = 0
      while (true) {
        const left = at * 2 + 1
        if (left >= heap.length) return first
        const right = left + 1
        const least = right < heap.length && isBefore(heap[right] as Sleeper, heap[left] as Sleeper) ? right : left
        if (!isBefore(heap[least] as Sleeper, heap[at] as Sleeper)) return first
        swap(at, least)
        at = least
      }
    }
  }
}

/** Creates the runtime of a seed. */
export const makeRuntime = (seed: number): Runtime => {
  const digest = makeDigest()
  const numbers = (purpose: string) => random(seed, purpose)
  const choose = numbers("schedule")
  const yields = numbers("yield")
  const tasks: Array<Task> = []
  const sleepers = makeSleepers()
  const logs: Array<string> = []
  const exited = new Set<string>()
  let now = epoch
  let order = 0
  let count = 0
  let processes = 0

  const makeScheduler = (process: () => Process): Scheduler.Scheduler => ({
    executionMode: "async",
    shouldYield: () => yields() < 0.002,
    makeDispatcher: () => ({
      scheduleTask: (run) => void tasks.push({ process: process(), run }),
      flush: () => {}
    })
  })

  const makeClock = (process: () => Process): Clock.Clock => ({
    currentTimeMillisUnsafe: () => now,
    currentTimeMillis: Effect.sync(() => now),
    currentTimeNanosUnsafe: () => BigInt(now) * microsPerMilli,
    currentTimeNanos: Effect.sync(() => BigInt(now) * microsPerMilli),
    monotonicTimeNanosUnsafe: () => BigInt(now - epoch) * microsPerMilli,
    monotonicTimeNanos: Effect.sync(() => BigInt(now - epoch) * microsPerMilli),
    sleep: (duration) =>
      Effect.callback<void>((resume) => {
        const millis = Duration.toMillis(duration)
        if (millis === Number.POSITIVE_INFINITY) return
        let isAwaited = true
        sleepers.add({
          // Clocks of systems have whole milliseconds.
          at: now + Math.max(0, Math.ceil(millis)),
          order: order++,
          process: process(),
          wake: () => {
            if (isAwaited) resume(Effect.void)
          }
        })
        return Effect.sync(() => {
          isAwaited = false
        })
      })
  })

  const makeProcess = (): Process => {
    const id = ++processes
    const next = numbers(`process ${id}`)
    const word = (length: number) => Array.from({ length }, () => alphabet.charAt(between(next, 0, 35))).join("")
    const session = `simulation/${id}/${Math.round(now / 1000)}/${word(8)}`
    const logger = Logger.make<unknown, void>(({ message }) => {
      logs.push(String(message))
    })
    const context = Context.make(Clock.Clock, makeClock(() => process)).pipe(
      Context.add(Scheduler.Scheduler, makeScheduler(() => process)),
      Context.add(Random.Random, {
        nextDoubleUnsafe: next,
        nextIntUnsafe: () => between(next, Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER)
      }),
      Context.add(Logger.CurrentLoggers, new Set([logger])),
      Context.add(References.TracerEnabled, false),
      Context.add(SessionSource, {
        randomWord: word,
        session: Effect.succeed(session),
        hasExited: (other) =>
          Effect.sync(() => exited.has(`${other.place}/${other.pid}/${other.startedAt}/${other.nonce}`))
      })
    )
    let isKilled = false
    const process: Process = {
      id,
      get isKilled() {
        return isKilled
      },
      set isKilled(value) {
        isKilled = value
        if (value) exited.add(session)
      },
      context: context as Context.Context<never>,
      session
    }
    return process
  }

  /** Moves the clock to the next moment for which something waits. */
  const advance = (): boolean => {
    let first = sleepers.first()
    while (first?.process.isKilled === true) {
      sleepers.take()
      first = sleepers.first()
    }
    if (first === undefined) return false
    now = Math.max(now, first.at)
    while (sleepers.first()?.at === first.at) {
      const sleeper = sleepers.take()
      if (sleeper !== undefined) tasks.push({ process: sleeper.process, run: sleeper.wake })
    }
    return true
  }

  const main = makeProcess()

  return {
    digest,
    numbers,
    now: () => now,
    makeProcess,
    logs,
    later: (run) => void tasks.push({ process: main, run }),
    run: async <A, E>(effect: Effect.Effect<A, E>) => {
      const fiber = Effect.runForkWith(main.context)(effect)
      let idle = 0
      while (true) {
        while (tasks.length > 0) {
          const index = Math.floor(choose() * tasks.length)
          const task = tasks[index] as Task
          tasks[index] = tasks[tasks.length - 1] as Task
          tasks.pop()
          if (task.process.isKilled) continue
          digest.number(task.process.id)
          task.run()
          idle = 0
          if (++count > mostTasks) throw new Stuck(`${mostTasks} steps and no end`)
        }
        const exit = fiber.pollUnsafe()
        if (exit !== undefined) {
          digest.number(count)
          digest.number(now - epoch)
          return exit
        }
        await turn()
        if (tasks.length > 0 || isLoading()) continue
        if (advance()) continue
        // A package of another backend may be on its way.
        if (++idle > 200) throw new Stuck("nothing is left to do, and the run has not ended")
        await new Promise((resolve) => setTimeout(resolve, 5))
      }
    }
  }
}
