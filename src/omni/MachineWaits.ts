/**
 * Waits for machines of a cluster on one watch for each operation.
 */
import * as Effect from "effect/Effect"
import type { NodeInfo } from "../Model.ts"
import { Conflict, NotFoundError } from "../Reason.ts"
import type { Task } from "../Resource.ts"
import type { Reading } from "./Access.ts"
import * as Labels from "./Labels.ts"
import { type Latest, latest } from "./Latest.ts"
import type { ClusterMachineStatusSpec } from "./proto/specs_pb.ts"
import { picture } from "./SharedWatch.ts"
import { type CallFailure, Kinds, type Resource } from "./State.ts"
import { toNode } from "./Translate.ts"

type Status = Resource<ClusterMachineStatusSpec>

/** The machines of the cluster as Omni reports them, on a watch that lives as long as the operation. */
export const follow = (
  { state }: Reading,
  task: Task
): Effect.Effect<Latest<ReadonlyMap<string, Status>, CallFailure>, CallFailure> =>
  task.once(
    "machines of the cluster",
    latest(picture(state, Kinds.ClusterMachineStatus, { [Labels.cluster]: task.cluster }))
  )

/** Waits for a machine until `f` gives a result; undefined is: not yet. */
export const awaitMachine = <A>(
  read: Reading,
  id: string,
  task: Task,
  reason: string,
  f: (now: NodeInfo | undefined, status: Status | undefined) => A | undefined
): Effect.Effect<A, CallFailure> =>
  Effect.flatMap(follow(read, task), (machines) =>
    task.waiting(
      reason,
      machines.until((seen) => {
        const status = seen.get(id)
        return f(status === undefined ? undefined : toNode(task.cluster, status), status)
      })
    ))

/** Waits until a machine that was requested runs. */
export const awaitRunning = (read: Reading, id: string, task: Task): Effect.Effect<Status, CallFailure> =>
  Effect.flatMap(
    awaitMachine(
      read,
      id,
      task,
      "Omni does not report it running yet",
      (now, status) => now?.state === "deleting" ? "leaving" as const : now?.state === "running" ? status : undefined
    ),
    (found) =>
      found === "leaving"
        ? Effect.fail(task.error(new Conflict({ detail: "the machine is being taken out of the cluster" })))
        : Effect.succeed(found)
  )

/** The same for a machine that Omni has reported before, so that it is gone where Omni does not. */
export const awaitRunningAgain = (read: Reading, id: string, task: Task): Effect.Effect<void, CallFailure> =>
  Effect.flatMap(
    awaitMachine(
      read,
      id,
      task,
      "Omni does not report it running yet",
      (now) =>
        now === undefined || now.state === "deleting" ? "gone" as const : now.state === "running" ? now : undefined
    ),
    (found) =>
      found === "gone"
        ? Effect.fail(task.error(new NotFoundError({ detail: "the machine was removed from the cluster" })))
        : Effect.void
  )
