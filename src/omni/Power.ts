/**
 * Powers machines off and on.
 *
 * Omni powers on only machines of a static infra provider, which carry its label. Every other machine that is powered off
 * needs a person to press a button. So only machines with that label are powered off, unless the layer's option says
 * otherwise; the others are `Unsupported`. The power state says nothing about this: Omni reports it of every machine.
 * A node is `Done` when Omni reports it off, or running.
 * Source: Omni's management API, `MachinePowerOff` and `MachinePowerOn`.
 */
import * as Effect from "effect/Effect"
import { detailOf, isReason } from "../internal/CallFailures.ts"
import type { NodeInfo } from "../Model.ts"
import { Conflict, NotFoundError } from "../Reason.ts"
import { AlreadyDone, Done, type Outcome, Unsupported } from "../Report.ts"
import type { Power, Task } from "../Resource.ts"
import type { Reading, Writing } from "./Access.ts"
import * as Labels from "./Labels.ts"
import { awaitMachine, awaitRunning, awaitRunningAgain, follow } from "./MachineWaits.ts"
import { nodes, type OmniNode } from "./Nodes.ts"
import { type CallFailure, Kinds } from "./State.ts"

const done = new Done({})
const alreadyDone = new AlreadyDone({})

const notManaged = "no static infra provider manages this machine, so Omni could not power it on again " +
  "(the layer's option `powerOff: \"always\"` overrides this)"

/**
 * Whether Omni manages the power of a machine. The machines of the cluster are listed once an operation. Fails where Omni
 * does not know the machine any more.
 */
const isManaged = ({ state }: Reading, { id }: OmniNode, task: Task): Effect.Effect<boolean, CallFailure> =>
  Effect.gen(function*() {
    const machines = yield* task.once(
      "machines with their power",
      Effect.map(
        state.list(Kinds.MachineStatus, { [Labels.cluster]: task.cluster }),
        (all) => new Map(all.map((machine) => [machine.metadata.id, machine]))
      )
    )
    const machine = machines.get(id) ?? (yield* state.get(Kinds.MachineStatus, id))
    return machine === undefined
      ? yield* Effect.fail(task.error(new NotFoundError({ detail: "Omni does not know the machine any more" })))
      : Object.hasOwn(machine.metadata.labels, Labels.managedPower)
  })

/** The server refuses the power of some machines. */
const orUnsupported = <A>(call: Effect.Effect<A, CallFailure>): Effect.Effect<A | Unsupported, CallFailure> =>
  Effect.catchIf(
    call,
    (error) => isReason(error, "UnsupportedError", "Conflict"),
    (error) =>
      Effect.succeed(
        new Unsupported({ reason: detailOf(error) })
      )
  )

/** Off, or out of the cluster, or on its way out. */
const isOff = (now: NodeInfo | undefined) => now === undefined || now.state === "stopped" || now.state === "deleting"

const infoOf = (node: OmniNode, task: Task): NodeInfo => nodes.info(node, task.cluster, task.world)

const stop = (write: Writing, node: OmniNode, task: Task): Effect.Effect<Outcome, CallFailure> =>
  Effect.gen(function*() {
    const info = infoOf(node, task)
    if (isOff(info)) return alreadyDone
    const off = (reason: string) => awaitMachine(write, node.id, task, reason, (now) => isOff(now) ? true : undefined)
    if (info.state === "stopping") return yield* Effect.as(off("it is being shut down already"), alreadyDone)
    if (write.powerOff !== "always" && !(yield* isManaged(write, node, task))) {
      return new Unsupported({ reason: notManaged })
    }
    // The watch is open before the machine goes off.
    yield* follow(write, task)
    const sent = yield* orUnsupported(task.send("power off", write.management.powerOff(node.id)))
    return sent instanceof Unsupported ? sent : yield* Effect.as(off("Omni does not report it off yet"), done)
  })

const start = (write: Writing, node: OmniNode, task: Task): Effect.Effect<Outcome, CallFailure> =>
  Effect.gen(function*() {
    const { state } = infoOf(node, task)
    if (node.status === undefined) return yield* Effect.as(awaitRunning(write, node.id, task), alreadyDone)
    const running = awaitRunningAgain(write, node.id, task)
    if (state === "creating" || state === "starting") return yield* Effect.as(running, alreadyDone)
    if (state === "deleting") {
      return yield* Effect.fail(
        task.error(new Conflict({ detail: "the machine is being taken out of the cluster" }))
      )
    }
    if (write.powerOff !== "always" && !(yield* isManaged(write, node, task))) {
      return new Unsupported({ reason: "no static infra provider manages this machine; power it on by hand" })
    }
    yield* follow(write, task)
    const sent = yield* orUnsupported(task.send("power on", write.management.powerOn(node.id)))
    return sent instanceof Unsupported ? sent : yield* Effect.as(running, done)
  })

export const power: Power<OmniNode, Reading, Writing> = { start, stop }
