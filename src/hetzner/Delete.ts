/**
 * Deleting a cluster: its servers, then everything else that is the cluster's own.
 *
 * Control planes' requests go first, then the rest's, all by id; then it is listed again until none is left, since an
 * autoscaler may add some meanwhile. What they shared is removed after that (`Leftovers.ts`). All of it can be repeated,
 * with no server left too; two deletes at once both succeed.
 * Source: Hetzner Cloud API reference, `DELETE /servers/{id}`: an answer says that it began, its action when it is done.
 */
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Semaphore from "effect/Semaphore"
import type { Operation } from "../internal/Operation.ts"
import type { CallFailure } from "./Client.ts"
import { removeInfrastructure } from "./Leftovers.ts"
import { type Member, members, subjectOf } from "./Members.ts"
import { asDelete } from "./Quota.ts"
import { type Deleting, removeOne } from "./Removal.ts"
import { makeTicks, whenUnlocked } from "./Unlocked.ts"

/** Deletes servers: requests of control planes first, and all waits at once. */
export const deleteServers = Effect.fnUntraced(function*(
  context: Deleting,
  operation: Operation,
  going: ReadonlyArray<Member>
): Effect.fn.Return<void> {
  const { concurrency, nodeTimeout } = operation.policy
  const isFirst = ({ node }: Member) => node.role === "control-plane"
  const controlPlanes = going.filter(isFirst)
  const permits = Semaphore.makeUnsafe(concurrency.delete)
  const answered = Latch.makeUnsafe(controlPlanes.length === 0)
  const unanswered = new Set(controlPlanes.map(({ node }) => node.id))
  const ticks = makeTicks(members(context.client, context.ownership, operation.clusterName))
  yield* operation.wave(
    [...controlPlanes, ...going.filter((member) => !isFirst(member))],
    { subject: subjectOf, timeout: nodeTimeout.delete, width: Number.POSITIVE_INFINITY },
    (member) => {
      const { id, name } = member.node
      const subject = { kind: "node", name, id } as const
      const count = Effect.suspend(() => {
        unanswered.delete(id)
        return unanswered.size === 0 ? answered.open : Effect.void
      })
      const whenFree = whenUnlocked({
        ticks,
        policy: operation.policy,
        server: member.server,
        onWaiting: Effect.andThen(
          count,
          operation.emit({ _tag: "Waiting", subject, reason: "another action locks the server" })
        )
      })
      return isFirst(member)
        ? removeOne(context, operation, subject, { permits, answered: count, whenFree })
        : Effect.andThen(answered.await, removeOne(context, operation, subject, { permits, whenFree }))
    }
  )
})

/** A cluster to which somebody goes on adding servers is not followed for ever. */
const rounds = 10

export const deleteCluster = (context: Deleting) =>
  Effect.fnUntraced(function*(operation: Operation): Effect.fn.Return<void, CallFailure> {
    const seen = new Map<string, Member>()
    const look = members(context.client, context.ownership, operation.clusterName)
    let going = yield* look
    for (let round = 0; round < rounds && going.length > 0; round++) {
      for (const member of going) seen.set(member.node.id, member)
      yield* deleteServers(context, operation, going)
      const now = yield* Effect.result(look)
      // What was done so far stands in the report; whether there are more could not be asked.
      if (now._tag === "Failure") {
        yield* operation.settle(
          { kind: "node", name: "servers added meanwhile" },
          operation.policy.readTimeout,
          Effect.fail(now.failure)
        )
        break
      }
      going = now.success.filter(({ node }) => !seen.has(node.id))
    }
    yield* removeInfrastructure(context, operation, [...seen.values()])
  }, asDelete)
