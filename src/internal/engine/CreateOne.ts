/**
 * Creates one node or resource, whatever becomes of the reply.
 *
 * Names are unique, so a lost reply is resolved by the name. A thing with the mark of this operation was created by it.
 * A thing of another create of the cluster is adopted. Anything else is `NameTaken`. A request is sent again only if
 * the thing is absent.
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import { Conflict, InvalidResponse, Locked, NameTaken } from "../../Reason.ts"
import type { AnyResource, CallFailure, Fate, Task } from "../../Resource.ts"
import { isReason } from "../CallFailures.ts"
import { retrying } from "../Retry.ts"
import { type Created, hasNoReply } from "./Created.ts"
import { diff, type Item, refusalOf } from "./Diff.ts"
import type { Engine } from "./Engine.ts"
import { guarded, guardedList } from "./Guard.ts"
import { keyOf, type Look, look, readLimit, withFresh } from "./Look.ts"
import { ignoringGone } from "./Remove.ts"
import type { Run } from "./Run.ts"

export type Creation =
  | { readonly _tag: "Created"; readonly actual: unknown }
  | { readonly _tag: "Adopted"; readonly actual: unknown }
  /** An add never adopts: something else has taken the name. */
  | { readonly _tag: "PassedOver" }

/** A name that the backend refuses, although nothing that is listed has it. */
class UnlistedHolder extends Data.TaggedError("UnlistedHolder")<{ readonly error: CallFailure }> {}

/** How long a name may be used by something that is not listed. */
const unlistedFor = "10 seconds"

/** How long something that is being removed is waited for once more, after the plan has waited for it. */
const stillGoingFor = "10 seconds"

export interface CreateContext<Read, Write extends Read> {
  readonly engine: Engine<Read, Write>
  readonly run: Run
  readonly created: Created
  /** The decisions about other operations. */
  readonly fates: Map<string, Fate>
  /** Whether what another create of the cluster has created is used. */
  readonly adopts: boolean
}

/** The fate of another operation, decided by this create if nobody has decided it. */
export const adopt = <Read, Write extends Read>(
  { engine, fates, run }: CreateContext<Read, Write>,
  operation: string
): Effect.Effect<Fate, CallFailure> => {
  const { backend } = engine
  const known = fates.get(operation)
  if (known !== undefined) return Effect.succeed(known)
  if (backend.fates === undefined || engine.hasFinished(operation)) return Effect.succeed("adopted")
  return Effect.tap(
    guarded(
      "fates.decide",
      () => backend.fates?.decide(backend.write, run.cluster, operation, "adopted") ?? Effect.succeed("adopted")
    ),
    (fate) => Effect.sync(() => void fates.set(operation, fate))
  )
}

/** Removes what is in the place of something, and waits until a list does not show it any more. */
const clear = <Read, Write extends Read>(
  { engine, run }: CreateContext<Read, Write>,
  resource: AnyResource<Read, Write>,
  obstacle: unknown,
  task: Task,
  isGoing: boolean
): Effect.Effect<void, CallFailure> => {
  const { backend } = engine
  const key = keyOf(resource, obstacle)
  const state = resource === backend.node ? backend.node.info(obstacle, run.cluster, run.world).rawState : ""
  const detail = `it is still being removed${state === "" ? "" : ` (state "${state}")`}`
  // The plan has already waited for what is being removed by something else.
  const schedule = isGoing ? Schedule.upTo(run.policy.poll, { duration: stillGoingFor }) : run.policy.poll
  const gone = guardedList("list", readLimit(run.policy), () => resource.list(backend.read, undefined)).pipe(
    Effect.flatMap((list) =>
      list.some((actual) => keyOf(resource, actual) === key)
        ? Effect.fail(task.error(new Locked({ detail })))
        : Effect.void
    ),
    Effect.retry({ schedule, while: (error) => isReason(error, "Locked") })
  )
  const remove = isGoing
    ? Effect.void
    : ignoringGone(guarded("remove", () => resource.remove(backend.write, obstacle, task)))
  return Effect.andThen(
    remove,
    task.waiting(
      "it is still being removed",
      resource.gone === undefined
        ? gone
        : ignoringGone(guarded("gone", () => resource.gone?.(backend.read, obstacle, task) ?? Effect.void))
    )
  ).pipe(Effect.andThen(Effect.sync(() => run.world.remove(resource, obstacle))))
}

