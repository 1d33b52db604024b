/**
 * The members that all kinds of things with labels have in common.
 */
import * as Effect from "effect/Effect"
import type { ResourceKind } from "../Reason.ts"
import type { CallFailure, Owner, Task, World } from "../Resource.ts"
import type { Client, Reading } from "./Client.ts"
import { type Context, holderOf, ownerOf } from "./Context.ts"
import { withContext } from "./Errors.ts"
import type { Labelled } from "./Labels.ts"
import { removeById } from "./Remove.ts"
import * as UnfinishedLabel from "./UnfinishedLabel.ts"
import type * as Wire from "./Wire.ts"

export interface Created {
  readonly created?: string | null
}

/** When a thing was created, in milliseconds since the epoch. */
const createdAt = ({ created }: Created): number | undefined => {
  const time = Date.parse(created ?? "")
  return Number.isNaN(time) ? undefined : time
}

/** A request that creates something is sent once; the engine resolves a lost reply. */
export const once = { retry: false } as const

export const labelledKind = <K extends ResourceKind, A extends Labelled & Created>(
  context: Context,
  kind: K,
  collection: Wire.Collection<A>
) => {
  const pathOf = ({ id }: A) => `${collection.path}/${id}`
  return {
    kind,
    pathOf,
    list: (read: Reading): Effect.Effect<ReadonlyArray<A>, CallFailure> =>
      Effect.mapError(
        read.list(collection),
        (error) => withContext(error, `could not list ${collection.key.replaceAll("_", " ")}`)
      ),
    identity: ({ id, name }: A) => ({ name, id: String(id) }),
    owner: (actual: A, world: World): Owner | undefined =>
      ownerOf(context, actual, context.ownership.classify(actual.labels), world),
    holder: ({ labels }: A): string => holderOf(kind, labels),
    needsFinish: UnfinishedLabel.isUnfinished,
    claim: (write: Client, actual: A, task: Task) => UnfinishedLabel.claim(write, task, pathOf(actual), actual),
    finish: (write: Client, actual: A, task: Task) => UnfinishedLabel.finish(write, task, pathOf(actual), actual),
    createdAt: (actual: A): number | undefined => createdAt(actual),
    remove: (write: Client, actual: A, task: Task): Effect.Effect<void, CallFailure> =>
      removeById(context.actions, write, pathOf(actual), task)
  }
}
