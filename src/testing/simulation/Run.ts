/** One simulated run: the clusters of the script are created, the actors act at once, and the invariants are checked. */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { ClusterStatus } from "../../Model.ts"
import { between } from "../faults/Random.ts"
import { connect, type Connected, type Context, disconnect, type Record, runIn } from "./Context.ts"
import { finalCheck } from "./FinalCheck.ts"
import { checkStep } from "./Invariants.ts"
import { type Client, type Line, makeLine } from "./Line.ts"
import { makeRuntime, type Runtime, Stuck } from "./Runtime.ts"
import type { Change, Script, Step } from "./Script.ts"
import type { MakeWorld, Thing } from "./SimulatedWorld.ts"
import { cleansUp, describeExit, describeStep, isRead, perform } from "./Work.ts"

/**
 * The result of a run.
 *
 * @category models
 * @since 0.2.0
 */
export interface Outcome {
  readonly script: Script
  /** 16 hexadecimal digits over all choices, calls and outcomes of the run. */
  readonly digest: string
  readonly calls: number
  /** How long it took in simulated time. */
  readonly millis: number
  /** The invariants that did not hold, one sentence each. */
  readonly violations: ReadonlyArray<string>
  /** Everything that happened, line by line. */
  readonly log: ReadonlyArray<string>
}

/** Takes one step in a process. It ends when the step has, or when the process is killed. */
const takeStep = (
  context: Context,
  { client, services }: Connected,
  step: Step
): Effect.Effect<{ readonly isKilled: boolean; readonly exit: Exit.Exit<unknown, unknown> | undefined }> =>
  Effect.gen(function*() {
    const { line, records, runtime, violate, world } = context
    const { ends } = step
    const name = `actor ${client.actor}: ${describeStep(step)}`
    const before = isRead(step) ? [] : yield* world.truth
    const record: Record = {
      actor: client.actor,
      step,
      from: runtime.now(),
      to: undefined,
      firstCall: line.count() + 1,
      lastCall: 0,
      exit: undefined,
      before
    }
    records.push(record)
    line.log.push(`${name} begins`)
    client.calls = 0
    client.writes = 0
    client.isIdle = false
    const exit = yield* Effect.callback<Exit.Exit<unknown, unknown> | undefined>((resume) => {
      const fiber = Effect.runForkWith(client.process.context)(perform(services, step))
      let interruptedAt: number | undefined
      client.onCall = () => {
        if (interruptedAt !== undefined && !cleansUp(step) && client.calls > interruptedAt) {
          violate(`${name}: a call was sent after the interruption`)
        }
        if (ends === undefined || client.calls !== ends.calls) return
        if (ends.how === "kill") {
          client.process.isKilled = true
          line.log.push(`${name} is killed`)
          runtime.later(() => resume(Effect.succeed(undefined)))
        } else {
          runtime.later(() => {
            if (fiber.pollUnsafe() !== undefined) return
            interruptedAt = client.calls
            line.log.push(`${name} is interrupted`)
            fiber.interruptUnsafe()
          })
        }
      }
      fiber.addObserver((ended) => resume(Effect.succeed(ended)))
    })
    client.onCall = undefined
    client.isIdle = true
    record.to = runtime.now()
    record.lastCall = line.count()
    record.exit = exit
    const text = exit === undefined ? "was killed" : describeExit(exit)
    line.log.push(`${name} ${text}`)
    runtime.digest.text(text)
    runtime.digest.number(record.to)
    if (exit !== undefined) checkStep(context, record, client, isRead(step) ? [] : yield* world.truth)
    return { isKilled: exit === undefined, exit }
  })

const actor = (context: Context, index: number, steps: ReadonlyArray<Step>): Effect.Effect<void> =>
  Effect.gen(function*() {
    const next = context.runtime.numbers(`actor ${index}`)
    yield* Effect.sleep(between(next, 0, 2_000))
    let connected: Connected | undefined
    const clients: Array<Client> = []
    for (const step of steps) {
      if (connected === undefined) {
        connected = yield* connect(context, index)
        clients.push(connected.client)
      }
      const { isKilled } = yield* takeStep(context, connected, step)
      if (!isKilled) continue
      connected = undefined
      yield* Effect.sleep(between(next, 0, 20_000))
    }
    if (connected !== undefined) yield* disconnect(connected)
    for (const { strays } of clients) {
      if (strays.length > 0) context.violate(`actor ${index}: calls without a method that runs: ${strays.join(", ")}`)
    }
  })

