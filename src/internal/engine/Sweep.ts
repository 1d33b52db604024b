/**
 * Lists what exited processes have left behind, and removes it on request.
 *
 * A thing is an orphan if a process created it that has provably exited, and nothing keeps it. It was bound to a scope
 * of that process, it is unfinished, or its cluster has no nodes.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { ClusterName } from "../../Model.ts"
import type { Policy } from "../../Policy.ts"
import type { Orphan, SweepOptions } from "../../Provider.ts"
import type { AnyResource, CallFailure, World } from "../../Resource.ts"
import { ownerProcessExited, parseSession } from "../Session.ts"
import { CurrentUrgency } from "../Urgency.ts"
import type { Engine } from "./Engine.ts"
import { guardedRead } from "./Guard.ts"
import { kindsOf, type Look, look, readLimit, subjectOf } from "./Look.ts"
import { removeOne } from "./Remove.ts"
import { makeRun } from "./Run.ts"
import { forgetFates, removalWaves } from "./Undo.ts"

interface Found<Read, Write extends Read> {
  readonly resource: AnyResource<Read, Write>
  readonly actual: unknown
  readonly cluster: string
  readonly why: string
}

const why = <Read, Write extends Read>(
  { backend }: Engine<Read, Write>,
  resource: AnyResource<Read, Write>,
  actual: unknown,
  world: World,
  inhabited: ReadonlySet<string>
): string | undefined => {
  const owner = resource.owner(actual, world)
  if (owner?.session === undefined) return undefined
  const what = owner.bound === true
    ? "it was created for a scope"
    : owner.isFinished === false || resource.isUnfinished?.(actual) === true || resource.needsFinish?.(actual) === true
    ? "its creation did not end"
    : resource !== backend.node && !inhabited.has(owner.cluster)
    ? "its cluster has no node"
    : undefined
  return what === undefined ? undefined : `${what}, and the process that created it (${owner.session}) has exited`
}

const find = <Read, Write extends Read>(
  engine: Engine<Read, Write>,
  policy: Policy,
  olderThan: Duration.Input
): Effect.Effect<readonly [Look, ReadonlyArray<Found<Read, Write>>], CallFailure> =>
  Effect.gen(function*() {
    const { backend } = engine
    const kinds = kindsOf<Read, Write>(backend)
    const world = yield* look<Read, Write>(backend, policy, kinds, undefined)
    const latest = (yield* Clock.currentTimeMillis) - Duration.toMillis(Duration.fromInputUnsafe(olderThan))
    const inhabited = new Set(
      world.of<unknown>(backend.node).flatMap((node) => backend.node.owner(node, world)?.cluster ?? [])
    )
    const found: Array<Found<Read, Write>> = []
    for (const resource of kinds) {
      for (const actual of world.of<unknown>(resource)) {
        const owner = resource.owner(actual, world)
        const session = parseSession(owner?.session ?? "")
        const createdAt = resource.createdAt?.(actual)
        const reason = why<Read, Write>(engine, resource, actual, world, inhabited)
        if (owner === undefined || session === undefined || reason === undefined) continue
        if (createdAt === undefined || !(createdAt <= latest)) continue
        if (!(yield* ownerProcessExited(session))) continue
        found.push({ resource, actual, cluster: owner.cluster, why: reason })
        world.leave(resource, actual)
      }
    }
    // A thing that a remaining thing uses stays as well.
    const orphans: Array<Found<Read, Write>> = []
    for (const resource of kinds) {
      const own = found.filter((each) => each.resource === resource)
      const kept = resource.keep === undefined || own.length === 0
        ? undefined
        : yield* guardedRead("keep", readLimit(policy), () =>
          resource.keep?.(
            backend.read,
            own.map(({ actual }) => actual),
            world
          ) ??
            Effect.succeed(new Map<unknown, string>()))
      orphans.push(...own.filter(({ actual }) => kept?.has(actual) !== true))
    }
    return [world, orphans] as const
  })

const orphanOf = <Read, Write extends Read>({ actual, cluster, resource, why }: Found<Read, Write>): Orphan => {
  const { id, kind, name } = subjectOf(resource, actual)
  return { kind, name, ...(id === undefined || id === "" ? {} : { id }), clusterName: cluster, why }
}

export const sweep = <Read, Write extends Read>(
  engine: Engine<Read, Write>,
  policy: Policy,
  options: SweepOptions
): Effect.Effect<ReadonlyArray<Orphan>, CallFailure, Scope.Scope> =>
  Effect.gen(function*() {
    const { backend } = engine
    const [world, orphans] = yield* find<Read, Write>(engine, policy, options.olderThan)
    if (options.remove !== true) return orphans.map(orphanOf)
    const swept: Array<Orphan> = []
    for (const kinds of removalWaves<Read, Write>(backend)) {
      swept.push(
        ...yield* Effect.forEach(
          orphans.filter(({ resource }) => kinds.includes(resource)),
          (found) =>
            Effect.gen(function*() {
              const run = yield* makeRun({
                provider: backend.backend,
                name: "deleteNodes",
                cluster: found.cluster as ClusterName,
                policy,
                world: yield* look<Read, Write>(backend, policy, [], undefined)
              })
              const task = run.task(subjectOf(found.resource, found.actual))
              return yield* removeOne<Read, Write>(backend, found.resource, found.actual, task).pipe(
                Effect.map((outcome): Orphan => {
                  if (outcome._tag === "Skipped") return orphanOf(found)
                  world.remove(found.resource, found.actual)
                  return { ...orphanOf(found), removed: true }
                }),
                Effect.catchTag(
                  "BackendError",
                  (error) => Effect.succeed<Orphan>({ ...orphanOf(found), removed: error })
                )
              )
            }),
          { concurrency: policy.concurrency.delete }
        )
      )
    }
    yield* forgetFates<Read, Write>(backend, backend.fates?.known?.(world).keys() ?? [], world)
    return swept
  }).pipe(Effect.provideService(CurrentUrgency, "delete"))
