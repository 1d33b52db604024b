/**
 * Removing one thing by its id, and waiting until it is gone.
 *
 * A thing that a running action locks is waited for, and so is a thing that a server in deletion still uses.
 * What is not there any more is `AlreadyDone`, so that two deletes at once both succeed.
 * Source: Hetzner Cloud API reference, `DELETE` of each resource.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type * as Semaphore from "effect/Semaphore"
import type { Operation } from "../internal/Operation.ts"
import type { Subject } from "../Progress.ts"
import { AlreadyDone, Done, type Outcome } from "../Report.ts"
import type { Actions } from "./Actions.ts"
import type { CallFailure, Client } from "./Client.ts"
import { isReason } from "./Errors.ts"
import type { Ownership } from "./Labels.ts"
import { asDelete } from "./Quota.ts"

export interface Removing {
  readonly client: Client
  readonly actions: Actions
}

/** Removing what is a cluster's. */
export interface Deleting extends Removing {
  readonly ownership: Ownership
}

/** Where a kind of resource is at the API. */
const paths = {
  node: "/servers",
  network: "/networks",
  firewall: "/firewalls",
  "placement-group": "/placement_groups",
  "floating-ip": "/floating_ips",
  "load-balancer": "/load_balancers",
  volume: "/volumes",
  "ssh-key": "/ssh_keys"
} as const

export interface Removable extends Subject {
  readonly kind: keyof typeof paths
  readonly id: string
}

/** Lists lag behind the end of the last delete; what is in use for longer than that is used by something that stays. */
const inUseFor = Duration.seconds(30)

/** How a request is sent. */
export interface Sending {
  /** How many requests are sent in parallel. */
  readonly permits?: Semaphore.Semaphore
  /** Runs when the request was answered, or waits for a lock. */
  readonly answered?: Effect.Effect<void>
  /** How a lock is waited for; by sending again after each delay of `Policy.poll` by default. */
  readonly whenFree?: <A>(attempt: Effect.Effect<A, CallFailure>) => Effect.Effect<A, CallFailure>
}

/** Removes one thing, and waits until it is gone. */
export const removeOne = (
  { actions, client }: Removing,
  operation: Pick<Operation, "emit" | "policy">,
  subject: Removable,
  { answered = Effect.void, permits, whenFree }: Sending = {}
): Effect.Effect<Outcome, CallFailure> => {
  const { poll } = operation.policy
  const request = Effect.andThen(
    operation.emit({ _tag: "Sent", subject, call: "delete" }),
    client.remove(`${paths[subject.kind]}/${subject.id}`)
  ).pipe(Effect.ensuring(answered))
  return (permits === undefined ? request : permits.withPermits(1)(request)).pipe(
    Effect.retry({ schedule: poll, while: (error) => isReason(error, "Conflict") }),
    whenFree ?? Effect.retry({ schedule: poll, while: (error: CallFailure) => isReason(error, "Locked") }),
    Effect.retry({
      schedule: Schedule.upTo(poll, { duration: inUseFor }),
      while: (error) => isReason(error, "InUse")
    }),
    Effect.flatMap((running) => actions.await(running, subject.kind === "node" ? { server: subject.name } : {})),
    Effect.as<Outcome>(new Done({})),
    Effect.catchIf((error) => isReason(error, "NotFoundError"), () => Effect.succeed<Outcome>(new AlreadyDone({}))),
    asDelete
  )
}