/** Creates the thing of an item whose step is `create`. */
export const createOne = <Read, Write extends Read>(
  context: CreateContext<Read, Write>,
  item: Item<Read, Write>,
  wanted: unknown,
  task: Task
): Effect.Effect<Creation, CallFailure> => {
  const { created, engine, run } = context
  const { backend } = engine
  const { resource } = item
  const { subject } = task
  // A connection that was cut may have carried the request, also where nothing happens later any more.
  const isSent = (error: CallFailure) => hasNoReply(error) || backend.mayStillHappen?.(error) === true

  /** The relation of this create to the thing that has the name. */
  const classify = (
    found: unknown,
    world: Look,
    error: CallFailure | undefined
  ): Effect.Effect<Creation, CallFailure> =>
    Effect.gen(function*() {
      const owner = resource.owner(found, world)
      if (owner?.operation === run.mark.operation && owner.cluster === run.cluster) {
        if (resource.isCreatedAgain !== true) created.seen(subject)
        return { _tag: "Created", actual: found }
      }
      created.absent(subject)
      if (!context.adopts && resource === backend.node) return { _tag: "PassedOver" }
      if (owner?.cluster === run.cluster && owner.operation !== undefined && owner.isFinished !== true) {
        if ((yield* adopt(context, owner.operation)) === "undone") {
          yield* clear(context, resource, found, task, false)
          return yield* Effect.fail(task.error(new Conflict({ detail: "an unfinished create was removed" })))
        }
      }
      const [compared] = diff<Read, Write>(backend, [{ resource, wanted }], {
        cluster: run.cluster,
        world,
        ignoresSurplus: true
      })
      const reason = compared === undefined
        ? undefined
        : refusalOf(run.cluster, [compared.step], ["refuse", "update"])
      if (reason !== undefined) return yield* Effect.fail(task.error(reason))
      if (compared?.actual === undefined) {
        return yield* Effect.fail(error ?? task.error(new Conflict({ detail: "it is being removed" })))
      }
      return { _tag: "Adopted", actual: found }
    })

  const resolve = (error: CallFailure): Effect.Effect<Creation, CallFailure | UnlistedHolder> =>
    Effect.gen(function*() {
      const fresh = yield* look<Read, Write>(backend, run.policy, [resource], undefined, run.world)
      const world = withFresh(fresh, run.world)
      const found = world.of<unknown>(resource).find((actual) =>
        resource.matches?.(wanted, actual) ?? resource.identity(actual).name === subject.name
      )
      if (found !== undefined) return yield* classify(found, world, error)
      // The thing that has the name is not listed yet, or not any more.
      return yield* isReason(error, "NameTaken") ? new UnlistedHolder({ error }) : Effect.fail(error)
    })

  const send = Effect.suspend(() => {
    run.hasSent = true
    created.creating(subject)
    return guarded("create", () =>
      resource.create?.(backend.write, wanted, task) ??
        Effect.fail(task.error(new NameTaken({ detail: `a ${resource.kind} cannot be created`, by: resource.kind }))))
  }).pipe(
    Effect.tapError((error) => Effect.sync(() => isSent(error) ? undefined : created.absent(subject)))
  )

  const attempt = Effect.gen(function*() {
    const actual: unknown = yield* send
    if (typeof actual !== "object" || actual === null) {
      return yield* Effect.fail(task.error(new InvalidResponse({ detail: "`create` of the backend returned nothing" })))
    }
    if (resource.isCreatedAgain !== true) created.seen(subject)
    run.world.add(resource, actual)
    const owner = resource.owner(actual, run.world)
    // The backend returned what another operation has created.
    return owner === undefined || owner.operation === undefined || owner.operation === run.mark.operation
      ? { _tag: "Created", actual } as Creation
      : yield* classify(actual, run.world, undefined)
  }).pipe(
    Effect.catchIf(
      (error): error is CallFailure => isSent(error) || isReason(error, "NameTaken"),
      (error) =>
        !context.adopts && resource === backend.node && isReason(error, "NameTaken")
          ? Effect.flatMap(Effect.result(resolve(error)), (resolved) =>
            resolved._tag === "Success"
              ? Effect.succeed(resolved.success)
              : Effect.succeed<Creation>({ _tag: "PassedOver" }))
          : resolve(error)
    ),
    Effect.retry({
      while: (error) => error._tag === "UnlistedHolder",
      schedule: Schedule.upTo(run.policy.poll, { duration: unlistedFor })
    }),
    Effect.catchTag("UnlistedHolder", ({ error }) => Effect.fail(error)),
    // A refusal for good is not sent again, whatever its reason says about retries.
    Effect.catch((error) =>
      isSent(error) || isReason(error, "Locked", "Conflict", "RateLimited")
        ? Effect.fail(error)
        : Effect.succeed(error)
    ),
    retrying(run.policy),
    Effect.flatMap((result) =>
      "actual" in result || result._tag === "PassedOver" ? Effect.succeed(result) : Effect.fail(result)
    )
  )
  return Effect.gen(function*() {
    if (item.obstacle !== undefined) {
      yield* clear(context, resource, item.obstacle, task, resource.isGoing?.(item.obstacle) === true)
    }
    return yield* attempt
  })
}
