/**
 * Waiting for what the API goes on doing after its answer: one poller a layer, for all running actions of all callers.
 *
 * Ids are read in chunks. A failed poll only delays. An action that the API no longer knows is settled by reading its
 * resource; one that ended in error fails with a reason that names the server. Interrupting a caller ends its own wait;
 * the action goes on. Source: Hetzner Cloud API reference, "Actions", `GET /actions`.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Pull from "effect/Pull"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import { CurrentMethod } from "../internal/Method.ts"
import { CurrentUrgency } from "../internal/Urgency.ts"
import type { Policy } from "../Policy.ts"
import { BackendError } from "../Reason.ts"
import type { CallFailure, Reading } from "./Client.ts"
import { reasonOf } from "./Errors.ts"
import { makePoller } from "./Poller.ts"
import type { Governor } from "./Quota.ts"
import * as Wire from "./Wire.ts"

export interface Actions {
  /** Ends when all have ended well. `server` is named where one has not. */
  readonly await: (
    actions: ReadonlyArray<Wire.Action>,
    who: { readonly server?: string }
  ) => Effect.Effect<void, CallFailure>
}

/** The number of ids in one request. */
const perRequest = 25

const Reply = Schema.Struct({ actions: Schema.Array(Wire.Action) })

/** The status of a server after a command, if the command has one. A deleted server never reaches it. */
const endings: Readonly<Record<string, (server: Wire.Server | undefined) => boolean>> = {
  start_server: (server) => server === undefined || server.status === "running",
  stop_server: (server) => server === undefined || server.status === "off",
  delete_server: (server) => server === undefined,
  create_server: (server) => server !== undefined && server.status !== "initializing"
}

/** The delays of a poll schedule, one after the other; the last for ever. */
export const delaysOf = (policy: Policy): Effect.Effect<Effect.Effect<number>> =>
  Effect.map(Schedule.toStep(policy.poll), (step) => {
    let last = 1000
    return Effect.flatMap(Clock.currentTimeMillis, (now) =>
      step(now, undefined).pipe(
        Effect.map(([, delay]) => {
          last = Duration.toMillis(delay)
          return last
        }),
        Pull.catchDone(() => Effect.sync(() => last))
      ))
  })

/** Even an empty bucket makes a wait for something that has begun no longer than so. */
const longestStretch = 2

export const makeActions = (
  client: Reading,
  governor: Governor,
  policy: Effect.Effect<Policy>
): Actions => {
  /** A delete does not wait for a poll that an operation of less urgency sends, so each urgency has a poller. */
  const pollerOf = () =>
    makePoller<number, Wire.Action, CallFailure>({
      ask: (ids) => {
        const sorted = [...ids].sort((a, b) => a - b)
        const chunks = Array.from(
          { length: Math.ceil(sorted.length / perRequest) },
          (_, index) => sorted.slice(index * perRequest, (index + 1) * perRequest)
        )
        return Effect.map(
          Effect.forEach(chunks, (id) => client.read("/actions", Reply, { id }, { retry: false }), {
            concurrency: "unbounded"
          }),
          (replies) => new Map(replies.flatMap(({ actions }) => actions).map((action) => [action.id, action]))
        )
      }
    })
  const pollers = { watch: pollerOf(), usual: pollerOf(), delete: pollerOf() }

  /** Whether an action that the API does not know any more has ended, as far as its server shows. */
  const isSettled = (action: Wire.Action): Effect.Effect<boolean, CallFailure> => {
    const id = action.resources?.find(({ type }) => type === "server")?.id
    return id === undefined
      ? Effect.succeed(true)
      : Effect.map(
        client.get(Wire.servers, id),
        (server) => endings[action.command]?.(server) ?? server?.locked !== true
      )
  }

  const failed = ({ command, error }: Wire.Action, server: string | undefined): Effect.Effect<never, BackendError> => {
    const code = error?.code ?? undefined
    const message = error?.message ?? "it gave no reason"
    const reason = reasonOf({
      message: `${command}${server === undefined ? "" : ` of server ${server}`} ended in error: ${message}`,
      ...(code === undefined ? {} : { code })
    }, client.redact)
    return Effect.flatMap(CurrentMethod, ({ backend, clusterName, operation }) =>
      Effect.fail(
        new BackendError({
          provider: backend,
          operation,
          ...(clusterName === undefined ? {} : { clusterName }),
          ...(server === undefined ? {} : { subject: { kind: "node" as const, name: server } }),
          reason
        })
      ))
  }

  const awaitOne = Effect.fnUntraced(function*(
    started: Wire.Action,
    server: string | undefined
  ): Effect.fn.Return<void, CallFailure> {
    let action = started
    const delay = yield* delaysOf(yield* policy)
    const poller = pollers[yield* CurrentUrgency]
    while (true) {
      if (action.status === "success") return
      if (action.status === "error") return yield* failed(action, server)
      const stretch = Math.min(longestStretch, yield* governor.stretch)
      const seen = yield* Effect.result(poller.next(action.id, (yield* delay) * stretch))
      if (seen._tag === "Failure") {
        yield* Effect.logDebug(
          `action ${action.id} could not be read; it is read again`,
          seen.failure.message
        )
      } else if (seen.success === undefined) {
        const settled = yield* Effect.result(isSettled(action))
        if (settled._tag === "Success" && settled.success) return
      } else {
        action = seen.success
      }
    }
  })

  return {
    await: (actions, { server }) =>
      Effect.forEach(actions, (action) => awaitOne(action, server), { concurrency: "unbounded", discard: true })
  }
}
