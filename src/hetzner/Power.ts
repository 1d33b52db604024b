/**
 * Starts and stops servers.
 *
 * A stop sends an ACPI shutdown, lists the cluster once a tick until all are off, and powers off the servers that did not
 * shut down within the grace. One list a tick serves all servers that another action locks.
 * Source: Hetzner Cloud API reference, "Server Actions": `poweron`, `shutdown` (success means that the signal was sent,
 * not that the server is off), `poweroff`.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { isReason } from "../internal/CallFailures.ts"
import { ServerFault } from "../Reason.ts"
import { AlreadyDone, Done, type Outcome } from "../Report.ts"
import type { CallFailure, Power, Task } from "../Resource.ts"
import { delaysOf } from "./Actions.ts"
import type { Client, Reading } from "./Client.ts"
import type { Context } from "./Context.ts"
import * as Replies from "./Replies.ts"
import { listOf, type Server } from "./ServerList.ts"
import { type Ticks, ticksOf, whenUnlocked } from "./Unlocked.ts"

const done = new Done({})
const alreadyDone = new AlreadyDone({})

/** Statuses of servers that come to run without a request. */
const startingStatuses = new Set(["initializing", "starting", "migrating", "rebuilding"])

/** Off, or gone: in both cases it does not run. */
const isOff = (status: string | undefined): boolean => status === undefined || status === "off" || status === "deleting"

/** Waits until a server is off, by one list a tick for all that wait. A list that fails only delays. */
const awaitOff = Effect.fnUntraced(function*(task: Task, ticks: Ticks, server: Server): Effect.fn.Return<void> {
  const delay = yield* delaysOf(task.policy)
  while (true) {
    const seen = yield* Effect.result(ticks.next(server.id, yield* delay))
    if (seen._tag === "Success" && isOff(seen.success?.status)) return
  }
})

/**
 * How servers are started and stopped. `grace` is how long a server may take to shut down after the ACPI signal.
 */
export const makePower = (context: Context, grace: Duration.Duration): Power<Server, Reading, Client> => {
  const ticksFor = (write: Client, task: Task) => ticksOf(task, listOf(write, context.ownership, task.cluster))

  /** Sends a power action, again each time another action locks the server, and waits for its end. */
  const act = (
    write: Client,
    server: Server,
    task: Task,
    what: "poweron" | "poweroff" | "shutdown",
    reason: string
  ): Effect.Effect<void, CallFailure> =>
    Effect.flatMap(
      ticksFor(write, task),
      (ticks) =>
        task.send(what, write.post(`/servers/${server.id}/actions/${what}`, undefined, Replies.Started)).pipe(
          Effect.flatMap((reply) =>
            // Its success says only that the signal was sent.
            what === "shutdown"
              ? Effect.void
              : task.waiting(reason, context.actions.await(Replies.actionsIn(reply), { server: server.name }))
          ),
          whenUnlocked({ ticks, task, server })
        )
    )

  const force = (write: Client, server: Server, task: Task): Effect.Effect<Outcome, CallFailure> =>
    Effect.as(
      act(
        write,
        server,
        task,
        "poweroff",
        `did not shut down within ${Duration.format(grace)}; powering off`
      ),
      new Done({ forced: true })
    )

  return {
    waitsOverlap: true,
    stopTimeout: () => Effect.succeed(grace),
    start: (write, server, task) =>
      // The final check waits for a server that is starting already.
      startingStatuses.has(server.status)
        ? Effect.succeed(alreadyDone)
        : Effect.as(act(write, server, task, "poweron", "the server is starting"), done),
    stop: (write, server, task) =>
      isOff(server.status) ? Effect.succeed(alreadyDone) : Effect.gen(function*() {
        const ticks = yield* ticksFor(write, task)
        const isStopping = server.status === "stopping"
        if (!isStopping) yield* act(write, server, task, "shutdown", "")
        // The grace begins when the signal was sent, however long that had to wait.
        const isDown = yield* task.waiting(
          `the server has ${Duration.format(grace)} to shut down`,
          Effect.timeoutOrElse(Effect.as(awaitOff(task, ticks, server), true), {
            duration: grace,
            orElse: () => Effect.succeed(false)
          })
        )
        return isDown ? done : yield* force(write, server, task)
      }).pipe(Effect.catchIf((error) => isReason(error, "NotFoundError"), () => Effect.succeed<Outcome>(alreadyDone))),
    latest: (task) => Effect.map(ticksOf(task, Effect.succeed([])), (ticks) => ticks.latest()),
    whyNotRunning: (_, server, task) =>
      Effect.succeed(
        new ServerFault({
          detail: task.operation === "startNodes"
            ? `server ${server.name} is ${server.status}, although its start was reported as a success`
            : "it was created but does not run"
        })
      )
  }
}
