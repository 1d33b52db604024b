/**
 * Decides the fate of the things of an operation: another create adopts them, or they are removed.
 *
 * Labels have no version, so they cannot decide between two processes. Names are unique: the first to create the placement
 * group of the operation's name decides, and its label says what.
 * Source: Hetzner Cloud API reference, `POST /placement_groups`, `uniqueness_error`.
 */
import * as Effect from "effect/Effect"
import { policy } from "../Backend.ts"
import { isReason } from "../internal/CallFailures.ts"
import { failWith } from "../internal/Method.ts"
import { retrying } from "../internal/Retry.ts"
import { Conflict } from "../Reason.ts"
import type { CallFailure, Fate, Fates } from "../Resource.ts"
import type { Client } from "./Client.ts"
import type { Context } from "./Context.ts"
import { hasNoReply } from "./CreateByName.ts"
import * as Labels from "./Labels.ts"
import * as Replies from "./Replies.ts"
import * as Wire from "./Wire.ts"

const prefix = "kubelayer-fate-"

/** Whether a placement group is the record of a fate, and so no part of a cluster. */
export const isFate = ({ labels, name }: Labels.Labelled): boolean =>
  name.startsWith(prefix) && labels[Labels.fate] !== undefined

const fateOf = ({ labels }: Labels.Labelled): Fate => labels[Labels.fate] === "undone" ? "undone" : "adopted"

const find = (write: Client, operation: string): Effect.Effect<Wire.PlacementGroup | undefined, CallFailure> =>
  Effect.map(
    write.list(Wire.placementGroups, { name: `${prefix}${operation}` }),
    (found) => found.find(({ name }) => name === `${prefix}${operation}`)
  )

export const makeFates = (context: Context): Fates<Client> => ({
  known: (world) =>
    new Map(
      world.of(context.kinds().groups).filter(isFate)
        .map((group) => [group.name.slice(prefix.length), fateOf(group)])
    ),
  decide: (write, _, operation, fate) =>
    Effect.flatMap(policy, (inForce) =>
      write.post(
        "/placement_groups",
        { name: `${prefix}${operation}`, type: "spread", labels: { [Labels.fate]: fate } },
        Replies.PlacementGroup,
        { retry: false }
      ).pipe(
        Effect.map(({ placement_group }) => fateOf(placement_group)),
        Effect.catchIf(
          (error) => hasNoReply(error) || isReason(error, "NameTaken"),
          (error) =>
            Effect.flatMap(find(write, operation), (group) =>
              group !== undefined
                ? Effect.succeed(fateOf(group))
                : isReason(error, "NameTaken")
                ? failWith(new Conflict({ detail: `the record of operation ${operation} was removed a moment ago` }))
                : Effect.fail(error))
        ),
        retrying(inForce)
      )),
  forget: (write, operation) =>
    Effect.flatMap(
      find(write, operation),
      (group) => group === undefined ? Effect.void : Effect.asVoid(write.remove(`/placement_groups/${group.id}`))
    )
})