/** Watches all clusters from the first call to the last; a stream that fails is opened again. */
const watchAll = (context: Context, latest: { statuses: ReadonlyArray<ClusterStatus> | undefined }) =>
  Effect.gen(function*() {
    const connected = yield* connect(context, -1)
    connected.client.isIdle = false
    const once = Stream.runForEach(connected.services.provider.watchAllClusters, (statuses) =>
      Effect.sync(() => {
        latest.statuses = statuses
        context.runtime.digest.number(statuses.length)
      }))
    const forever: Effect.Effect<void> = Effect.flatMap(
      Effect.exit(once),
      (exit) => {
        context.line.log.push(`the watch of all clusters ended: ${describeExit(exit)}`)
        return Effect.andThen(Effect.sleep("1 second"), Effect.suspend(() => forever))
      }
    )
    return { connected, stream: forever }
  })

/** The cluster that no actor does anything with. */
const bystander = "keep"

/** Creates it without faults. From then on it has to stay as it is, like the things that no cluster owns. */
const putBystander = (context: Context): Effect.Effect<void> =>
  Effect.gen(function*() {
    const { unowned, world } = context
    const connected = yield* connect(context, 0, true)
    const before = new Set((yield* world.truth).map(({ id, kind }) => `${kind} ${id}`))
    yield* takeStep(context, connected, { do: "create", cluster: bystander, controlPlanes: 1, workers: 1 })
    yield* disconnect(connected)
    for (const { id, kind, text } of yield* world.truth) {
      const key = `${kind} ${id}`
      if (!before.has(key)) unowned.set(key, text)
    }
  })

const body = (
  script: Script,
  runtime: Runtime,
  makeWorld: MakeWorld,
  violate: (sentence: string) => void,
  log: Array<string>
) =>
  Effect.gen(function*() {
    const scope = yield* Scope.make()
    const worldProcess = runtime.makeProcess()
    const changes: Context["changes"] = []
    let line: Line | undefined
    const getLine = () => line as Line
    const world = yield* runIn(
      worldProcess,
      Effect.provideService(makeWorld({ runtime, script, line: getLine, world: worldProcess }), Scope.Scope, scope)
    )
    line = makeLine({
      runtime,
      script,
      scope,
      world: worldProcess,
      log,
      change: (change: Change) => {
        changes.push({ cluster: "cluster" in change ? change.cluster : undefined, at: runtime.now() })
        world.change(change)
      }
    })
    const records: Array<Record> = []
    for (const name of script.unowned) yield* world.putUnowned(name)
    const unownedAtFirst = (yield* world.truth).filter(({ cluster }) => cluster === undefined)
    const context: Context = {
      runtime,
      script,
      line,
      world,
      records,
      changes,
      unowned: new Map(unownedAtFirst.map((thing: Thing) => [`${thing.kind} ${thing.id}`, thing.text])),
      violate
    }
    const setup = yield* connect(context, 0)
    for (const { name, ...size } of script.clusters) {
      yield* takeStep(context, setup, { do: "create", cluster: name, ...size })
    }
    yield* disconnect(setup)
    if (script.bystander) yield* putBystander(context)

    const latest: { statuses: ReadonlyArray<ClusterStatus> | undefined } = { statuses: undefined }
    const watcher = yield* watchAll(context, latest)
    const watching = yield* Effect.sync(() =>
      Effect.runForkWith(watcher.connected.client.process.context)(watcher.stream)
    )
    yield* Effect.forEach(script.actors, (steps, index) => actor(context, index + 1, steps), {
      concurrency: "unbounded",
      discard: true
    })
    line.calm()
    yield* world.rest
    const endOfWatch = Effect.andThen(
      runIn(watcher.connected.client.process, Fiber.interrupt(watching)),
      disconnect(watcher.connected)
    )
    yield* finalCheck(context, () => latest.statuses, endOfWatch)
    for (const sentence of yield* world.violations) violate(`the backend does not have: ${sentence}`)
    const shown = runtime.logs.join("\n")
    for (const secret of world.secrets) if (shown.includes(secret)) violate("a credential is in the log")
    // A call that was under way when its process was killed never ends, and the simulator would wait for it.
    yield* runIn(worldProcess, Effect.timeoutOption(Scope.close(scope, Exit.void), "1 hour"))
    return line.count()
  })

/** Runs a script. It never fails: what goes wrong is in `violations`. */
export const runScript = async (script: Script, makeWorld: MakeWorld): Promise<Outcome> => {
  const runtime = makeRuntime(script.seed)
  const violations: Array<string> = []
  const log: Array<string> = []
  const began = runtime.now()
  let calls = 0
  try {
    const exit = await runtime.run(body(script, runtime, makeWorld, (sentence) => violations.push(sentence), log))
    if (Exit.isSuccess(exit)) calls = exit.value
    else violations.push(`the run itself ended with ${describeExit(exit)}`)
  } catch (error) {
    if (!(error instanceof Stuck)) throw error
    violations.push(`the run is stuck: ${error.message}`)
  }
  runtime.digest.text(violations.join("\n"))
  return { script, digest: runtime.digest.hex(), calls, millis: runtime.now() - began, violations, log }
}
