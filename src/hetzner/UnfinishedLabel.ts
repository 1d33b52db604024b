/**
 * The label of a create that has not ended. A sweep finds the unfinished things of an exited process by it.
 *
 * The first shared thing that an operation creates carries it, or every server where nothing shared is created, and so does
 * what is created later without either. It is removed when everything exists, so one request finishes a whole cluster.
 */
import * as Effect from "effect/Effect"
import type { CallFailure, Task } from "../Resource.ts"
import type { Client } from "./Client.ts"
import * as Labels from "./Labels.ts"
import * as Replies from "./Replies.ts"

/** The name of the thing that carries the label for something that is created now. */
export const carrierOf = (task: Task, name: string, isShared: boolean): Effect.Effect<string> =>
  Effect.map(
    task.once("unfinished label", Effect.sync((): { carrier: string | undefined } => ({ carrier: undefined }))),
    (state) => {
      if (isShared) state.carrier ??= name
      return state.carrier ?? name
    }
  )

const putLabels = (
  write: Client,
  task: Task,
  path: string,
  labels: Labels.LabelMap
): Effect.Effect<void, CallFailure> =>
  Effect.asVoid(task.send("update labels", write.put(path, { labels }, Replies.Anything)))

export const isUnfinished = ({ labels }: Labels.Labelled): boolean => labels[Labels.pending] !== undefined

/** From now on this process is the one that finishes it. */
export const claim = (write: Client, task: Task, path: string, { labels }: Labels.Labelled) =>
  putLabels(write, task, path, { ...labels, [Labels.session]: Labels.encodeSession(task.mark.session) })

export const finish = (write: Client, task: Task, path: string, { labels }: Labels.Labelled) =>
  putLabels(
    write,
    task,
    path,
    Object.fromEntries(Object.entries(labels).filter(([key]) => key !== Labels.pending))
  )
