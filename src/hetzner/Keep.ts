/**
 * The label that keeps a volume or a floating IP where its cluster is deleted.
 */
import type * as Effect from "effect/Effect"
import { Difference } from "../Reason.ts"
import type { CallFailure, Task } from "../Resource.ts"
import type { Client } from "./Client.ts"
import * as Labels from "./Labels.ts"
import * as Replies from "./Replies.ts"

export const isKept = ({ labels }: Labels.Labelled): boolean => labels[Labels.keep] === "true"

/** The labels that a new thing gets for it. */
export const keepLabel = (keep: boolean | undefined): Labels.LabelMap => keep === true ? { [Labels.keep]: "true" } : {}

export const keepDifferences = (actual: Labels.Labelled, keep: boolean): ReadonlyArray<Difference> =>
  isKept(actual) === keep
    ? []
    : [new Difference({ field: "keep", actual: isKept(actual), requested: keep, remedy: "update" })]

/** Sets or removes the label of a thing that exists. */
export const updateKeep = (
  write: Client,
  task: Task,
  path: string,
  actual: Labels.Labelled,
  keep: boolean | undefined
): Effect.Effect<unknown, CallFailure> => {
  const { [Labels.keep]: _, ...others } = actual.labels
  const labels = { ...others, ...keepLabel(keep) }
  return task.send("update labels", write.put(path, { labels }, Replies.Anything))
}
